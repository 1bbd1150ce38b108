"""Paint what a model said on the picture: places in one colour, visual prompts in another.

Non-purpose: analysis; the picture is a rendering of the first frame of each image for people.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from itertools import cycle

import cv2
import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.lvlm.slis.geometry import (
    box_xyxy,
    mask_cells,
    oriented_corners,
    point_xy,
    polygon_xy,
    resize_mask,
)
from eo_nodes.lvlm.slis.values import Box, Mask, OrientedBox, Point, Polygon, Segment, Value

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

PROMPT_COLOUR: Colour = (255, 255, 255)
# Distinct for most colour-blind eyes (Okabe and Ito), RGB.
ANSWER_COLOURS: tuple[Colour, ...] = ((230, 159, 0), (86, 180, 233), (240, 228, 66), (0, 158, 115))
_SMALLEST_SIDE_PX = 448
_MASK_OPACITY = 0.45
_GAP_PX = 8
_FONT, _FONT_SCALE, _LINE_PX = cv2.FONT_HERSHEY_SIMPLEX, 0.5, 20
_VISIBLE = (("b04", "red", "665"), ("b03", "green", "560"), ("b02", "blue", "490"))


def display(image: ImageInput) -> Picture:
    """(H, W, 3) uint8 RGB rendering of the first frame: true colour where there is one.

    8-bit values stay as they are; others are stretched between their 2 % and 98 % quantiles.
    """
    frame = image.values[0]
    if frame.ndim != 3 or 0 in frame.shape:
        raise ModelError(f"image of shape {image.values.shape}, expected (F, H, W, C)")
    picked = frame[..., _visible(image.bands, frame.shape[2])]
    if picked.dtype == np.uint8:
        return np.ascontiguousarray(picked)
    x = np.nan_to_num(picked.astype(np.float64), posinf=0.0, neginf=0.0)
    # One stretch for all bands keeps the colour; SAR and thermal have one band anyway.
    low, high = np.quantile(x, (0.02, 0.98))
    return np.asarray(np.clip((x - low) / max(high - low, 1e-9), 0, 1) * 255, np.uint8)


def _visible(bands: Sequence[str], count: int) -> list[int]:
    """Three band indices; a single band is shown grey, without names the first three are taken."""
    chosen = []
    for names in _VISIBLE:
        hits = [i for i, band in enumerate(bands) if _means(band, names)]
        chosen += hits[:1]
    if len(chosen) == 3:
        return chosen
    return [0, 1, 2] if count >= 3 else [0, 0, 0]


def _means(band: str, names: Iterable[str]) -> bool:
    text = band.lower()
    return "edge" not in text and any(name in text for name in names)


def paint(
    images: Sequence[ImageInput],
    said: Sequence[Segment],
    prompts: Sequence[Value] = (),
    caption: str = "",
) -> Picture:
    """Draw places and caption on the images, side by side.

    Args:
        said: the answer as ``slis.parse`` splits it; free text is not drawn.
        prompts: visual prompts as spatial values, painted white.
        caption: set below the pictures; characters that the font lacks become ``?``.
    Returns:
        (H, W, 3) uint8 RGB. Small images are enlarged to 448 px by a whole factor.
    """
    tiles = []
    for index, image in enumerate(images):
        tile = _enlarged(display(image))
        for value in prompts:
            if value.image == index:
                _draw(tile, value, PROMPT_COLOUR)
        colours = cycle(ANSWER_COLOURS)
        for segment in said:
            if not isinstance(segment, str) and segment.image == index:
                _draw(tile, segment, next(colours))
        tiles.append(tile)
    return _captioned(_side_by_side(tiles), caption)


def png(picture: Picture) -> bytes:
    """PNG file of an RGB picture."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    if not done:
        raise ModelError("the picture cannot be written as PNG")
    return data.tobytes()


def _enlarged(picture: Picture) -> Picture:
    factor = max(1, round(_SMALLEST_SIDE_PX / max(picture.shape[:2])))
    size = (picture.shape[1] * factor, picture.shape[0] * factor)
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(resized, np.uint8)


def _draw(tile: Picture, value: Value, colour: Colour) -> None:
    height, width = tile.shape[:2]
    if isinstance(value, Point):
        x, y = point_xy(value)
        place = (int(x * width), int(y * height))
        cv2.circle(tile, place, 6, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.circle(tile, place, 6, colour, 2, cv2.LINE_AA)
    elif isinstance(value, Box):
        x0, y0, x1, y1 = box_xyxy(value)
        _outline(tile, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), colour)
    elif isinstance(value, OrientedBox):
        _outline(tile, oriented_corners(value, (width, height)), colour)
    elif isinstance(value, Polygon):
        _outline(tile, polygon_xy(value), colour)
    elif isinstance(value, Mask):
        covered = resize_mask(mask_cells(value), height, width)
        blend = (1 - _MASK_OPACITY) * tile[covered] + _MASK_OPACITY * np.array(colour)
        tile[covered] = blend.astype(np.uint8)


def _outline(tile: Picture, xy: NDArray[np.float64], colour: Colour) -> None:
    height, width = tile.shape[:2]
    # Corners of oriented boxes may lie far outside; cv2 takes 32-bit integers only.
    line = np.round(np.clip(xy, -4, 5) * (width, height)).astype(np.int32)
    cv2.polylines(tile, [line], True, (0, 0, 0), 4, cv2.LINE_AA)
    cv2.polylines(tile, [line], True, colour, 2, cv2.LINE_AA)


def _side_by_side(tiles: Sequence[Picture]) -> Picture:
    height = max(tile.shape[0] for tile in tiles)
    width = sum(tile.shape[1] for tile in tiles) + _GAP_PX * (len(tiles) - 1)
    sheet = np.full((height, width, 3), 255, np.uint8)
    left = 0
    for tile in tiles:
        sheet[: tile.shape[0], left : left + tile.shape[1]] = tile
        left += tile.shape[1] + _GAP_PX
    return sheet


def _captioned(sheet: Picture, caption: str) -> Picture:
    if not caption.strip():
        return sheet
    columns = max(12, sheet.shape[1] // 9)
    lines = textwrap.wrap(caption.encode("ascii", "replace").decode(), columns)
    strip = np.full((_LINE_PX * len(lines) + 10, sheet.shape[1], 3), 255, np.uint8)
    for i, line in enumerate(lines):
        place = (6, _LINE_PX * (i + 1))
        cv2.putText(strip, line, place, _FONT, _FONT_SCALE, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([sheet, strip])
