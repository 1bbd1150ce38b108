"""Numbers of the study's page: per cent, intervals, reached or missed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Ends = Sequence[float | None] | None


def percent(value: float | None) -> str:
    """Return a share in per cent, a dash where there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{100 * value:.1f}"


def ends(found: Ends, form: str = ".1f", scale: float = 1.0) -> str:
    """Return an interval in brackets; empty where there is none."""
    if found is None or any(x is None or not math.isfinite(x) for x in found):
        return ""
    low, high = (f"{scale * x:{form}}" for x in found if x is not None)
    return f" [{low}, {high}]"


def share(value: float | None, found: Ends) -> str:
    """Return a share in per cent with its interval."""
    return f"{percent(value)}{ends(found, scale=100)}"


def figure(found: Mapping[str, Any], unit: str) -> str:
    """Return a signed figure with its interval and baseline, or why there is none."""
    if found.get("value") is None:
        return f"not formed: {found.get('why', '')}"
    against = f" against {found['baseline']}" if found.get("baseline") else ""
    unit = f" {unit}" if unit else ""
    return f"{found['value']:+.1f}{unit}{ends(found['ci95'], '+.1f')}{against}"


def limited(row: Mapping[str, Any]) -> str:
    """Return the value of a figure that has a limit, with unit and interval; a dash without one."""
    value = row["value"]
    if value is None:
        return "-"
    form = ".3f" if abs(value) < 1 else ".1f"
    unit = f" {row['unit']}" if row["unit"] else ""
    return f"{value:{form}}{unit}{ends(row['ci95'], form)}"


def mark(is_reached: bool) -> str:
    """Return what became of a limit."""
    return "reached" if is_reached else "missed"
