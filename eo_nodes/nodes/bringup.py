"""Bring lifecycle nodes up in order, up again after a restart, and down in reverse.

    python -m eo_nodes.nodes.bringup --node 41:/sat1/tasking --silence-s 15 --node ...

It speaks to several DDS domains, one context each, and only by the standard lifecycle services.
Each step is one JSON line on standard output. A node that does not come, or refuses, is
reported and tried again; the others go on without it (a satellite without its camera is still
a satellite). A node that somebody else deactivated is left as it is.

It also holds the bond to each node: one that beat and then stays silent for its ``--silence-s``
is reported as lost. Who runs the processes then kills the one it lives in (M35): what hangs
answers no lifecycle service.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from eo_nodes.contracts.topics import TOPICS
from eo_nodes.graph.steps import LOST
from eo_nodes.health.bonds import Bonds

from .convert import message_type
from .qos import profile

_POLL_S = 0.02
_RETRY_S = 0.5  # between attempts of a node that refused
_STATE_S = 1.0  # for the answer to "what is your state"
_WATCH_S = 1.0  # between looks at each node once the graph is up
_MEND_S = 20.0  # for one node to come up again before the others get a look
_STOP_S = 4.0  # for all deactivations together
_SILENCE_S = 15.0
_REST_S = 0.1  # at rest, between looks for the stop
_LISTEN_NS = 500_000_000
Say = Callable[..., None]


class Domain:
    """One DDS domain: context, executor and nodes of its own.

    Nobody spins `ears`: what it hears waits in its queues until it is taken, and wakes no one.
    """

    def __init__(self, domain_id: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(
            args=[],
            context=self.context,
            domain_id=domain_id,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.node = rclpy.create_node(
            f"bringup_{domain_id}",
            context=self.context,
            use_global_arguments=False,
            enable_rosout=False,  # logging knows one context; steps go to standard output
        )
        self.ears = rclpy.create_node(
            f"bringup_{domain_id}_ears",
            context=self.context,
            use_global_arguments=False,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def close(self) -> None:
        """Leave the domain."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.ears.destroy_node()
        rclpy.try_shutdown(context=self.context)


@dataclass(slots=True)
class Managed:
    """A node under management.

    Attributes:
        was_active: it reached active in its present life.
        retry_at_s: monotonic time before which it is left alone.
        is_reported: its trouble has been said once.
    """

    name: str
    domain: Domain
    change: Any
    look: Any
    was_active: bool = False
    retry_at_s: float = 0.0
    is_reported: bool = False


