"""One request through the graph as its messages tell it: who waited how long for what.

Stamps are those that the nodes put on their messages; durations of jobs are those that the nodes
publish on ``compute``. A stage runs from one message of the request to the next; the job between
the two is taken off.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eo_nodes.contracts.values import Answer, Compute, Scene

from .space_graph import BenchError, Camera

TOPICS = ("scene", "compute", "answer")
STAGE_TOPICS = ("request", "tap", "verdict")
_JOBS = ("prepare", "vision", "decode")


@dataclass(frozen=True, slots=True)
class Stage:
    """From one message to the next; graph_ns is without the job between them."""

    name: str
    graph_ns: int


@dataclass(frozen=True, slots=True)
class Trace:
    """One request, from scene published to answer published.

    Attributes:
        shot_ns: the camera began to fill the image.
        scene_ns, views_ns, answer_ns: stamps of these messages.
        compute_ns: jobs prepare, vision and decode.
        stages: all of the rest, in order; they add up to `graph_ns`. Empty without its topics.
    """

    shot_ns: int
    scene_ns: int
    views_ns: int
    answer_ns: int
    compute_ns: int
    stages: tuple[Stage, ...]

    @property
    def span_ns(self) -> int:
        """From scene published to answer published."""
        return self.answer_ns - self.scene_ns

    @property
    def graph_ns(self) -> int:
        """What of it is not compute."""
        return self.span_ns - self.compute_ns

    @property
    def share(self) -> float:
        """Of the graph in the span, per cent."""
        return 100.0 * self.graph_ns / self.span_ns


def trace_of(camera: Camera, answer: Answer, *, shot_ns: int = 0) -> Trace:
    """Collect what the camera's node heard of an answered request.

    Raises:
        BenchError: it was refused, or messages are missing.
    """
    if answer.status == Answer.REFUSED:
        raise BenchError(f"{answer.request_id} was refused: {answer.reason}")
    request_id = answer.request_id
    scene: Scene = _only(camera, "scene", "id", answer.scene_id)
    jobs = [
        job for job in camera.seen("compute")
        if job.key.startswith(f"{request_id}/") and job.job in _JOBS
    ]  # fmt: skip
    names = [job.job for job in jobs]
    if names[:2] != ["prepare", "vision"]:
        raise BenchError(f"durations of {request_id} are missing: {names}")
    # Views are too large to be listened to beside the graph; `prepare` is told right after them.
    prepare = jobs[0]
    marks = []
    if requests := [r for r in camera.seen("request") if r.id == request_id]:
        marks = [(requests[-1].stamp_ns, "request"), (prepare.stamp_ns, "views")]
        marks += [(tap.stamp_ns, f"tap {tap.stage}") for tap in _of(camera, "tap", request_id)]
        marks += [(v.stamp_ns, f"verdict {v.stage}") for v in _of(camera, "verdict", request_id)]
        marks += [(answer.stamp_ns, "answer")]
        if len(marks) != 1 + 2 * len(jobs):
            raise BenchError(f"messages of {request_id} are missing: {names}, {marks}")
    return Trace(
        shot_ns=shot_ns,
        scene_ns=scene.stamp_ns,
        views_ns=prepare.stamp_ns,
        answer_ns=answer.stamp_ns,
        compute_ns=sum(job.duration_ns for job in jobs),
        stages=tuple(_stages(scene.stamp_ns, sorted(marks), jobs)),
    )


def _of(camera: Camera, topic: str, request_id: str) -> list[Any]:
    return [value for value in camera.seen(topic) if value.request_id == request_id]


def _only(camera: Camera, topic: str, key: str, wanted: str) -> Any:
    found = next((v for v in reversed(camera.seen(topic)) if getattr(v, key) == wanted), None)
    if found is None:
        raise BenchError(f"no {topic} {wanted} was heard")
    return found


def _stages(
    begin_ns: int, marks: Sequence[tuple[int, str]], jobs: Sequence[Compute]
) -> list[Stage]:
    """Each job belongs to the stage that ends with its result: views or the next tap."""
    left = sorted(jobs, key=lambda job: job.stamp_ns)
    before_ns, before, stages = begin_ns, "scene", []
    for stamp_ns, label in marks:
        job = left.pop(0) if label == "views" or label.startswith("tap") else None
        duration_ns = 0 if job is None else job.duration_ns
        name = f"{before} -> {label}" + ("" if job is None else f", without {job.job}")
        stages.append(Stage(name, stamp_ns - before_ns - duration_ns))
        before_ns, before = stamp_ns, label
    return stages


def medians_ms(traces: Sequence[Trace]) -> dict[str, float]:
    """Return the median time of each stage, in the order of the graph."""
    times: dict[str, list[float]] = defaultdict(list)
    for trace in sorted(traces, key=lambda t: -len(t.stages)):  # the longest has all stages
        for stage in trace.stages:
            times[stage.name].append(stage.graph_ns / 1e6)
    return {name: statistics.median(values) for name, values in times.items()}
