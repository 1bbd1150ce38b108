"""The table on the screen and build/eval/scores.json."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from training.evaluation import summary
from training.evaluation.compare import LEAST_DIFFERENCE, LEAST_LOW, LEAST_SHARE
from training.evaluation.rows import Row

COLUMNS = ("set", "type", "metric", "value", "95 %", "n", "trivial", "probe", "blind", "control",
           "target", "reached", "marks")


def _number(x: float | None, unit_is_percent: bool) -> str:
    if x is None or not math.isfinite(x):
        return "-"
    return f"{x:.1f}" if unit_is_percent else f"{x:.2f}"


def _cells(row: Row) -> list[str]:
    def number(x: float | None) -> str:
        return _number(x, row.metric.is_percent)

    control = ", ".join(f"{name} {number(x)}" for name, x in row.controls) or "-"
    blind = number(row.blind)
    if row.blind is not None and row.n_blind < row.n:
        blind += f" ({row.n_blind})"
    target = row.target if isinstance(row.target, str) else number(row.target)
    reached = {True: "yes", False: "NO", None: "open" if row.target is not None else "-"}[
        row.reached]
    refused = (f"{row.refused} refused",) if row.refused else ()
    return [
        row.set, row.type, row.metric.name, number(row.value),
        f"{number(row.ci95[0])} to {number(row.ci95[1])}", str(row.n), number(row.majority),
        number(row.probe), blind, control, str(target), reached,
        ", ".join((*row.marks, *refused)),
    ]


def show(rows: Sequence[Row], not_supported: Sequence[dict], console: Console) -> None:
    """Print one table a model, and what it cannot do."""
    for model in dict.fromkeys(row.model for row in rows):
        table = Table(title=model, title_justify="left", box=None, header_style="bold")
        for name in COLUMNS:
            table.add_column(name, justify="left" if name in ("set", "type", "marks", "control")
                             else "right")
        for row in rows:
            if row.model == model:
                table.add_row(*_cells(row))
        console.print(table)
    for item in not_supported:
        console.print(f"{item['model']}: {item['cell']}: not supported ({item['lacks']})")


def show_summary(found: dict[str, Any], console: Console) -> None:
    """Print how many targets are reached, the missed ones, and the comparison of two models."""
    for name, of in found["models"].items():
        console.print(f"{name}: of {of['targets']} targets {of['reached']} reached, "
                      f"{len(of['missed'])} missed, {len(of['open'])} not told apart; "
                      f"{of['rows']} rows, {of['marked']} of them small or clustered")
        for miss in of["missed"]:
            console.print(f"  missed: {miss['set']} {miss['type']}, {miss['metric']} "
                          f"{miss['value']} (target {miss['target']}): {miss['reason']}")
    for key in ("comparison", "comparison_of_targets"):
        if found.get(key, {}).get("cells"):
            c = found[key]
            console.print(
                f"{c['first']} - {c['second']} over {c['cells']} percent-valued rows"
                f"{' with a target' if key.endswith('targets') else ''}: "
                f"{c['mean_difference']:+} points ({c['ci95'][0]} to {c['ci95'][1]}); "
                f"where one of both is right, {c['first']} is in {c['first_right_percent']} % "
                f"of {c['disagreements']} questions; {limits_of(c)}")
    if world := found.get("world"):
        beyond = [w for w in world if not w["within"]]
        console.print(f"compact is within {summary.WORLD_GAP:g} points of regular in "
                      f"{len(world) - len(beyond)} of {len(world)} rows of the world")
        for w in beyond:
            console.print(f"  further behind: {w['set']} {w['type']}, {w['metric']}: {w['gap']:+}")


def limits_of(comparison: dict[str, Any]) -> str:
    """Which of the limits of a comparison hold."""
    share = comparison["first_right_percent"]
    checks = (
        (f"mean {LEAST_DIFFERENCE:g} or more", comparison["mean_difference"] >= LEAST_DIFFERENCE),
        (f"interval above {LEAST_LOW:g}", comparison["ci95"][0] > LEAST_LOW),
        (f"right in {LEAST_SHARE:g} %", share is not None and share >= LEAST_SHARE),
    )
    return "limits: " + ", ".join(f"{name} {'yes' if holds else 'NO'}" for name, holds in checks)


def show_zero_shot(runs: Sequence[dict[str, Any]], console: Console) -> None:
    """Print what runs with held-out classes gave; see ``training.zero_shot``."""
    for run in runs:
        console.print(f"zero-shot: {run['command']}")
        for row in run["rows"]:
            for kind in ("plain", "with_allowance"):
                f = row[kind]
                console.print(
                    f"  {row['set']}, {kind.replace('_', ' ')}: "
                    f"{f['held_out']} % of {row['n_held_out']} pictures of "
                    f"{', '.join(run['held_out'][row['set']])} among {row['names']} names "
                    f"(chance {row['chance']}, {f['times_chance']} times; said anyway "
                    f"{f['said_anyway']}), seen classes "
                    f"{f['seen']} %, harmonic mean {f['harmonic_mean']}; target "
                    f"{'reached' if f['reached'] else 'missed'}")
            if not row["plain"]["reached"]:
                console.print(f"  missed: {summary.why_not_named(run, row)}")


def write(path: Path, rows: Sequence[Row], not_supported: Sequence[dict], more: dict) -> None:
    """Write scores.json in one step: whoever reads it sees a whole file."""
    content = {**more, "rows": [row.plain() for row in rows], "not_supported": list(not_supported)}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
