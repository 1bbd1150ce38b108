"""Spatial values under a budget of tokens: what one costs, and coarser forms that cost less."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from eo_nodes.lvlm.slis.geometry import mask_from
from eo_nodes.lvlm.slis.values import LARGEST, Mask, SlisValueError, Value, field_count

LEAST_MASK_TOKENS = 6
"""Of a mask of one set cell of the first image: ``<mask 1 1 0 1>``."""
_STEP = 0.84


def token_cost(value: Value) -> int:
    """Tokens that a value takes: marker, image index if not 0, fields, ``<end>`` if it varies."""
    closing = field_count(value.kind) is None
    return 1 + (value.image > 0) + len(value.numbers) + closing


def mask_within(cells: ArrayLike, tokens: int, image: int = 0) -> Mask:
    """Finest run-length mask of an array that costs at most ``tokens``.

    Args:
        cells: (rows, cols) over the whole image, non-zero is set. The grid is made coarser in
            steps of 0.84 of a side; a cell stays set where at least half of it is.
        tokens: >= 6, one more for another image than the first.
    Returns:
        A mask with the array's aspect; it has a cell set if the array has one.
    Raises:
        SlisValueError: not two-dimensional, or too few tokens.
    """
    grid = (np.asarray(cells) != 0).astype(np.float32)
    if grid.ndim != 2 or 0 in grid.shape:
        raise SlisValueError(f"mask of shape {grid.shape}")
    if tokens < LEAST_MASK_TOKENS + (image > 0):
        raise SlisValueError(f"{tokens} tokens hold no mask")
    factor = min(1.0, LARGEST / max(grid.shape))
    while True:
        rows, cols = (max(1, round(side * factor)) for side in grid.shape)
        value = mask_from(_coarser(grid, rows, cols), image)
        if token_cost(value) <= tokens:
            return value
        factor *= _STEP


def _coarser(grid: NDArray[np.float32], rows: int, cols: int) -> NDArray[np.bool_]:
    share = grid
    if (rows, cols) != grid.shape:
        share = np.asarray(cv2.resize(grid, (cols, rows), interpolation=cv2.INTER_AREA))
    return np.asarray((share >= 0.5) | ((share == share.max()) & (share > 0)))


def simplified(xy: ArrayLike, vertices: int) -> NDArray[np.float64]:
    """Outline with at most ``vertices`` vertices, those that change its area least left out first.

    Args:
        xy: (N, 2) or flat vertices, N >= 3.
        vertices: >= 3.
    Returns:
        (min(N, ``vertices``), 2) vertices of the outline, in their order.
    Raises:
        SlisValueError: fewer than 3 vertices asked for.
    Source: Visvalingam and Whyatt, 1993.
    """
    if vertices < 3:
        raise SlisValueError(f"{vertices} vertices make no outline")
    line = np.asarray(xy, np.float64).reshape(-1, 2)
    while len(line) > vertices:
        before, after = np.roll(line, 1, axis=0) - line, np.roll(line, -1, axis=0) - line
        areas = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0])
        line = np.delete(line, int(np.argmin(areas)), axis=0)
    return line
