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
slope, form one ladder: every prefix is a choice, and more of it only adds. ``within`` finds how far
the budget reaches, by really coding the choice.

- Bound: a prefix is the optimum of its own cost (Sinha and Zoltners 1979), and for any budget the
  best choice gains less than the prefix plus the next rung: at most one item is lost.
- Monotone: the bisection asks at the same places whatever the budget, so more budget never gives a
  shorter prefix, even if coding a larger choice should take fewer bytes. Nothing behind a rung that
  does not fit is taken in its stead: that would gain a little and cost this.
- A byte has a price when others wait for the contact: rungs that gain less a byte are left out.

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


@dataclass(frozen=True, slots=True)
class Option:
    """A way to send a cell. scale: of the side length, (0, 1]; step: of the wavelet in units of
    the samples, 0 for exact coding."""

    scale: float
    step: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1 or not self.step >= 0:
            raise ConfigError(f"value: option {self.scale}, {self.step}")


@dataclass(frozen=True, slots=True)
class Rung:
    """One step up the ladder: ``cell`` changes to ``option`` for so many bytes and gain more."""

    cell: int
    option: int
    bytes: float
    gain: float


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


def hull(costs: Sequence[float] | Floats, values: Sequence[float] | Floats) -> list[int]:
    """Options of one cell on the upper convex hull from (0, 0), cheapest first.

    What costs more and gains no more, or lies below the line between its neighbours, is left out.
    """
    order = sorted(range(len(costs)), key=lambda k: (costs[k], -values[k]))
    chosen: list[int] = []
    for k in order:
        while True:
            x1, y1 = (costs[chosen[-1]], values[chosen[-1]]) if chosen else (0.0, 0.0)
            if values[k] <= y1 + _NEVER_BELOW:
                break
            x0, y0 = (costs[chosen[-2]], values[chosen[-2]]) if len(chosen) > 1 else (0.0, 0.0)
            if chosen and (y1 - y0) * (costs[k] - x1) <= (values[k] - y1) * (x1 - x0):
                chosen.pop()
                continue
            chosen.append(k)
            break
    return chosen


def ladder(costs: Floats, values: Floats, *, least_gain_per_byte: float = 0.0) -> list[Rung]:
    """Edges of all cells' hulls, steepest first; among equals the earlier cell.

    Args:
        costs: (N, K) bytes, > 0. values: (N, K) gains, 0 or more.
        least_gain_per_byte: price of a byte; 0 while nothing else waits for it.
    Raises:
        ConfigError: shapes differ, or a cost is not positive and finite.
    """
    if costs.shape != values.shape or costs.ndim != 2:
        raise ConfigError(f"value: costs {costs.shape}, values {values.shape}")
    if not np.isfinite(costs).all() or (costs <= 0).any():
        raise ConfigError("value: a cost is not positive and finite")
    rungs: list[tuple[float, int, int, Rung]] = []
    for cell in range(len(costs)):
        bytes_, gain, last = 0.0, 0.0, np.inf
        for place, option in enumerate(hull(costs[cell], values[cell])):
            more, better = float(costs[cell, option]) - bytes_, float(values[cell, option]) - gain
            slope = min(better / max(more, _NEVER_BELOW), last)  # equal up to rounding
            if slope < least_gain_per_byte:
                break
            rungs.append((-slope, cell, place, Rung(cell, option, more, better)))
            bytes_, gain = float(costs[cell, option]), float(values[cell, option])
            last = slope
    rungs.sort(key=lambda r: r[:3])
    return [rung for *_, rung in rungs]


def choice(rungs: Sequence[Rung], count: int, cells: int) -> Ints:
    """(cells,) option of each cell after the first ``count`` rungs; ``DROPPED`` for none."""
    chosen = np.full(cells, DROPPED, np.int64)
    for rung in rungs[:count]:
        chosen[rung.cell] = rung.option
    return chosen


def within(count: int, budget_bytes: float, measure: Callable[[int], float]) -> int:
    """How many rungs the budget reaches, 0..count.

    Args:
        measure: bytes of the choice after so many rungs, as really coded.
    Returns:
        n with ``measure(n) <= budget_bytes``, or 0; never less for a larger budget.
    """
    low, high = 0, count
    # Places are asked at without regard to the budget's size, or it would not be monotone.
    while low < high:
        middle = (low + high + 1) // 2
        if measure(middle) <= budget_bytes:
            low = middle
        else:
            high = middle - 1
    return low


def loss_bound(rungs: Sequence[Rung], count: int) -> float:
    """How much more than the first ``count`` rungs any choice can gain that fits as they do."""
    return rungs[count].gain if count < len(rungs) else 0.0
