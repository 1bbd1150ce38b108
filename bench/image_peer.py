"""One end of the image benchmark, a process of its own, ordered by lines of JSON on its input.

    python -m bench.image_peer nodes|reference  send|receive  DOMAIN_ID

``nodes``: a lifecycle node of ours on each end, with its executor, its quality of service and its
conversions: bytes to ``array.array`` when sending, ``bytes`` and a NumPy view as camera_ingest
makes them when receiving. ``reference``: the plain rclpy program that the limit compares with:
``array.array`` in, ``array.array`` viewed by NumPy out, single-threaded executor.

An order is ``{"bytes": N, "count": K}``; the answer has K latencies (from before the message is
filled to a NumPy view of it in the callback, one clock for both ends) and the seconds they took.
One message is in flight: the next one leaves when the receiver acknowledged the last one.
"""

from __future__ import annotations

import array
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import UInt64

from eo_nodes.contracts.topics import STREAM, TOPICS, VIEWS, Topic
from eo_nodes.nodes.base import EoNode
from eo_nodes.nodes.runner import make_executor

_WIDTH = 1000
_ACK_S = 5.0
_OURS = {
    "bench_image": Topic("sensor_msgs/Image", VIEWS, "images between the two ends"),
    "bench_ack": Topic("std_msgs/UInt64", STREAM, "latency of one image, ns"),
}
Handler = Callable[[Any], None]


class Peer(EoNode):
    """One of our nodes; topics as in the table, quality of service of the views."""

    def __init__(self, topics_out: str, topics_in: str, handler: Handler) -> None:
        self._out, self._in, self._handler = topics_out, topics_in, handler
        super().__init__(f"peer_of_{topics_in}")

    def configure(self) -> None:
        """Speak on one topic, listen on the other."""
        self.speak(self._out)
        self.listen(self._in, self._handler)


def as_array(pixels: NDArray[np.uint8]) -> array.array[int]:
    """Fill an ``array.array``, the one type that the field takes without a loop in Python."""
    data = array.array("B")
    data.frombytes(pixels.data)
    return data


def ours_in(message: Any) -> NDArray[np.uint8]:
    """Pixels as camera_ingest takes them."""
    return np.frombuffer(bytes(message.data), np.uint8)


def reference_in(message: Any) -> NDArray[np.uint8]:
    """Pixels as a view of the field."""
    return np.frombuffer(message.data, np.uint8)


def make_end(
    kind: str, role: str, handler: Handler
) -> tuple[Node, Callable[[Any], None], Callable[[float], None]]:
    """Build a node; return it, how it publishes, and a call that handles one event or waits."""
    out, heard = ("bench_image", "bench_ack") if role == "send" else ("bench_ack", "bench_image")
    if kind == "nodes":
        TOPICS.update(_OURS)
        peer = Peer(out, heard, handler)
        executor = make_executor()
        executor.add_node(peer)
        peer.trigger_configure()
        peer.trigger_activate()
        return peer, lambda message: peer.publish(out, message), executor.spin_once
    node = rclpy.create_node(f"peer_of_{heard}")
    qos = QoSProfile(depth=4, reliability=ReliabilityPolicy.RELIABLE)
    types: dict[str, tuple[Any, Any]] = {"bench_image": (Image, qos), "bench_ack": (UInt64, 100)}
    publisher = node.create_publisher(types[out][0], out, types[out][1])
    node.create_subscription(types[heard][0], heard, handler, types[heard][1])
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    return node, publisher.publish, executor.spin_once


def receive(kind: str) -> None:
    """Acknowledge every image with its latency, until the input ends."""
    pixels_of = ours_in if kind == "nodes" else reference_in
    publish: list[Callable[[Any], None]] = []

    def on_image(message: Any) -> None:
        pixels = pixels_of(message)
        sent_ns = int.from_bytes(pixels[:8].tobytes(), sys.byteorder)
        publish[0](UInt64(data=time.monotonic_ns() - sent_ns))

    _, publish_one, spin_once = make_end(kind, "receive", on_image)
    publish.append(publish_one)
    threading.Thread(target=_end_with_input, daemon=True).start()
    while True:
        spin_once(1.0)


def send(kind: str) -> None:
    """Follow the orders on standard input."""
    latencies: list[int] = []
    node, publish, spin_once = make_end(kind, "send", lambda ack: latencies.append(ack.data))
    while not (node.count_subscribers("bench_image") and node.count_publishers("bench_ack")):
        spin_once(0.05)
    time.sleep(0.5)  # both ends know the topics; now their endpoints match
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pixels = np.random.default_rng(0).integers(0, 256, order["bytes"], dtype=np.uint8)
        message = Image(height=pixels.size // _WIDTH, width=_WIDTH, step=_WIDTH, encoding="8UC1")
        latencies.clear()
        lost, began_s = 0, time.monotonic()
        for number in range(order["count"]):
            pixels[:8].view(np.uint64)[0] = time.monotonic_ns()
            message.data = as_array(pixels)
            publish(message)
            limit_s = time.monotonic() + _ACK_S
            while len(latencies) + lost <= number:
                spin_once(0.05)
                if time.monotonic() > limit_s:
                    lost += 1
        elapsed_s = time.monotonic() - began_s
        reply = {"latency_ns": latencies, "elapsed_s": elapsed_s, "lost": lost}
        print(json.dumps(reply), flush=True)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)  # a benchmark's helper process: nothing to save


def main() -> None:
    """Run one end."""
    kind, role, domain_id = sys.argv[1:4]
    rclpy.init(domain_id=int(domain_id))
    if role == "send":
        send(kind)
    else:
        receive(kind)


if __name__ == "__main__":
    main()
