"""A leak between the DDS domains would be found: real endpoints and processes, one made to leak.

What looks is test/support/leaks.py; test/system/test_leaks.py points it at the whole graph.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("cyclonedds")

from leaks import endpoints, foreign, stray

from eo_nodes.console.participant import Participant

SUPPORT = Path(__file__).parents[1] / "support"
WAIT_S = 60.0
# Below those of the benches: higher ones have their ports among those the kernel hands out.
SAT, GROUND = 80 + os.getpid() % 5, 85 + os.getpid() % 5


def seen_within(domain, namespace, expected, spin=time.sleep):
    """Return the endpoints of a domain once an expected one is among them."""
    participant = Participant(domain, namespace)
    deadline_s = time.monotonic() + WAIT_S
    while expected not in (names := endpoints(participant)):
        assert time.monotonic() < deadline_s, f"{expected} is not among {sorted(names)}"
        spin(0.05)
    return names


@contextlib.contextmanager
def wanderer(*domains):
    """Run a node of sat1 in some domains."""
    environment = {
        **os.environ,
        "FASTDDS_DEFAULT_PROFILES_FILE": str(SUPPORT.parents[1] / "config/dds/shm_small.xml"),
    }
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT / "wanderer.py"), *map(str, domains)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline().strip() == "ready"
        yield process.pid
    finally:
        process.stdin.close()
        try:
            process.wait(WAIT_S)
        finally:
            process.kill()


def test_m36_a_space_node_that_speaks_on_a_ground_topic_is_found(bench_of):
    from eo_nodes.contracts.topics import TOPICS
    from eo_nodes.nodes.convert import message_type
    from eo_nodes.nodes.qos import profile
    from eo_nodes.nodes.tasking_node import Tasking

    bench = bench_of(140)
    node = bench.start(Tasking)
    spin = bench.executor.spin_once
    assert foreign(seen_within(bench.domain, "/test", "rt/test/request", spin), "test") == set()

    row = TOPICS["answer"]
    node.create_publisher(message_type(row.type), "/ground/answer", profile(row.qos))
    names = seen_within(bench.domain, "/test", "rt/ground/answer", spin)
    assert foreign(names, "test") == {"ground"}


def test_m36_a_space_node_that_keeps_to_its_domain_is_not_blamed():
    with wanderer(SAT) as pid:
        assert foreign(seen_within(SAT, "/sat1", "rt/sat1/answer"), "sat1") == set()
        assert stray(pid, {SAT}) == {"UDP": set(), "shared memory": set()}


def test_m36_a_space_node_that_joins_the_ground_domain_is_found():
    with wanderer(SAT, GROUND) as pid:
        assert foreign(seen_within(GROUND, "/ground", "rt/sat1/answer"), "ground") == {"sat1"}
        assert stray(pid, {SAT}) == {"UDP": {GROUND}, "shared memory": {GROUND}}
        assert stray(pid, {SAT, GROUND}) == {"UDP": set(), "shared memory": set()}


def test_m36_a_process_that_shows_nothing_is_not_called_clean():
    with (
        subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
        ) as idle,
        pytest.raises(AssertionError, match="no UDP"),
    ):
        stray(idle.pid, {SAT})
