"""Does the relevance map point at what the prompt names? Pointing game and AUROC against boxes.

Two maps of each picture: the one that tap 1 gives the decision node (of the decoder), and the
cells' closeness to the noun in the language space. A cell is positive where a labelled box of the
asked kind overlaps it. The pointing game is won if the most relevant cell is positive; its chance
is the share of positive cells, which stands as the trivial answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eo_nodes.lvlm.chances import auroc
from eo_nodes.lvlm.journal import Journal
from training.evaluation.metrics import ACCURACY, right
from training.evaluation.rows import Row, interval, marked
from training.evaluation.run import Plan, Progress
from training.evaluation.sets import Sample, draw, samples
from training.evaluation.subject import Subject
from training.instruct import phrases
from training.instruct.nouns import NOUNS, belongs, fill, groups_of, kind_of
from training.instruct.sources import SETS, Library

GROUPS = {"objects_rgb": ("aircraft", "vehicle", "boat"), "hit_uav": ("vehicle", "person"),
          "s2_ships": ("ship",), "sar_ships": ("ship",), "aerial_video": ("vehicle",)}
MAPS = {"relevance": "relevance", "relevance_words": "cell_meaning"}
TYPES = {"relevance": "relevance hits the object, of the decoder",
         "relevance_words": "relevance hits the object, of the language space"}
NAMES = tuple(f"{name}.{kind}" for kind in MAPS for name in GROUPS)
MODALITY_NAMES = {"thermal": "infrared"}


@dataclass(frozen=True, slots=True)
class Pointed:
    """One map against the boxes: won, share of positive cells, AUROC over the cells."""

    hit: bool
    chance: float
    auroc: float


def positive_cells(
    boxes: Sequence[Sequence[float]], grid: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """(rows, cols) bool: cells that any box overlaps.

    Args:
        boxes: x1, y1, x2, y2 in pixels. grid: rows and columns. size: height and width, pixels.
    """
    rows, cols = grid
    height, width = size
    out = np.zeros(grid, bool)
    for x1, y1, x2, y2 in boxes:
        top, left = int(y1 * rows / height), int(x1 * cols / width)
        bottom, right_ = -int(-y2 * rows // height), -int(-x2 * cols // width)
        out[max(top, 0):bottom, max(left, 0):right_] = True
    return out


def point(relevance: np.ndarray, is_positive: np.ndarray) -> Pointed | None:
    """Score of one map; None where every cell is positive, or none. Ties count against it."""
    share = float(is_positive.mean())
    if share in (0.0, 1.0):
        return None
    best = relevance == relevance.max()
    hit = bool(is_positive[best].all())
    return Pointed(hit, share, auroc(relevance.ravel(), is_positive.ravel()))


class Pointing:
    """One model's relevance maps on one data folder; asked as ``spaces.Spaces`` is."""

    def __init__(self, subject: Subject, library: Library, plan: Plan, progress: Progress):
        self._subject, self._library, self._plan = subject, library, plan
        self._progress = progress
        self._nouns: dict[str, np.ndarray] = {}

    def lacking(self, name: str) -> str:
        """What the model cannot do that the cell needs, or an empty string."""
        need = MAPS[name.split(".")[1]]
        return "" if need in self._subject.abilities else need

    def rows(self, name: str) -> list[Row]:
        """Row of one of ``NAMES``; none where no picture has an object."""
        set_name, kind = name.split(".")
        asked = [(s, group, boxes) for s in samples(self._library, set_name, self._plan.split)
                 for group in GROUPS[set_name] if (boxes := _boxes(s, group))]
        if limit := self._plan.limit_of(self._subject.name, name):
            asked = sorted(asked, key=lambda a: draw(f"{a[0].id}#{a[1]}"))[:limit]
        found: list[tuple[Sample, str, Pointed]] = []
        with Journal(self._plan.folder(self._subject) / f"{name}.jsonl") as journal:
            known = {r["key"]: r for r in journal}
            for sample, group, boxes in asked:
                key = f"{sample.id}#{group}"
                if key not in known:
                    grid = self._map(kind, sample, group)
                    made = point(grid, positive_cells(boxes, grid.shape, sample.size))
                    record = {"key": key, "hit": made and made.hit,
                              "chance": made and made.chance, "auroc": made and made.auroc}
                    journal.append(record)
                    known[key] = record
                    self._progress(name, 1)
                one = known[key]
                if one["chance"] is not None:
                    score = Pointed(one["hit"], one["chance"], one["auroc"])
                    found.append((sample, group, score))
        return [self._row(set_name, TYPES[kind], found)] if found else []

    def _map(self, kind: str, sample: Sample, group: str) -> np.ndarray:
        (image,) = sample.images
        noun = NOUNS[group][0]
        if kind == "relevance":
            return self._subject.relevance(image, fill(phrases.DETECT[0], *noun))
        if group not in self._nouns:
            (self._nouns[group],) = self._subject.embed_text([noun[1]])
        return np.asarray(self._subject.cell_meaning(image) @ self._nouns[group])

    def _row(self, name: str, kind: str, found: Sequence[tuple[Sample, str, Pointed]]) -> Row:
        hits = np.array([right(p.hit) for _, _, p in found])
        clusters = [s.cluster for s, _, _ in found]
        modality = SETS[name].modality
        row = Row(
            model=self._subject.name, category="grounding", set=name, type=kind,
            modality=MODALITY_NAMES.get(modality, modality), metric=ACCURACY,
            value=ACCURACY.value(hits.sum(0)), n=len(hits), clusters=len(set(clusters)),
            ci95=interval(ACCURACY, hits, clusters),
            majority=100 * float(np.mean([p.chance for _, _, p in found])),
            marks=(f"AUROC {np.mean([p.auroc for _, _, p in found]):.2f}",),
            keys=[f"{s.id}#{g}" for s, g, _ in found], vectors=hits, clusters_of=clusters,
        )
        row.marks = marked(row)
        return row


def _boxes(sample: Sample, group: str) -> list[tuple[float, float, float, float]]:
    """Boxes of a group, where the annotators looked for it."""
    if group not in groups_of(sample.set_name, sample.facts):
        return []
    return [box for label, box in sample.boxes if belongs(kind_of(label), group)]
