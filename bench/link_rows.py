"""Rows of the table from the link's benchmark."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict

from .bench_link import LIMIT, Result, measure, search
from .figures import Figure, Outcome, figure_of
from .stats import summarise

_RATE_BPS = 50e6
_LOSSES = (0.0, 0.1)
_ROUNDS, _WINDOW_S, _SEARCH_S = 3, 2.0, 20.0


def outcome() -> Outcome:
    """Measure both losses in turns, then look for the highest rate."""
    runs: dict[float, list[Result]] = {loss: [] for loss in _LOSSES}
    for _ in range(_ROUNDS):
        for loss, results in runs.items():
            results.append(measure(_RATE_BPS, loss, _WINDOW_S))
    best, tried = search(100e6, time.monotonic() + _SEARCH_S)
    rows = [_row(loss, results) for loss, results in runs.items()]
    rows.append(
        Figure(
            f"link, highest rate at {LIMIT:.0%}",
            best.rate_bps / 1e6 if best else None,
            "Mbit/s",
            note="of capacity, no loss; doubled, then halved between",
        )
    )
    details = {
        "fixed": [asdict(result) for results in runs.values() for result in results],
        "search": [asdict(result) for result in tried],
    }
    return Outcome(tuple(rows), details)


def _row(loss: float, results: list[Result]) -> Figure:
    shares = summarise([100 * r.share_of_capacity for r in results])
    space = statistics.median(r.cpu_space for r in results)
    ground = statistics.median(r.cpu_ground for r in results)
    of_rate = statistics.median(r.share_of_rate for r in results)
    note = f"of capacity, {of_rate:.1%} of rate; CPU {space:.0%} space, {ground:.0%} ground"
    limit = 100 * LIMIT if loss == 0 else None
    name = f"link 50 Mbit/s, {loss:.0%} loss"
    return figure_of(name, shares, "%", limit=limit, at_least=True, note=note)
