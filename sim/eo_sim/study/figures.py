"""The headline and paper-style figures, with intervals by paired bootstrap over scenes.

Definitions: config/study.yaml, fixed before any test run. Every policy is weighed with the same
draws of scenes, so that a difference between two policies keeps what they have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config import FiguresConfig

Float = NDArray[np.float64]
Sums = dict[str, Float]


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of one policy at the headline load, summed over the rates of the sweep."""

    policy: str
    role: str
    setting: str
    is_tuned: bool
    sums: Sums

    def mean(self, key: str, weights: Float | None = None) -> float:
        """Mean over requests, scenes weighed."""
        w = np.ones_like(self.sums["n"]) if weights is None else weights
        return float(self.sums[key] @ w / (self.sums["n"] @ w))


def add_sums(many: Sequence[Sums]) -> Sums:
    """Sum over rates."""
    return {key: np.sum([one[key] for one in many], axis=0) for key in many[0]}


def figures(points: Sequence[Point], config: FiguresConfig) -> dict[str, Any]:
    """``headline`` and ``paper_style`` of the table; a figure that cannot be formed says why."""
    draws = _draws(points, config)
    mine = [p for p in points if p.role == "ours"]
    tuned = next(p for p in mine if p.is_tuned)
    others = [p for p in points if p.role in ("baseline", "user")]
    return {
        "headline": {
            "equal_bytes_points": _equal_bytes(tuned, others, draws),
            "within_deadline_points": {
                f"{minutes:g}": _within(tuned, others, f"{minutes:g}", draws)
                for minutes in config.deadlines_min
            },
            "equal_accuracy_latency_percent": _equal_accuracy(mine, others, draws),
        },
        "paper_style": _paper_style(tuned, others, config, draws),
    }


def _draws(points: Sequence[Point], config: FiguresConfig) -> Float:
    """(bootstrap, scenes) how often each scene with a request is drawn."""
    seen = np.flatnonzero(points[0].sums["n"] > 0)
    random = np.random.default_rng(config.seed)
    drawn = random.multinomial(len(seen), np.full(len(seen), 1 / len(seen)), config.bootstrap)
    weights = np.zeros((config.bootstrap, len(points[0].sums["n"])))
    weights[:, seen] = drawn
    return weights


def _figure(
    value: Callable[[Float | None], float], draws: Float, baseline: Point
) -> dict[str, Any]:
    low, high = np.nanquantile([value(w) for w in draws], (0.025, 0.975))
    return {
        "value": value(None), "ci95": [float(low), float(high)],
        "baseline": baseline.policy, "setting": baseline.setting,
    }  # fmt: skip


def _equal_bytes(mine: Point, others: Sequence[Point], draws: Float) -> dict[str, Any]:
    budget = mine.mean("bytes")
    able = [p for p in others if p.mean("bytes") <= budget]
    if not able:
        return {"value": None, "ci95": None, "baseline": None,
                "why": "no baseline sends as few bytes"}
    best = max(able, key=lambda p: p.mean("final"))
    return _figure(lambda w: 100 * (mine.mean("final", w) - best.mean("final", w)), draws, best)


def _within(mine: Point, others: Sequence[Point], key: str, draws: Float) -> dict[str, Any]:
    best = max((p for p in others if p.is_tuned), key=lambda p: p.mean(key))
    return _figure(lambda w: 100 * (mine.mean(key, w) - best.mean(key, w)), draws, best)


def _equal_accuracy(mine: Sequence[Point], others: Sequence[Point], draws: Float) -> dict[str, Any]:
    best = max((p for p in others if p.is_tuned), key=lambda p: p.mean("final"))
    able = [p for p in mine if p.mean("final") >= best.mean("final")]
    if not able:
        return {"value": None, "ci95": None, "baseline": best.policy,
                "why": f"no setting of ours reaches {100 * best.mean('final'):.1f} %"}
    own = min(able, key=lambda p: p.mean("latency_s"))
    found = _figure(
        lambda w: 100 * (1 - own.mean("latency_s", w) / best.mean("latency_s", w)), draws, best
    )
    return found | {"setting_of_ours": own.setting}


def _paper_style(
    mine: Point, others: Sequence[Point], config: FiguresConfig, draws: Float
) -> dict[str, Any]:
    chosen = [p for p in others if p.is_tuned and p.policy in config.paper_baselines]
    found: dict[str, Any] = {
        "definition": config.paper_definition, "baselines": list(config.paper_baselines),
        "published": {"accuracy_gain_percent": 31.2, "latency_reduction_percent": 51.2,
                      "remark": "definitions unknown; not comparable"},
    }  # fmt: skip
    if not chosen:
        return found | {"accuracy_gain_percent": None, "latency_reduction_percent": None}

    def gain(w: Float | None) -> float:
        own = mine.mean("final", w)
        return float(np.mean([100 * (own / max(p.mean("final", w), 1e-9) - 1) for p in chosen]))

    def cut(w: Float | None) -> float:
        own = mine.mean("latency_s", w)
        return float(np.mean([100 * (1 - own / p.mean("latency_s", w)) for p in chosen]))

    for key, value in (("accuracy_gain_percent", gain), ("latency_reduction_percent", cut)):
        low, high = np.nanquantile([value(w) for w in draws], (0.025, 0.975))
        found[key] = {"value": value(None), "ci95": [float(low), float(high)]}
    return found
