"""Put cells to a model, answer by answer, so that a stopped run goes on where it was.

Answers lie in `OUT/answers/DIGEST/SPLIT/CELL[.VARIANT].jsonl`; scoring reads them again, so a
changed metric costs no inference and changed weights start anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.lvlm.journal import Journal
from training.evaluation.asks import Ask
from training.evaluation.cells import Cell, Score
from training.evaluation.metrics import ACCURACY, ece_equal_mass, right
from training.evaluation.probes import CONTROLS, QuestionOnly
from training.evaluation.rows import Row, interval, is_reached, marked
from training.evaluation.sets import Sample, draw
from training.evaluation.subject import Said, Subject
from training.instruct.sources import Library

Progress = Callable[[str, int, int], None]
BLIND = "blind"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked, and where answers are kept. limit: asks a cell, 0 for all."""

    split: str
    out: Path
    limit: int = 0
    with_controls: bool = True


class Runner:
    """One model on one data folder."""

    def __init__(self, subject: Subject, library: Library, plan: Plan, progress: Progress):
        self._subject, self._library, self._plan = subject, library, plan
        self._progress = progress

    def rows(self, cell: Cell) -> list[Row]:
        """Ask everything of a cell, also on its controls; one row a score.

        Non-purpose: cells beyond the model (see ``lacking``).
        """
        chosen, some = self._asks(cell)
        if not some:
            return []
        variants = [""] + ([BLIND] if self._plan.with_controls else [])
        if cell.control and self._plan.with_controls:
            variants.append(cell.control)
        said = {v: self._answers(cell, v, chosen, some) for v in variants}
        made = []
        for score in cell.scores:
            made += self._rows_of(cell, score, some, said)
        return made

    def lacking(self, cell: Cell) -> str:
        """What the model cannot do that the cell needs, or an empty string."""
        return ", ".join(sorted(cell.needs - self._subject.abilities))

    # -- asking ----------------------------------------------------------------------------------

    def _asks(self, cell: Cell) -> tuple[list[Sample], list[Ask]]:
        limit = self._plan.limit
        everything = cell.samples(self._library, self._plan.split, limit)
        if limit:
            everything = sorted(everything, key=lambda s: draw(s.id))
        chosen, some = [], []
        for sample in everything:
            asked = cell.ask(sample)
            if asked:
                chosen.append(sample)
                some += asked
            if limit and len(chosen) == limit:
                break
        if limit:
            some = sorted(some, key=lambda a: draw(a.key))[:limit]
        return chosen, some

    def _answers(
        self, cell: Cell, variant: str, chosen: Sequence[Sample], some: Sequence[Ask]
    ) -> dict[str, Said]:
        """Answers by key, from the journal or asked now."""
        name = f"{cell.name}.{variant}" if variant else cell.name
        folder = self._plan.out / "answers" / self._subject.digest[:16] / self._plan.split
        by_sample: dict[str, list[Ask]] = {}
        for ask in some:
            by_sample.setdefault(ask.sample_id, []).append(ask)
        with Journal(folder / f"{name}.jsonl") as journal:
            said = {r["key"]: _said(r) for r in journal if r.get("prompt") is not None}
            asked = {r["key"]: r["prompt"] for r in journal}
            alter = CONTROLS[variant](self._library, cell) if variant else None
            grey: dict[tuple, Said] = {}
            done = 0
            for sample in chosen:
                for ask in by_sample.get(sample.id, []):
                    done += 1
                    # Another wording since the last run: asked again.
                    if asked.get(ask.key) == ask.prompt:
                        continue
                    images = alter(sample.images) if alter else sample.images
                    seen = grey if variant == BLIND else None
                    said[ask.key] = one = self._ask(ask, images, cell.max_tokens, seen)
                    journal.append({
                        "key": ask.key, "prompt": ask.prompt, "answer": one.text,
                        "confidence": one.confidence, "seconds": one.seconds, "error": one.error,
                    })
                    self._progress(name, done, len(some))
        self._progress(name, len(some), len(some))
        return said

    def _ask(
        self, ask: Ask, images: Sequence[ImageInput], max_tokens: int, grey: dict | None
    ) -> Said:
        if grey is None:
            return self._subject.answer(images, ask.prompt, max_tokens)
        # Grey pictures of one size are the same picture: the answer is too.
        key = (ask.prompt, *((i.values.shape, i.bands) for i in images))
        if key not in grey:
            grey[key] = self._subject.answer(images, ask.prompt, max_tokens)
        return grey[key]

    # -- scoring ---------------------------------------------------------------------------------

    def _rows_of(
        self, cell: Cell, score: Score, some: Sequence[Ask], said: dict[str, dict[str, Said]]
    ) -> list[Row]:
        own = [a for a in some if not score.tag or a.tag == score.tag]
        if not own:
            return []
        made = [self._row(cell, score, own, said, score.type)]
        if score.per_tag:
            for tag in sorted({a.tag for a in own}):
                part = [a for a in own if a.tag == tag]
                kind = f"{score.type}: {tag}"
                made.append(self._row(cell, score, part, said, kind, is_part=True))
        return made

    def _row(
        self, cell: Cell, score: Score, own: Sequence[Ask], said: dict[str, dict[str, Said]],
        kind: str, is_part: bool = False,
    ) -> Row:
        metric = score.metric
        values, vectors = {}, np.zeros((0, 1))
        for variant, answers in said.items():
            scored = score.vectors(own, [answers[a.key].text for a in own])
            values[variant] = metric.value(scored.sum(0))
            vectors = vectors if variant else scored
        clusters = [a.cluster if score.is_clustered else a.key for a in own]
        is_test = self._plan.split == "test" and not is_part
        size = "compact" if self._subject.name.startswith("compact") else "regular"
        row = Row(
            model=self._subject.name, category=cell.task, modality=cell.modality,
            set=cell.set_name, type=kind, metric=metric, value=values[""], n=len(own),
            ci95=interval(metric, vectors, clusters), clusters=len(set(clusters)),
            domain=cell.domain, majority=score.majority if is_test else None,
            probe=score.probe if is_test else None, blind=values.get(BLIND),
            control=self._control(cell, score, values, is_test),
            target=getattr(score, size) if is_test else None,
            refused=sum(bool(said[""][a.key].error) for a in own), marks=score.marks,
            keys=[a.key for a in own], vectors=vectors, clusters_of=clusters,
        )
        if metric is ACCURACY:
            row.ece = ece_equal_mass([said[""][a.key].confidence for a in own], vectors[:, 0])
        if score.note is not None:
            row.marks += (score.note(own, [said[""][a.key].text for a in own]),)
        if score.question_only is not None:
            self._question_only(cell, score, own, row)
        # A draw of few questions shows that it runs, not that a target holds.
        row.reached = None if self._plan.limit else is_reached(row)
        row.marks = marked(row)
        return row

    @staticmethod
    def _control(
        cell: Cell, score: Score, values: dict[str, float], is_test: bool
    ) -> tuple[str, float] | None:
        if cell.control and cell.control in values:
            return cell.control.replace("_", " "), values[cell.control]
        return score.shortcut if is_test else None

    def _question_only(self, cell: Cell, score: Score, own: Sequence[Ask], row: Row) -> None:
        """Majority and probe from the training answers: of the type, and of the very question."""
        assert score.question_only is not None
        read = score.question_only
        blind = QuestionOnly(self._library, cell.set_name, score.tag, read)
        if blind.majority is None:
            return
        true = [read(a.truth[0]) for a in own]
        hits = [blind.answer(a.truth[1]) == t for a, t in zip(own, true, strict=True)]
        row.probe = float(ACCURACY.value(sum(right(h) for h in hits)))
        row.majority = float(ACCURACY.value(sum(right(blind.majority == t) for t in true)))


def _said(record: dict) -> Said:
    return Said(record["answer"], record["confidence"], record["seconds"], record["error"])
