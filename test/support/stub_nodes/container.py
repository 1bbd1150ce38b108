"""A process with minimal lifecycle nodes: stands where a container of real nodes would.

Takes the arguments of a container. Environment of a test: STUB_DIE_AT_START makes it exit
with status 3 before it has any node, STUB_CONFIGURE_S makes configuring take that long.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn


class Stub(LifecycleNode):
    """A node that does nothing but change its state."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        time.sleep(float(os.environ.get("STUB_CONFIGURE_S", "0")))
        return TransitionCallbackReturn.SUCCESS


def main() -> int:
    """Run until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--segment", default="")
    parser.add_argument("--nodes", required=True)
    options, rest = parser.parse_known_args()
    if os.environ.get("STUB_DIE_AT_START"):
        return 3
    if os.environ.get("STUB_IGNORES_SIGTERM"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    rclpy.init(args=[sys.argv[0], *rest])
    executor = SingleThreadedExecutor()
    nodes = [Stub(name) for name in options.nodes.split(",")]
    try:
        for node in nodes:
            executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():
            raise
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
