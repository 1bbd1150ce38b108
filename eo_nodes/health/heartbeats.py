"""Liveness as work done: late beats warn, missing ones are an error (M17).

Every time is an injected monotonic clock: a clock set or an orbit clock at another rate makes
no node late (M28). A node that beats but has jobs pending and does none counts as late, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eo_nodes.contracts.values import Heartbeat

ALIVE = "alive"
LATE = "late"
LOST = "lost"

# Events of `contracts.events` for each change of level.
EVENT_OF_LEVEL = {LATE: "NODE_LATE", LOST: "NODE_LOST", ALIVE: "NODE_ACTIVE"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A node changed its level.

    Attributes:
        node: which.
        level: alive, late or lost.
        silence_ns: since its last sign of work.
    """

    node: str
    level: str
    silence_ns: int


@dataclass(slots=True)
class _Watch:
    incarnation: int
    work: int
    seen_ns: int
    worked_ns: int
    level: str = ALIVE


class HeartbeatMonitor:
    """Levels of all nodes.

    Args:
        nodes: expected from the start; others are watched from their first beat.
        late_ns: silence after which a node is late.
        lost_ns: silence after which it is lost, > late_ns.
        stall_ns: jobs pending without work after which it is late; inference may take long.
        now_ns: monotonic, now.
    """

    def __init__(
        self, nodes: Iterable[str], late_ns: int, lost_ns: int, stall_ns: int, now_ns: int
    ) -> None:
        self._late_ns = late_ns
        self._lost_ns = lost_ns
        self._stall_ns = stall_ns
        self._watches = {node: _Watch(0, 0, now_ns, now_ns) for node in nodes}

    def on_heartbeat(self, heartbeat: Heartbeat, now_ns: int) -> None:
        """Take a beat; one of an earlier incarnation of the node counts for nothing."""
        watch = self._watches.setdefault(heartbeat.node, _Watch(0, 0, now_ns, now_ns))
        if heartbeat.incarnation < watch.incarnation:
            return
        is_new = heartbeat.incarnation > watch.incarnation
        if is_new or heartbeat.work > watch.work or heartbeat.pending == 0:
            watch.worked_ns = now_ns
        watch.incarnation = heartbeat.incarnation
        watch.work = heartbeat.work
        watch.seen_ns = now_ns

    def forget(self, node: str) -> None:
        """Stop watching a node that was stopped on purpose."""
        self._watches.pop(node, None)

    def check(self, now_ns: int) -> list[Finding]:
        """Return the changes since the last check."""
        findings = []
        for node, watch in sorted(self._watches.items()):
            silence_ns = now_ns - watch.seen_ns
            level = ALIVE
            if silence_ns >= self._lost_ns:
                level = LOST
            elif silence_ns >= self._late_ns or now_ns - watch.worked_ns >= self._stall_ns:
                level = LATE
            if level != watch.level:
                watch.level = level
                findings.append(Finding(node, level, silence_ns))
        return findings

    def levels(self) -> dict[str, str]:
        """Return the level of each node as of the last check."""
        return {node: watch.level for node, watch in self._watches.items()}
