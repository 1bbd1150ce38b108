"""From relevance to the regions of a product: cells, values, ladder, budget; one plan a request.

Purpose: the one path that node, study and evaluation choose regions by. Non-purpose: coding, which
a `Coder` does (``imaging.coder.RegionCoder``).

Theory of operation: the window is cut into cells (``cutting``). The coder's estimates and ``value``
give bytes and gain of each option of each cell, above each overview. The overview that gains most
by estimate is coded, its ladder climbed as far as the real product file fits, and what that says of
the estimates tells whether another overview is worth trying. Regions are written best first, so
that a file that a pass breaks off holds what matters most.

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

from .cutting import cut
from .regions import Tiles, relative
from .value import DROPPED, Floats, Ints, Ladder, Option, Shown, ladders, seen, within

Base = tuple[float, float]
_DIGITS = 9
LEAST_SUM = 1e-9
_NOTHING = -1e9
# Of its estimate, what an overview that was not coded may take: low, so that none goes unseen.
_HOPED = 0.8
_LAST = 4  # overviews that are coded where none seems to fit
_TRIED = 2
"""Overviews whose ladders are really climbed at most: those that gain most by estimate."""
_WORTH = 1.01
"""Climbing one more must promise so many times the gain: below that estimates say nothing."""


class Estimate(Protocol):
    """Of N cells at K options: bytes with a head, and the detail shown; see ``imaging.rate``."""

    @property
    def bytes(self) -> Floats:
        """(N, K) coded."""

    @property
    def shown(self) -> Floats:
        """(N, K) share of all detail, [0, 1]."""

    @property
    def fine(self) -> Floats:
        """(N, K) share of fine detail, [0, 1]."""


class Coder(Protocol):
    """What is asked of a coder; see ``imaging.coder``."""

    contrast: float

    @property
    def has_steps(self) -> bool:
        """Whether there are quality steps."""

    @property
    def overview_scale(self) -> float:
        """Side length of the smallest overview."""

    @property
    def head_size(self) -> int:
        """Bytes of a product file that holds nothing."""

    def estimate(self, windows: Ints, options: Sequence[Base]) -> Estimate:
        """Cells (N, 4) at (scale, step)."""

    def block_size(self, region: Region) -> int:
        """Bytes of one region as coded."""

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
        (0.125, 0.125), (0.25, 0.25), (0.25, 0.125), (0.25, 0.0625), (0.5, 0.25), (0.5, 0.125),
        (0.5, 0.0625), (1.0, 0.5), (1.0, 0.25), (1.0, 0.125), (1.0, 0.0625),
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
        rungs, climbed: length of the ladder, and how much of it.
    """

    regions: tuple[Region, ...]
    base: Base | None
    gain: float
    rungs: int
    climbed: int


def plan(
    relevance: NDArray[np.floating],
    window: Sequence[int],
    coder: Coder,
    *,
    budget_bytes: float | None,
    config: SendingConfig,
) -> Plan:
    """Choose overview and regions of a window.

    Args:
        relevance: (rows, columns) in [0, 1] over the window, any size; NaN counts as 0. Only what
            cells have relative to each other counts; without any, all count alike.
        window: x, y, w, h in scene pixels.
        budget_bytes: of the product file, head and overview included; None for no limit.
    Returns:
        The plan that gains most, its file within the budget; or one of nothing but head and the
        overview of fewest bytes where even these are not.
    Raises:
        ConfigError: relevance, window or configuration break their contract.
    """
    work = _Work(relevance, window, coder, config)
    limit = np.inf if budget_bytes is None else budget_bytes
    left = list(work.starts)
    made: list[Plan] = []
    while left and len(made) < _TRIED:
        guesses = work.guesses(limit)
        best = max(left, key=lambda start: guesses[start.index])  # of equals the smallest
        guess = guesses[best.index]
        if guess == _NOTHING or (made and guess <= _WORTH * max(m.gain for m in made)):
            break
        if work.is_measured(best):
            left.remove(best)
            made.append(work.climb(best, limit))
        else:
            work.measure(best)
    if not made:  # one goes all the same: it always goes first
        made.append(work.climb(work.smallest(), limit))
    return max(made, key=lambda m: round(m.gain, _DIGITS))


@dataclass(frozen=True, slots=True)
class _Start:
    """An overview with its estimated bytes beside the head, and its ladder."""

    index: int
    base: Base | None
    bytes: float
    ladder: Ladder


