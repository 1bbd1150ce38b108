"""From views (windows of a scene, native bands) to images and geometry that the vision graph takes.

Non-purpose: choosing the windows; that is the preprocess node's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.bands import MODALITIES, to_composites

Float = NDArray[np.float32]
CELL_PX = 32
KINDS = ("overview", "zoom")
_MAX_FRAMES = 4
_LONGEST_SIDE_RATIO = 8


@dataclass(frozen=True, slots=True)
class ViewTensor:
    """One window of a scene.

    Attributes:
        values: (F, H, W, C) native dtype, F frames in time order (1 for a single date).
        bands: C names, as ``bands.to_composites`` takes them.
        modality: one of ``bands.MODALITIES``.
        window: (x, y, w, h) in scene pixels, w and h > 0.
        kind: ``overview`` (the whole area of the request) or ``zoom`` (a part of it).
    """

    values: NDArray[np.generic]
    bands: tuple[str, ...]
    modality: str
    window: tuple[int, int, int, int]
    kind: str


@dataclass(frozen=True, slots=True)
class VisionInput:
    """What one run of the vision graph takes.

    Attributes:
        pixels: (1, 3, H, W) float32, (value - 0.498) / 0.502, H and W multiples of ``CELL_PX``.
        geometry: (1, rows * cols, 4) float32: centre x, y and width, height of each cell,
            in units of the overview's window.
        tags: (1, 4) int64: kind, composite, frame, modality.
        is_overview: first composite and frame of the first overview; its grid carries relevance.
    """

    pixels: Float
    geometry: Float
    tags: NDArray[np.int64]
    rows: int
    cols: int
    is_overview: bool


def input_shape(height: int, width: int, input_size: int, upscale: float) -> tuple[int, int]:
    """Rows and columns of pixels a view is resized to, multiples of 32, at most ``input_size``.

    Small chips are enlarged by at most ``upscale``, so that they cost little; each side is rounded
    on its own, which distorts the aspect ratio by less than a cell.
    """
    scale = min(input_size / max(height, width), upscale)
    cells = [max(1, int(np.floor(side * scale / CELL_PX + 0.5))) for side in (height, width)]
    return cells[0] * CELL_PX, cells[1] * CELL_PX


def resize(image: Float, shape: tuple[int, int]) -> Float:
    """(H, W, 3) -> (*shape, 3): area averaging when shrinking, else bilinear."""
    shrinks = shape[0] < image.shape[0] or shape[1] < image.shape[1]
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (shape[1], shape[0]), interpolation=mode), np.float32)


def cell_geometry(
    rows: int, cols: int, window: Sequence[float], frame: Sequence[float]
) -> Float:
    """(rows * cols, 4) centre and size of each cell of ``window``, in units of ``frame``."""
    width, height = window[2] / frame[2] / cols, window[3] / frame[3] / rows
    x0, y0 = (window[0] - frame[0]) / frame[2], (window[1] - frame[1]) / frame[3]
    cx = x0 + (np.arange(cols) + 0.5) * width
    cy = y0 + (np.arange(rows) + 0.5) * height
    grid = np.empty((rows, cols, 4), np.float32)
    grid[..., 0], grid[..., 1] = cx[None, :], cy[:, None]
    grid[..., 2], grid[..., 3] = width, height
    return grid.reshape(-1, 4)


def prepare(
    views: Sequence[ViewTensor], input_size: int, upscale: float
) -> list[VisionInput]:
    """Turn views into vision inputs, in the order given: view, then frame, then composite.

    Raises:
        ModelError: no view, no overview, wrong shape, window, kind or modality.
    """
    overview = next((v for v in views if v.kind == "overview"), None)
    if overview is None:
        raise ModelError("no overview among the views")
    inputs: list[VisionInput] = []
    marked = False
    for view in views:
        _check(view)
        height, width = view.values.shape[1:3]
        shape = input_shape(height, width, input_size, upscale)
        rows, cols = shape[0] // CELL_PX, shape[1] // CELL_PX
        geometry = cell_geometry(rows, cols, view.window, overview.window)[None]
        for frame, values in enumerate(view.values):
            for index, image in enumerate(to_composites(values, view.bands, view.modality)):
                pixels = (resize(image, shape).transpose(2, 0, 1)[None] - 0.498) / 0.502
                tags = [KINDS.index(view.kind), index, frame, MODALITIES.index(view.modality)]
                first = view.kind == "overview" and not marked
                inputs.append(
                    VisionInput(
                        np.ascontiguousarray(pixels, np.float32), geometry,
                        np.array([tags], np.int64), rows, cols, first,
                    )
                )
                marked = marked or first
    return inputs


def _check(view: ViewTensor) -> None:
    if view.values.ndim != 4 or 0 in view.values.shape:
        raise ModelError(f"view of shape {view.values.shape}, expected (F, H, W, C)")
    if view.values.shape[0] > _MAX_FRAMES:
        raise ModelError(f"{view.values.shape[0]} frames, at most {_MAX_FRAMES}")
    sides = sorted(view.values.shape[1:3])
    if sides[1] > _LONGEST_SIDE_RATIO * sides[0]:
        raise ModelError(f"view of {sides[1]} x {sides[0]} pixels is too narrow")
    if view.kind not in KINDS:
        raise ModelError(f"unknown view kind {view.kind!r}")
    if view.modality not in MODALITIES:
        raise ModelError(f"unknown modality {view.modality!r}")
    if min(view.window[2:]) <= 0:
        raise ModelError(f"window {view.window} is empty")
