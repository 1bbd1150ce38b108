"""Graph overhead: what the graph adds to computing, from scene published to answer published.

One request at a time through the satellite's processes in free mode. The span runs from the stamp
of the ``scene`` message to that of the ``answer`` message; from it go the durations of the jobs in
between (``prepare``, ``vision``, ``decode``), which the nodes publish themselves on ``compute``.
What is left is the graph: ten messages, three processes, the ledger's commits. The gate decides
at the last tap here and always answers, so each request takes all its messages, and no product of
the request before keeps the imaging process busy.

Beside it, scene published (the camera begins to fill the image) to views ready, at 1 and 8 MB,
with a numpy copy of the same scene.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from eo_nodes.contracts.ids import IdFactory
from eo_nodes.contracts.values import Answer, Task

from .figures import Figure, Outcome, figure_of
from .space_graph import BenchError, Camera, real_pixels, space_graph
from .stats import summarise

LIMIT_PER_CENT = 5.0
_REQUESTS, _WARM_UP = 30, 3
_SIZES = {1: (576, 578), 8: (1632, 1634)}
_SHOTS = 8
_PROMPTS = (
    "Is any water visible?",
    "What land use is shown?",
    "Are there ships in the image?",
    "Describe the image.",
    "Which land cover class is this?",
)
_GATE = {"confidence.reject": [0.0, 0.0], "confidence.accept": [1.0, 1.0, 0.0]}
_TOPICS = ("scene", "request", "compute", "tap", "verdict", "answer")


@dataclass(frozen=True, slots=True)
class Trace:
    """One request. shot_ns: the camera began; jobs in order; marks: (label, stamp) in order."""

    shot_ns: int
    scene_ns: int
    views_ns: int
    answer_ns: int
    compute_ns: int
    marks: tuple[tuple[str, int, int], ...]

    @property
    def span_ns(self) -> int:
        """From scene published to answer published."""
        return self.answer_ns - self.scene_ns

    @property
    def graph_ns(self) -> int:
        """What of it is not compute."""
        return self.span_ns - self.compute_ns


def outcome() -> Outcome:
    """Run the benchmark. Raises `BenchError` without a model."""
    ids = IdFactory("bench", 1)
    with space_graph(_TOPICS, _GATE) as running:
        camera = running.camera
        traces = [
            _one(camera, ids, f"place {k}", _PROMPTS[k % len(_PROMPTS)], real_pixels(512, 512))
            for k in range(_REQUESTS + _WARM_UP)
        ][_WARM_UP:]
        rows = [_figure(traces)]
        ready: dict[int, list[float]] = defaultdict(list)
        copies: dict[int, list[float]] = defaultdict(list)
        pixels = {size: real_pixels(*shape) for size, shape in _SIZES.items()}
        for shot in range(_SHOTS + 1):
            for size, scene in pixels.items():
                trace = _one(camera, ids, f"shot {shot} of {size} MB", _PROMPTS[0], scene)
                if shot:
                    ready[size].append((trace.views_ns - trace.shot_ns) / 1e6)
                    copies[size].append(_copy_ms(scene))
        model = camera.seen.of("answer")[-1]
    for size, values in ready.items():
        copy_ms = statistics.median(copies[size])
        ratio = statistics.median(values) / copy_ms
        note = f"numpy copy of the scene {copy_ms:.2f} ms, {ratio:.0f} times that"
        rows.append(figure_of(f"scene to views, {size} MB", summarise(values), "ms", note=note))
    details = {
        "model": {"id": model.model_id, "digest": model.model_digest, "folder": running.model},
        "hops_ms": _hops(traces),
        "span_ms": [round(t.span_ns / 1e6, 3) for t in traces],
        "graph_ms": [round(t.graph_ns / 1e6, 3) for t in traces],
        "compute_ms": [round(t.compute_ns / 1e6, 3) for t in traces],
        "numpy_copy_ms": {str(size): statistics.median(v) for size, v in copies.items()},
    }
    return Outcome(tuple(rows), details)


def _figure(traces: list[Trace]) -> Figure:
    shares = [100.0 * t.graph_ns / t.span_ns for t in traces]
    graph_ms = statistics.median(t.graph_ns for t in traces) / 1e6
    compute_ms = statistics.median(t.compute_ns for t in traces) / 1e6
    note = f"{graph_ms:.1f} ms of graph beside {compute_ms:.0f} ms of compute"
    return figure_of("graph overhead", summarise(shares), "%", limit=LIMIT_PER_CENT, note=note)


def _one(camera: Camera, ids: IdFactory, place: str, prompt: str, pixels: Any) -> Trace:
    """Ask, publish the scene, wait for the answer, collect the stamps."""
    seen = camera.seen
    task = Task(
        id=ids.new("task", time.time_ns()), asked_ns=time.time_ns(), asker="bench", prompt=prompt,
        place=place, consumer="ground", max_answers=1, priority=3,
    )  # fmt: skip
    camera.ask(task)
    camera.spin(0.1)  # the task is in the ledger before its scene comes
    answers, jobs = len(seen.of("answer")), len(seen.of("compute"))
    taps, verdicts = len(seen.of("tap")), len(seen.of("verdict"))
    shot_ns = camera.shoot(pixels, place)
    camera.wait(lambda: len(seen.of("answer")) > answers, 30.0, f"an answer about {place}")
    camera.spin(0.1)  # what was published before the answer may arrive after it
    answer = seen.of("answer")[answers]
    if answer.status == Answer.REFUSED:
        raise BenchError(f"{place} was refused: {answer.reason}")
    request = next(r for r in reversed(seen.of("request")) if r.id == answer.request_id)
    scene = next(s for s in reversed(seen.of("scene")) if s.id == answer.scene_id)
    mine = [
        j for j in seen.of("compute")[jobs:]
        if j.key.startswith(request.id) and j.job in ("prepare", "vision", "decode")
    ]  # fmt: skip
    marks = [("request", request.stamp_ns, 0)]
    marks += [(f"{j.job} done", j.stamp_ns, j.duration_ns) for j in mine]
    marks += [(f"tap {t.stage}", t.stamp_ns, 0) for t in seen.of("tap")[taps:]]
    marks += [(f"verdict {v.stage}", v.stamp_ns, 0) for v in seen.of("verdict")[verdicts:]]
    marks += [("answer", answer.stamp_ns, 0)]
    marks = [m for m in sorted(marks, key=lambda m: m[1]) if m[1] <= answer.stamp_ns]
    mine = [j for j in mine if j.stamp_ns <= answer.stamp_ns]
    if {j.job for j in mine} < {"prepare", "vision"}:
        raise BenchError(f"durations are missing for {place}")
    return Trace(
        shot_ns=shot_ns,
        scene_ns=scene.stamp_ns,
        views_ns=next(j.stamp_ns for j in mine if j.job == "prepare"),
        answer_ns=answer.stamp_ns,
        compute_ns=sum(j.duration_ns for j in mine),
        marks=tuple(marks),
    )


def _hops(traces: list[Trace]) -> dict[str, float]:
    """Median time of each step that is not compute, ms."""
    steps: dict[str, list[float]] = defaultdict(list)
    for trace in traces:
        before, label_before = trace.scene_ns, "scene"
        for label, stamp_ns, duration_ns in trace.marks:
            steps[f"{label_before} -> {label}"].append((stamp_ns - before - duration_ns) / 1e6)
            before, label_before = stamp_ns, label
    return {name: round(statistics.median(values), 3) for name, values in steps.items()}


def _copy_ms(pixels: Any) -> float:
    times = []
    for _ in range(5):
        begin = time.perf_counter_ns()
        np.array(pixels, copy=True)
        times.append((time.perf_counter_ns() - begin) / 1e6)
    return statistics.median(times)
