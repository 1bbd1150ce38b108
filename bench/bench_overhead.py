"""Graph overhead: what the graph adds to computing, from scene published to answer published.

One request at a time through the satellite's processes in free mode. The span runs from the stamp
of the ``scene`` message to that of the ``answer`` message; from it go the durations of the jobs in
between (``prepare``, ``vision``, ``decode``), which the nodes publish themselves on ``compute``.
What is left is the graph: ten messages, three processes, the ledger. Thresholds decide at the last
tap here, with or without heads, and always answer, so each request takes all its messages, and no
product of the request before keeps the imaging process busy.

The share depends on how long the model computes, the time of the graph hardly: so the same is
measured on the demo's own files and questions, and with the regular model in the compact one's
place, and the table says from which length of computing on the limit would hold.

Beside it, scene published (the camera begins to fill the image) to views ready, at 1 and 8 MB,
with a numpy copy of the same scene.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from eo_nodes.contracts.ids import IdFactory
from eo_nodes.contracts.values import Task

from .figures import Figure, Outcome, figure_of
from .space_graph import Camera, SpaceGraph, real_pixels, space_graph
from .stats import summarise
from .traces import STAGE_TOPICS, TOPICS, Trace, medians_ms, trace_of

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
_DEMO = Path("config/scenarios/demo_questions.yaml")
_DEMO_ASSETS = Path("sim/assets")
_DEMO_EVERY = 2  # of its questions
_GATE = {"confidence.policy": "fixed", "confidence.gate_reject": [0.0, 0.0],
         "confidence.gate_accept": [1.0, 1.0, 0.0]}  # fmt: skip
_LOOK = {"camera_ingest.watch_s": 0.2}
_LONGER = {"compact_lvlm.model_dir": "models/regular"}


def outcome() -> Outcome:
    """Run the benchmark. Raises `BenchError` without a model."""
    ids = IdFactory("bench", 1)
    with space_graph((*TOPICS, *STAGE_TOPICS), {**_GATE, **_LOOK}) as running:
        staged = _traces(running.camera, ids, "seen place")
        running.camera.ignore(*STAGE_TOPICS)
        traces = _traces(running.camera, ids, "place")
        demo = _demo(running, ids)
        ready, copies = _scenes_to_views(running.camera, ids)
        model = running.camera.seen("answer")[-1]
    with space_graph(TOPICS, {**_GATE, **_LONGER}) as running:
        longer = _traces(running.camera, ids, "place")
    rows = [
        _share_row("graph overhead", traces, LIMIT_PER_CENT),
        _share_row("  the demo's questions", demo, None),
        _share_row("  a longer model (regular)", longer, None),
        _time_row(traces),
        *_stage_rows(staged),
    ]
    for size, values in ready.items():
        copy_ms = statistics.median(copies[size])
        ratio = statistics.median(values) / copy_ms
        note = f"numpy copy of the scene {copy_ms:.2f} ms, {ratio:.0f} times that"
        rows.append(figure_of(f"scene to views, {size} MB", summarise(values), "ms", note=note))
    details = {
        "model": {"id": model.model_id, "digest": model.model_digest, "folder": running.model},
        "stages_ms": {k: round(v, 3) for k, v in medians_ms(staged).items()},
        **{name: _as_rows(some) for name, some in
           (("requests", traces), ("demo", demo), ("regular", longer))},
        "numpy_copy_ms": {str(size): statistics.median(v) for size, v in copies.items()},
    }  # fmt: skip
    return Outcome(tuple(rows), details)


# -- rows ----------------------------------------------------------------------------------------


def _share_row(name: str, traces: Sequence[Trace], limit: float | None) -> Figure:
    graph_ms, compute_ms = _median_ms(t.graph_ns for t in traces), _compute_ms(traces)
    note = f"{graph_ms:.1f} ms of graph beside {compute_ms:.0f} ms of compute"
    return figure_of(name, summarise([t.share for t in traces]), "%", limit=limit, note=note)


def _time_row(traces: Sequence[Trace]) -> Figure:
    """The graph's time a request, and how long computing had to last for the limit to hold."""
    graph_ms = _median_ms(t.graph_ns for t in traces)
    enough_ms = graph_ms * (100.0 / LIMIT_PER_CENT - 1.0)
    note = f"{LIMIT_PER_CENT:g} % of a request that computes {enough_ms:.0f} ms"
    times = [t.graph_ns / 1e6 for t in traces]
    return figure_of("graph, a request", summarise(times), "ms", note=note)


