"""Plans the contacts of one satellite: which station, when, and how many bytes each carries.

Flight and ground run the same planner on the same element sets, so both hold the same plan.

Overlap rule (one link at a time): passes are taken by capacity, greatest first, equal ones by AOS
and station name. A pass that overlaps a taken one keeps its longest part that stays `handover_s`
away from every taken one, if that part still lasts `min_contact_s`; else it is dropped. The rule
is applied to whole passes, and the contacts are cut to the window afterwards, so a plan made in the
middle of a pass does not change its mind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eo_nodes.contracts.delivery import Contact, ContactPlan

from .elements import Selection
from .errors import OrbitError
from .geometry import look
from .link_budget import LinkBudget, downlink_budget, uplink_budget
from .mission import Satellite, Station
from .passes import Pass, find_passes
from .propagation import Orbit
from .timescale import S_NS, FloatArray, IntArray

# Wider than a low orbit's period: every pass that can touch the window is seen whole.
_WIDEN_NS = 110 * 60 * S_NS
_SAMPLE_NS = 5 * S_NS


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A whole pass with its rates on a time grid."""

    of: Pass
    times_ns: IntArray
    elevation_deg: FloatArray
    down_bps: FloatArray
    up_bps: FloatArray


def plan_contacts(
    satellite: Satellite,
    orbit: Orbit,
    stations: Sequence[Station],
    start_ns: int,
    horizon_ns: int,
    *,
    min_contact_s: float = 30.0,
    handover_s: float = 5.0,
) -> tuple[Contact, ...]:
    """Plan the contacts of one satellite.

    Args:
        satellite: gives name and radio.
        orbit: its elements; must be valid from 110 min before to 110 min after the window.
        stations: those that may be used; one that cannot receive the radio's band is left out.
        start_ns: UTC ns since 1970.
        horizon_ns: length of the window, > 0 ns.
        min_contact_s: shorter whole contacts are not planned, >= 0 s.
        handover_s: between two contacts, to turn to the next station, >= 0 s.
    Returns:
        Contacts by AOS, none overlapping. `id` is "SATELLITE-STATION-AOS", AOS in whole seconds
        since 1970 of the whole pass, so the id stays when the window moves. `capacity_bytes` is
        the integral of the downlink rate over [aos_ns, los_ns]; `mean_rate_bps` and
        `uplink_rate_bps` are means over it. `tca_ns` and `max_elevation_deg` are those of the
        highest time in the contact. Contacts that carry no byte are left out.
    Raises:
        OrbitError: horizon_ns <= 0.  PropagationError: SGP4 refuses a time.
    """
    if horizon_ns <= 0:
        raise OrbitError(f"the horizon of {horizon_ns} ns is empty")
    end_ns = start_ns + horizon_ns
    budgets = {
        station.name: (down, uplink_budget(satellite, station))
        for station in stations
        if (down := downlink_budget(satellite, station)) is not None
    }
    able = [station for station in stations if station.name in budgets]
    by_name = {station.name: station for station in able}
    named = Orbit(orbit.elements, satellite.name)
    found = find_passes(named, able, start_ns - _WIDEN_NS, end_ns + _WIDEN_NS)
    whole = [
        _candidate(named, by_name[one.station], one, *budgets[one.station])
        for one in found
        if not (one.is_cut_at_start or one.is_cut_at_end)
    ]
    contacts = []
    min_ns, gap_ns = round(min_contact_s * S_NS), round(handover_s * S_NS)
    for candidate, from_ns, to_ns in _without_overlap(whole, min_ns, gap_ns):
        from_ns, to_ns = max(from_ns, start_ns), min(to_ns, end_ns)
        if from_ns < to_ns:
            contact = _contact(candidate, from_ns, to_ns)
            if contact.capacity_bytes > 0:
                contacts.append(contact)
    return tuple(sorted(contacts, key=lambda contact: contact.aos_ns))


def make_plan(
    satellite: Satellite,
    selection: Selection,
    stations: Sequence[Station],
    start_ns: int,
    horizon_ns: int,
    *,
    min_contact_s: float = 30.0,
    handover_s: float = 5.0,
) -> ContactPlan:
    """Plan from a chosen element set, and report its age with the plan."""
    contacts = plan_contacts(
        satellite,
        Orbit(selection.elements, satellite.name),
        stations,
        start_ns,
        horizon_ns,
        min_contact_s=min_contact_s,
        handover_s=handover_s,
    )
    return ContactPlan(
        satellite=satellite.name,
        stamp_ns=start_ns,
        horizon_ns=horizon_ns,
        element_age_days=selection.age_days,
        contacts=contacts,
    )


def _candidate(
    orbit: Orbit, station: Station, of: Pass, down: LinkBudget, up: LinkBudget | None
) -> _Candidate:
    # Samples on multiples of the step, so that another window integrates the same values.
    inner = np.arange(of.aos_ns // _SAMPLE_NS + 1, -(-of.los_ns // _SAMPLE_NS)) * _SAMPLE_NS
    times_ns = np.unique(np.concatenate([[of.aos_ns, of.tca_ns, of.los_ns], inner]))
    seen = look(orbit, station, times_ns)
    zero = np.zeros(times_ns.size)
    return _Candidate(
        of=of,
        times_ns=times_ns,
        elevation_deg=seen.elevation_deg,
        down_bps=down.rate_bps(seen.range_m, seen.elevation_deg),
        up_bps=zero if up is None else up.rate_bps(seen.range_m, seen.elevation_deg),
    )


def _without_overlap(
    whole: Sequence[_Candidate], min_ns: int, gap_ns: int
) -> list[tuple[_Candidate, int, int]]:
    ranked = sorted(
        whole,
        key=lambda c: (-_integral(c, c.down_bps, c.of.aos_ns, c.of.los_ns), c.of.aos_ns,
                       c.of.station),
    )  # fmt: skip
    taken: list[tuple[_Candidate, int, int]] = []
    for candidate in ranked:
        free = [(candidate.of.aos_ns, candidate.of.los_ns)]
        for _, a, b in taken:
            free = [
                part
                for lo, hi in free
                for part in ((lo, min(hi, a - gap_ns)), (max(lo, b + gap_ns), hi))
                if part[0] < part[1]
            ]
        longest = max(free, key=lambda part: part[1] - part[0], default=(0, 0))
        if longest[1] - longest[0] >= max(min_ns, 1):
            taken.append((candidate, *longest))
    return taken


def _integral(of: _Candidate, rate_bps: FloatArray, from_ns: int, to_ns: int) -> float:
    """Bits between two times of a pass, by the trapezoid rule on its samples and the two ends."""
    inside = (of.times_ns > from_ns) & (of.times_ns < to_ns)
    t_ns = np.concatenate([[from_ns], of.times_ns[inside], [to_ns]])
    t_s = (t_ns - of.of.aos_ns) / S_NS
    values = np.interp(t_s, (of.times_ns - of.of.aos_ns) / S_NS, rate_bps)
    return float(np.sum((values[1:] + values[:-1]) * np.diff(t_s)) / 2.0)


def _contact(of: _Candidate, from_ns: int, to_ns: int) -> Contact:
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
