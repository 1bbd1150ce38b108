"""A process that lives but does nothing is taken down and brought up again (M35)."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("circus")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from supervised import changed_graph, running

pytestmark = pytest.mark.system
HEARD_S = 2.0  # each node has beaten by then; one that never beat is not watched


def test_m35_a_silent_process_is_killed_and_comes_back_within_its_budget(tmp_path):
    graph = changed_graph(tmp_path, restart={"attempts": 1}, bond={"silence_s": 3})
    with running(tmp_path, graph=graph) as run:
        pid = run.wait_for("started", process="sat1/second")["pid"]
        run.wait_for("up", missing=[])
        time.sleep(HEARD_S)

        os.kill(pid, signal.SIGSTOP)  # both nodes fall silent, the process is killed once
        assert run.wait_for("lost")["node"] in ("/sat1/brain", "/sat1/mouth")
        assert run.wait_for("died", process="sat1/second")["exit_code"] == -signal.SIGKILL
        again = run.wait_for("started", process="sat1/second")["pid"]
        assert again != pid
        run.wait_for("active", node="/sat1/brain")
        run.wait_for("active", node="/sat1/mouth")
        time.sleep(HEARD_S)

        os.kill(again, signal.SIGUSR1)  # an endless loop; the budget of one restart is used up
        lost = run.wait_for("lost")
        assert 3.0 <= lost["silence_s"] < 10.0
        run.wait_for("died", process="sat1/second")
        run.wait_for("disabled", process="sat1/second")

        others = [step for step in run.steps if step["stage"] in ("lost", "died")]
        assert {s.get("node") or s["process"] for s in others} <= {
            "/sat1/brain",
            "/sat1/mouth",
            "sat1/second",
        }
        assert len([step for step in others if step["stage"] == "died"]) == 2
        assert run.stop(signal.SIGTERM) == 0
        assert run.left() == []


def test_m35_a_listener_that_was_stopped_blames_nobody(tmp_path):
    graph = changed_graph(tmp_path, bond={"silence_s": 3})
    with running(tmp_path, graph=graph) as run:
        pid = run.wait_for("started", process="bringup")["pid"]
        run.wait_for("up", missing=[])
        time.sleep(HEARD_S)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(AssertionError):
            run.wait_for("lost", timeout_s=5)
        os.kill(pid, signal.SIGCONT)
        with pytest.raises(AssertionError):
            run.wait_for("lost", timeout_s=5)
        assert run.stop(signal.SIGTERM) == 0
