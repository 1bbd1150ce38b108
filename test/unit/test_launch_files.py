"""Launch files: one a profile, no logic of their own, the same processes as the plan.

What needs the real `launch` runs where it is installed, as on a ROS distribution.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util

import pytest

from eo_nodes.graph.description import load_graph
from eo_nodes.graph.paths import project_file
from eo_nodes.graph.plan import make_plan

GRAPH = load_graph(project_file("config/graph.yaml"))
FILES = {p.name.removesuffix(".launch.py"): p for p in project_file("launch").glob("*.launch.py")}


def test_there_is_one_launch_file_for_each_profile():
    assert set(FILES) == set(GRAPH.profiles)


@pytest.mark.parametrize("profile", sorted(FILES))
def test_a_launch_file_only_names_its_profile(profile):
    tree = ast.parse(FILES[profile].read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert [ast.unparse(call) for call in calls] == [f"graph_description('{profile}')"]
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert functions == ["generate_launch_description"]


def has_launch() -> bool:
    """Tell whether the real packages are there; our own folder launch/ is none."""
    try:
        importlib.import_module("launch_ros.actions")
    except ImportError:
        return False
    return True


needs_launch = pytest.mark.skipif(not has_launch(), reason="launch and launch_ros have no wheel")


@needs_launch
def test_m35_the_process_of_a_lost_node_is_killed_under_launch(monkeypatch):
    from launch.events.process import ProcessIO, ProcessStarted, SignalProcess

    from eo_nodes.graph import launching

    plan = make_plan(GRAPH, "demo")
    nodes = {spec.name: launching._node(spec, plan) for spec in plan.processes}
    bonds = launching._Bonds(plan, nodes)
    now_s = [100.0]
    monkeypatch.setattr(launching.time, "monotonic", lambda: now_s[0])
    about = {"name": "n", "cmd": [], "cwd": None, "env": None, "pid": 1}
    for node in nodes.values():
        bonds.on_start(ProcessStarted(action=node, **about), None)

    def lost(node, silence_s):
        line = f'{{"stage": "lost", "node": "{node}", "silence_s": {silence_s}}}\n'
        text = line.encode()
        return bonds.on_stdout(ProcessIO(action=None, text=text, fd=1, **about))

    now_s[0] = 110.0
    assert lost("/sat1/tasking", 15.0) == [], "it was its predecessor that fell silent"
    now_s[0] = 120.0
    (action,) = lost("/sat1/tasking", 15.0)
    assert isinstance(action.event, SignalProcess)
    assert action.event.signal_name == "SIGKILL"
    wanted = nodes["sat1/reasoning"]
    assert [n for n in nodes.values() if action.event.process_matcher(n)] == [wanted]
    assert lost("/sat1/nobody", 15.0) == []


@needs_launch
@pytest.mark.parametrize("profile", sorted(FILES))
def test_launch_starts_the_processes_of_the_plan_in_its_order(profile):
    from launch import LaunchContext
    from launch.utilities import perform_substitutions

    from eo_nodes.graph.launching import actions_of, plan_of

    context = LaunchContext()
    spec = importlib.util.spec_from_file_location(f"{profile}_launch", FILES[profile])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    *arguments, build = module.generate_launch_description().entities
    for argument in arguments:
        argument.visit(context)

    plan = make_plan(GRAPH, profile)
    assert plan_of(context, profile) == plan
    first, *handlers = actions_of(plan)
    started = [first]
    for action in handlers[: len(plan.processes)]:
        handler = action.event_handler
        assert handler.handle_once
        started += handler.describe()[1]
    specs = [*plan.processes, plan.bringup]
    assert len(started) == len(specs)
    for node, wanted in zip(started, specs, strict=True):
        command = [perform_substitutions(context, part) for part in node.cmd[1:]]
        assert tuple(command[: len(wanted.arguments)]) == wanted.arguments
        ros = command[len(wanted.arguments) :]
        assert ros.pop() == "--ros-args"  # launch_ros appends one; nothing follows it here
        assert ros == wanted.argv()[3 + len(wanted.arguments) :]
        assert node.node_executable == wanted.executable
        environment = {
            perform_substitutions(context, key): perform_substitutions(context, value)
            for key, value in node.additional_env
        }
        assert environment == wanted.environment
    assert build.visit(context) is not None
