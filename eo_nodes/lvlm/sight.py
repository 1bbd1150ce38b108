"""From pictures to what the vision graph of our own family takes: pixels, codes, places, tags.

A picture is one frame of one sensor. It is resized to whole cells of 32 x 32 px; each cell knows
where it lies in the scene, so that an overview and a zoom into it speak of the same places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import spectrum

Float = NDArray[np.float32]
CELL_PX = 32
LEAST_PX = 96
"""Tiny tiles (24 px of an imaging spectrometer) are enlarged to this, or they would be one cell."""
KINDS = ("overview", "zoom")
TAG_MODALITIES = ("optical", "sar", "thermal", "multispectral", "temporal", "video")
"""Order of the modality tag; elevation goes as optical, its bands say what they are."""
TAG_LIMITS = (2, 4, 8, 6)
_CHANNELS_AT_ONCE = 4  # of cv2.resize
_LONGEST_SIDE_RATIO = 8


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame of one sensor, with its place in the request.

    Attributes:
        values: (H, W, C) native dtype, ranges as in ``spectrum``. bands: C names.
        modality: one of ``bands.MODALITIES`` or video.
        window: x0, y0, width, height in units of the scene, 0..1; whole: (0, 0, 1, 1).
        kind: ``overview`` or ``zoom``. image: index of the request's image, 0..7.
        sensor: 0..3, one a co-registered sensor. frame: 0..7, in time order.
    """

    values: NDArray[np.generic]
    bands: tuple[str, ...]
    modality: str
    window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    kind: str = "overview"
    image: int = 0
    sensor: int = 0
    frame: int = 0


@dataclass(frozen=True, slots=True)
class SightFeed:
    """Inputs of one run of the vision graph.

    Attributes:
        pixels: (N, C, H, W), N = 1 but for ``together``. codes: (C, spectrum.CODE_SIZE).
        tags: (N, 4) int64.
        geometry: (N, T, 4) centre x, y, width, height of each token's area, in units of the scene.
        pool: (T, cells): mean of the cells under each token; the identity where T = cells.
        grid: rows and columns of the T tokens.
        coarse: (N, C, H', W') the same pictures for a second network, None where there is none.
    """

    pixels: Float
    codes: Float
    geometry: Float
    tags: NDArray[np.int64]
    pool: Float
    grid: tuple[int, int]
    coarse: Float | None = None


def input_shape(height: int, width: int, longest: int, upscale: float) -> tuple[int, int]:
    """Rows and columns of pixels that a picture is resized to: whole cells.

    The longest side becomes at most ``longest``; small pictures are enlarged at most ``upscale``
    times, but to ``LEAST_PX`` in any case.
    """
    side = max(height, width)
    scale = max(min(longest / side, upscale), LEAST_PX / side)
    rows, cols = (max(1, round(v * scale / CELL_PX)) for v in (height, width))
    return rows * CELL_PX, cols * CELL_PX


def resize(values: Float, shape: tuple[int, int]) -> Float:
    """(H, W, C) -> (*shape, C): area averaging where it shrinks, else bilinear; any C."""
    height, width = shape
    shrinks = values.shape[0] > height or values.shape[1] > width
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    parts = [
        cv2.resize(np.ascontiguousarray(values[..., i : i + _CHANNELS_AT_ONCE]), (width, height),
                   interpolation=mode).reshape(height, width, -1)
        for i in range(0, values.shape[2], _CHANNELS_AT_ONCE)
    ]
    return np.concatenate(parts, axis=2).astype(np.float32, copy=False)


def prepare_pixels(
    values: NDArray[np.generic], names: Sequence[str], *shapes: tuple[int, int]
) -> tuple[list[Float], Float]:
    """Native values (H, W, C) and band names -> pixels (C, *shape) of each shape, codes (C, K).

    Raises:
        ModelError: values or bands break their contract; a reflective band has no wavelength.
    """
    bands = spectrum.parse_bands(names)
    levels = spectrum.normalise(values, bands).transpose(1, 2, 0)
    whole = np.ascontiguousarray(levels)
    pixels = [np.ascontiguousarray(resize(whole, s).transpose(2, 0, 1)) for s in shapes]
    return pixels, spectrum.codes(bands)


