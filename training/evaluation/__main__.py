"""Score model folders on the data folder; print the table, write OUT/scores.json.

    spaceverse evaluate --data DIR [--model compact --model regular]
        [--sets eurosat_rgb,world] [--tasks vqa,count] [--cells '*.count*'] [--split test|val]
        [--limit N] [--limit compact.eurosat_*=300] [--blind-limit N] [--as-cards]
        [--out build/eval]

A run that was stopped goes on where it was. Choices are made on val; test is for the table.
"""

from __future__ import annotations

import argparse
import fnmatch
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eo_nodes.contracts.errors import EoError
from training.evaluation import cells, exams, mechanisms, pointing, report, spaces, summary
from training.evaluation.cells import Cell
from training.evaluation.pointing import Pointing
from training.evaluation.rows import Row
from training.evaluation.run import Job, Plan, Runner
from training.evaluation.sets import open_library
from training.evaluation.spaces import Spaces
from training.evaluation.subject import Subject
from training.instruct.records import TASKS
from training.instruct.sources import Library

MODELS = Path(__file__).resolve().parents[2] / "models"
AS_CARDS = Path(__file__).with_name("card.args")
Wanted = Callable[[str, str], bool]


def limit(text: str) -> tuple[str, int]:
    """(pattern of MODEL.CELL, empty for all; questions) of `[PATTERN=]N`."""
    pattern, _, number = text.rpartition("=")
    if not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: N or PATTERN=N, N 0 or more")
    return pattern, int(number)


