"""What the code says about nodes: topics read from the source, parameters from the classes.

Not here: how a page or a picture shows it. Topics are found by reading calls of ``speak`` and
``listen``, so no node has to run.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from dataclasses import dataclass
from typing import Any

import yaml

from eo_nodes.contracts.topics import TOPICS
from eo_nodes.graph.description import Graph, Process, load_graph
from eo_nodes.graph.paths import project_file
from eo_nodes.nodes.base import EoNode
from eo_nodes.nodes.parameters import Parameter

# Every node has these; they are told once.
SHARED_TOPICS = ("event", "heartbeat", "compute", "/idle")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node as its code describes it.

    Attributes:
        name: in config/graph.yaml.
        about: docstring of the module, paragraphs.
        module: dotted name.
        class_name: of the node.
        speaks, hears: topics of the table, besides `SHARED_TOPICS` spoken by all.
        services: names relative to the node, with their types.
        parameters: its own, without those of all nodes.
        places: ``segment/process`` of each place it runs in.
    """

    name: str
    about: str
    module: str
    class_name: str
    speaks: tuple[str, ...]
    hears: tuple[str, ...]
    services: tuple[tuple[str, str], ...]
    parameters: tuple[Parameter, ...]
    places: tuple[str, ...]


@functools.cache
def graph() -> Graph:
    """Return config/graph.yaml."""
    return load_graph(project_file("config/graph.yaml"))


@functools.cache
def all_nodes() -> tuple[NodeFacts, ...]:
    """Return every node of the graph once, in the order of the graph."""
    found: dict[str, tuple[str, list[str]]] = {}
    for kind, process, name in walk(graph()):
        found.setdefault(name, (graph().kinds[kind].package, []))[1].append(
            f"{kind}/{process.name}"
        )
    return tuple(_facts(name, package, tuple(at)) for name, (package, at) in found.items())


def walk(description: Graph) -> list[tuple[str, Process, str]]:
    """List (kind of segment, process, node) in order of start."""
    return [
        (kind_name, process, node)
        for kind_name, kind in description.kinds.items()
        for process in kind.processes
        for node in process.nodes
    ]


@functools.cache
def mission_values(kind: str) -> dict[str, dict[str, Any]]:
    """Return node -> parameter -> value of config/params for a kind of segment."""
    tree = yaml.safe_load(project_file(f"config/params/{kind}.yaml").read_text(encoding="utf-8"))
    return {name.removeprefix("/**/"): block["ros__parameters"] for name, block in tree.items()}


def _facts(name: str, package: str, places: tuple[str, ...]) -> NodeFacts:
    module = importlib.import_module(f"{package}.{name}_node")
    cls = next(
        item
        for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, EoNode) and item.__module__ == module.__name__
    )
    speaks: list[str] = []
    hears: list[str] = []
    services: list[tuple[str, str]] = []
    for ancestor in reversed(cls.__mro__):
        if issubclass(ancestor, EoNode):
            calls = _Calls()
            calls.visit(ast.parse(inspect.getsource(inspect.getmodule(ancestor) or module)))
            speaks += calls.spoken(ancestor.__name__)
            hears += calls.heard(ancestor.__name__)
            services += calls.services.get(ancestor.__name__, [])
    return NodeFacts(
        name=name,
        about=inspect.getdoc(module) or "",
        module=module.__name__,
        class_name=cls.__name__,
        speaks=_in_order(speaks, SHARED_TOPICS),
        hears=_in_order(hears, ()),
        services=tuple(services),
        parameters=cls.PARAMETERS,
        places=places,
    )


def _in_order(names: list[str], without: tuple[str, ...]) -> tuple[str, ...]:
    """Sort topics as the table does. Raises KeyError at a topic that the table lacks."""
    for name in names:
        TOPICS[name]
    return tuple(name for name in TOPICS if name in names and name not in without)


class _Calls(ast.NodeVisitor):
    """Collects calls of speak, listen and the like, by class."""

    def __init__(self) -> None:
        self.services: dict[str, list[tuple[str, str]]] = {}
        self._spoken: dict[str, list[str]] = {}
        self._heard: dict[str, list[str]] = {}
        self._class = ""
        self._loops: dict[str, list[str]] = {}

    def spoken(self, class_name: str) -> list[str]:
        """Topics that methods of a class itself publish."""
        return self._spoken.get(class_name, [])

    def heard(self, class_name: str) -> list[str]:
        """Topics that methods of a class itself subscribe to."""
        return self._heard.get(class_name, [])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Remember whose calls follow."""
        self._class = node.name
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        """Remember the keys that a loop variable of ``{...}.items()`` takes."""
        target, source = node.target, node.iter
        if (
            isinstance(target, ast.Tuple)
            and isinstance(target.elts[0], ast.Name)
            and isinstance(source, ast.Call)
            and isinstance(source.func, ast.Attribute)
            and isinstance(source.func.value, ast.Dict)
        ):
            self._loops[target.elts[0].id] = _texts(source.func.value.keys)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Take in one call."""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name == "speak":
            self._spoken.setdefault(self._class, []).extend(_texts(node.args))
        elif name == "listen" and node.args:  # a literal, or the variable of a loop over a dict
            first = node.args[0]
            if isinstance(first, ast.Name):
                topics = self._loops.get(first.id, [])
            else:
                topics = _texts([first])
            self._heard.setdefault(self._class, []).extend(topics)
        elif name == "create_subscription":  # of a topic that the base counts itself
            self._heard.setdefault(self._class, []).extend(
                topic for topic in _texts(node.args) if topic in TOPICS
            )
        elif name == "create_service":
            kind, service = node.args[0], _texts(node.args[1:2])
            if isinstance(kind, ast.Name) and service:
                self.services.setdefault(self._class, []).append((service[0], kind.id))
        self.generic_visit(node)


def _texts(nodes: Any) -> list[str]:
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
