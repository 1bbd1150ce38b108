"""Durable state of file transfers, and the sequence counter that survives restarts (M1, M6)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from eo_nodes.contracts.errors import StorageError

from .boots import Counters
from .records import RecordStore

SEQUENCE_LIMIT = 2**32


@dataclass(frozen=True, slots=True)
class _Record:
    content: str = "{}"


class TransferStore:
    """What the link's handlers save between kills.

    Args:
        store: where the rows lie.
        entity: name of the CFDP entity; each has its own records and its own counter.
    """

    def __init__(self, store: RecordStore, entity: str = "local") -> None:
        self._table = store.table(f"transfers_{entity}", _Record)
        self._counters = Counters(store)
        self._counter = f"transfer.{entity}"

    def save(self, key: str, record: dict[str, Any]) -> None:
        """Create or replace one record of plain JSON; durable on return."""
        self._table.put(key, _Record(json.dumps(record, separators=(",", ":"))))

    def delete(self, key: str) -> None:
        """Remove one record; an absent key is no error."""
        self._table.delete(key)

    def load_all(self) -> dict[str, dict[str, Any]]:
        """Return every record; damaged ones are quarantined and left out (F7)."""
        return {key: json.loads(row.content) for key, row in self._table.all_rows()}

    def next_sequence(self) -> int:
        """Return 0..2**32-1, never the same twice, kills included.

        Raises:
            StorageError: the counter cannot be written, or all numbers are used up.
        """
        number = self._counters.next(self._counter) - 1
        if number >= SEQUENCE_LIMIT:
            raise StorageError("all transfer sequence numbers are used up")
        return number
