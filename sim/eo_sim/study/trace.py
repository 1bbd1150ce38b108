"""The trace: what both models said to real questions, once, so that any policy can be replayed.

Purpose: the schema of the file, its reader, writer and checks. Non-purpose: making one
(``collect``), replaying it (``simulator``).

A trace is one compressed npz file. Its member ``header`` is JSON: digests of both models, the
names behind each coded column, and the levels of compression. Every other member is a column with
one row a request. So a policy never meets a model, and a replay costs no inference.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.decision.levels import KINDS, Level

from .errors import TraceError

Array = NDArray[Any]
VERSION = 3
MOST_BYTES = 4_000_000
TAPS, TARGETS = 3, ("similar", "correct", "gain")
STATS = ("mean_logprob", "min_logprob", "entropy", "margin")
SPLITS = ("val", "test")
SIZES = ("small_object", "whole_scene", "other")
# Deadline classes, minutes after capture.
DEADLINES_MIN = (10, 30, 90)
# Coded columns: column -> key of the header that holds its names.
CODED = {
    "set": "sets", "modality": "modalities", "scene": "scenes", "chip": "chips",
    "question": "questions",
}  # fmt: skip
# Modalities of the evaluation's table that scenes of a satellite have under another name.
FLOWN = {"infrared": "thermal", "hyperspectral": "multispectral", "video": "optical"}


@dataclass(frozen=True, slots=True)
class Column:
    """What a column must hold: dtype, further dimensions ("L": levels), and range."""

    dtype: str
    shape: tuple[int | str, ...] = ()
    low: float = 0.0
    high: float = 1.0


_BIG = 1e18
COLUMNS: Mapping[str, Column] = {
    **{name: Column("int32", high=2**31) for name in CODED},
    "split": Column("int8", high=len(SPLITS) - 1),
    "size": Column("int8", high=len(SIZES) - 1),
    "deadline": Column("int8", high=len(DEADLINES_MIN) - 1),
    "priority": Column("int8", high=7),
    # Of the asked area: pixels, and bytes as the sensor stores them.
    "asked_px": Column("int64", low=1, high=_BIG),
    "raw_bytes": Column("int64", low=1, high=_BIG),
    # Compact model: quality of its answer; cumulative cost to tap 1, tap 2, end.
    "compact_quality": Column("float32"),
    "compact_tokens": Column("int16", low=0, high=32_000),
    "compact_flops": Column("float64", (TAPS,), high=_BIG),
    # Per tap: the three targets, as the heads say them before any fit of the study.
    "scores": Column("float32", (TAPS, len(TARGETS)), low=-1.0),
    "stats": Column("float32", (TAPS, len(STATS)), low=-1e4, high=1e4),
    # Distance of each tap from what the heads know; 1 is their limit.
    "novelty": Column("float32", (TAPS,), high=1e6),
    # Regular model at each level.
    "regular_quality": Column("float32", ("L",)),
    "regular_flops": Column("float64", ("L",), high=_BIG),
    "level_bytes": Column("int64", ("L",), low=1, high=_BIG),
    "code_s": Column("float32", ("L",), high=1e6),
    "answer_bytes": Column("int32", low=1, high=1e6),
}


@dataclass(frozen=True, eq=False)
class Trace:
    """A loaded trace; every column is an array of N rows.

    Attributes:
        digests: SHA-256 of the manifests of ``compact`` and ``regular``.
        names: for each coded column its names.
        levels: in the order of the last axis of the level columns.
        keys: for each row the cell and key of the question, to ask it again.
        meta: what else the collector wrote down (machine, versions, data).
        columns: by name, as ``COLUMNS``.
    """

    digests: Mapping[str, str]
    names: Mapping[str, tuple[str, ...]]
    levels: tuple[Level, ...]
    keys: tuple[str, ...]
    meta: Mapping[str, Any]
    columns: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def level(self, name: str) -> int:
        """Index of a level.

        Raises:
            TraceError: there is none of that name.
        """
        for index, level in enumerate(self.levels):
            if level.name == name:
                return index
        raise TraceError(f"no level {name!r}; there are {', '.join(x.name for x in self.levels)}")

    def rows(self, split: str) -> NDArray[np.int64]:
        """Row numbers of a split."""
        return np.flatnonzero(self["split"] == SPLITS.index(split)).astype(np.int64)

    def outlasts_tap2(self) -> NDArray[np.bool_]:
        """(N,) whether the answer on board goes on behind the second tap; else it is at its end."""
        flops = self["compact_flops"]
        return np.asarray(flops[:, 1] < flops[:, 2])

    def names_of(self, column: str) -> NDArray[np.str_]:
        """(N,) names of a coded column."""
        return np.array(self.names[CODED[column]])[self[column]]

    def flown_modality(self) -> NDArray[np.str_]:
        """(N,) modality of a row's scene as a satellite names it; rows of the table have more."""
        names = [FLOWN.get(name, name) for name in self.names["modalities"]]
        return np.array(names)[self["modality"]]

    def take(self, rows: NDArray[np.int64]) -> Trace:
        """Trace of some rows."""
        return Trace(
            self.digests, self.names, self.levels, tuple(self.keys[i] for i in rows), self.meta,
            {name: values[rows] for name, values in self.columns.items()},
        )  # fmt: skip


