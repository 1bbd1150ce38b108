"""Run the graph from a program: the demo, the replay, the system tests.

The supervisor is a process of its own, because circus collects every child of the process it
lives in. It stops when its standard input ends, so it never outlives this program.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import EoError

from .plan import NO_OVERRIDES, Overrides

_STOP_S = 40.0


class GraphError(EoError):
    """The graph did not come up, or ended by itself."""


@dataclass(slots=True)
class GraphState:
    """What the supervisor said so far.

    Attributes:
        pids: process -> pid, of living processes.
        process_of: node (``/sat1/tasking``) -> process.
        stages: node -> last step: configured, active, reappeared, inactive, refused, late.
        disabled: processes that used up their restarts.
        restarts: process -> how often it was started again.
        is_up: all nodes were active.
        has_ended: the supervisor is gone.
    """

    pids: dict[str, int] = field(default_factory=dict)
    process_of: dict[str, str] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    restarts: dict[str, int] = field(default_factory=dict)
    is_up: bool = False
    has_ended: bool = False

    def take(self, step: dict[str, Any]) -> None:
        """Follow one step."""
        stage, process, node = step["stage"], step.get("process", ""), step.get("node", "")
        if stage == "started":
            self.restarts[process] = self.restarts.get(process, -1) + 1
            self.pids[process] = step["pid"]
            self.process_of.update(dict.fromkeys(step["nodes"], process))
        elif stage == "died":
            self.pids.pop(process, None)
            for name, place in self.process_of.items():
                if place == process:
                    self.stages[name] = "lost"
        elif stage == "disabled":
            self.disabled.add(process)
        elif stage == "up":
            self.is_up = True
        elif node:
            self.stages[node] = stage


class RunningGraph:
    """A graph under a supervisor; made by `running_graph`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._state = GraphState()
        self._changed = threading.Condition()
        self.steps: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                step = json.loads(line)
                self.steps.append(step)
                self._state.take(step)
                self._changed.notify_all()
        with self._changed:
            self._state.has_ended = True
            self._changed.notify_all()

    @property
    def supervisor_pid(self) -> int:
        """Process id of the supervisor."""
        return self._process.pid

    def state(self) -> GraphState:
        """Return the state; it goes on changing."""
        return self._state

    def wait_active(self, timeout_s: float = 60.0) -> None:
        """Wait until all nodes are active.

        Raises:
            GraphError: time is over or the supervisor ended; names the nodes that are missing.
        """
        self._wait(lambda: self._state.is_up, timeout_s, "all nodes are active")

    def wait_node_active(self, node: str, timeout_s: float = 30.0) -> None:
        """Wait until one node is active (again). Raises `GraphError`."""
        name = self.full_name(node)
        self._wait(lambda: self._state.stages.get(name) == "active", timeout_s, f"{name} is active")

    def _wait(self, is_met: Any, timeout_s: float, aim: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: is_met() or self._state.has_ended, timeout_s)
            if not is_met():
                stages = self._state.stages
                missing = [n for n in self._state.process_of if stages.get(n) != "active"]
                why = "the supervisor ended" if self._state.has_ended else f"after {timeout_s} s"
                raise GraphError(f"{why}, and not {aim}; not active: {', '.join(missing)}")

    def full_name(self, node: str) -> str:
        """Return ``/segment/node`` for a node, by its full or its bare name.

        Raises:
            GraphError: no such node, or several.
        """
        known = self._state.process_of
        wanted = "/" + node.lstrip("/")
        found = [name for name in known if name == wanted or name.endswith(wanted)]
        if len(found) != 1:
            raise GraphError(f"{node!r} fits {len(found)} nodes of {', '.join(known)}")
        return found[0]

    def pid(self, node: str) -> int:
        """Return the process id that a node lives in now. Raises `GraphError`."""
        name = self.full_name(node)
        pid = self._state.pids.get(self._state.process_of[name])
        if pid is None:
            raise GraphError(f"{name} is not running")
        return pid

    def kill(self, node: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to the process of a node, with the nodes that share it."""
        pid = self.pid(node)
        with self._changed:
            # From here on "active" means its next life.
            process = self._state.process_of[self.full_name(node)]
            for name, place in self._state.process_of.items():
                if place == process:
                    self._state.stages[name] = "lost"
        os.kill(pid, number)

    def stop(self) -> int:
        """Stop in order; return the supervisor's exit status."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            status = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its children die with it
            status = self._process.wait()
        self._reader.join(5.0)
        return status


def supervisor_command(
    profile: str, overrides: Overrides, log_dir: Path, graph: Path | None = None
) -> list[str]:
    """Return the command line of a supervisor for these overrides."""
    command = [sys.executable, "-m", "eo_nodes.cli.up", "--json", "--until-eof"]
    command += ["--profile", profile, "--log-dir", str(log_dir)]
    command += ["--domain-offset", str(overrides.domain_offset)]
    if graph is not None:
        command += ["--graph", str(graph)]
    if overrides.state_dir:
        command += ["--state-dir", overrides.state_dir]
    for option, values in (
        ("--segment", overrides.segments),
        ("--without", overrides.without),
        ("--params-file", overrides.parameter_files),
    ):
        command += _repeated(option, values)
    pairs = [f"{name}={json.dumps(value)}" for name, value in overrides.parameters.items()]
    return command + _repeated("--set", pairs)


def _repeated(option: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (option, value)]


@contextlib.contextmanager
def running_graph(
    profile: str,
    overrides: Overrides = NO_OVERRIDES,
    log_dir: Path = Path("build/log"),
    *,
    graph: Path | None = None,
) -> Iterator[RunningGraph]:
    """Run a profile for the length of a with block; nothing is left afterwards."""
    log_dir.mkdir(parents=True, exist_ok=True)
    with (log_dir / "supervisor.log").open("a") as errors:
        process = subprocess.Popen(
            supervisor_command(profile, overrides, log_dir, graph),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C reaches us only; we stop it in order
        )
    running = RunningGraph(process)
    try:
        yield running
    finally:
        running.stop()
