"""Shared memory of processes that were killed is given back, that of living ones is not."""

import fcntl
import os
import re
import time
from pathlib import Path

from wanderer import wandering

from eo_nodes.graph.shared_memory import FOLDER, remove_stale_segments

DOMAIN = 70 + os.getpid() % 5


def segments_of(pid):
    """Return the segments that a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {FOLDER / name for name in re.findall(r"/dev/shm/(fastdds_[0-9a-f]{16})\b", maps)}


def lock_of(segment):
    return segment.with_name(f"{segment.name}_el")


def make(folder, name, age_s):
    """Write a segment with a lock of this age."""
    segment = folder / name
    segment.write_bytes(bytes(8192))
    lock_of(segment).touch()
    made_s = time.time() - age_s
    os.utime(lock_of(segment), (made_s, made_s))
    return segment


def test_only_old_segments_without_an_owner_go(tmp_path):
    stale = make(tmp_path, "fastdds_0123456789abcdef", 60)
    new = make(tmp_path, "fastdds_1123456789abcdef", 0)
    owned = make(tmp_path, "fastdds_2123456789abcdef", 60)
    others = [make(tmp_path, name, 60) for name in ("fastdds_port7411", "fastdds_0123", "other")]
    bare = tmp_path / "fastdds_3123456789abcdef"
    bare.touch()
    with lock_of(owned).open() as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        assert remove_stale_segments(tmp_path) == 8192
        assert not stale.exists() and not lock_of(stale).exists()
        for kept in (new, owned, *others):
            assert kept.exists() and lock_of(kept).exists(), kept.name
        assert bare.exists()

    assert remove_stale_segments(tmp_path) == 8192, "its owner is gone now"
    assert not owned.exists()


def test_no_folder_is_no_error(tmp_path):
    assert remove_stale_segments(tmp_path / "missing") == 0


def test_segments_of_a_killed_process_go_and_those_of_a_living_one_stay():
    with wandering(DOMAIN) as living, wandering(DOMAIN) as dying:
        segments = segments_of(living.pid) | segments_of(dying.pid)
        assert len(segments) == 2, "one for each participant"
        for segment in segments:
            os.utime(lock_of(segment), (0, 0))
        remove_stale_segments()
        assert all(segment.exists() for segment in segments), "both are alive"

        dying.kill()
        dying.wait()
        remove_stale_segments()
        (gone,) = (segment for segment in segments if not segment.exists())
        assert not lock_of(gone).exists()
