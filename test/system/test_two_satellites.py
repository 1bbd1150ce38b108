"""Two satellites, each with its ground, over stations that they share: the profile `pair`."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("circus")

from eo_nodes.console.client import GroundConsole
from eo_nodes.contracts.values import Answer
from eo_nodes.graph.description import load_graph
from eo_nodes.graph.paths import project_file
from eo_nodes.graph.plan import Overrides
from eo_nodes.graph.running import running_graph
from eo_nodes.orbit import Orbit, find_passes, load_catalogue, load_mission
from eo_sim.scenario import load_scenario

pytestmark = pytest.mark.system

OFFSET = 28
S_NS = 10**9
ARRIVAL_NS = S_NS // 5  # light time and the channel's grid
TINY = str(Path(__file__).parents[1] / "data" / "lvlm" / "tiny_unified")
SEGMENTS = load_graph(project_file("config/graph.yaml")).segments
SCENARIO = project_file("config/scenarios/pair.yaml")
SPACE_OF = {"ground": "sat1", "ground2": "sat2"}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def fly(tmp_path: Path) -> tuple[dict[str, list[Answer]], int]:
    """Run the profile to its end; return finals by ground segment and the exit status."""
    consoles = {
        name: GroundConsole(SEGMENTS[name].domain_id + OFFSET, f"/{name}", "test")
        for name in SPACE_OF
    }
    finals: dict[str, list[Answer]] = {name: [] for name in consoles}
    plan = load_scenario(SCENARIO)
    end_ns = plan.start_ns + round(plan.duration_s * S_NS)
    overrides = Overrides(
        # Small models, short answers, and no process that the question is not about.
        # Time moves from event to event: the fewer of them, the sooner it is over.
        parameters={"model_dir": TINY, "compute_mode": "fixed", "max_tokens": 4,
                    "tick_s": 2.0, "status_s": 60.0},
        without=("health_monitor", "archive"),
        state_dir=str(tmp_path / "state"),
        domain_offset=OFFSET,
    )
    for console in consoles.values():
        console.reader("final")
    with running_graph("pair", overrides, tmp_path / "log") as running:
        running.wait_active(120.0)
        until_s = time.monotonic() + 240.0
        now_ns = 0
        while not plan.start_ns <= now_ns <= end_ns or now_ns < end_ns:
            for name, console in consoles.items():
                finals[name] += console.reader("final").take()
            now_ns = consoles["ground"].now_ns()
            assert time.monotonic() < until_s, f"at {(now_ns - plan.start_ns) / S_NS} s: {finals}"
            assert not running.state().has_ended
            time.sleep(0.05)
        for name, console in consoles.items():
            finals[name] += console.reader("final").take()
        assert set(running.state().restarts.values()) == {0}
        return finals, running.stop()


def test_two_satellites_share_the_stations_and_every_question_is_answered_once(
    tmp_path: Path,
) -> None:
    finals, status = fly(tmp_path)
    assert status == 0

    # Each question once, by the satellite that it was put to.
    for ground, space in SPACE_OF.items():
        asked = {q.task.id for q in load_scenario(SCENARIO, space).questions}
        distinct = {final.id: final.task_id for final in finals[ground]}
        assert Counter(distinct.values()) == Counter(asked), ground

    # What went on the air, by satellite and contact, as the channel logged it.
    log = rows(tmp_path / "state" / "sim" / "frames_emulator.jsonl")
    assert [row for row in log if not row["contact"]] == []
    spans: dict[tuple[str, str], list[int]] = {}
    for row in log:
        satellite, station, _ = row["contact"].split("-")
        assert satellite == load_scenario(SCENARIO, row["segment"]).satellite
        spans.setdefault((satellite, station), []).append(row["t_ns"])
    assert {satellite for satellite, _ in spans} == {"skybee_1", "sentinel_2a"}
    for (one, at), (two, where) in itertools.combinations(spans, 2):
        a, b = spans[one, at], spans[two, where]
        if at == where or one == two:
            apart_ns = max(min(a) - max(b), min(b) - max(a))
            assert apart_ns > 0, (one, two, at)

    # Neither end spoke or heard outside the contacts that its own satellite was given.
    states = {"sat1": "downlink_scheduler", "ground": "ground_station",
              "sat2": "downlink_scheduler", "ground2": "ground_station"}  # fmt: skip
    for segment, node in states.items():
        satellite = load_scenario(SCENARIO, SPACE_OF.get(segment, segment)).satellite
        own = [span for (name, _), span in spans.items() if name == satellite]
        for row in rows(tmp_path / "state" / segment / f"frames_{node}.jsonl"):
            late_ns = ARRIVAL_NS if row["direction"] == "rx" else 0
            assert any(min(s) <= row["t_ns"] <= max(s) + late_ns for s in own), (segment, row)

    # There was something to share: both stood above Inuvik, and one had to wait.
    mission = load_mission(project_file("config/mission"))
    catalogue, _ = load_catalogue(project_file("config/mission/elements"))
    start_ns = load_scenario(SCENARIO).start_ns
    elements = catalogue.select(mission.satellite("skybee_1").norad_id, start_ns).elements
    (risen,) = find_passes(
        Orbit(elements, "skybee_1"), [mission.station("inuvik")], start_ns, start_ns + 1450 * S_NS
    )
    assert min(spans["skybee_1", "inuvik"]) - risen.aos_ns > 300 * S_NS
    assert risen.aos_ns < max(spans["sentinel_2a", "inuvik"])
