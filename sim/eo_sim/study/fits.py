"""What every policy may know of the val split: calibration of scores, and what levels keep.

Nothing here ever reads a test row. A score of a head, or a token statistic, becomes a chance or a
gain by isotonic regression (pool adjacent violators; Barlow et al. 1972), the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .trace import STATS, TAPS, TARGETS, Trace

Float = NDArray[np.float64]
# Blocks of fewer answers say little: neighbours are pooled up to so many first.
_LEAST = 20


@dataclass(frozen=True, eq=False)
class Isotonic:
    """A monotone step-wise linear map; outside its knots it is constant."""

    knots: Float
    values: Float

    def __call__(self, scores: Float) -> Float:
        return np.asarray(np.interp(scores, self.knots, self.values))


def isotonic(scores: Float, truths: Float, *, rising: bool = True) -> Isotonic:
    """Fit truth as a monotone function of a score.

    Args:
        scores, truths: (N,). rising: whether truth grows with the score.
    """
    sign = 1.0 if rising else -1.0
    order = np.argsort(scores, kind="stable")
    count = max(1, len(scores) // _LEAST)
    blocks = [
        [float(scores[part].mean()), float(sign * truths[part].mean()), float(len(part))]
        for part in np.array_split(order, count)
        if len(part)
    ]
    pooled: list[list[float]] = []
    for block in blocks:
        pooled.append(block)
        while len(pooled) > 1 and pooled[-2][1] > pooled[-1][1]:
            x2, y2, n2 = pooled.pop()
            x1, y1, n1 = pooled.pop()
            n = n1 + n2
            pooled.append([(x1 * n1 + x2 * n2) / n, (y1 * n1 + y2 * n2) / n, n])
    if not pooled:
        return Isotonic(np.zeros(1), np.zeros(1))
    return Isotonic(np.array([p[0] for p in pooled]), sign * np.array([p[1] for p in pooled]))


@dataclass(frozen=True, eq=False)
class Fits:
    """Fitted on val, applied to all rows of the trace.

    Attributes:
        correct: (N, 3) chance that the answer on board is right, by tap, from the correctness head.
            An answer that is complete at the second tap is at its end there, in all of these.
        gains: per target (N, 3): expected gain of asking the ground on lossless pixels.
        retention: (modalities, L) share of the lossless gain that a level keeps, 0 to 1. Not by
            the size of what is asked for: that stands in the labels, and nobody on board knows it.
        quantiles: of raw columns on val, for cut-offs that were published for other scores.
        contexts: (modality, question) -> mean gain and mean raw bytes on val.
    """

    correct: Float
    gains: dict[str, Float]
    retention: Float
    quantiles: dict[str, Float]
    contexts: dict[tuple[str, str], tuple[float, float]]


def fit(trace: Trace, reference: int) -> Fits:
    """Fit on the val rows of a trace.

    Args:
        reference: level whose answers define the gain (lossless).
    """
    every = trace.rows("val")
    scores = trace["scores"].astype(np.float64)
    tokens = trace["stats"][:, :, STATS.index("mean_logprob")].astype(np.float64)
    goes_on = trace.outlasts_tap2()
    at_tap = [every, _at_tap2(every, goes_on), every]
    right = trace["compact_quality"].astype(np.float64)
    gain = trace["regular_quality"][:, reference].astype(np.float64) - right
    n = len(trace)
    correct = np.zeros((n, TAPS))
    gains = {target: np.zeros((n, TAPS)) for target in TARGETS}
    for tap, val in enumerate(at_tap):
        own = scores[:, tap, TARGETS.index("correct")]
        correct[:, tap] = isotonic(own[val], right[val])(own)
        for index, target in enumerate(TARGETS):
            own = scores[:, tap, index]
            rising = target == "gain"
            gains[target][:, tap] = isotonic(own[val], gain[val], rising=rising)(own)
    for fitted in (correct, *gains.values()):
        fitted[~goes_on, 1] = fitted[~goes_on, 2]
    names = ("similar", "correct", "gain")
    quantiles = {
        f"{name}{tap + 1}": np.quantile(scores[val, tap, index], np.linspace(0, 1, 101))
        for index, name in enumerate(names)
        for tap, val in enumerate(at_tap)
    }
    quantiles |= {
        f"token{tap + 1}": np.quantile(tokens[val, tap], np.linspace(0, 1, 101))
        for tap, val in enumerate(at_tap)
    }
    quantiles["novelty1"] = np.quantile(trace["novelty"][every, 0], np.linspace(0, 1, 101))
    return Fits(
        correct=correct, gains=gains, retention=_retention(trace, every, reference),
        quantiles=quantiles, contexts=_contexts(trace, every, gain),
    )  # fmt: skip


def _at_tap2(rows: NDArray[np.int64], goes_on: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows that stop at the second tap; all of them where those are too few to fit on."""
    own = rows[goes_on[rows]]
    return own if len(own) >= 3 * _LEAST else rows


def quantile(table: Float, share: float) -> float:
    """Value of a 101-point quantile table."""
    return float(np.interp(share * 100, np.arange(101), table))


def _retention(trace: Trace, val: NDArray[np.int64], reference: int) -> Float:
    """Gain at each level over the gain at the reference, by modality; shrunk to that of all."""
    quality = trace["regular_quality"][val].astype(np.float64)
    base = trace["compact_quality"][val].astype(np.float64)[:, None]
    modality = trace["modality"][val]
    whole = _ratio(quality - base, reference)
    rows = []
    for code in range(len(trace.names["modalities"])):
        mine = modality == code
        weight = mine.sum() / (mine.sum() + 200.0)
        own = _ratio((quality - base)[mine], reference) if mine.any() else whole
        rows.append(weight * own + (1 - weight) * whole)
    return np.asarray(np.clip(np.array(rows), 0.0, 1.0))


def _ratio(gains: Float, reference: int) -> Float:
    mean = gains.mean(axis=0)
    return np.asarray(mean / mean[reference] if mean[reference] > 1e-6 else np.ones(len(mean)))


def _contexts(
    trace: Trace, val: NDArray[np.int64], gain: Float
) -> dict[tuple[str, str], tuple[float, float]]:
    found: dict[tuple[str, str], list[int]] = {}
    modality, question = trace.names_of("modality"), trace.names_of("question")
    for row in val.tolist():
        found.setdefault((str(modality[row]), str(question[row])), []).append(row)
    return {
        key: (float(gain[rows].mean()), float(trace["raw_bytes"][rows].mean()))
        for key, rows in found.items()
    }
