"""What each level of compression costs and keeps, from the trace alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import interval, ratio
from .trace import Trace

Float = NDArray[np.float64]
# At this share of a scene's bytes, chosen by region, at most so many points may be lost.
KEPT_SHARE, MOST_POINTS_LOST = 0.05, 2.0


def levels_table(trace: Trace, reference: int, draws: Float) -> list[dict[str, Any]]:
    """Rows over the test split, in the order of the trace.

    Args:
        reference: level that points are lost against (lossless).
        draws: of scenes, `bootstrap.draw_scenes`.
    """
    test = trace.rows("test")
    scene, scenes = trace["scene"][test], len(trace.names["scenes"])

    def sums(values: NDArray[Any]) -> Float:
        return np.asarray(np.bincount(scene, values.astype(np.float64), minlength=scenes))

    n, raw = sums(np.ones(len(test))), sums(trace["raw_bytes"][test])
    quality, size = trace["regular_quality"][test], trace["level_bytes"][test]
    rows = []
    for at, level in enumerate(trace.levels):
        lost = 100 * (quality[:, reference].astype(np.float64) - quality[:, at])
        points_lost = float(lost.mean())
        row = {
            "name": level.name, "kind": level.kind, "share": level.share,
            "bytes_share": float(size[:, at].sum()) / float(raw.sum()),
            "accuracy": float(quality[:, at].mean()), "points_lost": points_lost,
            "ci95": {
                "bytes_share": interval(ratio(sums(size[:, at]), raw, draws)),
                "accuracy": interval(ratio(sums(quality[:, at]), n, draws)),
                "points_lost": interval(ratio(sums(lost), n, draws)),
            },
        }  # fmt: skip
        if level.kind == "regions" and level.share <= KEPT_SHARE:
            row["is_reached"] = points_lost <= MOST_POINTS_LOST
        rows.append(row)
    return rows
