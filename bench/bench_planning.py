"""Confidence and preprocessing beside the compact model's own compute, in one run.

What is timed, and how, says `eo_sim.study.overhead`, which the study runs as well; the figure is
the median of the rounds' ratios. In operations the same share is under 1 % (docs/regions.md); time
is the stricter measure, and the one that is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eo_nodes.graph.paths import project_file
from eo_sim.study.overhead import MOST_SHARE, Round, overhead

from .figures import Figure, Outcome, figure_of
from .stats import summarise

LIMIT_PER_CENT = 100 * MOST_SHARE


def outcome() -> Outcome:
    """Run the benchmark. Raises `EoError` without a model."""
    measured = overhead(project_file("models/compact"))
    every, further = measured.every(), measured.every_further()
    note = "confidence: heads at three taps" if measured.heads_macs else "no heads in this folder"
    rows = [
        _share("confidence and planning", every, lambda r: r.heads_s + r.plan_s, LIMIT_PER_CENT,
               note),
        *(_share(f"  {name.partition('__')[2].partition('.')[0]}", found,
                 lambda r: r.heads_s + r.plan_s, None, _sizes(found))
          for name, found in measured.rounds.items()),
        _share("  further questions on a scene", further, lambda r: r.heads_s + r.plan_s, None,
               "what is known of its pixels is kept"),
        _share("  with coding", every, lambda r: r.heads_s + r.plan_s + r.code_s, None,
               "regions, overview and head in real bytes"),
        *(figure_of(f"  {what}", summarise([1000 * getattr(r, field) for r in every]), "ms")
          for what, field in (("model", "model_s"), ("heads", "heads_s"), ("planning", "plan_s"),
                              ("coding", "code_s"))),
        figure_of("  planning, further questions", summarise([1000 * r.plan_s for r in further]),
                  "ms"),
    ]  # fmt: skip
    return Outcome(tuple(rows), {"model": {"id": measured.model_id, "digest": measured.digest}})


def _share(
    name: str, rounds: Sequence[Round], part: Any, limit: float | None, note: str
) -> Figure:
    shares = [100 * part(r) / r.model_s for r in rounds]
    return figure_of(name, summarise(shares), "%", limit=limit, note=note)


def _sizes(rounds: Sequence[Round]) -> str:
    model_s, plan_s = (float(np.median([getattr(r, n) for r in rounds]))
                       for n in ("model_s", "plan_s"))
    return f"{1000 * plan_s:.0f} ms of planning beside {1000 * model_s:.0f} ms of model"
