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
slope, form one ladder: every prefix is a choice, and more of it only adds. One hull a cell serves
all overviews, and all are found at once. ``within`` finds how far the budget reaches: it asks
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
from itertools import pairwise
from math import inf, isfinite

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


def ladders(
    costs: Floats, options: Floats, relevance: Sequence[float] | Floats, bases: Floats
) -> list[Ladder]:
    """Edges of all cells' upper convex hulls above each overview, steepest first; of equals the
    first cell.

    What costs more and gains no more, or lies on or below the line between its neighbours, is left
    out. Whatever an overview shows, what is worth its bytes above it lies on the hull from (0, 0):
    above a better overview that is only entered later. So one hull a cell is found for all.

    Args:
        costs: (N, K) bytes, > 0. options: (N, K) of ``seen``.
        relevance: (N,) in [0, 1]; NaN and negative count as 0, infinity as 1.
        bases: (B, N) of ``seen`` of what goes first.
    Returns:
        B ladders.
    Raises:
        ConfigError: shapes differ, or a cost is not positive and finite.
    """
    share = np.clip(np.nan_to_num(np.asarray(relevance, np.float64), nan=0, posinf=1, neginf=0),
                    0, 1)
    if costs.shape != options.shape or not len(share) == len(costs) == bases.shape[1]:
        raise ConfigError(f"value: costs {costs.shape}, seen {options.shape}, {bases.shape}")
    if not np.isfinite(costs).all() or (costs <= 0).any():
        raise ConfigError("value: a cost is not positive and finite")
    order = np.argsort(costs, axis=1, kind="stable")
    x, y = (np.take_along_axis(v, order, 1) for v in (costs, options))
    is_corner, more, better = _hulls(x, y)
    # Corners to the front, and as many columns as the longest hull has.
    longest = int(is_corner.sum(axis=1).max(initial=1))
    front = np.argsort(~is_corner, axis=1, kind="stable")[:, :longest]
    order = np.take_along_axis(order, front, 1)
    is_corner = np.take_along_axis(is_corner, front, 1)
    x, y, more, better = (np.take_along_axis(v, front, 1) for v in (x, y, more, better))
    height = y - bases[:, :, None]
    is_up = is_corner & (height * share[:, None] > _NEVER_BELOW)
    first = np.where(is_up, height / x, 0.0)
    # Entered where it is steepest from the overview; of equal slopes at the farthest.
    place = np.arange(x.shape[1])
    enters = (place[-1] - first[:, :, ::-1].argmax(axis=2))[:, :, None]
    is_edge = is_up & (place >= enters)
    slopes = np.where(place == enters, first, better / more)
    # They fall, whatever rounding says.
    slopes = np.minimum.accumulate(np.where(is_edge, slopes, np.inf), axis=2)
    base, cell, corner = np.nonzero(is_edge)
    is_first = corner == enters[base, cell, 0]
    costs_more = np.where(is_first, x[cell, corner], more[cell, corner])
    gains_more = share[cell] * np.where(is_first, height[base, cell, corner], better[cell, corner])
    # Edges of a cell come in the order in which they are climbed, and a stable sort keeps it.
    climbed = np.argsort(-share[cell] * slopes[base, cell, corner], kind="stable")
    climbed = climbed[np.argsort(base[climbed].astype(np.uint16), kind="stable")]
    ends = np.searchsorted(base, np.arange(len(bases) + 1))
    rungs = Ladder(cell[climbed], order[cell, corner][climbed], costs_more[climbed],
                   gains_more[climbed])
    return [Ladder(rungs.cells[a:b], rungs.options[a:b], rungs.bytes[a:b], rungs.gains[a:b])
            for a, b in pairwise(ends.tolist())]


def _hulls(x: Floats, y: Floats) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """(N, K) corners of each cell's upper convex hull, from (0, 0) to its highest point, and what
    they are farther and higher than the corner before; elsewhere 1 and 0.

    A corner is steeper from all on its left than all on its right are from it.

    Args:
        x: (N, K) > 0, rising. y: (N, K).
    """
    count = x.shape[1]
    # From the second to the third; 32 bits are enough to compare, and half as much to move.
    across, up = ((v[:, None] - v[:, :, None]).astype(np.float32) for v in (x, y))
    is_right = across > 0
    slopes = np.where(is_right, up / np.where(is_right, across, 1.0), np.nan)
    # Of equally far ones the highest, and of these the first, hides the others.
    is_hid = (across == 0) & ((up > 0) | ((up == 0) & np.tri(count, k=-1, dtype=bool)))
    to = np.where(is_right, slopes, np.where(is_hid, np.inf, 0.0)).max(axis=2)
    since = np.minimum(y / x, np.where(is_right, slopes, np.inf).min(axis=1))
    is_corner = since > np.maximum(to, 0.0)
    place = np.where(is_corner, np.arange(count), -1)
    before = np.insert(np.maximum.accumulate(place, axis=1), 0, -1, axis=1)[:, :-1]
    farther, higher = (
        v - np.where(before < 0, 0.0, np.take_along_axis(v, np.maximum(before, 0), 1))
        for v in (x, y))
    return is_corner, np.where(is_corner, farther, 1.0), np.where(is_corner, higher, 0.0)


def within(
    totals: Floats, budget_bytes: float, measure: Callable[[int], float], *,
    fixed: float = 0.0, ratio: float = 1.0,
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
    aim = limit / _CONTENT**0.5  # the middle of what is content
    low, high, asked = 0, len(totals) - 1, 0
    under, over = (0.0, fixed), (inf, inf)  # estimated and real bytes of either end
    while low < high:
        # Where estimates do not help, halves do.
        place = (low + high + 1) // 2
        if asked < _TOLD:
            slope = ratio
            if isfinite(over[0]) and over[0] > under[0]:
                slope = (over[1] - under[1]) / (over[0] - under[0])
            told = under[0] + (aim - under[1]) / max(slope, _NEVER_BELOW)
            place = min(max(int(totals.searchsorted(told, "right")) - 1, low + 1), high)
        size = measure(place)
        asked, told_of = asked + 1, float(totals[place])
        ratio = max(size - fixed, 1.0) / max(told_of, _NEVER_BELOW)
        if size > limit:
            high, over = place - 1, (told_of, size)
        elif size >= limit / _CONTENT:
            return place, ratio
        else:
            low, under = place, (told_of, size)
    return low, ratio


def _mark(budget_bytes: float) -> float:
    """Next lower of the marks, ``_CONTENT`` times the one before each."""
    if budget_bytes <= 1:
        return max(budget_bytes, 0.0)
    steps = np.floor(np.log(budget_bytes) / np.log(_CONTENT) + _NEVER_BELOW)
    return min(float(_CONTENT**steps), budget_bytes)
