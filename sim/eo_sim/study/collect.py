"""Record the trace: ask both models real questions once, and keep what became of each.

    python -m eo_sim.study.collect --data DIR [--compact FOLDER] [--regular FOLDER]
        [--per-kind 60] [--limit N] [--minutes M] [--part I/N] [--threads 1]
        [--journal build/trace] [--out FILE]

Questions and readings are those of ``training.decision`` and ``training.evaluation``: val and test
splits of the labelled sets, in the order of ``agenda``. A journal named by what both models
are takes one line a request, so a run that is stopped (by --minutes, by hand or by a kill) goes
on, and changed weights begin anew. Whatever the journal holds goes into the trace, however much is
on the agenda this time; --limit 1 only writes the trace of it. Questions on the chips in the tree
(test/data/chips) are always among them: ``make study`` asks those again.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eo_nodes.contracts.errors import EoError
from eo_nodes.decision.heads import FACTS
from eo_nodes.decision.levels import LEVELS
from eo_nodes.graph.paths import project_file
from eo_nodes.lvlm.journal import Journal, Part, whole_records
from eo_nodes.lvlm.manifest import read_manifest

from .agenda import Asked, Progress, agenda
from .errors import StudyError
from .limits import graph_limits
from .outcomes import Cores
from .trace import COLUMNS, DEADLINES_MIN, SIZES, SPLITS, VERSION, Trace, save_trace

CHIPS = "test/data/chips"
# At most so long a side, in pixels, makes an instance a small one.
SMALL_PX = 32
_WHOLE = ("classification", "caption", "captioning")


def library_of(data: Path, split: str) -> tuple[Any, Any, str]:
    """The questions' module, the library and its split; by name, as the command loads training.

    Raises:
        StudyError: the folder is no data folder.
    """
    module = importlib.import_module("training.decision.questions")
    try:
        library, split = module.open_split(data, split)
    except OSError as error:
        raise StudyError(f"--data {data}: {error}") from error
    return module, library, split


def asked(data: Path, splits: Sequence[str], per_kind: int) -> list[Asked]:
    """Questions on the chips of the tree and of the data folder, in the order of asking."""
    module, library, split = library_of(project_file(CHIPS), "test")
    chips = module.questions(library, split, 3) if "test" in splits else []
    found: dict[str, Sequence[Any]] = {}
    for name in splits:
        module, library, split = library_of(data, name)
        found[name] = module.questions(library, split, per_kind)
    return agenda(chips, found.get("val", ()), found.get("test", ()))


def facts_of(question: Any) -> dict[str, Any]:
    """What is known of a question before it is asked."""
    sides = _sides(question)
    task = question.cell.task
    size = "other"
    if task in _WHOLE or question.kind.endswith(("rural_urban", "day or night")):
        size = "whole_scene"
    elif sides and min(sides) <= SMALL_PX:
        size = "small_object"
    draw = hashlib.sha256(f"study:{question.key}".encode()).digest()
    return {
        "set": question.sample.set_name, "modality": question.cell.modality,
        "scene": question.scene,
        "chip": f"{question.sample.set_name}/{question.sample.id}", "question": task,
        "size": size, "deadline": draw[0] % len(DEADLINES_MIN), "priority": draw[1] % 4,
    }  # fmt: skip


def _sides(question: Any) -> list[float]:
    """Shortest sides of the labelled instances, for questions about instances."""
    if question.cell.task not in ("count", "grounding", "referring", "vqa"):
        return []
    try:
        boxes = getattr(question.sample, "boxes", [])
    except ValueError:
        boxes = []
    return [min(x2 - x1, y2 - y1) for _, (x1, y1, x2, y2) in boxes]


def ask(cores: Cores, split: str, is_chip: bool, question: Any) -> dict[str, Any]:
    """One line of the journal; a question that cannot be asked says why."""
    module = importlib.import_module("training.decision.questions")
    row = {"key": question.key, "prompt": question.ask.prompt, "split": split, "is_chip": is_chip,
           **facts_of(question)}  # fmt: skip
    try:
        found = cores.outcome(
            question.sample.images, question.ask.prompt,
            lambda text: float(module.quality(question, text)),
        )  # fmt: skip
    except (EoError, OSError, ValueError) as error:  # one question must not end hours of them
        return row | {"error": f"{type(error).__name__}: {error}"[:200]}
    wrong = out_of_range(found)
    return row | ({"error": wrong} if wrong else {"error": "", **found})


def out_of_range(found: dict[str, Any]) -> str:
    """What of an outcome no trace may hold; "" where all of it may."""
    for name, column in COLUMNS.items():
        values = np.asarray(found.get(name, column.low), np.float64)
        if not ((values >= column.low) & (values <= column.high)).all():  # NaN is outside too
            return f"{name}: {values.tolist()} is outside {column.low:g} to {column.high:g}"
    return ""


def assemble(rows: Iterable[dict[str, Any]], cores_digests: dict[str, str], meta: Any) -> Trace:
    """Put journal lines together to a trace.

    A scene that was asked about in both splits counts as tested only: choices are made on val.

    Raises:
        StudyError: there is no line with an outcome.
    """
    good = [row for row in rows if not row["error"]]
    tested = {row["scene"] for row in good if row["split"] == "test"}
    good = [row for row in good if row["split"] == "test" or row["scene"] not in tested]
    if not good:
        raise StudyError("no question could be asked of both models")
    names: dict[str, tuple[str, ...]] = {}
    columns: dict[str, Any] = {}
    for column, key in (("set", "sets"), ("modality", "modalities"), ("scene", "scenes"),
                        ("chip", "chips"), ("question", "questions")):
        names[key] = tuple(sorted({row[column] for row in good}))
        code = {name: i for i, name in enumerate(names[key])}
        columns[column] = [code[row[column]] for row in good]
    columns["split"] = [SPLITS.index(row["split"]) for row in good]
    columns["size"] = [SIZES.index(row["size"]) for row in good]
    for name in COLUMNS:
        if name not in columns:
            columns[name] = [row[name] for row in good]
    arrays = {name: np.asarray(columns[name], COLUMNS[name].dtype) for name in COLUMNS}
    chips = [i for i, row in enumerate(good) if row["is_chip"]]
    return Trace(
        cores_digests, names, LEVELS, tuple(row["key"] for row in good),
        {**meta, "chip_rows": chips, "levels": [level.name for level in LEVELS]}, arrays,
    )  # fmt: skip


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    p = argparse.ArgumentParser(
        prog="python -m eo_sim.study.collect", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--data", type=Path, required=True, help="the data folder")
    p.add_argument("--compact", type=Path, default=Path("models/compact"))
    p.add_argument("--regular", type=Path, default=Path("models/regular"))
    p.add_argument("--split", action="append", choices=SPLITS, help="default: both")
    p.add_argument("--per-kind", type=int, default=60, help="questions a kind and split")
    p.add_argument("--limit", type=int, default=0, help="questions in all; 0: no limit")
    p.add_argument("--minutes", type=float, default=0.0,
                   help="stop asking then, and write the trace; 0: no limit")
    p.add_argument("--threads", type=int, default=1, help="of each model")
    p.add_argument("--part", type=Part.read, default=Part(), metavar="I/N",
                   help="ask every N-th question from the I-th on, beside other processes; "
                        "the last of them to end writes the trace of all")
    p.add_argument("--journal", type=Path, default=Path("build/trace"))
    p.add_argument("--out", type=Path, default=Path("sim/assets/study/trace.npz"))
    return p.parse_args(argv)


def run(a: argparse.Namespace) -> int:
    """Ask what the journal lacks, then write the trace; the exit status."""
    cores = Cores(a.compact, a.regular, graph_limits(), threads=a.threads)
    digests = {"compact": cores.compact.digest, "regular": cores.regular.digest}
    every = asked(a.data, a.split or SPLITS, a.per_kind)
    asked_of = [digest_of_answers(folder) for folder in (a.compact, a.regular)]
    about = f"{VERSION}{asked_of}{[x.name for x in LEVELS]}{cores.limits}"
    name = hashlib.sha256(about.encode()).hexdigest()[:16]
    path = a.journal / f"{name}.jsonl"
    with Journal(path) as journal:
        rows = _still_asked(journal, every)
        try:
            _ask_all(cores, a.part.of(every[: a.limit or None]), rows, journal, a.minutes)
        except KeyboardInterrupt:
            print("stopped by hand", flush=True)
    rows = _still_asked(whole_records(path.read_bytes())[0], every)  # those of other parts too
    meta = {"machine": platform.machine(), "python": platform.python_version(),
            "runs_on": cores.runs_on, "heads": cores.has_heads, "per_kind": a.per_kind,
            "limits": cores.limits.as_plain(), **cores.target_facts}
    kept = sorted(rows.values(), key=lambda row: str(row["key"]))
    trace = assemble(kept, digests, meta)
    size = save_trace(trace, a.out)
    counts = ", ".join(f"{split} {len(trace.rows(split))}" for split in SPLITS)
    failed = sum(bool(row["error"]) for row in kept)
    both = len(kept) - failed - len(trace)
    print(f"{len(trace)} requests ({counts}), {failed} could not be asked, {both} of val left out "
          f"as their scene is in test, {size} bytes in {a.out}")
    return 0


def digest_of_answers(folder: Path) -> str:
    """SHA-256 of all in a model folder that answers and scores hang on.

    The study's own means (``facts``) are left out: writing them must not make a journal old.
    """
    files = dict(read_manifest(folder).files)
    about = hashlib.sha256()
    if FACTS in files:
        del files[FACTS]
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        facts.pop("means", None)
        about.update(json.dumps(facts, sort_keys=True).encode())
    about.update(json.dumps(files, sort_keys=True).encode())
    return about.hexdigest()


def _still_asked(journal: Iterable[dict[str, Any]], every: Sequence[Asked]) -> dict[str, Any]:
    """Lines by key, the newest of each; without those whose question has another wording now."""
    prompts = {question.key: question.ask.prompt for _, _, question in every}
    rows = {row["key"]: row for row in journal}
    return {k: row for k, row in rows.items() if prompts.get(k, row["prompt"]) == row["prompt"]}


def _ask_all(
    cores: Cores, every: Sequence[Asked], rows: dict[str, Any], journal: Journal, minutes: float
) -> None:
    """Ask what ``rows`` lacks, into it and into the journal, until all is asked or time is up."""
    until_s = time.monotonic() + 60 * minutes if minutes else float("inf")
    progress = Progress(len(every), until_s)
    for split, is_chip, question in every:
        is_new = question.key not in rows
        if is_new:
            if time.monotonic() > until_s:
                print("time is up", flush=True)
                break
            rows[question.key] = ask(cores, split, is_chip, question)
            journal.append(rows[question.key])
        line = progress.add(split, time.monotonic(), is_new=is_new)
        if line:
            print(line, flush=True)
    print(progress.line(time.monotonic()), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    try:
        return run(arguments(argv))
    except EoError as error:
        print(f"trace: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
