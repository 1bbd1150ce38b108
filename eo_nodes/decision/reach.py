"""When can bytes be on the ground: the contact plan as a clock that runs only during contacts.

Purpose: one exact answer to "these bytes, behind those, from now on: when is the last one down?",
cheap enough to be asked a million times. Non-purpose: planning contacts, ordering the queue.

The plan serves bytes at a constant rate in each contact and none between. Bytes served from the
plan's start up to a time are a sum that is piecewise linear; so is its inverse, and a delivery is
one bisection. Propagation (some ms) is left out.

Units: times int ns of orbital time, sizes bytes, rates bit/s.

Source: own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import Contact

NEVER_NS = 2**63 - 1
"""Later than any contact of the plan."""
_BIT_NS_PER_BYTE = 8e9
_ROOMS = 32


@dataclass(frozen=True, slots=True)
class Reach:
    """Contacts of one satellite, in order, none overlapping; made by `reach_of`.

    Attributes:
        aos_ns, los_ns: ends of each contact. rate: bytes a ns.
        before: bytes served before each contact; after: up to its end.
        ids: names of the contacts, "" where there are none.
    """

    aos_ns: tuple[int, ...]
    los_ns: tuple[int, ...]
    rate: tuple[float, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    ids: tuple[str, ...]
    _rooms: dict[tuple[int, int], float] = field(
        default_factory=dict, init=False, compare=False, repr=False)

    def delivered_ns(self, now_ns: int, size_bytes: float) -> int:
        """When the last of ``size_bytes`` is down if sending may begin now; NEVER_NS if not at all.

        ``size_bytes`` holds what goes first as well. Nothing to send still needs a contact.
        """
        first = bisect_right(self.los_ns, now_ns)
        if first == len(self.los_ns):
            return NEVER_NS
        begin, goal = self.aos_ns[first], self.before[first] + size_bytes
        if now_ns > begin:
            goal = self.before[first] + (now_ns - begin) * self.rate[first] + size_bytes
            begin = now_ns
        last = bisect_left(self.after, goal, first)
        if last == len(self.after):
            return NEVER_NS
        into = (goal - self.before[last]) / self.rate[last]
        whole = int(into)
        time_ns = self.aos_ns[last] + whole + (into > whole)
        if time_ns < begin:
            return begin
        # Rounding may reach a ns beyond the end, never beyond the contact.
        return time_ns if time_ns < self.los_ns[last] else self.los_ns[last]

    def open_ns(self, now_ns: int) -> int:
        """The first time from now on at which a contact is under way; NEVER_NS if none comes."""
        first = bisect_right(self.los_ns, now_ns)
        if first == len(self.los_ns):
            return NEVER_NS
        aos_ns = self.aos_ns[first]
        return now_ns if now_ns > aos_ns else aos_ns

    def room(self, begin_ns: int, span_ns: int) -> float:
        """`bytes_until` so long after a time: asked again and again from the same AOS on."""
        found = self._rooms.get((begin_ns, span_ns))
        if found is None:
            if len(self._rooms) >= _ROOMS:
                self._rooms.clear()
            found = self._rooms[begin_ns, span_ns] = self.bytes_until(begin_ns, begin_ns + span_ns)
        return found

    def bytes_until(self, now_ns: int, end_ns: int) -> float:
        """Bytes that contacts serve between two times, >= 0."""
        return max(self._served(end_ns) - self._served(now_ns), 0.0)

    def contact_at(self, time_ns: int) -> int:
        """Index of the contact under way at a time, ends included; -1 between contacts."""
        i = bisect_left(self.los_ns, time_ns)
        return i if i < len(self.los_ns) and self.aos_ns[i] <= time_ns else -1

    def _served(self, time_ns: int) -> float:
        i = bisect_right(self.aos_ns, time_ns) - 1
        if i < 0:
            return 0.0
        return self.before[i] + (min(time_ns, self.los_ns[i]) - self.aos_ns[i]) * self.rate[i]


def reach_of(
    aos_ns: Sequence[int], los_ns: Sequence[int], rate_bps: Sequence[float],
    ids: Sequence[str] = (), *, margin: float = 0.0,
) -> Reach:
    """Build from arrays of one length; contacts without rate or length are left out.

    Args:
        rate_bps: mean information rate of each contact, >= 0.
        margin: share of it kept for frames, packets and repeats, [0, 1).
    Raises:
        ConfigError: lengths differ, contacts overlap or are out of order, margin out of range.
    """
    if not len(aos_ns) == len(los_ns) == len(rate_bps) or not 0 <= margin < 1:
        raise ConfigError(f"reach: {len(aos_ns)} AOS, {len(los_ns)} LOS, {len(rate_bps)} rates, "
                          f"margin {margin}")
    names = ids or [""] * len(aos_ns)
    rows = [(int(a), int(b), r * (1 - margin) / _BIT_NS_PER_BYTE, n)
            for a, b, r, n in zip(aos_ns, los_ns, rate_bps, names, strict=True) if b > a and r > 0]
    before, after, total = [], [], 0.0
    for k, (aos, los, rate, _) in enumerate(rows):
        if k and aos < rows[k - 1][1]:
            raise ConfigError(f"reach: contact {k} begins before the one ahead of it ends")
        before.append(total)
        total += (los - aos) * rate
        after.append(total)
    return Reach(tuple(r[0] for r in rows), tuple(r[1] for r in rows), tuple(r[2] for r in rows),
                 tuple(before), tuple(after), tuple(r[3] for r in rows))


def reach_of_contacts(contacts: Iterable[Contact], *, margin: float = 0.0) -> Reach:
    """Build from the contacts of a plan; the rate is a contact's capacity over its length."""
    found = [c for c in contacts if c.los_ns > c.aos_ns]
    rates = [c.capacity_bytes * _BIT_NS_PER_BYTE / (c.los_ns - c.aos_ns) for c in found]
    return reach_of([c.aos_ns for c in found], [c.los_ns for c in found], rates,
                    [c.id for c in found], margin=margin)
