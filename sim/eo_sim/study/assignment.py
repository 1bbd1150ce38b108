"""Which satellite talks to which station: passes compete for one antenna and one radio.

Theory of operation: a pass conflicts with every pass that overlaps it at the same station (handover
included) or of the same satellite (pause included). Among passes that end no earlier than a given
one, those in conflict with it at its station exclude each other, for all of them hold the end of
its handover; so do those of its satellite. At most two of them can be chosen together, so local
ratio in order of LOS takes at least half of the best possible weight. What is left free after that
goes to the parts of other passes that still fit, heaviest first, which only adds.

Source: Bar-Noy, Bar-Yehuda, Freund, Naor, Schieber 2001 (local ratio); Ye and Borodin 2012
(sequentially 2-independent graphs, bound 1/2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Interval:
    """A pass as the assignment sees it; seconds, weight in bytes (>= 0), index of the pass."""

    satellite: str
    station: str
    start_s: float
    end_s: float
    weight: float
    index: int


@dataclass(frozen=True, slots=True)
class Gaps:
    """Time between two contacts, s, >= 0: of a station (handover) and of a satellite (pause)."""

    station_s: float
    satellite_s: float

    def between(self, a: Interval, b: Interval) -> float:
        """Time that must lie between both; negative when they do not compete."""
        gap_s = self.station_s if a.station == b.station else -1.0
        return max(gap_s, self.satellite_s) if a.satellite == b.satellite else gap_s


def _meet(a: Interval, b: Interval, gaps: Gaps) -> bool:
    gap_s = gaps.between(a, b)
    return gap_s >= 0 and a.start_s < b.end_s + gap_s and b.start_s < a.end_s + gap_s


def choose(passes: Sequence[Interval], gaps: Gaps) -> list[Interval]:
    """Choose whole passes, no two in conflict, of at least half the best possible weight.

    Args:
        passes: any order. gaps: between two contacts.
    Returns:
        The chosen, by start.
    """
    stack: list[tuple[Interval, float]] = []
    for one in sorted(passes, key=lambda p: (p.end_s, p.start_s, p.satellite, p.station)):
        left = one.weight - sum(value for other, value in stack if _meet(one, other, gaps))
        if left > 0:
            stack.append((one, left))
    chosen: list[Interval] = []
    for one, _ in reversed(stack):
        if not any(_meet(one, other, gaps) for other in chosen):
            chosen.append(one)
    return sorted(chosen, key=lambda p: (p.start_s, p.satellite))


def fill(
    passes: Sequence[Interval], chosen: Sequence[Interval], gaps: Gaps, least_s: float
) -> list[Interval]:
    """Add the longest free part of each pass not chosen, heaviest first, if it lasts ``least_s``.

    Returns:
        All contacts by start; added ones are cut, their weight in proportion.
    """
    taken = list(chosen)
    used = {one.index for one in chosen}
    rest = [one for one in passes if one.index not in used]
    for one in sorted(rest, key=lambda p: (-p.weight, p.start_s, p.satellite, p.station)):
        free = [(one.start_s, one.end_s)]
        for other in taken:
            if (gap_s := gaps.between(one, other)) >= 0:
                low, high = other.start_s - gap_s, other.end_s + gap_s
                cut = [(a, min(b, low)) for a, b in free] + [(max(a, high), b) for a, b in free]
                free = [(a, b) for a, b in cut if a < b]
        start_s, end_s = max(free, key=lambda part: part[1] - part[0], default=(0.0, 0.0))
        if end_s - start_s >= max(least_s, 1e-9):
            share = (end_s - start_s) / (one.end_s - one.start_s)
            taken.append(replace(one, start_s=start_s, end_s=end_s, weight=one.weight * share))
    return sorted(taken, key=lambda p: (p.start_s, p.satellite))
