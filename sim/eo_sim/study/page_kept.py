"""README's section of the study, from the kept table: figures, limits, and why one is missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .charts import MINUTES
from .formats import ends, limited, percent, share
from .goals import MISSED, NOT_MEASURED, REACHED
from .keep import COMMAND, FILE

Row = Mapping[str, Any]
NO_TRACE = ("No trace of these two models is recorded, and so there is no figure of the study yet: "
            "`make study` says how to record one.")  # fmt: skip


def section(table: Row | None, reasons: Mapping[str, str]) -> str:
    """Markdown of the section.

    Args:
        table: as ``keep`` writes it; None where nothing is kept.
        reasons: why limits are missed, by figure.
    """
    if table is None:
        return NO_TRACE
    parts = (_made, _headline, _paper_style, _policies)
    lines = [line for part in parts for line in part(table)]
    return "\n".join([*lines, *_limits(table["limits"], reasons)])


def _made(table: Row) -> list[str]:
    trace, of, machine = table["trace"], table["sources"], table["machine"]
    digests = ", ".join(f"{name} `{of[name][:12]}`"
                        for name in ("config", "definitions", "trace", "compact", "regular"))
    return [f"`{COMMAND}` wrote this: {trace['requests']} recorded questions, {trace['test']} of "
            f"them of the test split, {trace['scenes']} scenes; {digests} (SHA-256 of "
            "`config/study.yaml`, of the search spaces and limits in code, of the trace, and of "
            "both models' manifests). It took "
            f"{machine['seconds'] / 60:.0f} min on {machine['cores']} cores. All of it: "
            f"`{FILE}`.", ""]


def _signed(found: Row, unit: str) -> tuple[str, str]:
    """Value and interval as cells."""
    if found.get("value") is None:
        return f"not formed: {found.get('why', '')}", ""
    return f"{found['value']:+.1f} {unit}", ends(found["ci95"], "+.1f").strip()


def _headline(table: Row) -> list[str]:
    head = table["headline"]
    cut = head["equal_accuracy_latency_percent"]
    named = [("accuracy at equal bytes", head["equal_bytes_points"], "points"),
             *((f"accuracy within {minutes} min of capture", one, "points")
               for minutes, one in head["within_deadline_points"].items()),
             ("capture-to-answer time saved at equal accuracy", cut, "%")]
    lines = [f"**Headline**: requests from the ground, load *{table['headline_load']}*, mean over "
             "the rates. What is compared was chosen on the val split, by one rule for ours and "
             "for every baseline; positive is in favour of ours.", "",
             "| figure | ours against the best baseline | 95 % interval | baseline |",
             "|---|---:|---|---|"]
    for name, found, unit in named:
        value, sure = _signed(found, unit)
        lines.append(f"| {name} | {value} | {sure} | {found.get('baseline') or ''} |")
    both = cut.get("accuracy")
    if both:
        lines += ["", f"In the last row ours is right in {percent(both['ours'])} % on test, the "
                  f"baseline in {percent(both['baseline'])} %."]
    return [*lines, ""]


def _paper_style(table: Row) -> list[str]:
    paper = table["paper_style"]
    published = paper["published"]
    lines = [f"**Paper style**: {paper['definition']}.", "",
             "| against | accuracy gained | 95 % | latency saved | 95 % |",
             "|---|---:|---|---:|---|"]
    gain, cut = paper["accuracy_gain_percent"], paper["latency_reduction_percent"]
    if gain and cut:
        rows = [*((name, gain["by_baseline"][name], cut["by_baseline"][name])
                  for name in paper["baselines"]), ("**median**", gain, cut)]
        for name, one, two in rows:
            cells = [*_signed(one, "%"), *_signed(two, "%")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    more, less = published["accuracy_gain_percent"], published["latency_reduction_percent"]
    lines.append(f"| published elsewhere | {more:+.1f} % |  | {less:+.1f} % |  |")
    return [*lines, "", f"What the published pair ({more:+.1f} % and {-less:+.1f} %) is "
            "measured in is unknown: it is not the same quantity and not comparable.", ""]


def _policies(table: Row) -> list[str]:
    rows: Sequence[Row] = table["policies"]
    rate = rows[0]["rate_mbps"]
    lines = [f"**All policies** at {rate:g} Mbit/s, load *{table['headline_load']}*, each tuned on "
             "val by the same search and replayed on test; 95 % intervals over scenes.", "",
             f"| policy | final, % | {' | '.join(f'in {m} min, %' for m in MINUTES)} | mean, min "
             "| deadline missed, % | offloaded, % | kB down |", "|---|" + "---:|" * 8]
    for row in rows:
        if row["rate_mbps"] == rate:
            cells = [*(_share(row["accuracy"][key]) for key in ("final", *MINUTES)),
                     _scaled(row["latency_mean_s"], 1 / 60),
                     *(_share(row[key]) for key in ("deadline_misses", "offloaded")),
                     _scaled(row["down_bytes_each"], 1e-3)]
            name = f"**{row['policy']}**" if row["role"] == "ours" else row["policy"]
            bound = " (bound)" if row["role"] == "bound" else ""
            lines.append(f"| {name}{bound} | {' | '.join(cells)} |")
    return [*lines, ""]


def _share(found: Sequence[float | None]) -> str:
    return share(found[0], found[1:])


def _scaled(found: Sequence[float], scale: float) -> str:
    return f"{found[0] * scale:.1f}{ends(found[1:], scale=scale)}"


def _limits(rows: Sequence[Row], reasons: Mapping[str, str]) -> list[str]:
    counts = ", ".join(f"{sum(row['outcome'] == name for row in rows)} {name}"
                       for name in dict.fromkeys(row["outcome"] for row in rows))
    lines = [f"**Limits**, all that there are: {counts}.", "",
             "| figure | value | limit | |", "|---|---:|---|---|"]
    return lines + [f"| {row['figure']} | {limited(row)} | {row['limit']} | "
                    f"{_outcome(row, reasons)} |" for row in rows]


def _outcome(row: Row, reasons: Mapping[str, str]) -> str:
    """Outcome, and what explains it."""
    if row["outcome"] == REACHED:
        return REACHED
    note: str = row["note"]
    if row["outcome"] == MISSED:
        return "; ".join(x for x in (f"**{MISSED}**", note, reasons.get(row["figure"], "")) if x)
    return note if note.startswith(NOT_MEASURED) else f"{NOT_MEASURED}; {note}".removesuffix("; ")
