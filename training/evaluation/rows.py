"""One row of the table, from the vectors of its items; and whether its target is reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from training.evaluation.intervals import bootstrap, cluster_sums, wilson
from training.evaluation.metrics import ACCURACY, Metric

# Below this many items a figure carries no claim (data page).
FEW = 50
FEW_CLUSTERS = 10


@dataclass(slots=True)
class Row:
    """A figure with everything it is held against.

    Attributes:
        value, majority, probe, blind: in the metric's unit; None where there is none.
        controls: (what, value); n_blind: questions asked on grey or altered pictures.
        ci95: of the value. n: items; clusters: what the interval was drawn over.
        reached: None without a target, and where a draw cannot tell. reason: why not, where it
            is False.
        keys, vectors, clusters_of: per item, for comparing two models; not written out.
    """

    model: str
    category: str
    modality: str
    set: str
    type: str
    metric: Metric
    value: float
    n: int
    ci95: tuple[float, float]
    clusters: int
    domain: str = "real"
    majority: float | None = None
    probe: float | None = None
    blind: float | None = None
    n_blind: int = 0
    controls: tuple[tuple[str, float], ...] = ()
    target: float | str | None = None
    reached: bool | None = None
    reason: str = ""
    ece: float | None = None
    refused: int = 0
    marks: tuple[str, ...] = ()
    keys: Sequence[str] = field(default=(), repr=False)
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)), repr=False)
    clusters_of: Sequence[str] = field(default=(), repr=False)

    @property
    def identity(self) -> tuple[str, str, str]:
        """What two models' rows have in common."""
        return self.set, self.type, self.metric.name

    def plain(self) -> dict:
        """JSON-ready fields of scores.json; ``control`` is the first of ``controls``."""
        controls = [{"name": name, "value": _round(x)} for name, x in self.controls]
        return {
            "model": self.model, "category": self.category, "modality": self.modality,
            "set": self.set, "type": self.type, "domain": self.domain,
            "metric": self.metric.name, "value": _round(self.value), "n": self.n,
            "ci95": [_round(x) for x in self.ci95], "majority": _round(self.majority),
            "probe": _round(self.probe), "blind": _round(self.blind),
            "n_blind": self.n_blind,
            "control": next(iter(controls), None), "controls": controls,
            "target": self.target, "reached": self.reached, "reason": self.reason,
            "clusters": self.clusters,
            "ece": _round(self.ece), "refused": self.refused, "marks": list(self.marks),
        }


def _round(x: float | None) -> float | None:
    return None if x is None or not math.isfinite(x) else round(float(x), 3)


def interval(metric: Metric, vectors: np.ndarray, clusters: Sequence[str]) -> tuple[float, float]:
    """95 % interval: Wilson for shares of independent items, else bootstrap over clusters.

    Where every draw of clusters gives the same, the bootstrap knows nothing: Wilson over the
    clusters for all or none in per cent, else no interval (NaN).
    """
    sums = cluster_sums(vectors, clusters)
    if metric is ACCURACY and len(sums) == len(vectors):
        return wilson(vectors[:, 0].sum(), vectors[:, 1].sum())
    low, high = bootstrap(metric, sums)
    if low < high:
        return low, high
    if metric.is_percent and low in (0.0, 100.0):
        return wilson(len(sums) * low / 100, len(sums))
    return math.nan, math.nan


def is_reached(row: Row) -> bool | None:
    """Whether a row's target holds.

    ``better``: better than majority and probe. ``clearly``: so with the worse end of its
    interval. ``probe + 5``: so many above the probe. ``best sensor``: better than each sensor
    alone.
    """
    worse = row.ci95[1 if row.metric.is_lower_better else 0]
    return _holds(row, worse if row.target == "clearly" else row.value)


def told_by_draw(row: Row) -> bool | None:
    """Whether a target holds of which only some questions were asked.

    Told where the whole interval lies on one side; None where it does not, and of few clusters.
    """
    if row.clusters < FEW_CLUSTERS or not all(map(math.isfinite, row.ci95)):
        return None
    one, other = (_holds(row, end) for end in row.ci95)
    return one if one == other else None


def _holds(row: Row, value: float) -> bool | None:
    """Whether the target would hold with this value; None without anything to hold it against."""
    target = row.target
    if target is None:
        return None
    sign = -1 if row.metric.is_lower_better else 1
    if isinstance(target, str) and target.startswith("probe + "):
        if row.probe is None:
            return None
        target = row.probe + float(target.removeprefix("probe + "))
    if not isinstance(target, str):
        return bool(sign * value >= sign * target)     # of numpy, it would be no JSON
    against = [x for x in (row.majority, row.probe) if x is not None]
    if target == "best sensor":
        against = [x for name, x in row.controls if name.endswith(" sensor")]
    if not against:
        return None
    return all(sign * value > sign * x for x in against)


def marked(row: Row) -> tuple[str, ...]:
    """The row's marks, and that it is too small, or hangs on few clusters, where it does."""
    found = []
    if row.n < FEW:
        found.append("n < 50")
    if row.clusters < min(FEW_CLUSTERS, row.n):
        found.append(f"clusters: {row.clusters}")
    return (*row.marks, *(m for m in found if m not in row.marks))
