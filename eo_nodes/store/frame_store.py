"""Bounded store of memory-mapped frames on one machine.

One process writes; others map the files read-only. A file is complete or absent (temp, rename)
and its SHA-256 is checked on the first opening in each process. Requests pin the frames they
still need: a pin is an empty file, so that it crosses processes and outlives a kill. When room
is needed the oldest frames without a pin go first; a frame with a pin never goes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import FrameStoreError

from .files import Files, file_name, sweep_parts, write_durably

_SUFFIX = ".frame"
_SLICE_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class FrameHandle:
    """What a reader needs to open a frame.

    Attributes:
        key: name in the store.
        shape: (frames, height, width, bands).
        dtype: numpy name.
        sha256: of the pixels in C order, hex.
        path: the file; readers go through `FrameStore.open`.
        evicted: keys that left the store to make room for this one.
    """

    key: str
    shape: tuple[int, int, int, int]
    dtype: str
    sha256: str
    path: Path
    evicted: tuple[str, ...] = ()


class FrameStore:
    """Frames by key below one folder.

    Args:
        root: the folder; made when absent.
        max_bytes: limit on the sum of all frames, > 0.
        files: the system calls.
        sync: False (the default) leaves out fsync: frames survive a killed process but not a
            power loss, and a new pass captures again. True pays one fsync a frame.
    """

    def __init__(
        self, root: Path, max_bytes: int, *, files: Files | None = None, sync: bool = False
    ) -> None:
        self._frames = root / "frames"
        self._pins = root / "pins"
        self._max_bytes = max_bytes
        self._files = files or Files()
        self._sync = sync
        self._verified: dict[str, tuple[str, int, int]] = {}
        for folder in (self._frames, self._pins):
            folder.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, array: NDArray[Any]) -> FrameHandle:
        """Store pixels; a repeat of the same key replaces them.

        Args:
            array: (frames, height, width, bands), any contract dtype.
        Raises:
            FrameStoreError: wrong rank, or no room without evicting a pinned frame.
            StorageError: the disk refuses.
        """
        if array.ndim != 4 or array.size == 0:
            raise FrameStoreError(f"shape {array.shape} is no (frames, height, width, bands)")
        evicted = self.make_room(array.nbytes, keep=key)
        pixels = np.ascontiguousarray(array)
        path = self._path(key)
        flat = pixels.reshape(-1).view(np.uint8).data
        _, sha256 = write_durably(path, (flat,), self._files, sync=self._sync)
        frames, height, width, bands = array.shape
        return FrameHandle(
            key, (frames, height, width, bands), pixels.dtype.name, sha256, path, evicted
        )

    def open(
        self,
        key: str | FrameHandle,
        shape: tuple[int, ...] = (),
        dtype: str = "",
        sha256: str = "",
    ) -> NDArray[Any]:
        """Map a frame read-only, without a copy.

        Args:
            key: a handle, or the key with the three fields that a `Scene` carries.
        Returns:
            (frames, height, width, bands); valid also after the frame is evicted.
        Raises:
            FrameStoreError: absent, or size or digest differ.
        """
        if isinstance(key, FrameHandle):
            return self.open(key.key, key.shape, key.dtype, key.sha256)
        path = self._path(key)
        try:
            pixels = np.memmap(path, dtype=np.dtype(dtype), mode="r")
            about = path.stat()
        except (OSError, ValueError, TypeError) as error:
            raise FrameStoreError(f"frame {key} is not in the store") from error
        if pixels.size != int(np.prod(shape, dtype=np.int64)):
            raise FrameStoreError(f"frame {key} has {pixels.size} values, not shape {shape}")
        seen = (sha256, about.st_ino, about.st_mtime_ns)
        if self._verified.get(key) != seen:
            if _digest(pixels) != sha256:
                raise FrameStoreError(f"frame {key} differs from its digest")
            self._verified[key] = seen
            while len(self._verified) > 1024:
                del self._verified[next(iter(self._verified))]
        return pixels.reshape(shape)

    def make_room(self, size_bytes: int, *, keep: str = "") -> tuple[str, ...]:
        """Evict the oldest frames without a pin until `size_bytes` fit; return their keys.

        Args:
            keep: a key that is about to be replaced; its bytes count as free.
        Raises:
            FrameStoreError: pinned frames leave too little room; nothing is evicted then.
        """
        sizes = {k: size for k, size in self._by_age() if k != keep}
        excess = sum(sizes.values()) + size_bytes - self._max_bytes
        chosen: list[str] = []
        for key, size in sizes.items():
            if excess <= 0:
                break
            if not self.pins(key):
                chosen.append(key)
                excess -= size
        if excess > 0:
            raise FrameStoreError(f"no room for {size_bytes} bytes: pinned frames fill the store")
        for key in chosen:
            self._files.unlink(self._path(key))
            self._verified.pop(key, None)
        return tuple(chosen)

    def keys(self) -> tuple[str, ...]:
        """Return the keys held, oldest first."""
        return tuple(key for key, _ in self._by_age())

    def size_bytes(self) -> int:
        """Return the bytes held."""
        return sum(size for _, size in self._by_age())

    def pin(self, key: str, request_id: str) -> bool:
        """Keep a frame for a request, idempotent; False when the frame is gone already."""
        folder = self._pins / file_name(key)
        folder.mkdir(exist_ok=True)
        (folder / file_name(request_id)).touch()
        return self._path(key).exists()

    def unpin(self, key: str, request_id: str) -> None:
        """Take a pin back, idempotent."""
        folder = self._pins / file_name(key)
        (folder / file_name(request_id)).unlink(missing_ok=True)
        try:
            folder.rmdir()
        except OSError:
            return  # other requests still hold it, or there was no pin

    def pins(self, key: str) -> frozenset[str]:
        """Return the requests that hold a frame."""
        try:
            return frozenset(map(unquote, os.listdir(self._pins / file_name(key))))
        except FileNotFoundError:
            return frozenset()

    def sweep(self) -> int:
        """Remove half files of a killed writer; for the writer's own start only."""
        return sweep_parts(self._frames)

    def restore_pins(self, wanted: Mapping[str, frozenset[str]]) -> None:
        """After a kill of who pins: make the pins equal `wanted` (key to request ids)."""
        for name in os.listdir(self._pins):
            key = unquote(name)
            for request_id in self.pins(key) - wanted.get(key, frozenset()):
                self.unpin(key, request_id)
        for key, requests in wanted.items():
            for request_id in requests:
                self.pin(key, request_id)

    def _path(self, key: str) -> Path:
        return self._frames / file_name(key, _SUFFIX)

    def _by_age(self) -> list[tuple[str, int]]:
        """Keys and sizes in bytes, oldest first."""
        found = []
        with os.scandir(self._frames) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX):
                    # Three small values of each frame: thousands of frames may be held.
                    about = entry.stat()
                    key = unquote(entry.name.removesuffix(_SUFFIX))
                    found.append((about.st_mtime_ns, key, about.st_size))
        # The key breaks ties between files of one clock tick; scene keys sort by time.
        found.sort()
        return [(key, size) for _, key, size in found]


def _digest(pixels: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    flat = pixels.view(np.uint8)
    for start in range(0, len(flat), _SLICE_BYTES):
        digest.update(flat[start : start + _SLICE_BYTES].data)
    return digest.hexdigest()
