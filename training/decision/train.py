"""Train the routing heads of a compact model and put them into its folder.

    python -m training.decision.train --compact FOLDER --regular FOLDER [--rows build/decision]

Reads what `training.decision.collect` kept of the held share. Heads learn on the fit part,
calibration and the limit of what is familiar come from the calibrate part, figures of the check
part go into ``decision.json``; the parts are whole scenes. Seeded: the same rows give the same
files. Needs no torch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.lvlm.chances import auroc, brier, ece
from eo_nodes.lvlm.lengths import TAP2_TOKENS
from eo_nodes.lvlm.manifest import answers_digest, read_manifest, seal
from training.decision import figures
from training.decision.collect import journal_of
from training.decision.head import FACTS, NUMBERS, StageHead, fit_stage
from training.decision.network import PLAN, TARGETS, Arrays, Plan
from training.decision.questions import HELD
from training.decision.rows import STAGES, Rows, join, read

VERSION = 1
FEWEST = 60  # rows that a tap needs of its own; with fewer it takes complete answers too


def at_tap(rows: Rows, stage: int) -> Rows:
    """Rows of a tap; all of them where too few answers outlast it."""
    own = rows.stage(stage)
    return own if len(own) >= FEWEST else rows


def checked(head: StageHead, rows: Rows) -> dict:
    """Figures of one tap on rows that nothing was fitted on."""
    said, distance = head.scores(rows)
    right = rows.right
    return {
        "n": len(rows), "right": round(float(right.mean()), 4),
        "ece": _round(ece(said[:, 0], right)),
        "auroc": _round(auroc(said[:, 0], right)),
        "brier": _round(brier(said[:, 0], right)),
        "base_brier": _round(figures.base_brier(right)),
        "aurc": _round(figures.aurc(said[:, 0], right)),
        "unfamiliar": round(float((distance > 1).mean()), 4),
    }


def _round(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def fit_heads(rows: Rows, plan: Plan = PLAN) -> dict[int, StageHead]:
    """A head a tap.

    Raises:
        ConfigError: a part without rows.
    """
    parts = {p: rows.where(rows.part == p) for p in ("fit", "calibrate")}
    if not all(len(r) for r in parts.values()):
        raise ConfigError("too few scenes: a part is empty; collect more questions")
    return {s: fit_stage(s, at_tap(parts["fit"], s), at_tap(parts["calibrate"], s), plan)
            for s in STAGES}


def write(folder: Path, heads: dict[int, StageHead], rows: Rows, plan: Plan) -> dict:
    """Write both files and seal the folder anew; returns the facts."""
    fit = rows.where(rows.part == "fit")
    unlike = float((1 - fit.alike).mean())
    check = rows.where(rows.part == "check")
    stages = {}
    for stage, head in heads.items():
        stages[str(stage)] = head.facts()
        if len(check):
            stages[str(stage)]["check"] = checked(head, at_tap(check, stage))
    facts = {
        "version": VERSION, "targets": list(TARGETS), "sizes": rows.sizes,
        "members": plan.members, "tap2_tokens": TAP2_TOKENS, "stages": stages,
        "there": float(fit.ground_right.mean()),
        "alike_gain": max(float(fit.gain.mean()), 0.0) / unlike if unlike > 0 else 0.0,
        "rows": {p: int((rows.part == p).sum()) for p in ("fit", "calibrate", "check")},
        "plan": {**asdict(plan), "directions": dict(plan.directions)},
    }
    numbers: Arrays = {}
    for head in heads.values():
        numbers |= head.numbers()
    _save(folder / NUMBERS, numbers)
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    old = read_manifest(folder)
    names = [*(n for n in old.files if n not in (NUMBERS, FACTS)), NUMBERS, FACTS]
    seal(folder, old.family, old.id, names, old.golden, old.bands)
    return facts


def _save(path: Path, numbers: Arrays) -> None:
    """As ``numpy.savez_compressed``, to a path that is complete or absent."""
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, **numbers)
    part.replace(path)


def rows_of(out: Path, split: str, compact: Path, regular: Path) -> Rows:
    """What was collected of two model folders.

    Raises:
        ConfigError: nothing yet.
    """
    found = [read(journal_of(out, split, which, answers_digest(folder)))
             for which, folder in (("compact", compact), ("regular", regular))]
    return join(*found)


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--compact", type=Path, required=True)
    p.add_argument("--regular", type=Path, required=True)
    p.add_argument("--rows", type=Path, default=Path("build/decision"))
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args(argv)
    rows = rows_of(a.rows, HELD, a.compact, a.regular)
    plan = replace(PLAN, seed=a.seed)
    facts = write(a.compact, fit_heads(rows, plan), rows, plan)
    size = sum((a.compact / n).stat().st_size for n in (NUMBERS, FACTS))
    print(f"{len(rows)} questions {facts['rows']}, heads of {size} bytes in {a.compact}")
    for stage, entry in facts["stages"].items():
        kinds = {t: c["kind"] for t, c in entry["calibration"].items()}
        print(f"tap {stage}: {kinds} {entry.get('check', {})}")


if __name__ == "__main__":
    main()
