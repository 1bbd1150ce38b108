"""The demo: run the graph on a scenario, show it live, write the report.

The graph runs under `spaceverse up` in processes of its own, a recorder in another; this driver
only watches: what it knows of the run it reads from the recorded bag and the logs of both ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from eo_nodes.console.bag import read_bag
from eo_nodes.console.client import GroundConsole
from eo_nodes.console.live import LiveView
from eo_nodes.contracts.errors import ConfigError, EoError
from eo_nodes.graph.description import load_graph
from eo_nodes.graph.paths import project_file
from eo_sim.collect import RunFacts, collect
from eo_sim.report import build
from eo_sim.scenario import Scenario, load_scenario
from eo_sim.truth_match import is_right

_SHOWN_OF_ALL = ("event", "final")
_SHOWN = ("contact_plan", "link_state", "queue", *_SHOWN_OF_ALL)


class DemoError(EoError):
    """The run did not come to its end."""


class GraphProcess:
    """`spaceverse up` as a child, its steps, and the memory of its processes.

    Args:
        arguments: of ``spaceverse up``.
        log: file for what it prints besides its steps.
    """

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.peak_mb: dict[str, float] = {}
        self.pids: dict[str, int] = {}
        self._killed: dict[str, int] = {}
        self.active_after_s = 0.0
        self.steps: list[dict[str, Any]] = []
        self._up = threading.Event()
        self._started_s = time.monotonic()
        self._log = open(log, "w", encoding="utf-8")  # noqa: SIM115 - closed in stop
        self._child = subprocess.Popen(
            [sys.executable, "-m", "eo_nodes.cli.main", "up", "--json", "--until-eof", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._weigh, daemon=True).start()

    @property
    def is_running(self) -> bool:
        """Whether the supervisor lives."""
        return self._child.poll() is None

    def wait_active(self, timeout_s: float) -> None:
        """Wait until every node is active.

        Raises:
            DemoError: not in time.
        """
        if not self._up.wait(timeout_s):
            refused = [s for s in self.steps if s.get("stage") in ("refused", "degraded")]
            raise DemoError(f"the graph is not up after {timeout_s:g} s: {refused[-3:]}")

    def kill(self, process: str, number: int) -> None:
        """Send a signal to one process of the graph, e.g. ``sat1/inference``."""
        os.kill(self.pids[process], number)
        self._killed[process] = self.pids[process]

    def wait_restarted(self, process: str, timeout_s: float) -> None:
        """Wait until a killed process runs again under another pid.

        Raises:
            DemoError: not in time.
        """
        end_s = time.monotonic() + timeout_s
        while self.pids[process] == self._killed.get(process):
            if time.monotonic() > end_s:
                raise DemoError(f"{process} did not come back within {timeout_s:g} s")
            time.sleep(0.05)

    def stop(self, timeout_s: float = 30.0) -> int:
        """Stop the graph in order; return the exit status."""
        if self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.close()
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self._child.pid, signal.SIGKILL)
            return self._child.wait()
        finally:
            self._log.close()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            try:
                step = json.loads(line)
            except ValueError:
                self._log.write(line)
                continue
            self.steps.append(step)
            if step.get("stage") == "started":
                self.pids[step["process"]] = step["pid"]
            elif step.get("stage") == "up":
                self.active_after_s = time.monotonic() - self._started_s
                self._up.set()

    def _weigh(self) -> None:
        while self.is_running:
            sums: dict[str, float] = {}
            for process, pid in list(self.pids.items()):
                with contextlib.suppress(psutil.Error):
                    segment = process.partition("/")[0]
                    rss = psutil.Process(pid).memory_info().rss / 2**20
                    sums[segment] = sums.get(segment, 0.0) + rss
            for segment, total in sums.items():
                self.peak_mb[segment] = max(self.peak_mb.get(segment, 0.0), total)
            time.sleep(0.5)


@dataclass(frozen=True, slots=True)
class Flight:
    """One satellite of a run: its segment, the ground that serves it, what it flies."""

    space: str
    ground: str
    ground_domain: int
    scenario: Scenario


def _die_with_parent() -> None:
    """In a child before it starts: SIGINT when the parent is gone, however it went (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


def _on_sigterm(*_: object) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def recording(bag: Path, domains: dict[str, int], log: Path) -> Iterator[None]:
    """Record all topics of all segments while the block runs."""
    arguments = [f"--segment=/{name}={domain}" for name, domain in domains.items()]
    with open(log, "w", encoding="utf-8") as stream:
        child = subprocess.Popen(
            [sys.executable, "-m", "eo_nodes.cli.main", "record", "-o", str(bag), *arguments],
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        try:
            yield
        finally:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()


def main(
    *,
    out_dir: Path = Path("build/demo"),
    scenario: Path | None = None,
    rate: float = 0.0,
    record: Path | None = None,
    settings: dict[str, Any] | None = None,
    profile: str = "demo",
    domain_offset: int = 0,
    on_graph: Any = None,
    title: str = "",
) -> int:
    """Run a scenario and write its report; of several satellites, each in a folder of its own.

    Args:
        out_dir: report, bag, logs and state go here; what was there is removed.
        scenario: file; None for the profile's.
        rate: orbital seconds per second; 0 as fast as possible.
        record: also copy the bag to this path.
        settings: ``parameter`` or ``node.parameter`` -> value, besides the scenario's.
        profile: of config/graph.yaml.
        domain_offset: added to every DDS domain.
        on_graph: called with the running `GraphProcess` when all nodes are active (tests).
        title: of the report.
    Returns:
        Exit status: 0 when every question got an answer or a refusal.
    Raises:
        ConfigError: no such profile, one without satellite and ground, or a faulty scenario.
    """
    wall_start_s = time.monotonic()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _on_sigterm)
    graph = load_graph(project_file("config/graph.yaml"))
    chosen = graph.profiles.get(profile)
    segments = [graph.segments[name] for name in chosen.segments] if chosen else []
    grounds = [one for one in segments if one.serves]
    if chosen is None or not grounds:
        raise ConfigError(f"profile {profile!r} has no satellite with its ground")
    named = chosen.parameters.get("scenario", "config/scenarios/demo.yaml")
    path = scenario or project_file(str(named))
    flights = [
        Flight(one.serves, one.name, one.domain_id + domain_offset, load_scenario(path, one.serves))
        for one in grounds
    ]
    plan = flights[0].scenario
    fleet = tuple(f.scenario.satellite for f in flights) if len(flights) > 1 else ()
    shutil.rmtree(out_dir, ignore_errors=True)
    out_dir.mkdir(parents=True)
    domains = {one.name: one.domain_id + domain_offset for one in segments if one.kind != "sim"}
    bag = out_dir / "run.mcap"
    child: GraphProcess | None = None
    truths = {q.task.id: q.truth for f in flights for q in f.scenario.questions}
    stations = ", ".join(plan.stations)
    view = LiveView(
        title or f"{plan.name}: {' and '.join(fleet) or plan.satellite} over {stations}",
        total_tasks=sum(len(f.scenario.questions) for f in flights),
        is_right=lambda answer: is_right(answer.text, truths.get(answer.task_id, "")),
    )
    try:
        with view:
            view.note("starting")
            with recording(bag, domains, out_dir / "record.log"):
                child = GraphProcess(
                    _arguments(
                        flights, path, out_dir, rate, settings or {}, profile, domain_offset
                    ),
                    out_dir / "up.log",
                )
                try:
                    child.wait_active(90.0 * len(flights))
                    if on_graph is not None:
                        on_graph(child)
                    achieved = _watch(child, flights, view)
                finally:
                    view.note("stopping the graph")
                    child.stop()
            view.note("writing the report")
            reports = [
                collect(
                    RunFacts(
                        scenario=flight.scenario,
                        bag=bag,
                        state_dir=out_dir / "state",
                        requested_rate=rate,
                        achieved_rate=achieved,
                        wall_s=time.monotonic() - wall_start_s,
                        start_up_s=child.active_after_s,
                        peak_mb=child.peak_mb,
                        mode="lockstep" if profile != "sim" else "free",
                        profile=profile,
                        space=flight.space,
                        ground=flight.ground,
                        fleet=fleet,
                    )
                )
                for flight in flights
            ]
    except KeyboardInterrupt:
        return 130
    except DemoError as error:
        sys.stderr.write(f"{error}; logs in {out_dir}\n")
        return 1
    if record is not None:
        record.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bag, record)
    for flight, report in zip(flights, reports, strict=True):
        folder = out_dir / flight.space if fleet else out_dir
        folder.mkdir(exist_ok=True)
        if fleet:
            sys.stdout.write(f"{flight.space}, {flight.scenario.satellite}:\n")
        _print_summary(report, build(report, folder))
    return 0 if all(r["lost"] == 0 and r["duplicates"] == 0 for r in reports) else 1


