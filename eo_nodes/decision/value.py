"""Choose how each cell of a window is sent, by value per byte, within a byte budget.

Purpose: the multiple-choice knapsack of regions: one option (drop, 1/4, 1/2 or full side length, in
several qualities) a cell. Non-purpose: relevance (``relevance``), coded sizes (``imaging.rate`` and
the coder itself, injected).

Theory of operation. The value of an option is what it adds to the answer over the overview, which
goes first in any case::

    gain(cell, option) = relevance * (seen(option) - seen(overview))
    seen(option)       = shown(option) * min(1, scale * size / needed)

``shown`` is the share of the cell's detail that is left, with little more to gain from 85 % on
(concave in bytes); where small things are it is that of fine detail. ``size`` is the side of the
smallest thing in the cell that the prompt may mean and ``needed`` what a model needs to see of one,
so downsampling costs most where small objects are and little where things are large.

Of each cell only the upper convex hull of (bytes, gain) counts. Its edges, of all cells, sorted by
slope, form one ladder: every prefix is a choice, and more of it only adds. All hulls, above several
overviews, are walked at once, an edge a step. ``within`` finds how far the budget reaches: it asks
what a choice takes as really coded where the estimates say that the budget ends, corrects them by
the answer, and is content with all but a fiftieth of the budget, so that little is coded in vain.

- Bound: a prefix is the optimum of its own cost (Sinha and Zoltners 1979), and for any budget the
  best choice gains less than the prefix plus the next rung: at most one item is lost.
- Monotone: of a budget counts what is below a mark, a fiftieth from one to the next. So more budget
  never gives a shorter prefix, as long as coding a longer one does not take fewer bytes. Nothing
  behind a rung that does not fit is taken in its stead: that would gain a little and cost this.

Source: greedy on convex hulls for the multiple-choice knapsack, Sinha and Zoltners 1979, Operations
Research 27; the gain: own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DROPPED = -1
ENOUGH = 0.85
"""Share of detail at which nearly all is seen: a correlation of 0.92 with the scene."""
FINE_SIDES = 2.0
"""Things of up to so many times the needed side are made of fine detail."""
_LAST = 0.05
_NEVER_BELOW = 1e-12
_CONTENT = 1.02
_TOLD = 4  # places that are asked at by estimate


@dataclass(frozen=True, slots=True)
class Option:
    """A way to send a cell. scale: of the side length, (0, 1]; step: of the wavelet in units of
    the samples, 0 for exact coding."""

    scale: float
    step: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1 or not self.step >= 0:
            raise ConfigError(f"value: option {self.scale}, {self.step}")


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """Steps of R rungs, steepest first: ``cells`` changes to ``options`` for so many ``bytes``
    and ``gains`` more; (R,) each."""

    cells: Ints
    options: Ints
    bytes: Floats
    gains: Floats

    def __len__(self) -> int:
        return len(self.cells)

    def choice(self, count: int, cells: int) -> Ints:
        """(cells,) option of each cell after the first ``count`` rungs; ``DROPPED`` for none."""
        chosen = np.full(cells, DROPPED, np.int64)
        chosen[self.cells[:count]] = self.options[:count]  # of several the last, the highest
        return chosen


@dataclass(frozen=True, slots=True)
class Shown:
    """What cells show at each option.

    Attributes:
        all: (N, K) share of a cell's detail, [0, 1]. fine: (N, K) of detail of small things.
        scales: (K,) side length of each option.
    """

    all: Floats
    fine: Floats
    scales: tuple[float, ...]


def seen(shown: Shown, sizes_px: Sequence[float] | Floats, needed_px: float = 12.0) -> Floats:
    """How well a model sees what is in each cell at each option, [0, 1].

    Nearly all of it is reached at ``ENOUGH`` of the detail; what little is behind that keeps exact
    samples worth something on an idle link.

    Args:
        sizes_px: (N,) side of the smallest thing that may be meant, in scene pixels; NaN or not
            above 0: nothing small is known.
        needed_px: side at which a thing is fully seen, > 0.
    Raises:
        ConfigError: shapes differ.
    """
    sizes = np.asarray(sizes_px, np.float64)
    shape = (len(sizes), len(shown.scales))
    if shown.all.shape != shape or shown.fine.shape != shape or needed_px <= 0:
        raise ConfigError(f"value: detail {shown.all.shape}, {shown.fine.shape}, sizes {shape}")
    is_small = np.isfinite(sizes) & (sizes > 0)
    side = np.where(is_small, sizes, np.inf)[:, None] * np.asarray(shown.scales)[None]
    share = np.where((side < FINE_SIDES * needed_px) & is_small[:, None], shown.fine, shown.all)
    clean = np.clip(np.nan_to_num(share), 0, 1)
    filled = _LAST * clean + (1 - _LAST) * np.minimum(1, clean / ENOUGH)
    return np.asarray(filled * np.minimum(1, side / needed_px))


def gains(relevance: Sequence[float] | Floats, options: Floats, base: Floats) -> Floats:
    """Gain of every option over what the base shows.

    Args:
        relevance: (N,) in [0, 1]; NaN and negative count as 0, infinity as 1.
        options: (N, K) of ``seen``. base: (N,) of what goes first.
    Returns:
        (N, K), 0 or more.
    Raises:
        ConfigError: shapes differ.
    """
    share = np.clip(np.nan_to_num(np.asarray(relevance, np.float64), nan=0, posinf=1, neginf=0),
                    0, 1)
    if share.shape != options.shape[:1] or base.shape != share.shape:
        raise ConfigError(f"value: relevance {share.shape}, options {options.shape}")
    return np.asarray(share[:, None] * np.maximum(options - base[:, None], 0.0))


def ladders(costs: Floats, values: Floats) -> list[Ladder]:
    """Edges of all cells' upper convex hulls from (0, 0), steepest first; of equals the first cell.

    What costs more and gains no more, or lies on or below the line between its neighbours, is left
    out.

    Args:
        costs: (N, K) bytes, > 0. values: (B, N, K) gains, 0 or more, above each of B overviews.
    Returns:
        B ladders.
    Raises:
        ConfigError: shapes differ, or a cost is not positive and finite.
    """
    if values.ndim != 3 or costs.shape != values.shape[1:]:
        raise ConfigError(f"value: costs {costs.shape}, values {values.shape}")
    if not np.isfinite(costs).all() or (costs <= 0).any():
        raise ConfigError("value: a cost is not positive and finite")
    bases, cells, count = values.shape
    order = np.argsort(-costs, axis=1, kind="stable")  # of equal slopes the farthest is first
    x = np.tile(np.take_along_axis(costs, order, 1), (bases, 1))
    y = np.take_along_axis(values, order[None], 2).reshape(-1, count)
    at = np.arange(len(x))
    at_x, at_y, last = np.zeros(len(x)), np.zeros(len(x)), np.full(len(x), np.inf)
    edges: list[tuple[Ints, Ints, Floats, Floats, Floats]] = []
    while len(at):
        more, better = x[at] - at_x[:, None], y[at] - at_y[:, None]
        rises = (better > _NEVER_BELOW) & (more > 0)
        slopes = np.where(rises, better / np.where(rises, more, 1.0), -1.0)
        best = slopes.argmax(axis=1)
        row = np.arange(len(at))
        slope = np.minimum(slopes[row, best], last)  # equal up to rounding
        goes = slope > 0
        at, row, best, last = at[goes], row[goes], best[goes], slope[goes]
        edges.append((at, best, more[row, best], better[row, best], last))
        at_x, at_y = x[at, best], y[at, best]
    at, best, more, better, slope = (np.concatenate(part) for part in zip(*edges, strict=True))
    made = []
    for base in range(bases):
        own = np.flatnonzero(at // cells == base)
        cell = at[own] - base * cells
        # Edges of a cell come in the order in which they are climbed, and a stable sort keeps it.
        own = own[np.lexsort((cell, -slope[own]))]
        cell = at[own] - base * cells
        made.append(Ladder(cell, order[cell, best[own]], more[own], better[own]))
    return made


def within(
    totals: Floats, budget_bytes: float, measure: Callable[[int], float], *, fixed: float = 0.0,
    ratio: float = 1.0,
) -> tuple[int, float]:
    """How many rungs the budget reaches, 0 to R.

    Args:
        totals: (R + 1,) estimated bytes after so many rungs, from 0, rising.
        measure: bytes of all after so many rungs, as really coded.
        fixed: of them, what is there without any rung. ratio: real to estimated bytes, a guess.
    Returns:
        n with ``measure(n) <= budget_bytes``, or 0; and the ratio as last measured.
    """
    limit = _mark(budget_bytes)
    low, high, asked = 0, len(totals) - 1, 0
    while low < high:
        # Where estimates do not help, halves do.
        place = (low + high + 1) // 2
        if asked < _TOLD:
            told = int(np.searchsorted(fixed + totals * ratio, limit, side="right")) - 1
            place = min(max(told, low + 1), high)
        size = measure(place)
        asked += 1
        ratio = max(size - fixed, 1.0) / max(float(totals[place]), _NEVER_BELOW)
        if size > limit:
            high = place - 1
        elif size >= limit / _CONTENT:
            return place, ratio
        else:
            low = place
    return low, ratio


def _mark(budget_bytes: float) -> float:
    """Next lower of the marks, ``_CONTENT`` times the one before each."""
    if budget_bytes <= 1:
        return max(budget_bytes, 0.0)
    steps = np.floor(np.log(budget_bytes) / np.log(_CONTENT) + _NEVER_BELOW)
    return min(float(_CONTENT**steps), budget_bytes)
