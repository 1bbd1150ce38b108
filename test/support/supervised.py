"""Run `spaceverse up` on the graph of stubs, and see what processes it leaves."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[2]
GRAPH = ROOT / "test/support/stub_nodes/graph.yaml"


class Run:
    """A supervisor under test: its steps, and every process that it ever had."""

    def __init__(
        self, state_dir: Path, *options: str, profile: str = "demo", graph: Path = GRAPH
    ) -> None:
        path = os.pathsep.join([str(ROOT / "test/support"), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "eo_nodes.cli.up", "--json", "--graph", str(graph)]
        command += ["--profile", profile, "--state-dir", str(state_dir)]
        # It must not outlive a test run that was killed: the next one would meet its nodes.
        command += ["--log-dir", str(state_dir / "log"), "--until-eof", *options]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
            start_new_session=True,
        )
        self.steps: list[dict[str, Any]] = []
        self.children: dict[int, float] = {}
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def _take(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next step, None at the end. Raises `queue.Empty`."""
        step = self._lines.get(timeout=max(0.01, timeout_s))
        if step is not None:
            self.steps.append(step)
            self._remember_children()
        return step

    def wait_for(self, stage: str, timeout_s: float = 240.0, **fields: Any) -> dict[str, Any]:
        """Return the next step with this stage and these fields; fail at the end or in time."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                step = self._take(deadline_s - time.monotonic())
            except queue.Empty:
                raise AssertionError(f"no {stage} {fields}; steps: {self.steps}") from None
            if step is None:
                raise AssertionError(f"ended before {stage} {fields}; steps: {self.steps}")
            if step["stage"] == stage and fields.items() <= step.items():
                return step

    def wait_for_nodes(self, stage: str, *nodes: str) -> None:
        """Wait for the next step with this stage of each node: they come in any order."""
        missing = set(nodes)
        while missing:
            missing.discard(self.wait_for(stage)["node"])

    def wait_until(self, stage: str, **fields: Any) -> dict[str, Any]:
        """Return the first step with this stage and these fields, past or to come."""
        for step in self.steps:
            if step["stage"] == stage and fields.items() <= step.items():
                return step
        return self.wait_for(stage, **fields)

    def assert_none(self, stage: str, duration_s: float) -> None:
        """See that no such step comes for a while, and that the supervisor lives on."""
        deadline_s = time.monotonic() + duration_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            try:
                step = self._take(left_s)
            except queue.Empty:
                return
            assert step is not None, f"ended; steps: {self.steps}"
            assert step["stage"] != stage, f"{step} came; steps: {self.steps}"

    def _remember_children(self) -> None:
        try:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self.children[child.pid] = child.create_time()
        except psutil.NoSuchProcess:
            return

    def stop(self, number: int, timeout_s: float = 120.0) -> int:
        """Send a signal to the supervisor; return its exit status."""
        self._remember_children()
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def left(self) -> list[psutil.Process]:
        """List processes of the graph that are still alive."""
        return [
            process
            for process in psutil.process_iter(["create_time", "status"])
            if self.children.get(process.pid) == process.info["create_time"]
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ]


def changed_graph(folder: Path, **keys: dict[str, Any]) -> Path:
    """Write a description like that of the stubs, with keys of its mappings changed."""
    document = yaml.safe_load(GRAPH.read_text())
    for name, values in keys.items():
        document[name].update(values)
    path = folder / "graph.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


@contextmanager
def running(
    state_dir: Path, *options: str, profile: str = "demo", graph: Path = GRAPH
) -> Iterator[Run]:
    """Run a supervisor; kill what is left of it at the end."""
    run = Run(state_dir, *options, profile=profile, graph=graph)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGKILL)
            run.process.wait()
        for process in run.left():
            process.kill()
