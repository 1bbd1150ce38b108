"""Messages to plain values and back, by the fields of the value.

One plan per type is made on first use; the field names of ``msg/*.msg`` and of
`eo_nodes.contracts.values` are the same (a test holds them together).
"""

from __future__ import annotations

import array
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
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


def _values_of(sequence: Any) -> tuple[Any, ...]:
    return tuple(map(to_value, sequence))


_Change = Callable[[Any], Any]


@cache
def _reader(cls: type) -> tuple[tuple[str, ...], Any, tuple[tuple[str, _Change], ...]]:
    """Names of the fields, a getter of all of them, and what has to be changed on the way."""
    hints = get_type_hints(cls)
    names = tuple(item.name for item in fields(cls))
    changes: list[tuple[str, _Change]] = []
    for name in names:
        hint = hints[name]
        if hint is bytes:
            changes.append((name, bytes))
        elif get_origin(hint) is tuple:
            inner = get_args(hint)[0]
            changes.append((name, _values_of if inner.__name__ in values.VALUES else tuple))
        elif hint.__name__ in values.VALUES:
            changes.append((name, to_value))
    # A message of one field would come as itself and not as a tuple: there is none.
    return names, attrgetter(*names), tuple(changes)


def to_value(message: Any) -> Any:
    """Copy a message into the plain value of the same name."""
    cls = values.VALUES[type(message).__name__]
    names, get, changes = _reader(cls)
    content = dict(zip(names, get(message), strict=True))
    for name, change in changes:
        content[name] = change(content[name])
    return cls(**content)


def _typed_array(code: str) -> _Change:
    def write(content: Any) -> Any:
        if code == "B":
            data = array.array("B")
            data.frombytes(content)
            return data
        return array.array(code, content)

    return write


@cache
def _writer(cls: type) -> tuple[Any, tuple[tuple[str, _Change], ...]]:
    message = message_type(cls.__name__)
    names = message.get_fields_and_field_types()
    plan: list[tuple[str, _Change]] = []
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
    return message, tuple(plan)


def to_message(value: Any) -> Any:
    """Copy a plain value into the message of the same name."""
    kind: Any = type(value)
    cls, plan = _writer(kind)
    message = cls()
    for name, write in plan:
        content = getattr(value, name)
        setattr(message, name, content if write is _identity else write(content))
    return message
