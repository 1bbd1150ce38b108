"""One direction of a radio link as a modem sees it: rate, delay, loss, bit errors, silence.

A frame goes through the sender's modem buffer, is sent at the rate of the moment, travels at
the speed of light and arrives, perhaps damaged. Nothing passes outside a contact. Arrivals are
rounded up to a grid, so that simulated time has few steps; the grid is part of the scenario.
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass

S_NS = 1_000_000_000
# Beyond this many errors a frame is noise anyway; the draw stays cheap at high bit error rates.
_MOST_FLIPS = 64


@dataclass(frozen=True, slots=True)
class Faults:
    """What the channel does to frames.

    Attributes:
        loss: probability that a frame is lost, 0..1.
        bit_error_rate: probability that a bit is flipped, 0..0.5.
        seed: of both draws.
    """

    loss: float = 0.0
    bit_error_rate: float = 0.0
    seed: int = 0


@dataclass(slots=True)
class ChannelCounters:
    """What happened to frames and bytes."""

    offered: int = 0
    sent: int = 0
    sent_bytes: int = 0
    delivered: int = 0
    lost: int = 0
    damaged: int = 0
    outside_contact: int = 0
    overflowed: int = 0


class Channel:
    """A serial channel with a bounded buffer.

    Args:
        faults: loss and bit errors.
        grid_ns: arrivals are rounded up to multiples of this.
        buffer_ns: frames that would wait longer than this in the modem are refused.
    """

    def __init__(self, faults: Faults, *, grid_ns: int, buffer_ns: int = 4 * S_NS) -> None:
        self.counters = ChannelCounters()
        self._faults = faults
        self._random = random.Random(faults.seed)
        self._grid_ns = grid_ns
        self._buffer_ns = buffer_ns
        self._free_at_ns = 0
        self._count = 0
        self._flying: list[tuple[int, int, bytes]] = []

    def push(self, frame: bytes, now_ns: int, rate_bps: float, delay_ns: int, los_ns: int) -> bool:
        """Offer a frame.

        Args:
            frame: bytes of the frame.
            now_ns: time of the offer.
            rate_bps: information rate now; 0 outside a contact.
            delay_ns: light time.
            los_ns: end of the contact; a frame not out by then is cut and lost.
        Returns:
            Whether the frame went on the air.
        """
        self.counters.offered += 1
        if rate_bps <= 0:
            self.counters.outside_contact += 1
            return False
        start_ns = max(now_ns, self._free_at_ns)
        if start_ns - now_ns > self._buffer_ns:
            self.counters.overflowed += 1
            return False
        end_ns = start_ns + round(len(frame) * 8 * S_NS / rate_bps)
        if end_ns > los_ns:
            self.counters.outside_contact += 1
            return False
        self._free_at_ns = end_ns
        self.counters.sent += 1
        self.counters.sent_bytes += len(frame)
        if self._random.random() < self._faults.loss:
            self.counters.lost += 1
            return True
        frame = self._damage(frame)
        arrival_ns = -(-(end_ns + delay_ns) // self._grid_ns) * self._grid_ns
        self._count += 1
        heapq.heappush(self._flying, (arrival_ns, self._count, frame))
        return True

    def due(self, now_ns: int) -> list[bytes]:
        """Take the frames that have arrived by now, in order of arrival."""
        arrived = []
        while self._flying and self._flying[0][0] <= now_ns:
            arrived.append(heapq.heappop(self._flying)[2])
        self.counters.delivered += len(arrived)
        return arrived

    def next_ns(self) -> int | None:
        """Return the time of the next arrival."""
        return self._flying[0][0] if self._flying else None

    def _damage(self, frame: bytes) -> bytes:
        rate = self._faults.bit_error_rate
        if rate <= 0:
            return frame
        bits = len(frame) * 8
        # Gaps between flips are geometric: the work follows the errors, not the bits.
        damaged = None
        position = -1
        scale = -math.log1p(-rate)
        for _ in range(_MOST_FLIPS):
            position += 1 + int(self._random.expovariate(scale))
            if position >= bits:
                break
            damaged = damaged or bytearray(frame)
            damaged[position // 8] ^= 1 << (position % 8)
        if damaged is None:
            return frame
        self.counters.damaged += 1
        return bytes(damaged)
