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

from eo_nodes.console.participant import Participant

pytestmark = pytest.mark.system
DOMAIN = 97  # of sat1 in the graph of stubs


def wait_heard(*names):
    """Wait until each of these nodes of sat1 has beaten three times while we listened.

    The bring-up, which was there before us, has heard them too by then; a node that it never
    heard is not watched.
    """
    counts = dict.fromkeys(names, 0)
    reader = Participant(DOMAIN, "/sat1").reader("heartbeat")
    end_s = time.monotonic() + 240
    while min(counts.values()) < 3:
        assert time.monotonic() < end_s, f"beats heard: {counts}"
        for beat in reader.take():
            if beat.node in counts:
                counts[beat.node] += 1
        time.sleep(0.05)


def test_m35_a_silent_process_is_killed_and_comes_back_within_its_budget(tmp_path):
    graph = changed_graph(tmp_path, restart={"attempts": 1}, bond={"silence_s": 3})
    with running(tmp_path, graph=graph) as run:
        pid = run.wait_for("started", process="sat1/second")["pid"]
        run.wait_for("up", missing=[])
        wait_heard("brain", "mouth")

        os.kill(pid, signal.SIGSTOP)  # both nodes fall silent, the process is killed once
        assert run.wait_for("lost")["node"] in ("/sat1/brain", "/sat1/mouth")
        assert run.wait_for("died", process="sat1/second")["exit_code"] == -signal.SIGKILL
        again = run.wait_for("started", process="sat1/second")["pid"]
        assert again != pid
        run.wait_for_nodes("active", "/sat1/brain", "/sat1/mouth")
        wait_heard("brain", "mouth")

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
        wait_heard("ears", "brain", "mouth")
        os.kill(pid, signal.SIGSTOP)
        run.assert_none("lost", 5)
        os.kill(pid, signal.SIGCONT)
        run.assert_none("lost", 5)
        assert run.stop(signal.SIGTERM) == 0
