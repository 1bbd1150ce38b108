"""Rows of the table from the orbit room's benchmark."""

from __future__ import annotations

from .bench_orbit import measure
from .figures import Figure, Outcome

_ROWS = {
    "find_passes_24h_12_stations_s": ("passes of 24 h, 12 stations", "s"),
    "plan_24h_12_stations_s": ("plan of 24 h, 12 stations", "s"),
    "first_plan_of_a_process_s": ("first plan of a process", "s"),
    "look_us": ("one look", "us"),
    "rate_us": ("one rate", "us"),
}


def outcome() -> Outcome:
    """Measure; every value is the median of repeated runs."""
    got = measure()
    rows = tuple(
        Figure(f"orbit, {name}", got[key], unit, limit=got.get(f"limit_{key}"))
        for key, (name, unit) in _ROWS.items()
    )
    return Outcome(rows, {"passes": got["passes"]})
