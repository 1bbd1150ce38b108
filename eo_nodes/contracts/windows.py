"""Windows of pictures: x, y, width, height in pixels, and what surrounds them."""

from __future__ import annotations

from collections.abc import Sequence

Window = tuple[int, int, int, int]
# Zooming in looks at quarters, half as long as the whole; zooming out at twice the length.
_LONGER = 2
_LEAST_PX = 64
"""Sides of what is seen at least: around a few pixels twice their length is still nothing."""


def surroundings(window: Sequence[int], width: int, height: int) -> Window:
    """The window that is seen when zoomed out from a window: around it, and inside the picture.

    A square with twice the longer side of the window, and at least 64 pixels, its middle where the
    window's is. At an edge of the picture it is moved inwards, not cut; where the picture is
    shorter than it, it is as long as the picture.

    Args:
        window: x, y, width, height in pixels; inside the picture.
        width, height: of the picture, pixels.
    Returns:
        x, y, width, height in pixels; it holds the window.
    """
    x, y, w, h = window
    side = max(_LONGER * max(w, h), _LEAST_PX)
    left, across = _centred(x, w, side, width)
    top, down = _centred(y, h, side, height)
    return left, top, across, down


def _centred(start: int, length: int, side: int, whole: int) -> tuple[int, int]:
    """Start and length of a run of ``side`` pixels about another, inside ``whole`` pixels."""
    long = min(side, whole)
    return min(max(start + (length - long) // 2, 0), whole - long), long
