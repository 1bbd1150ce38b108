"""Parts of table.md that say how sure a row is, and what became of the limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .charts import MINUTES
from .formats import ends, figure, mark, percent, share

Row = Mapping[str, Any]
_HEAD = ("| policy | final | 10 | 30 | 90 min | mean min | missed | offloaded | kB down |\n"
         "|---|" + "---:|" * 8)  # fmt: skip
_LESS = ("| ours minus | final | 10 | 30 | 90 min, points | mean latency, % | bytes, % |\n"
         "|---|" + "---:|" * 6)  # fmt: skip


def bounds(rows: Iterable[Row]) -> list[str]:
    """Intervals of some rows of one rate and load."""
    return [_HEAD, *map(_bounds_row, rows), ""]


def _bounds_row(row: Row) -> str:
    found, f = row["ci95"], row["figures"]
    accuracy = f["accuracy"]["all"]
    cells = [
        row["policy"],
        *(share(accuracy.get(k), found["accuracy"]["all"].get(k)) for k in ("final", *MINUTES)),
        f"{f['latency_s']['mean'] / 60:.1f}{ends(found['latency_mean_s'], scale=1 / 60)}",
        *(share(f[k], found[k]) for k in ("deadline_misses", "offloaded")),
        f"{f['down_bytes_each'] / 1e3:.1f}{ends(found['down_bytes_each'], scale=1e-3)}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def differences(rows: Iterable[Row]) -> list[str]:
    """Ours as tuned minus each of some rows, paired; empty where none can be compared."""
    lines = []
    for row in rows:
        if found := row.get("ours_minus_this"):
            cells = [figure(found[k], "") for k in ("final", *MINUTES) if k in found]
            cells += [figure(found[k], "")
                      for k in ("latency_mean_s_percent", "down_bytes_each_percent")]
            lines.append(f"| {row['policy']} | {' | '.join(cells)} |")
    return [_LESS, *lines, ""] if lines else []


def standing(table: Row) -> list[str]:
    """Share of what always asking the ground gains, and the place between random and oracle."""
    lines = ["## How much of the gain", "", "Of what asking the ground for everything gains over "
             "answering all on board, as final accuracy: on the same link, and by the regular "
             "model's answers to lossless pixels as if the link had no limit. Position: ours "
             "between random routing at its rate, 0, and the oracle, 1. Capped: the setting "
             "of ours that is most accurate on val among those that offload no more there than "
             "the limit.", "",
             "| rate, load | policy | asking always is | share of its gain, % | offloaded, % "
             "| limit | position |", "|---|---|---|---:|---:|---|---:|"]
    for one in table["standing"]:
        where = f"{_rate(one['rate_mbps'])}, {one['load']}"
        sent, limits, place = one["offloaded"], one["limits"], one.get("position")
        rule = f"{percent(limits['share'])} % at most {percent(limits['offloaded'])} %"
        position = ""
        if place is not None:
            position = "not formed" if place["value"] is None else (
                f"{place['value']:.2f}{ends(place['ci95'], '.2f')}")
        for name, found in one["share_of_gain"].items():
            got = (share(found["value"], found["ci95"]) if found["value"] is not None
                   else f"not formed: {found['why']}")
            lines.append(f"| {where} | {one['policy']} | {name} | {got} | "
                         f"{share(sent['value'], sent['ci95'])} | "
                         f"{rule}: {mark(found['is_reached'])} | {position} |")
    return [*lines, ""]


def _rate(rate_mbps: float) -> str:
    return f"{rate_mbps:g} Mbit/s" if rate_mbps else "link budget"


def scores(table: Row) -> list[str]:
    """Calibration and order of the heads' scores."""
    lines = ["## Scores on held-out scenes", "", "Brier beside the constant base rate. Limits, on "
             "all of test: ECE at most 0.05, AUROC at least 0.65, 0.70 and 0.75 by stage, Brier "
             "below the base rate. The interval of an ECE lies high: a draw of scenes is coarser "
             "than the scenes.", "",
             "| group | stage | n | ECE | AUROC | Brier | base | AURC |",
             "|---|---|---:|---:|---:|---:|---:|---:|"]
    for r in table["scores"]:
        hit = r.get("is_reached", {})
        cells = [f"{r[k]:.3f}{ends(r['ci95'][k], '.3f')}{_told(hit, k)}"
                 for k in ("ece", "auroc", "brier")]
        lines.append(f"| {r['name']} | {r['stage']} | {r['n']} | {' | '.join(cells)} | "
                     f"{r['brier_base']:.3f} | {r['aurc']:.3f}{ends(r['ci95']['aurc'], '.3f')} |")
    return [*lines, "", *_abstaining(table)]


