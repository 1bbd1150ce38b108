"""The headline and paper-style figures, with intervals by paired bootstrap over scenes.

Definitions: config/study.yaml, fixed before any test run. What is compared was chosen on val
(``selection``). Every policy is weighed with the same draws of scenes, so that a difference between
two policies keeps what they have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import draw_scenes, interval
from .config import FiguresConfig
from .selection import Chosen, Selection

Float = NDArray[np.float64]
Sums = Mapping[str, Float]


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of one policy at the headline load, summed over the rates of the sweep."""

    policy: str
    setting: str
    is_tuned: bool
    sums: Sums

    def mean(self, key: str, weights: Float | None = None) -> float:
        """Mean over requests from the ground, scenes weighed."""
        w = np.ones_like(self.sums["n"]) if weights is None else weights
        return float(self.sums[key] @ w / (self.sums["n"] @ w))


def add_sums(many: Sequence[Sums]) -> Sums:
    """Sum over rates."""
    return {key: np.sum([one[key] for one in many], axis=0) for key in many[0]}


class _Points:
    """Points by policy and setting."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._by_name = {(p.policy, p.setting): p for p in points}
        self.tuned = {p.policy: p for p in points if p.is_tuned}

    def of(self, chosen: Chosen) -> Point:
        return self._by_name[chosen.policy, chosen.setting.label()]


def figures(
    points: Sequence[Point], selection: Selection, config: FiguresConfig
) -> dict[str, Any]:
    """``headline`` and ``paper_style`` of the table; a figure that cannot be formed says why."""
    draws = draw_scenes(points[0].sums["n"] > 0, config.bootstrap, config.seed)
    by = _Points(points)
    mine = by.of(selection.ours)
    within = zip(config.deadlines_min, selection.within, strict=True)
    return {
        "headline": {
            "equal_bytes_points": _equal_bytes(mine, selection, by, draws),
            "within_deadline_points": {
                f"{minutes:g}": _points_ahead(mine, by.of(best), f"{minutes:g}", draws)
                for minutes, best in within
            },
            "equal_accuracy_latency_percent": _equal_accuracy(selection, by, draws),
        },
        "paper_style": _paper_style(mine, by, config, draws),
    }


def _interval(value: Callable[[Float | None], float], draws: Float) -> dict[str, Any]:
    drawn = np.array([value(w) for w in draws])
    return {"value": value(None), "ci95": interval(drawn)}


def _points_ahead(mine: Point, other: Point, key: str, draws: Float) -> dict[str, Any]:
    found = _interval(lambda w: 100 * (mine.mean(key, w) - other.mean(key, w)), draws)
    return found | {"baseline": other.policy, "setting": other.setting}


def _equal_bytes(mine: Point, selection: Selection, by: _Points, draws: Float) -> dict[str, Any]:
    if selection.equal_bytes is None:
        return {"value": None, "ci95": None, "baseline": None,
                "why": "no baseline sends as few bytes"}
    best = by.of(selection.equal_bytes)
    return _points_ahead(mine, best, "final", draws) | {
        "kb_each": {"ours": mine.mean("bytes") / 1e3, "baseline": best.mean("bytes") / 1e3}
    }


def _equal_accuracy(selection: Selection, by: _Points, draws: Float) -> dict[str, Any]:
    own, best = (by.of(one) for one in selection.quickest)
    found = _interval(
        lambda w: 100 * (1 - own.mean("latency_s", w) / best.mean("latency_s", w)), draws
    )
    return found | {
        "baseline": best.policy, "setting": best.setting, "setting_of_ours": own.setting,
        "accuracy_on_val": selection.accuracy,
        "accuracy": {"ours": own.mean("final"), "baseline": best.mean("final")},
        "accuracy_points": _points_ahead(own, best, "final", draws),
    }  # fmt: skip


def _paper_style(
    mine: Point, by: _Points, config: FiguresConfig, draws: Float
) -> dict[str, Any]:
    chosen = [by.tuned[name] for name in config.paper_baselines if name in by.tuned]
    found: dict[str, Any] = {
        "definition": config.paper_definition, "baselines": [p.policy for p in chosen],
        "published": {"accuracy_gain_percent": 31.2, "latency_reduction_percent": 51.2,
                      "remark": "definitions unknown; not comparable"},
    }  # fmt: skip

    def gain(other: Point, w: Float | None) -> float:
        return 100 * (mine.mean("final", w) / max(other.mean("final", w), 1e-9) - 1)

    def cut(other: Point, w: Float | None) -> float:
        return 100 * (1 - mine.mean("latency_s", w) / other.mean("latency_s", w))

    for key, one in (("accuracy_gain_percent", gain), ("latency_reduction_percent", cut)):
        def each(w: Float | None, one: Callable[..., float] = one) -> float:
            return float(np.median([one(p, w) for p in chosen]))

        found[key] = None
        if chosen:
            by_name = {
                p.policy: _interval(lambda w, p=p, one=one: one(p, w), draws)  # type: ignore[misc]
                for p in chosen
            }
            found[key] = _interval(each, draws) | {"by_baseline": by_name}
    return found
