"""One SQLite file: WAL, ``synchronous=FULL``, CRC per row, quarantine (M24, M25, F7).

A commit that returned survives a kill and a power loss; one that was not asked to (``durable``)
survives a power loss when `Database.sync` or a later commit returned. SQLite finds a damaged
page, not a damaged byte in a value, so every row carries our own CRC-32 over table, key, flag and
body. A row that fails is moved to `quarantine`, reported once and never used. Every failure of
SQLite becomes `StorageError` with the transaction rolled back: the caller stays up.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import StorageError

SCHEMA_VERSION = 1
Connect = Callable[..., sqlite3.Connection]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that failed its check on reading."""

    table: str
    key: str
    reason: str


def row_crc(*parts: str) -> int:
    """CRC-32 of the parts of a row, in order."""
    return zlib.crc32("\0".join(parts).encode("utf-8", "surrogatepass"))


def _reporter(rows: list[Quarantined]) -> Callable[[Quarantined], None]:
    return rows.append


class Database:
    """Open or create one database file.

    Args:
        path: the file, or ``:memory:``; its folder exists.
        connect: stands in for `sqlite3.connect` in tests.
        on_quarantine: called once for each row set aside, e.g. to emit an event.
    Raises:
        StorageError: not a database, damaged, of a newer version, or the disk refuses.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        connect: Connect = sqlite3.connect,
        on_quarantine: Callable[[Quarantined], None] | None = None,
    ) -> None:
        self.quarantined: list[Quarantined] = []
        self._report = on_quarantine or _reporter(self.quarantined)
        self._lock = threading.RLock()
        self._depth = 0
        self._wal = f"{path}-wal"
        self._is_behind = False  # some commit is not on the medium yet
        self._is_durable = True  # `synchronous` is FULL
        try:
            # One writer at a time is held by the lock, whichever thread of the node calls.
            self._connection = connect(
                str(path), isolation_level=None, timeout=5.0, check_same_thread=False
            )
            self._open()
        except sqlite3.Error as error:
            raise StorageError(f"cannot open {Path(path).name}: {error}") from error

    def _open(self) -> None:
        run = self._connection.execute
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=FULL")
        run("PRAGMA foreign_keys=ON")
        verdict = run("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StorageError(f"database is damaged: {verdict}")
        version = run("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StorageError(f"database has version {version}, known is {SCHEMA_VERSION}")
        run(
            "CREATE TABLE IF NOT EXISTS quarantine("
            "source TEXT, key TEXT, body TEXT, crc INTEGER, reason TEXT)"
        )
        run(f"PRAGMA user_version={SCHEMA_VERSION}")

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows.

        Raises:
            StorageError: SQLite refused, for example because the disk is full.
        """
        with self._lock:
            try:
                return self._connection.execute(sql, values).fetchall()
            except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
                raise StorageError(f"database: {error}") from error

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """Make the writes inside one commit; nested uses join the outermost.

        Args:
            durable: False leaves the fsync to `sync`: the commit survives a kill at once. Of
                nested uses the outermost decides.
        Raises:
            StorageError: the commit failed; nothing of it is kept.
        """
        with self._lock:
            if self._depth == 0:
                if self._is_durable != durable:
                    self.execute("PRAGMA synchronous=" + ("FULL" if durable else "NORMAL"))
                    self._is_durable = durable
                self.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self.execute("COMMIT")
                    self._is_behind = not durable
            except BaseException:
                if self._depth == 1:
                    # After some errors SQLite has rolled back already.
                    with suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def sync(self) -> None:
        """Bring all commits to the medium; nothing to do when the last one was durable.

        Raises:
            StorageError: the disk refuses; the commits stand, and the next call tries again.
        """
        with self._lock:
            if not self._is_behind:
                return
            try:
                # SQLite holds its locks on the other two files: closing this one loses none.
                descriptor = os.open(self._wal, os.O_RDONLY)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)
            except FileNotFoundError:
                pass  # in memory
            except OSError as error:
                raise StorageError(f"database: {error}") from error
            self._is_behind = False

    def quarantine(self, table: str, key: str, body: str, crc: int, reason: str) -> None:
        """Set a bad row aside, remove it from `table` and report it (F7)."""
        with self.transaction():
            self.execute(
                "INSERT INTO quarantine VALUES(?,?,?,?,?)", (table, key, body, crc, reason)
            )
            self.execute(f"DELETE FROM {table} WHERE key=?", (key,))
        self._report(Quarantined(table, key, reason))

    def close(self) -> None:
        """Close the file; a second call changes nothing."""
        with self._lock:
            self._connection.close()
