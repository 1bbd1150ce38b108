"""The channel's truth: the planner's contacts, silence outside them, rates and delays inside."""

from pathlib import Path

import pytest

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.orbit import load_catalogue, load_mission, make_plan
from eo_sim.truth import S_NS, Truth

ROOT = Path(__file__).parents[3]
STATIONS = ("inuvik", "svalbard", "troll", "kiruna")
START_NS = 1_787_897_280_000_000_000  # 2026-08-28T06:08:00Z
HOURS = 6
END_NS = START_NS + HOURS * 3600 * S_NS


@pytest.fixture(scope="module")
def mission():
    return load_mission(ROOT / "config" / "mission")


@pytest.fixture(scope="module")
def truth(mission):
    elements = ROOT / "config" / "mission" / "elements"
    return Truth(mission, elements, "skybee_1", STATIONS, START_NS, END_NS)


def test_contacts_are_those_the_planner_flies_by(mission, truth):
    catalogue, _ = load_catalogue(ROOT / "config" / "mission" / "elements")
    satellite = mission.satellite("skybee_1")
    plan = make_plan(
        satellite,
        catalogue.select(satellite.norad_id, START_NS),
        [mission.station(name) for name in STATIONS],
        START_NS,
        HOURS * 3600 * S_NS,
        min_contact_s=30.0,
    )
    assert len(truth.contacts) >= 4
    assert tuple(truth.contacts) == tuple(plan.contacts)


def test_m5_outside_contacts_the_link_is_silent(truth):
    edges = [(c.aos_ns - 1, c.los_ns) for c in truth.contacts]
    for t_ns in [START_NS, *(t for pair in edges for t in pair)]:
        if truth.contact_at(t_ns) is None:
            link = truth.at(t_ns)
            assert (link.contact, link.downlink_bps, link.uplink_bps) == (None, 0, 0)
    assert any(truth.contact_at(los_ns) is None for _, los_ns in edges)


def test_inside_a_contact_both_ways_have_rate_and_delay(truth):
    for contact in truth.contacts:
        for t_ns in (contact.aos_ns, (contact.aos_ns + contact.los_ns) // 2, contact.los_ns - 1):
            link = truth.at(t_ns)
            assert link.contact == contact
            assert link.downlink_bps > 0 and link.uplink_bps > 0
            # 400 km straight up to 3500 km at the horizon.
            assert 1.3e-3 < link.delay_ns / 1e9 < 12e-3


def test_satellite_is_nearest_at_closest_approach(truth):
    for contact in truth.contacts:
        ends = [truth.at(t).delay_ns for t in (contact.aos_ns, contact.los_ns - 1)]
        # A contact cut short for the next station may end before the pass is highest.
        tca_ns = min(contact.tca_ns, contact.los_ns - 1)
        assert truth.at(tca_ns).delay_ns <= min(ends)


def test_capacity_is_the_rate_over_the_contact(truth):
    for contact in truth.contacts:
        steps = 200
        step_ns = (contact.los_ns - contact.aos_ns) / steps
        rates = [
            truth.at(round(contact.aos_ns + (i + 0.5) * step_ns)).downlink_bps for i in range(steps)
        ]
        carried_bytes = sum(rates) * step_ns / 1e9 / 8
        assert carried_bytes == pytest.approx(contact.capacity_bytes, rel=0.02)


def test_changes_lead_through_all_contacts(truth):
    edges, t_ns = [], START_NS
    while (t_ns := truth.next_change_ns(t_ns)) is not None:
        edges.append(t_ns)
    expected = {e for c in truth.contacts for e in (c.aos_ns, c.los_ns) if e > START_NS}
    assert set(edges) == expected
    assert edges == sorted(edges)


def test_of_satellites_that_share_stations_one_has_the_antenna(mission):
    """Every second of an hour; both are above Inuvik for minutes."""
    elements = ROOT / "config" / "mission" / "elements"
    start_ns = START_NS - 480 * S_NS
    fleet = ("skybee_1", "sentinel_2a")

    def truths(**shared):
        return [
            Truth(mission, elements, name, STATIONS, start_ns, start_ns + 3600 * S_NS, **shared)
            for name in fleet
        ]

    def clashes(of):
        links = ([one.at(start_ns + s * S_NS).contact for one in of] for s in range(3600))
        return sum(a is not None and b is not None and a.station == b.station for a, b in links)

    assert clashes(truths()) > 200
    shared = truths(fleet=fleet)
    assert clashes(shared) == 0
    assert all(one.contacts for one in shared)


def test_a_satellite_outside_its_fleet_is_refused(mission):
    elements = ROOT / "config" / "mission" / "elements"
    with pytest.raises(ConfigError, match="'skybee_1' is not of the fleet"):
        Truth(mission, elements, "skybee_1", STATIONS, START_NS, END_NS, fleet=("hotsat_1",))
