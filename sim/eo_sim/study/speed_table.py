"""How fast the table was replayed, by policy, and how cost and memory grow with requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .config import WorldConfig

LEAST_DAYS_PER_S = 1.0
# Requests of growing replays.
COUNTS = (10_000, 100_000, 1_000_000)
# Cost is linear and memory flat: a request at most so many times as dear among the most as among
# the fewest, and at most so much more memory.
MOST_COST_RATIO, MOST_MORE_MB = 1.25, 16.0


class Measured(Protocol):
    """One replay in a process of its own."""

    @property
    def requests(self) -> int: ...
    @property
    def days(self) -> float: ...
    @property
    def cpu_s(self) -> float: ...
    @property
    def peak_mb(self) -> float: ...


def speed_table(rows: Sequence[Mapping[str, Any]], world: WorldConfig) -> dict[str, Any]:
    """Rows by policy, slowest first, and whether all replay a satellite-day in a second.

    Seconds are the processor's. A satellite-day holds the requests that are replayed of it
    (``replayed_a_day``).
    """
    days = len(world.satellites) * world.hours / 24
    found = []
    for name in dict.fromkeys(row["policy"] for row in rows):
        mine = [row for row in rows if row["policy"] == name]
        spent_s = max(sum(row["replay_s"] for row in mine), 1e-9)
        requests = sum(_requests(row["figures"]) for row in mine)
        found.append({
            "policy": name, "replays": len(mine), "requests": requests, "seconds": spent_s,
            "requests_per_s": requests / spent_s,
            "satellite_days_per_s": len(mine) * days / spent_s,
        })  # fmt: skip
    found.sort(key=lambda row: row["satellite_days_per_s"])
    return {
        "policies": found, "limit_days_per_s": LEAST_DAYS_PER_S,
        "is_reached": all(row["satellite_days_per_s"] >= LEAST_DAYS_PER_S for row in found),
    }  # fmt: skip


def growth_of(
    load: str, measured: Mapping[str, tuple[Sequence[Measured], str]]
) -> dict[str, Any]:
    """Rows and limits by policy.

    Args:
        measured: rows by policy, fewest requests first, and what was left out, in words.
    """
    found = {}
    for name, (rows, skipped) in measured.items():
        each = [row.cpu_s / row.requests for row in rows]
        slowest, ratio = min(row.days / row.cpu_s for row in rows), each[-1] / each[0]
        more_mb = rows[-1].peak_mb - rows[0].peak_mb
        is_more = len(rows) > 1
        found[name] = {
            "rows": [{
                "requests": row.requests, "days": row.days, "cpu_s": row.cpu_s,
                "us_each": 1e6 * one, "days_per_s": row.days / row.cpu_s, "peak_mb": row.peak_mb,
            } for row, one in zip(rows, each, strict=True)],
            "skipped": skipped, "days_per_s": slowest, "is_fast": slowest >= LEAST_DAYS_PER_S,
            "cost_ratio": ratio, "is_linear": ratio <= MOST_COST_RATIO if is_more else None,
            "more_mb": more_mb, "is_flat": more_mb <= MOST_MORE_MB if is_more else None,
        }  # fmt: skip
    return {"load": load, "policies": found,
            "limits": {"cost_ratio": MOST_COST_RATIO, "more_mb": MOST_MORE_MB}}


def _requests(figures: Mapping[str, Any]) -> int:
    return int(figures["n"] + figures.get("onboard", {"n": 0})["n"])