class Bringup:
    """Manager of the given nodes.

    Args:
        nodes: (domain id, fully qualified name) -> s of silence after which it is lost, in order
            of bring-up.
        say: called with ``stage=..., node=...`` for each step.
    """

    def __init__(self, nodes: Mapping[tuple[int, str], float], say: Say) -> None:
        self.is_stopping = False
        self._say = say
        self._domains = {number: Domain(number) for number, _ in nodes}
        self._nodes = [self._manage(self._domains[number], name) for number, name in nodes]
        limits_ns = {node: round(silence_s * 1e9) for node, silence_s in nodes.items()}
        self._bonds = Bonds(limits_ns, time.monotonic_ns())
        self._listened_ns = 0
        self._heartbeats = {
            (number, namespace): self._listen(number, namespace)
            for number, namespace in {(number, name.rpartition("/")[0]) for number, name in nodes}
        }

    def _listen(self, domain_id: int, namespace: str) -> Any:
        """Subscribe to the heartbeats of a segment in a domain."""
        row = TOPICS["heartbeat"]
        return self._domains[domain_id].ears.create_subscription(
            message_type(row.type), f"{namespace}/heartbeat", lambda _: None, profile(row.qos)
        )

    @staticmethod
    def _manage(domain: Domain, name: str) -> Managed:
        change: Any = domain.node.create_client(ChangeState, f"{name}/change_state")
        look: Any = domain.node.create_client(GetState, f"{name}/get_state")
        return Managed(name, domain, change, look)

    def bring_up(self, timeout_s: float) -> bool:
        """Configure all nodes, then activate them, each in order.

        Returns:
            Whether all are active; those that are not stay under watch.
        """
        start_s = time.monotonic()
        # Half of the time is for configuring: one node that never comes must not keep the
        # others from becoming active.
        for node in self._nodes:
            self._reach(node, State.PRIMARY_STATE_INACTIVE, start_s + timeout_s / 2)
        for node in self._nodes:
            if not node.is_reported or node.look.service_is_ready():
                self._reach(node, State.PRIMARY_STATE_ACTIVE, start_s + timeout_s)
        missing = [node.name for node in self._nodes if not node.was_active]
        elapsed_s = round(time.monotonic() - start_s, 3)
        if not self.is_stopping:
            self._say(stage="degraded" if missing else "up", missing=missing, elapsed_s=elapsed_s)
        return not missing

    def watch(self) -> None:
        """Bring restarted nodes up again until asked to stop."""
        while not self.is_stopping:
            for node in self._nodes:
                if not self.is_stopping and node.look.service_is_ready():
                    self._mend(node)
            self._rest(_WATCH_S)

    def bring_down(self) -> None:
        """Deactivate in reverse order whatever is active, within a few seconds."""
        self.is_stopping = False  # calls below may wait again
        deadline_s = time.monotonic() + _STOP_S
        for node in reversed(self._nodes):
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not (node.was_active and node.change.service_is_ready()):
                continue
            if self._change(node, Transition.TRANSITION_DEACTIVATE, min(left_s, 1.5)):
                self._say(stage="inactive", node=node.name)

    def close(self) -> None:
        """Leave all domains."""
        for domain in self._domains.values():
            domain.close()

    def _mend(self, node: Managed) -> None:
        """Look at one node, and lift it when it is in a new life or never got up."""
        state = self._state(node)
        if state == State.PRIMARY_STATE_UNCONFIGURED and node.was_active:
            node.was_active = False
            self._say(stage="reappeared", node=node.name)
        if state is not None and not node.was_active and time.monotonic() >= node.retry_at_s:
            self._reach(node, State.PRIMARY_STATE_ACTIVE, time.monotonic() + _MEND_S)

    def _reach(self, node: Managed, target: int, deadline_s: float) -> None:
        while not self.is_stopping:
            if time.monotonic() > deadline_s:
                if not node.is_reported:
                    node.is_reported = True
                    self._say(stage="late", node=node.name)
                return
            if not node.look.service_is_ready() or time.monotonic() < node.retry_at_s:
                self._rest(_POLL_S)
                continue
            state = self._state(node)
            if state == State.PRIMARY_STATE_ACTIVE:
                self._is_active(node)
                return
            if state == target:
                return
            self._step(node, state, target, deadline_s - time.monotonic())

    def _step(self, node: Managed, state: int | None, target: int, timeout_s: float) -> None:
        """Do the next transition towards the target, once."""
        if state == State.PRIMARY_STATE_UNCONFIGURED:
            transition, stage = Transition.TRANSITION_CONFIGURE, "configured"
        elif state == State.PRIMARY_STATE_INACTIVE and target == State.PRIMARY_STATE_ACTIVE:
            transition, stage = Transition.TRANSITION_ACTIVATE, "active"
        else:
            return
        if not self._change(node, transition, timeout_s):
            if not self.is_stopping:
                node.retry_at_s = time.monotonic() + _RETRY_S
                self._say(stage="refused", node=node.name, transition=stage)
        elif stage == "active":
            self._is_active(node)
        else:
            self._say(stage=stage, node=node.name)

    def _is_active(self, node: Managed) -> None:
        if not node.was_active:
            node.was_active = True
            node.is_reported = False
            self._say(stage="active", node=node.name)

    def _state(self, node: Managed) -> int | None:
        """Ask for the state; None when there is no answer in time (a busy node)."""
        reply = self._call(node, node.look, GetState.Request(), _STATE_S)
        return None if reply is None else int(reply.current_state.id)

    def _change(self, node: Managed, transition: int, timeout_s: float) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        reply = self._call(node, node.change, request, timeout_s, is_transition=True)
        return reply is not None and bool(reply.success)

    def _call(
        self,
        node: Managed,
        client: Any,
        request: Any,
        timeout_s: float,
        is_transition: bool = False,
    ) -> Any:
        """Call and wait; None without an answer.

        A process that dies in a transition never answers, but its successor does, saying that
        it is unconfigured. So ask for the state meanwhile; while a transition runs, a living
        node does not answer that either.
        """
        future = client.call_async(request)
        deadline_s = time.monotonic() + timeout_s
        ask_at_s = time.monotonic() + 2 * _STATE_S
        question = None
        while not future.done() and not self.is_stopping and time.monotonic() < deadline_s:
            node.domain.executor.spin_once(timeout_sec=_POLL_S)
            self._watch_bonds()
            if is_transition and time.monotonic() > ask_at_s:
                if question is not None and question.done() and not future.done():
                    break
                question = question or node.look.call_async(GetState.Request())
        if question is not None:
            node.look.remove_pending_request(question)
        if future.done():
            return future.result()
        client.remove_pending_request(future)
        return None

    def _rest(self, duration_s: float) -> None:
        """Wait, and let discovery and late answers in."""
        deadline_s = time.monotonic() + duration_s
        while not self.is_stopping and (left_s := deadline_s - time.monotonic()) > 0:
            for domain in self._domains.values():
                domain.executor.spin_once(timeout_sec=min(left_s, _REST_S))
            self._watch_bonds()

    def _watch_bonds(self) -> None:
        """Take the heartbeats that came, now and then, and say which nodes are lost."""
        if time.monotonic_ns() - self._listened_ns < _LISTEN_NS:
            return
        self._listened_ns = time.monotonic_ns()
        for (number, namespace), heartbeats in self._heartbeats.items():
            queue, kind = heartbeats.handle, heartbeats.msg_type
            with queue:
                while (taken := queue.take_message(kind, False)) is not None:
                    node = (number, f"{namespace}/{taken[0].node}")
                    self._bonds.on_beat(node, taken[0].incarnation)
        for lost in self._bonds.check(time.monotonic_ns()):
            self._say(stage=LOST, node=lost.node[1], silence_s=round(lost.silence_ns / 1e9, 1))


