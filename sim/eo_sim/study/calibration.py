"""How good the heads' own scores are, from the trace alone: calibration, ranking, selective risk.

Right means one thing, as for the heads: quality from ``heads.RIGHT_FROM`` on. Graded quality is for
mean accuracies alone, those of ``ranking`` among them.

Source: area under the risk-coverage curve (AURC), Geifman and El-Yaniv 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.decision.heads import RIGHT_FROM
from eo_nodes.lvlm.chances import auroc, brier, ece, reached

from . import bootstrap
from .bootstrap import Ordered, over_requests
from .trace import TAPS, TARGETS, Trace

Float = NDArray[np.float64]
TAP_NAMES = ("tap 1", "tap 2", "end")
_FEW = 30


def by_score(score: Float, values: Float) -> Float:
    """Values by falling score; equal scores share their mean: their order would be chance."""
    _, place = np.unique(-score, return_inverse=True)
    mean = np.bincount(place, values) / np.bincount(place)
    return np.asarray(mean[np.sort(place)])


def risk_coverage(score: Float, right: Float, points: int = 20) -> dict[str, Any]:
    """Share of wrong answers among the surest share of answers, and the area under it."""
    risk = np.cumsum(by_score(score, 1 - right)) / np.arange(1, len(score) + 1)
    at = np.maximum(1, np.round(np.linspace(0.05, 1, points) * len(score))).astype(int) - 1
    return {
        "aurc": float(risk.mean()),
        "coverage": [float((i + 1) / len(score)) for i in at], "risk": [float(risk[i]) for i in at],
    }  # fmt: skip


def reliability(chance: Float, right: Float, bins: int) -> dict[str, list[float]]:
    """Mean chance said, and share right, in bins of (nearly) equal counts."""
    parts = [p for p in np.array_split(np.argsort(chance, kind="stable"), bins) if len(p)]
    return {"said": [float(chance[p].mean()) for p in parts],
            "came": [float(right[p].mean()) for p in parts]}


def _scores_ci95(
    chance: Float, right: Float, bins: int, draws: Float, scene: NDArray[np.integer]
) -> dict[str, list[float]]:
    """Intervals; those of an ECE lie high, as every draw is coarser than what it is drawn from."""
    ordered, off = Ordered(chance), (chance - right) ** 2
    figures: dict[str, Callable[[Float], Float]] = {
        "ece": lambda w: bootstrap.ece(w, chance, right, bins),
        "auroc": lambda w: ordered.auroc(w, right),
        "brier": lambda w: bootstrap.mean(w, off),
        "aurc": lambda w: ordered.aurc(w, right),
    }
    return {name: over_requests(one, draws, scene) for name, one in figures.items()}


def scores_table(trace: Trace, bins: int, draws: Float) -> list[dict[str, Any]]:
    """Rows over the test split: per tap, all of it, then by modality and by kind of question.

    Scores are those that the satellite has: nothing is fitted here. For all of it the row says
    which limits are reached, how often the heads abstain and how often answers are right then.

    Args:
        draws: of scenes, `bootstrap.draw_scenes`.
    """
    test = trace.rows("test")
    groups: list[tuple[str, str, NDArray[np.int64]]] = [("all", "all", test)]
    for column in ("modality", "question"):
        names = trace.names_of(column)[test]
        groups += [(column, str(name), test[names == name]) for name in np.unique(names)]
    said = trace["scores"][:, :, TARGETS.index("correct")].astype(np.float64)
    right = (trace["compact_quality"] >= RIGHT_FROM).astype(np.float64)
    base = float(right[trace.rows("val")].mean())
    goes_on = trace.outlasts_tap2()
    rows = []
    for kind, name, everyone in groups:
        for tap in range(TAPS):
            mine = everyone[goes_on[everyone]] if tap == 1 else everyone
            if len(mine) < _FEW:
                continue
            truth, chance = right[mine], said[mine, tap]
            row = {
                "group": kind, "name": name, "stage": TAP_NAMES[tap], "n": len(mine),
                "ece": ece(chance, truth, bins), "auroc": auroc(chance, truth > 0),
                "brier": brier(chance, truth), "brier_base": brier(np.full(len(mine), base), truth),
                **risk_coverage(chance, truth),
                "ci95": _scores_ci95(chance, truth, bins, draws, trace["scene"][mine]),
            }  # fmt: skip
            if kind == "all":
                far = trace["novelty"][mine, tap] > 1
                row |= {
                    "aurc_best": risk_coverage(truth, truth)["aurc"],
                    "abstains": float(far.mean()),
                    "right_where_abstaining": float(truth[far].mean()) if far.any() else None,
                }  # fmt: skip
                row["reliability"] = reliability(chance, truth, bins)
                row["is_reached"] = reached(
                    tap + 1, ece=row["ece"], auroc=row["auroc"], brier=row["brier"],
                    base=row["brier_base"],
                )  # fmt: skip
            rows.append(row)
    return rows


def _offload_curve(score: Float, gain: Float, here: float) -> Float:
    """Accuracy after the k of highest score were asked of the ground, k = 0..N."""
    return here + np.concatenate([[0.0], np.cumsum(by_score(score, gain))]) / len(gain)


def ranking(
    trace: Trace, reference: int, cap: float, draws: Float, points: int = 21
) -> list[dict[str, Any]]:
    """Who is asked of the ground first: by each head and tap, between random and oracle.

    Args:
        draws: of scenes, `bootstrap.draw_scenes`.
    Returns:
        For each (target, tap): accuracy at offload shares, ``share_at_cap`` of what always asking
        the ground gains (at most ``cap`` of requests asked; the best such share), and
        ``position``: area above random over that of the oracle, 0 random, 1 oracle.
    """
    test = trace.rows("test")
    here = trace["compact_quality"][test].astype(np.float64)
    gain = trace["regular_quality"][test, reference].astype(np.float64) - here
    n, always, scene = len(test), float(gain.mean()), trace["scene"][test]
    straight = here.mean() + always * np.arange(n + 1) / n
    best = _offload_curve(gain, gain, float(here.mean()))
    room = float((best - straight).mean())
    shares = np.round(np.linspace(0, n, points)).astype(int)
    ideal = Ordered(gain)

    def row(target: str, stage: str, score: Float) -> dict[str, Any]:
        curve, ordered = _offload_curve(score, gain, float(here.mean())), Ordered(score)
        return {
            "target": target, "stage": stage,
            "position": float((curve - straight).mean()) / room if room > 0 else float("nan"),
            "share_at_cap": _share(curve, here.mean(), always, cap),
            "accuracy": curve[shares].tolist(), "shares": (shares / n).tolist(),
            "ci95": {
                "position": over_requests(
                    lambda w: _drawn_position(w, ordered, ideal, gain), draws, scene),
                "share_at_cap": over_requests(
                    lambda w: _drawn_share(w, ordered, gain, cap), draws, scene),
            },
        }  # fmt: skip

    rows = [row("oracle", "", gain)]
    goes_on = trace.outlasts_tap2()[test]
    for index, target in enumerate(TARGETS):
        for tap in range(TAPS):
            # An answer that is complete at the second tap is scored as at its end.
            at = np.where(goes_on, tap, TAPS - 1) if tap == 1 else np.full(n, tap)
            said = trace["scores"][test, at, index].astype(np.float64)
            rows.append(row(target, TAP_NAMES[tap], said if target == "gain" else -said))
    return rows


def _share(curve: Float, here: float, always: float, cap: float) -> float:
    within = curve[: int(cap * (len(curve) - 1)) + 1]
    return float((within.max() - here) / always) if always > 0 else float("nan")


def _drawn_position(weights: Float, ordered: Ordered, ideal: Ordered, gain: Float) -> Float:
    areas = []
    for one in (ordered, ideal):
        mine, mass, gained = one.running(weights, gain)
        straight = mass * (gained[:, -1:] / mass[:, -1:])
        areas.append((mine * (gained - straight)).sum(axis=1))
    return np.divide(areas[0], areas[1], out=np.full(len(weights), np.nan), where=areas[1] > 0)


def _drawn_share(weights: Float, ordered: Ordered, gain: Float, cap: float) -> Float:
    _, mass, gained = ordered.running(weights, gain)
    within = np.where(mass <= cap * mass[:, -1:] + 1e-9, gained, 0.0).max(axis=1)
    always = gained[:, -1]
    part = np.maximum(within, 0.0)
    return np.divide(part, always, out=np.full(len(weights), np.nan), where=always > 0)
