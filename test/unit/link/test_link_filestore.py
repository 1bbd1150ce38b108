"""DiskFilestore: confinement, durability, one kind of error (M8, M9, M24)."""

from __future__ import annotations

import errno
import os

import pytest

from eo_nodes.link import DiskFilestore, FilestoreError


@pytest.fixture
def store():
    store = DiskFilestore()
    yield store
    store.close()


def test_write_out_of_order_sync_publish_read(store, tmp_path):
    part, final = str(tmp_path / ".part/1-0.part"), str(tmp_path / "a/b.bin")
    store.write(part, 4, b"five")
    store.write(part, 0, memoryview(b"four"))
    store.sync(part)
    store.publish(part, final)
    assert store.read(final, 2, 100) == b"urfive"
    assert (store.size_bytes(final), store.exists(part)) == (8, False)


def test_m24_publish_syncs_file_then_renames_then_syncs_folder(store, tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(descriptor):
        is_folder = os.path.isdir(f"/proc/self/fd/{descriptor}")
        calls.append("fsync folder" if is_folder else "fsync file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), replace(a, b)))
    part = str(tmp_path / "x.part")
    store.write(part, 0, b"x")
    store.publish(part, str(tmp_path / "x"))
    assert calls == ["fsync file", "rename", "fsync folder"]


def test_publish_replaces_what_was_open_under_the_final_name(store, tmp_path):
    final, part = str(tmp_path / "f"), str(tmp_path / "f.part")
    store.write(final, 0, b"old")
    assert store.read(final, 0, 9) == b"old"
    store.write(part, 0, b"new")
    store.publish(part, final)
    assert store.read(final, 0, 9) == b"new"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", ".", "link/x", "folder"])
def test_m09_paths_outside_the_root_are_refused(store, tmp_path, name):
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(FilestoreError):
        store.confine(str(root), name)


def test_confined_path_lies_under_the_root(store, tmp_path):
    assert store.confine(str(tmp_path), "a/b") == str(tmp_path.resolve() / "a/b")


def test_m08_unfinished_and_missing_files_are_not_complete(store, tmp_path):
    for name in ("p.bin", "p.bin.tmp", "p.bin.part"):
        (tmp_path / name).write_bytes(b"x")
    names = ("p.bin", "p.bin.tmp", "p.bin.part", "none", "")
    complete = [store.is_complete(str(tmp_path / name)) for name in names]
    assert complete == [True, False, False, False, False]


def test_trap4_full_disk_is_a_filestore_error(store, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(FilestoreError, match="No space"):
        store.write(str(tmp_path / "f"), 0, b"x")


def test_short_writes_are_continued(store, tmp_path, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:3], at))
    store.write(str(tmp_path / "f"), 5, b"0123456789")
    assert (tmp_path / "f").read_bytes()[5:] == b"0123456789"


def test_missing_files_are_filestore_errors(store, tmp_path):
    path = str(tmp_path / "none")
    for call in (lambda: store.read(path, 0, 1), lambda: store.size_bytes(path)):
        with pytest.raises(FilestoreError):
            call()
    store.remove(path)


def test_open_files_are_bounded(store, tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for i in range(100):
        store.write(str(tmp_path / f"f{i}"), 0, b"x")
    assert len(os.listdir("/proc/self/fd")) - before <= 33
    assert store.read(str(tmp_path / "f0"), 0, 1) == b"x"
