"""Tables of frozen dataclasses by key, each row with its own CRC.

A row is open while somebody still has to act on it; a restart reads open rows only, so that
recovery does not grow with history (M26). Closed rows stay, so that repeats are recognised.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from eo_nodes.contracts.errors import StorageError

from .codec import decode, encode
from .database import Database, row_crc

T = TypeVar("T")


class RecordTable(Generic[T]):
    """One table of one dataclass.

    Args:
        database: where it lies.
        name: an identifier, lower case.
        row: the dataclass.
    """

    def __init__(self, database: Database, name: str, row: type[T]) -> None:
        if not name.isidentifier():
            raise StorageError(f"{name!r} is no table name")
        self._database = database
        self._name = name
        self._row = row
        database.execute(
            f"CREATE TABLE IF NOT EXISTS {name}("
            "key TEXT PRIMARY KEY, closed INTEGER NOT NULL, body TEXT NOT NULL, "
            "crc INTEGER NOT NULL) WITHOUT ROWID"
        )
        database.execute(f"CREATE INDEX IF NOT EXISTS {name}_open ON {name}(closed)")

    def put(self, key: str, row: T, *, is_open: bool = True) -> None:
        """Insert or replace a row; durable when this returns outside a transaction."""
        closed = 0 if is_open else 1
        body = encode(row)
        crc = row_crc(self._name, key, str(closed), body)
        with self._database.transaction():
            self._database.execute(
                f"INSERT INTO {self._name} VALUES(?,?,?,?) ON CONFLICT(key) DO UPDATE SET "
                "closed=excluded.closed, body=excluded.body, crc=excluded.crc",
                (key, closed, body, crc),
            )

    def get(self, key: str) -> T | None:
        """Return a row, or None when absent or set aside."""
        rows = self._database.execute(
            f"SELECT key, closed, body, crc FROM {self._name} WHERE key=?", (key,)
        )
        return next((row for _, row in self._checked(rows)), None)

    def delete(self, key: str) -> None:
        """Remove a row; absent is fine."""
        with self._database.transaction():
            self._database.execute(f"DELETE FROM {self._name} WHERE key=?", (key,))

    def open_rows(self) -> list[tuple[str, T]]:
        """Return key and row of everything open, in key order."""
        # "not closed" rather than "open": a flipped flag must not hide a row from its check.
        rows = self._database.execute(
            f"SELECT key, closed, body, crc FROM {self._name} WHERE closed<>1 ORDER BY key"
        )
        return list(self._checked(rows))

    def all_rows(self) -> list[tuple[str, T]]:
        """Return key and row of everything, in key order."""
        rows = self._database.execute(
            f"SELECT key, closed, body, crc FROM {self._name} ORDER BY key"
        )
        return list(self._checked(rows))

    def newest(self, limit: int) -> list[tuple[str, T]]:
        """Return key and row of the last rows in key order, last first."""
        rows = self._database.execute(
            f"SELECT key, closed, body, crc FROM {self._name} ORDER BY key DESC LIMIT ?", (limit,)
        )
        return list(self._checked(rows))

    def prune(self, keep: int) -> int:
        """Remove all but the last `keep` closed rows in key order; return how many went."""
        with self._database.transaction():
            before = self._database.execute(f"SELECT count(*) FROM {self._name}")[0][0]
            self._database.execute(
                f"DELETE FROM {self._name} WHERE closed=1 AND key NOT IN (SELECT key FROM "
                f"{self._name} WHERE closed=1 ORDER BY key DESC LIMIT ?)",
                (keep,),
            )
            after = self._database.execute(f"SELECT count(*) FROM {self._name}")[0][0]
        return int(before - after)

    def _checked(self, rows: list[tuple[str, int, str, int]]) -> Iterator[tuple[str, T]]:
        for key, closed, body, crc in rows:
            reason = "" if row_crc(self._name, str(key), str(closed), str(body)) == crc else "crc"
            if not reason:
                try:
                    yield key, decode(self._row, body)
                    continue
                except StorageError as error:
                    reason = str(error)
            self._database.quarantine(self._name, key, str(body), crc, reason)


class RecordStore:
    """Typed tables in one database; what the ledgers, the queue and the budgets write to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def table(self, name: str, row: type[T]) -> RecordTable[T]:
        """Open or create a table of a frozen dataclass."""
        return RecordTable(self._database, name, row)

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[None]:
        """Join several writes to one commit; see `Database.transaction`."""
        return self._database.transaction(durable=durable)

    def sync(self) -> None:
        """Bring commits that were not asked to be durable to the medium."""
        self._database.sync()
