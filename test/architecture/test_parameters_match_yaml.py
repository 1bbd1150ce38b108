"""Parameters declared by nodes and those in ``config/params`` are the same, both ways."""

import importlib
import importlib.util
from pathlib import Path

import pytest
import yaml

from eo_nodes.graph.description import load_graph

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("rclpy") is None or importlib.util.find_spec("spaceverse") is None,
    reason="needs ROS 2 and the built messages",
)

ROOT = Path(__file__).parents[2]
GRAPH = load_graph(ROOT / "config" / "graph.yaml")
SEGMENTS = {"sat1": "space", "ground": "ground", "sim": "sim"}


def node_classes(segment):
    """Name and class of each node of a segment."""
    if segment == "sim":
        names = {
            "link_emulator": ("link_emulator_node", "LinkEmulator"),
            "scenario_player": ("scenario_player_node", "ScenarioPlayer"),
            "orbit_clock": ("orbit_clock_node", "OrbitClock"),
        }
        return {
            name: getattr(importlib.import_module(f"eo_sim.nodes.{module}"), cls)
            for name, (module, cls) in names.items()
        }
    container = importlib.import_module("eo_nodes.nodes.container")
    described = yaml.safe_load((ROOT / "config" / "graph.yaml").read_text(encoding="utf-8"))
    processes = described["kinds"][SEGMENTS[segment]]["processes"].values()
    names = [name for process in processes for name in process["nodes"]]
    return {name: container.factory_of(name) for name in names}


def blocks(segment):
    text = (ROOT / "config" / "params" / f"{SEGMENTS[segment]}.yaml").read_text(encoding="utf-8")
    return {key: block["ros__parameters"] for key, block in yaml.safe_load(text).items()}


def same_kind(declared, given):
    if isinstance(declared, list):
        return isinstance(given, list) and {type(v) for v in given} <= {type(declared[0])}
    return type(declared) is type(given)


@pytest.mark.parametrize("segment", SEGMENTS)
def test_nodes_and_blocks_are_the_same(segment):
    keys = list(blocks(segment))
    assert keys[-1] == "/**", "rcl lets later blocks win: the one of all nodes stands last"
    assert {key.rpartition("/")[2] for key in keys[:-1]} == set(node_classes(segment))


@pytest.mark.parametrize("segment", SEGMENTS)
def test_parameters_of_each_node_equal_its_block(segment):
    given = blocks(segment)
    for name, cls in node_classes(segment).items():
        declared = {item.name: item for item in cls.PARAMETERS}
        block = given[f"/**/{name}"]
        assert set(block) == set(declared), name
        for key, value in block.items():
            item = declared[key]
            assert same_kind(item.default, value), f"{name}.{key}: {value!r}"
            if item.low is not None and not isinstance(value, list):
                assert item.low <= value <= item.high, f"{name}.{key}: {value!r}"


@pytest.mark.parametrize("segment", SEGMENTS)
def test_common_parameters_equal_the_common_block(segment):
    from eo_nodes.nodes.parameters import COMMON

    block = blocks(segment)["/**"]
    assert set(block) == {item.name for item in COMMON} | {"use_sim_time"}
    for item in COMMON:
        assert same_kind(item.default, block[item.name]), item.name


@pytest.mark.parametrize("segment", SEGMENTS)
def test_every_parameter_is_described_and_bounded(segment):
    for name, cls in node_classes(segment).items():
        for item in cls.PARAMETERS:
            assert len(item.about) > 5, f"{name}.{item.name}"
            if type(item.default) in (int, float):
                assert item.low is not None and item.high is not None, f"{name}.{item.name}"
                assert item.low <= item.default <= item.high, f"{name}.{item.name}"


def test_no_node_takes_the_name_of_a_common_parameter():
    from eo_nodes.nodes.parameters import COMMON

    common = {item.name for item in COMMON}
    for segment in SEGMENTS:
        for name, cls in node_classes(segment).items():
            own = [item.name for item in cls.PARAMETERS]
            assert len(own) == len(set(own)) and not common & set(own), name
