"""From relevance to the regions of a product: cells, values, ladder, budget; one plan a request.

Purpose: the one path that node, study and evaluation choose regions by. Non-purpose: coding, which
a `Coder` does (``imaging.coder.RegionCoder``).

Theory of operation: the window is cut into cells; a cell whose relevance sits in a small part of it
is cut again, so that small things cost few bytes. Coder and ``value`` give bytes and gain of each
option; the ladder is climbed as far as the real product file fits. Regions are written best first,
so that a file that a pass breaks off holds what matters most.

Source: own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import Region

from .regions import cells, merge, relative
from .value import DROPPED, Floats, Option, Rung, Shown, choice, gains, ladder, seen, within

Window = tuple[int, int, int, int]
Base = tuple[float, float]
_DIGITS = 9
_LEAST_SUM = 1e-9
_TRIED = 2
"""Overviews whose ladders are really climbed: those that gain most by estimate."""


class Estimate(Protocol):
    """Of one cell at K options: bytes with a head, and the detail shown; see ``imaging.rate``."""

    @property
    def bytes(self) -> Floats:
        """(K,) coded."""

    @property
    def shown(self) -> Floats:
        """(K,) share of all detail, [0, 1]."""

    @property
    def fine(self) -> Floats:
        """(K,) share of fine detail, [0, 1]."""


class Coder(Protocol):
    """What is asked of a coder; see ``imaging.coder``."""

    contrast: float

    @property
    def has_steps(self) -> bool:
        """Whether there are quality steps."""

    @property
    def overview_scale(self) -> float:
        """Side length of the smallest overview."""

    def estimate(self, window: Sequence[int], options: Sequence[Base]) -> Estimate:
        """One cell at (scale, step)."""

    def size(self, regions: Sequence[Region], base: Base | None) -> int:
        """Bytes of the product file of these regions over an overview; None: the smallest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingConfig:
    """How regions are chosen.

    Attributes:
        cell_px: side of a cell, scene pixels. most: cells a side at most.
        fine_px: least side of a cell that is cut again; 0 cuts none.
        scales: side lengths on offer. qualities: steps on offer as shares of the contrast;
            0 is exact.
        bases: overviews on offer beside the smallest, (side length, step as share of the contrast).
        needed_px: side at which a thing is fully seen, scene pixels.
        floor: relevance that every cell has, [0, 1]: what the scores may have missed.
    """

    cell_px: int = 64
    most: int = 16
    fine_px: int = 32
    scales: tuple[float, ...] = (1.0, 0.5, 0.25)
    qualities: tuple[float, ...] = (0.25, 0.125, 0.0625, 0.0)
    bases: tuple[Base, ...] = (
        (0.125, 0.125), (0.25, 0.125), (0.5, 0.125), (0.5, 0.0625), (1.0, 0.25), (1.0, 0.125),
        (1.0, 0.0625),
    )  # fmt: skip
    needed_px: float = 12.0
    floor: float = 0.02

    def __post_init__(self) -> None:
        if min(self.cell_px, self.most) < 1 or self.fine_px < 0 or not 0 <= self.floor <= 1:
            raise ConfigError(f"sending: {self}")
        if not self.scales or not self.qualities or min(self.qualities) < 0:
            raise ConfigError("sending: no scale or quality on offer")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent.

    Attributes:
        regions: tile the window, those sent first, best first; ``codec`` names the quality.
        base: the overview, as ``Coder.size`` takes it.
        gain: over sending nothing, 1 for all of it exactly.
        next_gain: of the first rung that did not fit, 0 if all did.
        rungs, climbed: length of the ladder, and how much of it.
    """

    regions: tuple[Region, ...]
    base: Base | None
    gain: float
    next_gain: float
    rungs: int
    climbed: int


def plan(
    relevance: NDArray[np.floating],
    window: Sequence[int],
    coder: Coder,
    *,
    budget_bytes: float | None,
    config: SendingConfig,
    least_gain_per_byte: float = 0.0,
) -> Plan:
    """Choose overview and regions of a window.

    Args:
        relevance: (rows, columns) in [0, 1] over the window, any size; NaN counts as 0. Only what
            cells have relative to each other counts; without any, all count alike.
        window: x, y, w, h in scene pixels.
        budget_bytes: of the product file, head and overview included; None for no limit.
        least_gain_per_byte: price of a byte, in gains of whole windows.
    Returns:
        The plan that gains most, its file within the budget; or one of nothing but head and the
        overview of fewest bytes where even these are not.
    Raises:
        ConfigError: relevance, window or configuration break their contract.
    """
    places, shares, sizes = score(relative(relevance), window, config)
    options, bases = _offers(coder, config)
    offers = [*((o.scale, o.step) for o in options), *bases]
    found = [coder.estimate(place, offers) for place in places]
    shown = Shown(
        np.stack([f.shown for f in found]), np.stack([f.fine for f in found]),
        tuple(scale for scale, _ in offers))
    levels = seen(shown, sizes, config.needed_px)
    costs = np.stack([f.bytes for f in found])[:, : len(options)]
    dropped = _regions(places, shares, choice((), 0, len(places)), options)
    # Of one window: all of it exactly gains 1, so that a price means the same for any window.
    weights = shares / max(float(shares.sum()), _LEAST_SUM)
    starts: list[_Start] = []
    for number, base in enumerate((None, *bases)):
        size = coder.size(dropped, base)
        known = levels[:, len(options) + number - 1] if base else np.zeros(len(places))
        rungs = ladder(costs, gains(weights, levels[:, : len(options)], known),
                       least_gain_per_byte=least_gain_per_byte)
        starts.append(_Start(base, size, float((weights * known).sum()), rungs))
    limit = np.inf if budget_bytes is None else budget_bytes
    # Where no overview fits, the smallest goes all the same: it always goes first.
    starts = [s for s in starts if s.size <= limit] or [min(starts, key=lambda s: s.size)]
    starts.sort(key=lambda s: -s.guess(limit, least_gain_per_byte))  # stable: the smallest first
    made = [_climb(places, shares, options, start, coder, budget_bytes)
            for start in starts[:_TRIED]]
    return max(made, key=lambda m: round(
        m.gain - least_gain_per_byte * coder.size(m.regions, m.base), _DIGITS))


@dataclass(frozen=True, slots=True)
class _Start:
    """An overview with its bytes, what it gains, and the ladder above it."""

    base: Base | None
    size: float
    gain: float
    rungs: list[Rung]

    def guess(self, limit: float, price: float) -> float:
        """Net gain within a limit, by estimated bytes."""
        left, gain = limit - self.size, self.gain - price * self.size
        for rung in self.rungs:
            if rung.bytes > left:
                break
            left -= rung.bytes
            gain += rung.gain - price * rung.bytes
        return round(gain, _DIGITS)


def _climb(
    places: Sequence[Window], shares: Floats, options: Sequence[Option], start: _Start,
    coder: Coder, budget_bytes: float | None,
) -> Plan:
    """As far up one ladder as the budget reaches."""
    rungs, base = start.rungs, start.base
    made: dict[int, tuple[Region, ...]] = {}

    def regions(count: int) -> tuple[Region, ...]:
        if count not in made:
            made[count] = _regions(places, shares, choice(rungs, count, len(places)), options)
        return made[count]

    count = len(rungs)
    if budget_bytes is not None:
        count = within(count, budget_bytes, lambda n: coder.size(regions(n), base))
    return Plan(
        regions(count), base, start.gain + sum(r.gain for r in rungs[:count]),
        rungs[count].gain if count < len(rungs) else 0.0, len(rungs), count,
    )  # fmt: skip


def _offers(coder: Coder, config: SendingConfig) -> tuple[list[Option], list[Base]]:
    """Options of a cell, and overviews: with steps in units of the samples."""
    qualities = config.qualities if coder.has_steps else (0.0,)
    steps = sorted({_rounded(q * coder.contrast) for q in qualities}, reverse=True)
    options = [Option(scale, step) for scale in sorted(config.scales) for step in steps]
    bases = [(scale, _rounded(q * coder.contrast)) for scale, q in config.bases
             if scale >= coder.overview_scale > 0]
    return options, bases


def _rounded(step: float) -> float:
    """Three digits are enough, and fit in a codec's name."""
    return float(f"{step:.3g}")


