"""build/study: table.json, table.md, plots. Numbers come from ``run``; nothing is computed here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .plots import Series, plot

_MINUTES = ("10", "30", "90")


def write(table: Mapping[str, Any], folder: Path) -> Path:
    """Write all files.

    Returns:
        Path of table.md.
    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_plain(table), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "table.json").write_text(text + "\n", encoding="utf-8")
    for name, svg in plots(table).items():
        (folder / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")
    path = folder / "table.md"
    path.write_text(page(table), encoding="utf-8")
    return path


def _plain(value: Any) -> Any:
    """JSON has no NaN: what could not be formed is null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def page(table: Mapping[str, Any]) -> str:
    """Return table.md."""
    parts = ["# Study", "", *_headline(table), *_policies(table), *_ablations(table)]
    parts += [*_idle(table), *_consumers(table), *_levels(table), *_scores(table)]
    parts += [*_ranking(table), *_notes(table)]
    return "\n".join(parts) + "\n"


def _percent(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{100 * value:.1f}"


def _figure(found: Mapping[str, Any], unit: str) -> str:
    if found.get("value") is None:
        return f"not formed: {found.get('why', '')}"
    low, high = found["ci95"]
    against = f" against {found['baseline']}" if found.get("baseline") else ""
    return f"{found['value']:+.1f} {unit} [{low:+.1f}, {high:+.1f}]{against}"


def _headline(table: Mapping[str, Any]) -> list[str]:
    head, paper = table["headline"], table["paper_style"]
    lines = ["## Headline", "",
             f"- accuracy at equal bytes: {_figure(head['equal_bytes_points'], 'points')}"]
    for minutes, found in head["within_deadline_points"].items():
        lines.append(f"- accuracy within {minutes} min: {_figure(found, 'points')}")
    cut = _figure(head["equal_accuracy_latency_percent"], "%")
    lines += [f"- mean capture-to-answer time saved at equal accuracy: {cut}", "",
              "Intervals: paired bootstrap over scenes, 95 %.", "", "### Paper style", ""]
    for key, name in (("accuracy_gain_percent", "accuracy"),
                      ("latency_reduction_percent", "latency saved")):
        found = paper[key]
        lines.append(f"- {name}: {_figure(found, '%') if found else 'not formed'}, published "
                     f"{'+' if 'gain' in key else '-'}{paper['published'][key]} %")
    return [*lines, "", f"Ours: {paper['definition']} ({', '.join(paper['baselines'])}). What the "
            "published figures are measured in is unknown: the two are not the same quantity.", ""]


_HEAD = ("| policy | final | 10 | 30 | 90 min | mean min | p50 | p95 | p99 | compute | queue "
         "| wait | transmit | ground | missed | offloaded | kB down | B up | Wh | contact |")


def _policy_row(row: Mapping[str, Any]) -> str:
    f = row["figures"]
    accuracy, latency = f["accuracy"]["all"], f["latency_s"]
    cells = [row["policy"], _percent(accuracy["final"]),
             *(_percent(accuracy.get(m)) for m in _MINUTES),
             *(f"{latency[k] / 60:.1f}" for k in ("mean", "p50", "p95", "p99")),
             *(f"{latency['parts'][k] / 60:.1f}"
               for k in ("compute", "queue", "wait", "transmit", "ground")),
             _percent(f["deadline_misses"]), _percent(f["offloaded"]),
             f"{f['down_bytes_each'] / 1e3:.1f}", f"{f['up_bytes_each']:.0f}",
             f"{sum(f['wh_per_answer'].values()):.4f}", _percent(f["contact_use"])]
    return f"| {' | '.join(cells)} |"


def _policies(table: Mapping[str, Any]) -> list[str]:
    lines = ["## Policies, tuned on val, replayed on test", "",
             "Accuracy %, of final answers and within minutes of capture; times min, parts of the "
             "final answer's; missed: no answer by the request's own deadline, %; a request.", ""]
    seen = dict.fromkeys((r["rate_mbps"], r["load"]) for r in table["rows"])
    for rate, load in seen:
        mine = [r for r in table["rows"] if (r["rate_mbps"], r["load"]) == (rate, load)
                and r["is_tuned"] and r["role"] != "ablation"]
        if mine:
            rule = f"{rate:g} Mbit/s" if rate else "rates of the link budget"
            lines += [f"### {rule}, {load}", "", _HEAD, "|---|" + "---:|" * 19]
            lines += [*map(_policy_row, sorted(mine, key=lambda r: r["policy"])), ""]
    return lines


def _ablations(table: Mapping[str, Any]) -> list[str]:
    rows = [r for r in table["rows"] if r["role"] == "ablation"]
    if not rows:
        return []
    same = [r for r in table["rows"] if r["role"] == "ours" and r["is_tuned"]
            and (r["rate_mbps"], r["load"]) == (rows[0]["rate_mbps"], rows[0]["load"])]
    return ["## Ablations", "", _HEAD, "|---|" + "---:|" * 19,
            *map(_policy_row, [*same, *rows]), ""]


def _idle(table: Mapping[str, Any]) -> list[str]:
    idle = table["idle"]
    wins = "it does" if idle["sending_everything_wins"] else "it does not"
    return ["## Idle link", "", f"At load {idle['load']} and {idle['rate_mbps']:g} Mbit/s sending "
            f"everything ought to win: {wins}. Best: {idle['best']}.", "",
            "| policy | final accuracy | contact used |", "|---|---:|---:|",
            *(f"| {name} | {_percent(value)} | {_percent(idle['contact_use'][name])} |"
              for name, value in sorted(idle["final_accuracy"].items(), key=lambda x: -x[1])), ""]


def _consumers(table: Mapping[str, Any]) -> list[str]:
    lines = ["## By consumer, size and modality", "", "Headline load, first rate; accuracy %, "
             "final / 10 / 30 / 90 min.", ""]
    mine = [r for r in table["rows"] if r["is_tuned"] and r["role"] in ("ours", "baseline", "user")]
    first = [r for r in mine if (r["rate_mbps"], r["load"]) == _nominal(table)]
    if not first:
        return []
    groups = [g for g in first[0]["figures"]["accuracy"] if g != "all"]
    lines += [f"| policy | {' | '.join(['asker on ground', 'on board', *groups])} |",
              "|---|" + "---|" * (len(groups) + 2)]
    for row in first:
        f = row["figures"]
        parts = [f["consumers"].get(k, {}).get("accuracy", {}) for k in ("ground", "onboard")]
        parts += [f["accuracy"].get(g, {}) for g in groups]
        cells = [" / ".join(_percent(p.get(k)) for k in ("final", *_MINUTES)) for p in parts]
        lines.append(f"| {row['policy']} | {' | '.join(cells)} |")
    return [*lines, ""]


def _nominal(table: Mapping[str, Any]) -> tuple[float, str]:
    """Rate and load at which whole curves were replayed."""
    row = next((r for r in table["rows"] if not r["is_tuned"]), table["rows"][0])
    return row["rate_mbps"], row["load"]


def _levels(table: Mapping[str, Any]) -> list[str]:
    return ["## Levels of compression", "",
            "| level | bytes, % of raw | regular model's accuracy, % |", "|---|---:|---:|",
            *(f"| {x['name']} | {_percent(x['bytes_share'])} | {_percent(x['accuracy'])} |"
              for x in table["levels"]), ""]


def _scores(table: Mapping[str, Any]) -> list[str]:
    lines = ["## Scores on held-out scenes", "", "Brier beside the constant base rate.", "",
             "| group | stage | n | ECE | AUROC | Brier | base | AURC |",
             "|---|---|---:|---:|---:|---:|---:|---:|"]
    lines += [f"| {r['name']} | {r['stage']} | {r['n']} | {r['ece']:.3f} | {r['auroc']:.3f} | "
              f"{r['brier']:.3f} | {r['brier_base']:.3f} | {r['aurc']:.3f} |"
              for r in table["scores"]]
    return [*lines, ""]


def _ranking(table: Mapping[str, Any]) -> list[str]:
    return ["## Who is asked first", "", "Position: 0 random order, 1 oracle. Share: of what "
            "always asking the ground gains, at the cap of offloads, %.", "",
            "| target | stage | position | share |", "|---|---|---:|---:|",
            *(f"| {r['target']} | {r['stage']} | {r['position']:.2f} | "
              f"{_percent(r['share_at_cap'])} |" for r in table["ranking"]), ""]


def _notes(table: Mapping[str, Any]) -> list[str]:
    trace = table["trace"]
    notes = [f"- {name}: {x['note']}" for name, x in table["tuned"].items() if x["note"]]
    for name, load in table["loads"].items():
        notes.append(
            f"- load {name}: {load['scenes_a_day']:.0f} scenes, {load['requests_a_day']:.0f} "
            f"requests, {load['raw_bytes_a_day'] / 1e9:.2f} GB raw a satellite and day, "
            f"{load['raw_over_capacity']:g} times what its contacts carry; one chip in "
            f"{load['thinning']:.3g} replayed"
        )
    for name, world in table["worlds"].items():
        notes.append(
            f"- {name}: {world['contacts']} contacts of {world['passes_offered']} passes, "
            f"{world['bytes_taken'] / 1e9:.3g} of {world['bytes_offered'] / 1e9:.3g} GB taken; "
            f"{world['assignment']}"
        )
    return ["## Notes", "", *notes,
            f"- trace: {trace['requests']} requests, {trace['test']} of test, {trace['scenes']} "
            f"scenes; compact {trace['digests']['compact'][:12]}, regular "
            f"{trace['digests']['regular'][:12]}",
            f"- computed in {table['machine']['seconds']:.0f} s"]


def plots(table: Mapping[str, Any]) -> dict[str, str]:
    """SVG documents by file name."""
    rate, load = _nominal(table)
    mine = [r for r in table["rows"] if (r["rate_mbps"], r["load"]) == (rate, load)
            and r["role"] != "ablation"]
    where = f"{rate:g} Mbit/s, {load}"
    ranking = table["ranking"]
    shown = [r for r in ranking if r["stage"] in ("", "end") or r["target"] == "gain"]
    found = {
        "accuracy_bytes": plot(f"Accuracy against bytes, {where}", "kB down a request",
                               "final accuracy, %", _curves(mine, _bytes_kb, "final")),
        "accuracy_latency": plot(f"Accuracy against latency, {where}",
                                 "mean capture to answer, min", "final accuracy, %",
                                 _curves(mine, _minutes, "final")),
        "offload": plot("Accuracy against share asked of the ground", "share asked, %",
                        "accuracy, %", [
                            Series(f"{r['target']} {r['stage']}".strip(),
                                   [100 * x for x in r["shares"]],
                                   [100 * y for y in r["accuracy"]]) for r in shown]),
        "risk_coverage": plot("Risk against coverage, answers on board", "coverage, %", "risk, %", [
            Series(r["stage"], [100 * x for x in r["coverage"]], [100 * y for y in r["risk"]])
            for r in table["scores"] if r["group"] == "all"]),
    }
    for minutes in _MINUTES:
        found[f"within_{minutes}"] = plot(
            f"Accuracy within {minutes} min against bytes, {where}", "kB down a request",
            "accuracy, %", _curves(mine, _bytes_kb, minutes))
    return found


def _bytes_kb(figures: Mapping[str, Any]) -> float:
    return float(figures["down_bytes_each"]) / 1e3


def _minutes(figures: Mapping[str, Any]) -> float:
    return float(figures["latency_s"]["mean"]) / 60


def _curves(rows: Sequence[Mapping[str, Any]], x: Any, key: str) -> list[Series]:
    series = []
    for name in dict.fromkeys(r["policy"] for r in rows):
        points = sorted((x(r["figures"]), 100 * r["figures"]["accuracy"]["all"].get(key, math.nan))
                        for r in rows if r["policy"] == name)
        series.append(Series(name, [p[0] for p in points], [p[1] for p in points]))
    return series
