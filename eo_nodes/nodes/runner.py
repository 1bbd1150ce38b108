"""Process entry of the nodes: one executor, signals end it with status 0."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

try:
    from rclpy.experimental import EventsExecutor
except ImportError:  # before Kilted
    EventsExecutor = SingleThreadedExecutor

_WAIT_S = 10.0


def make_executor(**options: Any) -> Any:
    """Return the executor that all processes use.

    The events executor takes a fifth of the CPU per message: the other one builds its wait set
    of every service, timer and subscription anew each time.
    """
    return EventsExecutor(**options)


def spin(nodes: Sequence[Node], executor: Any) -> None:
    """Spin nodes until the context ends; what a signal raises on the way is no error."""
    context = nodes[0].context
    try:
        for node in nodes:
            executor.add_node(node)
        is_settled = False
        while context.ok():
            # Never without a timeout: waiting for ever overflows a clock where the library was
            # built for an older glibc (the wheels), and the events executor then runs hot.
            executor.spin_once(timeout_sec=_WAIT_S)
            if not is_settled and all(getattr(node, "is_active", True) for node in nodes):
                is_settled = True
                _keep_what_is_there()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # A signal can end the context inside the executor, which then raises an RCLError
        # in place of ExternalShutdownException.
        if context.ok():
            raise


def _keep_what_is_there() -> None:
    """Take modules, models and topics out of the collector's sight; they stay to the end.

    It would go through all of them at each full collection (tens of ms), and therefore makes one
    only when a quarter as much has gathered: cycles of messages past would stay for minutes.
    """
    gc.collect()
    gc.freeze()


def run(factories: Sequence[Callable[[], Node]], args: Sequence[str] | None = None) -> int:
    """Run nodes in this process until SIGINT or SIGTERM; return the exit status."""
    rclpy.init(args=None if args is None else list(args))
    nodes: list[Node] = []
    try:
        nodes.extend(factory() for factory in factories)
        spin(nodes, make_executor())
    except KeyboardInterrupt:
        pass
    finally:
        for node in reversed(nodes):
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def main_of(factory: Callable[[], Node]) -> Callable[[], None]:
    """Make the console entry point of one node."""

    def main() -> None:
        sys.exit(run([factory]))

    return main
