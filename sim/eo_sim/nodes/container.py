"""The process of the simulated world: nodes in the domains of several segments.

    python -m eo_sim.nodes.container --nodes orbit_clock@sat1,orbit_clock@ground
        --domains sat1=41,ground=42 --serves ground=sat1 --ros-args ...

Each domain has a context and an executor thread of its own; nothing is passed between them but
the clockwork, which holds the time.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from typing import Any

import rclpy
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.nodes.runner import make_executor, spin
from eo_sim.lockstep import Lockstep
from eo_sim.scenario import parse_time

from .link_emulator_node import LinkEmulator
from .orbit_clock_node import Clockwork, OrbitClock
from .scenario_player_node import ScenarioPlayer


def main(argv: list[str] | None = None) -> None:
    """Run until SIGINT or SIGTERM; exit status 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", required=True, help="comma separated, name@segment")
    parser.add_argument("--domains", required=True, help="comma separated, segment=domain")
    parser.add_argument("--serves", default="ground=sat1", help="comma separated, ground=satellite")
    parser.add_argument("--only", default="{}", help="JSON: segment -> parameters in its domain")
    parser.add_argument("--segment", default="sim", help="name, for process listings")
    known, rest = parser.parse_known_args(sys.argv[1:] if argv is None else argv)
    domains = dict(pair.split("=") for pair in known.domains.split(","))
    serves = dict(pair.split("=") for pair in known.serves.split(","))
    only = json.loads(known.only)
    labels = [label.split("@") for label in known.nodes.split(",")]
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    contexts: dict[str, Any] = {}
    nodes: dict[str, list[Any]] = {}
    for segment in dict.fromkeys(label[1] for label in labels):
        context = rclpy.Context()
        rclpy.init(
            context=context,
            args=[sys.argv[0], *rest, *_ros_arguments(only.get(segment, {}))],
            domain_id=int(domains[segment]),
            signal_handler_options=SignalHandlerOptions.NO,
        )
        contexts[segment], nodes[segment] = context, []
    try:
        _make(labels, contexts, nodes, serves)
        threads = [
            threading.Thread(
                target=spin,
                args=(nodes[segment], make_executor(context=context)),
                name=f"spin-{segment}",
                daemon=True,
            )
            for segment, context in contexts.items()
            if nodes[segment]
        ]
        for thread in threads:
            thread.start()
        stop.wait()
    finally:
        for context in contexts.values():
            rclpy.try_shutdown(context=context)
        for thread in threading.enumerate():
            if thread.name.startswith("spin-"):
                thread.join(timeout=2.0)
    sys.exit(0)


def _ros_arguments(parameters: dict[str, Any]) -> list[str]:
    pairs = [f"{name}:={json.dumps(value)}" for name, value in parameters.items()]
    return ["--ros-args", *(part for pair in pairs for part in ("-p", pair))] if pairs else []


def _make(
    labels: list[list[str]],
    contexts: dict[str, Any],
    nodes: dict[str, list[Any]],
    serves: dict[str, str],
) -> None:
    clockwork: Clockwork | None = None
    emulators: list[LinkEmulator] = []
    for name, segment in labels:
        options = {"context": contexts[segment]}
        node: Any
        if name == "orbit_clock":
            if clockwork is None:
                clockwork = _clockwork(contexts[segment])
            node = OrbitClock(clockwork, **options)
        elif name == "link_emulator":
            ends = [Parameter("space_segment", value=segment)]
            ends += [
                Parameter("ground_segment", value=ground)
                for ground, satellite in serves.items()
                if satellite == segment
            ]
            node = LinkEmulator(parameter_overrides=ends, **options)
            emulators.append(node)
        elif name == "scenario_player":
            played = [
                Parameter("role", value="asker" if segment in serves else "camera"),
                Parameter("target", value=segment),
                Parameter("satellite_segment", value=serves.get(segment, segment)),
            ]
            node = ScenarioPlayer(parameter_overrides=played, **options)
        else:
            raise ConfigError(f"unknown node {name!r} of the simulation")
        nodes[segment].append(node)
    for emulator in emulators:
        if clockwork is not None:
            emulator.time_source = lambda: clockwork.now_ns


def _clockwork(context: Any) -> Clockwork:
    """Read the clock's parameters with a node that lives only for that."""
    probe = OrbitClock(Clockwork(None, 0, 0, 1.0), context=context)
    start_ns = parse_time(probe.param("start"))
    duration_ns = round(probe.param("duration_s") * 1e9)
    lockstep = None
    if probe.param("lockstep"):
        expected = frozenset(name for name in probe.param("expected_nodes") if name)
        lockstep = Lockstep(expected, start_ns, stall_ns=round(probe.param("stall_s") * 1e9))
    clockwork = Clockwork(
        lockstep,
        start_ns,
        start_ns + duration_ns if duration_ns else 0,
        probe.param("rate") or (0.0 if lockstep else 1.0),
    )
    probe.destroy_node()
    return clockwork


if __name__ == "__main__":
    main()
