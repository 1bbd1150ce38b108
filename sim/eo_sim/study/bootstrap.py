"""Intervals by bootstrap over the scenes of the trace, for many figures at once.

A scene that is drawn k times counts k times with everything in it. So a draw is a weight for each
scene, a sum over requests is a product of matrices, and one set of draws serves every row: what two
policies have in common stays in the difference of both.

Where a figure is no ratio of sums (calibration, order of scores) each request has the weight of
its scene. With weights of 1 each function gives what its namesake gives without (a test compares
them). Source: percentile intervals, Efron and Tibshirani 1993, 13.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]
_BLOCK = 2_000_000  # weights at once


def draw_scenes(is_there: NDArray[np.bool_], count: int, seed: int) -> Float:
    """(count, scenes) how often each scene is drawn of those that are there."""
    seen = np.flatnonzero(is_there)
    random = np.random.default_rng(seed)
    weights = np.zeros((count, len(is_there)))
    weights[:, seen] = random.multinomial(len(seen), np.full(len(seen), 1 / len(seen)), count)
    return weights


def interval(drawn: Float) -> list[float]:
    """95 % of what was drawn; NaN where nothing could be formed."""
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return [float("nan")] * 2
    return [float(x) for x in np.quantile(known, (0.025, 0.975))]


def ratio(above: Float, below: Float, draws: Float) -> Float:
    """(B,) or (B, K) of sums over scenes, (scenes,) or (scenes, K); NaN where nothing is below."""
    top, bottom = draws @ above, draws @ below
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(bottom > 0, top / bottom, np.nan))


def over_requests(
    figure: Callable[[Float], Float], draws: Float, scene: NDArray[np.integer]
) -> list[float]:
    """Interval of a figure of requests.

    Args:
        figure: weights (B, N) -> (B,). scene: (N,) of each request, column of ``draws``.
    """
    parts = [figure(block[:, scene]) for block in _blocks(draws, len(scene))]
    return interval(np.concatenate(parts))


def _blocks(draws: Float, width: int) -> Iterator[Float]:
    step = max(_BLOCK // max(width, 1), 1)
    for first in range(0, len(draws), step):
        yield draws[first : first + step]


class Ordered:
    """Requests by falling score, for figures of their order; equal scores are one group.

    Args:
        score: (N,).
    """

    def __init__(self, score: Float) -> None:
        self.order = np.argsort(-score, kind="stable")
        ordered = score[self.order]
        self._first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        self._group = np.repeat(
            np.arange(len(self._first)), np.diff([*self._first.tolist(), len(score)]))

    def _groups(self, weighed: Float) -> Float:
        return np.asarray(np.add.reduceat(weighed[:, self.order], self._first, axis=1))

    def auroc(self, weights: Float, right: Float) -> Float:
        """(B,) chance that a right one scores above a wrong one, ties half."""
        good, bad = self._groups(weights * right), self._groups(weights * (1 - right))
        worse = bad.sum(axis=1, keepdims=True) - np.cumsum(bad, axis=1) + bad / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((good * worse).sum(axis=1) / (good.sum(axis=1) * bad.sum(axis=1)))

    def running(self, weights: Float, values: Float) -> tuple[Float, Float, Float]:
        """Each (B, N) by falling score: weights, their running sum, that of the values weighed.

        Within a group every request has the group's mean: their order would be chance.
        """
        mass, total = self._groups(weights), self._groups(weights * values)
        mean = np.divide(total, mass, out=np.zeros_like(total), where=mass > 0)
        mine = weights[:, self.order]
        return mine, np.cumsum(mine, axis=1), np.cumsum(mine * mean[:, self._group], axis=1)

    def aurc(self, weights: Float, right: Float) -> Float:
        """(B,) mean risk over coverage."""
        mine, mass, wrong = self.running(weights, 1 - right)
        risk = np.divide(wrong, mass, out=np.zeros_like(wrong), where=mass > 0)
        return np.asarray((mine * risk).sum(axis=1) / mass[:, -1])


def ece(weights: Float, chance: Float, came: Float, bins: int) -> Float:
    """(B,) expected calibration error over bins of equal mass."""
    order = np.argsort(chance, kind="stable")
    mine = weights[:, order]
    mass = np.cumsum(mine, axis=1)
    middle = (mass - mine / 2) / mass[:, -1:]
    at = np.minimum((middle * bins).astype(np.int64), bins - 1)
    at += bins * np.arange(len(mine))[:, None]
    gaps = np.bincount(
        at.ravel(), (mine * (chance - came)[order]).ravel(), minlength=bins * len(mine))
    total = np.abs(gaps.reshape(len(mine), bins)).sum(axis=1) / mass[:, -1]
    return np.asarray(total)


def mean(weights: Float, values: Float) -> Float:
    """(B,) weighed mean."""
    return np.asarray(weights @ values / weights.sum(axis=1))
