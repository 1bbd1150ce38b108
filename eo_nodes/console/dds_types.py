"""Cyclone DDS classes generated from the message definitions.

What makes the wire equal to that of ROS 2 nodes: type name ``package::msg::dds_::Name_``, final
extensibility, XCDR version 1, fields in file order, constants left out, bounded strings as plain
ones (the bound is not on the wire).
"""

from __future__ import annotations

import types
from dataclasses import dataclass, fields
from dataclasses import field as default_field
from functools import cache
from typing import Any

from cyclonedds.idl import IdlStruct
from cyclonedds.idl import types as idl
from cyclonedds.idl._machinery import BytesMachine
from cyclonedds.idl.annotations import final

from eo_nodes.contracts.topics import TOPICS

from .msgdef import NUMBERS, Field, definition

_PRIMITIVES: dict[str, Any] = {
    "bool": bool,
    "byte": idl.uint8,
    "char": idl.uint8,
    "string": str,
    **{name: getattr(idl, name) for name in NUMBERS},
}

_ARRAY: Any = idl.array
_SEQUENCE: Any = idl.sequence


def _zero(item: Field) -> Any:
    """Make a factory for the default of a field."""
    if item.is_message:
        one: Any = struct(item.base)
    else:
        one = {"string": str, "bool": bool, "float32": float, "float64": float}.get(item.base, int)
    if item.kind == "one":
        return one
    if item.is_bytes:
        return bytes
    return lambda: [one() for _ in range(item.count if item.kind == "array" else 0)]


def _annotation(item: Field) -> Any:
    base: Any = struct(item.base) if item.is_message else _PRIMITIVES[item.base]
    if item.kind == "one":
        return base
    if item.kind == "array":
        return _ARRAY[base, item.count]
    return _SEQUENCE[base, item.count] if item.count else _SEQUENCE[base]


def _carry_bytes(cls: Any, name: str) -> None:
    """Carry one ``sequence[uint8]`` field as `bytes`, on the same wire format.

    The stock encoder turns each byte into a Python integer: 8 MB would take seconds. This relies
    on internals of cyclonedds 11.0.1, the pinned version.
    """
    cls.__idl__.populate()
    machine_of_bytes: Any = BytesMachine
    for machine in (cls.__idl__.v1_machine, cls.__idl__.v2_machine):
        machine.members_machines[name] = machine_of_bytes()


def struct(name: str) -> Any:
    """Return the IdlStruct dataclass of a message, the same one at each call.

    Args:
        name: ``package/Name``, or ``Name`` for ours.
    Raises:
        ConfigError: there is no such message.
    """
    return _struct(definition(name).name)


@cache
def _struct(name: str) -> Any:
    described = definition(name)
    package, short = described.name.split("/")

    def body(namespace: dict[str, Any]) -> None:
        namespace["__module__"] = __name__
        namespace["__annotations__"] = {f.name: _annotation(f) for f in described.fields}
        for item in described.fields:
            namespace[item.name] = default_field(default_factory=_zero(item))

    cls = types.new_class(
        short, (IdlStruct,), {"typename": f"{package}::msg::dds_::{short}_"}, body
    )
    made: Any = final(dataclass(cls))
    for item in described.fields:
        if item.is_bytes:
            _carry_bytes(made, item.name)
    return made


def topic_struct(topic: str) -> Any:
    """Return the class that travels on a topic of the table."""
    return struct(TOPICS[topic].type)


def to_dds(value: Any) -> Any:
    """Turn a contracts value into its DDS sample."""
    described = definition(type(value).__name__)
    return struct(described.name)(
        **{item.name: _out(getattr(value, item.name), item) for item in described.fields}
    )


def _out(content: Any, item: Field) -> Any:
    if item.is_message:
        return to_dds(content) if item.kind == "one" else [to_dds(part) for part in content]
    if item.kind == "one":
        return content
    return bytes(content) if item.is_bytes else list(content)


def plain(sample: Any) -> Any:
    """Turn a DDS sample of a foreign type into plain dicts, for printing."""
    if isinstance(sample, IdlStruct):
        return {item.name: plain(getattr(sample, item.name)) for item in fields(sample)}  # type: ignore[arg-type]
    return [plain(part) for part in sample] if isinstance(sample, list) else sample
