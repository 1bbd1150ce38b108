"""F1 and F2: a kill, or a full disk, at every call of a working day of the stores."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.values import Task
from eo_nodes.store.boots import Counters
from eo_nodes.store.ledger_store import LedgerStore
from eo_nodes.store.product_store import ProductStore
from eo_nodes.store.transfer_store import TransferStore


def _support(name: str) -> ModuleType:
    path = Path(__file__).parents[2] / "support" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


faults = _support("fault_fs")
BODY = bytes(range(256)) * 40
DAYS = 2
Ack = Callable[[str], None]


def _day(root: Path, fault: object, ack: Ack) -> int:
    """Write to every store; tell `ack` what was acknowledged, right after it was.

    A full disk is an error of one operation; the next is tried. Returns the errors.
    """
    store = LedgerStore(root / "ledger.db", connect=faults.fault_connect(fault))
    tasks = store.table("tasks", Task)
    counters = Counters(store)
    transfers = TransferStore(store)
    products = ProductStore(root / "products", files=faults.FaultFiles(fault))

    def pair(n: int) -> None:
        with store.transaction():
            tasks.put(f"pair-{n}-a", Task(id="a", prompt="a"))
            tasks.put(f"pair-{n}-b", Task(id="b", prompt="b"))

    errors = 0
    for n in range(DAYS):
        operations: list[tuple[str, Callable[[], object]]] = [
            ("task", partial(tasks.put, f"task-{n}", Task(id=f"task-{n}", prompt="ships?"))),
            ("count", partial(counters.next, "boot")),
            ("sequence", transfers.next_sequence),
            ("progress", partial(transfers.save, "t", {"progress": n})),
            ("product", partial(products.write, f"prd-{n}", [BODY, b"%d" % n])),
            ("pair", partial(pair, n)),
            ("deleted", partial(products.delete, f"prd-{n - 1}")),
        ]
        for name, operation in operations:
            try:
                value = operation()
                ack(f"{name} {value if name in ('count', 'sequence') else n}")
            except StorageError:
                errors += 1
    store.close()
    return errors


def _day_in_child(root: Path, kill_at: int) -> tuple[list[str], int]:
    """Run a day in a forked child that dies at a call; return what it acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            fault = faults.Fault(kill_at, faults.kill)
            _day(root, fault, lambda line: os.write(writing, f"{line}\n".encode()) and None)
            os.write(writing, f"calls {fault.calls}\n".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        lines = stream.read().splitlines()
    os.waitpid(child, 0)
    calls = next((int(line.split()[1]) for line in lines if line.startswith("calls")), 0)
    return [line for line in lines if not line.startswith("calls")], calls


def _check(root: Path, acked: list[str], label: str) -> None:
    done: dict[str, list[int]] = {}
    for line in acked:
        name, number = line.split()
        done.setdefault(name, []).append(int(number))
    store = LedgerStore(root / "ledger.db")
    tasks = store.table("tasks", Task)
    transfers = TransferStore(store)
    products = ProductStore(root / "products")
    for n in done.get("task", []):
        assert tasks.get(f"task-{n}") is not None, f"{label}: task {n} was lost"
    for n in range(DAYS):
        pair = [tasks.get(f"pair-{n}-{part}") is not None for part in "ab"]
        assert pair[0] == pair[1], f"{label}: half of pair {n} is there"
        assert pair[0] or n not in done.get("pair", []), f"{label}: pair {n} was lost"
    assert Counters(store).next("boot") > max(done.get("count", [0])), label
    assert transfers.next_sequence() > max(done.get("sequence", [-1])), label
    if "progress" in done:
        assert transfers.load_all()["t"]["progress"] >= done["progress"][-1], label
    for n in range(DAYS):
        path = products.path(f"prd-{n}")
        if path.exists():
            assert path.read_bytes() == BODY + b"%d" % n, f"{label}: half a file"
        elif n in done.get("product", []):
            is_deleted = n + 1 in done.get("deleted", []) or n + 1 in done.get("pair", [])
            assert is_deleted, f"{label}: product {n} was lost"
    assert products.sweep([f"prd-{n}" for n in range(DAYS)]) <= 1, label
    assert not store.database.quarantined, label
    store.close()


def test_f1_m24_kill_at_every_call_loses_nothing_acknowledged(tmp_path: Path) -> None:
    whole, calls = _day_in_child(_folder(tmp_path, 0), 0)
    assert len(whole) == 7 * DAYS and calls > 40
    for k in range(1, calls + 1):
        root = _folder(tmp_path, k)
        acked, finished = _day_in_child(root, k)
        assert finished == 0, f"call {k} of {calls} did not kill"
        _check(root, acked, f"killed at call {k} of {calls}")


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "stays_full"])
def test_f2_m25_full_disk_at_every_call_is_an_error_of_that_call(
    tmp_path: Path, lasts: bool
) -> None:
    counting = faults.Fault(0, faults.disk_full)
    assert _day(_folder(tmp_path, 0), counting, lambda line: None) == 0
    for k in range(1, counting.calls + 1):
        root = _folder(tmp_path, k)
        acked: list[str] = []
        errors = _day(root, faults.Fault(k, faults.disk_full, lasts=lasts), acked.append)
        assert errors >= 1 if lasts else errors == 1, f"full at call {k}"
        _check(root, acked, f"full at call {k}")


def _folder(root: Path, k: int) -> Path:
    folder = root / str(k)
    folder.mkdir()
    return folder