def _abstaining(table: Row) -> list[str]:
    lines = ["Heads abstain where the input is unfamiliar; AURC beside that of the order which "
             "knows the truth.", "",
             "| stage | abstains, % | right then, % | AURC | best |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {r['stage']} | {percent(r['abstains'])} | {percent(r['right_where_abstaining'])} "
              f"| {r['aurc']:.3f} | {r['aurc_best']:.3f} |"
              for r in table["scores"] if r["group"] == "all"]
    return [*lines, ""]


def _told(hit: Mapping[str, bool], name: str) -> str:
    return f" {mark(hit[name])}" if name in hit else ""


def ranking(table: Row) -> list[str]:
    """By which score requests go to the ground first."""
    lines = ["## Who is asked first", "", "Position: 0 random order, 1 oracle. Share: of what "
             "always asking the ground gains, at the cap of offloads, %.", "",
             "| target | stage | position | share |", "|---|---|---:|---:|"]
    lines += [f"| {r['target']} | {r['stage']} | "
              f"{r['position']:.2f}{ends(r['ci95']['position'], '.2f')} | "
              f"{share(r['share_at_cap'], r['ci95']['share_at_cap'])} |" for r in table["ranking"]]
    return [*lines, ""]


def levels(table: Row) -> list[str]:
    """What the levels of compression cost and keep."""
    lines = ["## Levels of compression", "", "Points lost: of the regular model's accuracy, against"
             " lossless pixels; at 1/20 of the bytes by regions at most 2.", "",
             "| level | bytes, % of raw | regular model's accuracy, % | points lost | limit |",
             "|---|---:|---:|---:|---|"]
    for x in table["levels"]:
        found = x["ci95"]
        limit = mark(x["is_reached"]) if "is_reached" in x else ""
        lines.append(f"| {x['name']} | {share(x['bytes_share'], found['bytes_share'])} | "
                     f"{share(x['accuracy'], found['accuracy'])} | "
                     f"{x['points_lost']:.1f}{ends(found['points_lost'])} | {limit} |")
    return [*lines, ""]


def early_stop(table: Row) -> list[str]:
    """What stopping before the end saves."""
    found = table["early_stop"]
    accuracy, sent, sure = found["accuracy"], found["offloaded"], found["ci95"]
    limit = found["limit"]
    lines = ["## Early stop", "", "Gates by the gain head on test, cut-offs from val; operations "
             "hold vision and prefill. Stopping early: accuracy "
             f"{share(accuracy['progressive'], sure['progressive'])} % with "
             f"{percent(sent['progressive'])} % offloaded; only at the end: "
             f"{share(accuracy['end_only'], sure['end_only'])} % with "
             f"{percent(sent['end_only'])} %; lost by stopping early: "
             f"{figure(found['points_lost'], 'points')}. Limit: of answers of {limit['tokens']} "
             f"tokens at least {percent(limit['decode_steps_saved'])} % of the decode steps saved, "
             f"and at most {100 * found['tolerance']:.1f} points lost: "
             f"{mark(found['is_reached'])}. Decoding is what stopping before any token could save "
             "of the operations of those offloaded.", "",
             "| answer, tokens | n | offloaded | at tap 1 | at tap 2 | at the end | decode steps "
             "saved, % | operations saved, % | of all requests, % | decoding is, % |",
             "|---|" + "---:|" * 9]
    for row in found["classes"]:
        taps = " | ".join(map(str, row["at_tap"]))
        cells = (share(row[k], row["ci95"][k])
                 for k in ("decode_steps_saved", "flops_saved", "flops_saved_of_all"))
        lines.append(f"| {row['tokens']} | {row['n']} | {row['offloaded']} | {taps} | "
                     f"{' | '.join(cells)} | {percent(row['decode_share'])} |")
    return [*lines, ""]
