"""Durable file writes: temp, fsync, rename, fsync folder (M24).

A reader sees the whole file under its final name or nothing. The system calls are methods of
`Files`, so that a test counts them and breaks any one of them (F1, F2).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from eo_nodes.contracts.errors import StorageError

PART = ".part"
_SLICE_BYTES = 1 << 20


class Files:
    """The system calls of a durable write."""

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of `data`; return how many bytes."""
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        """Bring a file's bytes to the medium."""
        os.fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give a complete file its final name, atomically."""
        os.replace(source, target)

    def fsync_folder(self, folder: Path) -> None:
        """Bring a folder's entries to the medium: without it a rename may be lost."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def unlink(self, path: Path) -> None:
        """Remove a file; absent is fine."""
        path.unlink(missing_ok=True)


def file_name(key: str, suffix: str = "") -> str:
    """Return a flat file name for any key: no separator, no leading dot.

    Raises:
        StorageError: the key is empty or too long for a file name.
    """
    try:
        name = quote(key, safe="+=@,") + suffix
    except UnicodeEncodeError as error:
        raise StorageError("key is no text") from error
    if not key or len(name) > 240:
        raise StorageError(f"key of {len(key)} characters makes no file name")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def write_durably(
    path: Path, parts: Iterable[bytes | memoryview], files: Files, *, sync: bool = True
) -> tuple[int, str]:
    """Write a file that is complete under its final name or absent, also across a kill.

    Args:
        path: final name; its folder exists.
        parts: the bytes, in order.
        files: the system calls.
        sync: False leaves out both fsyncs: safe against a killed process, not against power loss.
    Returns:
        Size in bytes and SHA-256 in hex.
    Raises:
        StorageError: the disk is full or refuses; nothing is left behind.
    """
    part = path.with_name(path.name + PART)
    digest = hashlib.sha256()
    size = 0
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            for data in parts:
                view = memoryview(data).cast("B")
                for start in range(0, len(view), _SLICE_BYTES):
                    piece = view[start : start + _SLICE_BYTES]
                    digest.update(piece)
                    size += len(piece)
                    while len(piece):
                        piece = piece[files.write(descriptor, piece) :]
            if sync:
                files.fsync(descriptor)
        finally:
            os.close(descriptor)
        files.rename(part, path)
        if sync:
            files.fsync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path.name}: {error.strerror}") from error
    return size, digest.hexdigest()


def sweep_parts(folder: Path) -> int:
    """Remove what killed writers left in a folder; return how many files."""
    parts = list(folder.glob(f"*{PART}"))
    for part in parts:
        part.unlink(missing_ok=True)
    return len(parts)
