"""What the table says in a few lines: targets reached, missed with the reason, and not told apart;
regular against compact.

A reason that people know stands in `reasons.json` ([{model, set, type, metric, reason}], model may
be "*"); for a miss without one the figures beside the row say what can be said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ConfigError
from training.evaluation.compare import compare
from training.evaluation.metrics import CIDER
from training.evaluation.rows import Row

REASONS = Path(__file__).with_name("reasons.json")
# Results of runs with held-out classes, and the command of each.
ZERO_SHOT = Path(__file__).with_name("zero_shot.json")
Reasons = Mapping[tuple[str, str, str, str], str]
# Figures of fewer questions on grey or altered pictures are no reason.
LEAST_BLIND = 20
# The compact model may stay so many points behind the regular one on the world.
WORLD_GAP = 15.0


def read_reasons(path: Path = REASONS) -> Reasons:
    """(model, set, type, metric) -> why a target is missed and what was tried.

    Raises:
        ConfigError: an entry lacks a field, or two are about the same row.
    """
    found: dict[tuple[str, str, str, str], str] = {}
    entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    for place, entry in enumerate(entries):
        if missing := {"model", "set", "type", "metric", "reason"} - set(entry):
            raise ConfigError(f"{path.name}: entry {place} lacks {', '.join(sorted(missing))}")
        key = entry["model"], entry["set"], entry["type"], entry["metric"]
        if key in found:
            raise ConfigError(f"{path.name}: entry {place} is there twice")
        found[key] = entry["reason"]
    return found


def give_reasons(rows: Sequence[Row], reasons: Reasons) -> None:
    """Fill ``reason`` of every row that misses its target."""
    for row in rows:
        if row.reached is False:
            what = row.set, row.type, row.metric.name
            known = reasons.get((row.model, *what)) or reasons.get(("*", *what))
            row.reason = known or from_figures(row)


def from_figures(row: Row) -> str:
    """What the row's own figures say about a missed target."""
    sign = -1 if row.metric.is_lower_better else 1
    said = []
    if row.refused:
        said.append(f"{row.refused} of {row.n} questions refused")
    # Captions of other references are on another scale.
    is_enough = row.n_blind == row.n if row.metric is CIDER else row.n_blind >= LEAST_BLIND
    if row.blind is not None and is_enough and sign * row.value <= sign * row.blind:
        said.append(f"no better than without the image ({row.blind:.4g})")
    # Each sensor alone was asked everything; other controls as often as blind, or not at all.
    said += [f"no better than {name} ({value:.4g})" for name, value in row.controls
             if (is_enough or not row.n_blind or name.endswith(" sensor"))
             and sign * row.value <= sign * value]
    against = [(name, x) for name, x in (("trivial", row.majority), ("probe", row.probe))
               if x is not None]
    said += [f"not better than the {name} answer ({x:.4g})" for name, x in against
             if sign * row.value <= sign * x]
    low, high = row.ci95
    if isinstance(row.target, float | int):
        if low <= row.target <= high:
            said.append(f"the target lies in the interval ({low:.4g} to {high:.4g})")
        elif not said:
            said.append(f"{abs(row.target - row.value):.3g} from the target")
    elif not said and low < high:
        said.append(f"not beyond its interval ({low:.4g} to {high:.4g})")
    return "; ".join(said)


def _named(row: Row) -> dict[str, Any]:
    return {"set": row.set, "type": row.type, "metric": row.metric.name,
            "value": round(row.value, 2), "target": row.target, "n": row.n}


def _of_model(rows: Sequence[Row]) -> dict[str, Any]:
    asked = [r for r in rows if r.target is not None]
    missed = [{**_named(r), "probe": r.probe, "blind": r.blind, "reason": r.reason}
              for r in asked if r.reached is False]
    return {"rows": len(rows), "targets": len(asked),
            "reached": sum(r.reached is True for r in asked), "missed": missed,
            "open": [_named(r) for r in asked if r.reached is None],
            "marked": sum("n < 50" in r.marks or any("cluster" in m for m in r.marks)
                          for r in rows)}


def _world(first: Sequence[Row], second: Sequence[Row]) -> list[dict[str, Any]]:
    """Percent-valued rows of the world whose target both models have."""
    others = {row.identity: row for row in second}
    out = []
    for row in first:
        other = others.get(row.identity)
        if row.domain == "synthetic" and other and isinstance(row.target, float | int):
            gap = row.value - other.value
            out.append({**_named(row), "gap": round(gap, 2), "within": gap <= WORLD_GAP})
    return out


def keep_zero_shot(folder: Path, path: Path = ZERO_SHOT) -> int:
    """Put what ``training.zero_shot`` left in a folder (`seed*.json`) into one file, each run with
    its command; how many there are."""
    runs = []
    for result in sorted(folder.glob("seed*.json")):
        run = json.loads(result.read_text(encoding="utf-8"))
        command = (f"python -m training.zero_shot --data DIR "
                   f"--minutes {round(run['cpu_seconds'] / 60)} --seed {run['seed']}")
        runs.append({"command": command, **run})
    path.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    return len(runs)


def read_zero_shot(path: Path = ZERO_SHOT) -> list[dict[str, Any]]:
    """Runs that ``keep_zero_shot`` put into a file; none without it."""
    found: list[dict[str, Any]] = []
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
    return found


def why_not_named(run: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """What a run's own figures say about held-out classes that are named too rarely."""
    plain = row["plain"]
    captions = sum(run["captions_that_still_say_it"].values())
    return (f"a name no picture was trained towards is hardly said ({plain['said_anyway']} % of "
            f"seen pictures), and among the held-out names alone {row['among_held_out_names']} % "
            f"are right (chance {row['chance_among_held_out_names']}); {run['steps']} steps, "
            f"{captions} captions of other classes still say a held-out name; with "
            f"{row['allowance']} off the seen names: {row['with_allowance']['held_out']} %")


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Of one model or of two; the larger one is given last, as compact, regular."""
    by_name = {name: [r for r in rows if r.model == name]
               for name in dict.fromkeys(r.model for r in rows)}
    found: dict[str, Any] = {"models": {name: _of_model(own) for name, own in by_name.items()}}
    if len(by_name) == 2:
        second, first = by_name.values()
        found["comparison"] = compare(first, second)
        with_target = [r for r in first if r.target is not None]
        if with_target:
            found["comparison_of_targets"] = compare(with_target, second)
        found["world"] = _world(first, second)
    return found
