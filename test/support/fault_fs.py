"""A fault shim: counts write, fsync, rename, unlink and commit, and fails at call k (F1, F2)."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eo_nodes.store.files import Files


class Killed(BaseException):
    """The process died here. Not an Exception: nothing may catch it and go on."""


class Fault:
    """Counts calls and acts at the k-th.

    Args:
        at: number of the call, from 1; 0 for never.
        act: what happens then.
        lasts: it happens at every later call, too.
    """

    def __init__(self, at: int, act: Callable[[], None], *, lasts: bool = False) -> None:
        self.at = at
        self.calls = 0
        self._act = act
        self._lasts = lasts

    def count(self) -> None:
        """Count a call; act when it is the one."""
        self.calls += 1
        if self.at and (self.calls == self.at or (self._lasts and self.calls > self.at)):
            self._act()


def kill() -> None:
    """Die without any clean-up, as by SIGKILL."""
    os._exit(137)


def disk_full() -> None:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FaultFiles(Files):
    """System calls that count; a fault hits before the call has had its effect.

    A write of more than one byte is counted twice, before and half way: a kill may cut it.
    """

    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def write(self, descriptor: int, data: memoryview) -> int:
        self._fault.count()
        done = super().write(descriptor, data[: max(len(data) // 2, 1)])
        self._fault.count()
        return done

    def fsync(self, descriptor: int) -> None:
        self._fault.count()
        super().fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._fault.count()
        super().rename(source, target)

    def fsync_folder(self, folder: Path) -> None:
        self._fault.count()
        super().fsync_folder(folder)

    def unlink(self, path: Path) -> None:
        self._fault.count()
        super().unlink(path)


def fault_connect(fault: Fault) -> Callable[..., sqlite3.Connection]:
    """Return a stand-in for `sqlite3.connect` whose writes and commits count.

    An `OSError` of the fault becomes what SQLite makes of it.
    """

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            try:
                return self._counted(sql, *values)
            except OSError as error:
                raise sqlite3.OperationalError("database or disk is full") from error

        def _counted(self, sql: str, *values: Any) -> sqlite3.Cursor:
            verb = sql.split(None, 1)[0].upper()
            if verb == "COMMIT":
                # Once before and once after: the commit may be durable and not yet reported.
                fault.count()
                cursor = super().execute(sql, *values)
                fault.count()
                return cursor
            if verb in ("INSERT", "DELETE", "UPDATE"):
                fault.count()
            return super().execute(sql, *values)

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        return sqlite3.connect(*args, factory=Connection, **options)

    return connect