def _stage_rows(staged: Sequence[Trace]) -> list[Figure]:
    """Where the graph's time goes, with all its messages listened to, which costs a little."""
    graph_ms = _median_ms(t.graph_ns for t in staged)
    rows = [Figure("graph, with each message seen", graph_ms, "ms", n=len(staged))]
    for name, value_ms in medians_ms(staged).items():
        times = [s.graph_ns / 1e6 for t in staged for s in t.stages if s.name == name]
        note = f"{value_ms / graph_ms:.0%}"
        rows.append(figure_of(f"  {name}", summarise(times), "ms", note=note))
    return rows


def _median_ms(times_ns: Any) -> float:
    return statistics.median(times_ns) / 1e6


def _compute_ms(traces: Sequence[Trace]) -> float:
    return _median_ms(t.compute_ns for t in traces)


def _as_rows(traces: Sequence[Trace]) -> dict[str, list[float]]:
    return {
        "span_ms": [round(t.span_ns / 1e6, 3) for t in traces],
        "graph_ms": [round(t.graph_ns / 1e6, 3) for t in traces],
        "compute_ms": [round(t.compute_ns / 1e6, 3) for t in traces],
    }


# -- requests ------------------------------------------------------------------------------------


def _traces(camera: Camera, ids: IdFactory, place: str) -> list[Trace]:
    """Ask for scenes of new places: a place known to the graph would be answered at once."""
    pixels = real_pixels(512, 512)
    return [
        _one(camera, ids, f"{place} {k}", _PROMPTS[k % len(_PROMPTS)], pixels)
        for k in range(_REQUESTS + _WARM_UP)
    ][_WARM_UP:]


def _one(
    camera: Camera, ids: IdFactory, place: str, prompt: str, pixels: NDArray[np.uint8]
) -> Trace:
    """Ask, publish the scene, wait for the answer, collect the stamps."""
    _ask(camera, ids, place, prompt)
    known = len(camera.seen("answer"))
    shot_ns = camera.shoot(pixels, place)
    return _answered(camera, known, place, shot_ns)


def _ask(
    camera: Camera, ids: IdFactory, place: str, prompt: str, window: Sequence[int] = ()
) -> None:
    now_ns = time.time_ns()
    camera.ask(
        Task(
            id=ids.new("task", now_ns), asked_ns=now_ns, asker="bench", prompt=prompt,
            place=place, window=tuple(window), consumer="ground", max_answers=1, priority=3,
        )
    )  # fmt: skip
    camera.rest(0.1)  # the task is in the ledger before its scene comes


def _answered(camera: Camera, known: int, what: str, shot_ns: int = 0) -> Trace:
    camera.wait(lambda: len(camera.seen("answer")) > known, 30.0, f"an answer about {what}")
    camera.rest(0.1)  # what was published before the answer may arrive after it
    return trace_of(camera, camera.seen("answer")[known], shot_ns=shot_ns)


def _demo(running: SpaceGraph, ids: IdFactory) -> list[Trace]:
    """The demo's questions, each on its file by the watched folder, under a place of its own."""
    camera, traces = running.camera, []
    questions = yaml.safe_load(_DEMO.read_text(encoding="utf-8"))["questions"]
    for number, question in enumerate(questions[::_DEMO_EVERY]):
        source = _DEMO_ASSETS / question["file"]
        place = f"demo {number}"
        _ask(camera, ids, place, question["prompt"], question["window"])
        known = len(camera.seen("answer"))
        sensor = source.name.partition("__")[0]
        part = running.inbox / f"{place}.part"
        shutil.copyfile(source, part)
        part.rename(running.inbox / f"{sensor}__{place}{source.suffix}")
        traces.append(_answered(camera, known, place))
    return traces


def _scenes_to_views(
    camera: Camera, ids: IdFactory
) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """Times from the shot to its views, and of numpy copies of the same scene; by size, ms."""
    ready: dict[int, list[float]] = defaultdict(list)
    copies: dict[int, list[float]] = defaultdict(list)
    pixels = {size: real_pixels(*shape) for size, shape in _SIZES.items()}
    for shot in range(_SHOTS + 1):
        for size, scene in pixels.items():
            trace = _one(camera, ids, f"shot {shot} of {size} MB", _PROMPTS[0], scene)
            if shot:
                ready[size].append((trace.views_ns - trace.shot_ns) / 1e6)
                copies[size].append(_copy_ms(scene))
    return ready, copies


def _copy_ms(pixels: Any) -> float:
    times = []
    for _ in range(5):
        begin = time.perf_counter_ns()
        np.array(pixels, copy=True)
        times.append((time.perf_counter_ns() - begin) / 1e6)
    return statistics.median(times)
