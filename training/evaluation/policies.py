"""Ways to choose what of a scene is sent: ours, its cues alone, controls and baselines.

Each gives a relevance map; the map is turned into a product by the one path that flies
(``decision.sending`` with the same coder), so bytes, codec and cells are the same for all. Two have
no map: ``fixed`` (two cut-offs, exact or half resolution, cut back to the budget) and ``uniform``
(the whole scene in one quality, at one scale where it must). ``even`` finds every part of a scene
equally relevant: the codec alone decides, the strongest way to compress without knowing the prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eo_nodes.contracts.values import Region
from eo_nodes.decision.product import Cutoffs, by_cutoffs
from eo_nodes.decision.relevance import Cues, RelevanceConfig, marks, relevance_of
from eo_nodes.decision.sending import SendingConfig, plan
from eo_nodes.imaging.coder import RegionCoder
from eo_nodes.imaging.container import ProductHeader, compose, read_container
from eo_nodes.imaging.prepare import views_of
from eo_nodes.lvlm.cues import cosines, seen_of
from eo_nodes.lvlm.views import ViewTensor
from training.evaluation.mosaics import Mosaic

Array = np.ndarray
OURS, WRONG = "ours", "wrong prompt"
CUES = ("attention", "marks", "language")
BASELINES = ("fixed", "even", "uniform", "saliency", "centre", "random")
ORACLE = "oracle"
CUTOFFS = Cutoffs(cell_px=64, most=16)  # cells as of the others
# Steps of the whole scene, shares of its contrast: the finest that fits, then smaller scales.
_UNIFORM_QUALITIES = (0.0, 1 / 128, 1 / 64, 1 / 32, 1 / 16)
_ORACLE_REST = 0.01


@dataclass(frozen=True, slots=True)
class Told:
    """What the model says of one scene and prompt. cues: of the window. macs: spent on it."""

    cues: Cues
    macs: int


def views(pixels: Array, bands: tuple[str, ...], modality: str, input_px: int) -> list[ViewTensor]:
    """Overview and four zooms, as ``preprocess`` makes them."""
    height, width = pixels.shape[1:3]
    made = views_of(pixels, (0, 0, width, height), bands, overview_px=input_px, zoom=True)
    return [
        ViewTensor(
            np.frombuffer(v.data, np.dtype(v.dtype).newbyteorder("<")).reshape(
                v.frames, v.height, v.width, v.bands),
            bands, modality, (v.window[0], v.window[1], v.window[2], v.window[3]), v.kind)
        for v in made]


def ask_cues(model: Any, scene: Mosaic, prompt: str, sentence: Array | None) -> Told:
    """Cues at tap 1, before any decoding."""
    session = model.start(views(scene.pixels, scene.bands, scene.modality, model.input_size),
                          prompt, max_tokens=8)
    seen = seen_of(session, prompt, model)
    close = np.zeros((0, 0)) if sentence is None else cosines(seen.meanings, sentence)
    return Told(Cues(seen.attention, seen.boxes, seen.chances, close), session.macs)


def relevance_map(
    policy: str, scene: Mosaic, told: Told, wrong: Told, config: RelevanceConfig
) -> Array:
    """(rows, columns) of a policy that has a map.

    Raises:
        KeyError: it has none.
    """
    height, width = scene.pixels.shape[1:3]
    if policy == OURS:
        return relevance_of(told.cues, height, width, config)
    if policy == WRONG:
        return relevance_of(wrong.cues, height, width, config)
    if policy in CUES:
        alone = {name: 1.0 if name == policy else 0.0 for name in CUES}
        return relevance_of(told.cues, height, width, RelevanceConfig(**alone))
    if policy == "even":
        return np.ones((1, 1))
    if policy == "saliency":
        return _gradient(scene.pixels)
    if policy == "centre":
        y, x = (np.abs((np.arange(n) + 0.5) / n - 0.5) * 2 for n in (32, 32))
        return 1 - np.sqrt(y[:, None] ** 2 + x[None] ** 2) / np.sqrt(2)
    if policy == "random":
        seed = int(hashlib.sha256(scene.name.encode()).hexdigest()[:8], 16)
        return np.random.default_rng(seed).random((8, 8))
    if policy == ORACLE:
        boxes = scene.boxes / [width, height, width, height]
        found = marks(boxes, np.ones(len(boxes)), 64, 64, margin=0.25)
        return np.maximum(found, _ORACLE_REST)
    raise KeyError(policy)


def _gradient(pixels: Array) -> Array:
    """(32, 32) root of the gradient's energy, relative to the highest."""
    grey = pixels[0].astype(np.float64).mean(-1)
    energy = sum(g**2 for g in np.gradient(grey))
    rows, cols = (np.linspace(0, n, 33).astype(int) for n in energy.shape)
    sums = np.add.reduceat(np.add.reduceat(energy, rows[:-1], 0), cols[:-1], 1)
    area = np.diff(rows)[:, None] * np.diff(cols)[None]
    mean = np.sqrt(sums / area)
    return mean / max(float(mean.max()), 1e-9)


