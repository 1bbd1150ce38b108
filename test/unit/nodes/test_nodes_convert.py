"""Messages and plain values: each type comes back as it was, also over the wire."""

import importlib.util
import struct
import typing
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_nodes.contracts.values import VALUES, Scene

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("rclpy") is None or importlib.util.find_spec("spaceverse") is None,
    reason="needs ROS 2 and the built messages",
)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
BASIC = {
    "string": TEXT,
    "boolean": st.booleans(),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "uint8": st.integers(0, 2**8 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
}


def strategy_of(kind):
    """Values of one field, by the type that the generated message states."""
    if kind.startswith("sequence<"):
        inner = kind.removeprefix("sequence<").removesuffix(">")
        if inner == "uint8":
            return st.binary(max_size=40)
        return st.lists(strategy_of(inner), max_size=3).map(tuple)
    if kind.startswith("spaceverse/"):
        return values_of(kind.removeprefix("spaceverse/"))
    return BASIC[kind]


def values_of(name):
    from eo_nodes.nodes.convert import message_type

    kinds = message_type(name).get_fields_and_field_types()
    return st.builds(VALUES[name], **{field: strategy_of(kind) for field, kind in kinds.items()})


@pytest.mark.parametrize("name", sorted(VALUES))
def test_value_comes_back_over_the_wire_as_it_was(name):
    from rclpy.serialization import deserialize_message, serialize_message

    from eo_nodes.nodes.convert import message_type, to_message, to_value

    @settings(max_examples=15, derandomize=True, deadline=None)
    @given(values_of(name))
    def round_trip(value):
        message = to_message(value)
        assert to_value(message) == value
        wire = deserialize_message(serialize_message(message), message_type(name))
        assert to_value(wire) == value

    round_trip()


@pytest.mark.parametrize("name", sorted(VALUES))
def test_empty_message_is_the_empty_value(name):
    from eo_nodes.nodes.convert import message_type, to_value

    assert to_value(message_type(name)()) == VALUES[name]()


@pytest.mark.parametrize("name", sorted(VALUES))
def test_value_holds_plain_types_only(name):
    """No array of ROS or NumPy leaks into a core: they are neither hashable nor comparable."""
    from eo_nodes.nodes.convert import message_type, to_value

    value = to_value(message_type(name)())
    hints = typing.get_type_hints(VALUES[name])
    for item in fields(value):
        wanted = typing.get_origin(hints[item.name]) or hints[item.name]
        assert type(getattr(value, item.name)) is wanted, item.name


def test_pixels_are_copied_once_and_whole():
    from eo_nodes.nodes.convert import to_message, to_value

    view = VALUES["View"](data=struct.pack("<4H", 1, 2, 3, 65535))
    assert to_value(to_message(view)).data == view.data


def test_long_arrays_of_floats_come_back():
    from eo_nodes.nodes.convert import to_message, to_value

    scene = Scene(wavelength_um=tuple(i / 4 for i in range(1000)), footprint=(0.1, -1e-300))
    assert to_value(to_message(scene)) == scene
