"""Frozen dataclasses to JSON text and back, by their annotations.

Understands str, int, float, bool, bytes (base64), tuple of one kind, nested dataclasses and
``X | None``. Fields that the text lacks take their default, fields that the class lacks are
left out: rows of an older or newer version can be read.
"""

from __future__ import annotations

import base64
import json
import types
from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.values import Answer

T = TypeVar("T")


@lru_cache(maxsize=128)
def _annotations(cls: Hashable) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {item.name: hints[item.name] for item in fields(cls)}  # type: ignore[arg-type]


_PLAIN = (str, int, float, bool, type(None))


@cache
def _names(cls: Hashable) -> tuple[str, ...] | None:
    return tuple(item.name for item in fields(cls)) if is_dataclass(cls) else None


def to_plain(value: Any) -> Any:
    """Turn a value into what JSON knows."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    names = _names(kind)  # type: ignore[arg-type]
    if names is not None:
        return {name: to_plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple | list):
        return [to_plain(part) for part in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


def _from_plain(kind: Any, plain: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if plain is None:
            return None
        return _from_plain(next(k for k in get_args(kind) if k is not type(None)), plain)
    if origin is tuple:
        return tuple(_from_plain(get_args(kind)[0], part) for part in plain)
    if kind is bytes:
        return base64.b64decode(plain, validate=True)
    if is_dataclass(kind):
        return from_plain(kind, plain)  # type: ignore[arg-type]
    if kind is float and isinstance(plain, int):
        return float(plain)
    if kind in (str, int, float, bool) and type(plain) is not kind:
        raise TypeError(f"{plain!r:.40} is no {kind.__name__}")
    return plain


def from_plain(cls: type[T], plain: Any) -> T:
    """Build a dataclass from what JSON gave.

    Raises:
        StorageError: the content does not fit the class.
    """
    try:
        kinds = _annotations(cls)  # type: ignore[arg-type]
        return cls(**{k: _from_plain(kinds[k], v) for k, v in plain.items() if k in kinds})
    except (AttributeError, TypeError, ValueError) as error:
        raise StorageError(f"stored content is no {cls.__name__}: {error}") from error


def encode(value: Any) -> str:
    """Return compact JSON of a dataclass."""
    # ASCII, so that a lone surrogate in untrusted text cannot break the write.
    return json.dumps(to_plain(value), separators=(",", ":"))


def answer_file(answer: Answer) -> bytes:
    """Return the file in which an answer travels down."""
    return encode(answer).encode()


def decode(cls: type[T], text: str) -> T:
    """Return the dataclass that `encode` wrote.

    Raises:
        StorageError: not JSON, or not of this class.
    """
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise StorageError(f"stored {cls.__name__} is no JSON") from error
    return from_plain(cls, plain)
