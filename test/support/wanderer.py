"""A node of a satellite in one DDS domain, and in others if asked: a leak, for tests to find.

    python wanderer.py DOMAIN [DOMAIN ...]

Says "ready" and stays until its standard input ends.
"""

import sys

import rclpy

from eo_nodes.contracts.topics import TOPICS
from eo_nodes.nodes.convert import message_type
from eo_nodes.nodes.qos import profile

if __name__ == "__main__":
    contexts, nodes = [], []
    for domain in map(int, sys.argv[1:]):
        contexts.append(rclpy.Context())
        rclpy.init(args=[], context=contexts[-1], domain_id=domain)
        nodes.append(rclpy.create_node("wanderer", namespace="/sat1", context=contexts[-1]))
        row = TOPICS["answer"]
        nodes[-1].create_publisher(message_type(row.type), "answer", profile(row.qos))
    print("ready", flush=True)
    sys.stdin.read()
    for node, context in zip(nodes, contexts, strict=True):
        node.destroy_node()
        rclpy.try_shutdown(context=context)
