"""The whole graph in processes of its own: kills, replay, x1 against full speed, leaks."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from eo_nodes.console.difference import compare_files
from eo_nodes.console.participant import Participant
from eo_nodes.graph.description import load_graph
from eo_nodes.graph.paths import project_file
from eo_sim import demo

pytestmark = pytest.mark.system

OFFSET = 20
SAT_DOMAIN = load_graph(project_file("config/graph.yaml")).segments["sat1"].domain_id + OFFSET
# With heads or without, the same questions go down.
BY_THRESHOLDS = {"confidence.policy": "fixed"}


def report_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


def run(out: Path, scenario: str, **options: Any) -> tuple[int, dict[str, Any]]:
    status = demo.main(
        out_dir=out,
        scenario=project_file(f"config/scenarios/{scenario}.yaml"),
        domain_offset=OFFSET,
        **options,
    )
    return status, report_of(out)


class Killer(threading.Thread):
    """Kill processes, each when a topic on board has brought a number of messages."""

    def __init__(self, child: demo.GraphProcess, plan: list[tuple[str, str, int]]) -> None:
        super().__init__(daemon=True)
        self.killed: list[str] = []
        self._child, self._plan = child, plan

    def run(self) -> None:
        participant = Participant(SAT_DOMAIN, "/sat1")
        readers = {topic: participant.reader(topic) for _, topic, _ in self._plan}
        seen = dict.fromkeys(readers, 0)
        for process, topic, count in self._plan:
            end_s = time.monotonic() + 120
            while seen[topic] < count and time.monotonic() < end_s:
                for name, reader in readers.items():
                    seen[name] += len(reader.take())
                time.sleep(0.02)
            if seen[topic] < count:
                return
            self._child.kill(process, signal.SIGKILL)
            self.killed.append(process)
            self._child.wait_restarted(process, 60)


def test_m18_m35_every_task_is_answered_once_when_nodes_are_killed(tmp_path: Path) -> None:
    """Kill compact_lvlm, then tasking, then downlink_scheduler with SIGKILL in the middle."""
    killers: list[Killer] = []

    def on_graph(child: demo.GraphProcess) -> None:
        plan = [
            ("sat1/inference", "tap", 4),
            ("sat1/reasoning", "verdict", 12),
            ("sat1/delivery", "product", 3),
        ]
        killers.append(Killer(child, plan))
        killers[0].start()

    # The plan waits for products.
    status, report = run(
        tmp_path / "killed", "short", on_graph=on_graph, settings=dict(BY_THRESHOLDS))

    assert killers[0].killed == ["sat1/inference", "sat1/reasoning", "sat1/delivery"]
    assert report["lost"] == 0 and report["duplicates"] == 0
    assert report["frames_outside_contact"] == 0
    finals = report["answers_onboard"] + report["answers_ground"] + report["refusals"]
    assert finals == report["tasks"] > 10
    assert status == 0


def test_m18_m26_a_region_asked_for_ends_in_one_final_when_nodes_are_killed(
    tmp_path: Path,
) -> None:
    """Kill what the wish and its region pass through, each with SIGKILL while one is under way."""
    killers: list[Killer] = []

    def on_graph(child: demo.GraphProcess) -> None:
        plan = [
            ("sat1/reasoning", "notice", 1),
            ("ground/station", "refine", 2),
            ("sat1/imaging", "refine", 3),
            ("sat1/delivery", "refine", 3),
        ]
        killers.append(Killer(child, plan))
        killers[0].start()

    # Every answer is unsure and every region that came reduced is needed. By value per byte an idle
    # link would carry them whole, as would the level that heads choose for it, and nothing would be
    # left to ask for.
    settings = {**BY_THRESHOLDS, "ground_lvlm.unsure_below": 1.0, "ground_lvlm.needed_at": 0.0,
                "preprocess.choice": "fixed"}
    status, report = run(tmp_path / "killed", "short", on_graph=on_graph, settings=settings)

    assert len(killers[0].killed) == 4
    assert report["second_looks"]["asked"] >= 3
    assert report["second_looks"]["refined"] >= 1
    assert report["lost"] == 0 and report["duplicates"] == 0
    assert report["answers_onboard"] + report["answers_ground"] == report["tasks"]
    assert status == 0


def test_replay_of_a_recorded_run_gives_the_same_decisions_bytes_and_order(tmp_path: Path) -> None:
    _, first = run(tmp_path / "first", "short")
    demo.replay_main(
        tmp_path / "first" / "run.mcap",
        out_dir=tmp_path / "again",
        scenario=project_file("config/scenarios/short.yaml"),
        domain_offset=OFFSET,
    )
    differences, _ = compare_files(
        tmp_path / "first" / "report.json", tmp_path / "again" / "report.json"
    )
    assert [str(one) for one in differences] == []
    assert first["tasks"] > 10 and first["lost"] == 0


def test_lockstep_at_x1_and_at_full_speed_give_the_same_run(tmp_path: Path) -> None:
    settings = {"compute_mode": "fixed", "compute_fixed_ms": 37.3}
    _, fast = run(tmp_path / "fast", "minute", settings=settings)
    _, real = run(tmp_path / "real", "minute", settings=settings, rate=1.0)
    differences, _ = compare_files(
        tmp_path / "fast" / "report.json", tmp_path / "real" / "report.json"
    )
    assert [str(one) for one in differences] == []
    assert fast["tasks"] > 3 and fast["lost"] == 0
    assert real["clock"]["achieved_rate"] <= 1.05 < fast["clock"]["achieved_rate"]
