"""Memory of the space segment and the time it takes to come up.

Memory is the resident set of every process on board: the nodes' processes, the bring-up and the
supervisor. RSS counts a page that several processes share once for each of them, so its sum is
above what the machine gives; PSS shares such pages out. The limit is held against the RSS sum.

Flat: scenes of 256 x 256 pixels go through camera_ingest on its image topic in free mode, every
tenth with a question, so that all processes work; the sum is read every ten scenes. The slope is
fitted through block means after a warm-up in which pools and heaps reach their size. The slope of
the heaps alone stands beside it: what grows without end grows there, while pages of files and of
shared segments come and go.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from eo_nodes.contracts.ids import IdFactory
from eo_nodes.contracts.values import Task

from .figures import Figure, Outcome, figure_of
from .space_graph import BenchError, Camera, SpaceGraph, memory_mb, real_pixels, space_graph
from .stats import Slope, slope_of, summarise

LIMIT_MB = 1200.0
LIMIT_START_S = 15.0
# Half a per cent of the limit over the 500 scenes.
FLAT_MB_PER_100 = 1.2
_SCENES, _WARM_UP, _EVERY, _ASKED_EVERY, _BLOCKS = 650, 150, 10, 10, 10
_SETTLE_S = 3.0
_STARTS = 3
_GATE = {"confidence.policy": "fixed", "confidence.gate_reject": [0.0, 0.0]}
_Weights = dict[str, tuple[float, float, float]]
_KINDS = ("rss", "pss", "heap")


def outcome() -> Outcome:
    """Run the benchmark. Raises `BenchError` without a model."""
    starts_s = []
    for _ in range(_STARTS - 1):
        with space_graph((), _GATE) as running:
            starts_s.append(running.start_s)
    with space_graph(("scene", "answer"), _GATE) as running:
        starts_s.append(running.start_s)
        running.camera.rest(_SETTLE_S)
        at_start = weigh(running)
        steps, series = _push_scenes(running)
    at_end = series[-1]
    late = [(n, w) for n, w in zip(steps, series, strict=True) if n > _WARM_UP]
    scenes = [n / 100 for n, _ in late]
    slopes = {
        kind: slope_of(scenes, [_sum(w)[i] for _, w in late], blocks=_BLOCKS)
        for i, kind in enumerate(_KINDS)
    }
    rows = (
        _memory_row("memory after bring-up", at_start, "RSS sum"),
        _memory_row(f"memory after {_SCENES} scenes", at_end, "RSS sum"),
        _slope_row("memory, slope of RSS", slopes["rss"], FLAT_MB_PER_100),
        _slope_row("memory, slope of PSS", slopes["pss"], None),
        _slope_row("memory, slope of heaps", slopes["heap"], None),
        figure_of("start to all nodes active", summarise(starts_s), "s", limit=LIMIT_START_S,
                  note="supervisor, bring-up, 5 processes, 8 nodes"),
    )  # fmt: skip
    details: dict[str, Any] = {
        "model": running.model,
        "at_start_mb": _as_rows(at_start),
        "at_end_mb": _as_rows(at_end),
        "slope_mb_per_100_scenes": {
            name: {
                kind: round(
                    slope_of(scenes, [w[name][i] for _, w in late], blocks=_BLOCKS).value, 3
                )
                for i, kind in enumerate(_KINDS)
            }
            for name in at_end
        },
        "scenes": steps,
        "rss_sum_mb": [round(_sum(w)[0], 1) for w in series],
        "pss_sum_mb": [round(_sum(w)[1], 1) for w in series],
        "heap_sum_mb": [round(_sum(w)[2], 1) for w in series],
    }
    return Outcome(rows, details)


def weigh(running: SpaceGraph) -> _Weights:
    """Return RSS, PSS and heap in MB of every process on board, by name."""
    graph = running.graph
    weights = {name: memory_mb(pid) for name, pid in graph.state().pids.items()}
    weights["supervisor"] = memory_mb(graph.supervisor_pid)
    return weights


def _push_scenes(running: SpaceGraph) -> tuple[list[int], list[_Weights]]:
    camera, ids = running.camera, IdFactory("bench", 1)
    pixels = real_pixels(256, 256)
    steps: list[int] = []
    series: list[_Weights] = []
    for number in range(1, _SCENES + 1):
        place = f"scene {number}"
        is_asked = number % _ASKED_EVERY == 0
        if is_asked:
            camera.ask(_task(ids, place))
            camera.rest(0.05)
        _shoot(camera, pixels, place, is_asked)
        if number % _EVERY == 0:
            steps.append(number)
            series.append(weigh(running))
    return steps, series


def _shoot(camera: Camera, pixels: Any, place: str, is_asked: bool) -> None:
    """Publish one image and wait for its scene, and for the answer when there is a question."""
    seen, answered = len(camera.seen("scene")), len(camera.seen("answer"))
    for _ in range(3):  # the image topic is best effort, as a camera's is
        camera.shoot(pixels, place)
        with contextlib.suppress(BenchError):
            camera.wait(lambda: len(camera.seen("scene")) > seen, 3.0, f"{place} becomes a scene")
            break
    else:
        raise BenchError(f"{place} did not become a scene in three shots")
    if is_asked:
        camera.wait(lambda: len(camera.seen("answer")) > answered, 30.0, f"an answer about {place}")


def _task(ids: IdFactory, place: str) -> Task:
    now_ns = time.time_ns()
    return Task(
        id=ids.new("task", now_ns), asked_ns=now_ns, asker="bench", prompt="Is any water visible?",
        place=place, consumer="ground", max_answers=1, priority=3,
    )  # fmt: skip


def _sum(weights: _Weights) -> tuple[float, ...]:
    return tuple(sum(w[i] for w in weights.values()) for i in range(len(_KINDS)))


def _memory_row(name: str, weights: _Weights, note: str) -> Figure:
    rss, pss, _ = _sum(weights)
    note = f"{note} of {len(weights)} processes; PSS sum {pss:.0f} MB"
    return Figure(name, rss, "MB", limit=LIMIT_MB, note=note)


def _slope_row(name: str, slope: Slope, limit: float | None) -> Figure:
    """The limit is held against the upper end of the interval, shown beside the value."""
    note = "MB per 100 scenes; 95 % interval"
    value = slope.high if limit is not None else slope.value
    if limit is not None:
        note = f"upper end; slope {slope.value:+.2f} MB per 100 scenes, 95 % interval beside it"
    return Figure(name, value, "MB", limit=limit, low=slope.low, high=slope.high,
                  n=_BLOCKS, note=note)  # fmt: skip


def _as_rows(weights: _Weights) -> dict[str, dict[str, float]]:
    return {
        name: {kind: round(value, 1) for kind, value in zip(_KINDS, values, strict=True)}
        for name, values in weights.items()
    }
