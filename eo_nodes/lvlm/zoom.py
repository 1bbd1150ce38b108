"""Zooming in: which windows of an image are seen again, at the resolution they came in.

A model resizes an image to its input size, and what is small is lost. A zoom is a window of the
same image that goes through the vision graph on its own; its tokens and proposals carry their
place in the whole image. Zooming out is the work of ``zoom_out``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.sight import Picture
from eo_nodes.lvlm.visual_prompts import VisualPrompt, extent

Window = tuple[int, int, int, int]
MOST_WINDOWS = 4
"""Windows of one image at most."""
MAX_PICTURES = 16
"""Overviews and zooms of one request."""
# What surrounds a place tells what it is: a window is at least this much longer than its place.
_SURROUNDING = 1.5


def windows(
    height: int, width: int, longest: int, places: Sequence[VisualPrompt], most: int
) -> list[Window]:
    """Windows (x, y, width, height) in pixels of an image that a model resizes to ``longest``.

    Around the places that are asked about, at native resolution where the place is not larger
    than the model's input; without a place the four quarters. None where the image is not larger
    than the input, or a place fills it.

    Args:
        places: on this image, the most important first.
        most: windows at most, 0..4.
    """
    if max(height, width) <= longest or min(height, width) < 2:
        return []
    if not places:
        rows, cols = (0, height // 2, height), (0, width // 2, width)
        quarters = [(cols[c], rows[r], cols[c + 1] - cols[c], rows[r + 1] - rows[r])
                    for r in range(2) for c in range(2)]
        return quarters[:most]
    found: list[Window] = []
    for place in places:
        x0, y0, x1, y1 = (v * s for v, s in zip(extent(place), (width, height) * 2, strict=True))
        if len(found) == most:
            break
        if any(x <= x0 and y <= y0 and x1 <= x + w and y1 <= y + h for x, y, w, h in found):
            continue
        side = max(longest, math.ceil(_SURROUNDING * max(x1 - x0, y1 - y0)))
        w, h = min(side, width), min(side, height)
        if (w, h) != (width, height):
            x, y = round((x0 + x1 - w) / 2), round((y0 + y1 - h) / 2)
            found.append((min(max(x, 0), width - w), min(max(y, 0), height - h), w, h))
    return found


def with_zooms(
    pictures: Sequence[Picture], places: Sequence[VisualPrompt], longest: int, most: int
) -> list[Picture]:
    """Pictures of a request and zooms into those that are larger than the model's input.

    Args:
        pictures: overviews. places: visual prompts of the request.
        longest: the model's input size, pixels. most: zooms into one picture, 0..4; fewer where
            the request has so many pictures that it would exceed ``MAX_PICTURES``.
    Raises:
        ModelError: ``most`` is outside its range.
    """
    if not 0 <= most <= MOST_WINDOWS:
        raise ModelError(f"{most} zooms into an image, expected 0 to {MOST_WINDOWS}")
    most = min(most, MAX_PICTURES // max(len(pictures), 1) - 1)
    out = list(pictures)
    for picture in pictures:
        height, width = picture.values.shape[:2]
        asked = [p for p in places if p.image == picture.image]
        for x, y, w, h in windows(height, width, longest, asked, most):
            window = (x / width, y / height, w / width, h / height)
            out.append(replace(picture, values=picture.values[y : y + h, x : x + w],
                               window=window, kind="zoom"))
    return out
