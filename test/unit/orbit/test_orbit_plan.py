"""The contact plan: one link at a time, capacity, ids that stay, windows inside a pass."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.delivery import Contact
from eo_nodes.orbit import (
    Catalogue,
    Mission,
    Orbit,
    OrbitError,
    PropagationError,
    downlink_budget,
    find_passes,
    look,
    make_plan,
    parse_tle,
    plan_contacts,
)

S_NS = 1_000_000_000
DAY_NS = 86_400 * S_NS
START_NS = 1_791_331_200 * S_NS  # 2026-10-07 00:00 UTC


@pytest.fixture
def orbit(mission: Mission, catalogue: Catalogue) -> Orbit:
    number = mission.satellite("sentinel_2a").norad_id
    return Orbit(catalogue.select(number, START_NS).elements)


def plan(mission: Mission, orbit: Orbit, start_ns: int, horizon_ns: int) -> tuple[Contact, ...]:
    stations = list(mission.stations.values())
    return plan_contacts(mission.satellite("sentinel_2a"), orbit, stations, start_ns, horizon_ns)


def test_contacts_are_in_order_apart_and_inside_the_window(mission: Mission, orbit: Orbit) -> None:
    contacts = plan(mission, orbit, START_NS, DAY_NS)

    assert len(contacts) > 40
    assert contacts[0].aos_ns >= START_NS
    assert contacts[-1].los_ns <= START_NS + DAY_NS
    for one, following in itertools.pairwise(contacts):
        assert following.aos_ns - one.los_ns >= 5 * S_NS
    for one in contacts:
        assert one.aos_ns <= one.tca_ns <= one.los_ns
        assert one.los_ns - one.aos_ns >= 30 * S_NS or one is contacts[0] or one is contacts[-1]
        assert one.max_elevation_deg >= mission.station(one.station).mask_deg
        assert one.satellite == "sentinel_2a"
    assert len({one.id for one in contacts}) == len(contacts)


def test_capacity_is_the_integral_of_the_rate(mission: Mission, orbit: Orbit) -> None:
    for one in plan(mission, orbit, START_NS, DAY_NS)[:12]:
        station = mission.station(one.station)
        budget = downlink_budget(mission.satellite("sentinel_2a"), station)
        assert budget is not None
        middles_ns = np.arange(one.aos_ns + S_NS // 2, one.los_ns, S_NS)
        seen = look(orbit, station, middles_ns)
        by_seconds = float(np.sum(budget.rate_bps(seen.range_m, seen.elevation_deg))) / 8

        assert one.capacity_bytes == pytest.approx(by_seconds, rel=0.02), one.id
        duration_s = (one.los_ns - one.aos_ns) / S_NS
        assert one.mean_rate_bps == pytest.approx(one.capacity_bytes * 8 / duration_s, rel=1e-6)


def test_the_id_is_satellite_station_and_aos_second(mission: Mission, orbit: Orbit) -> None:
    station = mission.station("svalbard")
    contacts = plan_contacts(mission.satellite("sentinel_2a"), orbit, [station], START_NS, DAY_NS)
    passes = find_passes(orbit, [station], START_NS, START_NS + DAY_NS)

    assert [c.id for c in contacts] == [f"sentinel_2a-svalbard-{p.aos_ns // S_NS}" for p in passes]
    assert [c.aos_ns for c in contacts] == [p.aos_ns for p in passes]
    assert [c.max_elevation_deg for c in contacts] == pytest.approx(
        [p.max_elevation_deg for p in passes], abs=1e-5
    )


def test_a_plan_made_in_the_middle_of_a_pass_keeps_its_mind(mission: Mission, orbit: Orbit) -> None:
    first = plan(mission, orbit, START_NS, DAY_NS)
    for k in (3, 7, 20):
        under_way = first[k]
        now_ns = (under_way.aos_ns + under_way.los_ns) // 2
        again = plan(mission, orbit, now_ns, DAY_NS)

        assert again[0].id == under_way.id
        assert (again[0].aos_ns, again[0].los_ns) == (now_ns, under_way.los_ns)
        assert 0 < again[0].capacity_bytes < under_way.capacity_bytes
        # The last hours of the shorter window see other neighbours; all before are the same.
        assert again[1 : len(first) - k - 4] == first[k + 1 : -4]


def test_a_contact_is_cut_only_for_one_that_carries_more(mission: Mission, orbit: Orbit) -> None:
    satellite = mission.satellite("sentinel_2a")
    stations = [mission.station(name) for name in ("svalbard", "kiruna", "neustrelitz", "matera")]
    whole = {
        c.id: c
        for station in stations
        for c in plan_contacts(satellite, orbit, [station], START_NS, DAY_NS)
    }
    together = plan_contacts(satellite, orbit, stations, START_NS, DAY_NS)

    cut = [c for c in together if c != whole[c.id]]
    for one in cut:
        assert any(
            whole[other.id].capacity_bytes >= whole[one.id].capacity_bytes
            and min(abs(other.aos_ns - one.los_ns), abs(one.aos_ns - other.los_ns)) == 5 * S_NS
            for other in together
        ), one.id
    for dropped in whole.keys() - {c.id for c in together}:
        assert any(
            c.capacity_bytes >= whole[dropped].capacity_bytes / 2
            and c.aos_ns < whole[dropped].los_ns
            and whole[dropped].aos_ns < c.los_ns
            for c in together
        ), dropped
    assert len(cut) >= 5
    assert len(whole) > len(together)


def test_order_of_stations_does_not_change_the_plan(mission: Mission, orbit: Orbit) -> None:
    stations, satellite = list(mission.stations.values()), mission.satellite("sentinel_2a")
    forward = plan_contacts(satellite, orbit, stations, START_NS, DAY_NS)
    backward = plan_contacts(satellite, orbit, stations[::-1], START_NS, DAY_NS)
    assert forward == backward


def test_a_station_that_cannot_receive_is_left_out(mission: Mission, orbit: Orbit) -> None:
    deaf = replace(
        mission.station("svalbard"), antennas={"s": mission.station("svalbard").antennas["s"]}
    )
    assert not plan_contacts(mission.satellite("sentinel_2a"), orbit, [deaf], START_NS, DAY_NS)


def test_the_plan_states_the_age_of_its_elements(mission: Mission, catalogue: Catalogue) -> None:
    satellite = mission.satellite("landsat_9")
    selection = catalogue.select(satellite.norad_id, START_NS)
    made = make_plan(satellite, selection, [mission.station("sioux_falls")], START_NS, DAY_NS)

    assert (made.satellite, made.stamp_ns, made.horizon_ns) == ("landsat_9", START_NS, DAY_NS)
    # Epoch 26280.19705414 is 2026-10-07 04:43:45; the set before it is of 2026-10-04 19:02:48.
    assert made.element_age_days == pytest.approx(2.2064, abs=0.001)
    assert len(made.contacts) >= 4


def test_bad_windows_and_decayed_elements_are_named_errors(mission: Mission, orbit: Orbit) -> None:
    with pytest.raises(OrbitError, match="horizon"):
        plan(mission, orbit, START_NS, 0)
    text = (Path(__file__).resolve().parents[2] / "data" / "orbit" / "iss.tle").read_text("utf-8")
    decayed = Orbit(parse_tle(text, "iss.tle").sets[0])
    with pytest.raises(PropagationError, match="sentinel_2a at"):
        plan(mission, decayed, START_NS + 8000 * DAY_NS, DAY_NS)
