"""Regions that a prompt points at: boxes, polygons and free-form masks, with what lies in them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from training.instruct import spatial
from training.instruct.views import Thing

GRID = 12              # cells of a free-form mask in a prompt


@dataclass(frozen=True, slots=True)
class Region:
    """text: SLIS term; outline: (N, 2) float32 corners, 0..1."""

    text: str
    outline: np.ndarray

    def contains(self, x: float, y: float) -> bool:
        return cv2.pointPolygonTest(self.outline, (float(x), float(y)), False) >= 0

    def is_clear(self, things: Iterable[Thing]) -> bool:
        """Whether the outline cuts no object through: each is nearly all in or nearly all out."""
        for t in things:
            x1, y1, x2, y2 = t.box
            corners = sum(self.contains(x, y) for x in (x1, x2) for y in (y1, y2))
            if not (corners >= 3 if self.contains(*t.centre) else corners <= 1):
                return False
        return True


def _rectangle(x1, y1, x2, y2) -> np.ndarray:
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)


def _blob(cx, cy, rx, ry, corners: int) -> np.ndarray:
    a = np.arange(corners) * 2 * math.pi / corners
    return np.stack([cx + rx * np.cos(a), cy + ry * np.sin(a)], 1).clip(0, 1).astype(np.float32)


def grid_of(outline: np.ndarray) -> np.ndarray:
    """Coarse mask (GRID, GRID) of an outline."""
    fine = np.zeros((GRID * 8, GRID * 8), np.uint8)
    cv2.fillPoly(fine, [np.round(outline * GRID * 8).astype(np.int32)], 1)
    return spatial.coarse(fine, GRID)


def region_of(outline: np.ndarray, kind: str, image: int = 0) -> Region:
    """kind: "box" (around the outline), "poly" or "mask"."""
    if kind == "box":
        (x1, y1), (x2, y2) = outline.min(0), outline.max(0)
        return Region(spatial.box((x1, y1, x2, y2), image), _rectangle(x1, y1, x2, y2))
    if kind == "poly":
        return Region(spatial.polygon(outline, image), outline)
    return Region(spatial.mask(grid_of(outline), image), outline)


def random_region(rng, image: int = 0, least: float = 0.25, most: float = 0.7) -> Region:
    """A region of random place, size and kind (mostly a box)."""
    w, h = rng.uniform(least, most), rng.uniform(least, most)
    x, y = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
    kind = rng.choices(("box", "poly", "mask"), (7, 2, 1))[0]
    if kind == "box":
        return region_of(_rectangle(x, y, x + w, y + h), "box", image)
    return region_of(_blob(x + w / 2, y + h / 2, w / 2, h / 2, rng.randint(5, 8)), kind, image)


def around(box, rng, image: int = 0) -> str:
    """A visual prompt on one object: its box, a point near its middle, or a free-form mask."""
    x1, y1, x2, y2 = box
    kind = rng.choices(("box", "point", "mask"), (5, 4, 1))[0]
    if kind == "box":
        return spatial.box(box, image)
    cx, cy, w, h = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    if kind == "point":
        return spatial.point(cx + rng.uniform(-0.1, 0.1) * w, cy + rng.uniform(-0.1, 0.1) * h,
                             image)
    return region_of(_blob(cx, cy, w / 2, h / 2, 8), "mask", image).text


def place_name(x: float, y: float) -> str:
    """Compass name of a place in the image, top being north: "north west", "centre"."""
    row = "north" if y < 1 / 3 else "south" if y > 2 / 3 else ""
    col = "west" if x < 1 / 3 else "east" if x > 2 / 3 else ""
    return " ".join(w for w in (row, col) if w) or "centre"
