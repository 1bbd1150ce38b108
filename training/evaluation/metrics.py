"""Metrics as sums: each item gives a vector, the metric is a function of the sum of the vectors.

So one bootstrap serves all of them, by item or by cluster, and for two models at once. Values are
in per cent (accuracy, F1, IoU, recall) or in their own unit (MAE, CIDEr). Overlap of boxes and
masks is that of ``eo_nodes.lvlm.spatial_metrics``; the others are own implementations.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from eo_nodes.lvlm import spatial_metrics


@dataclass(frozen=True, slots=True)
class Metric:
    """name: as in scores.json; value: (k,) sums -> number; is_percent; is_lower_better."""

    name: str
    value: Callable[[np.ndarray], float]
    is_percent: bool = True
    is_lower_better: bool = False


def _percent_of(sums):
    return 100.0 * float(sums[0]) / float(sums[1]) if sums[1] else float("nan")


def _mean_of(sums):
    return float(sums[0]) / float(sums[1]) if sums[1] else float("nan")


def _f1_of(sums):
    """Sums of (true positives, false positives, false negatives); nothing to find: 100."""
    hits, wrong, missed = map(float, sums)
    whole = 2 * hits + wrong + missed
    return 100.0 * 2 * hits / whole if whole else 100.0


def _macro_f1_of(sums):
    """Sums of (K x 3) counts, flat; a class that neither occurs nor is said counts as 0."""
    counts = np.asarray(sums, float).reshape(-1, 3)
    whole = 2 * counts[:, 0] + counts[:, 1] + counts[:, 2]
    return 100.0 * float(np.mean(2 * counts[:, 0] / np.maximum(whole, 1)))


def _iou_of(sums):
    """Sums of (intersection, union) in pixels; both empty: 100."""
    return 100.0 * float(sums[0]) / float(sums[1]) if sums[1] else 100.0


ACCURACY = Metric("accuracy", _percent_of)
F1 = Metric("f1", _f1_of)
MACRO_F1 = Metric("f1", _macro_f1_of)
IOU = Metric("iou", _iou_of)
MAE = Metric("mae", _mean_of, is_percent=False, is_lower_better=True)
CIDER = Metric("cider", _mean_of, is_percent=False)
RECALLS = {k: Metric(f"recall_at_{k}", _percent_of) for k in (1, 5, 10)}


def right(is_right: bool) -> np.ndarray:
    """Vector of one exact answer."""
    return np.array([float(is_right), 1.0])


def error(found: float, true: float) -> np.ndarray:
    """Vector of one count or size."""
    return np.array([abs(found - true), 1.0])


def label_counts(said: Sequence[bool], true: Sequence[bool]) -> np.ndarray:
    """(K * 3,) vector of one sample's K yes/no labels for macro-F1."""
    said, true = np.asarray(said, bool), np.asarray(true, bool)
    return np.stack([said & true, said & ~true, ~said & true], -1).astype(float).ravel()


def match_boxes(found, true, threshold: float) -> np.ndarray:
    """(hits, wrong, missed): greedy, best overlap first, each box used once.

    Args:
        found, true: lists of (x1, y1, x2, y2), half open, pixels. threshold: least IoU, (0, 1].
    """
    counts = spatial_metrics.detections(spatial_metrics.box_iou(found, true), threshold)
    return np.array([counts.hits, counts.extra, counts.missed], float)


def mask_overlap(found: np.ndarray, true: np.ndarray, valid: np.ndarray | None = None):
    """(intersection, union) in pixels of two boolean masks (H, W), where ``valid``."""
    overlap = spatial_metrics.mask_overlap(found, true, valid)
    return np.array([overlap.common, overlap.whole], float)


def recall_hit(scores: np.ndarray, own: int, k: int) -> bool:
    """Whether item ``own`` is among the k best of ``scores`` (N,); ties count against it."""
    return int((scores >= scores[own]).sum()) <= k


def grams(text: str, n: int) -> Counter:
    """n-grams of lower-cased words; full stops and commas are no words."""
    words = text.lower().replace(".", " ").replace(",", " ").split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def cider_each(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Plain CIDEr of each caption (N,): cosine of tf-idf over 1- to 4-grams, times ten.

    Document frequencies are those of the given references, no length penalty, no stemming.
    Source: Vedantam et al. 2015; own implementation.
    """
    total = np.zeros(len(candidates))
    for n in range(1, 5):
        refs = [[grams(r, n) for r in rs] for rs in references]
        seen = Counter(g for rs in refs for g in set().union(*rs))
        weigh = {g: math.log(len(refs) / c) for g, c in seen.items()}
        rare = math.log(len(refs))

        def vector(counts, weigh=weigh, rare=rare):
            size = max(1, sum(counts.values()))
            v = {g: c / size * weigh.get(g, rare) for g, c in counts.items()}
            return v, math.sqrt(sum(x * x for x in v.values())) or 1.0

        for i, (candidate, rs) in enumerate(zip(candidates, refs, strict=True)):
            v, length = vector(grams(candidate, n))
            for r in rs:
                w, other = vector(r)
                dot = sum(x * w.get(g, 0.0) for g, x in v.items())
                total[i] += dot / length / other / len(rs)
    return total * 10 / 4


def bleu4(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU-4 in per cent, closest-length brevity penalty. Source: Papineni et al. 2002."""
    logs, length, closest = 0.0, 0, 0
    for n in range(1, 5):
        hit = count = 0
        for c, rs in zip(candidates, references, strict=True):
            own, most = grams(c, n), Counter()
            for r in rs:
                most |= grams(r, n)
            hit += sum((own & most).values())
            count += sum(own.values())
            if n == 1:
                size = sum(own.values())
                length += size
                closest += min(
                    (sum(grams(r, 1).values()) for r in rs),
                    key=lambda x, size=size: (abs(x - size), x),
                )
        logs += math.log(max(hit, 1e-9) / max(count, 1)) / 4
    return 100 * min(1.0, math.exp(1 - closest / max(1, length))) * math.exp(logs)
