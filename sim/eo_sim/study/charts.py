"""The plots of build/study, from the values of the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .plots import Series, plot
from .trace import DEADLINES_MIN

MINUTES = tuple(f"{minutes:g}" for minutes in DEADLINES_MIN)


def nominal(table: Mapping[str, Any]) -> tuple[float, str]:
    """Rate and load at which whole curves were replayed."""
    row = next((r for r in table["rows"] if not r["is_tuned"]), table["rows"][0])
    return row["rate_mbps"], row["load"]


def plots(table: Mapping[str, Any]) -> dict[str, str]:
    """SVG documents by file name."""
    rate, load = nominal(table)
    mine = [r for r in table["rows"] if (r["rate_mbps"], r["load"]) == (rate, load)
            and r["role"] != "ablation"]
    where = f"{rate:g} Mbit/s, {load}"
    ranking = table["ranking"]
    shown = [r for r in ranking if r["stage"] in ("", "end") or r["target"] == "gain"]
    found = {
        "accuracy_bytes": plot(f"Accuracy against bytes, {where}", "kB down a request",
                               "final accuracy, %", _curves(mine, _bytes_kb, "final"),
                               is_log_x=True),
        "accuracy_latency": plot(f"Accuracy against latency, {where}",
                                 "mean capture to answer, min", "final accuracy, %",
                                 _curves(mine, _minutes, "final"), is_log_x=True),
        "offload": plot("Accuracy against share asked of the ground", "share asked, %",
                        "accuracy, %", [
                            Series(f"{r['target']} {r['stage']}".strip(),
                                   [100 * x for x in r["shares"]],
                                   [100 * y for y in r["accuracy"]]) for r in shown]),
        "risk_coverage": plot("Risk against coverage, answers on board", "coverage, %", "risk, %", [
            Series(r["stage"], [100 * x for x in r["coverage"]], [100 * y for y in r["risk"]])
            for r in table["scores"] if r["group"] == "all"]),
        "reliability": plot("Reliability of the correctness scores", "chance said, %",
                            "right, %", [*_reliability(table["scores"])]),
    }
    for minutes in MINUTES:
        found[f"within_{minutes}"] = plot(
            f"Accuracy within {minutes} min against bytes, {where}", "kB down a request",
            "accuracy, %", _curves(mine, _bytes_kb, minutes), is_log_x=True)
    return found


def _reliability(scores: Sequence[Mapping[str, Any]]) -> list[Series]:
    taps = [Series(r["stage"], [100 * x for x in r["reliability"]["said"]],
                   [100 * y for y in r["reliability"]["came"]])
            for r in scores if r["group"] == "all"]
    return [Series("as said", [0.0, 100.0], [0.0, 100.0]), *taps] if taps else []


def _bytes_kb(figures: Mapping[str, Any]) -> float:
    return float(figures["down_bytes_each"]) / 1e3


def _minutes(figures: Mapping[str, Any]) -> float:
    return float(figures["latency_s"]["mean"]) / 60


def _curves(rows: Sequence[Mapping[str, Any]], x: Any, key: str) -> list[Series]:
    series = []
    for name in dict.fromkeys(r["policy"] for r in rows):
        points = sorted((x(r["figures"]), 100 * r["figures"]["accuracy"]["all"].get(key, math.nan))
                        for r in rows if r["policy"] == name)
        series.append(Series(
            name, [p[0] for p in points], [p[1] for p in points], is_strong=name == "ours"))
    return series
