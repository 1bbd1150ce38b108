"""The trace file: round trip, size, and what its reader refuses by name."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from study_trace import made_trace

from eo_sim.study.errors import TraceError
from eo_sim.study.trace import COLUMNS, check, load_trace, save_trace

TRACE = made_trace(chips=10)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "sub" / "trace.npz"
    size = save_trace(TRACE, path)
    again = load_trace(path)
    assert size == path.stat().st_size
    assert (again.keys, again.levels, again.names) == (TRACE.keys, TRACE.levels, TRACE.names)
    for name in COLUMNS:
        assert np.array_equal(again[name], TRACE[name]), name


def test_the_same_trace_is_the_same_bytes(tmp_path):
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    save_trace(TRACE, one)
    save_trace(TRACE, two)
    assert one.read_bytes() == two.read_bytes()


def test_some_thousand_requests_fit_in_four_megabytes(tmp_path):
    size = save_trace(made_trace(chips=500), tmp_path / "trace.npz")
    assert size < 4_000_000


def with_column(name, values):
    return replace(TRACE, columns={**TRACE.columns, name: values})


def spoilt(name, row, value):
    values = TRACE[name].copy()
    values[row] = value
    return with_column(name, values)


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        (spoilt("compact_quality", 7, 1.5), "compact_quality, row 7: 1.5"),
        (spoilt("regular_quality", (3, 1), np.nan), "regular_quality, row 3"),
        (spoilt("level_bytes", (4, 0), 0), "level_bytes, row 4"),
        (spoilt("deadline", 2, 3), "deadline, row 2"),
        (spoilt("modality", 5, 9), "modality, row 5: code 9, 3 names"),
        (spoilt("compact_flops", (6, 2), 1.0), "compact_flops, row 6: a later tap costs less"),
        (with_column("novelty", TRACE["novelty"].astype("float64")), "novelty: float64"),
        (with_column("stats", TRACE["stats"][:, :2]), "stats: shape"),
        (replace(TRACE, columns={k: v for k, v in TRACE.columns.items() if k != "size"}), "size"),
        (replace(TRACE, digests={"compact": "c" * 64}), "digest of regular"),
        (spoilt("split", 0, 1 - int(TRACE["split"][0])), "is in both splits"),
    ],
)
def test_what_is_wrong_is_named(trace, words):
    with pytest.raises(TraceError, match=words.replace("(", r"\(")):
        check(trace)


@pytest.mark.parametrize("spoil", [lambda b: b[:200], lambda b: b"nothing", lambda b: b""])
def test_damaged_files_are_refused(tmp_path, spoil):
    path = tmp_path / "trace.npz"
    save_trace(TRACE, path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(TraceError):
        load_trace(path)


def test_an_absent_file_says_so(tmp_path):
    with pytest.raises(TraceError, match="there is no trace"):
        load_trace(tmp_path / "none.npz")


def test_rows_of_a_split_and_levels_by_name():
    val, test = TRACE.rows("val"), TRACE.rows("test")
    assert len(val) + len(test) == len(TRACE)
    assert set(TRACE["scene"][val]) & set(TRACE["scene"][test]) == set()
    assert TRACE.level("lossy") == 2
    with pytest.raises(TraceError, match="no level 'best'"):
        TRACE.level("best")
