"""Rows with CRC, counters, transfer records, the database itself."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.values import VALUES, Answer, Step, Task, VisualPrompt
from eo_nodes.store.boots import Counters, open_ids
from eo_nodes.store.codec import decode, encode
from eo_nodes.store.database import Quarantined
from eo_nodes.store.ledger_store import LedgerStore
from eo_nodes.store.transfer_store import TransferStore


@dataclass(frozen=True, slots=True)
class Row:
    """A row with an optional and a nested part."""

    answer: Answer | None = None
    steps: tuple[Step, ...] = ()


def _flip(path: Path, sql: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    connection.execute(sql, values)
    connection.commit()
    connection.close()


def test_value_round_trip_keeps_kinds() -> None:
    row = Row(Answer(id="a", confidence=(1.0,), steps=(Step(name="x", stamp_ns=2**62),)), ())
    assert decode(Row, encode(row)) == row
    assert decode(Row, encode(Row())) == Row()


@pytest.mark.parametrize("name", sorted(VALUES))
def test_every_contract_value_round_trips(name: str) -> None:
    value = VALUES[name]()
    assert decode(VALUES[name], encode(value)) == value


def test_content_of_another_version_reads_with_defaults() -> None:
    assert decode(Task, '{"id":"t","no_such_field":1}') == Task(id="t")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"id":5}', '{"visual_prompts":[5]}', "null"])
def test_content_of_another_kind_is_a_storage_error(text: str) -> None:
    with pytest.raises(StorageError):
        decode(Task, text)


def test_rows_survive_reopening_and_closed_ones_are_not_read_at_start(tmp_path: Path) -> None:
    store = LedgerStore(tmp_path / "a.db")
    table = store.table("tasks", Task)
    task = Task(id="b", visual_prompts=(VisualPrompt(kind="point", xy=(1.0, 2.0)),))
    table.put("b", task)
    table.put("a", Task(id="a"), is_open=False)
    store.close()
    table = LedgerStore(tmp_path / "a.db").table("tasks", Task)
    assert table.open_rows() == [("b", task)]
    assert table.get("a") == Task(id="a")
    assert [key for key, _ in table.newest(1)] == ["b"]


def test_prune_keeps_open_rows_and_the_newest_closed(tmp_path: Path) -> None:
    table = LedgerStore(tmp_path / "a.db").table("tasks", Task)
    table.put("0", Task(id="0"))
    for n in range(1, 6):
        table.put(str(n), Task(id=str(n)), is_open=False)
    assert table.prune(2) == 3
    assert [key for key, _ in table.all_rows()] == ["0", "4", "5"]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE tasks SET body = replace(body, 'ships', 'shipt')",
        "UPDATE tasks SET closed = 0",
        "UPDATE tasks SET key = 'other'",
        "UPDATE tasks SET crc = crc + 1",
    ],
)
def test_f7_m24_a_flip_in_a_row_is_quarantined_and_reported_once(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "a.db"
    store = LedgerStore(path)
    store.table("tasks", Task).put("t", Task(id="t", prompt="ships?"), is_open=False)
    store.close()
    _flip(path, damage)
    reported: list[Quarantined] = []
    store = LedgerStore(path, on_quarantine=reported.append)
    table = store.table("tasks", Task)
    assert table.all_rows() == []
    assert table.all_rows() == []
    assert [row.table for row in reported] == ["tasks"]
    assert len(store.database.execute("SELECT * FROM quarantine")) == 1


def test_f7_a_flip_in_the_flag_does_not_hide_an_open_row(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = LedgerStore(path)
    store.table("tasks", Task).put("t", Task(id="t"))
    store.close()
    _flip(path, "UPDATE tasks SET closed = 4")
    store = LedgerStore(path)
    assert store.table("tasks", Task).open_rows() == []
    assert store.database.quarantined == [Quarantined("tasks", "t", "crc")]


def test_a_damaged_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError, match=r"a\.db"):
        LedgerStore(tmp_path / "a.db")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    LedgerStore(tmp_path / "a.db").close()
    _flip(tmp_path / "a.db", "PRAGMA user_version=99")
    with pytest.raises(StorageError, match="version 99"):
        LedgerStore(tmp_path / "a.db")


def test_m24_the_file_is_opened_with_wal_and_full_sync(tmp_path: Path) -> None:
    database = LedgerStore(tmp_path / "a.db").database
    assert database.execute("PRAGMA journal_mode") == [("wal",)]
    assert database.execute("PRAGMA synchronous") == [(2,)]


def _count_syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    synced, sync = [], os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(os.fstat(fd).st_size), sync(fd)))
    return synced


def test_m24_a_commit_that_need_not_be_durable_is_synced_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = _count_syncs(monkeypatch)
    store = LedgerStore(tmp_path / "a.db")
    table = store.table("tasks", Task)
    with store.transaction(durable=False):
        table.put("a", Task(id="a"))
        assert store.database.execute("PRAGMA synchronous") == [(1,)]
    seen_by_others = sqlite3.connect(tmp_path / "a.db").execute("SELECT key FROM tasks").fetchall()
    assert seen_by_others == [("a",)] and synced == []
    store.sync()
    assert synced == [(tmp_path / "a.db-wal").stat().st_size]
    store.sync()
    assert len(synced) == 1


def test_m24_a_durable_commit_brings_the_ones_before_it_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = _count_syncs(monkeypatch)
    store = LedgerStore(tmp_path / "a.db")
    table = store.table("tasks", Task)
    with store.transaction(durable=False):
        table.put("a", Task(id="a"))
    with store.transaction():
        table.put("b", Task(id="b"))
        assert store.database.execute("PRAGMA synchronous") == [(2,)]
    store.sync()
    assert synced == []


def test_a_refused_sync_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LedgerStore(tmp_path / "a.db")
    table = store.table("tasks", Task)
    with store.transaction(durable=False):
        table.put("a", Task(id="a"))

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", refuse)
        with pytest.raises(StorageError, match="input/output"):
            store.sync()
    synced = _count_syncs(monkeypatch)
    store.sync()
    assert len(synced) == 1


def test_a_failed_transaction_keeps_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    store = LedgerStore(tmp_path / "a.db")
    table = store.table("tasks", Task)
    with pytest.raises(RuntimeError), store.transaction():
        table.put("a", Task(id="a"))
        raise RuntimeError("in the middle")
    table.put("b", Task(id="b"))
    assert [key for key, _ in table.all_rows()] == ["b"]


def test_threads_of_one_process_take_turns(tmp_path: Path) -> None:
    counters = Counters(LedgerStore(tmp_path / "a.db"))
    given: list[int] = []

    def count() -> None:
        given.extend(counters.next("n") for _ in range(10))

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, 31))


def test_m29_ids_of_two_boots_differ_although_the_clock_went_back(tmp_path: Path) -> None:
    first = open_ids(LedgerStore(tmp_path / "a.db"), "tasking").new("task", 5_000_000)
    second = open_ids(LedgerStore(tmp_path / "a.db"), "tasking").new("task", 5_000_000)
    assert first == "task-00000000005-tasking-0001-00001"
    assert second == "task-00000000005-tasking-0002-00001"


def test_f7_m01_a_flip_in_one_bank_of_a_counter_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = LedgerStore(path)
    transfers = TransferStore(store)
    assert [transfers.next_sequence() for _ in range(3)] == [0, 1, 2]
    store.close()
    _flip(path, "UPDATE counters SET body = '{\"value\":0}' WHERE key LIKE '%/a'")
    store = LedgerStore(path)
    assert TransferStore(store).next_sequence() == 3
    assert len(store.database.quarantined) == 1


def test_f7_m01_a_counter_lost_in_both_banks_is_an_error_and_no_repeat(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = LedgerStore(path)
    TransferStore(store).next_sequence()
    store.close()
    _flip(path, "UPDATE counters SET crc = 0")
    with pytest.raises(StorageError, match="both rows"):
        TransferStore(LedgerStore(path)).next_sequence()


def test_transfer_records_of_two_entities_do_not_mix(tmp_path: Path) -> None:
    store = LedgerStore(tmp_path / "a.db")
    space, ground = TransferStore(store, "space"), TransferStore(store, "ground")
    space.save("1:0", {"ranges": [[0, 5]], "name": "x", "done": False, "size": None})
    ground.save("1:0", {})
    space.save("1:1", {})
    space.delete("1:1")
    space.delete("never there")
    assert space.load_all() == {
        "1:0": {"ranges": [[0, 5]], "name": "x", "done": False, "size": None}
    }
    assert ground.load_all() == {"1:0": {}}
    assert (space.next_sequence(), space.next_sequence(), ground.next_sequence()) == (0, 1, 0)
