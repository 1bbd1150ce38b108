"""Decide when simulated time may move, and how far. No ROS, no threads.

Theory of operation: each node reports, after every callback, how many messages it has sent and
received on each topic, and its next own wake-up. The graph is quiet at time t when no node has
a wake-up at or before t left, and every subscriber has received as many messages on each topic
as all publishers together have sent. A report is made at the end of a callback, so what a
callback sends is counted together with what it received: a message under way, or one being
handled, always shows as a difference. When the graph is quiet, time moves to the earliest
wake-up.

A node that starts (again) gets a baseline: what had been sent before it could listen is not
expected of it. The baseline is taken when reports have been still for a while (real time).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from eo_nodes.contracts.values import Idle


@dataclass(slots=True)
class Report:
    """What one run of the lock-step did."""

    steps: int = 0
    stalls: int = 0
    baselines: int = 0
    missing: list[str] = field(default_factory=list)


class Lockstep:
    """Coordinator of one simulated clock.

    Args:
        expected: fully qualified names of all nodes that must report before time moves.
        start_ns: first time.
        settle_ns: reports must be still this long, real time, before a baseline is taken.
        stall_ns: no report for this long while something is awaited: go on without it.
    """

    def __init__(
        self,
        expected: frozenset[str],
        start_ns: int,
        *,
        settle_ns: int = 300_000_000,
        stall_ns: int = 30_000_000_000,
    ) -> None:
        self.now_ns = start_ns
        self.report = Report()
        self._expected = expected
        self._settle_ns = settle_ns
        self._stall_ns = stall_ns
        self._latest: dict[str, Idle] = {}
        self._sent: dict[tuple[str, int], dict[str, int]] = {}
        self._baseline: dict[tuple[str, str], int] = {}
        self._settling = True
        self._last_change_ns = 0

    def on_idle(self, idle: Idle, monotonic_ns: int) -> None:
        """Take in a report; older ones of the same incarnation are ignored."""
        known = self._latest.get(idle.node)
        if known is not None:
            if idle.incarnation < known.incarnation:
                return
            if idle.incarnation == known.incarnation and idle.sequence <= known.sequence:
                return
        if known is None or idle.incarnation != known.incarnation:
            self._settling = True
        self._latest[idle.node] = idle
        self._sent[idle.node, idle.incarnation] = dict(
            zip(idle.sent_topics, idle.sent, strict=True)
        )
        self._last_change_ns = monotonic_ns

    def missing(self) -> list[str]:
        """Names of expected nodes that have not reported yet."""
        return sorted(self._expected - self._latest.keys())

    def poll(self, monotonic_ns: int) -> int | None:
        """Return the next time when the graph is quiet, else None.

        Returns 0 when it is quiet and no node has any wake-up left.
        """
        if self.missing():
            return None
        quiet_for_ns = monotonic_ns - self._last_change_ns
        if self._settling:
            if quiet_for_ns < self._settle_ns:
                return None
            self._take_baseline()
        awaited = self._awaited()
        if awaited:
            if quiet_for_ns >= self._stall_ns:
                self.report.stalls += 1
                self.report.missing.extend(awaited[:20])
                self._give_up()
                self._last_change_ns = monotonic_ns
            return None
        wakes = [idle.wake_ns for idle in self._latest.values() if idle.wake_ns]
        return min(wakes, default=0)

    def advance(self, to_ns: int) -> None:
        """Record that the clock was set to a time given by `poll` (or earlier)."""
        self.now_ns = max(self.now_ns, to_ns)
        self.report.steps += 1

    def awaited(self) -> list[str]:
        """Say what keeps time from moving, for people."""
        return self.missing() or self._awaited()

    def _totals(self) -> dict[str, int]:
        totals: dict[str, int] = {}
        for counts in self._sent.values():
            for topic, count in counts.items():
                totals[topic] = totals.get(topic, 0) + count
        return totals

    def _take_baseline(self) -> None:
        totals = self._totals()
        for name, idle in self._latest.items():
            for topic, received in zip(idle.received_topics, idle.received, strict=True):
                self._baseline[name, topic] = totals.get(topic, 0) - received
        self._settling = False
        self.report.baselines += 1

    def _give_up(self) -> None:
        """Go on without what is missing: messages, and wake-ups of nodes that do not answer."""
        for name, idle in self._latest.items():
            if idle.wake_ns and idle.wake_ns <= self.now_ns:
                self._latest[name] = replace(idle, wake_ns=0)  # until it reports again
        self._take_baseline()

    def _awaited(self) -> list[str]:
        totals = self._totals()
        awaited = []
        for name, idle in self._latest.items():
            if idle.wake_ns and idle.wake_ns <= self.now_ns:
                awaited.append(f"{name} has not run its wake-up")
            for topic, received in zip(idle.received_topics, idle.received, strict=True):
                offset = self._baseline.get((name, topic))
                if offset is not None and received + offset < totals.get(topic, 0):
                    awaited.append(f"{name} lacks {totals[topic] - offset - received} of {topic}")
        return awaited
