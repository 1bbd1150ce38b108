"""Read a GGUF file: metadata and tensors, dequantised to float32.

Non-purpose: every quantisation there is; the ones of the pinned packages are read (F32, F16, Q4_1,
Q8_0), others are refused by name.

Source: the GGUF specification, version 2 and 3 (little endian), and its block formats.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError

Float = NDArray[np.float32]
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q",
            11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
# type: (weights a block, bytes a block)
_BLOCKS = {0: (1, 4), 1: (1, 2), 3: (32, 20), 8: (32, 34)}
_MOST = 1 << 24


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """shape: slowest axis first, as numpy has it; kind: GGUF's number; offset: in the file."""

    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def size_bytes(self) -> int:
        """Length in the file."""
        weights, size = _BLOCKS[self.kind]
        return prod(self.shape) // weights * size


class GgufFile:
    """A file that was opened; tensors are read when asked for.

    Attributes:
        metadata: key -> number, string or list. tensors: name -> ``TensorInfo``.
    Raises:
        ModelError: no GGUF file, another version, cut short, or a type that is not read here.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            self._data = np.memmap(path, np.uint8, "r")
        except (OSError, ValueError) as error:
            raise ModelError(f"{path.name}: {error}") from error
        self._at = 0
        self.metadata: dict[str, Any] = {}
        self.tensors: dict[str, TensorInfo] = {}
        try:
            self._read_header()
        except (struct.error, UnicodeDecodeError, KeyError) as error:
            raise ModelError(f"{path.name} is cut short or damaged: {error!r}") from error

    def _read_header(self) -> None:
        if bytes(self._data[:4]) != b"GGUF":
            raise ModelError(f"{self._name} is no GGUF file")
        self._at = 4
        version, tensors, keys = self._number("<I"), self._number("<Q"), self._number("<Q")
        if version not in (2, 3):
            raise ModelError(f"{self._name} has GGUF version {version}")
        self._bounded(tensors), self._bounded(keys)
        for _ in range(keys):
            key = self._string()
            self.metadata[key] = self._value(self._number("<I"))
        found = []
        for _ in range(tensors):
            name = self._string()
            shape = [self._number("<Q") for _ in range(self._bounded(self._number("<I"), 4))]
            found.append((name, tuple(reversed(shape)), self._number("<I"), self._number("<Q")))
        align = int(self.metadata.get("general.alignment", 32))
        if align < 1:
            raise ModelError(f"{self._name} has alignment {align}")
        start = -(-self._at // align) * align
        for name, dims, kind, offset in found:
            if kind not in _BLOCKS or (dims and dims[-1] % _BLOCKS[kind][0]):
                raise ModelError(f"{self._name}: tensor {name} has type {kind}, shape {dims}")
            info = TensorInfo(dims, kind, start + offset)
            if info.offset + info.size_bytes > len(self._data):
                raise ModelError(f"{self._name} is cut short: tensor {name} lies beyond its end")
            self.tensors[name] = info

    def _bounded(self, count: int, most: int = _MOST) -> int:
        if count > most:
            raise ModelError(f"{self._name} claims {count} entries")
        return count

    def _number(self, form: str) -> Any:
        size = struct.calcsize(form)
        (value,) = struct.unpack(form, self._data[self._at : self._at + size].tobytes())
        self._at += size
        return value

    def _string(self) -> str:
        size = self._bounded(self._number("<Q"))
        raw = self._data[self._at : self._at + size].tobytes()
        if len(raw) != size:
            raise struct.error("string beyond the end")
        self._at += size
        return raw.decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            inner, count = self._number("<I"), self._bounded(self._number("<Q"))
            return [self._value(inner) for _ in range(count)]
        return self._number(_SCALARS[kind])

    def tensor(self, name: str) -> Float:
        """Return a tensor as float32.

        Raises:
            ModelError: there is none of that name.
        """
        info = self.tensors.get(name)
        if info is None:
            raise ModelError(f"{self._name} has no tensor {name}")
        raw = self._data[info.offset : info.offset + info.size_bytes]
        return np.ascontiguousarray(_dequantise(raw, info.kind).reshape(info.shape), np.float32)


def _dequantise(raw: NDArray[np.uint8], kind: int) -> NDArray[Any]:
    if kind == 0:
        return np.frombuffer(raw.tobytes(), "<f4")
    if kind == 1:
        return np.frombuffer(raw.tobytes(), "<f2")
    blocks = np.ascontiguousarray(raw).reshape(-1, _BLOCKS[kind][1])
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    if kind == 8:                                        # scale, 32 signed bytes
        return scale * blocks[:, 2:].copy().view(np.int8).astype(np.float32)
    least = blocks[:, 2:4].copy().view("<f2").astype(np.float32)
    packed = blocks[:, 4:]                               # scale, least, 16 bytes of nibble pairs
    nibbles = np.concatenate([packed & 15, packed >> 4], 1).astype(np.float32)
    return scale * nibbles + least
