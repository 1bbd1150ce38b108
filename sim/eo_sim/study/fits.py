"""What baselines may know of the val split: quantiles of scores, and contexts.

Nothing here ever reads a test row. Cut-offs that were published for other scores are mapped by
their quantile; our policy takes the heads' scores as they are, and its means from ``facts``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .trace import STATS, Trace

Float = NDArray[np.float64]
# With fewer rows that stop at the second tap, quantiles there are of all rows.
_FEWEST = 60


@dataclass(frozen=True, eq=False)
class Fits:
    """Fitted on val, applied to all rows of the trace.

    Attributes:
        quantiles: of raw columns on val, for cut-offs that were published for other scores.
        contexts: (modality, question) -> mean gain and mean raw bytes on val.
    """

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
    gain = (trace["regular_quality"][:, reference].astype(np.float64)
            - trace["compact_quality"].astype(np.float64))
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
    return Fits(quantiles=quantiles, contexts=_contexts(trace, every, gain))


def _at_tap2(rows: NDArray[np.int64], goes_on: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows that stop at the second tap; all of them where those are too few to fit on."""
    own = rows[goes_on[rows]]
    return own if len(own) >= _FEWEST else rows


def quantile(table: Float, share: float) -> float:
    """Value of a 101-point quantile table."""
    return float(np.interp(share * 100, np.arange(101), table))


def _contexts(
    trace: Trace, val: NDArray[np.int64], gain: Float
) -> dict[tuple[str, str], tuple[float, float]]:
    found: dict[tuple[str, str], list[int]] = {}
    modality, question = trace.flown_modality(), trace.names_of("question")
    for row in val.tolist():
        found.setdefault((str(modality[row]), str(question[row])), []).append(row)
    return {
        key: (float(gain[rows].mean()), float(trace["raw_bytes"][rows].mean()))
        for key, rows in found.items()
    }
