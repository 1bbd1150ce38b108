"""contact_planner: a plan that fails is tried again, later and later, and health shows it."""

import json
import shutil
from pathlib import Path

import pytest

DOMAIN = 122
ELEMENTS = Path(__file__).parents[2] / "config" / "mission" / "elements"


@pytest.fixture
def bench(bench_of):
    return bench_of(DOMAIN)


def test_a_failed_plan_is_tried_again_until_there_are_elements(bench, tmp_path):
    from diagnostic_msgs.msg import DiagnosticStatus

    from eo_nodes.nodes.contact_planner_node import ContactPlanner
    from eo_nodes.nodes.health_monitor_node import HealthMonitor

    folder = tmp_path / "elements"
    folder.mkdir()
    for topic in ("event", "heartbeat", "contact_plan", "diagnostics"):
        bench.hear(topic)
    bench.start(HealthMonitor, check_s=0.1)
    planner = bench.start(
        ContactPlanner, satellite="skybee_1", stations=["svalbard"], elements_dir=str(folder),
        retry_s=0.2, heartbeat_s=0.1,
    )  # fmt: skip
    assert planner.is_active, "it stays up"

    def failed():
        return [e for e in bench.heard["event"] if e.id == "PLAN_FAILED"]

    bench.until(lambda: len(failed()) >= 3, "three failures")
    assert [json.loads(e.fields_json)["failed"] for e in failed()[:3]] == [1, 2, 3]
    waits = [e.text.rpartition("again in ")[2] for e in failed()[:3]]
    assert waits == ["0.2 s", "0.4 s", "0.8 s"]
    assert "no element set of catalogue number" in failed()[0].text
    assert not bench.heard["contact_plan"]

    def shown(level, state):
        return bench.until(
            lambda: [
                s for array in bench.heard["diagnostics"][-1:] for s in array.status
                if s.name.endswith("contact_planner") and (s.level, s.message) == (
                    level, f"alive, {state}")
            ],
            f"diagnostics that say {state}",
        )  # fmt: skip

    shown(DiagnosticStatus.WARN, "degraded")
    for path in ELEMENTS.iterdir():
        shutil.copy(path, folder)
    bench.until(lambda: bench.heard["contact_plan"], "a plan")
    bench.event("PLAN_UPDATED")
    shown(DiagnosticStatus.OK, "active")


@pytest.mark.parametrize(
    ("failed", "wait_s"), [(0, 60.0), (1, 120.0), (5, 1920.0), (9, 21600.0), (10_000, 21600.0)]
)
def test_the_wait_doubles_and_is_bounded(failed, wait_s):
    from eo_nodes.nodes.contact_planner_node import backoff_s

    assert backoff_s(failed, 60.0, 21600.0) == wait_s
