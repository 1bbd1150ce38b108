"""build/study: table.json, table.md, plots. Numbers come from ``run``; nothing is computed here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import page_bounds, page_measured
from .charts import MINUTES, nominal, plots
from .formats import figure, percent, share


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
    parts = ["# Study", "", *_headline(table), *_paper_style(table), *page_measured.goals(table)]
    parts += page_bounds.standing(table)
    parts += [*_policies(table), *_ablations(table), *_idle(table), *_groups(table)]
    parts += [*_onboard(table), *page_bounds.levels(table), *page_bounds.scores(table)]
    parts += [*page_bounds.ranking(table), *page_bounds.early_stop(table)]
    parts += [*page_measured.kept(table), *page_measured.compute(table)]
    parts += [*page_measured.speed(table), *_notes(table)]
    return "\n".join(parts) + "\n"


def _headline(table: Mapping[str, Any]) -> list[str]:
    head = table["headline"]
    equal, cut = head["equal_bytes_points"], head["equal_accuracy_latency_percent"]
    lines = ["## Headline", "", "Requests from the ground. What is compared was chosen on val, by "
             "one rule for ours and for every baseline.", "",
             f"- accuracy at equal bytes: {figure(equal, 'points')}{_kb(equal)}"]
    for minutes, found in head["within_deadline_points"].items():
        lines.append(f"- accuracy within {minutes} min: {figure(found, 'points')}")
    both = cut["accuracy"]
    lines += [f"- mean capture-to-answer time saved at equal accuracy: {figure(cut, '%')}; on "
              f"test ours has {percent(both['ours'])} %, the baseline "
              f"{percent(both['baseline'])} %: "
              f"{figure(cut['accuracy_points'] | {'baseline': ''}, 'points')}", "",
              "Intervals: paired bootstrap over scenes, 95 %.", ""]
    return lines


def _kb(found: Mapping[str, Any]) -> str:
    sizes = found.get("kb_each")
    return f", {sizes['ours']:.1f} and {sizes['baseline']:.1f} kB a request" if sizes else ""


def _paper_style(table: Mapping[str, Any]) -> list[str]:
    paper = table["paper_style"]
    lines = ["## Paper style", "", f"{paper['definition']}.", "",
             "| ours against | accuracy gained, % | latency saved, % |", "|---|---:|---:|"]
    gain, cut = paper["accuracy_gain_percent"], paper["latency_reduction_percent"]
    if gain and cut:
        lines += [f"| {name} | {figure(gain['by_baseline'][name], '')} | "
                  f"{figure(cut['by_baseline'][name], '')} |" for name in paper["baselines"]]
        lines.append(f"| **median** | {figure(gain, '')} | {figure(cut, '')} |")
    published = paper["published"]
    return [*lines, "", f"Published elsewhere: +{published['accuracy_gain_percent']} % and "
            f"-{published['latency_reduction_percent']} %. What those are measured in is unknown: "
            "they are not the same quantity.", ""]


_HEAD = ("| policy | final | 10 | 30 | 90 min | mean min | p50 | p95 | p99 | compute | queue "
         "| wait | transmit | ground | missed | offloaded | kB down | B up | Wh | contact |")


def _policy_row(row: Mapping[str, Any]) -> str:
    f = row["figures"]
    accuracy, latency = f["accuracy"]["all"], f["latency_s"]
    cells = [row["policy"], percent(accuracy["final"]),
             *(percent(accuracy.get(m)) for m in MINUTES),
             *(f"{latency[k] / 60:.1f}" for k in ("mean", "p50", "p95", "p99")),
             *(f"{latency['parts'][k] / 60:.1f}"
               for k in ("compute", "queue", "wait", "transmit", "ground")),
             percent(f["deadline_misses"]), percent(f["offloaded"]),
             f"{f['down_bytes_each'] / 1e3:.1f}", f"{f['up_bytes_each']:.0f}",
             f"{sum(f['wh_per_answer'].values()):.4f}", percent(f["contact_use"])]
    return f"| {' | '.join(cells)} |"


def _policies(table: Mapping[str, Any]) -> list[str]:
    lines = ["## Policies, tuned on val, replayed on test", "",
             "Requests from the ground. Accuracy %, of final answers and within minutes of capture;"
             " times min, parts of the final answer's; missed: no answer by the request's own "
             "deadline, %; bytes a request, Wh an answer.", ""]
    seen = dict.fromkeys((r["rate_mbps"], r["load"]) for r in table["rows"])
    for rate, load in seen:
        mine = [r for r in table["rows"] if (r["rate_mbps"], r["load"]) == (rate, load)
                and r["is_tuned"] and r["role"] != "ablation"]
        if mine:
            rule = f"{rate:g} Mbit/s" if rate else "rates of the link budget"
            mine.sort(key=lambda r: r["policy"])
            lines += [f"### {rule}, {load}", "", _HEAD, "|---|" + "---:|" * 19]
            lines += [*map(_policy_row, mine), "", "95 % intervals over scenes:", ""]
            lines += [*page_bounds.bounds(mine), *page_bounds.differences(mine)]
    return lines


def _ablations(table: Mapping[str, Any]) -> list[str]:
    rows = [r for r in table["rows"] if r["role"] == "ablation"]
    if not rows:
        return []
    same = [r for r in table["rows"] if r["role"] == "ours" and r["is_tuned"]
            and (r["rate_mbps"], r["load"]) == (rows[0]["rate_mbps"], rows[0]["load"])]
    return ["## Ablations", "", _HEAD, "|---|" + "---:|" * 19,
            *map(_policy_row, [*same, *rows]), "", "95 % intervals over scenes, and ours minus "
            "each, of the same requests:", "",
            *page_bounds.bounds([*same, *rows]), *page_bounds.differences(rows)]


def _idle(table: Mapping[str, Any]) -> list[str]:
    idle = table["idle"]
    wins = "it does" if idle["sending_everything_wins"] else "it does not"
    return ["## Idle link", "", f"At load {idle['load']} and {idle['rate_mbps']:g} Mbit/s sending "
            f"everything ought to win: {wins}. Best: {idle['best']}.", "",
            "| policy | final accuracy | contact used |", "|---|---:|---:|",
            *(f"| {name} | {percent(value)} | {percent(idle['contact_use'][name])} |"
              for name, value in sorted(idle["final_accuracy"].items(), key=lambda x: -x[1])), ""]


def _tuned(table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows as tuned, where whole curves were replayed."""
    return [r for r in table["rows"] if r["is_tuned"] and r["role"] in ("ours", "baseline", "user")
            and (r["rate_mbps"], r["load"]) == nominal(table)]


