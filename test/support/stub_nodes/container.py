"""A process with minimal lifecycle nodes: stands where a container of real nodes would.

Takes the arguments of a container. Environment of a test: STUB_DIE_AT_START makes it exit
with status 3 before it has any node, STUB_CONFIGURE_S makes configuring take that long.
SIGUSR1 makes it loop for ever, deaf to SIGTERM, as a hung library would.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

import rclpy
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from eo_nodes.contracts.topics import TOPICS
from eo_nodes.nodes.convert import message_type
from eo_nodes.nodes.qos import profile
from eo_nodes.nodes.runner import make_executor, spin


class Stub(LifecycleNode):
    """A node that does nothing but change its state and beat."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        row = TOPICS["heartbeat"]
        kind = message_type(row.type)
        beat = kind(node=name, incarnation=time.time_ns())
        self._beats = self.create_publisher(kind, "heartbeat", profile(row.qos))
        self.create_timer(0.5, lambda: self._beats.publish(beat))

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        time.sleep(float(os.environ.get("STUB_CONFIGURE_S", "0")))
        return TransitionCallbackReturn.SUCCESS


def _hang(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.01)


def main() -> int:
    """Run until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--segment", default="")
    parser.add_argument("--nodes", required=True)
    options, rest = parser.parse_known_args()
    if os.environ.get("STUB_DIE_AT_START"):
        return 3
    signal.signal(signal.SIGUSR1, _hang)
    rclpy.init(args=[sys.argv[0], *rest])
    if os.environ.get("STUB_IGNORES_SIGTERM"):  # now: rclpy.init puts its own handler there
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    nodes = [Stub(name) for name in options.nodes.split(",")]
    spin(nodes, make_executor())
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
