"""``msg/*.msg`` and the plain values say the same, and every field is explained."""

import re
import typing
from dataclasses import fields
from pathlib import Path

import pytest

from eo_nodes.contracts.values import VALUES

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "msg").glob("*.msg"))
SCALARS = {
    "string": str, "bool": bool, "float32": float, "float64": float,
    "uint8": int, "uint32": int, "uint64": int, "int32": int, "int64": int,
}  # fmt: skip


def parse(text):
    """Return (fields, constants, unexplained field names) of a definition."""
    named, constants, bare = [], {}, []
    above = ""
    for line in text.splitlines():
        code, _, comment = line.partition("#")
        if constant := re.fullmatch(r"(\w+) ([A-Z_]+)=(\w+)", code.strip()):
            constants[constant[2]] = int(constant[3])
        elif code.strip() and code.strip() != "---":
            kind, name = code.split()
            named.append((name, kind))
            if not comment.strip() and not above:
                bare.append(name)
        above = comment.strip() if not code.strip() else ""
    return named, constants, bare


def python_type(kind):
    """Annotation that a field of a definition has in the value."""
    if kind == "uint8[]":
        return bytes
    if kind.endswith("[]"):
        return tuple[python_type(kind[:-2]), ...]
    return SCALARS.get(kind) or VALUES[kind]


def test_every_message_has_its_value_and_the_other_way_round():
    assert {file.stem for file in FILES} == set(VALUES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_fields_types_and_constants_are_equal(file):
    named, constants, _ = parse(file.read_text(encoding="utf-8"))
    cls = VALUES[file.stem]
    hints = typing.get_type_hints(cls)
    assert [item.name for item in fields(cls)] == [name for name, _ in named]
    assert {item.name: hints[item.name] for item in fields(cls)} == {
        name: python_type(kind) for name, kind in named
    }
    in_class = {name: value for name, value in vars(cls).items() if name.isupper()}
    assert in_class == constants


@pytest.mark.parametrize(
    "file", [*FILES, *sorted((ROOT / "srv").glob("*.srv"))], ids=lambda file: file.name
)
def test_every_field_is_explained(file):
    text = file.read_text(encoding="utf-8")
    assert re.match(r"# \w.{10,}", text), "the first line says what it is"
    _, _, bare = parse(text)
    assert not bare, f"say unit, range and meaning of {bare}"


def test_defaults_are_those_of_an_empty_message():
    """A field left out on one side reads the same on the other."""
    for cls in VALUES.values():
        value = cls()
        for item in fields(cls):
            content = getattr(value, item.name)
            assert content in (0, "", (), b"", False) or content == VALUES["Scene"](), (
                f"{cls.__name__}.{item.name} starts as {content!r}"
            )
