"""Read ``.msg`` files: the one definition that types, conversions and bags are generated from.

Covers what ROS 2 interface files may hold: primitives, bounded strings, fixed arrays, bounded and
unbounded sequences, messages of the same or another package, constants. Default values are read
over: nothing here uses them, and ours have none. Services are not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from eo_nodes.contracts.errors import ConfigError

from .share import shared

PACKAGE = "spaceverse"

_INTEGERS = (f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))
NUMBERS = (*_INTEGERS, "float32", "float64")
PRIMITIVES = frozenset(("bool", "byte", "char", "string", *NUMBERS))

# Field lists of the few standard messages that travel here, so that a machine without ROS can
# read and write them. Order and types are the wire format.
STANDARD: dict[str, str] = {
    "builtin_interfaces/Time": "int32 sec\nuint32 nanosec\n",
    "std_msgs/Header": "builtin_interfaces/Time stamp\nstring frame_id\n",
    "std_msgs/String": "string data\n",
    "sensor_msgs/Image": (
        "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\n"
        "uint8 is_bigendian\nuint32 step\nuint8[] data\n"
    ),
    "sensor_msgs/CompressedImage": "std_msgs/Header header\nstring format\nuint8[] data\n",
    "diagnostic_msgs/KeyValue": "string key\nstring value\n",
    "diagnostic_msgs/DiagnosticStatus": (
        "byte OK=0\nbyte WARN=1\nbyte ERROR=2\nbyte STALE=3\n"
        "byte level\nstring name\nstring message\nstring hardware_id\nKeyValue[] values\n"
    ),
    "diagnostic_msgs/DiagnosticArray": "std_msgs/Header header\nDiagnosticStatus[] status\n",
    "rosgraph_msgs/Clock": "builtin_interfaces/Time clock\n",
}

_FIELD = re.compile(
    r"(?:(?P<package>\w+)/)?(?P<base>\w+)(?P<bound><=\d+)?"
    r"(?P<array>\[(?P<limit><=)?(?P<count>\d*)\])?\s+(?P<name>[a-z]\w*)(?:\s+\S.*)?$"
)
_CONSTANT = re.compile(r"(?P<base>\w+)\s+(?P<name>[A-Z][A-Z0-9_]*)\s*=\s*(?P<value>.+)$")


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        base: primitive name, or ``package/Name`` of a message.
        kind: ``one``, ``array`` (fixed length) or ``sequence``.
        count: length of an array, upper bound of a sequence, 0 for no bound.
    """

    name: str
    base: str
    kind: str = "one"
    count: int = 0

    @property
    def is_message(self) -> bool:
        """True for a nested message."""
        return "/" in self.base

    @property
    def is_bytes(self) -> bool:
        """True for ``uint8[]`` and the like, which travel as `bytes`."""
        return self.kind == "sequence" and self.base in ("uint8", "byte", "char")


@dataclass(frozen=True, slots=True)
class Definition:
    """One message.

    Attributes:
        name: ``package/Name``.
        text: the file as it stands.
        constants: name to value text.
    """

    name: str
    text: str
    fields: tuple[Field, ...]
    constants: tuple[tuple[str, str], ...]


def parse(name: str, text: str) -> Definition:
    """Parse one definition.

    Args:
        name: ``package/Name``.
        text: content of the file.
    Raises:
        ConfigError: a line is neither a field nor a constant.
    """
    package = name.split("/", maxsplit=1)[0]
    found: list[Field] = []
    constants: list[tuple[str, str]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        if match := _CONSTANT.match(line):
            constants.append((match["name"], match["value"].strip()))
            continue
        match = _FIELD.match(line)
        if match is None:
            raise ConfigError(f"{name} line {number}: {raw!r} is no field")
        base = match["base"]
        if match["package"]:
            base = f"{match['package']}/{base}"
        elif base[0].isupper():
            base = f"{package}/{base}"
        elif base not in PRIMITIVES:
            raise ConfigError(f"{name} line {number}: {base!r} is no type")
        kind, count = "one", int(match["count"] or 0)
        if match["array"]:
            kind = "array" if count and not match["limit"] else "sequence"
        found.append(Field(match["name"], base, kind, count))
    return Definition(name, text, tuple(found), tuple(constants))


@cache
def definition(name: str) -> Definition:
    """Return a definition by ``package/Name`` or by ``Name`` of ours.

    Raises:
        ConfigError: there is no such message.
    """
    full = name if "/" in name else f"{PACKAGE}/{name}"
    package, short = full.split("/")
    if full in STANDARD:
        return parse(full, STANDARD[full])
    if package != PACKAGE:
        raise ConfigError(f"no definition of message {full}")
    return parse(full, shared(f"msg/{short}.msg").read_text(encoding="utf-8"))


def bundle(name: str) -> str:
    """Return a definition with all it depends on appended, as a ``ros2msg`` schema holds it."""
    first = definition(name)
    parts, queue, seen = [first.text], [first], {first.name}
    while queue:
        for item in queue.pop(0).fields:
            if item.is_message and item.base not in seen:
                nested = definition(item.base)
                seen.add(item.base)
                queue.append(nested)
                parts.append(f"{'=' * 80}\nMSG: {item.base}\n{nested.text}")
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)
