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

from .regions import cells, merge
from .value import DROPPED, Floats, Option, Rung, choice, gains, ladder, within

Window = tuple[int, int, int, int]


class Coder(Protocol):
    """What is asked of a coder; see ``imaging.coder``."""

    contrast: float
    overview_scale: float

    @property
    def has_steps(self) -> bool:
        """Whether there are quality steps."""

    def estimate(
        self, window: Sequence[int], options: Sequence[tuple[float, float]]
    ) -> tuple[Floats, Floats, float]:
        """Bytes (K,) and detail shown (K,) of a cell, and what the overview shows of it."""

    def size(self, regions: Sequence[Region]) -> int:
        """Bytes of the product file of these regions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingConfig:
    """How regions are chosen.

    Attributes:
        cell_px: side of a cell, scene pixels. most: cells a side at most.
        fine_px: least side of a cell that is cut again; 0 cuts none.
        scales: side lengths on offer. qualities: steps on offer as shares of the contrast;
            0 is exact.
        needed_px: side at which a thing is fully seen, scene pixels.
        floor: relevance that every cell has, [0, 1]: what the scores may have missed.
    """

    cell_px: int = 64
    most: int = 16
    fine_px: int = 32
    scales: tuple[float, ...] = (1.0, 0.5, 0.25)
    qualities: tuple[float, ...] = (0.25, 0.125, 0.0625, 0.0)
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
        gain: sum over what is sent. next_gain: of the first rung that did not fit, 0 if all did.
        rungs, climbed: length of the ladder, and how much of it.
    """

    regions: tuple[Region, ...]
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
    """Choose the regions of a window.

    Args:
        relevance: (rows, columns) in [0, 1] over the window, any size; NaN counts as 0.
        window: x, y, w, h in scene pixels.
        budget_bytes: of the product file, head and overview included; None for no limit.
        least_gain_per_byte: price of a byte.
    Returns:
        A plan whose file is within the budget, or of nothing but head and overview where even
        these are not.
    Raises:
        ConfigError: relevance, window or configuration break their contract.
    """
    places, shares, sizes = score(np.asarray(relevance, np.float64), window, config)
    options = _options(coder, config)
    rungs = _rungs(places, shares, sizes, coder, options, config, least_gain_per_byte)
    made: dict[int, tuple[Region, ...]] = {}

    def regions(count: int) -> tuple[Region, ...]:
        if count not in made:
            made[count] = _regions(places, shares, choice(rungs, count, len(places)), options)
        return made[count]

    count = len(rungs)
    if budget_bytes is not None and coder.size(regions(count)) > budget_bytes:
        count = within(count - 1, budget_bytes, lambda n: coder.size(regions(n)))
    return Plan(
        regions(count), sum(r.gain for r in rungs[:count]),
        rungs[count].gain if count < len(rungs) else 0.0, len(rungs), count,
    )  # fmt: skip


def _options(coder: Coder, config: SendingConfig) -> list[Option]:
    qualities = config.qualities if coder.has_steps else (0.0,)
    steps = sorted({_rounded(q * coder.contrast) for q in qualities}, reverse=True)
    return [Option(scale, step) for scale in sorted(config.scales) for step in steps]


def _rounded(step: float) -> float:
    """Three digits are enough, and fit in a codec's name."""
    return float(f"{step:.3g}")


def _rungs(
    places: Sequence[Window], shares: Floats, sizes: Floats, coder: Coder,
    options: Sequence[Option], config: SendingConfig, least_gain_per_byte: float,
) -> list[Rung]:
    offers = [(option.scale, option.step) for option in options]
    found = [coder.estimate(place, offers) for place in places]
    gained = gains(
        shares, np.stack([shown for _, shown, _ in found]), [scale for scale, _ in offers],
        sizes_px=sizes, needed_px=config.needed_px,
        overview=(np.array([known for _, _, known in found]), coder.overview_scale),
    )  # fmt: skip
    costs = np.stack([bytes_ for bytes_, _, _ in found])
    return ladder(costs, gained, least_gain_per_byte=least_gain_per_byte)


def _regions(
    places: Sequence[Window], shares: Floats, chosen: NDArray[np.int64], options: Sequence[Option]
) -> tuple[Region, ...]:
    made = []
    for place, share, index in zip(places, shares, chosen.tolist(), strict=True):
        relevance = float(share)
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
