"""Plans the contacts of satellites that share stations: one antenna serves one of them at a time.

Every segment, and the channel of the simulation, computes the whole assignment (`assignment`) and
keeps its own part, so nothing need be agreed upon over the link.

Planners start at different times, and a choice may hang on passes far before and after it. So that
all of them come to the same assignment it is made for each UTC day on its own, whole days even
where the window holds a part of one: a pass over midnight counts as two, and the contacts of a day
end a handover before the next one begins. The bound of `assignment.choose` holds within each day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from eo_nodes.contracts.delivery import Contact
from eo_nodes.contracts.errors import ConfigError

from .assignment import Gaps, Interval, choose, fill
from .candidates import Candidate, Sky, contacts_of, down_bits
from .errors import OrbitError
from .mission import Mission, Satellite, Station
from .passes import Pass
from .propagation import Orbit
from .timescale import S_NS

_DAY_NS = 86_400 * S_NS


def others_of(mission: Mission, satellite: str, fleet: Sequence[str]) -> list[Satellite]:
    """Look up who shares the stations with a satellite.

    Args:
        fleet: names of all that share, the satellite's own too; empty: it is alone.
    Raises:
        ConfigError: a name is unknown or stands twice, or the satellite's own is missing.
    """
    if len(set(fleet)) < len(fleet):
        raise ConfigError(f"the fleet {', '.join(fleet)} names a satellite twice")
    if fleet and satellite not in fleet:
        raise ConfigError(f"satellite {satellite!r} is not of the fleet {', '.join(fleet)}")
    return [mission.satellite(name) for name in fleet if name != satellite]


def plan_fleet(
    fleet: Sequence[tuple[Satellite, Orbit]],
    stations: Sequence[Station],
    start_ns: int,
    horizon_ns: int,
    *,
    min_contact_s: float = 30.0,
    handover_s: float = 5.0,
) -> dict[str, tuple[Contact, ...]]:
    """Plan the contacts of several satellites over stations with one antenna each.

    Args:
        fleet: satellites with their elements, each once, in any order; must be valid over the UTC
            days that the window touches, and 110 min around them.
        stations: those that may be used; a satellite leaves out one that cannot receive it.
        start_ns: UTC ns since 1970.
        horizon_ns: length of the window, > 0 ns.
        min_contact_s: shorter contacts are not planned, >= 0 s.
        handover_s: of a station to the next satellite, and of a satellite to the next station,
            >= 0 s.
    Returns:
        By satellite: contacts by AOS, as of `plan_contacts`. A part of a pass has the id of the
        pass; after midnight it is a pass of its own.
    Raises:
        OrbitError: horizon_ns <= 0.  PropagationError: SGP4 refuses a time.
    """
    if horizon_ns <= 0:
        raise OrbitError(f"the horizon of {horizon_ns} ns is empty")
    end_ns = start_ns + horizon_ns
    first, last = start_ns // _DAY_NS, (end_ns - 1) // _DAY_NS
    least_ns, gap_ns = round(min_contact_s * S_NS), round(handover_s * S_NS)
    days: dict[int, list[Candidate]] = {day: [] for day in range(first, last + 1)}
    for satellite, orbit in fleet:
        sky = Sky(satellite, orbit, stations)
        for one in sky.passes(first * _DAY_NS, (last + 1) * _DAY_NS):
            for day, piece in _by_day(one, gap_ns):
                if day in days and piece.los_ns - piece.aos_ns >= least_ns:
                    days[day].append(sky.candidate(piece))
    taken: dict[str, list[tuple[Candidate, int, int]]] = {one.name: [] for one, _ in fleet}
    for candidates in days.values():
        for part in _assigned(candidates, Gaps(gap_ns, gap_ns), least_ns):
            taken[part[0].of.satellite].append(part)
    return {name: contacts_of(parts, start_ns, end_ns) for name, parts in taken.items()}


def _by_day(one: Pass, gap_ns: int) -> Iterator[tuple[int, Pass]]:
    for day in range(one.aos_ns // _DAY_NS, one.los_ns // _DAY_NS + 1):
        aos_ns = max(one.aos_ns, day * _DAY_NS)
        los_ns = min(one.los_ns, (day + 1) * _DAY_NS - gap_ns)
        if aos_ns < los_ns:
            tca_ns = min(max(one.tca_ns, aos_ns), los_ns)
            yield day, replace(one, aos_ns=aos_ns, tca_ns=tca_ns, los_ns=los_ns)


def _assigned(
    candidates: Sequence[Candidate], gaps: Gaps, least_ns: int
) -> Iterator[tuple[Candidate, int, int]]:
    rated = [(c, int(down_bits(c) // 8)) for c in candidates]
    offered = [
        Interval(c.of.satellite, c.of.station, c.of.aos_ns, c.of.los_ns, weight, index)
        for index, (c, weight) in enumerate(rated)
        if weight > 0
    ]
    for contact in fill(offered, choose(offered, gaps), gaps, least_ns):
        yield candidates[contact.index], contact.start_ns, contact.end_ns
