"""Files and transfer state in memory: for studies that run the link's cores, and for tests.

Nothing here survives the process. Both classes can be copied at any moment to stand for what a disk
would hold after a kill.
"""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING

from eo_nodes.link.errors import FilestoreError

if TYPE_CHECKING:
    from eo_nodes.link.ports import Record


class MemoryTransferStore:
    """Transfer store that keeps JSON text, as a durable one would."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.sequence = 0
        self.saves = 0

    def save(self, key: str, record: Record) -> None:
        """Create or replace one record."""
        self.saves += 1
        self.rows[key] = json.dumps(record)

    def delete(self, key: str) -> None:
        """Remove one record."""
        self.rows.pop(key, None)

    def load_all(self) -> dict[str, Record]:
        """Return every record."""
        return {key: json.loads(row) for key, row in self.rows.items()}

    def next_sequence(self) -> int:
        """Return 0, 1, 2, ..."""
        sequence = self.sequence
        self.sequence += 1
        return sequence


class MemoryFilestore:
    """Filestore over a dict of path to octets."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.unfinished: set[str] = set()

    def is_complete(self, path: str) -> bool:
        """True when the file exists and is not in ``unfinished``."""
        return path in self.files and path not in self.unfinished

    def exists(self, path: str) -> bool:
        """True when the file exists."""
        return path in self.files

    def size_bytes(self, path: str) -> int:
        """Return the file's size."""
        return len(self._file(path))

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset``."""
        return bytes(self._file(path)[offset : offset + size])

    def write(self, path: str, offset: int, data: bytes | memoryview) -> None:
        """Write at ``offset``, zeros in between."""
        file = self.files.setdefault(path, bytearray())
        if len(file) < offset:
            file.extend(bytes(offset - len(file)))
        file[offset : offset + len(data)] = data

    def sync(self, path: str) -> None:
        """Check that the file exists."""
        self._file(path)

    def publish(self, part: str, final: str) -> None:
        """Rename."""
        self.files[final] = self._file(part)
        del self.files[part]

    def confine(self, root: str, name: str) -> str:
        """Return the path of ``name`` under ``root``."""
        path = posixpath.normpath(posixpath.join(root, name))
        if not path.startswith(posixpath.normpath(root) + "/"):
            raise FilestoreError(f"{name!r} leaves the receive root")
        return path

    def remove(self, path: str) -> None:
        """Delete the file."""
        self.files.pop(path, None)

    def _file(self, path: str) -> bytearray:
        try:
            return self.files[path]
        except KeyError as error:
            raise FilestoreError(f"no file {path}") from error
