"""The visual tokens of one request, from what the vision graph sees of each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from eo_nodes.lvlm.proposals import Proposals, keep, merge
from eo_nodes.lvlm.runtime import CancelFlag
from eo_nodes.lvlm.sight import CELL_PX, Picture, SightFeed
from eo_nodes.lvlm.slis import BINS
from eo_nodes.lvlm.tap_features import evidence_of
from eo_nodes.lvlm.visual_prompts import VisualPrompt, extent, rasterise

if TYPE_CHECKING:
    from eo_nodes.lvlm.unified import UnifiedModel

Float = NDArray[np.float32]
Window = tuple[float, float, float, float]
FEW_CELLS = 3
"""Cell tokens a side of each picture where there are more than two."""
ZOOM_CELLS = 2
LATE_ZOOM_SHARE = 0.75
"""Of the input's side, for zooms that tap 1 called for: with them the prompt runs twice, and the
whole still keeps to the compute of zooms that were there from the start."""
FEW_REGIONS = 10
MOST_PROMPTS = 8
_WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class See:
    """Outputs of the vision graph for N pictures, mostly one; see ``training.decoder.graphs``.

    Attributes:
        cells: (N, T, width). chances: (N, n). meaning: (N, 384). totals: (N, K).
        score: (N, n). boxes: (N, n, 4). kinds: (N, n, K). look: (N, n, depth).
        pixel: (N, depth, H/4, W/4). cell_meaning: (N, cells, 384).
    """

    cells: Float
    chances: Float
    meaning: Float
    totals: Float
    score: Float
    boxes: Float
    kinds: Float
    look: Float
    pixel: Float
    cell_meaning: Float

    def each(self) -> list[See]:
        """One of each picture."""
        values = [getattr(self, f.name) for f in fields(self)]
        return [See(*(v[i : i + 1] for v in values)) for i in range(len(self.pixel))]

    def proposals(self) -> Proposals:
        """As values of the picture's own coordinates."""
        return Proposals(self.score[0], self.boxes[0], self.kinds[0], self.look[0])


@dataclass(frozen=True, slots=True)
class Scene:
    """What the decoder and the pixel module get.

    Attributes:
        visual: (1, V, width). grid: rows and columns of the first image's cells, which come first.
        maps: pixel map of each image. change: pixel map of the change, if there are two dates.
        closer: pixel maps of the zooms into each image, with their windows x0, y0, w, h.
        regions: proposals kept of each image. macs: of the vision graph.
        offered: of each image, the row of its first proposal among the visual tokens and the boxes
            (R, 4) of the R proposals that are shown there.
        evidence: (n,) what the vision heads say of the images; see ``tap_features``.
        seen: what each overview gave, to lay it out again with zooms.
    """

    visual: Float
    grid: tuple[int, int]
    maps: tuple[Float, ...]
    closer: tuple[tuple[tuple[Float, Window], ...], ...]
    change: Float | None
    regions: tuple[Proposals, ...]
    offered: tuple[tuple[int, Float], ...]
    macs: int
    evidence: Float
    seen: tuple[tuple[SightFeed, See], ...]


def assemble(
    model: UnifiedModel, pictures: Sequence[Picture], places: Sequence[VisualPrompt],
    cancel: CancelFlag | None, before: Scene | None = None,
) -> Scene:
    """See every picture once and lay out its tokens: image by image, zooms behind their image.

    before: a scene of the same overviews without zooms; they are not seen again.
    """
    overviews = [p for p in pictures if p.kind == "overview"]
    few = FEW_CELLS if len(overviews) > 2 else None
    tokens: list[Float] = []
    maps: list[Float] = []
    closer: list[tuple[tuple[Float, Window], ...]] = []
    regions: list[Proposals] = []
    offered: list[tuple[int, Float]] = []
    chances: list[Float] = []
    totals: list[Float] = []
    all_seen: list[tuple[SightFeed, See]] = []
    macs, grid = 0, (0, 0)
    longest = model.input_size if before is None else round(LATE_ZOOM_SHARE * model.input_size)
    for index, picture in enumerate(overviews):
        feed, seen = before.seen[index] if before else model.look_at(picture, few, cancel)
        all_seen.append((feed, seen))
        near = [p for p in pictures if p.kind == "zoom" and p.image == picture.image]
        closest = model.look_closer(near, ZOOM_CELLS, longest, cancel)
        macs += sum(_macs(model, f) for f, _ in [*([] if before else [(feed, seen)]), *closest])
        zooms = [(zoom, close) for zoom, (_, close) in zip(near, closest, strict=True)]
        parts = [(seen.proposals(), _WHOLE), *((c.proposals(), z.window) for z, c in zooms)]
        found = keep(merge(parts))
        shown = found.best(FEW_REGIONS) if few else found
        asked = [p for p in places if p.image == picture.image]
        tokens += [seen.cells, *(c.cells for _, c in zooms)]
        inputs = scene_inputs(seen, shown, found.counts(), asked, feed.tags)
        tokens.append(model.write_scene(inputs, cancel))
        rows = sum(t.shape[1] for t in tokens)      # the last are proposals, then places asked for
        offered.append((rows - len(shown.score) - len(asked), shown.boxes))
        maps.append(seen.pixel)
        closer.append(tuple((c.pixel, z.window) for z, c in zooms))
        regions.append(found)
        chances.append(seen.chances)
        totals.append(seen.totals)
        grid = grid if picture is not overviews[0] else feed.grid
    change = None
    if len(maps) == 2 and overviews[0].frame != overviews[1].frame and (
            maps[0].shape == maps[1].shape):
        change, pair = model.compare(maps[0], maps[1], cancel)
        tokens.append(pair)
    return Scene(np.concatenate(tokens, axis=1), grid, tuple(maps), tuple(closer), change,
                 tuple(regions), tuple(offered), macs, evidence_of(chances, totals, regions),
                 tuple(all_seen))


