"""From the description of the graph and a profile to the processes to run, in order.

Both ways of running the graph, `ros2 launch` and `spaceverse up`, start exactly what stands
here; they differ only in who watches the processes.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from eo_nodes.contracts.errors import ConfigError

from .description import (
    ALL_DOMAINS,
    Graph,
    ParameterValue,
    Process,
    Profile,
    Restart,
    Segment,
)
from .paths import project_file

BRINGUP_MODULE = "eo_nodes.nodes.bringup"
BRINGUP = "bringup"
_CLOCK = "orbit_clock"
_EXPECTED = "expected_nodes:="
_PROJECT_FILES = ("FASTDDS_DEFAULT_PROFILES_FILE",)
_EXECUTABLES = {
    "eo_nodes.nodes.container": "spaceverse_nodes",
    "eo_sim.nodes.container": "spaceverse_sim_nodes",
    BRINGUP_MODULE: "spaceverse_bringup",
}


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a run changes in its profile.

    Attributes:
        parameters: ``parameter`` for all nodes or ``node.parameter`` for one -> value; with
            ``segment/`` before it, only for nodes of that segment and of the simulation in its
            domain.
        segments: only these of the profile's; empty for all.
        without: more nodes to leave out.
        state_dir: folder for durable state; empty for the nodes' default.
        domain_offset: added to every domain id, and ten times to the UDP ports of the link, so
            that two graphs can run side by side.
        parameter_files: after the segments' own, for every process.
    """

    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    state_dir: str = ""
    domain_offset: int = 0
    parameter_files: tuple[str, ...] = ()


NO_OVERRIDES = Overrides()


@dataclass(frozen=True, slots=True)
class ManagedNode:
    """A lifecycle node as seen from outside.

    Attributes:
        name: fully qualified, e.g. ``/sat1/tasking``.
        domain_id: DDS domain that it lives in.
    """

    name: str
    domain_id: int


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process to run.

    Attributes:
        name: ``segment/process``, unique.
        segment: name of its segment; empty for the bring-up.
        module: run as ``python -m module``.
        executable: the same as an executable of the ROS package.
        arguments: of the module.
        ros_arguments: what follows ``--ros-args``: namespace, parameter files, and after them
            single parameters, which so win.
        environment: on top of what the caller has.
        nodes: managed nodes in it, in order of bring-up.
        silence_s: after which a node in it counts as lost, > 0.
    """

    name: str
    segment: str
    module: str
    executable: str
    arguments: tuple[str, ...]
    ros_arguments: tuple[str, ...]
    environment: Mapping[str, str]
    nodes: tuple[ManagedNode, ...]
    silence_s: float

    def argv(self, python: str = sys.executable) -> list[str]:
        """Return the command line for running it without a ROS distribution."""
        command = [python, "-m", self.module, *self.arguments]
        return [*command, "--ros-args", *self.ros_arguments] if self.ros_arguments else command


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        processes: in order of start; the bring-up is not among them.
        bringup: brings the nodes up in order, and up again after a restart.
        restart, grace_s, timeout_s: from the description.
    """

    profile: str
    processes: tuple[ProcessSpec, ...]
    bringup: ProcessSpec
    restart: Restart
    grace_s: float
    timeout_s: float

    @property
    def nodes(self) -> tuple[ManagedNode, ...]:
        """All managed nodes in order of bring-up."""
        return tuple(node for process in self.processes for node in process.nodes)

    def process_of(self, node: str) -> ProcessSpec | None:
        """Return the process that a node, fully qualified, lives in."""
        for process in self.processes:
            if any(item.name == node for item in process.nodes):
                return process
        return None


