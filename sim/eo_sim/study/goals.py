"""Every figure that has a limit, in one list: value, limit, and whether it is reached.

Numbers come from the parts of the table; here they are only held to their limits. What could not be
measured, or not be formed, says why; it is never counted as reached.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eo_nodes.lvlm.chances import LEAST_AUROC, MOST_ECE

from .early_stop import LEAST_STEPS_SAVED
from .kept import LEAST_HELD, MOST_LOST
from .levels import MOST_POINTS_LOST
from .standing import GAIN_SHARE

Table = Mapping[str, Any]
REACHED, MISSED, NOT_MEASURED = "reached", "missed", "not measured"
# All of the study, asking again and the table included.
MOST_MINUTES = 30.0
_UNLIMITED = "unlimited link"
# Told with the published figures, of other definitions.
PUBLISHED = {"accuracy_gain_percent": 31.2, "latency_reduction_percent": 51.2}


def goals(table: Table) -> list[dict[str, Any]]:
    """For table.json, in the order of its parts."""
    parts = (_headline, _paper, _standing, _scores, _ranking, _kept, _levels, _early, _compute,
             _speed, _run)  # fmt: skip
    return [one for part in parts for one in part(table)]


def _goal(
    figure: str, value: float | None, limit: str, *, is_reached: bool | None, unit: str = "",
    ci95: Sequence[float | None] | None = None, note: str = "",
) -> dict[str, Any]:
    """One row.

    Args:
        is_reached: None: not measured; so is what has no value.
    """
    is_there = value is not None and math.isfinite(value) and is_reached is not None
    outcome = NOT_MEASURED if not is_there else REACHED if is_reached else MISSED
    return {"figure": figure, "value": value if is_there else None, "unit": unit, "ci95": ci95,
            "limit": limit, "outcome": outcome, "note": note}


def _headline(table: Table) -> Iterator[dict[str, Any]]:
    head = table["headline"]
    named = [("accuracy at equal bytes", head["equal_bytes_points"], "points"),
             *((f"accuracy within {minutes} min", found, "points")
               for minutes, found in head["within_deadline_points"].items()),
             ("time saved at equal accuracy", head["equal_accuracy_latency_percent"], "%")]
    for name, found, unit in named:
        low = (found.get("ci95") or [None])[0]
        baseline = f"against {found['baseline']}" if found.get("baseline") else ""
        yield _goal(
            f"headline: {name}", found["value"], "above 0, with all of its interval", unit=unit,
            is_reached=None if low is None else low > 0, ci95=found.get("ci95"),
            note=found.get("why", baseline),
        )  # fmt: skip


def _paper(table: Table) -> Iterator[dict[str, Any]]:
    for key, least in PUBLISHED.items():
        found = table["paper_style"][key] or {"value": None, "ci95": None}
        value = found["value"]
        yield _goal(
            f"paper style: {key.removesuffix('_percent').replace('_', ' ')}", value,
            f"at least {least}", is_reached=None if value is None else value >= least, unit="%",
            ci95=found["ci95"], note="by the study's own definition",
        )  # fmt: skip


def _standing(table: Table) -> Iterator[dict[str, Any]]:
    """Where least of the gain is had, over the rates at the headline's load."""
    load = table["headline_load"]
    rows = [one for one in table["standing"] if one["load"] == load]
    for policy in dict.fromkeys(one["policy"] for one in rows):
        mine = [one for one in rows if one["policy"] == policy]
        for kind in ("same link", _UNLIMITED):
            pairs = [(one, found) for one in mine for name, found in one["share_of_gain"].items()
                     if (name == _UNLIMITED) == (kind == _UNLIMITED)]
            formed = [(one, found) for one, found in pairs if found["value"] is not None]
            where, least = min(formed, key=lambda x: x[1]["value"], default=(None, None))
            limits = mine[0]["limits"]
            is_reached = None
            if where is not None and len(formed) == len(pairs):
                is_reached = all(found["is_reached"] for _, found in formed)
            most = max(one["offloaded"]["value"] for one in mine)
            yield _goal(
                f"{policy}: share of what always asking gains, {kind}, lowest of the rates",
                100 * least["value"] if least else None,
                f"at least {100 * limits['share']:g}, at most {100 * limits['offloaded']:g} % "
                "offloaded", is_reached=is_reached, unit="%",
                ci95=[100 * x for x in least["ci95"]] if least else None,
                note=f"load {load}, at most {100 * most:.1f} % offloaded" + (
                    f", {where['rate_mbps']:g} Mbit/s" if where and where["rate_mbps"] else ""),
            )  # fmt: skip


def _scores(table: Table) -> Iterator[dict[str, Any]]:
    note = "" if table["has_heads"] else "calibrated confidence: the models have no heads"
    found = {row["stage"]: row for row in table["scores"] if row["group"] == "all"}
    for at, stage in enumerate(("tap 1", "tap 2", "end")):
        row = found.get(stage)
        asked = {"ece": f"at most {MOST_ECE:g}", "auroc": f"at least {LEAST_AUROC[at]:.2f}",
                 "brier": "below the base rate's"}
        for key, limit in asked.items():
            if row is None:
                yield _goal(f"{key.upper()}, {stage}", None, limit, is_reached=None,
                            note="too few requests")
                continue
            base = f"base rate {row['brier_base']:.3f}" if key == "brier" else ""
            yield _goal(
                f"{'Brier' if key == 'brier' else key.upper()}, {stage}", row[key], limit,
                is_reached=row["is_reached"][key], ci95=row["ci95"][key],
                note="; ".join(x for x in (base, note) if x),
            )  # fmt: skip


