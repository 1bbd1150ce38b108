"""Zooming out: a part of a picture is asked about, and seen with what surrounds it.

The part becomes a box among the visual prompts of what is seen; places that were given on the whole
picture are brought there. On board the ledger does the same with a task (``tasking.matching``); how
much surrounds a part is told in one place, ``contracts.windows``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from eo_nodes.contracts.errors import ModelError
from eo_nodes.contracts.windows import Window, surroundings
from eo_nodes.lvlm import slis
from eo_nodes.lvlm.infer import ImageInput, frames_of, sizes_of
from eo_nodes.lvlm.places import places_of
from eo_nodes.lvlm.question import cut_to
from eo_nodes.lvlm.visual_prompts import (
    VisualPrompt,
    VisualPromptError,
    drawn,
    from_pixels,
    rasterise,
)

_MOST_CELLS = slis.BINS - 1  # a side of a drawn mask
_LEAST_WEIGHT = 1e-6  # of a cell that a mask covers; less is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What is seen of a request.

    Attributes:
        images: as a model takes them.
        places: on these images; what is asked about first.
        corners: x, y of each frame's first pixel in the picture that it was cut from; none where
            all are whole.
        window: x, y, width, height seen of the first picture, pixels of it; empty where all are
            seen as they were given.
    """

    images: tuple[ImageInput, ...]
    places: tuple[VisualPrompt, ...]
    corners: tuple[tuple[int, int], ...] = ()
    window: Window | tuple[()] = ()

    def spatial(self, text: str) -> list[dict[str, Any]]:
        """Spatial values of an answer, in pixels of the pictures as they were given.

        Raises:
            ModelError, SlisSyntaxError: see ``places.places_of``.
        """
        return places_of(text, sizes_of(self.images), self.corners)

    def told(self) -> dict[str, Any]:
        """What a record of the answer says beside it: the window seen, where it is not all."""
        return {"window": list(self.window)} if self.window else {}


def as_they_are(images: Sequence[ImageInput], places: Sequence[VisualPrompt]) -> Sight:
    """See the images whole."""
    return Sight(tuple(images), tuple(places))


def zoomed_out(
    images: Sequence[ImageInput], window: Sequence[int], places: Sequence[VisualPrompt] = ()
) -> Sight:
    """See a window with its surroundings: see ``contracts.windows.surroundings``.

    Args:
        images: whole, of one place. Those of another size than the first are cut to the same share.
        window: x, y, width, height in pixels of the first image: what is asked about.
        places: further visual prompts, on the images as they are given.
    Raises:
        ModelError: no image, one of another rank, or a window that does not lie inside the first.
        VisualPromptError: a place outside of what is seen.
    """
    frames = frames_of(images)
    if not frames:
        raise ModelError("zooming out: there is no image")
    height, width = frames[0].values.shape[1:3]
    asked = _checked(window, width, height)
    seen = surroundings(asked, width, height)
    if seen == asked:
        return as_they_are(images, places)
    x, y, w, h = asked
    left, top, across, down = seen
    edges = (x - left, y - top, x - left + w, y - top + h)
    box = from_pixels("box", edges, across, down)
    moved = [_moved(place, number, seen, width, height) for number, place in enumerate(places, 1)]
    parts = [_share(seen, width, height, *image.values.shape[1:3]) for image in images]
    cut = [replace(image, values=image.values[:, y : y + h, x : x + w])
           for image, (x, y, w, h) in zip(images, parts, strict=True)]
    corners = [part[:2] for image, part in zip(images, parts, strict=True) for _ in image.values]
    return Sight(tuple(cut), (box, *moved), tuple(corners), seen)


def _checked(window: Sequence[int], width: int, height: int) -> Window:
    """The window, when it is one of the picture."""
    if len(window) == 4:
        x, y, w, h = window
        if min(x, y) >= 0 and min(w, h) >= 1 and x + w <= width and y + h <= height:
            return x, y, w, h
    raise ModelError(f"zooming out: {tuple(window)} is no window x, y, width, height inside the "
                     f"image of {width} x {height} pixels")


def _share(seen: Window, width: int, height: int, rows: int, cols: int) -> Window:
    """What is seen of a picture of ``width`` x ``height`` pixels in one of ``cols`` x ``rows``."""
    if (rows, cols) == (height, width):
        return seen
    x, y, w, h = seen
    left, right = x * cols // width, math.ceil((x + w) * cols / width)
    top, bottom = y * rows // height, math.ceil((y + h) * rows / height)
    return left, top, right - left, bottom - top


def _moved(
    place: VisualPrompt, number: int, seen: Window, width: int, height: int
) -> VisualPrompt:
    """A place on the whole picture as one on the part that is seen."""
    if place.mask is not None:
        x, y, w, h = seen
        part = (x / width, y / height, w / width, h / height)
        cells = rasterise(place, part, min(h, _MOST_CELLS), min(w, _MOST_CELLS)) > _LEAST_WEIGHT
        if not cells.any():
            raise VisualPromptError("mask", f"place {number} lies outside the window {seen}")
        return drawn(cells, place.image, place.label)
    kind = "polygon" if place.kind == "mask" else place.kind
    # Rounded: what was given as a pixel's edge is one again.
    xy = [round(v * (height if i % 2 else width), 6) for i, v in enumerate(place.xy)]
    return replace(cut_to(seen, (kind, xy, place.label), number), image=place.image)
