"""A leak between the DDS domains would be found: real endpoints and processes, one made to leak.

What looks is test/support/leaks.py; test/system/test_leaks.py points it at the whole graph.
"""

import os
import subprocess
import sys
import time

import pytest

pytest.importorskip("cyclonedds")

from leaks import endpoints, foreign, stray
from wanderer import wandering

from eo_nodes.console.participant import Participant

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
    with wandering(SAT) as process:
        assert foreign(seen_within(SAT, "/sat1", "rt/sat1/answer"), "sat1") == set()
        assert stray(process.pid, {SAT}) == {"UDP": set(), "shared memory": set()}


def test_m36_a_space_node_that_joins_the_ground_domain_is_found():
    with wandering(SAT, GROUND) as process:
        assert foreign(seen_within(GROUND, "/ground", "rt/sat1/answer"), "ground") == {"sat1"}
        assert stray(process.pid, {SAT}) == {"UDP": {GROUND}, "shared memory": {GROUND}}
        assert stray(process.pid, {SAT, GROUND}) == {"UDP": set(), "shared memory": set()}


def test_m36_a_process_that_shows_nothing_is_not_called_clean():
    with (
        subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
        ) as idle,
        pytest.raises(AssertionError, match="no UDP"),
    ):
        stray(idle.pid, {SAT})
