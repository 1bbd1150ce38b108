"""Files on disk as CFDP needs them: confined, durable, with one kind of error (M8, M9, M24)."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Final

from eo_nodes.link.errors import FilestoreError

_MAX_OPEN: Final = 32
# Whoever writes a product uses one of these until it is complete.
_UNFINISHED: Final = (".part", ".tmp", ".writing")


class DiskFilestore:
    """Filestore over a real file system. Keeps up to 32 files open; ``close`` releases them.

    Every ``OSError`` becomes ``FilestoreError`` (a full disk must not stop the machine).
    """

    def __init__(self) -> None:
        self._open_files: OrderedDict[tuple[str, bool], int] = OrderedDict()

    def is_complete(self, path: str) -> bool:
        """True for a regular file without the suffix of an unfinished one (M8)."""
        return not path.endswith(_UNFINISHED) and os.path.isfile(path)

    def exists(self, path: str) -> bool:
        """True when a regular file has this path."""
        return os.path.isfile(path)

    def size_bytes(self, path: str) -> int:
        """Return the file's size.

        Raises:
            FilestoreError: missing or unreadable.
        """
        try:
            return os.stat(path).st_size
        except OSError as error:
            raise FilestoreError(f"size of {path}: {error}") from error

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset``.

        Raises:
            FilestoreError: missing or unreadable.
        """
        try:
            return os.pread(self._descriptor(path, is_writable=False), size, offset)
        except OSError as error:
            raise FilestoreError(f"read {path}: {error}") from error

    def write(self, path: str, offset: int, data: bytes | memoryview) -> None:
        """Write at ``offset``; creates the file and its folders.

        Raises:
            FilestoreError: the disk is full, or the file cannot be written.
        """
        try:
            descriptor = self._descriptor(path, is_writable=True)
            written = os.pwrite(descriptor, data, offset)
            while written < len(data):  # short writes come before ENOSPC
                written += os.pwrite(descriptor, data[written:], offset + written)
        except OSError as error:
            raise FilestoreError(f"write {path}: {error}") from error

    def sync(self, path: str) -> None:
        """Flush a file that is being written to the medium.

        Raises:
            FilestoreError: the medium refused.
        """
        try:
            os.fsync(self._descriptor(path, is_writable=True))
        except OSError as error:
            raise FilestoreError(f"sync {path}: {error}") from error

    def publish(self, part: str, final: str) -> None:
        """Fsync, rename, fsync the folder (M24).

        Raises:
            FilestoreError: any of the steps failed; then ``final`` is what it was before.
        """
        try:
            os.fsync(self._descriptor(part, is_writable=True))
            self._release(part)
            folder = Path(final).parent
            folder.mkdir(parents=True, exist_ok=True)
            os.replace(part, final)
            self._release(final)
            folder_descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder_descriptor)
            finally:
                os.close(folder_descriptor)
        except OSError as error:
            raise FilestoreError(f"publish {final}: {error}") from error

    def confine(self, root: str, name: str) -> str:
        """Return the path of ``name`` under ``root``, symbolic links resolved (M9).

        Raises:
            FilestoreError: the path would leave the root, or is a folder.
        """
        base = os.path.realpath(root)
        path = os.path.realpath(os.path.join(base, name))
        if os.path.commonpath((base, path)) != base or path == base or os.path.isdir(path):
            raise FilestoreError(f"{name!r} is not a file under the receive root")
        return path

    def remove(self, path: str) -> None:
        """Delete the file; an absent one is no error.

        Raises:
            FilestoreError: it exists and cannot be deleted.
        """
        self._release(path)
        try:
            Path(path).unlink(missing_ok=True)
        except OSError as error:
            raise FilestoreError(f"remove {path}: {error}") from error

    def close(self) -> None:
        """Close what is open; the store can be used again."""
        while self._open_files:
            os.close(self._open_files.popitem()[1])

    def _descriptor(self, path: str, *, is_writable: bool) -> int:
        key = (path, is_writable)
        descriptor = self._open_files.get(key)
        if descriptor is not None:
            self._open_files.move_to_end(key)
            return descriptor
        flags = os.O_RDWR | os.O_CREAT if is_writable else os.O_RDONLY
        try:
            descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            if not is_writable:
                raise
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
        self._open_files[key] = descriptor
        if len(self._open_files) > _MAX_OPEN:
            os.close(self._open_files.popitem(last=False)[1])
        return descriptor

    def _release(self, path: str) -> None:
        for is_writable in (False, True):
            descriptor = self._open_files.pop((path, is_writable), None)
            if descriptor is not None:
                os.close(descriptor)
