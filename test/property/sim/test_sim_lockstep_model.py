"""The lock-step against a model of message passing: time never moves over something under way.

Nodes answer messages with more messages and set wake-ups; transport delivers in any order between
pairs, and reports reach the coordinator as late as chance likes. Whenever the coordinator lets
time move, the model looks into every queue.
"""

import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_nodes.contracts.values import Idle
from eo_sim.lockstep import Lockstep

START_NS = 1_000
SETTLE_NS = 1_000_000


class Model:
    """Nodes, queues between them, and one coordinator.

    Args:
        seed: of everything that is left to chance.
        nodes, topics: how many.
        forgets_to_count: a node sends without counting: what the lock-step must not survive.
    """

    def __init__(self, seed, nodes, topics, forgets_to_count=False):
        self.chance = random.Random(seed)
        self.forgets = forgets_to_count
        self.names = [f"n{i}" for i in range(nodes)]
        self.topics = [f"/t{i}" for i in range(topics)]
        self.speaks = {n: self.some_topics() for n in self.names}
        self.listens = {n: self.some_topics() for n in self.names}
        self.lockstep = Lockstep(
            frozenset(self.names), START_NS, settle_ns=SETTLE_NS, stall_ns=10**15
        )
        self.real_ns = 0
        self.budget = 200  # messages in all: every run ends
        self.joined = []
        self.lives = {}
        self.flying, self.reports = {}, {}
        self.steps = []
        for name in self.names:
            self.join(name)
        self.settle()

    def some_topics(self):
        return [t for t in self.topics if self.chance.random() < 0.6] or self.topics[:1]

    def join(self, name, incarnation=1):
        """Begin a life: nothing sent before reaches it."""
        self.lives[name] = {
            "incarnation": incarnation, "sequence": 0, "clock": self.lockstep.now_ns,
            "wakes": [], "sent": dict.fromkeys(self.speaks[name], 0),
            "received": dict.fromkeys(self.listens[name], 0),
        }  # fmt: skip
        if name not in self.joined:
            self.joined.append(name)
        for topic in self.listens[name]:
            self.flying[topic, name] = deque()
        self.reports.setdefault(name, deque())
        self.lives[name]["wakes"].append(self.lockstep.now_ns + self.chance.randrange(1, 50))
        self.say_idle(name)

    # -- what a node does, as the node base class does it ----------------------------------------

    def work(self, name):
        life = self.lives[name]
        for _ in range(self.chance.choice((0, 0, 1, 1, 2))):
            if self.budget > 0:
                self.budget -= 1
                topic = self.chance.choice(self.speaks[name])
                if not (self.forgets and self.chance.random() < 0.5):
                    life["sent"][topic] += 1
                for other in self.joined:
                    if topic in self.listens[other]:
                        self.flying[topic, other].append(life["clock"])
        if self.budget > 0 and self.chance.random() < 0.4:
            life["wakes"].append(life["clock"] + self.chance.randrange(0, 30))

    def end_of_callback(self, name):
        life = self.lives[name]
        while due := [w for w in life["wakes"] if w <= life["clock"]]:
            life["wakes"].remove(min(due))
            self.work(name)
        self.say_idle(name)

    def say_idle(self, name):
        life = self.lives[name]
        life["sequence"] += 1
        self.reports[name].append(
            Idle(
                node=name, incarnation=life["incarnation"], sequence=life["sequence"],
                clock_ns=life["clock"], wake_ns=min(life["wakes"], default=0),
                sent_topics=tuple(life["sent"]), sent=tuple(life["sent"].values()),
                received_topics=tuple(life["received"]), received=tuple(life["received"].values()),
            )
        )  # fmt: skip

    # -- what chance does -------------------------------------------------------------------------

    def deliver(self, key):
        topic, name = key
        life = self.lives[name]
        life["clock"] = max(life["clock"], self.flying[key].popleft())
        life["received"][topic] += 1
        self.work(name)
        self.end_of_callback(name)

    def tick(self, name):
        self.lives[name]["clock"] = max(self.lives[name]["clock"], self.lockstep.now_ns)
        self.end_of_callback(name)

    def report(self, name):
        self.lockstep.on_idle(self.reports[name].popleft(), self.real_ns)

    def under_way(self):
        return sum(map(len, self.flying.values()))

    def turn(self):
        """Let one thing happen; True when the run is over."""
        self.real_ns += 1
        choices = [(self.deliver, key) for key, queue in self.flying.items() if queue]
        choices += [(self.report, name) for name, queue in self.reports.items() if queue]
        choices += [
            (self.tick, name)
            for name in self.joined
            if self.lives[name]["clock"] < self.lockstep.now_ns
        ]
        choices.append((self.poll, None))
        call, arg = self.chance.choice(choices)
        return call(arg)

    def poll(self, _):
        target_ns = self.lockstep.poll(self.real_ns)
        if target_ns is None:
            return False
        late = [n for n in self.joined if min(self.lives[n]["wakes"], default=2**62)
                <= self.lockstep.now_ns]  # fmt: skip
        assert (self.under_way(), late) == (0, []), f"time moved to {target_ns} over work"
        if target_ns == 0:
            assert all(not life["wakes"] for life in self.lives.values())
            return True
        assert target_ns > self.lockstep.now_ns
        assert target_ns == min(w for life in self.lives.values() for w in life["wakes"])
        self.steps.append(target_ns)
        self.lockstep.advance(target_ns)
        return False

    def settle(self):
        """Everything under way arrives, then reports are still for long enough."""
        while self.under_way() or any(self.reports.values()):
            for key in [key for key, queue in self.flying.items() if queue]:
                self.deliver(key)
            for name, queue in self.reports.items():
                while queue:
                    self.report(name)
        self.real_ns += SETTLE_NS
        self.poll(None)  # as the clock does every few ms

    def run(self, restart_at=()):
        for turn in range(60_000):
            if turn in restart_at:
                # Killed: what was sent to it is gone, its last reports may still come.
                name = self.chance.choice(self.names)
                self.join(name, self.lives[name]["incarnation"] + 1)
                self.settle()
            if self.turn():
                return
        raise AssertionError(f"time stood still: {self.lockstep.awaited()}")


@settings(max_examples=25, derandomize=True, deadline=None)
@given(seed=st.integers(0, 10**6), nodes=st.integers(1, 5), topics=st.integers(1, 4))
def test_time_never_moves_while_a_message_is_under_way(seed, nodes, topics):
    model = Model(seed, nodes, topics)
    model.run()
    assert model.steps == sorted(set(model.steps))


@settings(max_examples=20, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    nodes=st.integers(2, 4),
    restarts=st.lists(st.integers(5, 600), min_size=1, max_size=4),
)
def test_m18_time_goes_on_over_restarts(seed, nodes, restarts):
    Model(seed, nodes, 3).run(restart_at=frozenset(restarts))


def test_model_catches_a_node_that_does_not_count():
    """The model can fail: uncounted messages let time move over them."""
    with pytest.raises(AssertionError):
        for seed in range(20):
            Model(seed, 3, 2, forgets_to_count=True).run()
