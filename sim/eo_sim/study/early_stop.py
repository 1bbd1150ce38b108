"""What stopping early saves on board, from the trace alone: operations with prefill, decode steps.

The reference is a gate at the end of the answer: the share ``cap`` of requests with the highest
gain there goes to the ground. The progressive gate may also stop at the first or second tap, and
fills up to the same share at the end. Its cut-offs are those that save most operations on val,
among all that route there as well as the reference does, to ``tolerance``. Test shows both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import interval, ratio
from .trace import TARGETS, Trace

Float = NDArray[np.float64]
Int = NDArray[np.int64]
END = 3
# Classes of answer length, tokens: up to each.
CLASSES = (("at most 3", 0, 3), ("4 to 7", 4, 7), ("8 and more", 8, 1 << 30))
# Of the steps of offloaded requests whose answer is of the last class, at unchanged accuracy.
LEAST_STEPS_SAVED = 0.5
# Shares of requests that a tap may stop at most.
_SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


@dataclass(frozen=True, slots=True)
class Gate:
    """Offloads where the gain at a tap passes its cut-off; the end's is the third."""

    cuts: tuple[float, float, float]

    def stops(self, gain: Float, goes_on: NDArray[np.bool_]) -> Int:
        """(N,) tap at which each request is offloaded, 0: it is answered on board.

        Args:
            gain: (N, 3). goes_on: where the answer outlasts the second tap.
        """
        first = gain[:, 0] > self.cuts[0]
        second = ~first & goes_on & (gain[:, 1] > self.cuts[1])
        last = ~first & ~second & (gain[:, 2] > self.cuts[2])
        return np.asarray(np.select([first, second, last], [1, 2, END], 0))


class _Rows:
    """Gains, qualities and costs of some rows."""

    def __init__(self, trace: Trace, rows: Int, reference: int) -> None:
        self.gain = trace["scores"][rows][:, :, TARGETS.index("gain")].astype(np.float64)
        self.goes_on = trace.outlasts_tap2()[rows]
        self.here = trace["compact_quality"][rows].astype(np.float64)
        self.there = trace["regular_quality"][rows, reference].astype(np.float64)
        self.flops, self.tokens = trace["compact_flops"][rows], trace["compact_tokens"][rows]

    def accuracy(self, stops: Int) -> float:
        return float(self.qualities(stops).mean())

    def qualities(self, stops: Int) -> Float:
        """Of the answer that each request gets."""
        return np.asarray(np.where(stops > 0, self.there, self.here))

    def spent(self, stops: Int) -> Float:
        """Operations of each request until it stops, or to its end."""
        at = np.where(stops > 0, stops, END) - 1
        return np.asarray(np.take_along_axis(self.flops, at[:, None], axis=1)[:, 0])


