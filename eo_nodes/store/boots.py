"""Counters that never go back: boots, and through them ids (M1, M29)."""

from __future__ import annotations

from dataclasses import dataclass

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.ids import IdFactory

from .records import RecordStore


@dataclass(frozen=True, slots=True)
class _Count:
    value: int = 0


class Counters:
    """Named counters, each kept in two rows: a flipped bit in one costs nothing (F7)."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self._table = store.table("counters", _Count)
        self._marks = store.table("counter_names", _Count)

    def value(self, name: str) -> int:
        """Return the last number given out, 0 before the first.

        Raises:
            StorageError: both rows are gone although the counter was used before.
        """
        rows = [self._table.get(f"{name}/{bank}") for bank in "ab"]
        values = [row.value for row in rows if row is not None]
        if not values and self._marks.get(name) is not None:
            raise StorageError(f"both rows of the counter {name} are lost")
        return max(values, default=0)

    def next(self, name: str) -> int:
        """Return the next number; it is on disk before it is returned, so none repeats."""
        with self._store.transaction():
            value = self.value(name) + 1
            for bank in "ab":
                self._table.put(f"{name}/{bank}", _Count(value))
            if value == 1:
                self._marks.put(name, _Count(1))
        return value


def open_ids(store: RecordStore, origin: str) -> IdFactory:
    """Count one more boot of `origin` and return its id factory.

    Raises:
        StorageError: the count cannot be written.
    """
    return IdFactory(origin, Counters(store).next(f"boot.{origin}"))
