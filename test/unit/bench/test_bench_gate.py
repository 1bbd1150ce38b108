"""What the benchmarks set keeps requests on board, whether or not the model brings heads."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("spaceverse.msg")

from bench import bench_memory, bench_overhead
from eo_nodes.contracts.values import Tap, Verdict
from eo_nodes.decision.casework import Means
from eo_nodes.decision.gate import gate_of
from eo_nodes.decision.heads import Scores
from eo_nodes.decision.router import Outlook, Router, RouterConfig

_OPEN = [-1.0, -1.0, -1.0]


class UnsureHeads:
    """Heads that would have every request answered on the ground."""

    length, means = 2, Means()

    def scores(self, stage: int, features: Any) -> Scores:
        raise AssertionError(f"heads are asked at stage {stage}")


@pytest.mark.parametrize("settings", [bench_memory._GATE, bench_overhead._GATE])
@pytest.mark.parametrize("stage", [1, 2])
def test_heads_send_nothing_down_in_a_benchmark(settings: dict[str, Any], stage: int) -> None:
    config = RouterConfig(
        policy=settings["confidence.policy"],
        gate=gate_of(
            settings.get("confidence.gate_accept", _OPEN), settings["confidence.gate_reject"],
            [0.9, 0.9, 0.9], [0.5, 0.5, 0.5],
        ),
    )  # fmt: skip
    tap = Tap(request_id="r", stage=stage, confidence=0.01, model_digest="d", features=(0.0, 0.0))
    verdict = Router(config, UnsureHeads(), "d").decide(tap, None, Outlook(), 1)
    assert verdict.decision == Verdict.CONTINUE


def test_the_overhead_is_measured_over_all_taps() -> None:
    settings = bench_overhead._GATE
    assert settings["confidence.gate_accept"] == [1.0, 1.0, 0.0]