def early_stop(
    trace: Trace, reference: int, cap: float, tolerance: float, draws: Float
) -> dict[str, Any]:
    """Both gates on test, and what the progressive one saves by class of answer length.

    Args:
        reference: level whose answers are the ground's. cap: share of requests offloaded on val.
        tolerance: accuracy that the progressive gate may lose on val.
        draws: of scenes, `bootstrap.draw_scenes`; the cut-offs are the same in each.
    """
    val, test = (_Rows(trace, trace.rows(name), reference) for name in ("val", "test"))
    at_end = Gate((np.inf, np.inf, _cut(val.gain[:, 2], cap)))
    gate = _fitted(val, at_end, cap, tolerance)
    tap2 = int(trace.meta["limits"]["tap2_tokens"])
    stops, ends = (g.stops(test.gain, test.goes_on) for g in (gate, at_end))
    decoded = np.select([stops == 1, stops == 2], [0, np.minimum(tap2, test.tokens)], test.tokens)
    scene, scenes = trace["scene"][trace.rows("test")], len(trace.names["scenes"])

    def sums(values: NDArray[Any]) -> Float:
        return np.asarray(np.bincount(scene, values.astype(np.float64), minlength=scenes))

    def saved(spent: NDArray[Any], whole: NDArray[Any], rows: NDArray[np.bool_]) -> list[float]:
        return interval(1 - ratio(sums(spent * rows), sums(whole * rows), draws))

    spent, whole = test.spent(stops), test.flops[:, END - 1]
    rows: list[dict[str, Any]] = []
    for name, low, high in (("all", 0, 1 << 30), *CLASSES):
        mine = (test.tokens >= low) & (test.tokens <= high)
        sent = mine & (stops > 0)
        rows.append({
            "tokens": name, "n": int(mine.sum()), "offloaded": int(sent.sum()),
            "at_tap": [int((stops[mine] == tap).sum()) for tap in (1, 2, END)],
            "decode_steps_saved": _saved(decoded[sent], test.tokens[sent]),
            "flops_saved": _saved(spent[sent], whole[sent]),
            "flops_saved_of_all": _saved(spent[mine], whole[mine]),
            # All that stopping at the first tap could save of them.
            "decode_share": _saved(test.flops[sent, 0], whole[sent]),
            "ci95": {
                "decode_steps_saved": saved(decoded, test.tokens, sent),
                "flops_saved": saved(spent, whole, sent),
                "flops_saved_of_all": saved(spent, whole, mine),
            },
        })  # fmt: skip
    n = sums(np.ones(len(stops)))
    right = {k: test.qualities(v) for k, v in (("progressive", stops), ("end_only", ends))}
    lost = 100 * (right["end_only"] - right["progressive"])
    return {
        "is_reached": bool(rows[-1]["decode_steps_saved"] >= LEAST_STEPS_SAVED
                           and lost.mean() <= 100 * tolerance),
        "limit": {"tokens": CLASSES[-1][0], "decode_steps_saved": LEAST_STEPS_SAVED},
        "points_lost": {
            "value": float(lost.mean()), "ci95": interval(ratio(sums(lost), n, draws))},
        "ci95": {k: interval(ratio(sums(v), n, draws)) for k, v in right.items()},
        "cuts": [c if np.isfinite(c) else None for c in gate.cuts], "tolerance": tolerance,
        "accuracy": {"progressive": test.accuracy(stops), "end_only": test.accuracy(ends)},
        "offloaded": {"progressive": float((stops > 0).mean()),
                      "end_only": float((ends > 0).mean())},
        "classes": rows,
    }  # fmt: skip


def _fitted(val: _Rows, at_end: Gate, cap: float, tolerance: float) -> Gate:
    least = val.accuracy(at_end.stops(val.gain, val.goes_on)) - tolerance
    best, cheapest = at_end, float(val.flops[:, END - 1].sum())
    for share1 in _SHARES:
        for share2 in _SHARES:
            if share1 + share2 > cap + 1e-9:
                continue
            early = Gate((_cut(val.gain[:, 0], share1), _cut(val.gain[:, 1], share2), np.inf))
            stops = early.stops(val.gain, val.goes_on)
            rest = stops == 0
            left = cap - float((~rest).mean())
            if left < 0 or not rest.any():
                continue
            last = _cut(val.gain[rest, 2], left / float(rest.mean()))
            gate = Gate((early.cuts[0], early.cuts[1], last))
            stops = gate.stops(val.gain, val.goes_on)
            spent = float(val.spent(stops).sum())
            if spent < cheapest and val.accuracy(stops) >= least:
                best, cheapest = gate, spent
    return best


def _cut(values: Float, share: float) -> float:
    """What so many of the values pass; infinite for none."""
    return float(np.quantile(values, 1 - min(share, 1.0))) if share > 0 else float("inf")


def _saved(spent: NDArray[Any], whole: NDArray[Any]) -> float:
    total = float(whole.sum())
    return 1 - float(spent.sum()) / total if total else float("nan")
