"""Calls that will happen at a time, in order of time; the first asked for comes first."""

from __future__ import annotations

import heapq
from collections.abc import Callable

_PRUNE_AT = 64


class Wakeup:
    """A call that will happen at a time; `cancel` undoes it."""

    __slots__ = ("call", "due_ns")

    def __init__(self, due_ns: int, call: Callable[[], None] | None) -> None:
        self.due_ns = due_ns
        self.call = call

    def cancel(self) -> None:
        """Forget the call."""
        self.call = None


class Wakeups:
    """The calls of one node."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Wakeup]] = []
        self._counter = 0
        self._prune_at = _PRUNE_AT

    def add(self, due_ns: int, call: Callable[[], None]) -> Wakeup:
        """Plan a call."""
        wakeup = Wakeup(due_ns, call)
        self._counter += 1
        heapq.heappush(self._heap, (due_ns, self._counter, wakeup))
        if len(self._heap) > self._prune_at:
            self._prune()
        return wakeup

    def next_ns(self) -> int:
        """Return when the next call is due; 0 when there is none."""
        while self._heap and self._heap[0][2].call is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else 0

    def take_due(self, now_ns: int) -> Callable[[], None] | None:
        """Take the next call that is due, or None."""
        self.next_ns()  # what is cancelled is gone from the head
        if self._heap and self._heap[0][0] <= now_ns:
            return heapq.heappop(self._heap)[2].call
        return None

    def clear(self) -> None:
        """Forget all calls."""
        self._heap.clear()

    def _prune(self) -> None:
        """Drop what is cancelled: a deadline set anew with each message lies days ahead."""
        self._heap = [item for item in self._heap if item[2].call is not None]
        heapq.heapify(self._heap)
        self._prune_at = max(_PRUNE_AT, 2 * len(self._heap))
