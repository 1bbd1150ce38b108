"""Satellites that share stations: one antenna for one of them, everybody's same assignment."""

from __future__ import annotations

import itertools

import pytest

from eo_nodes.contracts.delivery import Contact
from eo_nodes.contracts.errors import ConfigError
from eo_nodes.orbit import (
    Catalogue,
    Mission,
    Orbit,
    OrbitError,
    Satellite,
    Selection,
    find_passes,
    make_plan,
    others_of,
    plan_contacts,
    plan_fleet,
)
from eo_nodes.orbit.assignment import Interval
from eo_nodes.orbit.candidates import Sky, down_bits

S_NS = 1_000_000_000
DAY_NS = 86_400 * S_NS
START_NS = 1_787_896_800 * S_NS  # 2026-08-28 06:00 UTC
STATIONS = ("inuvik", "svalbard", "troll", "kiruna", "tromso")
FLEET = ("skybee_1", "sentinel_2a", "sentinel_1a")


@pytest.fixture
def fleet(mission: Mission, catalogue: Catalogue) -> list[tuple[Satellite, Orbit]]:
    satellites = [mission.satellite(name) for name in FLEET]
    return [(s, Orbit(catalogue.select(s.norad_id, START_NS).elements, s.name)) for s in satellites]


@pytest.fixture
def plans(mission: Mission, fleet: list[tuple[Satellite, Orbit]]) -> dict[str, tuple[Contact, ...]]:
    return plan_fleet(fleet, [mission.station(s) for s in STATIONS], START_NS, DAY_NS)


def test_no_station_serves_two_and_no_satellite_is_served_twice(plans) -> None:
    contacts = [contact for plan in plans.values() for contact in plan]
    assert len(contacts) > 60
    for a, b in itertools.combinations(contacts, 2):
        if a.station == b.station or a.satellite == b.satellite:
            apart_ns = max(b.aos_ns - a.los_ns, a.aos_ns - b.los_ns)
            assert apart_ns >= 5 * S_NS, (a.id, b.id)


def test_contention_is_real_and_every_contact_lies_in_a_pass(mission, fleet, plans) -> None:
    sites = [mission.station(name) for name in STATIONS]
    cut = 0
    for satellite, orbit in fleet:
        passes = find_passes(orbit, sites, START_NS - DAY_NS, START_NS + 2 * DAY_NS)
        for one in plans[satellite.name]:
            (home,) = [
                p for p in passes
                if p.station == one.station and p.aos_ns <= one.aos_ns and one.los_ns <= p.los_ns
            ]  # fmt: skip
            cut += (home.aos_ns, home.los_ns) != (one.aos_ns, one.los_ns)
            assert one.satellite == satellite.name
            assert one.los_ns - one.aos_ns >= 30 * S_NS
    assert cut > 10


def test_a_small_window_is_at_least_half_of_the_best_by_trying_all(mission, fleet) -> None:
    """Bytes of whole passes over the first two hours of a day, against every choice there is."""
    sites = [mission.station(name) for name in ("inuvik", "svalbard")]
    start_ns = START_NS - START_NS % DAY_NS + 21_600 * S_NS
    plans = plan_fleet(fleet, sites, start_ns, 7200 * S_NS)
    offered = []
    for satellite, orbit in fleet:
        sky = Sky(satellite, orbit, sites)
        for one in sky.passes(start_ns, start_ns + 7200 * S_NS):
            if start_ns <= one.aos_ns and one.los_ns <= start_ns + 7200 * S_NS:
                bits = down_bits(sky.candidate(one))
                offered.append(Interval(
                    satellite.name, one.station, one.aos_ns, one.los_ns, int(bits / 8), 0,
                ))  # fmt: skip
    assert 6 <= len(offered) <= 16
    gap_ns = 5 * S_NS

    def conflict(a: Interval, b: Interval) -> bool:
        close = a.start_ns < b.end_ns + gap_ns and b.start_ns < a.end_ns + gap_ns
        return close and (a.station == b.station or a.satellite == b.satellite)

    best = max(
        sum(p.weight for p in some)
        for n in range(len(offered) + 1)
        for some in itertools.combinations(offered, n)
        if not any(conflict(a, b) for a, b in itertools.combinations(some, 2))
    )
    taken = sum(c.capacity_bytes for plan in plans.values() for c in plan)
    assert 0 < best <= 2 * taken


