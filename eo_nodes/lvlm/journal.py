"""A JSON-lines file that is appended to, survives a kill within a line, and says what it holds.

Each record is one line, handed to the operating system in one piece: processes that make different
records may append to one file (``Part``). After a kill the last line may be torn: opening cuts it
off, so its record is made again. Non-purpose: durable state of the graph (see ``store``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeVar

Record = dict[str, Any]
Piece = TypeVar("Piece")


@dataclass(frozen=True, slots=True)
class Part:
    """Which share of the work a process does: every ``count``-th piece from ``number`` on, 1 first.

    Raises:
        ValueError: no such part.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"part {self.number} of {self.count}")

    @classmethod
    def read(cls, text: str) -> Part:
        """Of ``I/N``, for the command line."""
        number, _, count = text.partition("/")
        return cls(int(number), int(count))

    def of(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        """Those of this part, in their order."""
        return pieces[self.number - 1 :: self.count]


def whole_records(data: bytes) -> tuple[list[Record], int]:
    """Records of the whole lines, and how many bytes they take.

    A line within the file that is no JSON object is left out; only a torn end is not counted.
    """
    records: list[Record] = []
    end = data.rfind(b"\n") + 1
    for line in data[:end].splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            records.append(value)
    return records, end


class Journal:
    """Open a file for appending; ``records`` are those it held."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        self.records, end = whole_records(data)
        if end < len(data):
            with path.open("r+b") as torn:
                torn.truncate(end)
        self._stream: BinaryIO = path.open("ab", buffering=0)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record; it is with the operating system when this returns.

        Raises:
            OSError: it cannot be written; what was of it is cut off or left out when read again.
        """
        left = memoryview((json.dumps(record, allow_nan=False) + "\n").encode("ascii"))
        while left:  # once, but where the disk is nearly full: the next try then says so
            left = left[self._stream.write(left) :]

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
