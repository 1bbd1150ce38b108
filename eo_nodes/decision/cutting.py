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
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
_LEAST_CELLS = 4  # of the relevance map in a cell, to say that something stands out
_SIZES_KNOWN = 16  # of windows; each takes some 100 kB


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
    clean = np.fmin(np.fmax(relevance, 0.0), 1.0)  # NaN is 0
    grid = _grid(window[2], window[3], *relevance.shape, cell_px, most)
    best = grid.highest(clean)
    # A cell touches what its quarters touch.
    peak = best.max(axis=0)
    sizes = grid.standing_out(clean, peak)
    is_cut = ~np.isnan(sizes) & ((fine_px > 0) & (grid.sides >= 2 * fine_px))
    stands_out = best >= peak / 2
    # What is left of a cell that was cut counts by its area, or cutting would raise it.
    quarters = np.where(stands_out, 1.0, grid.shares) * np.maximum(floor, best)
    taken = _by_cell(~is_cut, np.broadcast_to(is_cut, best.shape)).nonzero()[0]
    places = grid.places[taken]
    places[:, :2] += window[:2]
    weights = _by_cell(np.maximum(floor, peak), quarters)[taken]
    return places, weights, _by_cell(sizes, np.where(stands_out, sizes, np.nan))[taken]


def _by_cell(whole: NDArray[Any], quarters: NDArray[Any]) -> NDArray[Any]:
    """(5 N,) what is said of each cell (N,), then of its quarters (4, N), cell by cell."""
    return np.concatenate([whole[None], quarters]).T.ravel()


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Cells of a window and their quarters, over a relevance map; N cells row by row, of each the
    quarters top left, top right, bottom left, bottom right.

    Attributes:
        places: (5 N, 4) x, y, w, h in the window: each cell, then its quarters.
        sides: (N,) the shorter side of each cell. areas: (N,) pixels.
        shares: (4, N) of a cell's area that each quarter takes.
        rows, cols: spans of the map that halves of cells touch, as for ``reduceat``.
        touched: (P, N) places in the flat map that each cell touches, the last again and again
            where another touches more. is_in: (P, N) those that are not such.
        counts: (N,) how many each touches.
    """

    places: Ints
    sides: Ints
    areas: Ints
    shares: Floats
    rows: Ints
    cols: Ints
    touched: Ints
    is_in: Mask
    counts: Ints

    def highest(self, relevance: Floats) -> Floats:
        """(4, N) highest relevance that each quarter touches."""
        # Behind the last cell there is nothing; every other maximum is of what lies between spans.
        padded = np.zeros((relevance.shape[0] + 1, relevance.shape[1] + 1))
        padded[:-1, :-1] = relevance
        best = np.maximum.reduceat(padded, self.rows, axis=0)[::2]
        best = np.maximum.reduceat(best, self.cols, axis=1)[:, ::2]
        rows, cols = best.shape
        return best.reshape(rows // 2, 2, cols // 2, 2).transpose(1, 3, 0, 2).reshape(4, -1)

    def standing_out(self, relevance: Floats, peak: Floats) -> Floats:
        """(N,) side of what stands out in each cell, scene pixels.

        What is at least half as relevant as the best stands out; a thing is as large as the area
        that does, spread over what may be several things, so it is at most that. NaN where the
        relevance of a cell is even, or nothing is relevant.

        Args:
            peak: (N,) highest relevance that each cell touches.
        """
        is_above = (relevance.ravel()[self.touched] >= peak / 2) & self.is_in
        share = is_above.sum(axis=0) / self.counts
        is_even = (self.counts < _LEAST_CELLS) | (share > 0.5) | (peak <= 0)
        return np.where(is_even, np.nan, np.sqrt(share * self.areas))


@lru_cache(_SIZES_KNOWN)
def _grid(width: int, height: int, rows: int, cols: int, cell_px: int, most: int) -> _Grid:
    """Cells of a window of this size, over a relevance map of so many rows and columns."""
    ys, xs = (_edges(side, cell_px, most) for side in (height, width))
    tops, bottoms = _touched(ys, height, rows)
    lefts, rights = _touched(xs, width, cols)
    y, in_y = _indexes(tops, bottoms)
    x, in_x = _indexes(lefts, rights)
    count = (len(ys) - 1) * (len(xs) - 1)
    touched = (y * cols)[:, None, :, None] + x[None, :, None, :]
    is_in = in_y[:, None, :, None] & in_x[None, :, None, :]
    halves = _halved(ys), _halved(xs)
    whole, parts = _places(ys, xs), _places(*halves)
    # (2 R, 2 C) to (R, C, 4): quarters cell by cell.
    parts = parts.reshape(len(ys) - 1, 2, len(xs) - 1, 2, 4).transpose(0, 2, 1, 3, 4)
    areas = whole[:, 2] * whole[:, 3]
    quarters = parts.reshape(count, 4, 4)
    return _Grid(
        places=np.concatenate([whole[:, None], quarters], axis=1).reshape(-1, 4),
        sides=whole[:, 2:].min(axis=1), areas=areas,
        shares=(quarters[:, :, 2] * quarters[:, :, 3] / areas[:, None]).T,
        rows=np.stack(_touched(halves[0], height, rows), axis=1).ravel(),
        cols=np.stack(_touched(halves[1], width, cols), axis=1).ravel(),
        touched=np.ascontiguousarray(touched.reshape(count, -1).T),
        is_in=np.ascontiguousarray(is_in.reshape(count, -1).T),
        counts=is_in.reshape(count, -1).sum(axis=1),
    )  # fmt: skip


def _edges(side: int, cell_px: int, most: int) -> Ints:
    """Of cells about so wide along one side, at most one a pixel."""
    count = min(most, max(1, round(side / cell_px)), side)
    return np.arange(count + 1) * side // count


def _halved(edges: Ints) -> Ints:
    """Edges with the middle of each cell between them."""
    out = np.empty(2 * len(edges) - 1, np.int64)
    out[::2], out[1::2] = edges, edges[:-1] + np.diff(edges) // 2
    return out


def _places(ys: Ints, xs: Ints) -> Ints:
    """(n, 4) x, y, w, h of all cells between edges, row by row."""
    row, col = (v.ravel() for v in np.indices((len(ys) - 1, len(xs) - 1)))
    return np.stack([xs[col], ys[row], np.diff(xs)[col], np.diff(ys)[row]], axis=1)


def _touched(edges: Ints, side: int, count: int) -> tuple[Ints, Ints]:
    """First and last, behind it, of the relevance map's cells that each cell touches."""
    first = edges[:-1] * count // side
    last = -(-edges[1:] * count // side)
    return first, np.maximum(last, first + 1)


def _indexes(first: Ints, last: Ints) -> tuple[Ints, Mask]:
    """(cells, most) indexes of each span, and which of them belong to it."""
    found = first[:, None] + np.arange(int((last - first).max()))
    return np.minimum(found, last[:, None] - 1), found < last[:, None]