def print_line(**fields: Any) -> None:
    """Say a step as one JSON line."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def parse_node(text: str) -> tuple[int, str]:
    """Read ``DOMAIN:/fully/qualified/name``."""
    number, separator, name = text.partition(":")
    if not (separator and number.isdigit() and name.startswith("/")):
        raise argparse.ArgumentTypeError(f"{text!r} is not DOMAIN:/NAME")
    return int(number), name


def main(argv: list[str] | None = None) -> None:
    """Bring up, watch until SIGINT or SIGTERM, bring down."""
    stop_asked: list[int] = []
    manager: list[Bringup] = []

    def on_signal(number: int, _frame: object) -> None:
        stop_asked.append(number)
        if manager:
            manager[0].is_stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--node", type=parse_node, action="append", required=True, dest="nodes")
    parser.add_argument(
        "--silence-s", type=float, action="append", default=[], help="one for each --node, in order"
    )
    parser.add_argument("--timeout-s", type=float, default=60.0)
    # `ros2 launch` adds arguments for ROS, which mean nothing here.
    options, _ = parser.parse_known_args(argv)
    limits_s = options.silence_s or [_SILENCE_S] * len(options.nodes)
    if len(limits_s) != len(options.nodes):
        parser.error("--silence-s: one for each --node, or none")
    bringup = Bringup(dict(zip(options.nodes, limits_s, strict=True)), print_line)
    manager.append(bringup)
    bringup.is_stopping = bool(stop_asked)
    try:
        bringup.bring_up(options.timeout_s)
        bringup.watch()
        bringup.bring_down()
    finally:
        bringup.close()


if __name__ == "__main__":
    main()
