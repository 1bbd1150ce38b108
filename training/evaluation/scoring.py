"""From the answers of a cell to its rows: values, controls beside them, intervals, targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from eo_nodes.lvlm.chances import ece
from training.evaluation.asks import Ask
from training.evaluation.cells import Cell, Score
from training.evaluation.intervals import cluster_sums, paired_mean_difference
from training.evaluation.metrics import ACCURACY, right
from training.evaluation.probes import SENSORS, QuestionOnly
from training.evaluation.rows import Row, interval, is_reached, marked, told_by_draw
from training.evaluation.subject import Said
from training.instruct.sources import Library

BLIND = "blind"
Answers = dict[str, Said]


class Named(Protocol):
    """Whose answers they are; see ``subject.Subject``."""

    name: str
    size: str


def rows_of(
    cell: Cell, asks: Sequence[Ask], said: Mapping[str, Answers], subject: Named,
    library: Library, *, is_test: bool, is_drawn: bool,
) -> list[Row]:
    """One row a score, and one for each of its parts.

    Args:
        said: answers by variant ("" for the question as it is) and key of the ask; a variant may
            answer only some.
        is_test: majority, probe and targets of the data page hold. is_drawn: only some questions
            were asked; a target is told where the whole interval lies on one side of it.
    """
    made = []
    for score in cell.scores:
        own = [a for a in asks if not score.tag or a.tag == score.tag]
        parts = [(own, score.type)] if own else []
        if score.per_tag:
            parts += [([a for a in own if a.tag == tag], f"{score.type}: {tag}")
                      for tag in sorted({a.tag for a in own})]
        for i, (part, kind) in enumerate(parts):
            row = _row(cell, score, part, said, kind, subject, is_test and not i)
            if score.question_only is not None:
                _question_only(library, cell, score, part, row)
            row.reached = told_by_draw(row) if is_drawn else is_reached(row)
            row.marks = marked(row)
            made.append(row)
    return made


def _row(
    cell: Cell, score: Score, own: Sequence[Ask], said: Mapping[str, Answers], kind: str,
    subject: Named, is_test: bool,
) -> Row:
    metric = score.metric
    vectors, asked = {}, {}
    for variant, answers in said.items():
        asked[variant] = [a for a in own if a.key in answers]
        if asked[variant]:
            vectors[variant] = score.vectors(asked[variant],
                                             [answers[a.key].text for a in asked[variant]])
    values = {v: metric.value(x.sum(0)) for v, x in vectors.items()}
    clusters = [a.cluster if score.is_clustered else a.key for a in own]
    first = [said[""][a.key] for a in own]
    row = Row(
        model=subject.name, category=cell.task, modality=cell.modality, set=cell.set_name,
        type=kind, metric=metric, value=values[""], n=len(own),
        ci95=interval(metric, vectors[""], clusters), clusters=len(set(clusters)),
        domain=cell.domain, majority=score.majority if is_test else None,
        probe=score.probe if is_test else None, blind=values.get(BLIND),
        n_blind=len(asked.get(BLIND, ())),
        controls=tuple((c.replace("_", " "), values[c]) for c in cell.controls if c in values),
        target=getattr(score, subject.size) if is_test else None,
        refused=sum(bool(s.error) for s in first), marks=score.marks,
        keys=[a.key for a in own], vectors=vectors[""], clusters_of=clusters,
    )
    if score.shortcut is not None and is_test:
        row.controls += (score.shortcut,)
    if metric is ACCURACY:
        row.ece = ece([s.confidence for s in first], vectors[""][:, 0], bins=10)
    if score.note is not None:
        row.marks += (score.note(own, [s.text for s in first]),)
    if singles := [c for c in SENSORS if c in vectors]:
        row.marks += (_against_best(score, own, vectors, asked, singles),)
    return row


def _against_best(
    score: Score, own: Sequence[Ask], vectors: Mapping[str, np.ndarray],
    asked: Mapping[str, Sequence[Ask]], singles: Sequence[str],
) -> str:
    """Fusion minus the best single sensor, on the questions that both answered."""
    metric = score.metric
    sign = -1 if metric.is_lower_better else 1
    best = max(singles, key=lambda c: sign * metric.value(vectors[c].sum(0)))
    keys = {a.key for a in asked[best]}
    mask = np.array([a.key in keys for a in own])
    clusters = [a.cluster if score.is_clustered else a.key for a in asked[best]]
    mean, low, high = paired_mean_difference([(
        metric, cluster_sums(vectors[""][mask], clusters), cluster_sums(vectors[best], clusters))])
    return f"fusion {mean:+.1f} ({low:.1f} to {high:.1f}) against {best.replace('_', ' ')}"


def _question_only(
    library: Library, cell: Cell, score: Score, own: Sequence[Ask], row: Row
) -> None:
    """Majority and probe from the training answers: of the type, and of the very question."""
    assert score.question_only is not None
    read = score.question_only
    blind = QuestionOnly(library, cell.set_name, score.tag, read)
    if blind.majority is None:
        return
    true = [read(a.truth[0]) for a in own]
    hits = [blind.answer(a.truth[1]) == t for a, t in zip(own, true, strict=True)]
    row.probe = float(ACCURACY.value(sum(right(h) for h in hits)))
    row.majority = float(ACCURACY.value(sum(right(blind.majority == t) for t in true)))
