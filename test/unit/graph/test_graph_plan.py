"""From description and profile to processes."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.graph.description import load_graph
from eo_nodes.graph.paths import project_file
from eo_nodes.graph.plan import Overrides, leave_out, make_plan
from eo_nodes.graph.running import supervisor_command

GRAPH = load_graph(project_file("config/graph.yaml"))


def values_of(spec):
    """Return the ``-p`` arguments as a mapping; later ones win."""
    pairs = [a.split(":=", 1) for f, a in pairwise(spec.ros_arguments) if f == "-p"]
    return {name: yaml.safe_load(value) for name, value in pairs}


def named(plan, name):
    return next(spec for spec in plan.processes if spec.name == name)


def test_demo_starts_listeners_before_speakers_and_time_last():
    plan = make_plan(GRAPH, "demo")
    assert [spec.name for spec in plan.processes] == [
        "sat1/health",
        "sat1/delivery",
        "sat1/reasoning",
        "sat1/inference",
        "sat1/imaging",
        "ground/health",
        "ground/inference",
        "ground/station",
        "sim/world",
    ]
    order = [(node.domain_id, node.name) for node in plan.nodes]
    assert order[0] == (41, "/sat1/health_monitor")
    assert order[-2:] == [(41, "/sim/orbit_clock"), (42, "/sim/orbit_clock")]
    camera, preprocess = (41, "/sat1/camera_ingest"), (41, "/sat1/preprocess")
    assert order.index(preprocess) < order.index(camera)


def test_the_bringup_is_told_every_node_in_order():
    plan = make_plan(GRAPH, "demo")
    arguments = plan.bringup.arguments
    told = [b for a, b in pairwise(arguments) if a == "--node"]
    assert told == [f"{node.domain_id}:{node.name}" for node in plan.nodes]


def test_m36_no_process_of_a_segment_is_in_the_domain_of_another():
    plan = make_plan(GRAPH, "demo")
    domains = {spec.name: spec.environment["ROS_DOMAIN_ID"] for spec in plan.processes}
    assert {v for k, v in domains.items() if k.startswith("sat1/")} == {"41"}
    assert {v for k, v in domains.items() if k.startswith("ground/")} == {"42"}
    for spec in plan.processes:
        if spec.segment != "sim":
            assert len({node.domain_id for node in spec.nodes}) == 1


def test_flight_and_ground_are_alone_in_real_time():
    flight, ground = make_plan(GRAPH, "flight"), make_plan(GRAPH, "ground")
    assert {spec.segment for spec in flight.processes} == {"sat1"}
    assert {spec.segment for spec in ground.processes} == {"ground"}
    assert "use_sim_time" not in values_of(flight.processes[0])


def test_hardware_in_the_loop_has_no_emulator():
    world = named(make_plan(GRAPH, "hil"), "sim/world")
    assert not [node for node in world.nodes if "link_emulator" in node.name]


def test_the_clock_waits_for_exactly_the_other_nodes():
    plan = make_plan(GRAPH, "demo")
    awaited = values_of(named(plan, "sim/world"))["expected_nodes"]
    others = [n for n in plan.nodes if not n.name.endswith("/orbit_clock")]
    assert awaited == [f"{node.domain_id}:{node.name}" for node in others]
    smaller = leave_out(plan, {"sat1/inference"})
    assert "41:/sat1/compact_lvlm" not in values_of(named(smaller, "sim/world"))["expected_nodes"]
    assert "41:/sat1/compact_lvlm" not in smaller.bringup.arguments
    assert "41:/sat1/tasking" in smaller.bringup.arguments


def test_parameters_of_profile_run_and_node_reach_the_right_processes(tmp_path: Path):
    overrides = Overrides(
        parameters={"lockstep": False, "tasking.note": "a: b", "rate": 2.5},
        state_dir=str(tmp_path),
    )
    plan = make_plan(GRAPH, "demo", overrides)
    reasoning = values_of(named(plan, "sat1/reasoning"))
    assert reasoning["use_sim_time"] is True
    assert reasoning["lockstep"] is False
    assert reasoning["rate"] == 2.5
    assert reasoning["state_dir"] == str(tmp_path)
    assert reasoning["note"] == "a: b"
    assert "note" not in values_of(named(plan, "sat1/inference"))


def test_parameter_files_come_before_single_parameters(tmp_path: Path):
    extra = tmp_path / "extra.yaml"
    extra.write_text("")
    spec = make_plan(GRAPH, "demo", Overrides(parameter_files=(str(extra),))).processes[0]
    flags = [argument for argument in spec.ros_arguments if argument in ("-p", "--params-file")]
    assert flags == sorted(flags, key=["--params-file", "-p"].index)
    assert spec.ros_arguments.count("--params-file") == 2


def test_segments_offset_and_without_change_what_runs():
    overrides = Overrides(segments=("ground", "sim"), without=("archive",), domain_offset=20)
    plan = make_plan(GRAPH, "demo", overrides)
    assert {spec.segment for spec in plan.processes} == {"ground", "sim"}
    assert {node.domain_id for node in plan.nodes} == {62}
    assert not [node for node in plan.nodes if node.name.endswith("archive")]


@pytest.mark.parametrize(
    ("profile", "overrides", "message"),
    [
        ("dmeo", Overrides(), "no profile 'dmeo'; known: demo"),
        ("flight", Overrides(segments=("ground",)), "has no segment 'ground'"),
        ("flight", Overrides(parameters={"archive.x": 1}), "no node 'archive'"),
        ("demo", Overrides(parameters={"sat2/satellite": "x"}), "no segment 'sat2' to change"),
        ("flight", Overrides(without=("taskng",)), "no node 'taskng'"),
        ("flight", Overrides(parameter_files=("/none.yaml",)), "no parameter file /none.yaml"),
    ],
)
def test_wrong_requests_are_refused(profile, overrides, message):
    with pytest.raises(ConfigError, match=message):
        make_plan(GRAPH, profile, overrides)


def test_every_executable_of_a_plan_is_installed():
    folder = project_file("tools/executables")
    entries = "".join(path.read_text() for path in sorted(folder.glob("*.cfg")))
    for profile in GRAPH.profiles:
        plan = make_plan(GRAPH, profile)
        for spec in (*plan.processes, plan.bringup):
            assert re.search(rf"^ +{spec.executable} = {spec.module}:main$", entries, re.M)


def test_overrides_reach_the_supervisor_by_its_command_line(tmp_path: Path):
    overrides = Overrides(
        parameters={"tasking.note": "x=y"}, segments=("sat1",), state_dir="s", domain_offset=3
    )
    command = supervisor_command("demo", overrides, tmp_path)
    assert command[command.index("--set") + 1] == 'tasking.note="x=y"'
    assert command[command.index("--segment") + 1] == "sat1"
    assert command[command.index("--domain-offset") + 1] == "3"


def only_of(plan):
    """Return what the simulation is told of each segment's domain."""
    arguments = named(plan, "sim/world").arguments
    return json.loads(arguments[arguments.index("--only") + 1])


