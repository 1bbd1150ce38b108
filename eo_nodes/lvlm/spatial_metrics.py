"""Scores of spatial output: boxes, oriented boxes, masks, points.

Coordinates are continuous and half-open: a box x0, y0, x1, y1 has the area (x1 - x0)(y1 - y0), in
pixels and in normalised units alike. There is no "+1" anywhere: that term belongs to boxes of
inclusive pixel indices, and on normalised coordinates it lifts every overlap towards 1. Whoever
holds inclusive indices adds 1 to x1 and y1 first. Non-purpose: choosing samples, intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eo_nodes.contracts.errors import EoError
from eo_nodes.lvlm.slis import clip_convex

Float = NDArray[np.float64]


class MetricError(EoError):
    """Arrays that cannot be scored: wrong shape, not finite, corners out of order."""


def _boxes(values: ArrayLike) -> Float:
    boxes = np.asarray(values, np.float64)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise MetricError(f"boxes of shape {boxes.shape}, expected (N, 4)")
    if not np.isfinite(boxes).all() or (boxes[:, 2:] < boxes[:, :2]).any():
        raise MetricError("a box is not finite or has its corners out of order")
    return boxes


def _ratio(common: Float, whole: Float) -> Float:
    return np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)


def box_iou(a: ArrayLike, b: ArrayLike) -> Float:
    """Intersection over union of upright boxes.

    Args:
        a, b: (N, 4) and (M, 4) x0, y0, x1, y1, half-open, any one unit.
    Returns:
        (N, M) float64 in [0, 1]; 0 where both boxes are empty.
    Raises:
        MetricError: wrong shape, not finite, or x1 < x0 or y1 < y0.
    """
    first, second = _boxes(a), _boxes(b)
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.asarray(np.maximum(high - low, 0.0).prod(axis=2), np.float64)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return _ratio(common, areas[0][:, None] + areas[1][None] - common)


# -- oriented boxes ------------------------------------------------------------------------------


def polygon_area(xy: ArrayLike) -> float:
    """Area of a simple polygon of (N, 2) vertices, whichever way round (shoelace formula)."""
    x, y = np.asarray(xy, np.float64).reshape(-1, 2).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _counter_clockwise(corners: Float) -> Float:
    x, y = corners.T
    turned = np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)) < 0
    return corners[::-1] if turned else corners


def _quads(values: ArrayLike) -> Float:
    quads = np.asarray(values, np.float64)
    if quads.size == 0:
        return np.zeros((0, 4, 2))
    if quads.ndim != 3 or quads.shape[1:] != (4, 2):
        raise MetricError(f"corners of shape {quads.shape}, expected (N, 4, 2)")
    if not np.isfinite(quads).all():
        raise MetricError("a corner is not finite")
    return quads


def oriented_iou(a: ArrayLike, b: ArrayLike) -> Float:
    """Intersection over union of oriented boxes.

    Args:
        a, b: (N, 4, 2) and (M, 4, 2) corners in order around each box, convex. In pixels or any
            unit that is the same along x and y; an affine change of unit leaves the ratio as it is.
    Returns:
        (N, M) float64 in [0, 1].
    Raises:
        MetricError: wrong shape or not finite.
    """
    first, second = _quads(a), _quads(b)
    ious = np.zeros((len(first), len(second)))
    low, high = (f(axis=1) for f in (first.min, first.max))
    other_low, other_high = (f(axis=1) for f in (second.min, second.max))
    meets = ((low[:, None] < other_high[None]) & (other_low[None] < high[:, None])).all(axis=2)
    for i, j in np.argwhere(meets):
        common = polygon_area(
            clip_convex(_counter_clockwise(first[i]), _counter_clockwise(second[j]))
        )
        whole = polygon_area(first[i]) + polygon_area(second[j]) - common
        ious[i, j] = min(common / whole, 1.0) if whole > 0 else 0.0
    return ious


# -- detection -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Detections:
    """Counts of one image or, added up, of a set.

    Attributes:
        hits: predictions matched with a truth. extra: those matched with none.
        missed: truths matched with none.
    """

    hits: int = 0
    extra: int = 0
    missed: int = 0

    def __add__(self, other: Detections) -> Detections:
        return Detections(
            self.hits + other.hits, self.extra + other.extra, self.missed + other.missed
        )

    @property
    def precision(self) -> float:
        """hits / predictions; without a prediction 1 if nothing was to be found, else 0."""
        said = self.hits + self.extra
        return self.hits / said if said else float(self.missed == 0)

    @property
    def recall(self) -> float:
        """hits / truths; 1 where nothing was to be found."""
        there = self.hits + self.missed
        return self.hits / there if there else 1.0

    @property
    def f1(self) -> float:
        """2 hits / (predictions + truths); 1 where both are none."""
        total = 2 * self.hits + self.extra + self.missed
        return 2 * self.hits / total if total else 1.0


def match(
    ious: ArrayLike, threshold: float, scores: ArrayLike | None = None,
    same_class: ArrayLike | None = None,
) -> list[tuple[int, int]]:
    """Match predictions with truths greedily, each at most once.

    Args:
        ious: (N, M) of N predictions and M truths.
        threshold: least overlap of a match, in (0, 1].
        scores: (N,) confidence; predictions choose in falling order, equal ones in the order
            given. Without scores the pair with the largest overlap goes first.
        same_class: (N, M) bool, which pairs may match at all.
    Returns:
        (prediction, truth) pairs in the order in which they were made.
    Raises:
        MetricError: threshold out of range, or shapes that do not fit.
    """
    table = np.array(ious, np.float64)
    if table.ndim != 2 or not 0 < threshold <= 1:
        raise MetricError(f"overlaps of shape {table.shape} at threshold {threshold}")
    if same_class is not None:
        table = np.where(np.asarray(same_class, bool).reshape(table.shape), table, 0.0)
    if scores is None:
        return _best_pairs_first(table, threshold)
    confidence = np.asarray(scores, np.float64)
    if confidence.shape != table.shape[:1] or np.isnan(confidence).any():
        raise MetricError(f"scores of shape {confidence.shape} for {len(table)} predictions")
    pairs = []
    for i in np.argsort(-confidence, kind="stable"):
        if not table.shape[1]:
            break
        j = int(np.argmax(table[i]))
        if table[i, j] >= threshold:
            pairs.append((int(i), j))
            table[:, j] = 0.0
    return pairs


def _best_pairs_first(table: Float, threshold: float) -> list[tuple[int, int]]:
    pairs = []
    while table.size:
        i, j = divmod(int(np.argmax(table)), table.shape[1])
        if table[i, j] < threshold:
            break
        pairs.append((i, j))
        table[i], table[:, j] = 0.0, 0.0
    return pairs


def detections(
    ious: ArrayLike, threshold: float, scores: ArrayLike | None = None,
    same_class: ArrayLike | None = None,
) -> Detections:
    """Counts after ``match``; arguments and errors are the same."""
    n, m = np.asarray(ious).shape
    hits = len(match(ious, threshold, scores, same_class))
    return Detections(hits, n - hits, m - hits)


# -- grounding -----------------------------------------------------------------------------------


def grounding_ious(
    predicted: Sequence[Sequence[float] | None], truth: Sequence[Sequence[float]]
) -> Float:
    """(N,) overlap of the box said for each phrase with its true box; 0 where none was said.

    Raises:
        MetricError: different lengths, or bad boxes as in ``box_iou``.
    """
    if len(predicted) != len(truth):
        raise MetricError(f"{len(predicted)} predictions for {len(truth)} phrases")
    pairs = zip(predicted, truth, strict=True)
    return np.array([0.0 if p is None else box_iou([p], [t])[0, 0] for p, t in pairs], np.float64)


def precision_at(ious: ArrayLike, threshold: float = 0.5) -> float:
    """Share of phrases whose overlap reaches the threshold, P@0.5 by default; NaN for none."""
    values = np.asarray(ious, np.float64)
    return float((values >= threshold).mean()) if values.size else float("nan")


def point_in_box(points: ArrayLike, boxes: ArrayLike) -> float:
    """Share of (N, 2) points that lie in their own (N, 4) box: x0 <= x < x1; NaN for none.

    Raises:
        MetricError: shapes that do not fit, or bad boxes.
    """
    xy, rows = np.asarray(points, np.float64).reshape(-1, 2), _boxes(boxes)
    if len(xy) != len(rows):
        raise MetricError(f"{len(xy)} points for {len(rows)} boxes")
    inside = ((xy >= rows[:, :2]) & (xy < rows[:, 2:])).all(axis=1)
    return float(inside.mean()) if len(xy) else float("nan")


# -- masks ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MaskOverlap:
    """Cells of one mask pair or, added up, of a set (then ``iou`` is the cumulative IoU)."""

    common: int = 0
    whole: int = 0

    def __add__(self, other: MaskOverlap) -> MaskOverlap:
        return MaskOverlap(self.common + other.common, self.whole + other.whole)

    @property
    def iou(self) -> float:
        """Intersection over union; 1 where both masks are empty."""
        return self.common / self.whole if self.whole else 1.0


def mask_overlap(
    predicted: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None
) -> MaskOverlap:
    """Overlap of two masks of equal shape, non-zero is set, over the cells of ``valid``.

    Raises:
        MetricError: shapes differ.
    """
    a, b = np.asarray(predicted) != 0, np.asarray(truth) != 0
    if a.shape != b.shape:
        raise MetricError(f"masks of shapes {a.shape} and {b.shape}")
    if valid is not None:
        seen = np.asarray(valid) != 0
        if seen.shape != a.shape:
            raise MetricError(f"masks of shape {a.shape}, valid cells of shape {seen.shape}")
        a, b = a & seen, b & seen
    return MaskOverlap(int((a & b).sum()), int((a | b).sum()))


def mask_iou(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    return mask_overlap(predicted, truth).iou


def confusion(predicted: ArrayLike, truth: ArrayLike, classes: int) -> NDArray[np.int64]:
    """(K, K) counts, truth along rows; cells whose truth is outside 0..K-1 are not scored.

    Raises:
        MetricError: shapes differ, or a prediction on a scored cell is outside 0..K-1.
    """
    said, there = np.asarray(predicted, np.int64).ravel(), np.asarray(truth, np.int64).ravel()
    if said.shape != there.shape:
        raise MetricError(f"{said.size} predicted cells for {there.size}")
    scored = (there >= 0) & (there < classes)
    said, there = said[scored], there[scored]
    if ((said < 0) | (said >= classes)).any():
        raise MetricError(f"a predicted class is outside 0..{classes - 1}")
    counts = np.bincount(there * classes + said, minlength=classes * classes)
    return np.asarray(counts.reshape(classes, classes), np.int64)


def class_ious(table: ArrayLike) -> Float:
    """(K,) IoU of each class of a confusion table; NaN for a class neither there nor said."""
    counts = np.asarray(table, np.float64)
    hits = np.diag(counts)
    whole = counts.sum(axis=0) + counts.sum(axis=1) - hits
    ious = np.full(len(hits), np.nan)
    np.divide(hits, whole, out=ious, where=whole > 0)
    return ious


def mean_iou(table: ArrayLike) -> float:
    """mIoU: mean of ``class_ious`` over the classes that are there or said; NaN for none."""
    ious = class_ious(table)
    known = ious[~np.isnan(ious)]
    return float(known.mean()) if known.size else float("nan")

