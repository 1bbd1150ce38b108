"""What a prompt points at: point, box or free-form mask, several in one request.

A visual prompt reaches the model twice: as a token pooled from the pixel map under its mask
(``rasterise``), and as text of the spatial language inside the prompt (``as_text``), so that a
question can name it. Coordinates are scene-normalised: 0..1 over the whole image that it refers
to. ``from_pixels`` takes what a ``VisualPrompt`` message holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from eo_nodes.contracts.errors import EoError
from eo_nodes.lvlm import slis

Float = NDArray[np.float32]
KINDS = ("point", "box", "mask")
MAX_PROMPTS = 16
"""Visual prompts of one request; each costs a region token and its text."""
MAX_LABEL = 64
TEXT_VERTICES = 12
"""An outline is simplified to this many vertices in the text: 27 tokens at most."""
# Marker, image, two numbers a vertex, end.
_TEXT_TOKENS = 3 + 2 * TEXT_VERTICES
_MAX_GRID = 2048
_WHOLE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
# A point is looked at through a Gaussian of one cell, cut off at three.
_POINT_REACH = 3.0


class VisualPromptError(EoError):
    """A visual prompt that cannot be meant.

    Attributes:
        field: ``kind``, ``xy``, ``mask``, ``image``, ``label``, ``count`` or ``view``.
        reason: what is wrong, readable by the asker.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"visual prompt, {field}: {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VisualPrompt:
    """One place that the asker points at.

    Attributes:
        kind: ``point``, ``box`` or ``mask``.
        xy: scene-normalised, 0..1: point x y; box x0 y0 x1 y1 with x0 < x1, y0 < y1; mask the
            outline x y x y ... of 3 to 256 vertices, or nothing where ``mask`` is given.
        mask: cells over the whole image, at least one set; only of kind ``mask``.
        image: index of the image of the request, 0..7.
        label: optional name used in the prompt text, at most 64 characters.
    Raises:
        VisualPromptError: a field breaks these limits.
    """

    kind: str
    xy: tuple[float, ...] = ()
    mask: slis.Mask | None = None
    image: int = 0
    label: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise VisualPromptError("kind", f"{self.kind!r:.40} is none of {', '.join(KINDS)}")
        if not 0 <= self.image < slis.MAX_IMAGES:
            raise VisualPromptError("image", f"{self.image} is outside 0..{slis.MAX_IMAGES - 1}")
        if len(self.label) > MAX_LABEL:
            raise VisualPromptError("label", f"has {len(self.label)} characters, of {MAX_LABEL}")
        if self.mask is not None:
            self._check_mask(self.mask)
        else:
            _check_xy(self.kind, self.xy)

    def _check_mask(self, mask: slis.Mask) -> None:
        if self.kind != "mask" or self.xy:
            raise VisualPromptError("mask", "stands beside coordinates or in another kind")
        if len(mask.runs) < 2:
            raise VisualPromptError("mask", "no cell is set")


def _check_xy(kind: str, xy: tuple[float, ...]) -> None:
    n = len(xy)
    fits = n % 2 == 0 and 6 <= n <= 2 * slis.MAX_VERTICES if kind == "mask" else (
        n == {"point": 2, "box": 4}[kind])
    if not fits:
        raise VisualPromptError("xy", f"{n} numbers are no {kind}")
    # NaN fails the comparison as well.
    if not all(0.0 <= x <= 1.0 for x in xy):
        raise VisualPromptError("xy", "a coordinate lies outside the image or is not finite")
    if kind == "box" and not (xy[0] < xy[2] and xy[1] < xy[3]):
        raise VisualPromptError("xy", f"box {xy} is empty or has its corners out of order")


def point(x: float, y: float, image: int = 0, label: str = "") -> VisualPrompt:
    """Point at scene-normalised x, y."""
    return VisualPrompt("point", (float(x), float(y)), None, image, label)


