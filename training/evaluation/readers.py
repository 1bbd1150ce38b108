"""From an answer's text to what a metric takes; an answer that does not fit is simply wrong."""

from __future__ import annotations

import re

import numpy as np

from eo_nodes.lvlm.slis.geometry import (
    bounds,
    box_xyxy,
    fill,
    mask_cells,
    oriented_corners,
    polygon_xy,
    resize_mask,
)
from eo_nodes.lvlm.slis.text import parse
from eo_nodes.lvlm.slis.values import Box, Mask, OrientedBox, Polygon, SlisSyntaxError, Value

_WORDS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty",
]
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
# Upper bounds of the publishers' ranges: of counts at low resolution, of areas at high (m2).
COUNT_RANGES = (0, 10, 100, 1000)
AREA_RANGES = (0, 10, 100, 1000)


def plain(text: str) -> str:
    """Lower case, no full stop, single spaces."""
    return " ".join(text.lower().strip().rstrip(".").split())


def yes_no(text: str) -> str:
    """``yes``, ``no``, or an empty string."""
    word = re.match(r"\s*(yes|no)\b", text.lower())
    return word[1] if word else ""


def number(text: str) -> float:
    """First number of the text, in digits or as a word up to twenty; none counts as 0."""
    if found := _NUMBER.search(text.replace(",", "")):
        return float(found[0])
    return float(next((_WORDS.index(w) for w in plain(text).split() if w in _WORDS), 0))


def range_of(value: float, bounds_above: tuple[int, ...]) -> int:
    """Index of the range: 0 is nothing, then up to and with each bound, then more."""
    return sum(value > bound for bound in bounds_above)


def said_range(text: str, bounds_above: tuple[int, ...]) -> int | None:
    """Range that an answer names: a number, ``between 11 and 100``, or ``more than 1000``."""
    found = [float(n) for n in _NUMBER.findall(text.replace("m2", "").replace(",", ""))]
    if not found:
        return 0 if plain(text) in ("zero", "none", "no") else None
    if "more than" in text.lower():
        return range_of(found[0] + 1, bounds_above)
    return range_of(found[-1], bounds_above)


def values_of(text: str) -> list[Value]:
    """Spatial values of an answer; of a malformed one none."""
    try:
        return [part for part in parse(text) if not isinstance(part, str)]
    except SlisSyntaxError:
        return []


def boxes_of(text: str, size: tuple[int, int]) -> list[tuple[float, float, float, float]]:
    """Upright boxes (x1, y1, x2, y2) in pixels of an image of ``size`` (height, width)."""
    height, width = size
    found = []
    for value in values_of(text):
        if isinstance(value, Box):
            edges = box_xyxy(value)
        elif isinstance(value, OrientedBox):
            edges = bounds(oriented_corners(value, (width, height)))
        elif isinstance(value, Polygon):
            edges = bounds(polygon_xy(value))
        else:
            continue
        found.append((edges[0] * width, edges[1] * height, edges[2] * width, edges[3] * height))
    return found


def mask_of(text: str, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: all areas of an answer together."""
    covered = np.zeros(size, bool)
    for value in values_of(text):
        if isinstance(value, Mask):
            covered |= resize_mask(mask_cells(value), *size)
        elif isinstance(value, Polygon):
            covered |= fill(polygon_xy(value), *size)
        elif isinstance(value, Box):
            x0, y0, x1, y1 = box_xyxy(value)
            covered |= fill([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], *size)
    return covered
