"""Put cells to a model, answer by answer, so that a stopped run goes on where it was.

Answers lie in `OUT/answers/RUN/SPLIT/CELL[.VARIANT].jsonl`, where RUN names weights, runtime,
threads and processor (`run.json` beside them spells it out); scoring reads them again, so a changed
metric costs no inference and changed weights start anew. Questions of all cells on one picture are
asked one after the other: the picture is decoded and seen once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.lvlm.journal import Journal
from training.evaluation.asks import Ask
from training.evaluation.cells import Cell
from training.evaluation.probes import CONTROLS, SENSORS, Control
from training.evaluation.rows import Row
from training.evaluation.scoring import Answers, rows_of
from training.evaluation.sets import draw
from training.evaluation.subject import Said, Subject
from training.instruct.sources import Library

Progress = Callable[[str, int], None]
BLIND = "blind"
# An answer that may be this long costs as much as several short ones.
LONG_TOKENS, LONG_SHARE = 128, 4


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked, and where answers are kept.

    Attributes:
        limit: asks a cell, a quarter of them where answers may be long; 0 for all.
        limits: (pattern of MODEL.CELL, asks); the last that fits is taken instead of ``limit``.
        blind_limit, blind_limits: so of asks on grey or altered pictures, but for each of several
            sensors alone; 0 for as many as there are.
    """

    split: str
    out: Path
    limit: int = 0
    blind_limit: int = 0
    with_controls: bool = True
    limits: tuple[tuple[str, int], ...] = ()
    blind_limits: tuple[tuple[str, int], ...] = ()

    def limit_of(self, model: str, name: str, max_tokens: int = 0) -> int:
        """Asks of a cell, 0 for all. max_tokens: of an answer, 0 where none is decoded."""
        if (own := _fitting(self.limits, model, name)) is not None:
            return own
        if max_tokens < LONG_TOKENS or not self.limit:
            return self.limit
        return max(1, self.limit // LONG_SHARE)

    def blind_limit_of(self, model: str, name: str) -> int:
        """Asks of a cell on grey or altered pictures, 0 for all."""
        own = _fitting(self.blind_limits, model, name)
        return self.blind_limit if own is None else own

    def folder(self, subject: Subject) -> Path:
        """Where a subject's answers lie; made, with its record."""
        folder = self.out / "answers" / subject.run_key
        record = {"model": subject.name, "digest": subject.digest, **subject.record}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return folder / self.split


def _fitting(limits: Sequence[tuple[str, int]], model: str, name: str) -> int | None:
    """Of the patterns of MODEL.CELL that fit, the last one's."""
    return next((many for pattern, many in reversed(limits)
                 if fnmatchcase(f"{model}.{name}", pattern)), None)


@dataclass(slots=True)
class Job:
    """A cell with its questions; what has been said so far, by variant and key of the ask."""

    cell: Cell
    asks: list[Ask]
    said: dict[str, Answers] = field(default_factory=dict)
    pending: list[tuple[str, Ask]] = field(default_factory=list)


class Runner:
    """One model on one data folder. progress: name of a cell, answers made since the last call."""

    def __init__(self, subject: Subject, library: Library, plan: Plan, progress: Progress):
        self._subject, self._library, self._plan = subject, library, plan
        self._progress = progress

    def lacking(self, cell: Cell) -> str:
        """What the model cannot do that the cell needs, or an empty string."""
        return ", ".join(sorted(cell.needs - self._subject.abilities))

    def prepare(self, cell: Cell) -> Job:
        """Draw the questions of a cell and read what was answered before."""
        job = Job(cell, self._asks(cell))
        blind = self._plan.blind_limit_of(self._subject.name, cell.name)
        variants = ["", BLIND, *cell.controls] if self._plan.with_controls else [""]
        for variant in variants:
            asks = job.asks
            # Two sensors and each alone are compared on the same questions.
            if variant and variant not in SENSORS and blind and len(asks) > blind:
                asks = sorted(asks, key=lambda a: draw(a.key))[:blind]
            with Journal(self._path(cell, variant)) as journal:
                kept = {r["key"]: r for r in journal}
            # Another wording since the last run: asked again.
            fits = {a.key for a in asks if a.key in kept and kept[a.key]["prompt"] == a.wording}
            job.said[variant] = {k: _said(kept[k]) for k in fits}
            job.pending += [(variant, a) for a in asks if a.key not in fits]
        return job

    def answer(self, jobs: Sequence[Job]) -> None:
        """Ask what is pending, picture by picture."""
        controls: dict[tuple[str, str], Control] = {}
        grey: dict[tuple, Said] = {}
        with ExitStack() as stack:
            journals: dict[tuple[str, str], Journal] = {}
            for job, variant, ask in _by_picture(jobs):
                where = job.cell.name, variant
                if where not in journals:
                    path = self._path(job.cell, variant)
                    journals[where] = stack.enter_context(Journal(path))
                    controls[where] = (CONTROLS[variant](self._library, job.cell) if variant
                                       else Control())
                one = self._ask(ask, job.cell.max_tokens, controls[where],
                                grey if variant == BLIND else None)
                job.said[variant][ask.key] = one
                journals[where].append({
                    "key": ask.key, "prompt": ask.wording, "answer": one.text,
                    "confidence": one.confidence, "seconds": one.seconds, "error": one.error,
                })
                self._progress(job.cell.name, 1)
        for job in jobs:
            job.pending.clear()

    def rows(self, cell: Cell) -> list[Row]:
        """Ask everything of one cell, also on its controls; one row a score."""
        job = self.prepare(cell)
        self.answer([job])
        return self.score(job)

    def score(self, job: Job) -> list[Row]:
        """Rows of a cell whose questions are answered."""
        limit = self._limit_of(job.cell)
        # Fewer asks than the limit are all there are.
        return rows_of(job.cell, job.asks, job.said, self._subject, self._library,
                       is_test=self._plan.split == "test",
                       is_drawn=0 < limit <= len(job.asks))

    def _limit_of(self, cell: Cell) -> int:
        return self._plan.limit_of(self._subject.name, cell.name, cell.max_tokens)

    def _path(self, cell: Cell, variant: str) -> Path:
        name = f"{cell.name}.{variant}" if variant else cell.name
        return self._plan.folder(self._subject) / f"{name}.jsonl"

    def _asks(self, cell: Cell) -> list[Ask]:
        limit = self._limit_of(cell)
        everything = cell.samples(self._library, self._plan.split, limit)
        if not limit:
            return [ask for sample in everything for ask in cell.ask(sample)]
        some: list[Ask] = []
        many = 0
        for sample in sorted(everything, key=lambda s: draw(s.id)):
            asked = cell.ask(sample)
            some += asked
            many += bool(asked)
            if many == limit:
                break
        return sorted(some, key=lambda a: draw(a.key))[:limit]

    def _ask(
        self, ask: Ask, max_tokens: int, control: Control, grey: dict[tuple, Said] | None
    ) -> Said:
        images = control.alter(ask.sample.images)
        ask = control.ask(ask)
        if grey is None:
            return control.read(self._say(images, ask, max_tokens))
        # Grey pictures of one size are the same picture: the answer is too.
        key = (ask.wording, max_tokens, *(
            (i.values.shape, i.bands, i.modality, i.values[0, 0, 0].tobytes()) for i in images))
        if key not in grey:
            grey[key] = self._say(images, ask, max_tokens)
        return control.read(grey[key])

    def _say(self, images: Sequence[ImageInput], ask: Ask, max_tokens: int) -> Said:
        first = self._subject.answer(images, ask.prompt, max_tokens)
        if ask.follow is None:
            return first
        second = self._subject.answer(images, ask.follow(first.text), max_tokens)
        return Said(f"{first.text}\n{second.text}", min(first.confidence, second.confidence),
                    first.seconds + second.seconds, first.error or second.error)


def _by_picture(jobs: Sequence[Job]) -> Iterator[tuple[Job, str, Ask]]:
    """Pending questions in the order of their pictures; seeing ones before altered ones."""
    groups: dict[tuple[bool, str], list[tuple[Job, str, Ask]]] = {}
    for job in jobs:
        for variant, ask in job.pending:
            groups.setdefault((bool(variant), ask.sample.picture), []).append(
                (job, variant, ask))
    for group in sorted(groups, key=lambda g: g[0]):
        yield from groups[group]


def _said(record: dict[str, Any]) -> Said:
    return Said(record["answer"], record["confidence"], record["seconds"], record["error"])
