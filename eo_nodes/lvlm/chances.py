"""How good chances are that were said of what then came: calibration and order.

Purpose: the figures that training of the heads, evaluation and study share. Non-purpose: fitting.

Sources: expected calibration error over bins of equal mass, Nixon et al. 2019; AUROC as the
Mann-Whitney statistic from mean ranks; Brier 1950.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

BINS = 15
# What calibrated chances must reach on held-out scenes; order of right and wrong by stage.
MOST_ECE = 0.05
LEAST_AUROC = (0.65, 0.70, 0.75)


def ece(chance: ArrayLike, truth: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error over bins of (nearly) equal counts, [0, 1]; NaN of nothing.

    Args:
        chance: (N,) in [0, 1]. truth: (N,) in [0, 1].
    """
    said, came = np.asarray(chance, np.float64), np.asarray(truth, np.float64)
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [len(part) * abs(said[part].mean() - came[part].mean()) for part in parts]
    return float(sum(gaps) / len(said)) if len(said) else float("nan")


def auroc(score: ArrayLike, truth: ArrayLike) -> float:
    """Chance that a right one scores above a wrong one, ties half; NaN without both.

    Args:
        score: (N,). truth: (N,) of bool, or right above one half.
    """
    right = np.asarray(truth) > 0.5
    good, bad = int(right.sum()), int((~right).sum())
    if not good or not bad:
        return float("nan")
    _, place, count = np.unique(np.asarray(score), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place.ravel()]
    return float((ranks[right].sum() - good * (good + 1) / 2) / (good * bad))


def brier(chance: ArrayLike, truth: ArrayLike) -> float:
    """Mean squared distance of a chance from what came."""
    return float(np.mean((np.asarray(chance, np.float64) - np.asarray(truth, np.float64)) ** 2))


def reached(stage: int, *, ece: float, auroc: float, brier: float, base: float) -> dict[str, bool]:
    """Which limits a stage's chances reach; what could not be formed is missed.

    Args:
        stage: 1 to 3. base: Brier score of a constant, the share of right ones.
    """
    return {"ece": ece <= MOST_ECE, "auroc": auroc >= LEAST_AUROC[stage - 1], "brier": brier < base}