def box(
    x0: float, y0: float, x1: float, y1: float, image: int = 0, label: str = ""
) -> VisualPrompt:
    """Box with scene-normalised half-open edges."""
    return VisualPrompt("box", (float(x0), float(y0), float(x1), float(y1)), None, image, label)


def outline(xy: ArrayLike, image: int = 0, label: str = "") -> VisualPrompt:
    """Free-form mask inside an outline of (N, 2) or flat scene-normalised vertices."""
    flat = np.asarray(xy, np.float64).reshape(-1).tolist()
    return VisualPrompt("mask", tuple(flat), None, image, label)


def drawn(cells: ArrayLike, image: int = 0, label: str = "") -> VisualPrompt:
    """Free-form mask of (rows, cols) cells over the whole image, non-zero is set.

    A side longer than 511 is resampled to 511.
    Raises:
        VisualPromptError: not two-dimensional, or no cell is set.
    """
    grid = np.asarray(cells) != 0
    if grid.ndim != 2 or not grid.any():
        raise VisualPromptError("mask", f"shape {grid.shape}, no cell set or no two dimensions")
    largest = slis.BINS - 1
    if max(grid.shape) > largest:
        rows, cols = (min(side, largest) for side in grid.shape)
        # Any part of a cell counts, so that a thin stroke stays.
        whole = np.asarray(cv2.resize(grid.astype(np.float32), (cols, rows),
                                      interpolation=cv2.INTER_AREA))
        grid = whole > 0
    return VisualPrompt("mask", (), slis.mask_from(grid, image), image, label)


def from_pixels(
    kind: str, xy: Sequence[float], width: int, height: int, image: int = 0, label: str = ""
) -> VisualPrompt:
    """Visual prompt of a message: pixels of a scene instead of 0..1.

    Args:
        kind: ``point``, ``box`` or ``polygon``.
        xy: continuous pixel coordinates; pixel i covers [i, i + 1).
        width, height: of the scene, px, > 0.
    Raises:
        VisualPromptError: outside the scene, or not what the kind needs.
    """
    if kind not in ("point", "box", "polygon"):
        raise VisualPromptError("kind", f"{kind!r:.40} is none of point, box, polygon")
    if width <= 0 or height <= 0:
        raise VisualPromptError("xy", f"scene of {width} x {height} pixels")
    scaled = tuple(float(v) / (height if i % 2 else width) for i, v in enumerate(xy))
    return VisualPrompt("mask" if kind == "polygon" else kind, scaled, None, image, label)


def extent(prompt: VisualPrompt) -> tuple[float, float, float, float]:
    """Scene-normalised x0, y0, x1, y1 around a prompt; empty for a point."""
    if prompt.mask is None:
        return slis.bounds(prompt.xy)
    cells = slis.mask_cells(prompt.mask)
    rows, cols = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
    return (float(cols[0] / cells.shape[1]), float(rows[0] / cells.shape[0]),
            float((cols[-1] + 1) / cells.shape[1]), float((rows[-1] + 1) / cells.shape[0]))


# -- pixels ------------------------------------------------------------------------------------


def rasterise(
    prompt: VisualPrompt, view_box: Sequence[float], rows: int, cols: int
) -> Float:
    """Weights with which the cells of a view's pixel map are pooled for a prompt.

    Args:
        view_box: scene-normalised x0, y0, width, height of the view, width and height > 0.
        rows, cols: of the view's grid, 1..2048.
    Returns:
        (rows, cols) float32 in [0, 1]: share of the cell inside box or mask, a Gaussian of one
        cell around a point; scaled so that the largest is 1. All 0 where the prompt lies outside
        the view.
    Raises:
        VisualPromptError: an empty view or grid.
    """
    x0, y0, width, height = (float(v) for v in view_box)
    if not (width > 0 and height > 0 and math.isfinite(x0 + y0 + width + height)):
        raise VisualPromptError("view", f"{tuple(view_box)} is no view")
    if not (1 <= rows <= _MAX_GRID and 1 <= cols <= _MAX_GRID):
        raise VisualPromptError("view", f"grid of {rows} x {cols} cells")
    if prompt.mask is not None:
        weights = _drawn_weights(prompt.mask, (x0, y0, width, height), rows, cols)
    else:
        cells = (np.array(prompt.xy).reshape(-1, 2) - (x0, y0)) / (width, height) * (cols, rows)
        weights = _WEIGHTS[prompt.kind](cells, rows, cols)
    peak = weights.max()
    return np.asarray(weights / peak if peak > 0 else weights, np.float32)


