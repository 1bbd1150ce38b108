"""Run the processes of a plan under circus: start, watch, restart within a budget, stop.

Theory of operation. circus starts the processes, each in a session of its own with its output
in a log file, and notices deaths; it does not restart by itself. What happens after a death is
decided by `grant` (the restart budget). The bring-up process changes lifecycle states; its
lines are passed on, so whoever reads the lines sees processes and nodes in one stream. On stop
the bring-up goes first, deactivating nodes in reverse order, then everything else.

The bring-up also listens to heartbeats. The process of a node that it calls lost is killed,
whatever state it hangs in, and then goes the way of every process that dies (M35).

A process that is killed leaves its shared memory behind. It is given back at the start, after
each death and at the end.

Not here: lifecycle, the budget's numbers, printing, signals.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from circus.arbiter import Arbiter
from circus.sighandler import SysHandler
from circus.stream import FileStream
from circus.watcher import Watcher
from tornado.ioloop import IOLoop

from .plan import BRINGUP, Plan, ProcessSpec, die_with_parent
from .shared_memory import remove_stale_segments
from .steps import LOST, StepLines

_CHECK_S = 0.1  # how often circus looks for dead processes
_LOG_BYTES = 16 << 20
Grant = Callable[[str, int], float | None]


class Say(Protocol):
    """Receives each step: ``stage`` and fields that JSON can hold."""

    def __call__(self, **fields: Any) -> None:
        """Take one step."""


class _Lines:
    """Output stream of circus that passes on steps."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._lines = StepLines()

    def __call__(self, data: Mapping[str, Any]) -> None:
        chunk = data["data"]
        for step in self._lines.feed(chunk if isinstance(chunk, bytes) else chunk.encode()):
            self._say(**step)


class _Arbiter(Arbiter):  # type: ignore[misc]
    """An arbiter that notices deaths but leaves it to us to ask how a process ended.

    circus would collect every child of ours, and so lose the exit code of a process that it sees
    dead before the kernel lets it be collected: when the last of its threads is gone.
    """

    def reap_processes(self) -> None:
        """Collect nothing."""


