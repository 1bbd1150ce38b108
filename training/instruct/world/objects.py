"""Things on the ground: ships, aircraft, vehicles, tanks, buildings; their outlines and drawing."""

import functools
import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

SHIFT = 3                 # fractional bits of cv2's polygon drawing: an eighth of a pixel
# outlines in units of (half length, half width), bow or nose to the right
_SHAPES = {
    "ship": ((1, 0), (.72, .75), (.4, 1), (-.85, 1), (-1, .7), (-1, -.7), (-.85, -1), (.4, -1),
             (.72, -.75)),
    "aircraft": ((1, 0), (.9, .1), (.35, .12), (-.1, 1), (-.28, 1), (-.1, .13), (-.72, .1),
                 (-.9, .38), (-1, .38), (-.92, 0), (-1, -.38), (-.9, -.38), (-.72, -.1),
                 (-.1, -.13), (-.28, -1), (-.1, -1), (.35, -.12), (.9, -.1)),
    "box": ((1, 1), (-1, 1), (-1, -1), (1, -1)),
    "disc": tuple((math.cos(a), math.sin(a)) for a in np.arange(14) * 2 * math.pi / 14),
}
SHAPE_OF = {"ship": "ship", "aircraft": "aircraft", "tank": "disc"}
KINDS = ("ship", "aircraft", "car", "truck", "tank", "building")


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a scene.

    Args:
        kind: one of `KINDS`. material: index into MATERIALS.
        cx, cy: centre in pixels at time 0; length, width: in pixels, along and across.
        angle: heading in radians from the x axis towards y (clockwise on the screen).
        vx, vy: pixels a time step. height: of its shadow in pixels at 45 degrees of sun.
        is_hot: engine or exhaust warmer than the paint.
    """

    kind: str
    material: int
    cx: float
    cy: float
    length: float
    width: float
    angle: float
    vx: float = 0.0
    vy: float = 0.0
    height: float = 1.0
    is_hot: bool = False

    def at(self, time: float) -> "Item":
        return replace(self, cx=self.cx + self.vx * time, cy=self.cy + self.vy * time,
                       vx=0.0, vy=0.0)

    @property
    def is_moving(self) -> bool:
        return math.hypot(self.vx, self.vy) > 0

    def outline(self) -> np.ndarray:
        """(N, 2) float64 pixels, pixel centres at whole numbers plus a half. Read only."""
        return _outline(self, SHAPE_OF.get(self.kind, "box"))

    def corners(self) -> np.ndarray:
        """(4, 2) corners of the oriented box in pixels."""
        return _outline(self, "box")

    def box(self, size: int) -> tuple[float, float, float, float]:
        """Upright box, 0..1 of an image of `size` pixels, cut off at its border."""
        x1, y1, x2, y2 = (min(1.0, max(0.0, v / size)) for v in _limits(self))
        return x1, y1, x2, y2

    def inside(self, size: int) -> float:
        """Share of its upright box within the image."""
        x1, y1, x2, y2 = _limits(self)
        w = min(x2, size) - max(x1, 0)
        h = min(y2, size) - max(y1, 0)
        return max(0.0, w) * max(0.0, h) / ((x2 - x1) * (y2 - y1))


@functools.lru_cache(maxsize=4096)
def _outline(item: Item, shape: str) -> np.ndarray:
    c, s = math.cos(item.angle), math.sin(item.angle)
    xy = np.array(_SHAPES[shape]) * (item.length / 2, item.width / 2)
    return xy @ np.array([[c, s], [-s, c]]) + (item.cx, item.cy)


@functools.lru_cache(maxsize=4096)
def _limits(item: Item) -> tuple[float, float, float, float]:
    xy = item.outline()
    (x1, y1), (x2, y2) = xy.min(0).tolist(), xy.max(0).tolist()
    return x1, y1, x2, y2


def paint(image: np.ndarray, item: Item, value, offset: tuple[float, float] = (0, 0)) -> None:
    """Fill an item's outline in `image`, moved by `offset` pixels."""
    xy = (item.outline() + offset - 0.5) * (1 << SHIFT)
    cv2.fillPoly(image, [np.round(xy).astype(np.int32)], value, shift=SHIFT)


def fits(taken: np.ndarray, item: Item, margin: float = 2.0) -> bool:
    """Whether an item grown by `margin` pixels lies within the image and on free pixels (0)."""
    grown = replace(item, length=item.length + 2 * margin, width=item.width + 2 * margin)
    xy = grown.corners()
    if xy.min() < 0 or xy.max() > taken.shape[0]:
        return False
    x1, y1 = np.floor(xy.min(0)).astype(int)
    x2, y2 = np.ceil(xy.max(0)).astype(int) + 1
    part = np.zeros((min(y2, taken.shape[0]) - y1, min(x2, taken.shape[1]) - x1), np.uint8)
    cv2.fillPoly(part, [np.round(xy - (x1, y1)).astype(np.int32)], 1)
    return not (taken[y1:y2, x1:x2] * part).any()


def take(taken: np.ndarray, item: Item) -> None:
    """Mark an item's oriented box as used."""
    cv2.fillPoly(taken, [np.round(item.corners()).astype(np.int32)], 1)
