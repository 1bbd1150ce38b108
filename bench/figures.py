"""A figure with its limit, the table of all figures, and the machine that they come from."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from eo_nodes.lvlm.manifest import MANIFEST, answers_digest

from .stats import Summary

OUT_DIR = Path("build/bench")
DIGITS = 12  # of a digest that tells weights apart
_BUSY_LOAD = 1.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    Attributes:
        name: what was measured.
        value: median, or the single value; None when it could not be measured.
        unit: of value, spread and limit; ``%`` holds per cent, not shares.
        limit: None for a figure that only stands beside others.
        at_least: the limit is a floor; else a ceiling.
        n: samples behind the value.
        low, high: quartiles, or the interval that `note` names; None without.
        note: method or reason in a few words.
    """

    name: str
    value: float | None
    unit: str
    limit: float | None = None
    at_least: bool = False
    n: int = 1
    low: float | None = None
    high: float | None = None
    note: str = ""

    @property
    def distance(self) -> float | None:
        """How far the value is on the good side of its limit, as a share of it; < 0: missed."""
        if self.value is None or not self.limit:
            return None
        away = (self.limit - self.value) / abs(self.limit)
        return -away if self.at_least else away


    @property
    def is_missed(self) -> bool:
        """Whether it has a limit, and is on the wrong side of it."""
        return self.distance is not None and self.distance < 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one benchmark: its figures, and whatever else belongs into its JSON."""

    figures: tuple[Figure, ...]
    details: dict[str, Any] = field(default_factory=dict)


def figure_of(name: str, summary: Summary, unit: str, **fields: Any) -> Figure:
    """Make a figure of a sample: the median with its quartiles."""
    return Figure(
        name, summary.median, unit, n=summary.n, low=summary.low, high=summary.high, **fields
    )


def machine() -> dict[str, Any]:
    """Return the facts of this machine that figures depend on."""
    model = ""
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        lines = cpu_info.read_text(encoding="utf-8").splitlines()
        model = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model or platform.processor(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": [round(value, 2) for value in os.getloadavg()],
        "is_busy": os.getloadavg()[0] > _BUSY_LOAD,
    }


def weights(folders: Sequence[Path]) -> dict[str, str]:
    """Return what the answers of each model folder hang on, by its name."""
    return {f.name: answers_digest(f)[:DIGITS] for f in folders if (f / MANIFEST).is_file()}


def write_json(name: str, content: dict[str, Any]) -> None:
    """Write ``build/bench/NAME.json``."""
    OUT_DIR.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, sort_keys=False)
    (OUT_DIR / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as what JSON can hold; each figure with its distance."""
    rows = [{**asdict(row), "distance": row.distance} for row in outcome.figures]
    return {"figures": rows, **outcome.details}


def table(figures: Sequence[Figure]) -> str:
    """Return the table as text."""
    head = ("figure", "median", "quartiles", "n", "limit", "distance", "")
    rows = [head] + [_cells(row) for row in figures]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:6], widths[1:6], strict=True)]
        lines.append("  ".join([*cells, row[6]]).rstrip())
    return "\n".join(lines)


def _cells(row: Figure) -> tuple[str, ...]:
    value = "not measured" if row.value is None else f"{short(row.value)} {row.unit}"
    spread = ""
    if row.low is not None and row.high is not None:
        spread = f"{short(row.low)} .. {short(row.high)}"
    limit = "" if row.limit is None else f"{'>=' if row.at_least else '<='} {row.limit:g}"
    distance = "" if row.distance is None else f"{row.distance:+.0%}"
    if row.is_missed:
        distance += " MISSED"
    return row.name, value, spread, str(row.n), limit, distance, row.note


def short(value: float) -> str:
    """Return three digits that mean something."""
    if value == 0:
        return "0"
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.3g}"
