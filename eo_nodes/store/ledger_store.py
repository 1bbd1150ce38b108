"""Open the durable home of a ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from .database import Connect, Database, Quarantined
from .records import RecordStore


class LedgerStore(RecordStore):
    """Durable rows of tasks, requests and answers, of the queue and of the budgets.

    The cores say which rows there are (`table`); a write is durable when it returns.

    Args:
        path: database file, one a process; its folder exists.
        on_quarantine: called for each row that failed its CRC (F7).
        connect: stands in for `sqlite3.connect` in tests.
    Raises:
        StorageError: the file cannot be opened or is damaged.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        on_quarantine: Callable[[Quarantined], None] | None = None,
        connect: Connect = sqlite3.connect,
    ) -> None:
        self.database = Database(path, connect=connect, on_quarantine=on_quarantine)
        super().__init__(self.database)

    def close(self) -> None:
        """Close the file."""
        self.database.close()
