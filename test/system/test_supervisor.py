"""The supervisor against real processes: order, restarts within a budget, clean stops."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("circus")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from supervised import running

pytestmark = pytest.mark.system
NODES = ["/sat1/ears", "/sat1/brain", "/sat1/mouth", "/ground/station"]


def stages(run, name):
    return [step["node"] for step in run.steps if step["stage"] == name]


def test_m35_nodes_come_up_in_order_and_go_down_in_reverse(tmp_path):
    with running(tmp_path) as run:
        run.wait_for("up", missing=[])
        assert stages(run, "configured") == NODES
        assert stages(run, "active") == NODES
        run.process.send_signal(signal.SIGTERM)
        run.wait_for("stopped")
        assert stages(run, "inactive") == NODES[::-1]
        assert run.process.wait(5) == 0
        assert run.left() == []


def test_m18_a_killed_process_comes_back_active(tmp_path):
    with running(tmp_path) as run:
        pid = run.wait_for("started", process="sat1/second")["pid"]
        run.wait_for("up", missing=[])
        os.killpg(pid, signal.SIGKILL)
        assert run.wait_for("died", process="sat1/second")["exit_code"] == -signal.SIGKILL
        assert run.wait_for("restarting", process="sat1/second")["delay_s"] == 0.2
        assert run.wait_for("started", process="sat1/second")["pid"] != pid
        run.wait_for("active", node="/sat1/brain")
        run.wait_for("active", node="/sat1/mouth")
        assert run.stop(signal.SIGINT) == 0
        assert run.left() == []


def test_m18_f12_a_process_that_dies_at_start_is_disabled_also_after_a_reboot(tmp_path):
    with running(tmp_path, profile="broken") as run:
        run.wait_for("disabled", process="bad/dying")
        delays = [step["delay_s"] for step in run.steps if step["stage"] == "restarting"]
        assert delays == [0.2, 0.4, 0.8]
        run.wait_for("degraded", missing=["/bad/victim"])
        note = json.loads((tmp_path / "bad/disabled_nodes.json").read_text())
        assert note == {"nodes": ["/bad/victim"]}
        assert run.stop(signal.SIGTERM) == 0

    with running(tmp_path, profile="broken") as run:
        run.wait_for("disabled", process="bad/dying")
        run.wait_for("active", node="/bad/ears")
        assert not [s for s in run.steps if s.get("process") == "bad/dying" and "pid" in s]
        assert run.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seed", range(3))
def test_a_signal_during_start_leaves_no_process(tmp_path, number, seed):
    delay_s = random.Random(seed).uniform(0.0, 2.5)
    with running(tmp_path) as run:
        run.wait_for("started")
        time.sleep(delay_s)
        assert run.stop(number) == 0, f"seed {seed}, {delay_s:.2f} s"
        assert run.left() == []


def test_a_second_signal_kills_what_does_not_stop(tmp_path):
    with running(tmp_path, profile="stubborn") as run:
        run.wait_for("up", missing=[])
        run.process.send_signal(signal.SIGINT)
        run.wait_for("stopping")
        assert run.stop(signal.SIGINT) == 0
        assert run.left() == []


def test_no_process_outlives_a_supervisor_that_was_killed(tmp_path):
    with running(tmp_path) as run:
        run.wait_for("up", missing=[])
        run.stop(signal.SIGKILL)
        deadline_s = time.monotonic() + 10
        while run.left() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert run.left() == []


def test_the_end_of_standard_input_stops_it(tmp_path):
    with running(tmp_path, "--until-eof") as run:
        run.wait_for("up", missing=[])
        run.process.stdin.close()
        run.wait_for("stopped")
        assert run.process.wait(5) == 0
        assert run.left() == []
