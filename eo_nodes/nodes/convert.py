"""Messages to plain values and back, by the fields of the value.

One plan per type is made on first use; the field names of ``msg/*.msg`` and of
`eo_nodes.contracts.values` are the same (a test holds them together).
"""

from __future__ import annotations

import array
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from rosidl_parser.definition import AbstractNestedType, BasicType, NamespacedType
from spaceverse import msg as messages

from eo_nodes.contracts import values

_TYPECODES = {
    "float": "f",
    "double": "d",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "uint32": "I",
    "uint64": "Q",
}


def message_type(name: str) -> Any:
    """Return the generated message class of a value's name, e.g. ``Scene``."""
    return getattr(messages, name)


def value_type(name: str) -> type:
    """Return the plain value class of a message's name."""
    return values.VALUES[name]


def _identity(content: Any) -> Any:
    return content


@cache
def _reader(cls: type) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    hints = get_type_hints(cls)
    plan: list[tuple[str, Callable[[Any], Any]]] = []
    for item in fields(cls):
        hint = hints[item.name]
        if hint is bytes:
            plan.append((item.name, bytes))
        elif get_origin(hint) is tuple:
            inner = get_args(hint)[0]
            if inner.__name__ in values.VALUES:
                plan.append((item.name, lambda seq: tuple(to_value(part) for part in seq)))
            else:
                plan.append((item.name, tuple))
        elif hint.__name__ in values.VALUES:
            plan.append((item.name, to_value))
        else:
            plan.append((item.name, _identity))
    return tuple(plan)


def to_value(message: Any) -> Any:
    """Copy a message into the plain value of the same name."""
    cls = values.VALUES[type(message).__name__]
    return cls(**{name: read(getattr(message, name)) for name, read in _reader(cls)})


def _typed_array(code: str) -> Callable[[Any], Any]:
    def write(content: Any) -> Any:
        if code == "B":
            data = array.array("B")
            data.frombytes(content)
            return data
        return array.array(code, content)

    return write


@cache
def _writer(cls: type) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    message = message_type(cls.__name__)
    names = message.get_fields_and_field_types()
    plan: list[tuple[str, Callable[[Any], Any]]] = []
    for name, slot in zip(names, message.SLOT_TYPES, strict=True):
        if isinstance(slot, NamespacedType):
            plan.append((name, to_message))
        elif not isinstance(slot, AbstractNestedType):
            plan.append((name, _identity))
        elif isinstance(slot.value_type, BasicType):
            plan.append((name, _typed_array(_TYPECODES[slot.value_type.typename])))
        elif isinstance(slot.value_type, NamespacedType):
            plan.append((name, lambda seq: [to_message(part) for part in seq]))
        else:
            plan.append((name, list))
    return tuple(plan)


def to_message(value: Any) -> Any:
    """Copy a plain value into the message of the same name."""
    cls: Any = type(value)
    message = message_type(cls.__name__)()
    for name, write in _writer(cls):
        setattr(message, name, write(getattr(value, name)))
    return message
