"""Properties of passes, plan, budget, look table and readers for any station, time and text."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sgp4.exporter import export_tle

from eo_nodes.orbit import (
    Catalogue,
    ElementsError,
    LookTable,
    Mission,
    Orbit,
    downlink_budget,
    find_passes,
    look,
    parse_omm,
    parse_tle,
    plan_contacts,
)

S_NS = 1_000_000_000
DAY_NS = 86_400 * S_NS
BASE_NS = 1_791_331_200 * S_NS  # 2026-10-07 00:00 UTC

SHARED = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
NAMES = st.sampled_from(["sentinel_2a", "landsat_8", "terra", "aqua", "noaa_20", "skybee_1"])
LATITUDES = st.floats(-90, 90)
LONGITUDES = st.floats(-180, 180)
MASKS = st.floats(0, 60)
STARTS = st.integers(BASE_NS, BASE_NS + 5 * DAY_NS)
LENGTHS = st.integers(S_NS, DAY_NS // 2)


def orbit_of(mission: Mission, catalogue: Catalogue, name: str) -> Orbit:
    return Orbit(catalogue.select(mission.satellite(name).norad_id, BASE_NS).elements, name)


@SHARED
@given(NAMES, LATITUDES, LONGITUDES, MASKS, STARTS, LENGTHS)
def test_a_pass_begins_and_ends_at_the_mask_and_stays_above(
    mission: Mission, catalogue: Catalogue, name: str, lat: float, lon: float, mask: float,
    start_ns: int, length_ns: int,
) -> None:  # fmt: skip
    orbit = orbit_of(mission, catalogue, name)
    station = replace(mission.station("matera"), lat_deg=lat, lon_deg=lon, mask_deg=mask)
    found = find_passes(orbit, [station], start_ns, start_ns + length_ns)

    for one in found:
        assert start_ns <= one.aos_ns <= one.tca_ns <= one.los_ns <= start_ns + length_ns
        assert one.aos_ns < one.los_ns
        inside_ns = np.linspace(0, one.los_ns - one.aos_ns, 50).astype(np.int64) + one.aos_ns
        seen = look(orbit, station, np.append(inside_ns, [one.aos_ns, one.los_ns, one.tca_ns]))
        assert np.all(seen.elevation_deg >= mask - 0.01)
        *_, at_aos, at_los, at_tca = seen.elevation_deg
        assert one.is_cut_at_start or abs(at_aos - mask) < 0.01
        assert one.is_cut_at_end or abs(at_los - mask) < 0.01
        assert abs(at_tca - one.max_elevation_deg) < 1e-5
        assert np.max(seen.elevation_deg) <= one.max_elevation_deg + 1e-4
    for one, following in itertools.pairwise(found):
        assert one.los_ns < following.aos_ns


@SHARED
@given(NAMES, LATITUDES, LONGITUDES, MASKS, STARTS)
def test_a_second_by_second_search_finds_nothing_more(
    mission: Mission, catalogue: Catalogue, name: str, lat: float, lon: float, mask: float,
    start_ns: int,
) -> None:  # fmt: skip
    orbit = orbit_of(mission, catalogue, name)
    station = replace(mission.station("matera"), lat_deg=lat, lon_deg=lon, mask_deg=mask)
    times_ns = start_ns + np.arange(0, 4 * 3600) * S_NS
    above = look(orbit, station, times_ns).elevation_deg >= mask + 1e-3
    found = find_passes(orbit, [station], start_ns, int(times_ns[-1]) + 1)

    covered = np.zeros(times_ns.size, dtype=bool)
    for one in found:
        covered |= (times_ns >= one.aos_ns) & (times_ns <= one.los_ns)
    assert not np.any(above & ~covered)


@SHARED
@given(
    st.sampled_from(["sentinel_2a", "skybee_1", "landsat_9"]),
    st.sets(st.integers(0, 18), min_size=1, max_size=8),
    STARTS,
    LENGTHS,
)
def test_contacts_never_overlap_and_ids_are_unique(
    mission: Mission,
    catalogue: Catalogue,
    name: str,
    which: set[int],
    start_ns: int,
    length_ns: int,
) -> None:
    stations = [s for k, s in enumerate(mission.stations.values()) if k in which]
    satellite = mission.satellite(name)
    orbit = orbit_of(mission, catalogue, name)
    contacts = plan_contacts(satellite, orbit, stations, start_ns, length_ns)

    assert len({one.id for one in contacts}) == len(contacts)
    for one in contacts:
        assert start_ns <= one.aos_ns <= one.tca_ns <= one.los_ns <= start_ns + length_ns
        assert one.capacity_bytes > 0
        fastest = satellite.radio.downlink.ladder[-1].rate_bps
        assert 0 < one.mean_rate_bps <= fastest
        assert one.capacity_bytes <= fastest * (one.los_ns - one.aos_ns) / S_NS / 8 + 1
        assert one.uplink_rate_bps >= 0
    for one, following in itertools.pairwise(contacts):
        assert one.los_ns < following.aos_ns


@SHARED
@given(st.floats(1e5, 5e7), st.floats(1e5, 5e7), st.floats(-5, 90), st.integers(0, 18))
def test_the_rate_never_grows_with_range(
    mission: Mission, one_m: float, other_m: float, elevation_deg: float, which: int
) -> None:
    budget = downlink_budget(mission.satellite("terra"), list(mission.stations.values())[which])
    assert budget is not None
    near, far = sorted((one_m, other_m))
    assert budget.rate_at(near, elevation_deg) >= budget.rate_at(far, elevation_deg) >= 0
    assert math.isfinite(budget.rate_at(near, elevation_deg))


@SHARED
@given(NAMES, LATITUDES, LONGITUDES, STARTS, st.integers(1, 900 * S_NS), st.floats(0, 1))
def test_the_look_table_is_look_at_any_time(
    mission: Mission, catalogue: Catalogue, name: str, lat: float, lon: float, start_ns: int,
    length_ns: int, share: float,
) -> None:  # fmt: skip
    orbit = orbit_of(mission, catalogue, name)
    station = replace(mission.station("matera"), lat_deg=lat, lon_deg=lon)
    t_ns = start_ns + min(int(share * length_ns), length_ns)
    point = LookTable(orbit, station, start_ns, start_ns + length_ns).at(t_ns)
    exact = look(orbit, station, t_ns)

    assert abs(point.range_m - exact.range_m[0]) < 0.02
    assert abs(point.elevation_deg - exact.elevation_deg[0]) < 1e-5
    assert abs(point.range_rate_m_s - exact.range_rate_m_s[0]) < 0.05


@SHARED
@given(st.text(alphabet="012 .+-AUaé\n\r\"{}[],:#", max_size=300))
def test_any_text_is_read_without_a_crash(text: str) -> None:
    for found in (parse_tle(text, "any"), parse_omm(text, "any")):
        assert not found.sets
        assert all(isinstance(error, ElementsError) for error in found.errors)


@settings(max_examples=200, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.integers(0, 137), st.sampled_from("0123456789 .-+AZ"))
def test_one_wrong_character_is_noticed_or_harmless(
    catalogue: Catalogue, place: int, character: str
) -> None:
    whole = "\n".join(export_tle(catalogue.select(40697, BASE_NS).elements.satrec))
    changed = whole[:place] + character + whole[place + 1 :]
    found = parse_tle(f"X\n{changed}\n", "any")

    # The checksum is a sum of digits, and letters count nothing: columns are checked as well.
    # Only a change between blank, '.', '+' and letters of equal weight can pass both.
    if found.sets and changed != whole:
        assert character in " +AZ."
        assert len(found.sets) == 1
    else:
        assert found.sets or found.errors
