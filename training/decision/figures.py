"""Figures of scores that say how likely something is: risk against coverage, routing, intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def base_brier(truth) -> float:
    """Brier of the constant that knows the base rate of this very sample: its variance."""
    return float(np.var(np.asarray(truth, float)))


def risk_coverage(score, truth) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and risk (N,) each, when the surest come first; ties share their mean risk."""
    score, wrong = np.asarray(score, float), 1 - np.asarray(truth, float)
    order = np.argsort(-score, kind="stable")
    _, place = np.unique(-score[order], return_inverse=True)
    # The order among equals is chance: each counts as the mean of its group.
    mean = np.bincount(place, wrong[order]) / np.bincount(place)
    n = np.arange(1, len(score) + 1)
    return n / len(score), np.cumsum(mean[place]) / n


def aurc(score, truth) -> float:
    """Area under risk against coverage: mean risk over all coverages; less is better."""
    return float(risk_coverage(score, truth)[1].mean()) if len(score) else float("nan")


def best_aurc(truth) -> float:
    """AURC of the order that knows the truth."""
    return aurc(truth, truth)


def interval(
    figure: Callable[[np.ndarray, np.ndarray], float], score, truth, scenes: Sequence[str],
    draws: int = 400, seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of a figure of (score, truth) by bootstrap over scenes; NaN draws left out."""
    score, truth = np.asarray(score, float), np.asarray(truth, float)
    _, scene = np.unique(np.asarray(scenes), return_inverse=True)
    rows = [np.flatnonzero(scene == k) for k in range(scene.max() + 1)]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))])
        found.append(figure(score[drawn], truth[drawn]))
    kept = [v for v in found if np.isfinite(v)]
    if not kept:
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [0.025, 0.975])
    return float(low), float(high)


def routed(score, here, there, shares=(0.1, 0.2, 0.3, 0.4, 0.5)) -> dict[float, float]:
    """Mean quality where the share of lowest score is asked of the ground.

    Args:
        score: (N,), high where the answer on board should stay. here, there: (N,) quality.
    """
    order = np.argsort(score, kind="stable")
    found = {}
    for share in shares:
        asked = order[: round(share * len(order))]
        final = np.array(here, float)
        final[asked] = np.asarray(there, float)[asked]
        found[share] = float(final.mean())
    return found


def gain_share(score, here, there, share: float = 0.5) -> float:
    """Share of what always asking the ground gains that is kept with ``share`` of the requests."""
    whole = float(np.mean(there) - np.mean(here))
    kept = routed(score, here, there, (share,))[share] - float(np.mean(here))
    return kept / whole if whole > 0 else float("nan")
