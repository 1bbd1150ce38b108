"""What the table holds beside replays: kept regions, compute, speed, and a list of all limits."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.graph.paths import project_file

from . import kept
from .config import StudyConfig
from .goals import MISSED, goals
from .keep import reasons
from .speed import growth
from .speed_table import COUNTS
from .trace import Trace

# The dearest and the cheapest to replay.
_TIMED = ("ours", "satellite_only")


def folders() -> dict[str, Path]:
    """The released models' folders.

    Raises:
        ConfigError: there are none.
    """
    return {name: project_file(f"models/{name}") for name in ("compact", "regular")}


def kept_file() -> Path | None:
    """The committed figures of kept regions; None where there are none yet."""
    try:
        return project_file(kept.FILE)
    except ConfigError:
        return None


def complete(
    table: Mapping[str, Any], trace: Trace, config: StudyConfig, *, begun_s: float,
    recomputed: int, models: Mapping[str, Path], kept_at: Path | None,
    made_from: Mapping[str, str], counts: Sequence[int] = COUNTS,
) -> dict[str, Any]:
    """The table with what is measured apart from the replays, and all limits.

    Args:
        table: of ``Study.table``. begun_s: when the command began, by the monotonic clock.
        recomputed: requests that were asked again. models: folders ``compact`` and ``regular``.
        kept_at: figures of kept regions. made_from: digests, see ``keep.sources``.
        counts: of requests, for the speed; () leaves it out.
    Raises:
        StudyError: the file of kept regions, or of reasons, cannot be read.
    """
    timed = {name: table["tuned"][name]["setting"] for name in _TIMED} if counts else {}
    found: dict[str, Any] = {
        **table, "recomputed": recomputed, "sources": dict(made_from),
        "kept_regions": kept.kept_regions(kept_at, trace.digests, models),
        "compute": compute(trace, models["compact"]),
        "growth": growth(trace, config, timed, counts),
    }  # fmt: skip
    cores = len(os.sched_getaffinity(0))
    found["machine"] |= {
        "seconds": time.monotonic() - begun_s, "cores": cores, "load": os.getloadavg()[0]}
    return {**found, "limits": explained(goals(found), reasons())}


def explained(rows: Sequence[dict[str, Any]], why: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows of limits; those that are missed with the reason that was written for them."""
    return [row | {"reason": why.get(row["figure"], "")} if row["outcome"] == MISSED else row
            for row in rows]


def compute(trace: Trace, compact: Path) -> dict[str, Any]:
    """Confidence and planning beside the compact model, where it is the one of the trace."""
    if not kept.answers_of(compact, trace.digests["compact"]):
        return {"is_measured": False, "why": "not measured for these models (others are here)"}
    from .overhead import compute_table, overhead

    return compute_table(overhead(compact))
