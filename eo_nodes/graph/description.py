"""The description of the graph as values: read from YAML, checked, frozen.

Not here: what a profile makes of it (`plan`) and how processes are run (`supervise`, launch/).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from eo_nodes.contracts.errors import ConfigError

ALL_DOMAINS = "all"
HIGHEST_DOMAIN_ID = 101  # above it, DDS ports reach into the ephemeral range of Linux
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NAMESPACE = re.compile(r"(/[a-z][a-z0-9_]*)+")

ParameterValue = bool | int | float | str | list[Any]


@dataclass(frozen=True, slots=True)
class Restart:
    """When a dead process is started again.

    Attributes:
        attempts: restarts within the window, >= 0; after that it stays down.
        window_s: s, > 0.
        delays_s: before the first, second, ... restart; the last one repeats.
    """

    attempts: int
    window_s: float
    delays_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Process:
    """Nodes that share one process, in order.

    Attributes:
        name: within its kind of segment.
        nodes: names of nodes.
        domains: node -> segments in whose domain it has an instance; for simulation only.
        environment: on top of the graph's.
        silence_s: in place of the graph's; 0 for that.
    """

    name: str
    nodes: tuple[str, ...]
    domains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    silence_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of segment consists of.

    Attributes:
        package: Python package of its ``container`` and of its nodes' modules.
        processes: in order of start.
    """

    package: str
    processes: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A satellite, the ground, or the simulated world.

    Attributes:
        namespace: absolute ROS namespace.
        domain_id: of DDS, 0 to 101, no two segments share one (M36).
        parameters: YAML files, relative to the project, later ones win.
        settings: ``parameter`` or ``node.parameter`` -> value, for its nodes and for those that
            the simulation has in its domain; they win over the files.
        serves: of a ground segment: the space segment at the other end of its link.
    """

    name: str
    kind: str
    namespace: str
    domain_id: int
    parameters: tuple[str, ...]
    settings: Mapping[str, ParameterValue] = field(default_factory=dict)
    serves: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """One way to run the graph.

    Attributes:
        segments: in order of bring-up.
        without: nodes left out.
        parameters: for all nodes.
    """

    name: str
    about: str
    segments: tuple[str, ...]
    without: tuple[str, ...]
    parameters: Mapping[str, ParameterValue]


@dataclass(frozen=True, slots=True)
class Graph:
    """All of config/graph.yaml.

    Attributes:
        silence_s: without a heartbeat, after which a node that beat is lost (M35).
        grace_s: from the signal to stop to SIGKILL.
        bring_up_timeout_s: for all nodes together.
        environment: of every process.
    """

    restart: Restart
    silence_s: float
    grace_s: float
    bring_up_timeout_s: float
    environment: Mapping[str, str]
    kinds: Mapping[str, Kind]
    segments: Mapping[str, Segment]
    profiles: Mapping[str, Profile]


class _Reader:
    """One mapping of the file; knows its place, and which keys nobody asked for."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise ConfigError(f"{place}: is {type(value).__name__}, a mapping is needed")
        self._left = dict(value)
        self.place = place

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """Return the value of a key; a default of None makes it required."""
        if key not in self._left:
            if default is None:
                raise ConfigError(f"{self.place}.{key}: is missing")
            return default
        value = self._left.pop(key)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(item.__name__ for item in kinds)
            raise ConfigError(f"{self.place}.{key}: is {value!r:.60}, {wanted} is needed")
        return value

    def names(self, key: str, default: list[str] | None = None) -> tuple[str, ...]:
        """Return a list of distinct names."""
        values = self.take(key, list, default)
        for value in values:
            _check_name(value, f"{self.place}.{key}")
        if len(set(values)) != len(values):
            raise ConfigError(f"{self.place}.{key}: names something twice")
        return tuple(values)

    def strings(self, key: str) -> dict[str, str]:
        """Return a mapping of strings to strings, empty when absent."""
        values = self.take(key, dict, {})
        for name, value in values.items():
            if not (isinstance(name, str) and isinstance(value, str)):
                raise ConfigError(f"{self.place}.{key}.{name}: put {value!r} in quotes")
        return dict(values)

    def parts(self, key: str) -> list[tuple[str, _Reader]]:
        """Return the entries of a mapping of mappings, in order."""
        values = self.take(key, dict)
        result = []
        for name, value in values.items():
            _check_name(name, f"{self.place}.{key}")
            result.append((name, _Reader(value, f"{self.place}.{key}.{name}")))
        return result

    def positive(self, key: str) -> float:
        """Return a number above 0."""
        value = float(self.take(key, (int, float)))
        if not 0 < value < float("inf"):
            raise ConfigError(f"{self.place}.{key}: is {value}, must be above 0")
        return value

    def done(self) -> None:
        """Refuse keys that nobody read: mostly typing errors."""
        if self._left:
            raise ConfigError(f"{self.place}: unknown key {', '.join(map(str, self._left))}")


def _check_name(value: Any, place: str) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ConfigError(f"{place}: {value!r} is no name (lower case, digits, underscores)")


