"""How long a job lasts in lock-step: as measured, fixed, or as recorded in an earlier run."""

from __future__ import annotations

import json

from eo_nodes.contracts.errors import ConfigError


class Durations:
    """Durations of jobs.

    Args:
        mode: ``measured``; ``fixed``: each job lasts `fixed_ns`; ``file``: as in `file`.
        file: JSON lines with node, job, key, duration_ns; jobs not in it last as measured.
        fixed_ns: > 0.
    Raises:
        ConfigError: unknown mode, or the file cannot be read.
    """

    def __init__(self, *, mode: str, file: str, fixed_ns: int) -> None:
        if mode not in ("measured", "fixed", "file"):
            raise ConfigError(f"compute_mode {mode!r} is none of measured, fixed, file")
        self._mode = mode
        self._fixed_ns = fixed_ns
        self._known: dict[tuple[str, str, str], int] = {}
        if mode == "file":
            try:
                with open(file, encoding="utf-8") as lines:
                    for line in lines:
                        row = json.loads(line)
                        self._known[row["node"], row["job"], row["key"]] = int(row["duration_ns"])
            except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
                raise ConfigError(f"compute_file {file!r}: {error}") from error

    def of(self, node: str, job: str, key: str, measured_ns: int) -> int:
        """Return the duration of one job in ns, at least 1."""
        if self._mode == "fixed":
            return max(self._fixed_ns, 1)
        return max(self._known.get((node, job, key), measured_ns), 1)
