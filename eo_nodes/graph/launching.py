"""A plan as actions of `launch` and `launch_ros`; only launch/*.launch.py import this.

Processes start one after the other, each when its predecessor has started; the bring-up comes
last and leads the nodes through their lifecycle states in order, over all DDS domains, which
the lifecycle events of launch_ros cannot: they stay in the domain of the launch process.
A process that dies is started again with a delay, a limited number of times (M18).
"""

from __future__ import annotations

import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]
from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit, OnProcessStart, OnShutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from eo_nodes.contracts.errors import ConfigError

from .description import load_graph
from .paths import PACKAGE, project_file
from .plan import Overrides, Plan, ProcessSpec, die_with_parent, make_plan

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
    stopping = OnShutdown(on_shutdown=[LogInfo(msg=f"stopping profile {plan.profile}")])
    return [*actions, RegisterEventHandler(stopping)]


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