def make_plan(graph: Graph, profile_name: str, overrides: Overrides = NO_OVERRIDES) -> Plan:
    """Work out the processes of a profile.

    Raises:
        ConfigError: unknown profile, segment or node, or a file that is not there.
    """
    if profile_name not in graph.profiles:
        known = ", ".join(graph.profiles)
        raise ConfigError(f"there is no profile {profile_name!r}; known: {known}")
    profile = graph.profiles[profile_name]
    for name in overrides.segments:
        if name not in profile.segments:
            raise ConfigError(f"profile {profile_name} has no segment {name!r}")
    chosen = [
        graph.segments[name]
        for name in profile.segments
        if not overrides.segments or name in overrides.segments
    ]
    _check_nodes(graph, chosen, overrides)
    environment = _environment(graph.environment)
    processes = []
    for segment in chosen:
        for process in graph.kinds[segment.kind].processes:
            spec = _process(graph, profile, overrides, segment, process, chosen, environment)
            if spec is not None:
                processes.append(spec)
    if not processes:
        raise ConfigError(f"profile {profile_name} leaves nothing to run")
    processes = [_with_expected(process, processes) for process in processes]
    return Plan(
        profile=profile_name,
        processes=tuple(processes),
        bringup=_bringup(processes, graph.bring_up_timeout_s, environment),
        restart=graph.restart,
        grace_s=graph.grace_s,
        timeout_s=graph.bring_up_timeout_s,
    )


def leave_out(plan: Plan, names: Collection[str]) -> Plan:
    """Return a plan without some processes, e.g. those that used up their restarts."""
    left = [item for item in plan.processes if item.name not in names]
    processes = tuple(_with_expected(item, left) for item in left)
    bringup = _bringup(processes, plan.timeout_s, plan.bringup.environment)
    return replace(plan, processes=processes, bringup=bringup)


def _check_nodes(graph: Graph, chosen: list[Segment], overrides: Overrides) -> None:
    """Refuse overrides of nodes that the chosen segments do not have: typing errors."""
    known = {
        node
        for segment in chosen
        for process in graph.kinds[segment.kind].processes
        for node in process.nodes
    }
    for key in overrides.parameters:
        name, separator, _ = key.rpartition("/")
        if separator and name not in {segment.name for segment in chosen}:
            raise ConfigError(f"there is no segment {name!r} to change")
    keys = [key.rpartition("/")[2] for key in overrides.parameters]
    named = {key.split(".")[0] for key in keys if "." in key}
    for name in sorted(named | set(overrides.without)):
        if name not in known:
            raise ConfigError(f"there is no node {name!r} to change or leave out")


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    values = dict(environment)
    for name in _PROJECT_FILES:
        if name in values:
            values[name] = str(project_file(values[name]))
    return values


def _process(
    graph: Graph,
    profile: Profile,
    overrides: Overrides,
    segment: Segment,
    process: Process,
    chosen: Sequence[Segment],
    environment: Mapping[str, str],
) -> ProcessSpec | None:
    domains = {one.name: one.domain_id + overrides.domain_offset for one in chosen}
    left_out = {*profile.without, *overrides.without}
    names = [name for name in process.nodes if name not in left_out]
    if not names:
        return None
    outside = {name: domain for name, domain in domains.items() if name != segment.name}
    labels: list[str] = []
    managed: list[ManagedNode] = []
    for name in names:
        for place in _domains_of(process, name, segment, outside):
            labels.append(name if place == segment.name else f"{name}@{place}")
            managed.append(ManagedNode(f"{segment.namespace}/{name}", domains[place]))
    if not managed:
        return None
    arguments = ["--segment", segment.name, "--nodes", ",".join(labels)]
    if process.domains:
        arguments += ["--domains", _pairs(outside)]
        arguments += _of_other_segments(profile, overrides, segment, chosen, names)
    module = f"{graph.kinds[segment.kind].package}.container"
    files = [*map(project_file, segment.parameters), *map(_existing, overrides.parameter_files)]
    ros_arguments = ["-r", f"__ns:={segment.namespace}"]
    for file in files:
        ros_arguments += ["--params-file", str(file)]
    for name, value in _parameters(profile, overrides, segment, names).items():
        ros_arguments += ["-p", f"{name}:={json.dumps(value)}"]
    return ProcessSpec(
        name=f"{segment.name}/{process.name}",
        segment=segment.name,
        module=module,
        executable=_EXECUTABLES.get(module, module.split(".")[0] + "_nodes"),
        arguments=tuple(arguments),
        ros_arguments=tuple(ros_arguments),
        environment={
            **environment,
            **_environment(process.environment),
            "ROS_DOMAIN_ID": str(domains[segment.name]),
        },
        nodes=tuple(managed),
        silence_s=process.silence_s or graph.silence_s,
    )