def _ranking(table: Table) -> Iterator[dict[str, Any]]:
    for row in table["ranking"]:
        if (row["target"], row["stage"]) == ("gain", "end"):
            value, sure = row["share_at_cap"], row["ci95"]["share_at_cap"]
            yield _goal(
                "share of what always asking gains, half asked in the order of the gain head",
                100 * value, f"at least {100 * GAIN_SHARE:g}", is_reached=value >= GAIN_SHARE,
                unit="%", ci95=[100 * x for x in sure], note="from the trace, no link",
            )  # fmt: skip


def _kept(table: Table) -> Iterator[dict[str, Any]]:
    kept = table["kept_regions"]
    for of, which in (("raw", "its raw bytes"), ("exact", "its losslessly coded bytes")):
        mine = kept["tables"][of] if kept["is_measured"] else {}
        hit = kept["limits"][of] if kept["is_measured"] else {}
        ours, wrong = mine.get("ours", {}), mine.get("wrong prompt", {})
        lost = ours.get("points_lost", {})
        at, why = f"at 1/20 of {which}", kept.get("why", "")
        yield _goal(f"named instances held, {at}", ours.get("held_percent"),
                    f"at least {LEAST_HELD:g}", is_reached=hit.get("held"), unit="%",
                    ci95=ours.get("ci95"), note=why)
        yield _goal(f"regular model's points lost, {at}", lost.get("points"),
                    f"at most {MOST_LOST:g}", is_reached=hit.get("points_lost"), unit="points",
                    ci95=[lost["low"], lost["high"]] if lost else None, note=why)
        yield _goal(f"named instances held with a wrong prompt, {at}", wrong.get("held_percent"),
                    "below ours, intervals apart", is_reached=hit.get("wrong_is_worse"), unit="%",
                    ci95=wrong.get("ci95"), note=why)


def _levels(table: Table) -> Iterator[dict[str, Any]]:
    for row in table["levels"]:
        if "is_reached" in row:
            yield _goal(
                f"regular model's points lost on the trace, {row['name']}", row["points_lost"],
                f"at most {MOST_POINTS_LOST:g}", is_reached=row["is_reached"], unit="points",
                ci95=row["ci95"]["points_lost"],
            )  # fmt: skip


def _early(table: Table) -> Iterator[dict[str, Any]]:
    found = table["early_stop"]
    row = found["classes"][-1]
    lost = found["points_lost"]["value"]
    is_there = row["offloaded"] > 0
    yield _goal(
        f"decode steps saved by stopping early, answers of {row['tokens']} tokens",
        100 * row["decode_steps_saved"],
        f"at least {100 * LEAST_STEPS_SAVED:g}, at most {100 * found['tolerance']:g} points lost",
        is_reached=found["is_reached"] if is_there else None, unit="%",
        ci95=[100 * x for x in row["ci95"]["decode_steps_saved"]],
        note=f"{lost:+.2f} points lost; {100 * row['flops_saved']:.1f} % of their operations",
    )  # fmt: skip


def _compute(table: Table) -> Iterator[dict[str, Any]]:
    found = table["compute"]
    is_there = found["is_measured"]
    note = found.get("why", "processor time of one thread")
    if is_there and not found["has_heads"]:
        note = "planning alone: the models have no heads"
    yield _goal(
        "confidence and planning beside the compact model's compute",
        100 * found["both"]["value"] if is_there else None, "at most 10",
        is_reached=found["is_reached"] if is_there else None, unit="%", note=note,
    )  # fmt: skip


def _speed(table: Table) -> Iterator[dict[str, Any]]:
    found, growth = table["speed"], table["growth"]
    slowest = found["policies"][0]
    yield _goal(
        "replay of the table, slowest policy, satellite-days a second",
        slowest["satellite_days_per_s"], f"at least {found['limit_days_per_s']:g}",
        is_reached=found["is_reached"], note=f"{slowest['policy']}; {_machine(table)}",
    )  # fmt: skip
    if not growth["policies"]:
        yield _goal("replay, cost and memory from 10,000 requests on", None, "linear and flat",
                    is_reached=None, note="left out by --no-speed")
    for name, one in growth["policies"].items():
        rows = one["rows"]
        most, note = f"{rows[-1]['requests']} requests", one["skipped"]
        yield _goal(f"replay, {name}, satellite-days a second, least of {len(rows)} sizes",
                    one["days_per_s"], f"at least {found['limit_days_per_s']:g}",
                    is_reached=one["is_fast"], note=f"up to {most}")
        yield _goal(f"replay, {name}, time a request at {most} over that at fewest",
                    one["cost_ratio"], f"at most {growth['limits']['cost_ratio']:g}",
                    is_reached=one["is_linear"], note=note)
        yield _goal(f"replay, {name}, peak memory at {most} less that at fewest",
                    one["more_mb"], f"at most {growth['limits']['more_mb']:g}",
                    is_reached=one["is_flat"], unit="MB", note=note)


def _machine(table: Table) -> str:
    return f"cores: {table['machine']['cores']}, load average {table['machine']['load']:.1f}"


def _run(table: Table) -> Iterator[dict[str, Any]]:
    again = table["recomputed"]
    yield _goal("requests asked again of both models, no difference",
                float(again) if again else None, "all that are drawn",
                is_reached=True if again else None, note="" if again else "left out by --recompute")
    idle = table["idle"]
    best = idle["final_accuracy"].get(idle["best"]) if idle["best"] else None
    yield _goal("idle link: best accuracy", 100 * best if best is not None else None,
                "that of sending everything, within half a point", unit="%",
                is_reached=idle["sending_everything_wins"] if best is not None else None,
                note=f"by {idle['best']}")
    minutes = table["machine"]["seconds"] / 60
    yield _goal("the study itself", minutes, f"under {MOST_MINUTES:g}", unit="min",
                is_reached=minutes < MOST_MINUTES,
                note=_machine(table))
