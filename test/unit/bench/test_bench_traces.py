"""Stages of a request add up to its span without the jobs, and gaps in what was heard are said."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

if importlib.util.find_spec("rclpy") is None or importlib.util.find_spec("spaceverse") is None:
    pytest.skip("needs ROS 2 and the built messages", allow_module_level=True)

from bench.space_graph import BenchError
from bench.traces import medians_ms, trace_of
from eo_nodes.contracts.values import Answer, Compute, Request, Scene, Tap, Verdict

MS = 1_000_000


class Heard:
    """Stands in for the camera's node."""

    def __init__(self, **topics: list[Any]) -> None:
        self._topics = topics

    def seen(self, topic: str) -> list[Any]:
        return self._topics.get(topic, [])


def _job(job: str, key: str, stamp_ms: int, duration_ms: int) -> Compute:
    return Compute(node="n", job=job, key=key, stamp_ns=stamp_ms * MS, duration_ns=duration_ms * MS)


ANSWER = Answer(id="a", request_id="r", scene_id="s", stamp_ns=70 * MS, origin="onboard")
JOBS = [
    _job("ingest", "image", 9, 5),
    _job("prepare", "r/1", 18, 5),
    _job("vision", "r/1", 53, 30),  # told after its tap
    _job("decode", "r/1/2", 62, 4),
]
MESSAGES = {
    "request": [Request(id="r", stamp_ns=12 * MS)],
    "tap": [
        Tap(request_id="r", stamp_ns=52 * MS, stage=1),
        Tap(request_id="r", stamp_ns=61 * MS, stage=3),
        Tap(request_id="another", stamp_ns=63 * MS, stage=1),
    ],
    "verdict": [
        Verdict(request_id="r", stamp_ns=54 * MS, stage=1),
        Verdict(request_id="r", stamp_ns=66 * MS, stage=3),
    ],
}
SCENES = [Scene(id="s", stamp_ns=10 * MS), Scene(id="later", stamp_ns=90 * MS)]


def test_stages_are_what_is_left_without_the_jobs_and_add_up() -> None:
    heard: Any = Heard(scene=SCENES, compute=JOBS, **MESSAGES)
    trace = trace_of(heard, ANSWER)
    assert (trace.span_ns, trace.compute_ns, trace.graph_ns) == (60 * MS, 39 * MS, 21 * MS)
    assert trace.share == pytest.approx(35.0)
    assert medians_ms([trace]) == {
        "scene -> request": 2.0,
        "request -> views, without prepare": 1.0,
        "views -> tap 1, without vision": 4.0,
        "tap 1 -> verdict 1": 2.0,
        "verdict 1 -> tap 3, without decode": 3.0,
        "tap 3 -> verdict 3": 5.0,
        "verdict 3 -> answer": 4.0,
    }
    assert sum(stage.graph_ns for stage in trace.stages) == trace.graph_ns


def test_without_the_messages_of_the_stages_the_figure_is_the_same() -> None:
    heard: Any = Heard(scene=SCENES, compute=JOBS)
    trace = trace_of(heard, ANSWER)
    assert (trace.graph_ns, trace.stages) == (21 * MS, ())


@pytest.mark.parametrize("missing", ["prepare", "vision"])
def test_a_missing_duration_is_an_error_and_no_overhead(missing: str) -> None:
    jobs = [job for job in JOBS if job.job != missing]
    heard: Any = Heard(scene=SCENES, compute=jobs, **MESSAGES)
    with pytest.raises(BenchError, match="missing"):
        trace_of(heard, ANSWER)


def test_a_missing_verdict_is_an_error() -> None:
    heard: Any = Heard(
        scene=SCENES, compute=JOBS, **{**MESSAGES, "verdict": MESSAGES["verdict"][:1]}
    )
    with pytest.raises(BenchError, match="missing"):
        trace_of(heard, ANSWER)


def test_a_refusal_is_no_answer() -> None:
    refused = Answer(id="a", request_id="r", status=Answer.REFUSED, reason="gone")
    heard: Any = Heard()
    with pytest.raises(BenchError, match="gone"):
        trace_of(heard, refused)
