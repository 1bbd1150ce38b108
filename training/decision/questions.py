"""Questions that neither model has learnt from, and how good an answer is, in [0, 1].

The questions are those of the evaluation's table, by natural frequency and in every reading that it
has; the pictures are the held third of each training split (`instruct.sources`). The world is left
out: its training scenes are no data of its own. A draw is balanced over the rows of the table, so
that a run that is stopped early still holds all of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eo_nodes.lvlm.slis.values import Mask
from training.evaluation import cells, exams, metrics, readers
from training.evaluation.asks import Ask
from training.evaluation.cells import Cell, Score
from training.evaluation.sets import draw
from training.instruct.sources import Library

HELD = "held"
NEAR = 0.1
"""A number is right within this share of the true one."""
ALIKE_PX = 512
GRADED = ("accuracy", "f1", "iou")
_SEARCHED = 4  # samples looked at for each question wanted: not every sample is asked everything


class HeldLibrary(Library):
    """A data folder of which nothing is seen but what is held back for routing heads."""

    def samples(self, name: str, split: str, held: bool | None = None) -> list:
        """Held samples of a training split; other splits are empty."""
        return super().samples(name, split, held=True) if split in ("train", "extra") else []


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        key: unique in the table. kind: row of the table. cell, score, ask: how it is read.
        sample: with ``images``.
    """

    key: str
    kind: str
    cell: Cell
    score: Score
    ask: Ask
    sample: Any

    @property
    def scene(self) -> str:
        """Cluster that parts are cut by: pictures of one scene stay together."""
        return f"{self.sample.set_name}/{self.sample.cluster}"


def open_split(data: Path, split: str) -> tuple[Library, str]:
    """Library and name of its split; ``held`` is the share of the training splits."""
    if split == HELD:
        return HeldLibrary(data, cache_bytes=256 << 20), "train"
    return Library(data, cache_bytes=256 << 20), split


def questions(library: Library, split: str, per_kind: int) -> list[Question]:
    """At most so many of each row of the table, dealt in turns: first one of each, then the second.

    The order hangs on nothing but the data: a longer draw begins with the shorter one.
    """
    pines = library.meta("indian_pines")["classes"] if "indian_pines" in library.names else []
    by_kind: dict[str, list[Question]] = {}
    for cell in (*cells.table(pines), *exams.table()):
        if cell.set_name in library.names:
            for question in _of_cell(library, cell, split, per_kind):
                by_kind.setdefault(question.kind, []).append(question)
    dealt: list[Question] = []
    for turn in range(per_kind):
        dealt += [rows[turn] for rows in by_kind.values() if turn < len(rows)]
    return dealt


def _of_cell(library: Library, cell: Cell, split: str, per_kind: int) -> Iterator[Question]:
    scores = _judged(cell)
    if not scores:
        return
    found: dict[str, list[Question]] = {}
    samples = sorted(cell.samples(library, split, per_kind), key=lambda s: draw(s.id))
    for sample in samples:
        for ask in cell.ask(sample):
            score = next((s for s in scores if s.tag in ("", ask.tag)), None)
            # Two questions that follow each other are two requests; the first is asked elsewhere.
            if score is not None and getattr(ask, "follow", None) is None:
                kind = f"{cell.name}.{score.tag or score.type}"
                key = f"{cell.name}/{ask.key}"
                found.setdefault(kind, []).append(Question(key, kind, cell, score, ask, sample))
        wanted = max(len({s.tag for s in scores}), 1)
        if len(found) >= wanted and min(map(len, found.values())) >= _SEARCHED * per_kind:
            break
    for rows in found.values():
        yield from sorted(rows, key=lambda q: draw(q.key))[:per_kind]


def _judged(cell: Cell) -> list[Score]:
    """Readings that say of one answer how good it is, one for each tag."""
    chosen: dict[str, Score] = {}
    for score in cell.scores:
        metric = score.metric
        is_read = metric in (metrics.MAE, metrics.CIDER) or metric.name in GRADED
        if is_read and metric is not metrics.MACRO_F1:  # which is of a class, not of an answer
            chosen.setdefault(score.tag, score)
    return list(chosen.values())


def quality(question: Question, text: str) -> float:
    """How good an answer is, [0, 1]; right from one half on.

    Words exactly; a number within a tenth; boxes by F1, areas by IoU; a caption by the words that
    it shares with the nearest reference.
    """
    score, ask = question.score, question.ask
    if score.metric is metrics.CIDER:
        return max((shared_words(text, reference) for reference in ask.truth), default=0.0)
    vector = score.vectors([ask], [text])[0]
    if score.metric is metrics.MAE:
        return float(vector[0] <= NEAR * abs(_true_number(ask)))
    return min(max(score.metric.value(vector) / 100, 0.0), 1.0)


def _true_number(ask: Ask) -> float:
    return readers.number(ask.truth) if isinstance(ask.truth, str) else float(ask.truth)


def shared_words(one: str, other: str) -> float:
    """F1 of the words of two texts, [0, 1]; 1 where both are empty."""
    a, b = (Counter(readers.plain(t).replace(",", " ").split()) for t in (one, other))
    both = sum((a & b).values())
    whole = sum(a.values()) + sum(b.values())
    return 2 * both / whole if whole else 1.0


def alike(one: str, other: str) -> float:
    """Similarity of two answers, [0, 1]: the training target that is published.

    Areas by IoU, boxes by F1 at IoU 0.5, numbers by their ratio, all else by the words they share.
    """
    if readers.plain(one) == readers.plain(other):
        return 1.0
    values = [readers.values_of(t) for t in (one, other)]
    if any(values):
        if not all(values):
            return 0.0
        size = (ALIKE_PX, ALIKE_PX)
        if any(isinstance(v, Mask) for v in (*values[0], *values[1])):
            masks = [readers.mask_of(t, size) for t in (one, other)]
            whole = float((masks[0] | masks[1]).sum())
            return float((masks[0] & masks[1]).sum()) / whole if whole else 1.0
        boxes = [readers.boxes_of(t, size) for t in (one, other)]
        return metrics.F1.value(metrics.match_boxes(*boxes, 0.5)) / 100
    numbers = [readers.number(t) for t in (one, other)]
    if all(readers.plain(t).replace(".", "").isdigit() for t in (one, other)):
        return min(numbers) / max(max(numbers), 1e-9) if max(numbers) else 1.0
    return shared_words(one, other)


def part_of(scene: str) -> str:
    """Which part a scene of the held share is in: fit 60 %, calibrate 20 %, check 20 %."""
    digest = hashlib.sha256(f"part:{scene}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "fit" if share < 0.6 else "calibrate" if share < 0.8 else "check"