def _groups(table: Mapping[str, Any]) -> list[str]:
    rows = _tuned(table)
    groups = [g for g in rows[0]["figures"]["accuracy"] if g != "all"] if rows else []
    lines = ["## By size and modality", "", "Headline load, first rate, requests from the ground; "
             "accuracy %, final / 10 / 30 / 90 min.", "",
             f"| policy | {' | '.join(groups)} |", "|---|" + "---|" * len(groups)]
    for row in rows:
        cells = [_group(row, g) for g in groups]
        lines.append(f"| {row['policy']} | {' | '.join(cells)} |")
    return [*lines, ""]


def _group(row: Mapping[str, Any], name: str) -> str:
    found = row["figures"]["accuracy"].get(name, {})
    sure = row["ci95"]["accuracy"].get(name, {}).get("final")
    return " / ".join([share(found.get("final"), sure), *(percent(found.get(k)) for k in MINUTES)])


def _onboard(table: Mapping[str, Any]) -> list[str]:
    lines = ["## Used on board", "", "Such a request is answered on board under every policy; what "
             "differs is how long it waits for the computer. In no figure above.", "",
             "| policy | final accuracy, % | mean s | p95 s | missed, % |",
             "|---|---:|---:|---:|---:|"]
    for row in _tuned(table):
        if found := row["figures"].get("onboard"):
            latency = found["latency_s"]
            lines.append(f"| {row['policy']} | {percent(found['accuracy']['final'])} | "
                         f"{latency['mean']:.1f} | {latency['p95']:.1f} | "
                         f"{percent(found['deadline_misses'])} |")
    return [*lines, ""]


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
            "- SHA-256 of " + ", ".join(f"{name} {table['sources'][name][:12]}"
                                        for name in ("config", "definitions", "rules", "trace")),
            f"- computed in {table['machine']['seconds']:.0f} s, cores: "
            f"{table['machine']['cores']}, load average {table['machine']['load']:.1f}"]