def load_graph(path: Path) -> Graph:
    """Read and check a description.

    Raises:
        ConfigError: with the place in the file and what is wrong there.
    """
    try:
        return parse_graph(yaml.safe_load(path.read_text()))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no YAML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_graph(document: Any) -> Graph:
    """Turn the parsed YAML into values, with every reference checked.

    Raises:
        ConfigError: with the place and what is wrong there.
    """
    top = _Reader(document, "graph")
    if top.take("version", int) != 1:
        raise ConfigError("graph.version: only version 1 is known")
    graph = Graph(
        restart=_restart(_Reader(top.take("restart", dict), "graph.restart")),
        silence_s=_single(top, "bond", "silence_s"),
        grace_s=_single(top, "shutdown", "grace_s"),
        bring_up_timeout_s=_single(top, "bring_up", "timeout_s"),
        environment=top.strings("environment"),
        kinds={name: _kind(part) for name, part in top.parts("kinds")},
        segments={name: _segment(name, part) for name, part in top.parts("segments")},
        profiles={name: _profile(name, part) for name, part in top.parts("profiles")},
    )
    top.done()
    _check_references(graph)
    return graph


def _single(top: _Reader, key: str, name: str) -> float:
    part = _Reader(top.take(key, dict), f"graph.{key}")
    value = part.positive(name)
    part.done()
    return value


def _restart(part: _Reader) -> Restart:
    attempts = part.take("attempts", int)
    delays = part.take("delays_s", list)
    if attempts < 0:
        raise ConfigError(f"{part.place}.attempts: is {attempts}, must be at least 0")
    if not delays or not all(isinstance(item, int | float) and item >= 0 for item in delays):
        raise ConfigError(f"{part.place}.delays_s: needs numbers, at least one, none below 0")
    result = Restart(attempts, part.positive("window_s"), tuple(map(float, delays)))
    part.done()
    return result


def _kind(part: _Reader) -> Kind:
    processes = tuple(_process(name, item) for name, item in part.parts("processes"))
    result = Kind(part.take("package", str), processes)
    part.done()
    nodes = [node for process in processes for node in process.nodes]
    if len(set(nodes)) != len(nodes):
        raise ConfigError(f"{part.place}.processes: a node stands in two processes")
    return result


def _process(name: str, part: _Reader) -> Process:
    nodes = part.names("nodes")
    if not nodes:
        raise ConfigError(f"{part.place}.nodes: is empty")
    domains: dict[str, tuple[str, ...]] = {}
    for node, value in part.take("domains", dict, {}).items():
        if node not in nodes:
            raise ConfigError(f"{part.place}.domains: {node!r} is no node of this process")
        domains[node] = (ALL_DOMAINS,) if value == ALL_DOMAINS else tuple(value)
    silence_s = float(part.take("silence_s", (int, float), 0.0))
    if not 0 <= silence_s < float("inf"):
        raise ConfigError(f"{part.place}.silence_s: is {silence_s}, must be at least 0")
    result = Process(name, nodes, domains, part.strings("environment"), silence_s)
    part.done()
    return result


def _segment(name: str, part: _Reader) -> Segment:
    result = Segment(
        name=name,
        kind=part.take("kind", str),
        namespace=part.take("namespace", str),
        domain_id=part.take("domain_id", int),
        parameters=tuple(part.take("parameters", list, [])),
        settings=dict(part.take("settings", dict, {})),
        serves=part.take("serves", str, ""),
    )
    part.done()
    if not _NAMESPACE.fullmatch(result.namespace):
        raise ConfigError(f"{part.place}.namespace: {result.namespace!r} is no absolute name")
    if not 0 <= result.domain_id <= HIGHEST_DOMAIN_ID:
        raise ConfigError(f"{part.place}.domain_id: must be 0 to {HIGHEST_DOMAIN_ID}")
    return result


def _profile(name: str, part: _Reader) -> Profile:
    result = Profile(
        name=name,
        about=part.take("about", str),
        segments=part.names("segments"),
        without=part.names("without", []),
        parameters=dict(part.take("parameters", dict, {})),
    )
    part.done()
    if not result.segments:
        raise ConfigError(f"{part.place}.segments: is empty")
    return result


def _check_settings(graph: Graph, segment: Segment, place: str) -> None:
    """Refuse settings of nodes that are neither the segment's nor the simulation's."""
    known = {
        node
        for name, kind in graph.kinds.items()
        for process in kind.processes
        for node in (process.nodes if name == segment.kind else process.domains)
    }
    for key in segment.settings:
        node, separator, _ = str(key).partition(".")
        if separator and node not in known:
            raise ConfigError(f"{place}.{key}: there is no node {node!r} in it")


def _check_references(graph: Graph) -> None:
    seen: dict[int, str] = {}
    for segment in graph.segments.values():
        place = f"graph.segments.{segment.name}"
        if segment.kind not in graph.kinds:
            raise ConfigError(f"{place}.kind: there is no kind {segment.kind!r}")
        if segment.domain_id in seen:
            other = seen[segment.domain_id]
            raise ConfigError(f"{place}.domain_id: {other} has it too; domains keep them apart")
        seen[segment.domain_id] = segment.name
        if segment.serves and segment.serves not in graph.segments:
            raise ConfigError(f"{place}.serves: there is no segment {segment.serves!r}")
        _check_settings(graph, segment, f"{place}.settings")
    for kind, item in graph.kinds.items():
        for process in item.processes:
            for node, places in process.domains.items():
                unknown = set(places) - set(graph.segments) - {ALL_DOMAINS}
                if unknown:
                    raise ConfigError(
                        f"graph.kinds.{kind}.processes.{process.name}.domains.{node}: "
                        f"there is no segment {', '.join(sorted(unknown))}"
                    )
    nodes = {node for kind in graph.kinds.values() for p in kind.processes for node in p.nodes}
    for profile in graph.profiles.values():
        place = f"graph.profiles.{profile.name}"
        for name in profile.segments:
            if name not in graph.segments:
                raise ConfigError(f"{place}.segments: there is no segment {name!r}")
        for name in profile.without:
            if name not in nodes:
                raise ConfigError(f"{place}.without: there is no node {name!r}")
