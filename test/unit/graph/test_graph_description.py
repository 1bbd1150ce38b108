"""The description of the graph: what it says, and what it refuses."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.graph.description import load_graph, parse_graph
from eo_nodes.graph.paths import project_file

GRAPH = project_file("config/graph.yaml")
DOCUMENT = yaml.safe_load(GRAPH.read_text())


def changed(path: str, value):
    """Return the document with one key set, or removed when the value is None."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = path.split(".")
    place = document
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return document


def test_inference_is_alone_in_its_process():
    graph = load_graph(GRAPH)
    homes = {n: p.nodes for k in graph.kinds.values() for p in k.processes for n in p.nodes}
    assert homes["compact_lvlm"] == ("compact_lvlm",)
    assert homes["ground_lvlm"] == ("ground_lvlm",)


def test_every_node_of_the_design_is_there():
    graph = load_graph(GRAPH)
    nodes = {name: {n for p in k.processes for n in p.nodes} for name, k in graph.kinds.items()}
    both = {"contact_planner", "health_monitor"}
    assert nodes["space"] == both | {
        "camera_ingest",
        "tasking",
        "preprocess",
        "compact_lvlm",
        "confidence",
        "downlink_scheduler",
    }
    assert nodes["ground"] == both | {"ground_station", "ground_lvlm", "archive"}
    assert nodes["sim"] == {"orbit_clock", "link_emulator", "scenario_player"}


def test_m36_every_segment_has_a_domain_of_its_own():
    domains = [segment.domain_id for segment in load_graph(GRAPH).segments.values()]
    assert len(set(domains)) == len(domains) == 5


def test_m18_the_restart_policy_is_three_in_ten_minutes():
    restart = load_graph(GRAPH).restart
    assert (restart.attempts, restart.window_s, restart.delays_s) == (3, 600.0, (1.0, 2.0, 4.0))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("version", 2, "only version 1"),
        ("version", None, "graph.version: is missing"),
        ("surprise", 1, "unknown key surprise"),
        ("restart.attempts", -1, "at least 0"),
        ("restart.attempts", True, "int is needed"),
        ("restart.delays_s", [], "at least one"),
        ("restart.window_s", 0, "above 0"),
        ("shutdown.grace_s", "five", "float is needed"),
        ("environment.OMP_NUM_THREADS", 1, "put 1 in quotes"),
        ("segments.sat1.kind", "plane", "there is no kind 'plane'"),
        ("segments.sat1.domain_id", 42, "sat1 has it too"),
        ("segments.sat1.domain_id", 232, "must be 0 to 101"),
        ("segments.sat1.namespace", "sat1", "no absolute name"),
        ("segments.ground2.serves", "sat9", "there is no segment 'sat9'"),
        ("segments.sat2.settings", {"ground_station.tick_s": 1.0}, "no node 'ground_station' in"),
        ("kinds.space.processes.health.nodes", [], "is empty"),
        ("kinds.space.processes.health.nodes", ["tasking"], "stands in two processes"),
        ("kinds.space.processes.health.nodes", ["Bad Name"], "is no name"),
        ("kinds.sim.processes.world.domains.orbit_clock", ["moon"], "there is no segment moon"),
        ("kinds.sim.processes.world.domains.tasking", "all", "no node of this process"),
        ("profiles.demo.segments", ["sat9"], "there is no segment 'sat9'"),
        ("profiles.demo.segments", [], "is empty"),
        ("profiles.hil.without", ["nobody"], "there is no node 'nobody'"),
        ("profiles.demo.parameters", [1], "dict is needed"),
    ],
)
def test_a_wrong_description_is_refused_with_its_place(path, value, message):
    with pytest.raises(ConfigError, match=message):
        parse_graph(changed(path, value))


@pytest.mark.parametrize("text", ["", "[]", "a: [", "1"])
def test_what_is_no_description_is_refused(tmp_path: Path, text):
    path = tmp_path / "graph.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"graph\.yaml"):
        load_graph(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        load_graph(tmp_path / "none.yaml")


def test_project_files_that_are_nowhere_are_named_with_the_places():
    with pytest.raises(ConfigError, match=r"config/nothing\.yaml is in none of: /"):
        project_file("config/nothing.yaml")


def test_a_ros_prefix_is_searched(tmp_path: Path, monkeypatch):
    share = tmp_path / "share/spaceverse/config"
    share.mkdir(parents=True)
    (share / "only_here.yaml").write_text("")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert project_file("config/only_here.yaml") == share / "only_here.yaml"