class _Work:
    """One request's cells, options and ladders; ``ratio``: real to estimated bytes so far."""

    def __init__(
        self, relevance: NDArray[np.floating], window: Sequence[int], coder: Coder,
        config: SendingConfig,
    ) -> None:
        self._coder, self._window, self.ratio = coder, tuple(window), 1.0
        self._places, self._shares, sizes = cut(
            relative(relevance), window, cell_px=config.cell_px, most=config.most,
            fine_px=config.fine_px, floor=config.floor)
        self._options, bases = offers_of(coder, config)
        count = len(self._options)
        # Most overviews are what a cell may be sent as, too.
        offers = list(dict.fromkeys([*((o.scale, o.step) for o in self._options), *bases]))
        over = [offers.index(base) for base in bases]
        found = coder.estimate(np.vstack([self._places, self._window]), offers)
        shown = Shown(found.shown[:-1], found.fine[:-1], tuple(scale for scale, _ in offers))
        levels = seen(shown, sizes, config.needed_px)
        # Of one window: all of it exactly gains 1.
        weights = self._shares / max(float(self._shares.sum()), LEAST_SUM)
        known = np.zeros((len(weights), 1 + len(over)))
        known[:, 1:] = levels[:, over]
        made = ladders(found.bytes[:-1, :count], levels[:, :count], weights, known.T)
        self._cells = Cells(self._places, self._shares, self._options)
        self._bytes = np.append(0.0, found.bytes[-1, over])
        self.starts = [
            _Start(index, base, size, ladder) for index, (base, size, ladder) in enumerate(
                zip((None, *bases), self._bytes.tolist(), made, strict=True))]
        # After so many rungs; behind the last there is no more, whatever it may cost.
        self._totals = np.full((len(made), 1 + max(map(len, made))), np.inf)
        self._gained = np.zeros(self._totals.shape)
        self._totals[:, 0], self._gained[:, 0] = 0.0, weights @ known
        for row, ladder in enumerate(made):
            self._totals[row, 1 : len(ladder) + 1] = ladder.bytes
            self._gained[row, 1 : len(ladder) + 1] = ladder.gains
        self._totals, self._gained = self._totals.cumsum(axis=1), self._gained.cumsum(axis=1)
        self._real = np.full(len(made), np.nan)  # files of an overview alone
        self.measure(self.starts[0])

    def is_measured(self, start: _Start) -> bool:
        """Whether it is known what an overview really takes."""
        return not np.isnan(self._real[start.index])

    def measure(self, start: _Start) -> None:
        """Code an overview; of a better one than the smallest, estimates learn from it."""
        foot = self._coder.size(self._chosen(start, 0), start.base)
        self._real[start.index] = foot
        if start.base:
            self.ratio = max(foot - self._coder.head_size, 1.0) / max(start.bytes, 1.0)

    def _feet(self) -> Floats:
        """What each overview's file takes, as coded or as hoped."""
        hoped = self._coder.head_size + self._bytes * (self.ratio * _HOPED)
        return np.where(np.isnan(self._real), hoped, self._real)

    def _chosen(self, start: _Start, count: int) -> tuple[Region, ...]:
        if count == 0:
            return (Region(window=self._window, action="drop", relevance=1.0),)
        return self._cells.regions(start.ladder.choice(count, len(self._places)))

    def guesses(self, limit: float) -> list[float]:
        """Gain of each start within a limit by estimated bytes; ``_NOTHING`` where it fits not."""
        left = limit - self._feet()
        counts = (self._totals <= (left / self.ratio)[:, None]).sum(axis=1)
        gains = self._gained[np.arange(len(left)), np.maximum(counts - 1, 0)].round(_DIGITS)
        return list(np.where(left < 0, _NOTHING, gains).tolist())

    def climb(self, start: _Start, limit: float) -> Plan:
        """As far up one ladder as the limit reaches."""
        made: dict[int, tuple[Region, ...]] = {}

        def size(count: int) -> int:
            made[count] = self._chosen(start, count)
            return self._coder.size(made[count], start.base)

        rungs = len(start.ladder)
        foot = float(self._feet()[start.index])
        count = rungs if foot <= limit else 0
        if count and np.isfinite(limit):
            count, self.ratio = within(self._totals[start.index, : rungs + 1], limit, size,
                                       fixed=foot, ratio=self.ratio)
        regions = made.get(count) or self._chosen(start, count)
        return Plan(regions, start.base, float(self._gained[start.index, count]), rungs, count)

    def smallest(self) -> _Start:
        """The overview that really takes the fewest bytes, of those that should."""
        for start in sorted(self.starts, key=lambda s: s.bytes)[:_LAST]:
            if not self.is_measured(start):
                self.measure(start)
        return min(filter(self.is_measured, self.starts), key=lambda s: self._real[s.index])


def offers_of(coder: Coder, config: SendingConfig) -> tuple[list[Option], list[Base]]:
    """Options of a cell, and overviews: with steps in units of the samples."""
    qualities = config.qualities if coder.has_steps else (0.0,)
    steps = sorted({_rounded(q * coder.contrast) for q in qualities}, reverse=True)
    # What is made smaller is not exact anyway.
    options = [Option(scale, step) for scale in sorted(config.scales) for step in steps
               if step or scale == 1 or len(steps) == 1]
    bases = [(scale, _rounded(q * coder.contrast)) for scale, q in config.bases
             if scale >= coder.overview_scale > 0]
    return options, bases


def _rounded(step: float) -> float:
    """Three digits are enough, and fit in a codec's name."""
    return float(f"{step:.3g}")


class Cells:
    """Cells of a window that become regions, again and again as more is tried."""

    def __init__(self, places: Ints, shares: Floats, options: Sequence[Option]) -> None:
        """Take cells (N, 4) with their relevance (N,), and what they may be sent as."""
        # Digits cost bytes in the product's head.
        self._tiles = Tiles(places, shares.round(3))
        self._sent = {
            index: ("keep" if option.scale == 1 else "downsample", option.scale,
                    f"htj2k/{option.step:g}" if option.step else "")
            for index, option in enumerate(options)
        } | {DROPPED: ("drop", 0.0, "")}  # fmt: skip

    def regions(self, chosen: Ints) -> tuple[Region, ...]:
        """Regions of the cells at these options (N,), best first, dropped ones last."""
        found = self._tiles.joined(chosen)
        found.sort(key=lambda one: (one[2] == DROPPED, -one[1]))
        made = []
        for window, share, index, _ in found:
            action, scale, codec = self._sent[index]
            made.append(Region(window=window, action=action, scale=scale, relevance=share,
                               codec=codec))
        return tuple(made)
