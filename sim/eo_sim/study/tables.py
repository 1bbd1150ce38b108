"""What each request costs, from trace and configuration, once for all policies.

Compute times are floating-point operations over a stated speed, so that a trace made on any
machine gives the same replay. Coding has no such count: its seconds are the collecting machine's
processor time, scaled.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .config import StudyConfig
from .trace import DEADLINES_MIN, Trace

Float = NDArray[np.float64]


class Tables:
    """Costs by row of the trace; times are those of the thinned replay.

    Attributes:
        compact_s: (N, 3) cumulative to tap 1, tap 2, end. code_s, regular_s: (N, L).
        wire: (N, L) bytes on the link with frames and repeats. answer_wire: (N,).
        compact_j: (N, 3), code_j, regular_j: (N, L), of a single request.
        to_end_s: (4,) what the rest of an answer takes from each stage on, mean of val: how long
            an answer will be is not known before its end.
        overhead: bytes on the link for one of a product, frame heads and repeats: their mean.
        deadline_s: (N,) after capture. thinning: see config/study.yaml.
    """

    def __init__(self, trace: Trace, config: StudyConfig, thinning: float = 1.0) -> None:
        compute, world = config.compute, config.world
        self.trace, self.config, self.thinning = trace, config, thinning
        slow = thinning
        true_s = trace["compact_flops"] / compute.onboard_flops_per_s
        code_s = trace["code_s"].astype(np.float64) * compute.coding_scale
        ground_s = trace["regular_flops"] / compute.ground_flops_per_s + compute.ground_overhead_s
        self.compact_s, self.code_s, self.regular_s = true_s * slow, code_s * slow, ground_s * slow
        self.compact_j = true_s * compute.onboard_active_w
        val = trace.rows("val")
        self.to_end_s = _to_end(self.compact_s[val])
        self.code_j = code_s * compute.onboard_active_w
        self.regular_j = ground_s * compute.ground_active_w
        # One draw a row: every policy meets the same losses.
        draw = np.random.default_rng(config.workload.seed).uniform(size=len(trace))
        self._draw, self._world = draw, world
        self.overhead = world.frame_bytes / world.frame_payload_bytes / (1 - world.loss)
        self.wire = self._on_wire(trace["level_bytes"], draw[:, None])
        self.answer_wire = self._on_wire(trace["answer_bytes"], draw)
        self.deadline_s = np.array(DEADLINES_MIN, np.float64)[trace["deadline"]] * 60.0

    def _on_wire(self, size_bytes: NDArray[np.integer], draw: Float) -> Float:
        """Bytes with frame heads, and lost frames sent again: their mean, rounded by a draw."""
        world = self._world
        frames = np.ceil(size_bytes / world.frame_payload_bytes)
        heads = frames * (world.frame_bytes - world.frame_payload_bytes)
        again = np.floor(frames * world.loss / (1 - world.loss) + draw)
        return np.asarray(size_bytes + heads + again * world.frame_bytes, np.float64)


def _to_end(cumulative: Float) -> Float:
    """(4,) mean of what is left before tap 1, at tap 1, at tap 2 and at the end; zeros of none."""
    if not len(cumulative):
        return np.zeros(cumulative.shape[1] + 1)
    mean = cumulative.mean(axis=0)
    return np.concatenate([[mean[-1]], mean[-1] - mean])
