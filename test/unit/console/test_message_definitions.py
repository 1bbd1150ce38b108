"""Message files, the DDS types made from them, and values over both."""

from __future__ import annotations

import dataclasses

import pytest

from eo_nodes.console.dds_types import struct, to_dds, topic_struct
from eo_nodes.console.msgdef import Field, bundle, definition, parse
from eo_nodes.console.wire import from_wire
from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.topics import TOPICS
from eo_nodes.contracts.values import VALUES, Answer, Scene, Step, View, Views


def test_parses_every_form_of_field():
    text = """
    # head
    uint8 LOW=1     # a constant
    string NAME="a b"
    string<=32 name
    float32[4] box  # fixed
    uint8[] data
    uint32[<=5] few
    Step[] steps
    std_msgs/Header header
    """
    found = parse("spaceverse/Thing", text)
    assert found.constants == (("LOW", "1"), ("NAME", '"a b"'))
    assert found.fields == (
        Field("name", "string"),
        Field("box", "float32", "array", 4),
        Field("data", "uint8", "sequence"),
        Field("few", "uint32", "sequence", 5),
        Field("steps", "spaceverse/Step", "sequence"),
        Field("header", "std_msgs/Header"),
    )


@pytest.mark.parametrize("text", ["string", "int32 Upper", "what is this?"])
def test_refuses_what_is_no_field(text):
    with pytest.raises(ConfigError, match="line 1"):
        parse("spaceverse/Thing", text)


@pytest.mark.parametrize("name", sorted(VALUES))
def test_values_have_the_fields_of_their_message_in_order(name):
    described = [item.name for item in definition(name).fields]
    assert [item.name for item in dataclasses.fields(VALUES[name])] == described


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_every_topic_has_a_type(topic):
    row = TOPICS[topic]
    package, name = row.type.split("/") if "/" in row.type else ("spaceverse", row.type)
    assert topic_struct(topic).__idl_typename__ == f"{package}::msg::dds_::{name}_"


def test_type_of_a_message_is_one_object_under_both_names():
    assert struct("Task") is struct("spaceverse/Task")


def test_nested_value_survives_the_wire():
    answer = Answer(
        id="ans-1",
        text="drei Schiffe ⛵",
        confidence=(0.25, 0.5),
        origin="ground",
        raw_bytes=2**63,
        stamp_ns=-5,
        steps=(Step(name="capture", stamp_ns=2**62), Step(name="final")),
    )
    data = to_dds(answer).serialize(use_version_2=False)
    assert data[:2] == b"\x00\x01"  # CDR, little endian: XCDR version 1
    assert from_wire("Answer", struct("Answer").deserialize(data)) == answer


def test_bytes_stay_bytes():
    views = Views(request_id="r", views=(View(kind="zoom", data=bytes(range(256)) * 4),))
    data = to_dds(views).serialize(use_version_2=False)
    assert from_wire("Views", struct("Views").deserialize(data)) == views


def test_foreign_messages_pass_unchanged():
    sample = struct("rosgraph_msgs/Clock")()
    assert from_wire("rosgraph_msgs/Clock", sample) is sample


def test_bundle_appends_each_dependency_once():
    text = bundle("Views")
    assert text.count("MSG: spaceverse/View\n") == 1
    nested = bundle("diagnostic_msgs/DiagnosticArray")
    for name in ("std_msgs/Header", "builtin_interfaces/Time", "diagnostic_msgs/KeyValue"):
        assert nested.count(f"MSG: {name}\n") == 1


def test_unknown_message_is_named():
    with pytest.raises(ConfigError, match="Nonsense"):
        definition("Nonsense")
    with pytest.raises(ConfigError, match="nav_msgs/Odometry"):
        definition("nav_msgs/Odometry")


def test_scene_defaults_match_the_contract():
    assert from_wire("Scene", struct("Scene")()) == Scene()
