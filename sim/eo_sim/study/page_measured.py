"""Parts of table.md beside replays: all limits in one list, kept regions, compute, speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .formats import ends, limited, mark, percent

Row = Mapping[str, Any]


def goals(table: Row) -> list[str]:
    """Every figure that has a limit."""
    rows: Sequence[Row] = table["limits"]
    counts = ", ".join(f"{sum(r['outcome'] == name for r in rows)} {name}"
                       for name in dict.fromkeys(r["outcome"] for r in rows))
    lines = ["## Limits", "", f"Every figure that has one: {counts}.", "",
             "| figure | value | limit | outcome | note |", "|---|---:|---|---|---|"]
    for r in rows:
        note = "; ".join(x for x in (r["note"], r.get("reason", "")) if x)
        lines.append(
            f"| {r['figure']} | {limited(r)} | {r['limit']} | {r['outcome']} | {note} |")
    return [*lines, ""]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def kept(table: Row) -> list[str]:
    """What kept regions hold, policy by policy, at both budgets."""
    found = table["kept_regions"]
    lines = ["## Kept regions", ""]
    if not found["is_measured"]:
        return [*lines, f"{_sentence(found['why'])} `{found['command']}` measures them where the"
                " data folder is.", ""]
    models = ", ".join(f"{name} {digest[:12]}" for name, digest in found["models"].items())
    lines += [f"Measured by `{found['command']}`, models {models} (digests of what their answers "
              f"hang on); {found['scenes']} scenes of {found['split']}. Instances that the prompt "
              "names, held, %; all policies at the same bytes. Wrong prompt and the policies "
              "without a prompt are controls, the oracle knows the boxes. Points lost: of the "
              "regular model's accuracy, against the whole scene.", ""]
    for of, which in (("raw", "raw bytes"), ("exact", "losslessly coded bytes")):
        table_, hit = found["tables"][of], found["limits"][of]
        sizes = list(table_["ours"]["by_size"])
        told = {name: "not measured" if value is None else mark(value)
                for name, value in hit.items()}
        lines += [
            f"### {percent(found['share'])} % of the {which}", "",
            f"At least 80 % held: {told['held']}; at most 2 points lost: {told['points_lost']}; "
            f"a wrong prompt holds less, intervals apart: {told['wrong_is_worse']}.", "",
            f"| policy | held, % | {' | '.join(sizes)} | budget used, % | points lost |",
            "|---|---:|" + "---:|" * (len(sizes) + 2),
        ]  # fmt: skip
        for name, row in table_.items():
            lost, sure = row.get("points_lost"), row.get("by_size_ci95", {})
            cells = [f"{row['held_percent']:.1f}{ends(row['ci95'])}",
                     *("-" if v is None else f"{v:.0f}{ends(sure.get(size), '.0f')}"
                       for size, v in row["by_size"].items()),
                     percent(row["share_of_budget"]),
                     f"{lost['points']:.1f} [{lost['low']:.1f}, {lost['high']:.1f}]"
                     if lost else "-"]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def compute(table: Row) -> list[str]:
    """Confidence and planning beside the compact model."""
    found = table["compute"]
    lines = ["## Compute beside the compact model", ""]
    if not found["is_measured"]:
        return [*lines, _sentence(found["why"]), ""]
    lines += [f"Processor time of one thread, share of the model's, median and quartiles of "
              f"{found['n']} questions on the demo's scenes; limit {percent(found['limit'])} % for "
              f"confidence and planning together: {mark(found['is_reached'])}. In operations the "
              f"heads are {percent(found['heads_operations'])} % of the model"
              + ("." if found["has_heads"] else ": this folder has none."), "",
              "| part | % of the model's time |", "|---|---:|"]
    for name, key in (("confidence", "heads"), ("planning of regions", "planning"),
                      ("both", "both"), ("both, further questions on a scene", "both_further"),
                      ("coding, beside it", "coding")):
        part = found[key]
        lines.append(f"| {name} | {percent(part['value'])}{ends(part['quartiles'], scale=100)} |")
    return [*lines, ""]


def speed(table: Row) -> list[str]:
    """How fast the replay itself was, and how it grows."""
    found, growth = table["speed"], table["growth"]
    rows: Sequence[Row] = found["policies"]
    lines = ["## Speed of the replay", "", f"At least {found['limit_days_per_s']:g} satellite-day "
             f"a second of processor time for every policy: {mark(found['is_reached'])}.", "",
             "| policy | requests a second | satellite-days a second |", "|---|---:|---:|",
             *(f"| {r['policy']} | {r['requests_per_s']:.0f} | {r['satellite_days_per_s']:.1f} |"
               for r in rows), ""]
    if not growth["policies"]:
        return lines
    lines += [f"More and more requests of one satellite at load {growth['load']}, each row a "
              "process of its own:", "",
              "| policy | requests | satellite-days | processor s | us a request "
              "| satellite-days a second | peak MB |", "|---|" + "---:|" * 6]
    for name, one in growth["policies"].items():
        lines += [f"| {name} | {r['requests']} | {r['days']:.1f} | {r['cpu_s']:.1f} | "
                  f"{r['us_each']:.0f} | {r['days_per_s']:.1f} | {r['peak_mb']:.0f} |"
                  for r in one["rows"]]
    lines += ["", *(f"- {name}: {_growth(one)}" for name, one in growth["policies"].items()), ""]
    return lines


def _growth(one: Row) -> str:
    told = {key: "not measured" if one[key] is None else mark(one[key])
            for key in ("is_linear", "is_flat")}
    return (f"cost linear: {told['is_linear']}, memory flat: {told['is_flat']}"
            + (f"; {one['skipped']}" if one["skipped"] else ""))
