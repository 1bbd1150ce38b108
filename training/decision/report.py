"""How good the heads of a folder are, on rows that nothing was fitted on.

    python -m training.decision.report --compact FOLDER --regular FOLDER [--split held] \
        [--rows build/decision] [--json FILE]

For the held share only the check part is read; val and test (collected with `--split`) are read
whole. Per tap, per sensor and question type: ECE in 15 bins of equal mass, AUROC, Brier beside the
best constant, AURC beside the order that knows the truth. Then the three targets against each other
at equal offload rate, beside random order and oracle, and what an early stop saves. Thresholds of
the savings come from the calibrate part of the held share, never from the rows they are shown on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from eo_nodes.lvlm.chances import LEAST_AUROC, MOST_ECE, auroc, brier, ece, reached
from training.decision import figures
from training.decision.head import StageHead, restored
from training.decision.network import TARGETS
from training.decision.questions import HELD
from training.decision.rows import LENGTHS, STAGES, Rows
from training.decision.train import rows_of

FEW = 50
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
STOP_SHARE = 0.5  # of requests that the end-only gate offloads, in the savings
LEAST_GAIN_SHARE = 0.9  # of what always asking gains, by the gain head with half of them asked
LEAST_STEPS_SAVED = 0.5  # of asked requests whose answer has 8 tokens and more
Heads = dict[int, StageHead]


def _round(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def row_of(chance: np.ndarray, rows: Rows) -> dict:
    """Figures of one group."""
    right = rows.right
    return {
        "n": len(rows), "scenes": len(set(rows.scene)), "right": _round(right.mean()),
        "ece": _round(ece(chance, right)), "auroc": _round(auroc(chance, right)),
        "brier": _round(brier(chance, right)),
        "base_brier": _round(figures.base_brier(right)),
        "aurc": _round(figures.aurc(chance, right)), "best_aurc": _round(figures.best_aurc(right)),
        "few": len(rows) < FEW,
    }


def calibration(heads: Heads, rows: Rows) -> list[dict]:
    """A row for each tap: all, then by sensor, then by question type."""
    made = []
    for stage in STAGES:
        own = rows.stage(stage)
        if not len(own):
            continue
        said, distance = heads[stage].scores(own)
        chance, familiar = said[:, 0], distance <= 1
        entry = {"tap": stage, "group": "all", **row_of(chance, own),
                 "abstains": _round(1 - familiar.mean()), **curve(chance, own)}
        entry["reached"] = reached(
            stage, ece=ece(chance, own.right), auroc=auroc(chance, own.right),
            brier=brier(chance, own.right), base=figures.base_brier(own.right),
        )
        for name, figure in (("ece", ece), ("auroc", auroc)):
            drawn = figures.interval(figure, chance, own.right, own.scene)
            entry[f"{name}_ci95"] = [_round(v) for v in drawn]
        if familiar.any() and not familiar.all():
            entry["right_where_abstaining"] = _round(own.right[~familiar].mean())
        made.append(entry)
        for field in ("modality", "task"):
            values = getattr(own, field)
            for value in sorted(set(values)):
                mask = values == value
                made.append({"tap": stage, "group": f"{field} {value}",
                             **row_of(chance[mask], own.where(mask))})
    return made


def curve(chance: np.ndarray, rows: Rows) -> dict:
    """Risk where the surest share of the answers is given, in steps of a tenth."""
    coverage, risk = figures.risk_coverage(chance, rows.right)
    at = [max(round(k / 10 * len(rows)) - 1, 0) for k in range(1, 11)]
    return {"coverage": [_round(coverage[i]) for i in at], "risk": [_round(risk[i]) for i in at]}


def stay(said: np.ndarray, target: str) -> np.ndarray:
    """(N,) how much each request should stay on board, by one target."""
    return {"correct": said[:, 0], "alike": said[:, 1], "gain": -said[:, 2]}[target]


def targets(heads: Heads, rows: Rows, seed: int = 0) -> list[dict]:
    """Quality at equal offload rate by each target, beside random and oracle order, per tap."""
    here, there = rows.right, rows.ground_right
    orders: dict[str, np.ndarray] = {
        "random": np.random.default_rng(seed).permutation(len(rows)).astype(float),
        "oracle": -rows.gain,
    }
    made = []
    for stage in STAGES:
        said, _ = heads[stage].scores(rows)
        for name, order in (*((t, stay(said, t)) for t in TARGETS), *orders.items()):
            if name in orders and stage != STAGES[0]:
                continue  # they do not look at a tap
            routed = figures.routed(order, here, there, SHARES)
            made.append({
                "tap": 0 if name in orders else stage, "target": name,
                "routed": {str(k): _round(v) for k, v in routed.items()},
                "gain_share_at_half": _round(figures.gain_share(order, here, there)),
                "auroc_of_gain": _round(auroc(-order, rows.gain > 0)),
            })
    return made


def early_bars(heads: Heads, rows: Rows, share: float, lead: float) -> dict[int, float]:
    """Expected gain from which each tap asks the ground, from rows that are not reported on.

    The end asks ``share`` of the requests. An earlier tap stops only what the end would very
    likely ask as well: its bar is the lowest above which ``lead`` of the rows are beyond the end's.
    """
    end = heads[3].scores(rows)[0][:, 2]
    bars = {3: float(np.quantile(end, 1 - share))}
    for stage in (1, 2):
        gain = heads[stage].scores(rows)[0][:, 2]
        order = np.argsort(-gain, kind="stable")
        agree = np.cumsum(end[order] >= bars[3]) / np.arange(1, len(order) + 1)
        good = np.flatnonzero((agree >= lead) & rows.stage_mask(stage)[order])
        bars[stage] = float(gain[order][good[-1]]) if len(good) else float("inf")
    return bars


def savings(heads: Heads, bars: dict[int, float], rows: Rows) -> list[dict]:
    """What stopping at taps 1 and 2 saves against a gate at the end alone, by answer length.

    Steps and multiply-accumulates are of the requests that go to the ground; those of vision and
    prompt are never saved. ``end_only`` is the quality of the reference at the same offload rate.
    """
    here, there = rows.right, rows.ground_right
    gains = {s: heads[s].scores(rows)[0][:, 2] for s in STAGES}
    stop = np.full(len(rows), 4)
    for stage in (3, 2, 1):
        stop[(gains[stage] >= bars[stage]) & rows.stage_mask(stage)] = stage
    asked = stop < 4
    end_only = np.argsort(-gains[3], kind="stable")[: int(asked.sum())]
    at = np.where(asked, stop, 3) - 1
    index = np.arange(len(rows))
    made = []
    for name, low, high in (("all", 0, 10**9), *LENGTHS, ("8+", 8, 10**9)):
        group = (rows.tokens[:, 2] >= low) & (rows.tokens[:, 2] <= high)
        sent = group & asked
        if not sent.any():
            continue
        steps, macs = rows.tokens[sent, 2], rows.macs[sent, 2]
        made.append({
            "answer_tokens": name, "n": int(group.sum()), "asked": int(sent.sum()),
            "stopped_at_1": int((sent & (stop == 1)).sum()),
            "stopped_at_2": int((sent & (stop == 2)).sum()),
            "steps_saved": _round(1 - rows.tokens[index, at][sent].sum() / steps.sum()),
            "flop_saved": _round(1 - rows.macs[index, at][sent].sum() / macs.sum()),
            "decode_share_of_flop": _round(1 - rows.macs[sent, 0].sum() / macs.sum()),
        })
    final = np.where(asked, there, here)
    reference = here.copy()
    reference[end_only] = there[end_only]
    made[0] |= {"quality": _round(final.mean()), "quality_end_only": _round(reference.mean())}
    return made


def heads_cost(heads: Heads, rows: Rows) -> dict:
    """Multiply-accumulates of the heads at all three taps, beside those of the compact model."""
    own = sum(sum(v.size for k, v in h.parts.items() if k.startswith("project."))
              + sum(w["in"].size + w["out"].size for w in h.members) for h in heads.values())
    return {"heads_macs": int(own), "compact_macs": int(rows.macs[:, 2].mean()),
            "share": round(float(own / rows.macs[:, 2].mean()), 7)}


def report(heads: Heads, calibrate: Rows, rows: Rows, lead: float = 0.85) -> dict:
    """All figures."""
    bars = early_bars(heads, calibrate, STOP_SHARE, lead) if len(calibrate) else {}
    return {
        "n": len(rows), "scenes": len(set(rows.scene)),
        "compact": _round(rows.right.mean()), "regular": _round(rows.ground_right.mean()),
        "alike": _round(rows.alike.mean()), "cost": heads_cost(heads, rows),
        "calibration": calibration(heads, rows), "targets": targets(heads, rows),
        "bars": {str(k): _round(v) for k, v in bars.items()},
        "savings": savings(heads, bars, rows) if bars else [],
    }


def limits(found: dict) -> list[str]:
    """What became of each limit, a line each; what could not be formed is missed."""
    lines = []
    for row in found["calibration"]:
        if row["group"] == "all":
            asked = {"ece": f"at most {MOST_ECE}", "brier": "below the base rate",
                     "auroc": f"at least {LEAST_AUROC[row['tap'] - 1]:.2f}"}
            told = [f"{k} {row[k]} {asked[k]}: {_mark(hit)}" for k, hit in row["reached"].items()]
            lines.append(f"tap {row['tap']} {', '.join(told)}")
    for row in found["targets"]:
        if row["target"] == "gain" and row["tap"] == STAGES[-1]:
            got = row["gain_share_at_half"]
            told = _mark(_is_at(got, LEAST_GAIN_SHARE))
            lines.append(f"half asked by the gain head at the end: {got} of what always asking "
                         f"gains, at least {LEAST_GAIN_SHARE}: {told}")
    for row in found["savings"]:
        if row["answer_tokens"] == "8+":
            every, got = found["savings"][0], row["steps_saved"]
            lines.append(f"decode steps saved of answers of 8 tokens and more: {got}, at least "
                         f"{LEAST_STEPS_SAVED}: {_mark(_is_at(got, LEAST_STEPS_SAVED))}; quality "
                         f"{every['quality']}, by a gate at the end alone "
                         f"{every['quality_end_only']}")
    return lines


def _is_at(value: float | None, least: float) -> bool:
    return value is not None and value >= least


def _mark(hit: bool) -> str:
    return "reached" if hit else "missed"


def table(found: dict, say: Callable[[str], None]) -> None:
    """Print the report as text."""
    say(f"{found['n']} questions, {found['scenes']} scenes; right: compact {found['compact']}, "
        f"regular {found['regular']}; alike {found['alike']}; heads {found['cost']}")
    for r in found["calibration"]:
        mark = " (few)" if r["few"] else ""
        drawn = f" {r['auroc_ci95']}" if "auroc_ci95" in r else ""
        say(f"tap {r['tap']} {r['group']:<28} n {r['n']:>5}  right {r['right']}  ECE {r['ece']}  "
            f"AUROC {r['auroc']}{drawn}  Brier {r['brier']} / {r['base_brier']}  "
            f"AURC {r['aurc']} / {r['best_aurc']}{mark}")
    for r in found["targets"]:
        say(f"tap {r['tap']} by {r['target']:<8} routed {r['routed']}  of the gain at half "
            f"{r['gain_share_at_half']}  AUROC of gain {r['auroc_of_gain']}")
    for r in found["savings"]:
        say(f"stop, answers of {r['answer_tokens']:<5} tokens: {r}")
    for line in limits(found):
        say(f"limit: {line}")


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--compact", type=Path, required=True)
    p.add_argument("--regular", type=Path, required=True)
    p.add_argument("--split", default=HELD, help="held (its check part), val or test")
    p.add_argument("--rows", type=Path, default=Path("build/decision"))
    p.add_argument("--json", type=Path)
    a = p.parse_args(argv)
    held = rows_of(a.rows, HELD, a.compact, a.regular)
    shown = held.where(held.part == "check") if a.split == HELD else rows_of(
        a.rows, a.split, a.compact, a.regular)
    heads = restored(a.compact)
    found = report(heads, held.where(held.part == "calibrate"), shown)
    table(found, print)
    if a.json:
        a.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