def pooling(rows: int, cols: int, most: int | None) -> tuple[Float, tuple[int, int]]:
    """Matrix that averages a grid of cells to at most ``most`` a side (None: leaves it)."""
    if most is None or (rows <= most and cols <= most):
        return np.eye(rows * cols, dtype=np.float32), (rows, cols)
    r, c = _shares(rows, min(rows, most)), _shares(cols, min(cols, most))
    matrix = np.einsum("ar,bc->abrc", r, c).reshape(len(r) * len(c), rows * cols)
    return np.ascontiguousarray(matrix, np.float32), (len(r), len(c))


def _shares(count: int, parts: int) -> Float:
    """(parts, count): adaptive average pooling along one side."""
    out = np.zeros((parts, count), np.float32)
    for i in range(parts):
        begin, end = i * count // parts, -((i + 1) * count // -parts)
        out[i, begin:end] = 1 / (end - begin)
    return out


def geometry_of(rows: int, cols: int, window: Sequence[float]) -> Float:
    """(rows * cols, 4) centre x, y, width, height of a grid over ``window`` (x0, y0, w, h)."""
    x0, y0, w, h = window
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    parts = [x0 + (x + 0.5) / cols * w, y0 + (y + 0.5) / rows * h,
             np.full_like(x, w / cols), np.full_like(x, h / rows)]
    return np.stack(parts, -1).reshape(-1, 4).astype(np.float32)


def tags_of(kind: str, sensor: int, frame: int, modality: str) -> NDArray[np.int64]:
    """(1, 4) int64: kind, sensor slot, frame, modality."""
    known = TAG_MODALITIES.index(modality) if modality in TAG_MODALITIES else 0
    values = (KINDS.index(kind), sensor, frame, known)
    return np.array([[min(v, n - 1) for v, n in zip(values, TAG_LIMITS, strict=True)]], np.int64)


def feed_of(
    picture: Picture, longest: int, upscale: float, most_cells: int | None,
    coarse: tuple[int, float] | None = None,
) -> SightFeed:
    """Inputs of the vision graph for one picture.

    Args:
        longest, upscale: as in ``input_shape``. most_cells: tokens a side at most.
        coarse: longest and upscale of a second network.
    Raises:
        ModelError: the picture breaks its contract.
    """
    if picture.values.ndim != 3 or 0 in picture.values.shape:
        raise ModelError(f"image of shape {picture.values.shape}, expected (H, W, C)")
    if picture.kind not in KINDS:
        raise ModelError(f"unknown view kind {picture.kind!r}")
    if picture.modality not in (*TAG_MODALITIES, "elevation"):
        raise ModelError(f"unknown modality {picture.modality!r}")
    height, width = picture.values.shape[:2]
    if max(height, width) > _LONGEST_SIDE_RATIO * min(height, width):
        raise ModelError(f"image of {width} x {height} pixels is too narrow")
    if min(picture.window[2:]) <= 0:
        raise ModelError(f"window {picture.window} is empty")
    sizes = [(longest, upscale)] + ([] if coarse is None else [coarse])
    shape, *smaller = (input_shape(height, width, *size) for size in sizes)
    (pixels, *others), codes = prepare_pixels(picture.values, picture.bands, shape, *smaller)
    pool, grid = pooling(shape[0] // CELL_PX, shape[1] // CELL_PX, most_cells)
    geometry = geometry_of(*grid, picture.window)
    tags = tags_of(picture.kind, picture.sensor, picture.frame, picture.modality)
    return SightFeed(pixels[None], codes, geometry[None], tags, pool, grid,
                     others[0][None] if others else None)


def alike(feeds: Sequence[SightFeed], most: int) -> list[list[int]]:
    """Indexes of the feeds that one run may take together, at most ``most`` a group."""
    groups: dict[tuple[object, ...], list[list[int]]] = {}
    for index, feed in enumerate(feeds):
        key = (feed.pixels.shape, feed.grid, feed.codes.tobytes(),
               None if feed.coarse is None else feed.coarse.shape)
        known = groups.setdefault(key, [[]])
        if len(known[-1]) == most:
            known.append([])
        known[-1].append(index)
    return [group for known in groups.values() for group in known]


def together(feeds: Sequence[SightFeed]) -> SightFeed:
    """One feed of feeds that are ``alike``."""
    if len(feeds) == 1:
        return feeds[0]
    first = feeds[0]
    coarse = [f.coarse for f in feeds if f.coarse is not None]
    return SightFeed(np.concatenate([f.pixels for f in feeds]), first.codes,
                     np.concatenate([f.geometry for f in feeds]),
                     np.concatenate([f.tags for f in feeds]), first.pool, first.grid,
                     np.concatenate(coarse) if coarse else None)
