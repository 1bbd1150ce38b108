"""Regular against compact, on the same items: the co-design lives on the difference."""

from __future__ import annotations

from collections.abc import Sequence

from training.evaluation.intervals import (
    cluster_sums,
    paired_mean_difference,
    share_right_on_disagreement,
)
from training.evaluation.metrics import ACCURACY
from training.evaluation.rows import Row

LEAST_DIFFERENCE, LEAST_LOW, LEAST_SHARE = 5.0, 2.0, 60.0


def compare(first: Sequence[Row], second: Sequence[Row]) -> dict:
    """Mean difference over the percent-valued rows both have, and who is right when they differ.

    Rows of one part of another row (type ``x: part``) are left out of the mean.
    """
    others = {row.identity: row for row in second}
    pairs = [
        (row, others[row.identity]) for row in first
        if row.identity in others and row.metric.is_percent and ": " not in row.type
        and row.keys == others[row.identity].keys
    ]
    if not pairs:
        return {"cells": 0}
    cells = [
        (a.metric, cluster_sums(a.vectors, a.clusters_of), cluster_sums(b.vectors, b.clusters_of))
        for a, b in pairs
    ]
    mean, low, high = paired_mean_difference(cells)
    exact = [(a, b) for a, b in pairs if a.metric is ACCURACY]
    share, differ = share_right_on_disagreement(
        [bool(v) for a, _ in exact for v in a.vectors[:, 0]],
        [bool(v) for _, b in exact for v in b.vectors[:, 0]],
    )
    return {
        "first": first[0].model, "second": second[0].model, "cells": len(pairs),
        "mean_difference": round(mean, 2), "ci95": [round(low, 2), round(high, 2)],
        "disagreements": differ, "first_right_percent": round(share, 1) if differ else None,
        "reached": bool(mean >= LEAST_DIFFERENCE and low > LEAST_LOW and share >= LEAST_SHARE),
    }
