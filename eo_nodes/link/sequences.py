"""Sequence counts as telemetry: gaps, duplicates, late arrivals, restarts of the peer (M11)."""

from __future__ import annotations

from typing import Final

_WINDOW: Final = 64
_WINDOW_MASK: Final = (1 << _WINDOW) - 1
_RESYNC_RUN: Final = 8


class SequenceTracker:
    """Follows one sequence count. It judges, it never drops: what to do is the caller's business.

    A count ahead of the expected one is a gap of that many; a missing one that still comes within
    the last 64 closes its gap again. Eight counts in a row that follow each other behind the
    window mean that the peer started anew.
    """

    __slots__ = ("_backward_next", "_backward_run", "_expected", "_modulus", "_seen", "duplicates",
                 "gaps", "resyncs")

    def __init__(self, modulus: int) -> None:
        self._modulus = modulus
        self._expected = -1
        self._seen = 0  # bit i set: expected - 1 - i was received
        self._backward_next = -1
        self._backward_run = 0
        self.gaps = 0
        self.duplicates = 0
        self.resyncs = 0

    def observe(self, sequence: int) -> bool:
        """Note that ``sequence`` (0..modulus-1) arrived; True when it was the one expected."""
        if sequence == self._expected:
            self._seen = (self._seen << 1 | 1) & _WINDOW_MASK
            self._expected = (sequence + 1) % self._modulus
            return True
        if self._expected < 0:
            self._restart(sequence)
            return True
        ahead = (sequence - self._expected) % self._modulus
        if ahead < self._modulus // 2:
            self.gaps += ahead
            self._seen = (self._seen << min(ahead + 1, _WINDOW) | 1) & _WINDOW_MASK
            self._expected = (sequence + 1) % self._modulus
        else:
            self._observe_behind(sequence, self._modulus - ahead - 1)
        return False

    def _observe_behind(self, sequence: int, age: int) -> None:
        if age < _WINDOW and not self._seen >> age & 1:
            self._seen |= 1 << age
            # A count that was never counted missing (before the first) closes nothing.
            self.gaps = max(0, self.gaps - 1)
            return
        follows = sequence == self._backward_next
        self._backward_run = self._backward_run + 1 if follows else 1
        self._backward_next = (sequence + 1) % self._modulus
        if self._backward_run >= _RESYNC_RUN:
            self.resyncs += 1
            # What looked like duplicates was the beginning of the new count.
            self.duplicates -= _RESYNC_RUN - 1
            self._restart(sequence)
        else:
            self.duplicates += 1

    def _restart(self, sequence: int) -> None:
        # Everything before the first count is taken as received: nobody knows of it.
        self._seen = _WINDOW_MASK
        self._expected = (sequence + 1) % self._modulus
        self._backward_run = 0
        self._backward_next = -1
