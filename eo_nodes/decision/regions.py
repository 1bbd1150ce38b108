"""Choose which regions of a window to keep, downsample or drop, under a byte budget.

Theory of operation: the window is cut into a grid. Two thresholds on relevance give each cell a
first action. When the bytes do not fit, cells are cut back along one fixed chain, least relevant
first: first downsampled cells are dropped, then kept cells are downsampled, then those are dropped.
The first step of the chain that fits is taken. So a more relevant cell is never treated worse than
a less relevant one, and more budget never takes anything away.

How the node uses it (`estimate` is exact when it codes the cell; the overview is outside)::

    overview = code_overview(frame, request.window)
    chosen = allocate(relevance, request.window, grid_for(request.window), keep_at=0.5,
                      drop_below=0.15, bytes_budget=budget - len(overview),
                      estimate=lambda r: len(code_region(frame, r).data))
    coded = [code_region(frame, region) for region in merge(chosen)]
    if all(part.region.action == "keep" for part in coded):
        overview = b""  # nothing of it would be seen
    product = write_container(header, overview, coded)

`merge` joins equal neighbours: every coded block has a head of its own, which costs small cells
of many bands half as much again as one large block.

Source: two thresholds and greedy by relevance; own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import Region

Estimate = Callable[[Region], int]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_ACTIONS = ("drop", "downsample", "keep")
Joined = tuple[tuple[int, int, int, int], float, int, int]
"""Window, relevance, kind, and the first cell in it."""


def allocate(
    relevance: NDArray[np.floating] | Sequence[Sequence[float]],
    window: Sequence[int],
    grid: tuple[int, int],
    *,
    keep_at: float,
    drop_below: float,
    bytes_budget: int | None,
    estimate: Estimate,
    downsample_scale: float = 0.5,
) -> tuple[Region, ...]:
    """Choose an action for every cell.

    Args:
        relevance: (rows, columns) in [0, 1] over the window, any size; NaN counts as 0.
        window: x, y, w, h in scene pixels.
        grid: rows and columns of cells, at most one cell a pixel.
        keep_at: keep at or above.
        drop_below: drop below; in between the cell is downsampled.
        bytes_budget: what all cells together may take; None for no limit.
        estimate: coded bytes of a region that is not dropped.
        downsample_scale: side length after downsampling, in (0, 1).
    Returns:
        Regions, row major, that tile the window; the sum of their estimates is within the budget.
    Raises:
        ConfigError: thresholds or scale out of order, empty relevance or window.
    """
    if not 0 <= drop_below <= keep_at <= 1 or not 0 < downsample_scale < 1:
        raise ConfigError(f"regions: drop_below {drop_below}, keep_at {keep_at}")
    windows = cells(window, grid)
    shape = _fitting(window, grid)
    scores = pool(np.asarray(relevance, np.float64), shape).ravel()
    levels = np.where(scores >= keep_at, 2, np.where(scores >= drop_below, 1, 0))
    costs = _Costs(windows, scores, estimate, downsample_scale)
    if bytes_budget is not None:
        _cut(levels, scores, bytes_budget, costs)
    return tuple(costs.region(i, int(level)) for i, level in enumerate(levels))


def _cut(
    levels: NDArray[np.int64], scores: NDArray[np.float64], budget: int, costs: _Costs
) -> None:
    """Walk down the chain in place until the bytes fit."""
    total = sum(costs.bytes(i, int(level)) for i, level in enumerate(levels))
    # Among equals the later cell goes first, so that the order is fixed.
    order = sorted(range(len(levels)), key=lambda i: (scores[i], -i))
    for level, lower in ((1, 0), (2, 1), (1, 0)):
        for i in order:
            if total <= budget:
                return
            if levels[i] == level:
                total += costs.bytes(i, lower) - costs.bytes(i, level)
                levels[i] = lower


class _Costs:
    """Estimated bytes per cell and level, each asked for once."""

    def __init__(
        self,
        windows: Sequence[tuple[int, int, int, int]],
        scores: NDArray[np.float64],
        estimate: Estimate,
        scale: float,
    ) -> None:
        self._windows, self._scores, self._estimate = windows, scores, estimate
        self._scales = (0.0, scale, 1.0)
        self._known: dict[tuple[int, int], int] = {}

    def region(self, index: int, level: int) -> Region:
        return Region(
            window=self._windows[index],
            action=_ACTIONS[level],
            scale=self._scales[level],
            relevance=float(self._scores[index]),
        )

    def bytes(self, index: int, level: int) -> int:
        if level == 0:
            return 0
        key = (index, level)
        if key not in self._known:
            self._known[key] = self._estimate(self.region(index, level))
        return self._known[key]


def relative(relevance: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scale relevance so that the most relevant cell counts 1.

    The model's relevance says how likely a cell matters at all; what to send is a choice between
    the cells of one window. Where none stands out, all count the same and all are kept.

    Args:
        relevance: (rows, columns); NaN, infinite and negative values count as 0.
    Returns:
        (rows, columns) in [0, 1]; ones when nothing is above 0.
    """
    clean = np.nan_to_num(np.asarray(relevance, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    clean = np.clip(clean, 0.0, 1.0)
    highest = float(clean.max(initial=0.0))
    return clean / highest if highest > 0 else np.ones_like(clean)


def grid_for(
    window: Sequence[int], *, cell_px: int = 32, most: int = 8
) -> tuple[int, int]:
    """Rows and columns so that cells are about ``cell_px`` wide, at most ``most`` a side."""
    _, _, width, height = window
    rows, columns = (min(most, max(1, round(side / cell_px))) for side in (height, width))
    return rows, columns


def merge(regions: Sequence[Region]) -> tuple[Region, ...]:
    """Join neighbours that are sent alike to rectangles; relevance is the highest inside.

    First along rows, then equal runs of rows that lie below each other; the window stays tiled.
    """
    kinds: dict[tuple[str, float, str], int] = {}
    kind = [kinds.setdefault((r.action, r.scale, r.codec), len(kinds)) for r in regions]
    tiles = Tiles(np.array([r.window for r in regions], np.int64).reshape(-1, 4),
                  np.array([r.relevance for r in regions]))
    return tuple(
        replace(regions[first], window=window, relevance=share)
        for window, share, _, first in tiles.joined(np.array(kind, np.int64)))


class Tiles:
    """Cells whose like neighbours are joined, again and again: all but kinds is looked at once."""

    def __init__(self, windows: Ints, relevance: Floats) -> None:
        """Take (N, 4) x, y, w, h, no two of which overlap, and (N,)."""
        shares = relevance.tolist()
        found = [(y, x, w, h, shares[i], i) for i, (x, y, w, h) in enumerate(windows.tolist())]
        self._cells = sorted(found)

    def joined(self, kinds: Ints) -> list[Joined]:
        """`merge` on plain numbers: there may be a thousand cells.

        Args:
            kinds: (N,) equal where sent alike.
        Returns:
            Windows row by row, each with its highest relevance, its kind and its first cell.
        """
        kind_of = kinds.tolist()
        rows: list[list[Any]] = []
        next_to: tuple[Any, ...] = ()
        for y, x, w, h, share, cell in self._cells:
            kind = kind_of[cell]
            if next_to == (y, x, h, kind):
                last = rows[-1]
                last[2] += w
                last[4] = max(last[4], share)
            else:
                rows.append([x, y, w, h, share, kind, cell])
            next_to = y, x + w, h, kind
        above: dict[tuple[int, int, int], list[Any]] = {}
        found = []
        for row in rows:
            x, y, w, h, share, kind, _ = row
            last = above.get((x, w, kind), row)
            if last[1] + last[3] == y:
                last[3] += h
                last[4] = max(last[4], share)
            else:
                above[x, w, kind] = row
                found.append(row)
        return [((x, y, w, h), share, kind, cell) for x, y, w, h, share, kind, cell in found]


def cells(window: Sequence[int], grid: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Windows of the grid's cells, row major, in scene pixels; they tile the window exactly.

    Raises:
        ConfigError: an empty window or grid.
    """
    x, y, width, height = window
    rows, columns = _fitting(window, grid)
    ys = [y + height * i // rows for i in range(rows + 1)]
    xs = [x + width * i // columns for i in range(columns + 1)]
    return [
        (x0, y0, x1 - x0, y1 - y0)
        for y0, y1 in pairwise(ys)
        for x0, x1 in pairwise(xs)
    ]


def _fitting(window: Sequence[int], grid: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the grid, at most one cell a pixel."""
    rows, columns = min(grid[0], window[3]), min(grid[1], window[2])
    if min(rows, columns) < 1:
        raise ConfigError(f"regions: window {tuple(window)}, grid {grid}")
    return rows, columns


def pool(relevance: NDArray[np.float64], grid: tuple[int, int]) -> NDArray[np.float64]:
    """Relevance of each grid cell: the highest of the model's cells that it touches.

    The highest, not the mean: a small object must not drown in its surroundings.

    Raises:
        ConfigError: empty or not two-dimensional.
    """
    if relevance.ndim != 2 or 0 in relevance.shape or min(grid) < 1:
        raise ConfigError(f"regions: relevance of shape {relevance.shape}, grid {grid}")
    clean = np.clip(np.nan_to_num(relevance, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    out = np.empty(grid)
    for row in range(grid[0]):
        top, bottom = _span(row, grid[0], clean.shape[0])
        for column in range(grid[1]):
            left, right = _span(column, grid[1], clean.shape[1])
            out[row, column] = clean[top:bottom, left:right].max()
    return out


def _span(index: int, count: int, size: int) -> tuple[int, int]:
    return index * size // count, -(-(index + 1) * size // count)