def _regions(
    places: Sequence[Window], shares: Floats, chosen: NDArray[np.int64], options: Sequence[Option]
) -> tuple[Region, ...]:
    made = []
    for place, share, index in zip(places, shares, chosen.tolist(), strict=True):
        relevance = round(float(share), 3)  # digits cost bytes in the product's head
        if index == DROPPED:
            made.append(Region(window=place, action="drop", relevance=relevance))
            continue
        option = options[index]
        made.append(Region(
            window=place, action="keep" if option.scale == 1 else "downsample",
            scale=option.scale, relevance=relevance,
            codec=f"htj2k/{option.step:g}" if option.step else "",
        ))  # fmt: skip
    merged = merge(made)
    return tuple(sorted(merged, key=lambda r: (r.action == "drop", -r.relevance)))


def score(
    relevance: Floats, window: Sequence[int], config: SendingConfig
) -> tuple[list[Window], Floats, Floats]:
    """Cells of a window with their relevance and the side of the smallest thing in them.

    Args:
        relevance: (rows, columns); NaN counts as 0.
    Returns:
        Windows that tile the window; relevance (N,) in [0, 1]; sizes (N,) in scene pixels,
        NaN where nothing stands out.
    """
    sides = (window[3], window[2])
    grid = tuple(min(config.most, max(1, round(s / config.cell_px))) for s in sides)
    if relevance.ndim != 2 or 0 in relevance.shape:
        raise ConfigError(f"sending: relevance of shape {relevance.shape}")
    clean = np.clip(np.nan_to_num(relevance, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    places: list[Window] = []
    shares: list[float] = []
    sizes: list[float] = []
    for place in cells(window, (grid[0], grid[1])):
        part = _part(clean, place, window)
        size = _smallest(part, place)
        quarters = [place]
        if not np.isnan(size) and config.fine_px and min(place[2:]) >= 2 * config.fine_px:
            quarters = cells(place, (2, 2))
        for quarter in quarters:
            highest = float(_part(clean, quarter, window).max())
            stands_out = len(quarters) == 1 or highest >= part.max() / 2
            # What is left of a cell that was cut counts by its area, or cutting would raise it.
            weight = 1.0 if stands_out else quarter[2] * quarter[3] / (place[2] * place[3])
            places.append(quarter)
            shares.append(weight * max(config.floor, highest))
            sizes.append(size if stands_out else np.nan)
    return places, np.array(shares), np.array(sizes)


def _part(relevance: Floats, place: Window, window: Sequence[int]) -> Floats:
    """Cells of the relevance map that a place touches."""
    x, y, width, height = window
    rows, cols = relevance.shape
    left, top = (place[0] - x) * cols // width, (place[1] - y) * rows // height
    right = -(-(place[0] + place[2] - x) * cols // width)
    bottom = -(-(place[1] + place[3] - y) * rows // height)
    return relevance[top : max(bottom, top + 1), left : max(right, left + 1)]


def _smallest(part: Floats, place: Window) -> float:
    """Side of what stands out in a place, scene pixels; NaN when its relevance is even.

    What is at least half as relevant as the best stands out; a thing is as large as the area that
    does, spread over what may be several things, so it is at most that.
    """
    peak = float(part.max())
    share = float((part >= peak / 2).mean())
    if part.size < 4 or share > 0.5 or peak <= 0:
        return float("nan")
    return float(np.sqrt(share * place[2] * place[3]))
