"""`spaceverse up`: run the graph of a profile and watch over it until a signal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.graph.description import Restart as RestartPolicy
from eo_nodes.graph.description import load_graph
from eo_nodes.graph.paths import project_file
from eo_nodes.graph.plan import Overrides, Plan, leave_out, make_plan
from eo_nodes.graph.supervise import Supervisor
from eo_nodes.health.restart_budget import Restart, RestartBudget, RestartLimits
from eo_nodes.store.database import Database
from eo_nodes.store.records import RecordStore

_S = 1_000_000_000
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
    profile: Annotated[str, typer.Option(help="Profile of the graph.")] = "demo",
    segment: Annotated[
        list[str] | None, typer.Option(help="Only this segment of the profile; repeatable.")
    ] = None,
    without: Annotated[list[str] | None, typer.Option(help="Leave a node out; repeatable.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="PARAMETER=VALUE or NODE.PARAMETER=VALUE; repeatable."),
    ] = None,
    params_file: Annotated[
        list[Path] | None, typer.Option(help="One more ROS parameter file; repeatable.")
    ] = None,
    state_dir: Annotated[Path, typer.Option(help="Folder for durable state.")] = Path(
        "~/.local/share/spaceverse"
    ),
    log_dir: Annotated[Path, typer.Option(help="Folder for logs, one a process.")] = Path(
        "build/log"
    ),
    domain_offset: Annotated[
        int, typer.Option(help="Added to every DDS domain id, to run two graphs side by side.")
    ] = 0,
    enable: Annotated[
        list[str] | None,
        typer.Option(help="Give a disabled process its restart budget back; repeatable."),
    ] = None,
    graph: Annotated[
        Path | None, typer.Option(help="Another description than config/graph.yaml.")
    ] = None,
    until_eof: Annotated[
        bool, typer.Option("--until-eof", help="Stop when standard input ends.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line for each step.")] = False,
) -> None:
    """Run the graph: start, bring up in order, restart within a budget, stop without a trace.

    Example: spaceverse up --profile sim --set tasking.lifetime_h=24
    """
    asked: list[int] = []
    for number in _SIGNALS:  # until the supervisor takes over
        signal.signal(number, lambda number, _frame: asked.append(number))
    state_dir = state_dir.expanduser().absolute()
    plan = make_plan(
        load_graph(graph or project_file("config/graph.yaml")),
        profile,
        Overrides(
            parameters=dict(map(_assignment, set_ or [])),
            segments=tuple(segment or ()),
            without=tuple(without or ()),
            state_dir=str(state_dir),
            domain_offset=domain_offset,
            parameter_files=tuple(map(str, params_file or [])),
        ),
    )
    budget = open_budget(state_dir / "supervisor.db", plan.restart)
    for name in enable or ():
        budget.enable(name)
        _note_disabled(state_dir, plan, budget)
    printer = _print_json if as_json else Printer(plan).show
    asyncio.run(_supervise(plan, budget, state_dir, log_dir, printer, asked, until_eof))
    raise typer.Exit(0)


def _assignment(text: str) -> tuple[str, Any]:
    """Read ``NODE.PARAMETER=VALUE``; the value is YAML."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ConfigError(f"--set {text!r}: NAME=VALUE is needed")
    return name, yaml.safe_load(value)


def open_budget(path: Path, policy: RestartPolicy) -> RestartBudget:
    """Open the durable restart budget of all processes (M18)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    limits = RestartLimits(
        restarts=policy.attempts,
        window_ns=int(policy.window_s * _S),
        delays_ns=tuple(int(delay * _S) for delay in policy.delays_s),
    )
    return RestartBudget(RecordStore(Database(path)), time.monotonic_ns(), limits)


async def _supervise(
    plan: Plan,
    budget: RestartBudget,
    state_dir: Path,
    log_dir: Path,
    say: Callable[..., None],
    asked: list[int],
    until_eof: bool,
) -> None:
    def grant(process: str, now_ns: int) -> float | None:
        decision = budget.on_exit(process, now_ns)
        if isinstance(decision, Restart):
            return decision.delay_ns / _S
        _note_disabled(state_dir, plan, budget)
        return None

    disabled = budget.disabled()
    for process in plan.processes:
        if process.name in disabled:
            say(stage="disabled", process=process.name, reason="by its restart budget")
    supervisor = Supervisor(
        leave_out(plan, disabled),
        log_dir=log_dir,
        grant=grant,
        say=say,
        environment=os.environ,
    )
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, supervisor.stop)
    if asked:
        return
    if until_eof:
        threading.Thread(target=_stop_at_eof, args=(loop, supervisor), daemon=True).start()
    await supervisor.run()


def _stop_at_eof(loop: asyncio.AbstractEventLoop, supervisor: Supervisor) -> None:
    """Stop when our parent closes the pipe, or dies and so closes it."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    loop.call_soon_threadsafe(supervisor.stop)


def _note_disabled(state_dir: Path, plan: Plan, budget: RestartBudget) -> None:
    """Tell each segment's health monitor which of its nodes stay down, by a file."""
    disabled = budget.disabled()
    for segment in {process.segment for process in plan.processes}:
        nodes = [
            node.name
            for process in plan.processes
            if process.segment == segment and process.name in disabled
            for node in process.nodes
        ]
        path = state_dir / segment / "disabled_nodes.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"nodes": nodes}) + "\n")
        part.replace(path)


def _print_json(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


class Printer:
    """Readable lines of progress."""

    def __init__(self, plan: Plan) -> None:
        self._start_s = time.monotonic()
        self._nodes = len(plan.nodes)

    def show(self, **fields: Any) -> None:
        """Print one step."""
        text = self._text(fields.pop("stage"), fields)
        sys.stdout.write(f"[{time.monotonic() - self._start_s:6.1f} s] {text}\n")
        sys.stdout.flush()

    def _text(self, stage: str, fields: dict[str, Any]) -> str:
        if stage == "up":
            return f"all {self._nodes} nodes are active; Ctrl-C stops them"
        if stage == "degraded":
            return f"up without {', '.join(fields['missing'])}; trying on"
        if stage == "started":
            return f"{fields['process']}: started, pid {fields['pid']}"
        subject = fields.pop("process", None) or fields.pop("node", None)
        rest = ", ".join(f"{name} {value}" for name, value in fields.items())
        return f"{f'{subject}: ' if subject else ''}{stage}{f' ({rest})' if rest else ''}"


if __name__ == "__main__":
    typer.run(up)
