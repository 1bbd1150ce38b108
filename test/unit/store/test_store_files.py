"""Frames and products: complete or absent, bounded, pinned."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.errors import FrameStoreError, StorageError
from eo_nodes.store.files import file_name
from eo_nodes.store.frame_store import FrameStore
from eo_nodes.store.product_store import ProductStore


def _frame(value: int = 1, dtype: str = "uint8") -> np.ndarray:
    return np.full((1, 10, 10, 1), value, dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_a_frame_comes_back_as_it_was(tmp_path: Path, dtype: str) -> None:
    store = FrameStore(tmp_path, 10_000)
    pixels = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(dtype)
    handle = store.put("scene/1", pixels)
    opened = store.open("scene/1", handle.shape, handle.dtype, handle.sha256)
    assert isinstance(opened, np.memmap)
    np.testing.assert_array_equal(opened, pixels)
    assert not opened.flags.writeable
    assert (handle.shape, handle.dtype, handle.evicted) == ((2, 3, 4, 5), dtype, ())


def test_a_frame_that_is_not_contiguous_is_stored_in_c_order(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(1, 4, 3, 2).transpose(0, 2, 1, 3)
    store = FrameStore(tmp_path, 1000)
    np.testing.assert_array_equal(store.open(store.put("k", pixels)), pixels)


def test_another_process_reads_the_frame_and_its_pin_counts_here(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, 1000)
    handle = store.put("k", _frame(7))
    script = (
        "import sys; from pathlib import Path; from eo_nodes.store.frame_store import FrameStore\n"
        "store = FrameStore(Path(sys.argv[1]), 1000); store.pin('k', 'req-1')\n"
        "print(int(store.open('k', (1, 10, 10, 1), 'uint8', sys.argv[2]).sum()))"
    )
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), handle.sha256],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.stdout == "700\n"
    assert store.pins("k") == {"req-1"}


def test_f7_a_flip_in_a_frame_is_found_on_opening(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, 1000)
    handle = store.put("k", _frame())
    data = bytearray(handle.path.read_bytes())
    data[50] ^= 4
    handle.path.write_bytes(data)
    with pytest.raises(FrameStoreError, match="digest"):
        store.open(handle)


def test_a_frame_replaced_after_it_was_verified_is_verified_again(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, 1000)
    old = store.put("k", _frame(1))
    store.open(old)
    new = store.put("k", _frame(2))
    assert int(store.open(new)[0, 0, 0, 0]) == 2
    with pytest.raises(FrameStoreError, match="digest"):
        store.open(old)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 10, 11, 1), "uint8"), ((1, 10, 10, 1), "uint16"), ((1,), "nonsense")]
)
def test_a_handle_that_does_not_fit_is_refused(
    tmp_path: Path, shape: tuple[int, ...], dtype: str
) -> None:
    store = FrameStore(tmp_path, 1000)
    handle = store.put("k", _frame())
    with pytest.raises(FrameStoreError):
        store.open("k", shape, dtype, handle.sha256)


def test_an_absent_frame_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, 1000)
    with pytest.raises(FrameStoreError, match="not in the store"):
        store.open("gone", (1, 1, 1, 1), "uint8", "0" * 64)
    with pytest.raises(FrameStoreError, match="is no"):
        store.put("k", np.zeros((0, 1, 1, 1), np.uint8))


def test_m25_the_oldest_frame_without_a_pin_goes_first(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, 300)
    handles = {key: store.put(key, _frame(n)) for n, key in enumerate("abc")}
    mapped = store.open(handles["b"])
    assert store.pin("a", "req-1")
    new = store.put("d", _frame(9))
    assert new.evicted == ("b",)
    assert store.keys() == ("a", "c", "d")
    assert int(mapped[0, 0, 0, 0]) == 1, "a reader keeps what it has open"
    assert store.size_bytes() == 300


def test_m25_pinned_frames_never_go(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, 200)
    for key in "ab":
        store.put(key, _frame())
        store.pin(key, "req-1")
    with pytest.raises(FrameStoreError, match="pinned"):
        store.put("c", _frame())
    store.unpin("a", "req-1")
    store.unpin("a", "req-1")
    assert store.put("c", _frame()).evicted == ("a",)


def test_a_pin_of_a_frame_that_is_gone_says_so(tmp_path: Path) -> None:
    assert not FrameStore(tmp_path, 100).pin("gone", "req-1")


def test_recovery_sweeps_half_frames_and_pins_that_nobody_wants(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, 1000)
    for key in "ab":
        store.put(key, _frame())
        store.pin(key, "old")
    (tmp_path / "frames" / "c.frame.part").write_bytes(b"half")
    store.restore_pins({"b": frozenset({"new"})})
    assert store.sweep() == 1
    assert (store.pins("a"), store.pins("b")) == (frozenset(), {"new"})
    assert [p.name for p in (tmp_path / "frames").iterdir() if p.suffix == ".part"] == []


@pytest.mark.parametrize("key", ["..", ".", "../../etc/passwd", "a/b", ".hidden", "ä" * 30])
def test_m09_no_key_leaves_the_folder(tmp_path: Path, key: str) -> None:
    store = FrameStore(tmp_path / "store", 1000)
    handle = store.put(key, _frame())
    assert handle.path.resolve().is_relative_to(tmp_path / "store" / "frames")
    assert store.keys() == (key,)


def test_a_key_too_long_for_a_file_is_an_error() -> None:
    with pytest.raises(StorageError, match="makes no file name"):
        file_name("x" * 300)


def test_m24_a_product_is_whole_and_replaced_as_a_whole(tmp_path: Path) -> None:
    store = ProductStore(tmp_path)
    store.write("prd-1", b"first")
    made = store.write("prd-1", [b"sec", b"ond"])
    assert store.read("prd-1") == b"second"
    assert (made.size_bytes, made.path) == (6, str(store.path("prd-1")))
    assert made.sha256 == "16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4"


def test_m08_a_product_goes_after_delivery_and_absent_is_fine(tmp_path: Path) -> None:
    store = ProductStore(tmp_path)
    store.write("prd-1", b"x")
    store.delete("prd-1")
    store.delete("prd-1")
    with pytest.raises(StorageError, match="prd-1"):
        store.read("prd-1")


def test_a_product_made_already_is_found_with_its_digest(tmp_path: Path) -> None:
    store = ProductStore(tmp_path)
    made = store.write("prd-1", b"second")
    assert store.find("prd-1") == made
    assert store.find("prd-2") is None


def test_m25_five_percent_are_for_urgent_products(tmp_path: Path) -> None:
    store = ProductStore(tmp_path, 1000)
    store.write("prd-1", bytes(950))
    with pytest.raises(StorageError, match="full"):
        store.write("prd-2", bytes(10))
    store.write("answer", bytes(10), urgent=True)
    assert store.read("prd-1") == bytes(950), "reads go on"


def test_m26_a_sweep_keeps_what_the_queue_wants(tmp_path: Path) -> None:
    store = ProductStore(tmp_path)
    for name in ("prd-1", "prd-2"):
        store.write(name, b"x")
    (tmp_path / "prd-3.product.part").write_bytes(b"half")
    assert store.sweep(["prd-2"]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["prd-2.product"]
