"""What the link needs from outside: files and durable transfer state, as protocols.

The link itself performs no I/O. ``DiskFilestore`` (this room) and the transfer store of
``eo_nodes.store`` implement these for flight; ``memory`` implements them for studies and tests.
"""

from __future__ import annotations

from typing import Protocol

# What a transfer record may hold: plain JSON, so that any store can keep it.
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Record = dict[str, Json]


class TransferStore(Protocol):
    """Durable transfer state. Every call returns only when the effect survives a kill (M24).

    Keys are ASCII strings of at most 64 characters. Raises ``StorageError`` when it cannot.
    """

    def save(self, key: str, record: Record) -> None:
        """Create or replace one record atomically."""

    def delete(self, key: str) -> None:
        """Remove one record; an absent key is no error."""

    def load_all(self) -> dict[str, Record]:
        """Return every record. A damaged one is left out (and reported by the store)."""

    def next_sequence(self) -> int:
        """Return 0..2**32-1, never the same twice, kills included (M1)."""


class Filestore(Protocol):
    """Files, as CFDP needs them. Paths are strings; relative ones lie under the store's root.

    Every method raises ``FilestoreError`` instead of ``OSError`` (trap 4 of the peer: ENOSPC
    escaped its state machine).
    """

    def is_complete(self, path: str) -> bool:
        """True when the file exists and nobody is still writing it (M8)."""

    def size_bytes(self, path: str) -> int:
        """Return the file's size."""

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset``; fewer only at the end of the file."""

    def write(self, path: str, offset: int, data: bytes | memoryview) -> None:
        """Write at ``offset``, creating the file and its folders when absent."""

    def sync(self, path: str) -> None:
        """Return when the bytes written so far survive a power cut."""

    def publish(self, part: str, final: str) -> None:
        """Give a synced part file its final name, durably: fsync, rename, fsync folder (M24)."""

    def confine(self, root: str, name: str) -> str:
        """Return the path of ``name`` under ``root``; refuse whatever would leave it (M9)."""

    def exists(self, path: str) -> bool:
        """True when a file has this path."""

    def remove(self, path: str) -> None:
        """Delete the file; an absent one is no error."""