def check(trace: Trace) -> None:
    """Check every column.

    Raises:
        TraceError: names the column, and the first row that is wrong.
    """
    for who in ("compact", "regular"):
        if len(trace.digests.get(who, "")) != 64:
            raise TraceError(f"header: the digest of {who} is missing")
    if not trace.levels or any(level.kind not in KINDS for level in trace.levels):
        raise TraceError(f"header: levels of a kind other than {', '.join(KINDS)}")
    if set(trace.columns) != set(COLUMNS):
        odd = sorted(set(trace.columns) ^ set(COLUMNS))
        raise TraceError(f"columns missing or unknown: {', '.join(odd)}")
    for name, column in COLUMNS.items():
        _check_column(trace, name, column)
    for name, key in CODED.items():
        count = len(trace.names.get(key, ()))
        if len(trace) and int(trace[name].max()) >= count:
            row = int(np.argmax(trace[name]))
            raise TraceError(f"{name}, row {row}: code {trace[name][row]}, {count} names")
    falls = (np.diff(trace["compact_flops"], axis=1) < 0).any(axis=1)
    if falls.any():
        row = int(np.argmax(falls))
        raise TraceError(f"compact_flops, row {row}: a later tap costs less than an earlier one")
    _check_scenes(trace)


def _check_column(trace: Trace, name: str, column: Column) -> None:
    values = trace[name]
    sides = tuple(len(trace.levels) if side == "L" else int(side) for side in column.shape)
    if values.shape != (len(trace), *sides):
        raise TraceError(f"{name}: shape {values.shape}, expected {(len(trace), *sides)}")
    if values.dtype.name != column.dtype:
        raise TraceError(f"{name}: {values.dtype}, expected {column.dtype}")
    good = (values >= column.low) & (values <= column.high)  # NaN is outside too
    if not good.all():
        row = int(np.argwhere(~good)[0][0])
        raise TraceError(
            f"{name}, row {row}: {values[row]} is outside {column.low:g} to {column.high:g}"
        )


def _check_scenes(trace: Trace) -> None:
    """A scene lies in one split only, or choices would be made on what is tested."""
    first: dict[int, int] = {}
    for row, (scene, split) in enumerate(zip(trace["scene"], trace["split"], strict=True)):
        if first.setdefault(int(scene), int(split)) != int(split):
            name = trace.names["scenes"][int(scene)]
            raise TraceError(f"scene, row {row}: {name!r} is in both splits")


def save_trace(trace: Trace, path: Path) -> int:
    """Check and write a trace; the same trace gives the same bytes.

    Returns:
        Size of the file, bytes.
    Raises:
        TraceError: a column is wrong, or the file would be too large to be kept with the sources.
    """
    check(trace)
    header = {
        "version": VERSION, "digests": dict(trace.digests),
        "names": {key: list(names) for key, names in trace.names.items()},
        "levels": [[x.name, x.kind, x.share] for x in trace.levels],
        "keys": list(trace.keys), "meta": dict(trace.meta),
    }  # fmt: skip
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, "header", np.frombuffer(text.encode(), np.uint8))
        for name in COLUMNS:
            _add(archive, name, trace[name])
    data = buffer.getvalue()
    if len(data) > MOST_BYTES:
        raise TraceError(f"the trace has {len(data)} bytes, at most {MOST_BYTES}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)
    return len(data)


def _add(archive: zipfile.ZipFile, name: str, values: Array) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    info = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: the same content is the same bytes
    archive.writestr(info, buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)


def load_trace(path: Path) -> Trace:
    """Read and check a trace.

    Raises:
        TraceError: absent, damaged, of another version, or a column is wrong.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            columns = {name: archive[name] for name in archive.files}
        header = json.loads(columns.pop("header").tobytes().decode())
        if header["version"] != VERSION:
            raise TraceError(f"{path.name}: version {header['version']}, expected {VERSION}")
        trace = Trace(
            digests=header["digests"],
            names={key: tuple(names) for key, names in header["names"].items()},
            levels=tuple(Level(str(n), str(k), float(s)) for n, k, s in header["levels"]),
            keys=tuple(header["keys"]), meta=header["meta"], columns=columns,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise TraceError(f"{path}: there is no trace") from error
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise TraceError(f"{path.name}: no trace: {error}") from error
    check(trace)
    return trace