def _with_expected(process: ProcessSpec, processes: Sequence[ProcessSpec]) -> ProcessSpec:
    """Tell a clock which nodes it must wait for in lock-step: ``domain:name`` of each."""
    if not any(node.name.endswith(f"/{_CLOCK}") for node in process.nodes):
        return process
    awaited = [
        f"{node.domain_id}:{node.name}"
        for one in processes
        for node in one.nodes
        if not node.name.endswith(f"/{_CLOCK}")
    ]
    said = f"{_EXPECTED}{json.dumps(awaited)}"
    arguments = list(process.ros_arguments)
    for index, argument in enumerate(arguments):
        if argument.startswith(_EXPECTED):  # the plan got smaller
            arguments[index] = said
            return replace(process, ros_arguments=tuple(arguments))
    return replace(process, ros_arguments=(*arguments, "-p", said))


def _existing(name: str) -> Path:
    path = Path(name).absolute()
    if not path.is_file():
        raise ConfigError(f"there is no parameter file {path}")
    return path


def _domains_of(
    process: Process, node: str, segment: Segment, outside: Mapping[str, int]
) -> tuple[str, ...]:
    """Segments in whose domain a node has an instance, as far as they take part."""
    places = process.domains.get(node, (segment.name,))
    if places == (ALL_DOMAINS,):
        return tuple(outside)
    return tuple(place for place in places if place in outside or place == segment.name)


def _of_other_segments(
    profile: Profile,
    overrides: Overrides,
    own: Segment,
    chosen: Sequence[Segment],
    names: list[str],
) -> list[str]:
    """What the simulation must know of the segments that it has nodes in."""
    links = {one.name: one.serves for one in chosen if one.serves}
    arguments = ["--serves", _pairs(links)] if links else []
    common = _parameters(profile, overrides, own, names)
    only: dict[str, dict[str, ParameterValue]] = {}
    for one in chosen:
        values = _parameters(profile, overrides, one, names)
        changed = {name: value for name, value in values.items() if common.get(name) != value}
        if one is not own and changed:
            only[one.name] = changed
    return [*arguments, "--only", json.dumps(only)] if only else arguments


def _pairs(values: Mapping[str, object]) -> str:
    return ",".join(f"{name}={value}" for name, value in values.items())


def _parameters(
    profile: Profile, overrides: Overrides, segment: Segment, names: list[str]
) -> dict[str, ParameterValue]:
    """Parameters of nodes that share a process; those of one node, and of one segment, win."""
    scope = f"{segment.name}/"
    given = {k: v for k, v in overrides.parameters.items() if "/" not in k}
    scoped = {
        k.removeprefix(scope): v for k, v in overrides.parameters.items() if k.startswith(scope)
    }
    layers = (profile.parameters, segment.settings, given, scoped)
    values = {k: v for layer in layers for k, v in layer.items() if "." not in k}
    if overrides.domain_offset:
        # The link's sockets move with the domains; each end takes ten ports.
        values.setdefault("port_offset", 10 * overrides.domain_offset)
    if overrides.state_dir:
        values["state_dir"] = str(Path(overrides.state_dir).absolute())
    for layer in layers:
        for key, value in layer.items():
            node, _, name = key.partition(".")
            if name and node in names:
                # rcl matches `-p NODE:NAME` against the node's full name, so it never fits below a
                # namespace: the parameter goes to the process; nodes that do not declare it ignore
                # it.
                values[name] = value
    return values


def _bringup(
    processes: Sequence[ProcessSpec], timeout_s: float, environment: Mapping[str, str]
) -> ProcessSpec:
    """The process that asks each node to configure and activate, in order.

    It needs no file: all it must know stands in its arguments, for the reader of a process list.
    """
    arguments = ["--timeout-s", f"{timeout_s:g}"]
    for process in processes:
        for node in process.nodes:
            arguments += ["--node", f"{node.domain_id}:{node.name}"]
            arguments += ["--silence-s", f"{process.silence_s:g}"]
    return ProcessSpec(
        name=BRINGUP,
        segment="",
        module=BRINGUP_MODULE,
        executable=_EXECUTABLES[BRINGUP_MODULE],
        arguments=tuple(arguments),
        ros_arguments=(),
        environment=dict(environment),
        nodes=(),
        silence_s=0.0,
    )


def die_with_parent(number: signal.Signals) -> list[str]:
    """Return a command prefix that has the kernel signal a process when its parent is gone.

    Empty where util-linux is not at hand.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", number.name.removeprefix("SIG"), "--"] if setpriv else []