def mask_logits(scene: Scene, image: int, query: Float) -> Float:
    """(rows, cols) query . pixel over a whole image, or over the change of two dates.

    Where zooms see the image finer, the grid is as fine as the finest of them, within what a mask
    can say, and their values stand in their windows.
    """
    if scene.change is not None:
        return _dot(query, scene.change)
    rows, cols = scene.maps[image].shape[2:]
    closer = scene.closer[image]
    finer = max((c.shape[2] / (w[3] * rows) for c, w in closer), default=1.0)
    factor = min(max(1, round(finer)), (BINS - 1) // max(rows, cols))
    out = np.kron(_dot(query, scene.maps[image]), np.ones((factor, factor), np.float32))
    rows, cols = out.shape
    for pixel, (x, y, w, h) in closer if factor > 1 else ():
        left, top, right, bottom = (round(v) for v in (x * cols, y * rows, (x + w) * cols,
                                                       (y + h) * rows))
        if right > left and bottom > top:
            out[top:bottom, left:right] = cv2.resize(
                _dot(query, pixel), (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out, np.float32)


def _dot(query: Float, pixel: Float) -> Float:
    return np.asarray(np.einsum("d,dhw->hw", query, pixel[0]), np.float32)


def _macs(model: UnifiedModel, feed: SightFeed) -> int:
    c = model.config
    macs = c.vision_macs_per_cell * feed.pool.shape[1]
    if c.coarse is not None and feed.coarse is not None:
        rows, cols = (side // CELL_PX for side in feed.coarse.shape[2:])
        macs += c.coarse.vision_macs_per_cell * rows * cols
    return int(macs)


def scene_inputs(
    seen: See, found: Proposals, counts: Float, places: Sequence[VisualPrompt],
    tags: NDArray[np.int64],
) -> Mapping[str, NDArray[Any]]:
    """Inputs of the scene graph: proposals in reading order, then the places asked for.

    counts: (K,) of all proposals, shown as regions or not.
    """
    kinds, depth = found.kinds.shape[1], found.look.shape[1]
    rows, cols = seen.pixel.shape[2:]
    boxes, look = [found.boxes], [found.look]
    for place in places:
        weight = rasterise(place, _WHOLE, rows, cols)
        mean = (seen.pixel[0] * weight).sum((1, 2)) / max(float(weight.sum()), 1e-6)
        boxes.append(np.array([extent(place)], np.float32))
        look.append(mean.reshape(1, depth).astype(np.float32))
    n, extra = len(found.score), len(places)
    return {
        "chances": seen.chances, "meaning": seen.meaning, "totals": seen.totals,
        "peaks": counts[None], "boxes": np.concatenate(boxes)[None],
        "look": np.concatenate(look)[None],
        "kinds": np.concatenate([found.kinds, np.zeros((extra, kinds), np.float32)])[None],
        "score": np.concatenate([found.score, np.ones(extra, np.float32)])[None],
        "is_prompt": np.concatenate([np.zeros(n), np.ones(extra)]).astype(np.float32)[None],
        "rank": np.concatenate([np.arange(n), np.zeros(extra)]).astype(np.int64)[None],
        "tags": tags,
    }
