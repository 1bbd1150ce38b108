"""Look angles, subpoint, light and the look table against independent computations."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pyorbital.orbital import Orbital
from sgp4.exporter import export_tle
from skyfield.api import EarthSatellite, wgs84

from eo_nodes.orbit import (
    Catalogue,
    LookTable,
    Mission,
    Orbit,
    OrbitError,
    OutOfTableError,
    find_passes,
    ground_track,
    is_sunlit,
    look,
    subpoint,
)
from eo_nodes.orbit.timescale import ephemeris, skyfield_time, timescale

S_NS = 1_000_000_000
DAY_NS = 86_400 * S_NS
START_NS = 1_791_331_200 * S_NS  # 2026-10-07 00:00 UTC


@pytest.fixture
def orbit(mission: Mission, catalogue: Catalogue) -> Orbit:
    number = mission.satellite("sentinel_2a").norad_id
    return Orbit(catalogue.select(number, START_NS).elements, "sentinel_2a")


def test_look_is_that_of_skyfields_full_frames(mission: Mission, orbit: Orbit) -> None:
    times_ns = START_NS + np.arange(0, DAY_NS, 617 * S_NS)
    satellite = EarthSatellite.from_satrec(orbit.elements.satrec, timescale())
    for name in ("svalbard", "kourou", "troll", "awarua"):
        station = mission.station(name)
        place = wgs84.latlon(station.lat_deg, station.lon_deg, elevation_m=station.alt_m)
        seen = (satellite - place).at(skyfield_time(times_ns))
        alt, az, distance, _, _, rate = seen.frame_latlon_and_rates(place)

        ours = look(orbit, station, times_ns)

        np.testing.assert_allclose(ours.elevation_deg, alt.degrees, atol=1e-8)
        apart_deg = (ours.azimuth_deg - az.degrees + 180) % 360 - 180
        np.testing.assert_allclose(apart_deg, 0, atol=1e-7)
        np.testing.assert_allclose(ours.range_m, distance.m, atol=1e-3)
        np.testing.assert_allclose(ours.range_rate_m_s, rate.m_per_s, atol=1e-3)
        np.testing.assert_allclose(ours.light_time_s, distance.m / 299_792_458.0, rtol=1e-12)


def test_doppler_is_positive_before_and_negative_after_the_top(
    mission: Mission, orbit: Orbit
) -> None:
    station = mission.station("matera")
    best = max(
        find_passes(orbit, [station], START_NS, START_NS + DAY_NS),
        key=lambda p: p.max_elevation_deg,
    )
    rise, top, fall = look(orbit, station, [best.aos_ns, best.tca_ns, best.los_ns]).doppler_hz(
        8.2e9
    )

    # 6 to 7 km/s of range rate at 8.2 GHz are 160 to 200 kHz.
    assert 150e3 < rise < 200e3
    assert -200e3 < fall < -150e3
    assert abs(top) < 10e3


def test_a_scalar_time_counts_as_length_1(mission: Mission, orbit: Orbit) -> None:
    seen = look(orbit, mission.station("matera"), START_NS)
    assert seen.elevation_deg.shape == seen.range_m.shape == (1,)
    assert is_sunlit(orbit, START_NS).shape == (1,)
    assert subpoint(orbit, START_NS).lat_deg.shape == (1,)


def test_subpoint_agrees_with_pyorbital(orbit: Orbit) -> None:
    times_ns = START_NS + np.arange(0, DAY_NS, 1777 * S_NS)
    place = subpoint(orbit, times_ns)
    line1, line2 = export_tle(orbit.elements.satrec)
    lon, lat, alt_km = Orbital("X", line1=line1, line2=line2).get_lonlatalt(
        times_ns.astype("datetime64[ns]")
    )

    np.testing.assert_allclose(place.lat_deg, lat, atol=0.01)
    np.testing.assert_allclose((place.lon_deg - lon + 180) % 360 - 180, 0, atol=0.05)
    np.testing.assert_allclose(place.alt_m, alt_km * 1000, atol=1000)


def test_ground_track_crosses_the_antimeridian_within_range(orbit: Orbit) -> None:
    times_ns, track = ground_track(orbit, START_NS, START_NS + 7200 * S_NS, 20 * S_NS)

    assert times_ns.size == 361
    assert (times_ns[0], times_ns[-1]) == (START_NS, START_NS + 7200 * S_NS)
    assert np.all(np.abs(track.lon_deg) <= 180)
    steps = np.abs(np.diff(track.lon_deg))
    assert np.sum(steps > 180) >= 1
    # Sentinel-2: 98.6 deg of inclination, 786 km.
    assert 81.0 < np.max(np.abs(track.lat_deg)) < 82.0
    assert np.all((track.alt_m > 775e3) & (track.alt_m < 820e3))


def test_sunlight_agrees_with_a_cylinder_shadow(orbit: Orbit) -> None:
    times_ns = START_NS + np.arange(0, 6000, 5) * S_NS
    t = skyfield_time(times_ns)
    satellite = EarthSatellite.from_satrec(orbit.elements.satrec, timescale())
    r_km = satellite.at(t).position.km.T
    to_sun = (ephemeris()["sun"] - ephemeris()["earth"]).at(t).position.km.T
    to_sun = to_sun / np.linalg.norm(to_sun, axis=1)[:, None]
    along_km = np.einsum("ij,ij->i", r_km, to_sun)
    across_km = np.linalg.norm(r_km - along_km[:, None] * to_sun, axis=1)
    expected = (along_km > 0) | (across_km > 6378.1)

    lit = is_sunlit(orbit, times_ns)

    # The 10:30 orbit is in the dark for about a third; edges may differ by some samples.
    assert 0.25 < np.mean(~lit) < 0.40
    assert np.sum(lit != expected) <= 8


def test_the_look_table_agrees_with_look(mission: Mission, orbit: Orbit) -> None:
    station = mission.station("matera")
    one = max(
        find_passes(orbit, [station], START_NS, START_NS + DAY_NS),
        key=lambda p: p.max_elevation_deg,
    )
    table = LookTable(orbit, station, one.aos_ns, one.los_ns)
    times_ns = np.append(np.arange(one.aos_ns, one.los_ns, 1_234_567_891), one.los_ns)
    exact = look(orbit, station, times_ns)
    points = [table.at(int(t)) for t in times_ns]

    np.testing.assert_allclose([p.range_m for p in points], exact.range_m, atol=0.01)
    np.testing.assert_allclose([p.elevation_deg for p in points], exact.elevation_deg, atol=1e-6)
    apart_deg = ([p.azimuth_deg for p in points] - exact.azimuth_deg + 180) % 360 - 180
    np.testing.assert_allclose(apart_deg, 0, atol=1e-5)
    np.testing.assert_allclose([p.range_rate_m_s for p in points], exact.range_rate_m_s, atol=0.01)
    np.testing.assert_allclose(
        [p.doppler_hz(8.2e9) for p in points], exact.doppler_hz(8.2e9), atol=0.5
    )


def test_the_look_table_answers_only_its_window(mission: Mission, orbit: Orbit) -> None:
    table = LookTable(orbit, mission.station("matera"), START_NS, START_NS + 25 * S_NS)
    table.at(START_NS)
    table.at(START_NS + 25 * S_NS)
    for t_ns in (START_NS - 1, START_NS + 25 * S_NS + 1):
        with pytest.raises(OutOfTableError):
            table.at(t_ns)
    with pytest.raises(OrbitError, match="empty"):
        LookTable(orbit, mission.station("matera"), START_NS, START_NS)


def test_one_look_costs_less_than_50_us(mission: Mission, orbit: Orbit) -> None:
    table = LookTable(orbit, mission.station("matera"), START_NS, START_NS + 600 * S_NS)
    rounds_us = []
    for _ in range(20):
        begin = time.perf_counter()
        for k in range(100):
            table.at(START_NS + k * 5_999_999_999)
        rounds_us.append((time.perf_counter() - begin) * 1e4)
    # The best of the rounds: other processes on the machine must not fail the test.
    assert min(rounds_us) < 50, f"{min(rounds_us):.1f} us"
