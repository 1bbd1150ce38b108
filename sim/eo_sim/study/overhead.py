"""What confidence and planning of regions cost beside the compact model, in one process.

Real scenes of the demo are asked about, in turns: the model from its views to the end of its
answer; then, for each tap, the heads; cues, relevance and the plan of regions at 1/20 of the raw
bytes; and, apart, coding them. What planning needs of a scene's pixels alone is kept for the next
question on it (``imaging.looks``), so each scene is asked twice: first as one that nothing is known
of, which counts in full and is what the limit is held to; then again. All are processor times of
one thread, so that other programs on the machine hardly count. Planning asks the coder for real
bytes: that is coding, and counted as such. Operations of the heads are counted too; those of
planning are not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
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
from eo_nodes.imaging.looks import Look
from eo_nodes.imaging.prepare import view_array, views_of
from eo_nodes.imaging.readers import read_file
from eo_nodes.imaging.sensors import load_sensors, sensor_for_file
from eo_nodes.lvlm import ViewTensor, load_model
from eo_nodes.lvlm.cues import seen_of
from eo_nodes.lvlm.lengths import COMPACT_TOKENS, TAP2_TOKENS
from eo_nodes.lvlm.tap_features import ShowsEvidence, features_of

# Of the compact model's compute, confidence and planning together.
MOST_SHARE = 0.1
ROUNDS = 6
SCENES = (
    ("rgb_camera__objects_rgb.jp2", "optical", "How many vehicles are there?"),
    ("uav_lwir__streets_thermal.jp2", "thermal", "Are there any persons in the image?"),
    ("s2_msi__land_s2_13band.jp2", "multispectral", "Which land cover is shown?"),
    ("planetscope_rgb__long_beach_planet.png", "optical", "How many ships are in the image?"),
)
_WARM_UP = 1
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
    """Processor seconds of one question, and the model's multiply-accumulates."""

    model_s: float
    heads_s: float
    plan_s: float
    code_s: float
    macs: int


@dataclass(frozen=True, slots=True)
class Overhead:
    """What was measured of one model folder.

    Attributes:
        rounds: by scene, first questions on it. further: questions that come later.
        heads_macs: of the heads at three taps; 0: the folder has none.
    """

    model_id: str
    digest: str
    heads_macs: int
    rounds: dict[str, list[Round]]
    further: dict[str, list[Round]]

    def every(self) -> list[Round]:
        """First questions on all scenes."""
        return [one for found in self.rounds.values() for one in found]

    def every_further(self) -> list[Round]:
        """Later questions on all scenes."""
        return [one for found in self.further.values() for one in found]


def overhead(folder: Path, rounds: int = ROUNDS) -> Overhead:
    """Measure a compact model's folder.

    Args:
        rounds: times that each scene is asked about twice, after one that does not count.
    Raises:
        EoError: without such a model.
    """
    model: Any = load_model(folder, threads=1)
    heads = read_heads(folder) if has_heads(folder) else None
    found: dict[str, list[Round]] = {name: [] for name, _, _ in SCENES}
    further: dict[str, list[Round]] = {name: [] for name, _, _ in SCENES}
    scenes = [(name, *_scene(name, modality, prompt)) for name, modality, prompt in SCENES]
    for number in range(rounds + _WARM_UP):
        for name, pixels, request in scenes:
            look = Look()
            for kept in (found, further):
                one = _round(model, heads, pixels, request, look)
                if number >= _WARM_UP:
                    kept[name].append(one)
    return Overhead(model.id, model.digest, heads.macs if heads else 0, found, further)


def compute_table(measured: Overhead) -> dict[str, Any]:
    """For table.json: shares of the compact model's processor time, median and quartiles.

    The limit is held to processor time, the stricter of both; operations stand beside it.
    """
    every = measured.every()

    def share(
        part: Callable[[Round], float], rounds: Sequence[Round] = every
    ) -> dict[str, Any]:
        values = [part(one) / one.model_s for one in rounds]
        low, middle, high = (float(x) for x in np.quantile(values, (0.25, 0.5, 0.75)))
        return {"value": middle, "quartiles": [low, high]}

    both = share(lambda r: r.heads_s + r.plan_s)
    return {
        "is_measured": True, "limit": MOST_SHARE, "n": len(every),
        "heads": share(lambda r: r.heads_s), "planning": share(lambda r: r.plan_s),
        "both": both,
        "both_further": share(lambda r: r.heads_s + r.plan_s, measured.every_further()),
        "coding": share(lambda r: r.code_s),
        "has_heads": measured.heads_macs > 0,
        "heads_operations": measured.heads_macs / float(np.mean([r.macs for r in every])),
        "is_reached": both["value"] <= MOST_SHARE,
    }  # fmt: skip


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


def _round(
    model: Any, heads: Heads | None, pixels: NDArray[Any], request: Request, look: Look
) -> Round:
    names = request.scene.band_names
    x, y, width, height = request.window
    window = (x, y, width, height)
    begun = time.process_time()
    views = [ViewTensor(view_array(v), names, request.modality, window, v.kind)
             for v in views_of(pixels, window, names, overview_px=_VIEW_PX)]
    session = model.start(views, request.prompt, max_tokens=COMPACT_TOKENS)
    model_s, heads_s, plan_s, code_s = time.process_time() - begun, 0.0, 0.0, 0.0
    for stage, tokens in enumerate((0, TAP2_TOKENS, COMPACT_TOKENS), 1):
        begun = time.process_time()
        if tokens:
            session.decode(tokens)
        model_s += time.process_time() - begun
        begun = time.process_time()
        state, text = session.tap(), session.text if tokens else ""
        if heads is not None and isinstance(session, ShowsEvidence):
            heads.scores(stage, features_of(state, request.prompt, text, session.evidence))
        heads_s += time.process_time() - begun
        if stage == 1:
            plan_s, code_s = _planned(model, session, pixels, request, look)
    return Round(model_s, heads_s, plan_s, code_s, int(session.macs))


def _planned(
    model: Any, session: Any, pixels: NDArray[Any], request: Request, look: Look
) -> tuple[float, float]:
    """Seconds of planning, and of coding, from cues to the product file."""
    begun = time.process_time()
    seen = seen_of(session, request.prompt, model)
    _, _, width, height = request.window
    relevance = relevance_of(
        Cues(seen.attention, seen.boxes, seen.chances), height, width, RelevanceConfig())
    coder = TimedCoder(pixels, header_of(request, _NS), look=look)
    regions, base = product_of(level_named("regions_1_20"), coder, request.window, relevance,
                               raw_bytes_of(request), SendingConfig())
    plan_s = time.process_time() - begun - coder.spent_s
    begun = time.process_time()
    coder.product(regions, base)
    return plan_s, coder.spent_s + time.process_time() - begun
