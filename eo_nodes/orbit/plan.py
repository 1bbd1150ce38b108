"""Plans the contacts of one satellite: which station, when, and how many bytes each carries.

Flight and ground run the same planner on the same element sets, so both hold the same plan.

Overlap rule of a satellite alone (one link at a time): passes are taken by capacity, greatest
first, equal ones by AOS and station name. A pass that overlaps a taken one keeps its longest part
that stays `handover_s` away from every taken one, if that part still lasts `min_contact_s`; else it
is dropped. The rule is applied to whole passes, and the contacts are cut to the window afterwards,
so a plan made in the middle of a pass does not change its mind.

Satellites that share stations are planned together: `fleet`.
"""

from __future__ import annotations

from collections.abc import Sequence

from eo_nodes.contracts.delivery import Contact, ContactPlan

from .candidates import Candidate, Sky, contacts_of, down_bits
from .elements import Selection
from .errors import OrbitError
from .fleet import plan_fleet
from .mission import Satellite, Station
from .propagation import Orbit
from .timescale import S_NS


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
    sky = Sky(satellite, orbit, stations)
    whole = [sky.candidate(one) for one in sky.passes(start_ns, end_ns)]
    taken = _without_overlap(whole, round(min_contact_s * S_NS), round(handover_s * S_NS))
    return contacts_of(taken, start_ns, end_ns)


def make_plan(
    satellite: Satellite,
    selection: Selection,
    stations: Sequence[Station],
    start_ns: int,
    horizon_ns: int,
    *,
    min_contact_s: float = 30.0,
    handover_s: float = 5.0,
    others: Sequence[tuple[Satellite, Selection]] = (),
) -> ContactPlan:
    """Plan from a chosen element set, and report its age with the plan.

    Args:
        others: satellites that share the stations; the plan holds what `fleet` assigns to
            `satellite`. Empty: alone.
    """
    own = Orbit(selection.elements, satellite.name)
    if others:
        fleet = [(one, Orbit(chosen.elements, one.name)) for one, chosen in others]
        contacts = plan_fleet(
            [(satellite, own), *fleet],
            stations,
            start_ns,
            horizon_ns,
            min_contact_s=min_contact_s,
            handover_s=handover_s,
        )[satellite.name]
    else:
        contacts = plan_contacts(
            satellite,
            own,
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


def _without_overlap(
    whole: Sequence[Candidate], min_ns: int, gap_ns: int
) -> list[tuple[Candidate, int, int]]:
    ranked = sorted(whole, key=lambda c: (-down_bits(c), c.of.aos_ns, c.of.station))
    taken: list[tuple[Candidate, int, int]] = []
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
