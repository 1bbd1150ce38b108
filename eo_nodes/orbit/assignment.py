"""Which satellite talks to which station: passes compete for one antenna and one radio.

Theory of operation: a pass conflicts with every pass that overlaps it at the same station (handover
included) or of the same satellite (pause included). Among passes that end no earlier than a given
one, those in conflict with it at its station exclude each other, for all of them hold the end of
its handover; so do those of its satellite. At most two of them can be chosen together, so local
ratio in order of LOS takes at least half of the best possible weight. What is left free after that
goes to the parts of other passes that still fit, heaviest first, which only adds.

Integers only, and every order is total, so all who assign the same passes get the same.

Source: Bar-Noy, Bar-Yehuda, Freund, Naor, Schieber 2001 (local ratio); Ye and Borodin 2012
(sequentially 2-independent graphs, bound 1/2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Interval:
    """A pass as the assignment sees it; ns, weight in bytes (>= 0), index of the pass."""

    satellite: str
    station: str
    start_ns: int
    end_ns: int
    weight: int
    index: int


@dataclass(frozen=True, slots=True)
class Gaps:
    """Time between two contacts, ns, >= 0: of a station (handover) and of a satellite (pause)."""

    station_ns: int
    satellite_ns: int

    def between(self, a: Interval, b: Interval) -> int:
        """Time that must lie between both; negative when they do not compete."""
        gap_ns = self.station_ns if a.station == b.station else -1
        return max(gap_ns, self.satellite_ns) if a.satellite == b.satellite else gap_ns


def _meet(a: Interval, b: Interval, gaps: Gaps) -> bool:
    gap_ns = gaps.between(a, b)
    return gap_ns >= 0 and a.start_ns < b.end_ns + gap_ns and b.start_ns < a.end_ns + gap_ns


def choose(passes: Sequence[Interval], gaps: Gaps) -> list[Interval]:
    """Choose whole passes, no two in conflict, of at least half the best possible weight.

    Args:
        passes: any order. gaps: between two contacts.
    Returns:
        The chosen, by start.
    """
    stack: list[tuple[Interval, int]] = []
    for one in sorted(passes, key=lambda p: (p.end_ns, p.start_ns, p.satellite, p.station)):
        left = one.weight - sum(value for other, value in stack if _meet(one, other, gaps))
        if left > 0:
            stack.append((one, left))
    chosen: list[Interval] = []
    for one, _ in reversed(stack):
        if not any(_meet(one, other, gaps) for other in chosen):
            chosen.append(one)
    return sorted(chosen, key=lambda p: (p.start_ns, p.satellite))


def fill(
    passes: Sequence[Interval], chosen: Sequence[Interval], gaps: Gaps, least_ns: int
) -> list[Interval]:
    """Add the longest free part of each pass not chosen, heaviest first, if it lasts ``least_ns``.

    Returns:
        All contacts by start; added ones are cut, their weight in proportion.
    """
    taken = list(chosen)
    used = {one.index for one in chosen}
    rest = [one for one in passes if one.index not in used]
    for one in sorted(rest, key=lambda p: (-p.weight, p.start_ns, p.satellite, p.station)):
        free = [(one.start_ns, one.end_ns)]
        for other in taken:
            if (gap_ns := gaps.between(one, other)) >= 0:
                low, high = other.start_ns - gap_ns, other.end_ns + gap_ns
                cut = [(a, min(b, low)) for a, b in free] + [(max(a, high), b) for a, b in free]
                free = [(a, b) for a, b in cut if a < b]
        start_ns, end_ns = max(free, key=lambda part: part[1] - part[0], default=(0, 0))
        length_ns = end_ns - start_ns
        if length_ns >= max(least_ns, 1):
            weight = one.weight * length_ns // (one.end_ns - one.start_ns)
            taken.append(replace(one, start_ns=start_ns, end_ns=end_ns, weight=weight))
    return sorted(taken, key=lambda p: (p.start_ns, p.satellite))
