"""`spaceverse watch, passes, queue, health`: look at a running segment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    FAILED,
    Domain,
    JsonFlag,
    Namespace,
    Timeout,
    TimeoutS,
    UsageError,
    guarded,
    print_json,
    to_plain,
)

if TYPE_CHECKING:
    from eo_nodes.console.client import GroundConsole

_WATCHED = ("final", "provisional", "answer", "event", "link_state", "mode", "downlink_report")


def _console(namespace: str, domain: int | None) -> GroundConsole:
    from eo_nodes.console.client import GroundConsole

    from .segments import domain_of

    return GroundConsole(domain_of(namespace, domain), namespace)


@guarded
def watch(
    topics: Annotated[
        list[str] | None, typer.Argument(help="Topics; default: answers, events, link, mode.")
    ] = None,
    seconds: Annotated[float, typer.Option("--for", min=0.0, help="Stop after s; 0: never.")] = 0.0,
    as_json: JsonFlag = False,
    domain: Domain = None,
    namespace: Namespace = "/ground",
) -> None:
    """Print answers, events and contacts as they come; with --json one object a line.

    Examples:

        spaceverse watch

        spaceverse watch final --json --for 60 | jq .value.text
    """
    from eo_nodes.console.show import show
    from eo_nodes.contracts.topics import TOPICS

    wanted = topics or list(_WATCHED)
    if unknown := [topic for topic in wanted if topic not in TOPICS]:
        raise UsageError(f"no such topic: {', '.join(unknown)}; known: {', '.join(TOPICS)}")
    console = _console(namespace, domain)
    for topic, value in console.stream(wanted, timeout_s=seconds or None):
        if as_json:
            print_json({"topic": topic, "value": _plain(value)}, line=True)
        else:
            show(_line(topic, value))


def _plain(value: Any) -> Any:
    from eo_nodes.console.dds_types import plain

    return to_plain(plain(value))


def _line(topic: str, value: Any) -> Any:
    from eo_nodes.console import show as lines
    from eo_nodes.console.text import clean, size, utc
    from eo_nodes.contracts.values import Answer, DownlinkReport, Event, LinkState, Mode

    if isinstance(value, Answer):
        return lines.answer_line(value)
    if isinstance(value, Event):
        return lines.event_line(value)
    if isinstance(value, LinkState):
        state = "locked" if value.locked else "no carrier"
        return (
            f"{utc(value.stamp_ns)} link        {clean(value.satellite)} - "
            f"{clean(value.station) or 'no station'}: {state}, "
            f"{value.downlink_bps / 1e6:.2f} Mbit/s down"
        )
    if isinstance(value, Mode):
        return f"{utc(value.stamp_ns)} mode        {value.mode} {clean(value.reason)}"
    if isinstance(value, DownlinkReport):
        return (
            f"{utc(value.stamp_ns)} {value.state:<11} {clean(value.kind)} "
            f"{clean(value.product_id)} {size(value.size_bytes)} {clean(value.reason)}"
        )
    return f"{topic}: {clean(str(_plain(value)), limit=400)}"


@guarded
def passes(
    offline: Annotated[
        bool, typer.Option("--offline", help="Compute from config/mission; no graph needed.")
    ] = False,
    satellite: Annotated[str, typer.Option(help="Only this one; --offline: default all.")] = "",
    fleet: Annotated[
        list[str] | None,
        typer.Option(help="--offline: a satellite that shares the stations; repeatable."),
    ] = None,
    hours: Annotated[float, typer.Option(min=0.1, max=240.0, help="--offline: horizon.")] = 24.0,
    start: Annotated[str, typer.Option(help="--offline: ISO 8601; default: now.")] = "",
    mission: Annotated[
        Path | None, typer.Option(help="--offline: folder; default: config/mission.")
    ] = None,
    timeout_s: TimeoutS = 5.0,
    as_json: JsonFlag = False,
    domain: Domain = None,
    namespace: Namespace = "/ground",
) -> None:
    """List the coming contacts, as planned by the running segment or computed here.

    Examples:

        spaceverse passes

        spaceverse passes --offline --satellite sentinel_2a --start 2026-10-04T00:00:00Z --hours 48
    """
    from eo_nodes.console.show import plan_table, show

    if offline:
        plans = _computed(satellite, fleet or [], hours, start, mission)
    else:
        plan = _console(namespace, domain).latest("contact_plan", timeout_s=timeout_s)
        if plan is None:
            raise Timeout(f"no contact plan from {namespace} within {timeout_s:g} s")
        plans = [plan] if satellite in ("", plan.satellite) else []
    if as_json:
        print_json(plans)
        return
    for plan in plans:
        show(plan_table(plan))


def _computed(
    satellite: str, fleet: list[str], hours: float, start: str, mission: Path | None
) -> list[Any]:
    from eo_nodes.graph.paths import project_file
    from eo_nodes.orbit.elements import load_catalogue
    from eo_nodes.orbit.fleet import others_of
    from eo_nodes.orbit.mission import load_mission
    from eo_nodes.orbit.plan import make_plan

    from .parse import moment

    now_ns = time.time_ns()
    start_ns = moment(start, now_ns, "--start") if start else now_ns
    folder = mission or project_file("config/mission")
    world = load_mission(folder)
    catalogue, _ = load_catalogue(folder / "elements")
    names = [satellite] if satellite else fleet or list(world.satellites)
    return [
        make_plan(
            world.satellite(name),
            catalogue.select(world.satellite(name).norad_id, start_ns),
            list(world.stations.values()),
            start_ns,
            round(hours * 3600e9),
            others=[
                (other, catalogue.select(other.norad_id, start_ns))
                for other in others_of(world, name, fleet)
            ],
        )
        for name in names
    ]


@guarded
def queue(
    timeout_s: TimeoutS = 5.0,
    as_json: JsonFlag = False,
    domain: Domain = None,
    namespace: Namespace = "/sat1",
) -> None:
    """Show the downlink queue of a satellite's segment, most urgent first.

    Example: spaceverse queue --namespace /sat1 --json
    """
    from eo_nodes.console.show import queue_table, show

    state = _console(namespace, domain).latest("queue", timeout_s=timeout_s)
    if state is None:
        raise Timeout(f"no queue state from {namespace} within {timeout_s:g} s")
    print_json(state) if as_json else show(queue_table(state))


@guarded
def health(
    seconds: Annotated[float, typer.Option("--for", min=0.5, help="Listen this long, s.")] = 3.0,
    as_json: JsonFlag = False,
    domain: Domain = None,
    namespace: Namespace = "/ground",
) -> None:
    """Show mode, nodes and diagnostics of a segment; exit code 1 when something is not well.

    Example: spaceverse health --namespace /sat1 || echo look at it
    """
    from eo_nodes.console.show import show, table

    heartbeats: dict[str, Any] = {}
    checks: dict[str, tuple[int, str]] = {}
    mode = None
    topics = ("heartbeat", "mode", "diagnostics")
    for topic, value in _console(namespace, domain).stream(topics, timeout_s=seconds):
        if topic == "heartbeat":
            heartbeats[value.node] = value
        elif topic == "mode":
            mode = value
        else:
            checks.update({item.name: (item.level, item.message) for item in value.status})
    if not heartbeats and mode is None and not checks:
        raise Timeout(f"nothing heard from {namespace} within {seconds:g} s")
    sick = [node for node, beat in heartbeats.items() if beat.state != "active"]
    bad = [name for name, (level, _) in checks.items() if level]
    is_well = not sick and not bad and (mode is None or mode.mode == "nominal")
    if as_json:
        print_json(
            {
                "well": is_well,
                "mode": mode,
                "nodes": list(heartbeats.values()),
                "diagnostics": [
                    {"name": name, "level": level, "message": message}
                    for name, (level, message) in sorted(checks.items())
                ],
            }
        )
    else:
        show(f"mode: {mode.mode} {mode.reason}".rstrip() if mode else "mode: unknown")
        rows = [
            [beat.node, beat.state, str(beat.work), str(beat.pending), beat.version]
            for _, beat in sorted(heartbeats.items())
        ]
        show(table(["node", "state", ">work", ">pending", "version"], rows))
        words = ("ok", "warn", "error", "stale")
        found = [[n, words[min(level, 3)], text] for n, (level, text) in sorted(checks.items())]
        if found:
            show(table(["check", "level", "message"], found))
    if not is_well:
        raise typer.Exit(FAILED)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (watch, passes, queue, health):
        app.command()(command)
