"""One satellite's downlink queue in a replay: ranks, one product at a time, resumed after LOS.

Theory of operation: the link is a curve of bytes it can have carried by a time (``world.Link``).
The transmitter stands at a position on that curve. To advance to a time is to spend the bytes
between, product by product; nothing is stepped, so the cost is linear in products and contacts.
A product that LOS cuts goes on first in the next contact, as CFDP class 2 does. Only what waits
is held here: of a product that is down the caller takes its positions away with ``drain``.
"""

from __future__ import annotations

import heapq
from collections import deque

from .policy import LAST_RANK, RANKS, REFINE_RANK
from .world import Link


class Downlink:
    """The queue and the transmitter."""

    def __init__(self, link: Link, *, is_lifo: bool = False) -> None:
        self.link = link
        self._is_lifo = is_lifo
        self._times, self._sent = link.times_s, link.sent_bytes
        self._knot = 1
        self._queues: list[deque[int]] = [deque() for _ in range(RANKS)]
        self._queued = [0.0] * RANKS
        self._total = 0.0
        self._lowest = RANKS
        self._current, self._left, self._start, self._size = -1, 0.0, 0.0, 0.0
        self._coming: list[tuple[float, int, int]] = []  # ready at, number, rank
        self.position = 0.0
        self.now_s = 0.0
        self._count = 0
        self._sizes: dict[int, float] = {}
        self._down: list[tuple[int, float, float]] = []

    def advance(self, time_s: float) -> None:
        """Send until a time, not before the last; what is ready by then is queued on the way."""
        coming = self._coming
        while coming and coming[0][0] <= time_s:
            ready_s, number, rank = heapq.heappop(coming)
            self._send_until(ready_s)
            self._enqueue(number, rank)
        self._send_until(time_s)

    def _send_until(self, time_s: float) -> None:
        self.now_s = time_s
        limit = self._bytes_by(time_s)
        while True:
            if self._current < 0:
                if self.position >= limit:
                    return  # nothing is begun before it can be sent: more urgent may come
                self._current = self._pop()
                if self._current < 0:
                    self.position = limit
                    return
                self._size = self._left = self._sizes.pop(self._current)
                self._start = self.position
            if self._left > limit - self.position:
                self._left -= limit - self.position
                self.position = limit
                return
            self.position += self._left
            self._down.append((self._current, self._start, self.position))
            self._current, self._left = -1, 0.0

    def add(self, time_s: float, size_bytes: float, rank: int) -> int:
        """Queue a product at a time, now or later; returns its number."""
        number = self._count
        self._count += 1
        self._sizes[number] = size_bytes
        if time_s > self.now_s:
            heapq.heappush(self._coming, (time_s, number, rank))
        else:
            self._enqueue(number, rank)
        return number

    def _enqueue(self, number: int, rank: int) -> None:
        size_bytes = self._sizes[number]
        self._queues[rank].append(number)
        self._queued[rank] += size_bytes
        self._total += size_bytes
        self._lowest = min(self._lowest, rank)

    def _pop(self) -> int:
        while self._lowest < RANKS:
            queue = self._queues[self._lowest]
            if queue:
                number = queue.pop() if self._is_lifo else queue.popleft()
                size = self._sizes[number]
                self._queued[self._lowest] -= size
                self._total -= size
                return number
            self._lowest += 1
        return -1

    def _bytes_by(self, time_s: float) -> float:
        times, knot = self._times, self._knot
        while knot < len(times) - 1 and times[knot] <= time_s:
            knot += 1
        self._knot = knot
        t0, t1 = times[knot - 1], times[knot]
        b0, b1 = self._sent[knot - 1], self._sent[knot]
        return b0 + (b1 - b0) * (min(time_s, t1) - t0) / (t1 - t0)

    def drain(self) -> list[tuple[int, float, float]]:
        """What came down since the last call: number, and positions of its first and last byte."""
        found, self._down = self._down, []
        return found

    def begun(self) -> tuple[int, float]:
        """Number of the product that is being sent, -1 for none, and how much of it is down."""
        return self._current, self._size - self._left if self._current >= 0 else 0.0

    # -- what a policy may ask (policy.LinkView) -------------------------------------------------

    def ahead_bytes(self, rank: int = LAST_RANK) -> float:
        """Queued before a product of this rank, with what is being sent."""
        if self._lowest > rank:
            return self._left
        return self._left + sum(self._queued[self._lowest : rank + 1])

    def queued_bytes(self) -> float:
        """All that waits, with what is being sent, without what anything may overtake."""
        return self._left + self._total - sum(self._queued[REFINE_RANK:])

    def eta_s(self, size_bytes: float, rank: int = LAST_RANK) -> float:
        """Seconds until the last of so many bytes is down; inf: not in this window."""
        goal = self.position + self.ahead_bytes(rank) + size_bytes
        return self.link.time_of(goal) - self.now_s
