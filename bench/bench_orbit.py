"""Measures the orbit room: a day of passes, a day's plan, one look, one rate, the first start.

Run: python -m bench.bench_orbit. Prints a line for people and then one line of JSON.
Times are the median of repeated runs in one process, wall clock.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eo_nodes.orbit import (
    LookTable,
    Orbit,
    downlink_budget,
    find_passes,
    load_catalogue,
    load_mission,
    plan_contacts,
)

S_NS = 1_000_000_000
DAY_NS = 86_400 * S_NS
START_NS = 1_791_331_200 * S_NS  # 2026-10-07 00:00 UTC
FOLDER = Path(__file__).resolve().parents[1] / "config" / "mission"
_FIRST_PLAN = """
import time
begin = time.perf_counter()
from pathlib import Path
from eo_nodes.orbit import Orbit, load_catalogue, load_mission, plan_contacts
mission, folder = load_mission(Path({folder!r})), Path({folder!r}) / "elements"
satellite = mission.satellite("sentinel_2a")
elements = load_catalogue(folder)[0].select(satellite.norad_id, {start}).elements
stations = list(mission.stations.values())[:12]
plan_contacts(satellite, Orbit(elements), stations, {start}, 86_400_000_000_000)
print(time.perf_counter() - begin)
"""


def median_s(run: Callable[[], Any], times: int) -> float:
    """Median wall time of some runs, s."""
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        spent.append(time.perf_counter() - begin)
    return statistics.median(spent)


def measure() -> dict[str, float]:
    """Measure everything; keys carry their unit, limits are under `limit_` keys."""
    mission = load_mission(FOLDER)
    catalogue, _ = load_catalogue(FOLDER / "elements")
    satellite = mission.satellite("sentinel_2a")
    orbit = Orbit(catalogue.select(satellite.norad_id, START_NS).elements, satellite.name)
    stations = list(mission.stations.values())[:12]
    passes = find_passes(orbit, stations, START_NS, START_NS + DAY_NS)
    table = LookTable(orbit, stations[0], START_NS, START_NS + 600 * S_NS)
    budget = downlink_budget(satellite, stations[0])
    assert budget is not None

    def looks() -> None:
        for k in range(1000):
            table.at(START_NS + k * 599_999_999)

    def rates() -> None:
        for k in range(1000):
            budget.rate_at(8e5 + k * 2e3, 45.0)

    code = _FIRST_PLAN.format(folder=str(FOLDER), start=START_NS)
    command = [sys.executable, "-c", code]
    first = subprocess.run(command, check=True, capture_output=True, text=True)
    return {
        "passes": len(passes),
        "find_passes_24h_12_stations_s": median_s(
            lambda: find_passes(orbit, stations, START_NS, START_NS + DAY_NS), 15
        ),
        "limit_find_passes_24h_12_stations_s": 0.5,
        "plan_24h_12_stations_s": median_s(
            lambda: plan_contacts(satellite, orbit, stations, START_NS, DAY_NS), 7
        ),
        "first_plan_of_a_process_s": float(first.stdout),
        "limit_first_plan_of_a_process_s": 1.0,
        "look_us": median_s(looks, 15) * 1e3,
        "limit_look_us": 50.0,
        "rate_us": median_s(rates, 15) * 1e3,
    }


def main() -> None:
    """Print the figures."""
    got = measure()
    print(
        f"orbit: 24 h, 1 satellite, 12 stations: {got['passes']:.0f} passes in "
        f"{got['find_passes_24h_12_stations_s'] * 1e3:.0f} ms (limit 500 ms); plan "
        f"{got['plan_24h_12_stations_s'] * 1e3:.0f} ms; first plan of a process "
        f"{got['first_plan_of_a_process_s']:.2f} s (limit 1 s); look {got['look_us']:.1f} us "
        f"(limit 50 us); rate {got['rate_us']:.1f} us"
    )
    print(json.dumps(got))


if __name__ == "__main__":
    main()
