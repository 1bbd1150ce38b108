"""Give back shared memory that Fast DDS processes left when they were killed.

Each participant owns a segment ``fastdds_<16 hex digits>`` in /dev/shm, up to 67 MB and resident,
and holds a lock (flock) on ``<segment>_el`` as long as it lives. After SIGKILL both files stay for
ever. Names are random and never used again, so a segment whose lock is free has no owner any
more; who still has it mapped keeps what is mapped.

Not here: ports (``fastdds_port*``): small, named by number, and taken over by the next owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path

FOLDER = Path("/dev/shm")
_LOCK = re.compile(r"fastdds_[0-9a-f]{16}_el")
# An owner makes the file of the lock first and locks it then: leave the new ones alone.
_NEW_S = 10.0


def remove_stale_segments(folder: Path = FOLDER) -> int:
    """Remove segments without a living owner, whosever they were.

    Those of other users, and what cannot be looked at, are left as they are.

    Returns:
        How many bytes were given back.
    """
    freed_bytes = 0
    with contextlib.suppress(OSError):  # no such folder: nothing to do
        for lock in folder.iterdir():
            if _LOCK.fullmatch(lock.name):
                freed_bytes += _remove_if_stale(lock)
    return freed_bytes


def _remove_if_stale(lock: Path) -> int:
    segment = lock.with_name(lock.name.removesuffix("_el"))
    try:
        number = os.open(lock, os.O_RDONLY)
    except OSError:
        return 0
    try:
        if time.time() - os.fstat(number).st_mtime < _NEW_S:
            return 0
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size_bytes = segment.stat().st_blocks * 512 if segment.exists() else 0
        segment.unlink(missing_ok=True)
        lock.unlink()
    except OSError:  # in use, or not ours
        return 0
    finally:
        os.close(number)
    return size_bytes
