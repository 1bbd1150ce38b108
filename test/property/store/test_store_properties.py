"""Rows and frames against a plain dictionary; any damaged byte is found."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from eo_nodes.contracts.errors import FrameStoreError, StorageError
from eo_nodes.contracts.values import Task
from eo_nodes.store.codec import decode, encode
from eo_nodes.store.files import file_name
from eo_nodes.store.frame_store import FrameStore
from eo_nodes.store.ledger_store import LedgerStore

WORDS = st.text(st.characters(), max_size=20)  # lone surrogates, too


@seed(1)
@settings(max_examples=60, deadline=None, database=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("put", "close", "delete", "fail")), st.sampled_from("abcd"), WORDS
        ),
        max_size=25,
    )
)
def test_a_table_behaves_as_a_dictionary(steps: list[tuple[str, str, str]]) -> None:
    store = LedgerStore(":memory:")
    table = store.table("tasks", Task)
    model: dict[str, tuple[Task, bool]] = {}
    for step, key, text in steps:
        task = Task(id=key, prompt=text)
        if step == "delete":
            table.delete(key)
            model.pop(key, None)
        elif step == "fail":
            with pytest.raises(RuntimeError), store.transaction():
                table.put(key, task)
                raise RuntimeError
        else:
            table.put(key, task, is_open=step == "put")
            model[key] = (task, step == "put")
    assert table.all_rows() == [(k, model[k][0]) for k in sorted(model)]
    assert table.open_rows() == [(k, model[k][0]) for k in sorted(model) if model[k][1]]
    assert store.database.quarantined == []


@seed(2)
@settings(max_examples=150, deadline=None, database=None)
@given(st.text(max_size=60))
def test_any_text_decodes_or_is_a_storage_error(text: str) -> None:
    with contextlib.suppress(StorageError):
        assert isinstance(decode(Task, text), Task)


@seed(3)
@settings(max_examples=100, deadline=None, database=None)
@given(WORDS, st.lists(st.floats(allow_nan=False), max_size=5), st.integers(-(2**63), 2**63 - 1))
def test_a_task_round_trips(text: str, area: list[float], stamp_ns: int) -> None:
    task = Task(id=text, prompt=text, area=tuple(area), stamp_ns=stamp_ns)
    assert decode(Task, encode(task)) == task


@seed(4)
@settings(max_examples=100, deadline=None, database=None)
@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_m09_file_names_are_flat_and_of_one_key_only(a: str, b: str) -> None:
    try:
        names = file_name(a), file_name(b)
    except StorageError:
        return
    assert all("/" not in name and name[0] != "." for name in names)
    assert (names[0] == names[1]) == (a == b)


@seed(5)
@settings(max_examples=25, deadline=None, database=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("put", "pin", "unpin")), st.sampled_from("abcdef"), st.integers(1, 4)
        ),
        max_size=25,
    )
)
def test_m25_frames_are_bounded_whole_and_never_evicted_under_a_pin(
    steps: list[tuple[str, str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = FrameStore(Path(folder), 1000)
        held: dict[str, tuple[tuple[int, ...], str]] = {}
        pins: set[str] = set()
        for step, key, rows in steps:
            if step == "pin" and store.pin(key, "req"):
                pins.add(key)
            elif step in ("pin", "unpin"):
                store.unpin(key, "req")
                pins.discard(key)
            else:
                pixels = np.full((1, rows, 100, 1), ord(key), np.uint8)
                try:
                    handle = store.put(key, pixels)
                except FrameStoreError:
                    assert sum(held[k][0][1] * 100 for k in pins - {key}) + rows * 100 > 1000
                    continue
                for gone in handle.evicted:
                    assert gone not in pins
                    del held[gone]
                held[key] = (handle.shape, handle.sha256)
            assert set(store.keys()) == set(held)
            assert store.size_bytes() <= 1000
        for key, (shape, sha256) in held.items():
            assert int(store.open(key, shape, "uint8", sha256)[0, 0, 0, 0]) == ord(key)
