"""Regular against compact, on the same items: the co-design lives on the difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.evaluation.intervals import (
    cluster_sums,
    paired_mean_difference,
    share_right_on_disagreement,
    wilson,
)
from training.evaluation.metrics import ACCURACY
from training.evaluation.rows import Row

LEAST_DIFFERENCE, LEAST_LOW, LEAST_SHARE = 5.0, 2.0, 60.0


# Rows made of the questions of other rows, and those that ask how a model works, not what is right.
_APART = ("harmonic mean", "all questions", "answers differ", "fewer in it", "relevance hits")


def is_compared(row: Row) -> bool:
    """Percent-valued, and neither a part of another row (``x: part``) nor counted elsewhere."""
    return (row.metric.is_percent and ": " not in row.type
            and not any(word in row.type for word in _APART))


def _common(a: Row, b: Row) -> tuple[Row, Row, list[int], list[int]]:
    """Both rows, and where the items that both answered stand."""
    places = {key: i for i, key in enumerate(b.keys)}
    own = [i for i, key in enumerate(a.keys) if key in places]
    return a, b, own, [places[a.keys[i]] for i in own]


def compare(first: Sequence[Row], second: Sequence[Row]) -> dict[str, Any]:
    """Mean difference over the percent-valued rows both have, and who is right when they differ.

    Each row weighs the same. The interval is of a bootstrap that draws the same clusters for both
    models, row by row.
    """
    others = {row.identity: row for row in second}
    pairs = [pair for row in first if row.identity in others and is_compared(row)
             and (pair := _common(row, others[row.identity]))[2]]
    if not pairs:
        return {"cells": 0}
    cells = []
    hits: tuple[list[bool], list[bool]] = [], []
    for a, b, own, theirs in pairs:
        clusters = [a.clusters_of[i] for i in own]
        x, y = np.asarray(a.vectors)[own], np.asarray(b.vectors)[theirs]
        cells.append((a.metric, cluster_sums(x, clusters), cluster_sums(y, clusters)))
        if a.metric is ACCURACY:
            hits[0].extend(x[:, 0] > 0)
            hits[1].extend(y[:, 0] > 0)
    mean, low, high = paired_mean_difference(cells)
    share, differ = share_right_on_disagreement(*hits)
    right = [round(v, 1) for v in wilson(share / 100 * differ, differ)] if differ else None
    return {
        "first": first[0].model, "second": second[0].model, "cells": len(pairs),
        "mean_difference": round(mean, 2), "ci95": [round(low, 2), round(high, 2)],
        "questions": len(hits[0]), "disagreements": differ,
        "first_right_percent": round(share, 1) if differ else None, "first_right_ci95": right,
        "reached": bool(mean >= LEAST_DIFFERENCE and low > LEAST_LOW and share >= LEAST_SHARE),
    }