class Supervisor:
    """Runs one plan once.

    Args:
        plan: processes, in order of start.
        log_dir: one file a process; created if missing.
        grant: (process name, monotonic ns) -> delay in s before a restart, or None for none.
        say: takes each step: freed, started, died, restarting, disabled, stopping, stopped, and
            what the bring-up says.
        environment: of every process, below what the plan says.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        log_dir: Path,
        grant: Grant,
        say: Say,
        environment: Mapping[str, str],
    ) -> None:
        self._plan = plan
        self._log_dir = log_dir
        self._grant = grant
        self._say = say
        self._environment = dict(environment)
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watchers: dict[str, Watcher] = {}
        self._alive: dict[str, Any] = {}  # of circus; None: it could not be started
        self._started_s: dict[str, float] = {}
        self._arbiter: Any = None
        self._turn = asyncio.Lock()

    def stop(self) -> None:
        """Ask for an orderly stop; a second time, kill what is left."""
        if self._stop.is_set():
            for watcher in self._watchers.values():
                watcher.graceful_timeout = 0
                for pid in list(watcher.processes):
                    _signal_group(pid, signal.SIGKILL)
        self._stop.set()

    async def run(self) -> None:
        """Start everything, watch until `stop`, leave no process."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        sockets = tempfile.mkdtemp(prefix="spaceverse-")
        self._free_memory()
        try:
            await self._start_arbiter(sockets)
            await self._start_all()
            await self._check()
        finally:
            await self._stop_all()
            shutil.rmtree(sockets, ignore_errors=True)
        self._free_memory()
        self._say(stage="stopped")

    def _free_memory(self) -> None:
        freed_bytes = remove_stale_segments()
        if freed_bytes:
            self._say(stage="freed", shared_memory_bytes=freed_bytes)

    async def _start_arbiter(self, sockets: str) -> None:
        """Start circus without its signal handlers: signals are the caller's business."""
        before = {number: signal.getsignal(number) for number in SysHandler.SIGNALS}
        signal.pthread_sigmask(signal.SIG_BLOCK, before)
        try:
            self._arbiter = _Arbiter(
                [],
                f"ipc://{sockets}/control",
                f"ipc://{sockets}/events",
                check_delay=-1,  # we call its check ourselves, in turn with our commands
                loop=IOLoop.current(),
                proc_name="spaceverse",
            )
            await self._arbiter.start()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, before)

    async def _start_all(self) -> None:
        for spec in (*self._plan.processes, self._plan.bringup):
            if not self._stop.is_set():
                await self._exclusively(functools.partial(self._add, spec))
                await self._start(spec)

    async def _add(self, spec: ProcessSpec) -> None:
        self._watchers[spec.name] = self._arbiter.add_watcher(spec.name, **self._options(spec))

    def _options(self, spec: ProcessSpec) -> dict[str, Any]:
        command = [*die_with_parent(signal.SIGKILL), *spec.argv()]
        # Both outputs of a process go to one file; a bound method, so that circus does not open
        # the file a second time.
        log = FileStream(
            filename=str(self._log_dir / _log_name(spec.name)),
            max_bytes=_LOG_BYTES,
            backup_count=1,
        ).__call__
        stdout = _Lines(self._hear) if spec.name == BRINGUP else log
        return {
            "cmd": command[0],
            "args": command[1:],
            "env": {**self._environment, **spec.environment},
            "respawn": False,
            "graceful_timeout": self._plan.grace_s,
            "stdout_stream": {"stream": stdout},
            "stderr_stream": {"stream": log},
        }

    async def _start(self, spec: ProcessSpec) -> None:
        watcher = self._watchers[spec.name]
        await self._exclusively(
            lambda: self._arbiter.start_watchers(watcher_iter_func=lambda **_: [watcher])
        )
        self._alive[spec.name] = next(iter(watcher.processes.values()), None)
        self._started_s[spec.name] = time.monotonic()
        for pid in watcher.processes:
            nodes = [node.name for node in spec.nodes]
            self._say(stage="started", process=spec.name, pid=pid, nodes=nodes)

    def _hear(self, **step: Any) -> None:
        """Take a step of the bring-up."""
        self._say(**step)
        spec = self._plan.process_of(step.get("node", "")) if step["stage"] == LOST else None
        if spec is None or spec.name not in self._alive:
            return
        # A silence that began before this process did is that of its predecessor.
        if time.monotonic() - self._started_s[spec.name] > step["silence_s"]:
            process = self._alive[spec.name]
            if process is not None:
                _signal_group(process.pid, signal.SIGKILL)

    async def _check(self) -> None:
        """Look for deaths until the stop."""
        specs = {spec.name: spec for spec in (*self._plan.processes, self._plan.bringup)}
        while not self._stop.is_set():
            await self._exclusively(self._arbiter.manage_watchers)
            for name, process in list(self._alive.items()):
                if not self._watchers[name].is_stopped():
                    continue
                code = None if process is None else process.poll()
                if process is not None and code is None:
                    continue  # some of its threads still run
                del self._alive[name]
                self._say(stage="died", process=name, exit_code=code)
                self._free_memory()
                task = asyncio.create_task(self._after_death(specs[name]))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _CHECK_S)

    async def _after_death(self, spec: ProcessSpec) -> None:
        delay_s = self._grant(spec.name, time.monotonic_ns())
        if delay_s is None:
            self._say(stage="disabled", process=spec.name, reason="restart budget is used up")
            return
        self._say(stage="restarting", process=spec.name, delay_s=delay_s)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stop.wait(), delay_s)
        if not self._stop.is_set():
            await self._start(spec)

    async def _stop_all(self) -> None:
        self._stop.set()
        self._say(stage="stopping")
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self._plan.grace_s)
        bringup = self._watchers.get(BRINGUP)
        if bringup is not None:
            await self._exclusively(
                lambda: self._arbiter.stop_watchers(watcher_iter_func=lambda **_: [bringup])
            )
        await self._exclusively(self._arbiter.stop)
        await asyncio.sleep(0)  # circus closes its sockets in a callback

    async def _exclusively(self, command: Callable[[], Any]) -> None:
        """Run a command of circus, which takes one at a time."""
        async with self._turn:
            await command()


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _log_name(process: str) -> str:
    return process.replace("/", "_") + ".log"
