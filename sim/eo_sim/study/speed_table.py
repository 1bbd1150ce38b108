"""How fast the table was replayed: requests and satellite-days a second, by policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .config import WorldConfig

LEAST_DAYS_PER_S = 1.0


def speed_table(rows: Sequence[Mapping[str, Any]], world: WorldConfig) -> dict[str, Any]:
    """Rows by policy, slowest first, and whether all replay a satellite-day in a second.

    A satellite-day holds the requests that are replayed of it (``replayed_a_day``).
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


def _requests(figures: Mapping[str, Any]) -> int:
    return int(figures["n"] + figures.get("onboard", {"n": 0})["n"])
