"""Merged map of byte ranges: what is held, what is missing (M2)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class RangeMap:
    """Set of integers kept as sorted, disjoint, non-touching half-open ranges.

    Attributes:
        total: how many integers (octets) it holds.
    """

    __slots__ = ("_ends", "_starts", "total")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0
        for start, end in ranges:
            self.add(start, end)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))

    @property
    def end(self) -> int:
        """One past the highest integer held; 0 when empty."""
        return self._ends[-1] if self._ends else 0

    def add(self, start: int, end: int) -> int:
        """Add [start, end), 0 <= start <= end; return how many integers were new."""
        if start >= end:
            return 0
        ends = self._ends
        if ends and start == ends[-1]:  # the common case: the next segment in order
            ends[-1] = end
            self.total += end - start
            return end - start
        first = bisect_left(ends, start)
        last = bisect_right(self._starts, end)
        held = 0
        if first < last:
            held = sum(
                self._ends[i] - self._starts[i] for i in range(first, last)
            )
            start = min(start, self._starts[first])
            end = max(end, ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        new = end - start - held
        self.total += new
        return new

    def remove(self, start: int, end: int) -> None:
        """Take [start, end) out."""
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        if start >= end or first >= last:
            return
        kept = [
            (a, b)
            for a, b in (
                (self._starts[first], min(start, self._ends[first])),
                (max(end, self._starts[last - 1]), self._ends[last - 1]),
            )
            if a < b
        ]
        taken = sum(self._ends[i] - self._starts[i] for i in range(first, last))
        self.total -= taken - sum(b - a for a, b in kept)
        self._starts[first:last] = [a for a, _ in kept]
        self._ends[first:last] = [b for _, b in kept]

    def first(self) -> tuple[int, int] | None:
        """Return the lowest range, or None when empty."""
        return (self._starts[0], self._ends[0]) if self._starts else None

    def __contains__(self, value: int) -> bool:
        index = bisect_right(self._starts, value) - 1
        return index >= 0 and value < self._ends[index]

    def gaps(self, scope_start: int, scope_end: int) -> Iterator[tuple[int, int]]:
        """Yield what is missing of [scope_start, scope_end), lowest first."""
        cursor = scope_start
        for index in range(bisect_right(self._ends, scope_start), len(self._starts)):
            if self._starts[index] >= scope_end:
                break
            if self._starts[index] > cursor:
                yield cursor, self._starts[index]
            cursor = self._ends[index]
        if cursor < scope_end:
            yield cursor, scope_end
