"""Passes against two independent finders, and the cases at the edges of window, mask and globe."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from pyorbital.orbital import Orbital
from sgp4.exporter import export_omm, export_tle
from skyfield.api import EarthSatellite, wgs84

from eo_nodes.orbit import (
    Catalogue,
    Mission,
    Orbit,
    OrbitError,
    Pass,
    Station,
    find_passes,
    find_passes_of_all,
    parse_omm,
    parse_tle,
)
from eo_nodes.orbit.timescale import skyfield_time, timescale

S_NS = 1_000_000_000
DAY_NS = 86_400 * S_NS
START_NS = 1_791_331_200 * S_NS  # 2026-10-07 00:00 UTC


def orbit_of(mission: Mission, catalogue: Catalogue, name: str) -> Orbit:
    return Orbit(catalogue.select(mission.satellite(name).norad_id, START_NS).elements, name)


def pyorbital_passes(orbit: Orbit, station: Station) -> list[tuple[float, float]]:
    """AOS and LOS, s after START_NS, by pyorbital (its own SGP4, time and frames)."""
    line1, line2 = export_tle(orbit.elements.satrec)
    start = datetime.fromtimestamp(START_NS / S_NS, timezone.utc).replace(tzinfo=None)
    found = Orbital(orbit.name, line1=line1, line2=line2).get_next_passes(
        start, 24, station.lon_deg, station.lat_deg, station.alt_m / 1000.0,
        tol=0.01, horizon=station.mask_deg,
    )  # fmt: skip
    return [
        ((rise - start).total_seconds(), (fall - start).total_seconds()) for rise, fall, _ in found
    ]


def test_aos_and_los_agree_with_pyorbital_within_1_s(
    mission: Mission, catalogue: Catalogue
) -> None:
    differences_s: list[float] = []
    unmatched: list[str] = []
    for name, station in itertools.product(
        ("sentinel_2a", "landsat_9", "skybee_1"),
        [mission.station(s) for s in ("svalbard", "matera", "kourou", "alice_springs", "troll")],
    ):
        orbit = orbit_of(mission, catalogue, name)
        ours = find_passes(orbit, [station], START_NS, START_NS + DAY_NS)
        for rise_s, fall_s in pyorbital_passes(orbit, station):
            middle_ns = START_NS + round((rise_s + fall_s) / 2 * S_NS)
            match = [p for p in ours if p.aos_ns <= middle_ns <= p.los_ns]
            if len(match) != 1:
                unmatched.append(f"{name} {station.name} at {rise_s:.0f} s")
                continue
            differences_s.append(abs((match[0].aos_ns - START_NS) / S_NS - rise_s))
            differences_s.append(abs((match[0].los_ns - START_NS) / S_NS - fall_s))

    passes = len(differences_s) // 2
    report = f"{passes} passes, largest difference {max(differences_s):.3f} s, {unmatched}"
    print(report)
    assert not unmatched, report
    assert passes >= 50, report
    assert max(differences_s) < 1.0, report


def test_every_pass_of_skyfields_finder_is_found(mission: Mission, catalogue: Catalogue) -> None:
    orbit = orbit_of(mission, catalogue, "hotsat_1")
    satellite = EarthSatellite.from_satrec(orbit.elements.satrec, timescale())
    t0, t1 = skyfield_time(START_NS), skyfield_time(START_NS + DAY_NS)
    for station in mission.stations.values():
        place = wgs84.latlon(station.lat_deg, station.lon_deg, elevation_m=station.alt_m)
        times, kinds = satellite.find_events(place, t0, t1, altitude_degrees=station.mask_deg)
        expected_s = (times[kinds != 1].tt - t0.tt) * 86_400.0

        ours = find_passes(orbit, [station], START_NS, START_NS + DAY_NS)
        edges_s = [
            (t - START_NS) / S_NS
            for p in ours
            for t, cut in ((p.aos_ns, p.is_cut_at_start), (p.los_ns, p.is_cut_at_end))
            if not cut
        ]

        # find_events stops at half a second.
        np.testing.assert_allclose(edges_s, expected_s, atol=0.6, err_msg=station.name)


def test_all_stations_at_once_give_what_each_gives_alone(
    mission: Mission, catalogue: Catalogue
) -> None:
    orbit = orbit_of(mission, catalogue, "landsat_8")
    stations = list(mission.stations.values())
    together = find_passes(orbit, stations, START_NS, START_NS + DAY_NS)
    alone = [p for s in stations for p in find_passes(orbit, [s], START_NS, START_NS + DAY_NS)]

    assert together == sorted(alone, key=lambda p: (p.aos_ns, p.station))
    assert len(together) > 80


def test_passes_under_way_are_cut_and_flagged(mission: Mission, catalogue: Catalogue) -> None:
    orbit, station = orbit_of(mission, catalogue, "sentinel_2a"), mission.station("svalbard")
    whole = find_passes(orbit, [station], START_NS, START_NS + DAY_NS)[3]
    early_ns, late_ns = whole.aos_ns + 60 * S_NS, whole.los_ns - 60 * S_NS

    (inside,) = find_passes(orbit, [station], early_ns, late_ns)
    (from_middle,) = find_passes(orbit, [station], early_ns, whole.los_ns + 60 * S_NS)
    (to_middle,) = find_passes(orbit, [station], whole.aos_ns - 60 * S_NS, late_ns)
    (after_top,) = find_passes(orbit, [station], whole.tca_ns + 30 * S_NS, whole.los_ns + S_NS)

    assert (inside.aos_ns, inside.los_ns) == (early_ns, late_ns)
    assert (inside.is_cut_at_start, inside.is_cut_at_end) == (True, True)
    assert inside.tca_ns == whole.tca_ns
    assert from_middle == replace(whole, aos_ns=early_ns, is_cut_at_start=True)
    assert to_middle == replace(whole, los_ns=late_ns, is_cut_at_end=True)
    assert after_top.tca_ns == after_top.aos_ns
    assert after_top.max_elevation_deg < whole.max_elevation_deg


def test_a_pass_shorter_than_the_grid_step_is_found(mission: Mission, catalogue: Catalogue) -> None:
    orbit, station = orbit_of(mission, catalogue, "sentinel_2a"), mission.station("matera")
    whole = find_passes(orbit, [station], START_NS, START_NS + DAY_NS)
    for one in whole:
        grazed = replace(station, mask_deg=one.max_elevation_deg - 0.01)
        found = find_passes(orbit, [grazed], one.aos_ns, one.los_ns)
        assert len(found) == 1, one
        assert 0 < found[0].los_ns - found[0].aos_ns < 30 * S_NS
        missed = replace(station, mask_deg=one.max_elevation_deg + 0.001)
        assert not find_passes(orbit, [missed], one.aos_ns, one.los_ns)


def test_a_satellite_that_never_rises_has_no_pass(mission: Mission) -> None:
    text = (Path(__file__).resolve().parents[2] / "data" / "orbit" / "iss.tle").read_text("utf-8")
    iss = Orbit(parse_tle(text, "iss.tle").sets[0])
    # 51.6 deg of inclination and 420 km never stand 5 deg above 77.8 deg south.
    assert find_passes(iss, [mission.station("mcmurdo")], START_NS, START_NS + DAY_NS) == []
    assert len(find_passes(iss, [mission.station("matera")], START_NS, START_NS + DAY_NS)) >= 4


def test_a_geostationary_satellite_is_one_pass_cut_at_both_ends(
    mission: Mission, catalogue: Catalogue
) -> None:
    message = export_omm(catalogue.select(40697, START_NS).elements.satrec, "GEO")
    message |= {"MEAN_MOTION": 1.00273, "INCLINATION": 0.05, "BSTAR": 0, "MEAN_MOTION_DOT": 0}
    geo = Orbit(parse_omm(json.dumps(message), "geo").sets[0])
    # The sub-satellite point decides who sees it: take a place right below.
    below = geo.itrf(START_NS)[0][0]
    lon_deg = float(np.degrees(np.arctan2(below[1], below[0])))
    station = replace(mission.station("kourou"), lat_deg=0.0, lon_deg=lon_deg)

    (one,) = find_passes(geo, [station], START_NS, START_NS + DAY_NS)

    assert (one.aos_ns, one.los_ns) == (START_NS, START_NS + DAY_NS)
    assert (one.is_cut_at_start, one.is_cut_at_end) == (True, True)
    assert one.max_elevation_deg > 85


@pytest.mark.parametrize("lat_deg", [90.0, -90.0])
def test_a_station_at_a_pole_sees_every_orbit(
    mission: Mission, catalogue: Catalogue, lat_deg: float
) -> None:
    orbit = orbit_of(mission, catalogue, "sentinel_2a")
    station = replace(mission.station("svalbard"), lat_deg=lat_deg, lon_deg=0.0)
    found = find_passes(orbit, [station], START_NS, START_NS + DAY_NS)

    assert len(found) in (14, 15)  # 14.3 orbits a day
    # At a pole every pass culminates at nearly the same height: inclination 98.57 deg.
    assert np.ptp([p.max_elevation_deg for p in found[1:-1]]) < 2.0


def test_the_antimeridian_is_no_edge(mission: Mission, catalogue: Catalogue) -> None:
    orbit = orbit_of(mission, catalogue, "terra")
    east = replace(mission.station("awarua"), lon_deg=180.0)
    west = replace(mission.station("awarua"), lon_deg=-180.0)
    window = (START_NS, START_NS + DAY_NS)

    from_east, from_west = find_passes(orbit, [east], *window), find_passes(orbit, [west], *window)

    assert from_east == from_west
    assert len(from_east) >= 4


def test_a_moved_window_gives_the_same_whole_passes(mission: Mission, catalogue: Catalogue) -> None:
    orbit, stations = orbit_of(mission, catalogue, "aqua"), list(mission.stations.values())

    def whole(shift_ns: int) -> set[Pass]:
        found = find_passes(orbit, stations, START_NS + shift_ns, START_NS + DAY_NS + shift_ns)
        return {p for p in found if not (p.is_cut_at_start or p.is_cut_at_end)}

    first, shifted = whole(0), whole(3_601_234_567_891)
    common = {p for p in first if p.aos_ns > START_NS + 3_700 * S_NS}
    assert len(common) > 70
    assert common <= shifted


def test_many_satellites_are_found_by_name(mission: Mission, catalogue: Catalogue) -> None:
    orbits = [orbit_of(mission, catalogue, name) for name in ("terra", "aqua")]
    stations = [mission.station("wallops")]
    found = find_passes_of_all(orbits, stations, START_NS, START_NS + DAY_NS)

    assert list(found) == ["terra", "aqua"]
    assert found["aqua"] == find_passes(orbits[1], stations, START_NS, START_NS + DAY_NS)


def test_an_empty_window_is_an_error_and_no_station_is_none(
    mission: Mission, catalogue: Catalogue
) -> None:
    orbit = orbit_of(mission, catalogue, "terra")
    with pytest.raises(OrbitError, match="empty"):
        find_passes(orbit, [mission.station("wallops")], START_NS, START_NS)
    assert find_passes(orbit, [], START_NS, START_NS + DAY_NS) == []


def test_windows_of_any_length_work(mission: Mission, catalogue: Catalogue) -> None:
    orbit, stations = orbit_of(mission, catalogue, "terra"), list(mission.stations.values())
    for length_ns in (1, 999, S_NS, 29 * S_NS, 31 * S_NS):
        for found in find_passes(orbit, stations, START_NS + 7, START_NS + 7 + length_ns):
            assert START_NS + 7 <= found.aos_ns < found.los_ns <= START_NS + 7 + length_ns


def test_time_conversion_keeps_microseconds() -> None:
    t_ns = START_NS + 12_345_678_901_000
    exact = datetime(2026, 10, 7, tzinfo=timezone.utc) + timedelta(microseconds=12_345_678_901)
    assert abs(skyfield_time(t_ns).utc_datetime() - exact) < timedelta(microseconds=2)
