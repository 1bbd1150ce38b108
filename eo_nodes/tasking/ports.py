"""What the ledgers need from durable storage; `eo_nodes.store` has it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Table(Protocol[T]):
    """Rows by key; a write is durable when it, or the transaction around it, returns."""

    def put(self, key: str, row: T, *, is_open: bool = True) -> None:
        """Insert or replace a row."""

    def get(self, key: str) -> T | None:
        """Return a row, open or closed, or None."""

    def open_rows(self) -> list[tuple[str, T]]:
        """Return key and row of all open rows, in key order."""

    def delete(self, key: str) -> None:
        """Remove a row; absent is fine."""

    def prune(self, keep: int) -> int:
        """Remove all but the last `keep` closed rows."""


class Store(Protocol):
    """Typed tables that commit together. Raises ``StorageError`` when a write is not durable."""

    def table(self, name: str, row: type[T]) -> Table[T]:
        """Open or create a table of a frozen dataclass."""

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[None]:
        """Join several writes to one commit; without `durable` only `sync` outlasts power loss."""

    def sync(self) -> None:
        """Bring commits that were not asked to be durable to the medium."""
