"""Passes with their rates: what a planner may take of each, and the contact that it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eo_nodes.contracts.delivery import Contact

from .geometry import look
from .link_budget import LinkBudget, downlink_budget, uplink_budget
from .mission import Satellite, Station
from .passes import Pass, find_passes
from .propagation import Orbit
from .timescale import S_NS, FloatArray, IntArray

# Wider than a low orbit's period: every pass that can touch the window is seen whole.
WIDEN_NS = 110 * 60 * S_NS
_SAMPLE_NS = 5 * S_NS


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pass with its rates on a time grid."""

    of: Pass
    times_ns: IntArray
    elevation_deg: FloatArray
    down_bps: FloatArray
    up_bps: FloatArray


class Sky:
    """One satellite over the stations that can receive it.

    Args:
        satellite: gives name and radio.
        orbit: its elements.
        stations: one that cannot receive the radio's band is left out.
    """

    def __init__(self, satellite: Satellite, orbit: Orbit, stations: Sequence[Station]) -> None:
        self._orbit = Orbit(orbit.elements, satellite.name)
        self._budgets: dict[str, tuple[LinkBudget, LinkBudget | None]] = {
            station.name: (down, uplink_budget(satellite, station))
            for station in stations
            if (down := downlink_budget(satellite, station)) is not None
        }
        self._stations = {s.name: s for s in stations if s.name in self._budgets}

    def passes(self, start_ns: int, end_ns: int) -> list[Pass]:
        """Find the passes that can touch a window, each whole, by AOS."""
        sites = list(self._stations.values())
        found = find_passes(self._orbit, sites, start_ns - WIDEN_NS, end_ns + WIDEN_NS)
        return [one for one in found if not (one.is_cut_at_start or one.is_cut_at_end)]

    def candidate(self, of: Pass) -> Candidate:
        """Rate a pass, or a part of one."""
        # Samples on multiples of the step, so that another window integrates the same values.
        inner = np.arange(of.aos_ns // _SAMPLE_NS + 1, -(-of.los_ns // _SAMPLE_NS)) * _SAMPLE_NS
        times_ns = np.unique(np.concatenate([[of.aos_ns, of.tca_ns, of.los_ns], inner]))
        seen = look(self._orbit, self._stations[of.station], times_ns)
        down, up = self._budgets[of.station]
        zero = np.zeros(times_ns.size)
        return Candidate(
            of=of,
            times_ns=times_ns,
            elevation_deg=seen.elevation_deg,
            down_bps=down.rate_bps(seen.range_m, seen.elevation_deg),
            up_bps=zero if up is None else up.rate_bps(seen.range_m, seen.elevation_deg),
        )


def down_bits(of: Candidate) -> float:
    """Bits that the whole candidate carries down."""
    return _integral(of, of.down_bps, of.of.aos_ns, of.of.los_ns)


def contacts_of(
    taken: Sequence[tuple[Candidate, int, int]], start_ns: int, end_ns: int
) -> tuple[Contact, ...]:
    """Cut what was taken of each candidate to the window; leave out what carries no byte.

    Args:
        taken: candidate, and from when to when, UTC ns.
    Returns:
        Contacts by AOS.
    """
    contacts = []
    for candidate, from_ns, to_ns in taken:
        from_ns, to_ns = max(from_ns, start_ns), min(to_ns, end_ns)
        if from_ns < to_ns:
            contact = _contact(candidate, from_ns, to_ns)
            if contact.capacity_bytes > 0:
                contacts.append(contact)
    return tuple(sorted(contacts, key=lambda contact: contact.aos_ns))


def _integral(of: Candidate, rate_bps: FloatArray, from_ns: int, to_ns: int) -> float:
    """Bits between two times of a pass, by the trapezoid rule on its samples and the two ends."""
    inside = (of.times_ns > from_ns) & (of.times_ns < to_ns)
    t_ns = np.concatenate([[from_ns], of.times_ns[inside], [to_ns]])
    t_s = (t_ns - of.of.aos_ns) / S_NS
    values = np.interp(t_s, (of.times_ns - of.of.aos_ns) / S_NS, rate_bps)
    return float(np.sum((values[1:] + values[:-1]) * np.diff(t_s)) / 2.0)


def _contact(of: Candidate, from_ns: int, to_ns: int) -> Contact:
    duration_s = (to_ns - from_ns) / S_NS
    bits = _integral(of, of.down_bps, from_ns, to_ns)
    inside = np.flatnonzero((of.times_ns >= from_ns) & (of.times_ns <= to_ns))
    ends = np.interp([from_ns, to_ns], of.times_ns, of.elevation_deg)
    highest = [(float(ends[0]), from_ns), (float(ends[1]), to_ns)]
    if inside.size:
        best = int(inside[np.argmax(of.elevation_deg[inside])])
        highest.insert(0, (float(of.elevation_deg[best]), int(of.times_ns[best])))
    max_elevation_deg, tca_ns = max(highest, key=lambda pair: pair[0])
    return Contact(
        id=f"{of.of.satellite}-{of.of.station}-{of.of.aos_ns // S_NS}",
        satellite=of.of.satellite,
        station=of.of.station,
        aos_ns=from_ns,
        tca_ns=tca_ns,
        los_ns=to_ns,
        max_elevation_deg=max_elevation_deg,
        capacity_bytes=int(bits // 8),
        mean_rate_bps=int(bits / duration_s),
        uplink_rate_bps=int(_integral(of, of.up_bps, from_ns, to_ns) / duration_s),
    )
