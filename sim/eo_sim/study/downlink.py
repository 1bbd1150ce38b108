"""One satellite's downlink queue in a replay: one product at a time, resumed after LOS.

Theory of operation: the link is a curve of bytes it can have carried by a time (``world.Link``).
The transmitter stands at a position on that curve. To advance to a time is to spend the bytes
between, product by product; nothing is stepped, so the cost is linear in products and contacts.
The order is that of flight (``eo_nodes.downlink.order``): channel, lateness and priority make a
product's place; there the earliest deadline, the best value per byte, then the oldest or the newest
goes first. What is past its deadline when its turn comes goes behind. Unlike in flight nothing
overtakes a product that is being sent.
A product that LOS cuts goes on first in the next contact, as CFDP class 2 does. Only what waits
is held here: of a product that is down the caller takes its positions away with ``drain``.
"""

from __future__ import annotations

import heapq

from eo_nodes.downlink.order import NO_DEADLINE_NS, Place, within

from .config import S_NS
from .policy import ANSWER_RANK, FIRST_RANK, REFINE_RANK
from .world import Link

# Place, order within it, turn, number.
_Entry = tuple[Place, tuple[int, float], int, int]


class Downlink:
    """The queue and the transmitter."""

    def __init__(self, link: Link, *, is_lifo: bool = False) -> None:
        self.link = link
        self._is_lifo = is_lifo
        self._times, self._sent = link.times_s, link.sent_bytes
        self._knot, self._last = 1, len(link.times_s) - 1
        self._queue: list[_Entry] = []
        self._queued: dict[Place, float] = {}
        self._current, self._left, self._start, self._size = -1, 0.0, 0.0, 0.0
        self._coming: list[tuple[float, int, _Entry]] = []  # ready at, number
        self.position = 0.0
        self.now_s = 0.0
        self._count = 0
        self._sizes: dict[int, float] = {}
        self._down: list[tuple[int, float, float]] = []

    def advance(self, time_s: float) -> None:
        """Send until a time, not before the last; what is ready by then is queued on the way."""
        coming = self._coming
        while coming and coming[0][0] <= time_s:
            ready_s, _, entry = heapq.heappop(coming)
            self._send_until(ready_s)
            self._enqueue(entry)
        self._send_until(time_s)

    def _send_until(self, time_s: float) -> None:
        self.now_s = time_s
        times, knot = self._times, self._knot
        while knot < self._last and times[knot] <= time_s:
            knot += 1
        self._knot = knot
        # Bytes that the link can have carried by then.
        t0, t1 = times[knot - 1], times[knot]
        b0, b1 = self._sent[knot - 1], self._sent[knot]
        limit = b0 + (b1 - b0) * ((time_s if time_s < t1 else t1) - t0) / (t1 - t0)
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

    def add(
        self, time_s: float, size_bytes: float, rank: Place, value: float = 0.0,
        deadline_s: float = 0.0, product_bytes: float = 0.0,
    ) -> int:
        """Queue a product at a time, now or later; returns its number.

        Args:
            size_bytes: on the link. rank: its place in the queue. value, deadline_s: its order
            there; 0: none. product_bytes: that value is held against, without frame heads and
            repeats, which nobody knows before; 0: ``size_bytes``.
        """
        number = self._count
        self._count += 1
        self._sizes[number] = size_bytes
        order = within(value, product_bytes or size_bytes, round(deadline_s * S_NS))
        entry = (rank, order, -number if self._is_lifo else number, number)
        if time_s > self.now_s:
            heapq.heappush(self._coming, (time_s, number, entry))
        else:
            self._enqueue(entry)
        return number

    def _enqueue(self, entry: _Entry) -> None:
        heapq.heappush(self._queue, entry)
        rank = entry[0]
        self._queued[rank] = self._queued.get(rank, 0.0) + self._sizes[entry[3]]

    def _pop(self) -> int:
        while self._queue:
            (channel, is_late, priority), order, turn, number = heapq.heappop(self._queue)
            rank = channel, is_late, priority
            self._queued[rank] -= self._sizes[number]
            if self._queued[rank] < 0.5:  # nothing but rounding: what waits is whole bytes
                del self._queued[rank]
            if is_late or not self._is_past(order[0]):
                return number
            self._enqueue(((channel, 1, priority), order, turn, number))
        return -1

    def _is_past(self, deadline_ns: int) -> bool:
        """Whether a deadline is over where the transmitter stands."""
        return deadline_ns < NO_DEADLINE_NS and (
            self.position >= self.link.bytes_by(deadline_ns / S_NS)
        )

    def drain(self) -> list[tuple[int, float, float]]:
        """What came down since the last call: number, and positions of its first and last byte."""
        found, self._down = self._down, []
        return found

    def begun(self) -> tuple[int, float]:
        """Number of the product that is being sent, -1 for none, and how much of it is down."""
        return self._current, self._size - self._left if self._current >= 0 else 0.0

    # -- what a policy may ask (policy.LinkView) -------------------------------------------------

    def ahead_bytes(self, rank: Place = FIRST_RANK) -> float:
        """Queued before a product of this place, with what is being sent."""
        return self._left + sum(size for at, size in self._queued.items() if at <= rank)

    def queued_bytes(self) -> float:
        """All that waits, with what is being sent, without what is late."""
        return self._left + sum(size for at, size in self._queued.items() if not at[1])

    def ahead_of(self, rank: Place) -> tuple[float, float, float, float]:
        """As `ahead_bytes` before an answer, ``rank`` and a late product, and `queued_bytes`.

        In one pass, as ours asks for all four at every tap.
        """
        answers = before = late = in_time = 0.0
        for at, size in self._queued.items():
            if at <= REFINE_RANK:
                late += size
                if at <= rank:
                    before += size
                    if at <= ANSWER_RANK:
                        answers += size
            if not at[1]:
                in_time += size
        left = self._left
        return left + answers, left + before, left + late, left + in_time

    def eta_s(self, size_bytes: float, rank: Place = FIRST_RANK) -> float:
        """Seconds until the last of so many bytes is down; inf: not in this window."""
        goal = self.position + self.ahead_bytes(rank) + size_bytes
        return self.link.time_of(goal) - self.now_s
