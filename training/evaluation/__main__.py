"""Score model folders on the data folder; print the table, write OUT/scores.json.

    python -m training.evaluation --data DIR [--model models/compact --model models/regular]
        [--cells 'eurosat*,*.count*'] [--split test|val] [--limit N] [--out build/eval]

A run that was stopped goes on where it was. Choices are made on val; test is for the table.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eo_nodes.contracts.errors import EoError
from training.evaluation import cells, exams, report, spaces
from training.evaluation.compare import compare
from training.evaluation.rows import Row
from training.evaluation.run import Plan, Runner
from training.evaluation.sets import open_library
from training.evaluation.spaces import Spaces
from training.evaluation.subject import Subject
from training.instruct.sources import Library

PROJECT = Path(__file__).resolve().parents[2]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    p = argparse.ArgumentParser(
        prog="python -m training.evaluation", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--data", type=Path, required=True, help="the data folder")
    p.add_argument("--model", type=Path, action="append", help="a model folder; several allowed")
    p.add_argument("--cells", default="*", help="patterns of SET.CELL names, apart by commas")
    p.add_argument("--split", choices=("test", "val"), default="test")
    p.add_argument("--limit", type=int, default=0, help="questions a cell, drawn with a seed")
    p.add_argument("--out", type=Path, default=PROJECT / "build" / "eval")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--no-controls", action="store_true", help="neither blind nor other controls")
    p.add_argument("--list", action="store_true", help="print the names of the cells, then end")
    return p.parse_args(argv)


def matches(name: str, patterns: str) -> bool:
    """Whether a cell's name fits one of the patterns."""
    return any(fnmatch.fnmatchcase(name, p.strip()) for p in patterns.split(","))


def evaluate(
    subject: Subject, library: Library, plan: Plan, patterns: str, progress: Progress
) -> tuple[list[Row], list[dict]]:
    """All rows of one model, and the cells it cannot answer."""
    bar = progress.add_task(subject.name, total=None)

    def tell(name: str, done: int, total: int) -> None:
        progress.update(bar, description=f"{subject.name} {name}", completed=done, total=total)

    rows: list[Row] = []
    lacking: list[dict] = []
    runner, space = Runner(subject, library, plan, tell), Spaces(subject, library, plan, tell)
    pines = library.meta("indian_pines")["classes"] if "indian_pines" in library.names else []
    jobs = [(c.name, lambda c=c: runner.lacking(c), lambda c=c: runner.rows(c))
            for c in [*cells.table(pines), *exams.table()]]
    jobs += [(n, lambda n=n: space.lacking(n), lambda n=n: space.rows(n)) for n in spaces.NAMES]
    for name, lacks, answer in jobs:
        if not matches(name, patterns) or name.split(".")[0] not in (*library.names, exams.WORLD):
            continue
        if missing := lacks():
            lacking.append({"model": subject.name, "cell": name, "lacks": missing})
        elif found := answer():
            rows += found
        else:
            lacking.append({"model": subject.name, "cell": name, "lacks": "questions"})
    progress.remove_task(bar)
    return rows, lacking


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    a = arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else 220)
    if a.list:
        for name in [*(c.name for c in [*cells.table([]), *exams.table()]), *spaces.NAMES]:
            console.print(name)
        return 0
    folders = a.model or [PROJECT / "models" / name for name in ("compact", "regular")]
    plan = Plan(a.split, a.out, a.limit, not a.no_controls)
    start, rows, lacking = time.monotonic(), [], []
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
             TimeRemainingColumn())
    try:
        library = open_library(a.data)
        with Progress(*parts, console=Console(stderr=True)) as progress:
            for folder in folders:
                subject = Subject(folder, threads=a.threads)
                found, missing = evaluate(subject, library, plan, a.cells, progress)
                rows, lacking = rows + found, lacking + missing
    except EoError as fault:
        print(f"evaluation: {fault}", file=sys.stderr)
        return 1
    report.show(rows, lacking, console)
    more = {"split": a.split, "limit": a.limit, "seconds": round(time.monotonic() - start, 1)}
    names = list(dict.fromkeys(row.model for row in rows))
    if len(names) == 2:
        # The larger model first, by the order in which the folders were given: compact, regular.
        by_name = [[row for row in rows if row.model == name] for name in names]
        more["comparison"] = compare(by_name[1], by_name[0])
        console.print(more["comparison"])
    report.write(a.out / "scores.json", rows, lacking, more)
    console.print(f"{len(rows)} rows in {a.out / 'scores.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
