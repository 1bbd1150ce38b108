"""Choose how each cell of a window is sent, by value per byte, within a byte budget.

Purpose: the multiple-choice knapsack of regions: one option (drop, 1/4, 1/2 or full side length, in
several qualities) a cell. Non-purpose: relevance (``relevance``), coded sizes (``imaging.rate`` and
the coder itself, injected).

Theory of operation. The value of an option is what it adds to the answer over the overview, which
goes first in any case::

    gain(cell, option) = relevance * (seen(option) - seen(overview))
    seen(option)       = shown(option) * min(1, scale * size / needed)

``shown`` says how well the cell's detail is seen: the square of the share that is left, with little
more to gain from 88 % on. A thing that is half there is mostly not seen, so that few cells well
come before many badly; where small things are it is the share of fine detail. ``size`` is the side
of the smallest thing in the cell that the prompt may mean and ``needed`` what a model needs to see
of one, so downsampling costs most where small objects are and little where things are large.

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
ENOUGH = 0.88
"""Share of detail at which nearly all is seen: a correlation of 0.94 with the scene."""
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

    It rises with the square of the detail, as the share of things on chips of val does that are
    like themselves. Nearly all of it is reached at ``ENOUGH``; what little is behind that keeps
    exact samples worth something on an idle link.

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
    filled = _LAST * clean + (1 - _LAST) * np.minimum(1, clean / ENOUGH) ** 2
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
    share = np.fmin(np.fmax(np.asarray(relevance, np.float64), 0.0), 1.0)
    if costs.shape != options.shape or not len(share) == len(costs) == bases.shape[1]:
        raise ConfigError(f"value: costs {costs.shape}, seen {options.shape}, {bases.shape}")
    if not np.isfinite(costs).all() or (costs <= 0).any():
        raise ConfigError("value: a cost is not positive and finite")
    # Cells along the last axis: short axes are walked step by step, over all cells at once.
    order: Ints = costs.argsort(axis=1, kind="stable").T
    from_row = order + np.arange(0, costs.size, costs.shape[1])
    cell, option, x, y, more, better = _hulls(costs.take(from_row), options.take(from_row), order)
    ends = cell.searchsorted(np.arange(len(costs) + 1))
    corner = np.arange(len(cell)) - ends[cell]
    count = int(corner.max(initial=0)) + 1
    table = np.ones((4, count, len(costs)))
    table[:, corner, cell] = x, y, more, better
    is_corner = np.arange(count)[:, None] < np.diff(ends)
    x_of, y_of, more_of, better_of = table
    height = y_of[:, None] - bases
    is_up = is_corner[:, None] & (height * share > _NEVER_BELOW)
    first = np.where(is_up, height / x_of[:, None], 0.0)
    # Entered where it is steepest from the overview; of equal slopes at the farthest.
    steepest, enters = first[0], np.zeros(first.shape[1:], np.int64)
    for rank in range(1, count):
        enters[first[rank] >= steepest] = rank
        steepest = np.maximum(steepest, first[rank])
    place = np.arange(count)[:, None, None]
    is_edge = is_up & (place >= enters)
    slopes = np.where(place == enters, first, (better_of / more_of)[:, None])
    # They fall, whatever rounding says.
    slopes = np.minimum.accumulate(np.where(is_edge, slopes, np.inf), axis=0)
    base, where, number = is_edge.transpose(1, 2, 0).nonzero()
    at = ends[where] + number
    is_first = number == enters[base, where]
    weight = share[where]
    costs_more = np.where(is_first, x[at], more[at])
    gains_more = weight * np.where(is_first, height[number, base, where], better[at])
    falling, chosen = -weight * slopes[number, base, where], option[at]
    found = []
    for a, b in pairwise(base.searchsorted(np.arange(len(bases) + 1)).tolist()):
        # Edges of a cell come in the order in which they are climbed, and a stable sort keeps it.
        climbed = a + falling[a:b].argsort(kind="stable")
        found.append(Ladder(where[climbed], chosen[climbed], costs_more[climbed],
                            gains_more[climbed]))
    return found


def _hulls(x: Floats, y: Floats, order: Ints) -> tuple[Ints, Ints, Floats, Floats, Floats, Floats]:
    """Corners of each cell's upper convex hull, from (0, 0) to its highest point, cell by cell.

    A corner is steeper from all on its left than all on its right are from it.

    Args:
        x: (K, N) > 0, rising. y: (K, N). order: (K, N) option of each.
    Returns:
        (M,) cell, option, x, y of each corner, and what it is farther and higher than the one
        before.
    """
    # From the first to the second; 32 bits are enough to compare, and half as much to move.
    across, up = ((v - v[:, None]).astype(np.float32) for v in (x, y))
    is_right = across > 0
    slopes = up / np.where(is_right, across, np.float32(1))
    hidden: Floats | float = 0.0
    if (x[1:] == x[:-1]).any():
        # Of equally far ones the highest, and of these the first, hides the others.
        is_later = np.tri(len(x), k=-1, dtype=bool)[:, :, None]
        is_hid = (across == 0) & ((up > 0) | ((up == 0) & is_later))
        hidden = np.where(is_hid, np.inf, 0.0)
    to = np.where(is_right, slopes, hidden).max(axis=1)
    since = np.minimum(y / x, np.where(is_right, slopes, np.inf).min(axis=0))
    cell, place = (since > np.maximum(to, 0.0)).T.nonzero()
    corners = x[place, cell], y[place, cell]
    is_same = cell[1:] == cell[:-1]
    steps = []
    for v in corners:
        step = v.copy()
        step[1:] -= np.where(is_same, v[:-1], 0.0)
        steps.append(step)
    return cell, order[place, cell], *corners, *steps


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