def limits_of(given: Sequence[tuple[str, int]]) -> tuple[int, tuple[tuple[str, int], ...]]:
    """(of every cell, (pattern, questions) in the order in which they count) of what `limit` read.

    The last of one pattern is taken, at the place where it was given last.
    """
    last: dict[str, int] = {}
    for pattern, number in given:
        last.pop(pattern, None)
        last[pattern] = number
    return last.get("", 0), tuple(one for one in last.items() if one[0])


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; with --as-cards those of `card.args` come first."""
    argv = list(sys.argv[1:] if argv is None else argv)
    p = argparse.ArgumentParser(
        prog="spaceverse evaluate", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--data", type=Path, required=True, help="the data folder")
    p.add_argument("--model", action="append",
                   help="compact, regular or a folder; several allowed; default: both")
    p.add_argument("--cells", default="*", help="patterns of SET.CELL names, apart by commas")
    p.add_argument("--sets", default="*", help="patterns of sets, apart by commas; also: world")
    p.add_argument("--tasks", default="*", help=f"of {', '.join(TASKS)}; apart by commas")
    p.add_argument("--split", choices=("test", "val"), default="test")
    p.add_argument("--limit", type=limit, action="append", default=[], metavar="[PATTERN=]N",
                   help="questions a cell, drawn with a seed; 0: all. Plain: of every cell, a "
                        "quarter of it where answers are long. PATTERN: of these MODEL.CELL "
                        "names; the last that fits is taken")
    p.add_argument("--blind-limit", type=limit, action="append", default=[],
                   metavar="[PATTERN=]N",
                   help="of these, so many also blind and on altered pictures; 0: all. PATTERN "
                        "as of --limit")
    p.add_argument("--as-cards", action="store_true",
                   help=f"draw as the cards of the models were drawn: {AS_CARDS.name}; further "
                        "options go before it")
    p.add_argument("--out", type=Path, default=Path("build/eval"),
                   help="of scores.json and of the answers that are kept")
    p.add_argument("--zero-shot", type=Path, default=summary.ZERO_SHOT,
                   help="what training.zero_shot --keep wrote, put beside the table")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--no-controls", action="store_true", help="neither blind nor other controls")
    p.add_argument("--list", action="store_true", help="print the names of the cells, then end")
    a = p.parse_args(argv)
    if a.as_cards:
        a = p.parse_args([*shlex.split(AS_CARDS.read_text(encoding="utf-8"), comments=True), *argv])
    return a


def matches(name: str, patterns: str) -> bool:
    """Whether a name fits one of the patterns."""
    return any(fnmatch.fnmatchcase(name, p.strip()) for p in patterns.split(","))


def wanted_by(a: argparse.Namespace) -> Wanted:
    """(name of a cell, its task) -> whether the command line asks for it."""
    return lambda name, task: (matches(name, a.cells) and matches(name.split(".")[0], a.sets)
                               and matches(task, a.tasks))


def all_cells(library: Library) -> list[Cell]:
    """Cells that are asked in words, on the sets of the folder and the world."""
    pines = library.meta("indian_pines")["classes"] if "indian_pines" in library.names else []
    every = [*cells.table(pines), *exams.table(), *mechanisms.table()]
    return [c for c in every if c.set_name in (*library.names, exams.WORLD)]


def evaluate(
    subject: Subject, library: Library, plan: Plan, wanted: Wanted, progress: Progress
) -> tuple[list[Row], list[dict]]:
    """All rows of one model, and the cells it cannot answer."""
    bar = progress.add_task(subject.name, total=0)
    total = 0

    def tell(name: str, done: int) -> None:
        progress.update(bar, description=f"{subject.name} {name}", advance=done)

    def more(name: str, done: int) -> None:
        # How many vectors and maps are left to make is known only on the way.
        nonlocal total
        total += done
        progress.update(bar, description=f"{subject.name} {name}", total=total, advance=done)

    rows: list[Row] = []
    lacking: list[dict] = []

    def lacks(name: str, what: str) -> None:
        lacking.append({"model": subject.name, "cell": name, "lacks": what})

    runner = Runner(subject, library, plan, tell)
    jobs: dict[str, list[Job]] = {}
    for cell in all_cells(library):
        if not wanted(cell.name, cell.task):
            continue
        if missing := runner.lacking(cell):
            lacks(cell.name, missing)
            continue
        job = runner.prepare(cell)
        if job.asks:
            jobs.setdefault(cell.set_name, []).append(job)
            total += len(job.pending)
        else:
            lacks(cell.name, "questions")
    progress.update(bar, total=total)
    for of_set in jobs.values():
        runner.answer(of_set)
        for job in of_set:
            rows += runner.score(job)
    others: tuple[tuple[Spaces | Pointing, Sequence[str]], ...] = (
        (Spaces(subject, library, plan, more), spaces.NAMES),
        (Pointing(subject, library, plan, more), pointing.NAMES),
    )
    for asker, names in others:
        for name in names:
            task = spaces.TASKS.get(name, "grounding")
            if not wanted(name, task) or name.split(".")[0] not in library.names:
                continue
            if missing := asker.lacking(name):
                lacks(name, missing)
            else:
                rows += asker.rows(name)
    progress.remove_task(bar)
    return rows, lacking


def folder_here(name: str) -> Path:
    """A model folder: as it is, else by its name in the source tree."""
    path = Path(name)
    return path if path.is_dir() else MODELS / name


def main(
    argv: Sequence[str] | None = None, folder_of: Callable[[str], Path] = folder_here
) -> int:
    """Run the command; the exit status. folder_of: where a named model lies."""
    a = arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else 220)
    (every, some), (blind, some_blind) = limits_of(a.limit), limits_of(a.blind_limit)
    plan = Plan(a.split, a.out, every, blind, not a.no_controls, some, some_blind)
    start, rows, lacking, runs = time.monotonic(), [], [], []
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
             TimeRemainingColumn())
    try:
        reasons = summary.read_reasons()
        library = open_library(a.data)
        if a.list:
            for name in [*(c.name for c in all_cells(library)), *spaces.NAMES, *pointing.NAMES]:
                console.print(name)
            return 0
        folders = [folder_of(name) for name in a.model or ("compact", "regular")]
        with Progress(*parts, console=Console(stderr=True)) as progress:
            for folder in folders:
                subject = Subject(folder, threads=a.threads)
                before = time.process_time()
                found, missing = evaluate(subject, library, plan, wanted_by(a), progress)
                rows, lacking = rows + found, lacking + missing
                runs.append({"model": subject.name, "digest": subject.digest, **subject.record,
                             "cpu_seconds": round(time.process_time() - before, 1)})
    except EoError as fault:
        print(f"evaluation: {fault}", file=sys.stderr)
        return 1
    summary.give_reasons(rows, reasons)
    report.show(rows, lacking, console)
    found = summary.summarise(rows)
    report.show_summary(found, console)
    held_out = summary.read_zero_shot(a.zero_shot)
    report.show_zero_shot(held_out, console)
    more = {"split": a.split, "limit": plan.limit, "limits": dict(plan.limits),
            "blind_limit": plan.blind_limit, "blind_limits": dict(plan.blind_limits),
            "as_cards": a.as_cards, "seconds": round(time.monotonic() - start, 1),
            "runs": runs, "summary": found, "zero_shot": held_out}
    report.write(a.out / "scores.json", rows, lacking, more)
    console.print(f"{len(rows)} rows in {a.out / 'scores.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
