"""Product files on board: complete or absent, bounded, deleted after delivery (M8, M24, M25)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eo_nodes.contracts.errors import StorageError

from .files import PART, Files, file_name, sweep_parts, write_durably

_SUFFIX = ".product"


@dataclass(frozen=True, slots=True)
class ProductFile:
    """A complete file: what `Product.path`, `size_bytes` and `sha256` say."""

    path: str
    size_bytes: int
    sha256: str


class ProductStore:
    """Files by product id below one folder.

    Args:
        root: the folder; made when absent.
        max_bytes: limit on the sum of all files.
        reserve: share of it that only urgent products (answers, commands, events) may use.
        files: the system calls.
    """

    def __init__(
        self,
        root: Path,
        max_bytes: int = 1 << 30,
        *,
        reserve: float = 0.05,
        files: Files | None = None,
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._limit_bytes = int(max_bytes * (1 - reserve))
        self._files = files or Files()
        root.mkdir(parents=True, exist_ok=True)

    def write(
        self, product_id: str, parts: bytes | Iterable[bytes], *, urgent: bool = False
    ) -> ProductFile:
        """Write a product; a repeat of the same id replaces it. Durable on return.

        Raises:
            StorageError: full by our limit or by the disk; nothing is left behind.
        """
        pieces = [parts] if isinstance(parts, bytes) else list(parts)
        path = self._root / file_name(product_id, _SUFFIX)
        held = self.size_bytes() - (path.stat().st_size if path.exists() else 0)
        limit = self._max_bytes if urgent else self._limit_bytes
        if held + sum(map(len, pieces)) > limit:
            raise StorageError(f"product store is full: {held} of {limit} bytes held")
        size, sha256 = write_durably(path, pieces, self._files)
        return ProductFile(str(path), size, sha256)

    def find(self, product_id: str) -> ProductFile | None:
        """Return a product that is complete already, None when absent.

        A file that the link may be sending must not change: who makes a product again after a
        repeat of its request takes this one.
        """
        path = self.path(product_id)
        if not path.exists():
            return None
        data = self.read(product_id)
        return ProductFile(str(path), len(data), hashlib.sha256(data).hexdigest())

    def path(self, product_id: str) -> Path:
        """Return where the file of a product lies or would lie."""
        return self._root / file_name(product_id, _SUFFIX)

    def read(self, product_id: str) -> bytes:
        """Return the bytes of a product.

        Raises:
            StorageError: absent or unreadable.
        """
        try:
            return self.path(product_id).read_bytes()
        except OSError as error:
            raise StorageError(f"product {product_id} cannot be read") from error

    def delete(self, product_id: str) -> None:
        """Remove a product, after Finished (complete) or when it is withdrawn; idempotent."""
        try:
            self._files.unlink(self.path(product_id))
        except OSError as error:
            raise StorageError(f"product {product_id} cannot be deleted") from error

    def size_bytes(self) -> int:
        """Return the bytes held."""
        with os.scandir(self._root) as entries:
            return sum(e.stat().st_size for e in entries if not e.name.endswith(PART))

    def sweep(self, wanted: Iterable[str]) -> int:
        """After a kill: remove half files and files that no queue row wants; return how many.

        Args:
            wanted: product ids of the durable queue.
        """
        kept = {file_name(product_id, _SUFFIX) for product_id in wanted}
        removed = sweep_parts(self._root)
        for path in self._root.glob(f"*{_SUFFIX}"):
            if path.name not in kept:
                self._files.unlink(path)
                removed += 1
        return removed
