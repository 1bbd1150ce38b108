"""Shared antennas, the link's curve, and workloads of real chips only."""

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from study_trace import made_trace

from eo_sim.study.config import load_config
from eo_sim.study.workload import make_requests
from eo_sim.study.world import Contact, Link, make_world

ROOT = Path(__file__).parents[3]
CONFIG = load_config(ROOT / "config" / "study.yaml")


def test_link_curve_and_its_inverse():
    times = np.array([100.0, 110.0, 120.0])
    link = Link([Contact("s", "t", 100, 120, times, np.array([0.0, 800.0, 800.0]))], 200.0)
    assert [link.bytes_by(t) for t in (0, 100, 110, 120, 150)] == [0, 0, 500, 1500, 1500]
    assert link.time_of(500) == 110
    assert link.time_of(1000) == 115
    assert link.time_of(1501) == float("inf")
    assert link.times_of(np.array([500.0, 1000.0, 1501.0])).tolist() == [110, 115, float("inf")]


def test_real_orbits_over_real_stations_share_antennas():
    config = replace(CONFIG.world, satellites=("sentinel_2a", "landsat_8"), drain_hours=0.0)
    world = make_world(config, ROOT / "config" / "mission", rate_mbps=30, hours=6.0)
    contacts = [c for link in world.links.values() for c in link.contacts]
    assert world.facts["contacts"] == len(contacts) > 5
    assert world.facts["bytes_taken"] <= world.facts["bytes_offered"]
    for a, b in itertools.combinations(contacts, 2):
        if a.station == b.station or a.satellite == b.satellite:
            assert a.end_s <= b.start_s or b.end_s <= a.start_s
    assert all(60 <= c.end_s - c.start_s <= 120.001 for c in contacts)
    assert all(c.capacity_bytes == pytest.approx((c.end_s - c.start_s) * 30e6 / 8)
               for c in contacts)  # fmt: skip


def test_the_study_flies_what_it_says():
    assert len(CONFIG.world.satellites) >= 4
    assert len(CONFIG.world.stations) == 12
    assert CONFIG.world.hours >= 24


def test_workload_holds_pixels_that_exist_and_one_sensor_a_scene():
    trace = made_trace(chips=20)
    config = replace(CONFIG.workload, scene_px=500_000)
    ((_, blocks),) = make_requests(trace, "test", ["sat"], config, scenes_a_day=40, hours=12.0)
    (some,) = blocks
    assert (np.diff(some.capture_s) >= 0).all()
    assert some.capture_s.min() >= 0 and some.capture_s.max() < 12 * 3600
    assert set(trace["split"][some.row]) == {1}
    for scene_s in np.unique(some.capture_s):
        rows = some.row[some.capture_s == scene_s]
        assert len(set(trace["set"][rows])) == 1
        chips = np.unique(trace["chip"][rows])
        pixels = sum(int(trace["asked_px"][rows[trace["chip"][rows] == c][0]]) for c in chips)
        assert pixels <= 500_000 or len(chips) == 1
        # All questions on a picture are asked.
        assert len(rows) == int(np.isin(trace["chip"], chips).sum())
