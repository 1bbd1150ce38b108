"""The supervisor against real processes: order, restarts within a budget, clean stops."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("circus")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from supervised import GRAPH, changed_graph, running

from eo_nodes.graph.description import load_graph
from eo_nodes.graph.plan import Overrides, make_plan
from eo_nodes.graph.running import GraphError, running_graph
from eo_nodes.graph.shared_memory import FOLDER

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
        assert run.process.wait(120) == 0
        assert run.left() == []


def test_m18_a_killed_process_comes_back_active(tmp_path):
    with running(tmp_path) as run:
        pid = run.wait_for("started", process="sat1/second")["pid"]
        run.wait_for("up", missing=[])
        os.killpg(pid, signal.SIGKILL)
        assert run.wait_for("died", process="sat1/second")["exit_code"] == -signal.SIGKILL
        assert run.wait_for("restarting", process="sat1/second")["delay_s"] == 0.2
        assert run.wait_for("started", process="sat1/second")["pid"] != pid
        run.wait_for_nodes("active", "/sat1/brain", "/sat1/mouth")
        assert run.stop(signal.SIGINT) == 0
        assert run.left() == []


@contextlib.contextmanager
def busy():
    """Keep every processor busy, so that the threads of a process die one after the other."""
    command = [sys.executable, "-c", "while True: pass"]
    hogs = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


@pytest.mark.parametrize("seed", range(2))
def test_the_exit_code_is_known_whenever_a_process_dies(tmp_path, seed):
    script = GRAPH.parents[1] / "kill_often.py"
    with busy():
        run = subprocess.run(
            [sys.executable, str(script), str(tmp_path), str(seed), "40"],
            capture_output=True,
            text=True,
            cwd=script.parents[2],
            env={**os.environ, "PYTHONPATH": f"{script.parent}:{os.environ.get('PYTHONPATH', '')}"},
            timeout=480,
        )
    assert run.returncode == 0, run.stderr
    deaths = json.loads(run.stdout)
    assert len(deaths) == 40
    assert {number for number, _ in deaths} == {signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1}
    assert [code for _, code in deaths] == [-number for number, _ in deaths], f"seed {seed}"


def test_m18_f12_a_process_that_dies_at_start_is_disabled_also_after_a_reboot(tmp_path):
    # The bring-up waits half of this for the node that never comes.
    graph = changed_graph(tmp_path, bring_up={"timeout_s": 8})
    with running(tmp_path, profile="broken", graph=graph) as run:
        run.wait_until("disabled", process="bad/dying")
        delays = [step["delay_s"] for step in run.steps if step["stage"] == "restarting"]
        assert delays == [0.2, 0.4, 0.8]
        assert "/bad/victim" in run.wait_until("degraded")["missing"]
        run.wait_until("active", node="/bad/ears")
        note = json.loads((tmp_path / "bad/disabled_nodes.json").read_text())
        assert note == {"nodes": ["/bad/victim"]}
        assert run.stop(signal.SIGTERM) == 0

    with running(tmp_path, profile="broken", graph=graph) as run:
        run.wait_until("disabled", process="bad/dying")
        run.wait_until("active", node="/bad/ears")
        assert not [s for s in run.steps if s.get("process") == "bad/dying" and "pid" in s]
        assert run.stop(signal.SIGTERM) == 0


def test_what_runs_is_the_plan_in_its_order(tmp_path):
    plan = make_plan(load_graph(GRAPH), "demo", Overrides(state_dir=str(tmp_path)))
    with running(tmp_path) as run:
        run.wait_for("up", missing=[])
        started = [step for step in run.steps if step["stage"] == "started"]
        specs = [*plan.processes, plan.bringup]
        assert [step["process"] for step in started] == [spec.name for spec in specs]
        for step, spec in zip(started, specs, strict=True):
            process = psutil.Process(step["pid"])
            assert process.cmdline()[1:] == spec.argv()[1:]
            assert spec.environment.items() <= process.environ().items()
        assert run.stop(signal.SIGTERM) == 0


def test_a_program_runs_kills_and_stops_a_graph(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{GRAPH.parents[1]}{os.pathsep}{os.environ['PYTHONPATH']}")
    overrides = Overrides(state_dir=str(tmp_path))
    with running_graph("demo", overrides, tmp_path / "log", graph=GRAPH) as graph:
        graph.wait_active(240)
        before = graph.pid("brain")
        graph.kill("brain")
        graph.wait_node_active("brain", 240)
        assert graph.pid("sat1/mouth") == graph.pid("brain") != before
        assert graph.state().restarts["sat1/second"] == 1
        with pytest.raises(GraphError, match="fits 0 nodes"):
            graph.kill("nobody")
        pids = list(graph.state().pids.values())
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


@pytest.mark.parametrize("seed", range(4))
def test_a_signal_before_anything_runs_ends_with_0(tmp_path, seed):
    code = "import eo_nodes.cli.entry as e; print('here', flush=True); e.main()"
    command = [sys.executable, "-c", code, "up", "--graph", str(GRAPH)]
    process = subprocess.Popen(
        [*command, "--state-dir", str(tmp_path), "--log-dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{GRAPH.parents[1]}:{os.environ['PYTHONPATH']}"},
    )
    process.stdout.readline()
    time.sleep(0.02 + random.Random(seed).uniform(0.0, 0.6))
    process.send_signal([signal.SIGINT, signal.SIGTERM][seed % 2])
    assert process.wait(120) == 0, f"seed {seed}"


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
    # The grace outlasts this test: only the second signal can end it.
    graph = changed_graph(tmp_path, shutdown={"grace_s": 600})
    with running(tmp_path, profile="stubborn", graph=graph) as run:
        run.wait_for("up", missing=[])
        run.process.send_signal(signal.SIGINT)
        run.wait_for("stopping")
        with pytest.raises(subprocess.TimeoutExpired):
            run.process.wait(3)
        assert run.stop(signal.SIGINT) == 0
        assert run.left() == []


def test_no_process_outlives_a_supervisor_that_was_killed(tmp_path):
    with running(tmp_path) as run:
        run.wait_for("up", missing=[])
        run.stop(signal.SIGKILL)
        deadline_s = time.monotonic() + 120
        while run.left() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert run.left() == []


def test_memory_that_a_killed_process_left_is_given_back(tmp_path):
    segment = FOLDER / f"fastdds_{os.getpid():016x}"
    lock = segment.with_name(f"{segment.name}_el")
    segment.write_bytes(bytes(4096))
    lock.touch()
    os.utime(lock, (0, 0))
    try:
        with running(tmp_path) as run:
            run.wait_for("started")
            assert not segment.exists() and not lock.exists()
            assert run.stop(signal.SIGTERM) == 0
    finally:
        segment.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)


def test_the_end_of_standard_input_stops_it(tmp_path):
    with running(tmp_path, "--until-eof") as run:
        run.wait_for("up", missing=[])
        run.process.stdin.close()
        run.wait_for("stopped")
        assert run.process.wait(120) == 0
        assert run.left() == []
