"""Text of the pages and tables that are written from the code; see `docs.__main__`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from eo_nodes.contracts.events import EVENTS
from eo_nodes.contracts.topics import (
    CLOCK,
    HISTORY,
    LATEST,
    SENSOR,
    STREAM,
    TOPICS,
    VIEWS,
    Qos,
)
from eo_nodes.contracts.values import Event
from eo_nodes.nodes.parameters import COMMON, Parameter

from .facts import SHARED_TOPICS, NodeFacts, all_nodes, mission_values

_QOS = (
    ("SENSOR", SENSOR),
    ("CLOCK", CLOCK),
    ("VIEWS", VIEWS),
    ("STREAM", STREAM),
    ("HISTORY", HISTORY),
    ("LATEST", LATEST),
)
# Who speaks from outside the graph.
_OUTSIDE = {
    "image": ["your sensor"],
    "image/compressed": ["your sensor"],
    "task": ["consoles"],
    "command": ["consoles"],
}
_SEVERITIES = {
    Event.DEBUG: "debug",
    Event.INFO: "info",
    Event.WARNING: "warning",
    Event.ERROR: "error",
    Event.FATAL: "fatal",
}

NODES_HEAD = """\
# Nodes

Written by `python -m docs` from the code: do not edit. The graph is `config/graph.yaml`; what
each message holds stands in `msg/*.msg` and `srv/*.srv`, field by field.

Parameters are declared in the class named below (tuple `PARAMETERS`). `config/params/*.yaml` sets
every one of them for this mission. *Default* is what the code declares; where the mission differs,
the line below the table says so.

## All nodes

Every node is a lifecycle node. Besides its own topics each one publishes
{shared}, and takes these parameters:

{common}
"""


def nodes_page() -> str:
    """Return docs/nodes.md."""
    head = NODES_HEAD.format(
        shared=", ".join(f"`{topic}`" for topic in SHARED_TOPICS if topic in TOPICS),
        common=_parameter_table(COMMON),
    )
    note = (
        "`/idle` is published only with `lockstep` on. `use_sim_time` is the parameter that every\n"
        "ROS 2 node has. *frames*: UDP, see [link.md](link.md).\n"
    )
    return "\n".join([head, note, *map(_section, all_nodes())])


def _section(node: NodeFacts) -> str:
    lines = [
        f"## {node.name}",
        "",
        *_about(node).splitlines(),
        "",
        f"Class `{node.class_name}` in `{node.module}`; runs in {_listed(node.places)}.",
        "",
        f"- in: {_inputs(node)}",
        f"- out: {_outputs(node, services=False)}",
    ]
    if node.services:
        services = (f"`{name}` ({kind})" for name, kind in node.services)
        lines.append(f"- services: {', '.join(services)}")
    if node.parameters:
        lines += ["", _parameter_table(node.parameters)]
    for place in node.places:
        kind = place.partition("/")[0]
        changed = _changed(node, mission_values(kind).get(node.name, {}))
        if changed:
            lines += ["", f"`config/params/{kind}.yaml` sets {changed}."]
    return "\n".join(lines) + "\n"


def _about(node: NodeFacts) -> str:
    """Return the docstring without the name that it begins with."""
    text = node.about.removeprefix(f"{node.name}: ")
    return (text[:1].upper() + text[1:]).replace("``", "`")


def _has_link(node: NodeFacts) -> bool:
    return any(parameter.name.endswith("_port") for parameter in node.parameters)


def _inputs(node: NodeFacts) -> str:
    return _listed(node.hears, "frames" if _has_link(node) else "")


def _outputs(node: NodeFacts, *, services: bool = True) -> str:
    also = "services" if services and node.services else ""
    return _listed(node.speaks, "frames" if _has_link(node) else also)


def _changed(node: NodeFacts, values: dict[str, Any]) -> str:
    defaults = {item.name: item.default for item in node.parameters}
    return ", ".join(
        f"`{name}: {_value(value)}`"
        for name, value in values.items()
        if name in defaults and value != defaults[name]
    )


def _parameter_table(parameters: Iterable[Parameter]) -> str:
    rows = [(f"`{p.name}`", f"`{_value(p.default)}`", _range(p), p.about) for p in parameters]
    return table(("parameter", "default", "range", "meaning"), rows)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)  # a float keeps its point: ROS refuses an integer for it


def _range(parameter: Parameter) -> str:
    if parameter.low is None or parameter.high is None:
        return ""
    return f"{_number(parameter.low)} .. {_number(parameter.high)}"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"


def _listed(names: Sequence[str], also: str = "") -> str:
    return ", ".join([*(f"`{name}`" for name in names), *([also] if also else [])]) or "nothing"


def topics_table() -> str:
    """Return the table of every topic: type, quality, speakers, listeners, meaning."""
    nodes = all_nodes()
    rows = []
    for name, row in TOPICS.items():
        speakers = [n.name for n in nodes if name in n.speaks]
        listeners = [n.name for n in nodes if name in n.hears]
        if name in SHARED_TOPICS:
            speakers = ["every node"]
        speakers += _OUTSIDE.get(name, [])
        rows.append(
            (
                f"`{name}`",
                f"`{row.type}`",
                next(label for label, qos in _QOS if qos is row.qos).lower(),
                ", ".join(speakers),
                ", ".join(listeners) or ("every node" if name == "/clock" else "consoles"),
                row.about,
            )
        )
    return table(("topic", "type", "quality", "from", "to", "what"), rows)


def quality_table() -> str:
    """Return what the names of the qualities of service mean."""
    return table(
        ("quality", "delivery", "late joiners get", "kept"),
        [(name.lower(), *_words(qos)) for name, qos in _QOS],
    )


def _words(qos: Qos) -> tuple[str, str, str]:
    late = "the kept samples" if qos.latched else "nothing"
    return ("reliable" if qos.reliable else "best effort", late, f"last {qos.depth}")


def nodes_table() -> str:
    """Return the short table of nodes for the README."""
    rows = [
        (
            f"[`{node.name}`](#{node.name})",
            _inputs(node),
            _outputs(node),
            ", ".join(f"`{p.name}`" for p in node.parameters),
        )
        for node in all_nodes()
    ]
    return table(("node", "in", "out", "parameters"), rows)


def node_sections() -> str:
    """Return a short section for each node for the README."""
    return "\n\n".join(map(_short_section, all_nodes()))


def _short_section(node: NodeFacts) -> str:
    facts = (
        f"In: {_inputs(node)}. Out: {_outputs(node)}. Runs in {_listed(node.places)}. "
        f"[Parameters](docs/nodes.md#{node.name})."
    )
    return f"### {node.name}\n\n{_wrapped(_summary(node))}\n\n{_wrapped(facts)}"


def _summary(node: NodeFacts) -> str:
    """Return the first paragraph and, where there are more, the first sentence after it."""
    first, _, rest = _about(node).partition("\n\n")
    second = re.split(r"(?<=\.)\s", rest, maxsplit=1)[0]
    return f"{first} {second}".strip()


def _wrapped(text: str) -> str:
    return textwrap.fill(
        " ".join(text.split()), 100, break_long_words=False, break_on_hyphens=False
    )


def events_table() -> str:
    """Return the table of events with the operator's next step, worst first."""
    order = sorted(EVENTS.items(), key=lambda item: (-item[1].severity, item[0]))
    return table(
        ("event", "severity", "meaning", "next step"),
        [(f"`{n}`", _SEVERITIES[e.severity], e.meaning, e.next_step) for n, e in order],
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; bars inside cells are escaped."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in rows]
    return "\n".join(lines)