def coder_of(scene: Mosaic) -> RegionCoder:
    """One coder a scene: what was coded for one policy is not coded again for the next."""
    frames, height, width, bands = scene.pixels.shape
    header = ProductHeader(
        request_id=scene.name, prompt=scene.kind, modality=scene.modality,
        window=(0, 0, width, height), frames=frames, dtype=scene.pixels.dtype.name,
        band_names=scene.bands, raw_bytes=scene.pixels.nbytes)
    assert bands == len(scene.bands)
    return RegionCoder(scene.pixels, header)


def send(
    policy: str, scene: Mosaic, coder: RegionCoder, relevance: Array | None, budget: float,
    config: SendingConfig,
) -> tuple[Array, tuple[Region, ...], int]:
    """What comes down: pixels of the window, regions, bytes of the product file.

    An overview that is better than the smallest counts as a region of the whole window.
    """
    height, width = scene.pixels.shape[1:3]
    window = (0, 0, width, height)
    base = None
    if policy == "uniform":
        regions = _uniform(coder, window, budget)
    elif policy == "fixed":
        assert relevance is not None
        regions = by_cutoffs(coder, window, relevance, CUTOFFS, budget)
    else:
        assert relevance is not None
        made = plan(relevance, window, coder, budget_bytes=budget, config=config)
        regions, base = made.regions, made.base
    data = coder.product(regions, base)
    if base:
        regions = (*regions, Region(window=window, action="downsample", scale=base[0]))
    return compose(read_container(data)), regions, len(data)


def _uniform(
    coder: RegionCoder, window: tuple[int, ...], budget: float
) -> tuple[Region, ...]:
    """The whole window in the finest quality that fits, else at the largest scale that does."""
    steps = [f"htj2k/{float(f'{q * coder.contrast:.3g}'):g}" if q * coder.contrast else ""
             for q in _UNIFORM_QUALITIES]
    for step in steps:
        region = Region(window=window, action="keep", scale=1.0, codec=step)
        if coder.size((region,)) <= budget:
            return (region,)
    low, high, best = 0.0, 1.0, Region(window=window, action="drop")
    for _ in range(9):
        middle = (low + high) / 2
        region = Region(window=window, action="downsample", scale=middle, codec=steps[-1])
        if coder.size((region,)) <= budget:
            low, best = middle, region
        else:
            high = middle
    return (best,)


def sentences(texts: Sequence[str]) -> dict[str, Array]:
    """Prompt -> vector of the language space; empty where the encoder is not installed."""
    from eo_nodes.contracts.errors import ModelError
    from eo_nodes.lvlm.text_space import TextEncoder
    try:
        vectors = TextEncoder().embed_text(list(texts))
    except ModelError:
        return {}
    return dict(zip(texts, vectors, strict=True))