def replay_main(
    bag: Path,
    *,
    out_dir: Path = Path("build/replay"),
    rate: float = 0.0,
    scenario: Path | None = None,
    domain_offset: int = 0,
) -> int:
    """Run the unchanged graph on the inputs and compute durations of a recorded run.

    Args:
        bag: of the recorded run.
        scenario: that the run was made with: orbit, stations and truths are not in a bag.
        out_dir, rate, domain_offset: as for `main`.
    """
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    durations = out_dir.parent / f"{out_dir.name}_durations.jsonl"
    with open(durations, "w", encoding="utf-8") as stream:
        for _, _, value in read_bag(bag, ["/sat1/compute", "/ground/compute"]):
            row = {"node": value.node, "job": value.job, "key": value.key}
            stream.write(json.dumps({**row, "duration_ns": value.duration_ns}) + "\n")
    settings = {
        "compute_mode": "file",
        "compute_file": str(durations.absolute()),
        "scenario_player.bag": str(bag.absolute()),
    }
    return main(
        out_dir=out_dir,
        rate=rate,
        settings=settings,
        scenario=scenario,
        domain_offset=domain_offset,
        profile="replay",
        title=f"replay of {bag.name}",
    )


def _arguments(
    flights: list[Flight],
    path: Path,
    out_dir: Path,
    rate: float,
    settings: dict[str, Any],
    profile: str,
    domain_offset: int,
) -> list[str]:
    plan = flights[0].scenario
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(plan.start_ns // 1_000_000_000))
    values: dict[str, Any] = {
        **_satellites(flights),
        "contact_planner.stations": list(plan.stations),
        "link_emulator.stations": list(plan.stations),
        "orbit_clock.start": start,
        "orbit_clock.duration_s": float(plan.duration_s),
        "orbit_clock.rate": float(rate),
        "scenario_player.scenario": str(Path(path).absolute()),
        **settings,
    }
    arguments = ["--profile", profile, "--state-dir", str(out_dir / "state")]
    arguments += ["--log-dir", str(out_dir / "log"), "--domain-offset", str(domain_offset)]
    for name, value in values.items():
        arguments += ["--set", f"{name}={json.dumps(value)}"]
    return arguments


def _satellites(flights: list[Flight]) -> dict[str, Any]:
    if len(flights) == 1:
        return {"satellite": flights[0].scenario.satellite}
    values: dict[str, Any] = {"fleet": [flight.scenario.satellite for flight in flights]}
    for flight in flights:
        for segment in (flight.space, flight.ground):
            values[f"{segment}/satellite"] = flight.scenario.satellite
    return values


def _watch(child: GraphProcess, flights: list[Flight], view: LiveView) -> float:
    """Show the run until its clock reaches the end; return the achieved rate.

    Answers and events of all satellites are shown, link, contacts and queue of the first.
    """
    consoles = [GroundConsole(f.ground_domain, f"/{f.ground}", "demo") for f in flights]
    console, plan = consoles[0], flights[0].scenario
    end_ns = plan.start_ns + round(plan.duration_s * 1e9)
    view.note("running")
    started_s = time.monotonic()
    while True:
        for topic in _SHOWN:
            for value in console.reader(topic).take():
                view.update(value)
        for other in consoles[1:]:
            for topic in _SHOWN_OF_ALL:
                for value in other.reader(topic).take():
                    view.update(value)
        now_ns = console.now_ns()
        elapsed_s = time.monotonic() - started_s
        if plan.start_ns <= now_ns <= end_ns:
            achieved = (now_ns - plan.start_ns) / 1e9 / max(elapsed_s, 1e-3)
            view.clock(now_ns, achieved)
            if now_ns >= end_ns:
                return achieved
        if not child.is_running:
            raise DemoError("the supervisor ended before the scenario did")
        time.sleep(0.05)


def _print_summary(report: dict[str, Any], page: Path) -> None:
    accuracy, latency = report["accuracy"], report["latency_s"]
    looks, after = report["second_looks"], report["followed"]
    sys.stdout.write(
        f"answers: {report['answers_onboard']} on board, {report['answers_ground']} on the "
        f"ground, {report['refusals']} refused of {report['tasks']} questions; "
        f"lost {report['lost']}, duplicates {report['duplicates']}, "
        f"frames outside contact {report['frames_outside_contact']}\n"
        f"right: on board {accuracy['onboard']:.0%} of {accuracy['n_onboard']} "
        f"(blind {accuracy['blind_onboard']:.0%}), ground {accuracy['ground']:.0%} of "
        f"{accuracy['n_ground']} (blind {accuracy['blind_ground']:.0%})\n"
        f"regions asked for again: {looks['asked']}, {looks['refined']} came in time "
        f"({looks['bytes'] / 1e3:.0f} kB), {looks['changed']} answers changed by it, right before "
        f"{looks['right_before']}, after {looks['right_after']}\n"
        f"held for finer pixels: {after['held']}, {after['refined']} had them "
        f"({after['bytes'] / 1e3:.0f} kB), {after['changed']} answers changed by it, right before "
        f"{after['right_before']}, after {after['right_after']}\n"
        f"captured {report['bytes_raw'] / 1e6:.1f} MB, the contacts carry "
        f"{report['capacity_bytes'] / 1e6:.1f} MB, sent {report['bytes_sent'] / 1e6:.2f} MB\n"
        f"capture to answer: mean {latency['mean'] / 60:.1f} min, p50 {latency['p50'] / 60:.1f}, "
        f"p95 {latency['p95'] / 60:.1f}; wall {report['wall_s']:.0f} s, "
        f"{report['clock']['achieved_rate']:.0f} x real time\n"
        f"report: {page}\n"
    )
