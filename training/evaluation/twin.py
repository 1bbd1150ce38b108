"""What a precision costs: a model folder beside its twin, on the same held-out questions.

    python -m training.evaluation.twin --data DIR [--model compact]
        [--twin float32|int8|FOLDER] [--sets eurosat_rgb,mstar] [--limit 40] [--split test|val]

float32: the same folder with weights as they were before they were stored as int8, from the
checkpoints (which are not in the repository). int8: the same folder with a decoder that also
computes in int8. Both need torch or onnx: extra [train]. Printed are equal answers in per cent and,
as for two models, the mean difference (folder minus twin) over the percent-valued cells with the
interval of a paired bootstrap, beside the limit of one point; build/twin/MODEL-TWIN.json keeps
them. A stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from eo_nodes.contracts.errors import EoError
from training.evaluation import cells
from training.evaluation.__main__ import folder_here, matches
from training.evaluation.compare import compare
from training.evaluation.rows import Row
from training.evaluation.run import Job, Plan, Runner
from training.evaluation.sets import open_library
from training.evaluation.subject import Subject
from training.instruct.sources import Library

MOST_POINTS = 1.0
PRECISIONS = ("float32", "int8")


@dataclass(frozen=True, slots=True)
class Cost:
    """One cell: values of folder and twin in the metric's unit, answers that are equal."""

    cell: str
    metric: str
    folder: float
    twin: float
    equal: int
    n: int


def twin_of(folder: Path, wanted: str, out: Path) -> Path:
    """The twin's folder, made anew where it is of a precision. Raises ModelError."""
    if wanted not in PRECISIONS:
        return folder_here(wanted)
    # Torch and onnx are needed for this alone.
    from training import precision

    path = out / f"{folder.name}-{wanted}-{Subject(folder).digest[:16]}"
    if not path.is_dir():
        make = precision.store_as_float if wanted == "float32" else precision.compute_in_int8
        make(folder, path)
    return path


def answered(subject: Subject, library: Library, plan: Plan, patterns: str) -> list[Job]:
    """Jobs of the cells on real sets, every question answered."""
    runner = Runner(subject, library, plan, lambda name, done: None)
    pines = library.meta("indian_pines")["classes"] if "indian_pines" in library.names else []
    jobs: dict[str, list[Job]] = {}
    for cell in cells.table(pines):
        if cell.set_name in library.names and matches(cell.set_name, patterns):
            jobs.setdefault(cell.set_name, []).append(runner.prepare(cell))
    for name, some in jobs.items():
        print(f"{subject.name}: {name}", file=sys.stderr, flush=True)
        runner.answer(some)
    return [job for some in jobs.values() for job in some if job.asks]


def costs(
    pairs: Sequence[tuple[Job, Job]], rows: Sequence[tuple[list[Row], list[Row]]]
) -> list[Cost]:
    """One for each cell, by its first score."""
    found = []
    for (own, other), (mine, theirs) in zip(pairs, rows, strict=True):
        same = sum(own.said[""][a.key].text == other.said[""][a.key].text for a in own.asks)
        found.append(Cost(own.cell.name, mine[0].metric.name, round(mine[0].value, 2),
                          round(theirs[0].value, 2), same, len(own.asks)))
    return found


def show(found: Sequence[Cost], overall: dict, twin: str) -> str:
    """The table and its last lines."""
    lines = [f"{'cell':34s}{'metric':>10s}{'folder':>9s}{twin[:9]:>10s}{'equal':>9s}{'n':>5s}"]
    lines += [f"{c.cell:34s}{c.metric:>10s}{c.folder:9.2f}{c.twin:10.2f}"
              f"{100 * c.equal / c.n:8.1f}%{c.n:5d}" for c in found]
    low, high = overall["ci95"]
    return "\n".join([*lines, (
        f"answers equal: {overall['equal_percent']:.1f} % of {overall['n']}; mean over "
        f"{overall['cells']} percent-valued cells, folder minus {twin}: "
        f"{overall['mean_difference']:+.2f} points ({low:+.2f} to {high:+.2f}); limit "
        f"{MOST_POINTS:g} point: {'reached' if overall['reached'] else 'MISSED'}")])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True, help="the data folder")
    p.add_argument("--model", default="compact", help="compact, regular or a folder")
    p.add_argument("--twin", default="float32", help="float32, int8 or a folder")
    p.add_argument("--sets", default="*", help="patterns of sets, apart by commas")
    p.add_argument("--split", choices=("test", "val"), default="test")
    p.add_argument("--limit", type=int, default=40,
                   help="questions a cell, a quarter of it where answers are long; 0: all")
    p.add_argument("--out", type=Path, default=Path("build/twin"))
    a = p.parse_args(argv)
    plan = Plan(a.split, a.out, a.limit, with_controls=False)
    try:
        library, folder = open_library(a.data), folder_here(a.model)
        twin = twin_of(folder, a.twin, a.out)
        subjects = [Subject(folder), Subject(twin)]
        jobs = [answered(s, library, plan, a.sets) for s in subjects]
        rows = [[Runner(s, library, plan, lambda name, done: None).score(job) for job in of]
                for s, of in zip(subjects, jobs, strict=True)]
    except EoError as fault:
        print(f"twin: {fault}", file=sys.stderr)
        return 1
    pairs = list(zip(*jobs, strict=True))
    found = costs(pairs, list(zip(*rows, strict=True)))
    overall = compare(*([row for some in of for row in some] for of in rows))
    if not overall["cells"]:
        print("twin: no percent-valued cell was asked", file=sys.stderr)
        return 1
    n = sum(c.n for c in found)
    overall |= {"n": n, "equal_percent": round(100 * sum(c.equal for c in found) / n, 2),
                "reached": abs(overall["mean_difference"]) <= MOST_POINTS}
    print(show(found, overall, a.twin))
    kept = {"model": folder.name, "digests": [s.digest for s in subjects], "split": a.split,
            "limit": a.limit, "overall": overall, "cells": [asdict(c) for c in found]}
    path = a.out / f"{folder.name}-{Path(a.twin).name}.json"
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
