"""Cut a window into cells, finer where little of a cell is what the prompt means.

Purpose: cells with their relevance and the side of the smallest thing in them. Non-purpose: what is
sent of them (``sending``).

Theory of operation: a cell whose relevance sits in a small part of it is cut into four, so that
small things cost few bytes. A cell is as relevant as the best that lies in it: a small object must
not drown in its surroundings. All cells of a window are looked at together: maxima over rows of
cells first, then over columns.

Source: own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_LEAST_CELLS = 4  # of the relevance map in a cell, to say that something stands out


def cut(
    relevance: Floats, window: Sequence[int], *, cell_px: int, most: int, fine_px: int,
    floor: float,
) -> tuple[Ints, Floats, Floats]:
    """Cells of a window with their relevance and the side of the smallest thing in them.

    Args:
        relevance: (rows, columns); NaN counts as 0.
        window: x, y, w, h in scene pixels.
        cell_px: side of a cell, about. most: cells a side at most.
        fine_px: least side of a quarter; 0 cuts no cell again. floor: least relevance.
    Returns:
        Windows (N, 4) that tile the window, row by row, quarters of a cell together; relevance (N,)
        in [0, 1]; sizes (N,) in scene pixels, NaN where nothing stands out.
    Raises:
        ConfigError: relevance is not two-dimensional or empty, or the window is empty.
    """
    if relevance.ndim != 2 or 0 in relevance.shape or len(window) != 4 or min(window[2:]) < 1:
        raise ConfigError(f"cutting: relevance of shape {relevance.shape}, window {tuple(window)}")
    clean = np.clip(np.nan_to_num(relevance, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    ys, xs = (_edges(side, cell_px, most) for side in (window[3], window[2]))
    peak, sizes = _standing_out(clean, ys, xs, window)
    sides = np.minimum(np.diff(ys)[:, None], np.diff(xs)[None])
    is_cut = ~np.isnan(sizes) & (fine_px > 0) & (sides >= 2 * fine_px)
    fine_ys, fine_xs = _halved(ys), _halved(xs)
    best = _highest(clean, fine_ys, fine_xs, window)
    areas = np.diff(fine_ys)[:, None] * np.diff(fine_xs)[None]
    whole = _spread(np.diff(ys)[:, None] * np.diff(xs)[None])
    stands_out = best >= _spread(peak) / 2
    # What is left of a cell that was cut counts by its area, or cutting would raise it.
    shares = np.where(stands_out, 1.0, areas / whole) * np.maximum(floor, best)
    is_fine = _spread(is_cut)
    cell = np.arange(peak.size).reshape(peak.shape)
    order = np.argsort(np.concatenate([cell[~is_cut], _spread(cell)[is_fine]]), kind="stable")
    parts = (
        (_places(window, ys, xs, ~is_cut), _places(window, fine_ys, fine_xs, is_fine)),
        (np.maximum(floor, peak)[~is_cut], shares[is_fine]),
        (sizes[~is_cut], np.where(stands_out, _spread(sizes), np.nan)[is_fine]),
    )
    places, weights, smallest = (np.concatenate(part)[order] for part in parts)
    return places, weights, smallest


def _edges(side: int, cell_px: int, most: int) -> Ints:
    """Of cells about so wide along one side, at most one a pixel."""
    count = min(most, max(1, round(side / cell_px)), side)
    return np.arange(count + 1) * side // count


def _halved(edges: Ints) -> Ints:
    """Edges with the middle of each cell between them."""
    out = np.empty(2 * len(edges) - 1, np.int64)
    out[::2], out[1::2] = edges, edges[:-1] + np.diff(edges) // 2
    return out


def _spread(cells: NDArray[Any]) -> NDArray[Any]:
    """(2 R, 2 C): what is said of each cell, of its quarters."""
    return cells.repeat(2, 0).repeat(2, 1)


def _places(window: Sequence[int], ys: Ints, xs: Ints, taken: NDArray[np.bool_]) -> Ints:
    """(n, 4) windows between edges, of the cells (R, C) that are taken."""
    row, col = np.nonzero(taken)
    parts = (window[0] + xs[col], window[1] + ys[row], np.diff(xs)[col], np.diff(ys)[row])
    return np.stack(parts, axis=1)


def _touched(edges: Ints, side: int, count: int) -> tuple[Ints, Ints]:
    """First and last, behind it, of the relevance map's cells that each cell touches."""
    first = edges[:-1] * count // side
    last = -(-edges[1:] * count // side)
    return first, np.maximum(last, first + 1)


def _highest(relevance: Floats, ys: Ints, xs: Ints, window: Sequence[int]) -> Floats:
    """(rows, columns) highest relevance that each cell touches."""
    tops, bottoms = _touched(ys, window[3], relevance.shape[0])
    lefts, rights = _touched(xs, window[2], relevance.shape[1])
    # Behind the last cell there is nothing; every other maximum is of what lies between two spans.
    padded = np.zeros((relevance.shape[0] + 1, relevance.shape[1] + 1))
    padded[:-1, :-1] = relevance
    rows = np.maximum.reduceat(padded, np.stack([tops, bottoms], 1).ravel(), axis=0)[::2]
    return np.maximum.reduceat(rows, np.stack([lefts, rights], 1).ravel(), axis=1)[:, ::2]


def _standing_out(
    relevance: Floats, ys: Ints, xs: Ints, window: Sequence[int]
) -> tuple[Floats, Floats]:
    """Highest relevance of each cell, and side of what stands out in it, scene pixels.

    What is at least half as relevant as the best stands out; a thing is as large as the area that
    does, spread over what may be several things, so it is at most that. NaN where the relevance of
    a cell is even, or nothing is relevant.
    """
    peak = _highest(relevance, ys, xs, window)
    tops, bottoms = _touched(ys, window[3], relevance.shape[0])
    lefts, rights = _touched(xs, window[2], relevance.shape[1])
    y, in_y = _indexes(tops, bottoms)
    x, in_x = _indexes(lefts, rights)
    parts = relevance[y[:, None, :, None], x[None, :, None, :]]
    is_in = in_y[:, None, :, None] & in_x[None, :, None, :]
    counts = is_in.sum(axis=(2, 3))
    share = ((parts >= peak[:, :, None, None] / 2) & is_in).sum(axis=(2, 3)) / counts
    areas = np.diff(ys)[:, None] * np.diff(xs)[None]
    is_even = (counts < _LEAST_CELLS) | (share > 0.5) | (peak <= 0)
    return peak, np.where(is_even, np.nan, np.sqrt(share * areas))


def _indexes(first: Ints, last: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """(cells, most) indexes of each span, and which of them belong to it."""
    found = first[:, None] + np.arange(int((last - first).max()))
    return np.minimum(found, last[:, None] - 1), found < last[:, None]
