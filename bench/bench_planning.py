"""Confidence and preprocessing beside the compact model's own compute, in one run.

Real scenes of the demo are asked about with models/compact, in turns: the model from its views to
the end of its answer; then, for each tap, the heads; cues, relevance and the plan of regions at
1/20 of the raw bytes; and, apart, coding them. All are processor times of one thread in the same
process, so that other programs on the machine hardly count; the figure is the median of the rounds'
ratios. Planning asks the coder for real bytes: that is coding, and shown as such. In operations the
same share is under 1 % (docs/regions.md); time is the stricter measure, and the one that is held.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.values import Region, Request, Scene
from eo_nodes.decision.heads import Heads, has_heads, read_heads
from eo_nodes.decision.levels import level_named
from eo_nodes.decision.product import product_of
from eo_nodes.decision.relevance import Cues, RelevanceConfig, relevance_of
from eo_nodes.decision.sending import Base, SendingConfig
from eo_nodes.graph.paths import project_file
from eo_nodes.imaging.coder import RegionCoder
from eo_nodes.imaging.header import header_of, raw_bytes_of
from eo_nodes.imaging.prepare import view_array, views_of
from eo_nodes.imaging.readers import read_file
from eo_nodes.imaging.sensors import load_sensors, sensor_for_file
from eo_nodes.lvlm import ViewTensor, load_model
from eo_nodes.lvlm.cues import seen_of
from eo_nodes.lvlm.lengths import COMPACT_TOKENS, TAP2_TOKENS
from eo_nodes.lvlm.tap_features import ShowsEvidence, features_of

from .figures import Figure, Outcome, figure_of
from .stats import summarise

LIMIT_PER_CENT = 10.0
_SCENES = (
    ("rgb_camera__objects_rgb.jp2", "optical", "How many vehicles are there?"),
    ("uav_lwir__streets_thermal.jp2", "thermal", "Are there any persons in the image?"),
    ("s2_msi__land_s2_13band.jp2", "multispectral", "Which land cover is shown?"),
    ("planetscope_rgb__long_beach_planet.png", "optical", "How many ships are in the image?"),
)
_ROUNDS, _WARM_UP = 6, 1
_MOST_PX, _VIEW_PX = 512, 288
_NS = 1_787_000_000_000_000_000


class TimedCoder(RegionCoder):
    """Says how long coding took."""

    spent_s = 0.0

    def size(self, regions: Sequence[Region], base: Base | None = None) -> int:
        begun = time.process_time()
        found = super().size(regions, base)
        self.spent_s += time.process_time() - begun
        return found


@dataclass(frozen=True, slots=True)
class Round:
    """Processor seconds of one question."""

    model_s: float
    heads_s: float
    plan_s: float
    code_s: float


def outcome() -> Outcome:
    """Run the benchmark. Raises `EoError` without a model."""
    folder = project_file("models/compact")
    model: Any = load_model(folder, threads=1)
    heads = read_heads(folder) if has_heads(folder) else None
    rounds: dict[str, list[Round]] = {name: [] for name, _, _ in _SCENES}
    scenes = [(name, *_scene(name, modality, prompt)) for name, modality, prompt in _SCENES]
    for number in range(_ROUNDS + _WARM_UP):
        for name, pixels, request in scenes:
            found = _round(model, heads, pixels, request)
            if number >= _WARM_UP:
                rounds[name].append(found)
    every = [r for found in rounds.values() for r in found]
    note = "confidence: heads at three taps" if heads else "this model folder has no heads"
    rows = [
        _share("confidence and planning", every, lambda r: r.heads_s + r.plan_s, LIMIT_PER_CENT,
               note),
        *(_share(f"  {name.partition('__')[2].partition('.')[0]}", found,
                 lambda r: r.heads_s + r.plan_s, None, _sizes(found))
          for name, found in rounds.items()),
        _share("  with coding", every, lambda r: r.heads_s + r.plan_s + r.code_s, None,
               "regions, overview and head in real bytes"),
        *(figure_of(f"  {what}", summarise([1000 * getattr(r, field) for r in every]), "ms")
          for what, field in (("model", "model_s"), ("heads", "heads_s"), ("planning", "plan_s"),
                              ("coding", "code_s"))),
    ]  # fmt: skip
    return Outcome(tuple(rows), {"model": {"id": model.id, "digest": model.digest}})


def _share(
    name: str, rounds: Sequence[Round], part: Any, limit: float | None, note: str
) -> Figure:
    shares = [100 * part(r) / r.model_s for r in rounds]
    return figure_of(name, summarise(shares), "%", limit=limit, note=note)


def _sizes(rounds: Sequence[Round]) -> str:
    model_s, plan_s = (float(np.median([getattr(r, n) for r in rounds]))
                       for n in ("model_s", "plan_s"))
    return f"{1000 * plan_s:.0f} ms of planning beside {1000 * model_s:.0f} ms of model"


def _scene(name: str, modality: str, prompt: str) -> tuple[NDArray[Any], Request]:
    """Pixels of a real scene and a request about all of it."""
    sensors = load_sensors(project_file("config/mission/sensors.yaml").read_text(encoding="utf-8"))
    read = read_file(project_file("sim/assets/scenes") / name, sensor_for_file(sensors, name))
    pixels = np.ascontiguousarray(read.values[:, :_MOST_PX, :_MOST_PX])
    frames, height, width, bands = pixels.shape
    scene = Scene(
        id="scene", sensor=name.partition("__")[0], modality=modality, frames=frames,
        height=height, width=width, bands=bands, dtype=pixels.dtype.name,
        band_names=read.bands, raw_bytes=pixels.nbytes,
    )  # fmt: skip
    return pixels, Request(
        id="request", task_id="task", scene_id="scene", scene=scene, stamp_ns=_NS, capture_ns=_NS,
        prompt=prompt, modality=modality, window=(0, 0, width, height), consumer="ground",
    )  # fmt: skip


def _round(model: Any, heads: Heads | None, pixels: NDArray[Any], request: Request) -> Round:
    names = request.scene.band_names
    begun = time.process_time()
    views = [ViewTensor(view_array(v), names, request.modality, request.window, v.kind)
             for v in views_of(pixels, request.window, names, overview_px=_VIEW_PX)]
    session = model.start(views, request.prompt, max_tokens=COMPACT_TOKENS)
    model_s, heads_s, plan_s, code_s = time.process_time() - begun, 0.0, 0.0, 0.0
    for stage, tokens in enumerate((0, TAP2_TOKENS, COMPACT_TOKENS), 1):
        begun = time.process_time()
        if tokens:
            session.decode(tokens)
        model_s += time.process_time() - begun
        begun = time.process_time()
        if heads is not None and isinstance(session, ShowsEvidence):
            text = session.text if tokens else ""
            heads.scores(stage, features_of(session.tap(), request.prompt, text, session.evidence))
        heads_s += time.process_time() - begun
        if stage == 1:
            plan_s, code_s = _planned(model, session, pixels, request)
    return Round(model_s, heads_s, plan_s, code_s)


def _planned(
    model: Any, session: Any, pixels: NDArray[Any], request: Request
) -> tuple[float, float]:
    """Seconds of planning, and of coding, from cues to the product file."""
    begun = time.process_time()
    seen = seen_of(session, request.prompt, getattr(model.config, "kinds", ()))
    _, _, width, height = request.window
    relevance = relevance_of(
        Cues(seen.attention, seen.boxes, seen.chances), height, width, RelevanceConfig())
    coder = TimedCoder(pixels, header_of(request, _NS))
    regions, base = product_of(level_named("regions_1_20"), coder, request.window, relevance,
                               raw_bytes_of(request), SendingConfig())
    plan_s = time.process_time() - begun - coder.spent_s
    begun = time.process_time()
    coder.product(regions, base)
    return plan_s, coder.spent_s + time.process_time() - begun
