"""A node of a satellite in one DDS domain, and in others if asked: a leak, for tests to find.

    python wanderer.py DOMAIN [DOMAIN ...]

It stays until its standard input ends.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROFILE = Path(__file__).resolve().parents[2] / "config/dds/shm_small.xml"


@contextlib.contextmanager
def wandering(*domains: int) -> Iterator[subprocess.Popen[str]]:
    """Run it in a process for the length of a with block."""
    process = subprocess.Popen(
        [sys.executable, __file__, *map(str, domains)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "FASTDDS_DEFAULT_PROFILES_FILE": str(PROFILE)},
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline().strip() == "ready"
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(60)
        finally:
            process.kill()


def main() -> None:
    """Join the domains, say so, wait."""
    import rclpy

    from eo_nodes.contracts.topics import TOPICS
    from eo_nodes.nodes.convert import message_type
    from eo_nodes.nodes.qos import profile

    row = TOPICS["answer"]
    made = []
    for domain in map(int, sys.argv[1:]):
        context = rclpy.Context()
        rclpy.init(args=[], context=context, domain_id=domain)
        node = rclpy.create_node("wanderer", namespace="/sat1", context=context)
        node.create_publisher(message_type(row.type), "answer", profile(row.qos))
        made.append((node, context))
    print("ready", flush=True)
    sys.stdin.read()
    for node, context in made:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


if __name__ == "__main__":
    main()