def test_who_asks_first_and_when_does_not_matter(mission, fleet, plans) -> None:
    sites = [mission.station(name) for name in STATIONS]
    assert plan_fleet(fleet[::-1], sites[::-1], START_NS, DAY_NS) == plans
    later_ns = START_NS + 5 * 3600 * S_NS + 123_456_789
    later = plan_fleet(fleet, sites, later_ns, DAY_NS)
    for name, contacts in plans.items():
        both = [c for c in contacts if later_ns <= c.aos_ns and c.los_ns <= START_NS + DAY_NS]
        assert len(both) > 10
        assert set(both) <= set(later[name])


def test_contacts_of_a_day_end_a_handover_before_midnight(mission, fleet, plans) -> None:
    midnight_ns = START_NS - START_NS % DAY_NS + DAY_NS
    for one in (contact for plan in plans.values() for contact in plan):
        assert one.los_ns <= midnight_ns - 5 * S_NS or one.aos_ns >= midnight_ns
    # Sentinel-2A is over Troll from ten minutes before midnight to three after it.
    parts = [
        (c.los_ns - midnight_ns, c.aos_ns - midnight_ns, c.id)
        for c in plans["sentinel_2a"]
        if c.station == "troll" and abs(c.aos_ns - midnight_ns) < 3600 * S_NS
    ]
    assert parts[0][0] == -5 * S_NS
    assert parts[1][1] == 0
    assert parts[0][2] != parts[1][2]


def chosen(mission: Mission, catalogue: Catalogue, name: str) -> tuple[Satellite, Selection]:
    satellite = mission.satellite(name)
    return satellite, catalogue.select(satellite.norad_id, START_NS)


def test_alone_the_plan_is_what_it_was(mission, catalogue) -> None:
    satellite, selection = chosen(mission, catalogue, "skybee_1")
    sites = [mission.station(name) for name in STATIONS]
    alone = make_plan(satellite, selection, sites, START_NS, DAY_NS)
    orbit = Orbit(selection.elements, satellite.name)
    assert alone.contacts == plan_contacts(satellite, orbit, sites, START_NS, DAY_NS)
    assert [(c.id, c.capacity_bytes) for c in alone.contacts[:3]] == [
        ("skybee_1-inuvik-1787897382", 4421264),
        ("skybee_1-svalbard-1787897991", 1769731),
        ("skybee_1-troll-1787900384", 4197994),
    ]


def test_the_plan_of_each_is_its_part_of_the_assignment(mission, catalogue, plans) -> None:
    sites = [mission.station(name) for name in STATIONS]
    for name in FLEET:
        others = [chosen(mission, catalogue, other) for other in FLEET if other != name]
        own = chosen(mission, catalogue, name)
        plan = make_plan(*own, sites, START_NS, DAY_NS, others=others)
        assert plan.satellite == name
        assert plan.contacts == plans[name]


def test_wrong_fleets_are_named(mission, fleet) -> None:
    assert others_of(mission, "skybee_1", ()) == []
    assert others_of(mission, "skybee_1", ("skybee_1",)) == []
    with pytest.raises(ConfigError, match="sputnik"):
        others_of(mission, "skybee_1", ("skybee_1", "sputnik"))
    with pytest.raises(ConfigError, match="'skybee_1' is not of the fleet hotsat_1"):
        others_of(mission, "skybee_1", ("hotsat_1",))
    with pytest.raises(ConfigError, match="twice"):
        others_of(mission, "skybee_1", ("skybee_1", "skybee_1"))
    with pytest.raises(OrbitError, match="empty"):
        plan_fleet(fleet, [], START_NS, 0)