def test_two_satellites_have_domains_grounds_and_ports_of_their_own():
    plan = make_plan(GRAPH, "pair", Overrides(domain_offset=2))
    domains = {spec.segment: spec.environment["ROS_DOMAIN_ID"] for spec in plan.processes}
    assert domains == {"sat1": "43", "sat2": "46", "ground": "44", "ground2": "47", "sim": "45"}
    names = [(node.domain_id, node.name) for node in plan.nodes]
    assert len(set(names)) == len(names)
    arguments = named(plan, "sim/world").arguments
    assert arguments[arguments.index("--serves") + 1] == "ground=sat1,ground2=sat2"
    labels = arguments[arguments.index("--nodes") + 1].split(",")
    assert [label for label in labels if label.startswith("link")] == [
        "link_emulator@sat1", "link_emulator@sat2",
    ]  # fmt: skip
    # Both ends of the second link and its emulator mean the same satellite and the same ports.
    space = values_of(named(plan, "sat2/delivery"))
    ground = values_of(named(plan, "ground2/station"))
    emulator = only_of(plan)["sat2"]
    assert space["satellite"] == ground["satellite"] == emulator["satellite"] == "sentinel_2a"
    assert space["modem_port"] == emulator["space_port"] == 17103
    assert space["listen_port"] == emulator["space_node_port"] == 17104
    assert ground["modem_port"] == emulator["ground_port"] == 17203
    assert ground["listen_port"] == emulator["ground_node_port"] == 17204
    assert space["spacecraft_id"] == ground["spacecraft_id"] == 2
    assert (space["entity_id"], space["peer_entity_id"]) == (3, 4)
    assert (ground["entity_id"], ground["peer_entity_id"]) == (4, 3)
    assert space["port_offset"] == ground["port_offset"] == 20


def test_all_planners_and_the_channel_share_one_fleet_over_the_same_stations():
    plan = make_plan(GRAPH, "pair")
    given = [
        (values["fleet"], values["stations"])
        for spec in plan.processes
        if (values := values_of(spec))
    ]
    assert len(given) == len(plan.processes)
    assert {str(pair) for pair in given} == {str(given[0])}
    scenario = yaml.safe_load(project_file("config/scenarios/pair.yaml").read_text())
    world = values_of(named(plan, "sim/world"))
    assert world["fleet"] == [one["satellite"] for one in scenario["satellites"].values()]
    assert world["stations"] == scenario["stations"]
    assert (world["start"], world["duration_s"]) == (scenario["start"], scenario["duration_s"])


def test_one_satellite_alone_is_told_of_no_other():
    arguments = named(make_plan(GRAPH, "demo"), "sim/world").arguments
    assert "--only" not in arguments
    assert arguments[arguments.index("--serves") + 1] == "ground=sat1"


def test_a_run_may_change_one_segment_and_what_it_says_of_all_wins_over_the_description():
    parameters = {
        "sat2/satellite": "hotsat_1",
        "sat2/link_emulator.loss": 0.5,
        "spacecraft_id": 9,
        "sat2/tasking.in_flight": 2,
    }
    plan = make_plan(GRAPH, "pair", Overrides(parameters=parameters))
    assert values_of(named(plan, "sat2/delivery"))["satellite"] == "hotsat_1"
    assert "satellite" not in values_of(named(plan, "sat1/delivery"))
    assert values_of(named(plan, "ground2/station"))["satellite"] == "sentinel_2a"
    assert values_of(named(plan, "ground2/station"))["spacecraft_id"] == 9
    assert values_of(named(plan, "sat2/reasoning"))["in_flight"] == 2
    assert "in_flight" not in values_of(named(plan, "sat1/reasoning"))
    emulator = only_of(plan)["sat2"]
    assert (emulator["satellite"], emulator["loss"]) == ("hotsat_1", 0.5)
    assert "loss" not in only_of(plan).get("sat1", {})