def _overlap(edges: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(count, len(edges) - 1) share of each unit cell 0..count that lies between edges."""
    first = np.arange(count, dtype=np.float64)[:, None]
    begin, end = np.maximum(edges[None, :-1], first), np.minimum(edges[None, 1:], first + 1)
    return np.asarray(np.maximum(end - begin, 0.0), np.float64)


def _drawn_weights(
    mask: slis.Mask, view: tuple[float, float, float, float], rows: int, cols: int
) -> NDArray[np.float64]:
    x0, y0, width, height = view
    across = _overlap((np.arange(mask.cols + 1) / mask.cols - x0) / width * cols, cols)
    down = _overlap((np.arange(mask.rows + 1) / mask.rows - y0) / height * rows, rows)
    return np.asarray(down @ slis.mask_cells(mask).astype(np.float64) @ across.T)


def _box_weights(cells: NDArray[np.float64], rows: int, cols: int) -> NDArray[np.float64]:
    return np.asarray(_overlap(cells[:, 1], rows) @ _overlap(cells[:, 0], cols).T)


def _point_weights(cells: NDArray[np.float64], rows: int, cols: int) -> NDArray[np.float64]:
    x, y = cells[0]
    if not (0 <= x <= cols and 0 <= y <= rows):
        return np.zeros((rows, cols))
    squared = (np.arange(rows)[:, None] + 0.5 - y) ** 2 + (np.arange(cols)[None] + 0.5 - x) ** 2
    return np.asarray(np.where(squared <= _POINT_REACH**2, np.exp(-squared / 2), 0.0))


def _outline_weights(cells: NDArray[np.float64], rows: int, cols: int) -> NDArray[np.float64]:
    return slis.coverage(cells / (cols, rows), rows, cols)


_WEIGHTS = {"point": _point_weights, "box": _box_weights, "mask": _outline_weights}


# -- text --------------------------------------------------------------------------------------


def as_value(prompt: VisualPrompt) -> slis.Value:
    """Spatial value that stands for a prompt in its text: a mask as outline, or as box."""
    if prompt.kind == "point":
        return slis.point_from(prompt.xy[0], prompt.xy[1], prompt.image)
    if prompt.kind == "mask" and (vertices := _outline_of(prompt)) is not None:
        return slis.polygon_from(vertices, prompt.image)
    return slis.box_from(*extent(prompt), prompt.image)


def as_text(prompt: VisualPrompt) -> str:
    """Text of the spatial language for a prompt, e.g. ``<box 12 40 80 99>``."""
    return slis.write_value(as_value(prompt))


def _outline_of(prompt: VisualPrompt) -> NDArray[np.float64] | None:
    """(N, 2) vertices, at most ``TEXT_VERTICES``; None where a mask has no one outline."""
    if prompt.mask is None:
        return slis.simplified(prompt.xy, TEXT_VERTICES)
    parts = slis.outlines(slis.mask_cells(prompt.mask))
    if len(parts) != 1:
        return None
    return slis.simplified(slis.polygon_xy(parts[0]), TEXT_VERTICES)


_Part = tuple[slis.Segment, VisualPrompt | None]


def compose(
    text: str, prompts: Sequence[VisualPrompt] = (),
    image_sizes: Sequence[tuple[float, float]] = (),
) -> tuple[str, tuple[VisualPrompt, ...]]:
    """Bring a question and what it points at into the form that a model takes.

    A prompt whose label stands in the text as a word goes behind its first occurrence; the others
    follow at the end in order. Values that stand in the text already stay where they are.

    Args:
        text: free text with points, boxes, oriented boxes, polygons and masks; a time span stays
            text, it points at no place.
        prompts: further places.
        image_sizes: width and height of each image, for the shape of oriented boxes; square where
            missing.
    Returns:
        The text that the model reads, with masks and long outlines in a short form, and all
        prompts in the order in which they stand in it, exact as they were given.
    Raises:
        SlisSyntaxError: a spatial value in the text is malformed.
        VisualPromptError: more than 16 prompts, an empty mask, or a ``<seg>``, which asks for
            a mask and holds none.
    """
    parts = [_read(segment, image_sizes) for segment in slis.parse(text)]
    for prompt in prompts:
        _insert(parts, prompt)
    found = tuple(prompt for _, prompt in parts if prompt is not None)
    if len(found) > MAX_PROMPTS:
        raise VisualPromptError("count", f"{len(found)} in one request, at most {MAX_PROMPTS}")
    return slis.serialise(segment for segment, _ in parts), found


def _read(segment: slis.Segment, image_sizes: Sequence[tuple[float, float]]) -> _Part:
    if isinstance(segment, str | slis.Span):
        return segment, None
    size = image_sizes[segment.image] if segment.image < len(image_sizes) else (1.0, 1.0)
    prompt = from_value(segment, size)
    is_long = slis.token_cost(segment) > _TEXT_TOKENS
    return as_value(prompt) if is_long else segment, prompt


def _insert(parts: list[_Part], prompt: VisualPrompt) -> None:
    placed: _Part = (as_value(prompt), prompt)
    word = re.compile(rf"(?<!\w){re.escape(prompt.label)}(?!\w)") if prompt.label else None
    for index, (segment, _) in enumerate(parts):
        if word and isinstance(segment, str) and (found := word.search(segment)):
            before, after = segment[: found.end()] + " ", segment[found.end() :]
            parts[index : index + 1] = [(before, None), placed, (after, None)]
            return
    if parts:
        parts.append((" ", None))
    parts.append(placed)


def place_in_text(text: str, prompts: Sequence[VisualPrompt]) -> str:
    """Text of ``compose``."""
    return compose(text, prompts)[0]


def parse_prompt(
    text: str, image_sizes: Sequence[tuple[float, float]] = ()
) -> tuple[str, tuple[VisualPrompt, ...]]:
    """Read the visual prompts out of the text of a question: ``compose`` without further ones."""
    return compose(text, (), image_sizes)


def from_value(
    value: slis.Value, image_size: tuple[float, float] = (1.0, 1.0)
) -> VisualPrompt:
    """Visual prompt of a spatial value that points at a place.

    Args:
        value: point, box, oriented box (then an outline cut off at the image), polygon or mask.
        image_size: width and height of the image, for oriented boxes.
    Raises:
        VisualPromptError: a span, a ``<seg>``, or a mask without a cell set.
    """
    if isinstance(value, slis.Point):
        return point(*slis.point_xy(value), value.image)
    if isinstance(value, slis.Box):
        return box(*slis.box_xyxy(value), value.image)
    if isinstance(value, slis.Mask):
        return VisualPrompt("mask", (), value, value.image)
    if isinstance(value, slis.Polygon):
        return outline(slis.polygon_xy(value), value.image)
    if isinstance(value, slis.OrientedBox):
        corners = slis.oriented_corners(value, image_size)
        # Cut points may lie a rounding error outside.
        return outline(np.clip(slis.clip_convex(corners, _WHOLE), 0.0, 1.0), value.image)
    raise VisualPromptError("kind", f"<{value.kind}> points at no place")
