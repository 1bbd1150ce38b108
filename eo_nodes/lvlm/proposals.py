"""Regions that the vision graph proposes: which to keep, and in which order they are read.

Peaks of the heat map of every view of an image are brought into the scene's coordinates; of two
that name the same thing the better one stays. A zoom sees its part of the scene better than the
overview, so inside a zoom the overview's peaks give way. What stays is sorted as a reader would:
top to bottom, then left to right. The decoder writes lists of boxes in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
MOST = 24
LEAST_SCORE, COUNTED_SCORE = 0.15, 0.3
SAME_IOU = 0.6
_EDGE = 0.02  # of a zoom's side: what touches its edge is cut off there


@dataclass(frozen=True, slots=True)
class Proposals:
    """n regions.

    Attributes:
        score: (n,) in [0, 1]. boxes: (n, 4) x1 y1 x2 y2 in [0, 1]. kinds: (n, K) chances.
        look: (n, depth) of the pixel map at the centre.
        offered: what these were kept from; None where they were not chosen.
    """

    score: Float
    boxes: Float
    kinds: Float
    look: Float
    offered: Proposals | None = None

    def take(self, order: Sequence[int]) -> Proposals:
        """Those of these indexes, in this order."""
        index = np.asarray(order, np.int64)
        return Proposals(self.score[index], self.boxes[index], self.kinds[index], self.look[index])

    def best(self, most: int) -> Proposals:
        """The ``most`` of highest score, their order kept."""
        if len(self.score) <= most:
            return self
        return self.take(sorted(np.argsort(-self.score, kind="stable")[:most].tolist()))

    def counts(self) -> Float:
        """(K,) logarithm of one plus how many there are of each kind."""
        sure = self.score > COUNTED_SCORE
        best = self.kinds.argmax(1) if len(self.score) else np.zeros(0, np.int64)
        found = [(sure & (best == k)).sum() for k in range(self.kinds.shape[1])]
        return np.log1p(np.array(found, np.float32))


def iou(one: Float, others: Float) -> Float:
    """(n,) intersection over union of a box (4,) with others (n, 4)."""
    low = np.maximum(one[:2], others[:, :2])
    high = np.minimum(one[2:], others[:, 2:])
    both = np.clip(high - low, 0, None).prod(1)
    area = (one[2:] - one[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - both
    return np.asarray(both / np.maximum(area, 1e-9), np.float32)


def keep(proposals: Proposals, most: int = MOST, least: float = LEAST_SCORE) -> Proposals:
    """The best, no doubles, in reading order; ``offered`` are all. least: score to be kept."""
    chosen: list[int] = []
    for i in np.argsort(-proposals.score, kind="stable"):
        if proposals.score[i] < least or len(chosen) == most:
            break
        if not chosen or iou(proposals.boxes[i], proposals.boxes[chosen]).max() < SAME_IOU:
            chosen.append(int(i))
    boxes = proposals.boxes
    chosen.sort(key=lambda i: (float(boxes[i, 1]), float(boxes[i, 0])))
    return replace(proposals.take(chosen), offered=proposals)


def merge(
    parts: Sequence[tuple[Proposals, tuple[float, float, float, float]]]
) -> Proposals:
    """Proposals of the views of one image, the overview first, as one set in scene coordinates.

    Args:
        parts: (proposals in the view's own coordinates, window x0, y0, w, h in the scene).
    """
    scenes: list[Proposals] = []
    for found, window in parts:
        x0, y0, w, h = window
        is_whole = w >= 1 and h >= 1
        if not is_whole:
            found = found.take(np.flatnonzero(~_is_cut(found.boxes, window)).tolist())
            cx, cy = _centres(scenes[0].boxes)
            inside = (cx >= x0) & (cx < x0 + w) & (cy >= y0) & (cy < y0 + h)
            # What the zoom's edge cuts off stays the overview's.
            near = _is_cut((scenes[0].boxes - [x0, y0, x0, y0]) / [w, h, w, h], window)
            scenes[0] = scenes[0].take(np.flatnonzero(~inside | near).tolist())
        scale, shift = np.array([w, h, w, h], np.float32), np.array([x0, y0, x0, y0], np.float32)
        boxes = np.clip(found.boxes * scale + shift, 0, 1)
        scenes.append(Proposals(found.score, boxes, found.kinds, found.look))
    score, boxes, kinds, look = (np.concatenate([getattr(s, f) for s in scenes])
                                 for f in ("score", "boxes", "kinds", "look"))
    return Proposals(score, boxes, kinds, look)


def _centres(boxes: Float) -> tuple[Float, Float]:
    centres = np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2, np.float32)
    return centres[:, 0], centres[:, 1]


def _is_cut(boxes: NDArray[np.floating], window: Sequence[float]) -> NDArray[np.bool_]:
    """Whether boxes (n, 4) of a zoom touch an edge of it that is no edge of the scene."""
    x0, y0, w, h = window
    return np.asarray(
        ((boxes[:, 0] < _EDGE) & (x0 > 0)) | ((boxes[:, 1] < _EDGE) & (y0 > 0))
        | ((boxes[:, 2] > 1 - _EDGE) & (x0 + w < 1 - 1e-6))
        | ((boxes[:, 3] > 1 - _EDGE) & (y0 + h < 1 - 1e-6)))
