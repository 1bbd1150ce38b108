"""One timer of the real clock, set for the earliest of many times.

A timer of its own for each wake-up costs about a millisecond: the executor starts a thread for
each clock and compares all its entities anew. So a node has one, and moves it only forward in
time: when it rings too early (the call that it was set for was cancelled), it is set again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.clock import Clock
from rclpy.node import Node

_SOONEST_NS = 100_000
_UNSET_S = 3600.0


class Alarm:
    """Calls back at about the time it was last set to, or earlier.

    Args:
        node: owns the timer.
        clock: a steady clock.
        ring: called from the executor; sets the alarm again for what is not yet due.
    """

    def __init__(self, node: Node, clock: Clock, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._due_ns = 0
        self._timer = node.create_timer(_UNSET_S, self._on_timer, clock=clock)
        self._timer.cancel()

    def set(self, due_ns: int) -> None:
        """Ring at `due_ns` (UTC of the machine) at the latest; 0 asks for nothing."""
        if not due_ns or (self._due_ns and self._due_ns <= due_ns):
            return
        self._due_ns = due_ns
        self._timer.timer_period_ns = max(due_ns - time.time_ns(), _SOONEST_NS)
        self._timer.reset()

    def _on_timer(self) -> None:
        self._due_ns = 0
        self._timer.cancel()
        self._ring()
