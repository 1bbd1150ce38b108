"""A plan as actions of `launch` and `launch_ros`; only launch/*.launch.py import this.

Processes start one after the other, each when its predecessor has started; the bring-up comes
last and leads the nodes through their lifecycle states in order, over all DDS domains, which
the lifecycle events of launch_ros cannot: they stay in the domain of the launch process.
A process that dies is started again with a delay, a limited number of times (M18). So is one
with a node that the bring-up calls lost: it is killed first (M35).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit, OnProcessIO, OnProcessStart, OnShutdown
from launch.events import matches_action
from launch.events.process import ProcessIO, SignalProcess
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from eo_nodes.contracts.errors import ConfigError

from .description import load_graph
from .paths import PACKAGE, project_file
from .plan import Overrides, Plan, ProcessSpec, die_with_parent, make_plan
from .steps import LOST, StepLines

_ARGUMENTS = {
    "parameters": ("{}", "YAML mapping of parameter or node.parameter to value"),
    "without": ("", "nodes to leave out, comma separated"),
    "state_dir": ("", "folder for durable state; empty for the nodes' default"),
    "domain_offset": ("0", "added to every DDS domain id"),
    "graph": ("", "another description than config/graph.yaml"),
}


def graph_description(profile: str) -> LaunchDescription:
    """Return what a launch file of this profile must return."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=about)
        for name, (default, about) in _ARGUMENTS.items()
    ]
    build = OpaqueFunction(function=_build, kwargs={"profile": profile})
    return LaunchDescription([*arguments, build])


def _build(context: LaunchContext, profile: str) -> list[Any]:
    return actions_of(plan_of(context, profile))


def plan_of(context: LaunchContext, profile: str) -> Plan:
    """Make the plan that the launch arguments ask for. Raises `ConfigError`."""
    given = {name: LaunchConfiguration(name).perform(context) for name in _ARGUMENTS}
    parameters = yaml.safe_load(given["parameters"])
    if not isinstance(parameters, dict):
        raise ConfigError(f"parameters:={given['parameters']}: a YAML mapping is needed")
    overrides = Overrides(
        parameters=parameters,
        without=tuple(filter(None, given["without"].split(","))),
        state_dir=given["state_dir"],
        domain_offset=int(given["domain_offset"]),
    )
    graph = Path(given["graph"]) if given["graph"] else project_file("config/graph.yaml")
    return make_plan(load_graph(graph), profile, overrides)


def actions_of(plan: Plan) -> list[Any]:
    """Return the first process and the handlers that start the others and watch over all."""
    specs = [*plan.processes, plan.bringup]
    nodes = [_node(spec, plan) for spec in specs]
    actions: list[Any] = [nodes[0]]
    for earlier, later in pairwise(nodes):
        # Once: a process that is started again must not start its successor again.
        started = OnProcessStart(target_action=earlier, on_start=[later], handle_once=True)
        actions.append(RegisterEventHandler(started))
    for spec, node in zip(specs, nodes, strict=True):
        ended = OnProcessExit(target_action=node, on_exit=[LogInfo(msg=f"{spec.name} ended")])
        actions.append(RegisterEventHandler(ended))
    bonds = _Bonds(plan, dict(zip((spec.name for spec in plan.processes), nodes, strict=False)))
    for node in nodes[:-1]:
        began = OnProcessStart(target_action=node, on_start=bonds.on_start)
        actions.append(RegisterEventHandler(began))
    heard = OnProcessIO(target_action=nodes[-1], on_stdout=bonds.on_stdout)
    actions.append(RegisterEventHandler(heard))
    stopping = OnShutdown(on_shutdown=[LogInfo(msg=f"stopping profile {plan.profile}")])
    return [*actions, RegisterEventHandler(stopping)]


class _Bonds:
    """Kills the process of a node that the bring-up reports as lost."""

    def __init__(self, plan: Plan, nodes: Mapping[str, Node]) -> None:
        self._plan = plan
        self._nodes = nodes
        self._lines = StepLines()
        self._started_s: dict[str, float] = {}

    def on_start(self, event: Any, _context: LaunchContext) -> None:
        """Note when a process began its present life."""
        for name, node in self._nodes.items():
            if node is event.action:
                self._started_s[name] = time.monotonic()

    def on_stdout(self, event: ProcessIO) -> list[EmitEvent]:
        """Read what the bring-up prints."""
        return [
            EmitEvent(
                event=SignalProcess(
                    signal_number=signal.SIGKILL, process_matcher=matches_action(self._nodes[name])
                )
            )
            for step in self._lines.feed(event.text)
            if step["stage"] == LOST and (name := self._process_of(step))
        ]

    def _process_of(self, step: Mapping[str, Any]) -> str:
        spec = self._plan.process_of(step["node"])
        # A silence that began before this process did is that of its predecessor.
        if spec is None or time.monotonic() - self._started_s[spec.name] <= step["silence_s"]:
            return ""
        return spec.name


def _node(spec: ProcessSpec, plan: Plan) -> Node:
    return Node(
        package=PACKAGE,
        executable=spec.executable,
        exec_name=spec.name.replace("/", "_"),
        arguments=list(spec.arguments),
        ros_arguments=list(spec.ros_arguments) or None,
        additional_env=dict(spec.environment),
        respawn=True,
        respawn_delay=plan.restart.delays_s[0],
        respawn_max_retries=plan.restart.attempts,
        sigterm_timeout=str(plan.grace_s),
        sigkill_timeout=str(plan.grace_s),
        # launch itself leaves its processes behind when it gets SIGTERM.
        prefix=" ".join(die_with_parent(signal.SIGTERM)),
        output="both",
    )
