"""Scenes for the regions measurement: mosaics of real chips of one kind of sensor.

A scene is a grid of chips of one set, cut to one size and laid side by side; nothing is drawn or
rescaled. It is 2 x 2 by default, as large as what the model on board looks at near the chips' own
sampling (an overview and its four quarters); in 3 x 3 it sees everything half as large or less. Of
its chips a quarter (of 3 x 3 a third) hold the named kind; the others were searched for that kind
by the set's annotators and hold none (they are empty or hold other kinds). Where a set has too few
such chips (every val picture of trees or aircraft has some), pictures of ``ucm_multilabel`` fill
up, which are aerial colour pictures as well and labelled for the kind's absence; several lie side
by side in the place of one chip. Without them the task would be to tell full from full.

Fairness, in both directions. A quarter of 2 x 2 is one chip, and each quarter is one look of the
model. The named kind is in a quarter of the area, not in a twentieth, and its instances are spread
over it, so a score per chip is not enough; an oracle that knows the boxes shows what can be had.
Fillers differ in look from the own chips, which helps a policy that knows looks (none of the
policies learns from these scenes). Chips come again in other scenes of a kind when there are few;
scenes, not chips, are drawn for intervals, so those of small sets are too narrow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluation.sets import modality_of
from training.instruct.nouns import UCM_THINGS, belongs, groups_of, kind_of
from training.instruct.sources import Library, Sample

Array = np.ndarray
NAMES = ("hit_uav", "objects_rgb", "trees", "s2_ships", "sar_ships", "aerial_video")
FILLER = "ucm_multilabel"
# What is asked for, and the label of the filler that says it is there.
_FILLER_LABEL = {"aircraft": "airplane", "vehicle": "cars", "ship": "ship", "tree": "trees"}
ASKED = ("vehicle", "person", "bicycle", "aircraft", "ship", "tree")
GRID = 2
_LEAST_SIDE_PX = 192
_LEAST_INSIDE = 0.5  # of a box's area that a cut chip must still hold


@dataclass(frozen=True, slots=True)
class Mosaic:
    """One scene.

    Attributes:
        name: set, kind and number, a "b" behind it without the kind. set_name, kind: what it is of,
            and what is asked for.
        pixels: (1, H, W, C). bands, modality: as the chips have them.
        boxes: (n, 4) x1 y1 x2 y2 px of the named kind, perhaps none.
        others: kinds elsewhere in the scene.
        chips: keys of what it is made of, fillers included.
    """

    name: str
    set_name: str
    kind: str
    pixels: Array
    bands: tuple[str, ...]
    modality: str
    boxes: Array
    others: tuple[str, ...]
    chips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Chip:
    key: str
    boxes: tuple[tuple[str, tuple[float, float, float, float]], ...]
    sample: Sample | None


def _order(key: str) -> str:
    return hashlib.sha256(f"mosaic:{key}".encode()).hexdigest()


def _chip(sample: Sample) -> _Chip:
    labels, boxes = sample.facts.get("box_labels", []), sample.facts.get("boxes", [])
    found = [(kind_of(label), (x, y, x + w, y + h))
             for label, (x, y, w, h) in zip(labels, boxes, strict=True)]
    return _Chip(sample.key, tuple((k, b) for k, b in found if k), sample)


def _source(sample: Sample) -> str:
    return str(sample.facts.get("source", ""))


def mosaics(
    library: Library, name: str, split: str, *, most: int, grid: int = GRID,
    is_bare: bool = False,
) -> list[Mosaic]:
    """Scenes of one set, at most ``most`` for each source and kind; the same on every machine.

    grid: chips a side. is_bare: of chips without the kind alone, as many as there are with it: what
    a question whether there is any must be answered no on.
    """
    chips = library.samples(name, split)
    made: list[Mosaic] = []
    for source in sorted({_source(s) for s in chips}):
        group = [s for s in chips if _source(s) == source]
        shapes = {s.key: library.pixels(s).shape for s in group}
        group = [s for s in group if min(shapes[s.key][:2]) >= _LEAST_SIDE_PX]
        if not group:
            continue
        size = tuple(min(shapes[s.key][axis] for s in group) for axis in (0, 1))
        for kind in ASKED:
            if any(kind in groups_of(name, s.facts) for s in group):
                made += _of_kind(library, group, kind, size, split, most, (grid, grid), is_bare)
    return made


def _of_kind(
    library: Library, group: Sequence[Sample], kind: str, size: tuple[int, ...], split: str,
    most: int, grid: tuple[int, int], is_bare: bool,
) -> list[Mosaic]:
    chips = [_chip(s) for s in group if kind in groups_of(s.set_name, s.facts)]
    full = [c for c in chips if _named(c, kind, size)]
    empty = [c for c in chips if not any(belongs(k, kind) for k, _ in c.boxes)]
    count = grid[0] * grid[1]
    wanted = 0 if is_bare else max(1, count // 3)
    set_name = group[0].set_name
    fillers = _fillers(library, kind, split, library.pixels(group[0]).shape)
    made: list[Mosaic] = []
    scenes = min(most, len(full)) if len(empty) + len(fillers) else 0
    for number in range(scenes):
        seed = f"{set_name}/{kind}/{_source(group[0])}{'/bare' * is_bare}/{number}"
        some = _pick(full, seed, min(wanted, len(full)), number * wanted)
        rest = _pick(empty, seed, min(len(empty), count - len(some)), number * (count - wanted))
        parts = [*some, *rest]
        while len(parts) < count and fillers:
            parts.append(_Chip(f"filler:{seed}:{len(parts)}", (), None))
        if len(parts) == count:
            parts.sort(key=lambda c: _order(seed + c.key))
            name = f"{number}{'b' * is_bare}"
            made.append(_lay(library, group[0], kind, parts, size, grid, fillers, name))
    return made


def _pick(chips: Sequence[_Chip], seed: str, count: int, start: int) -> list[_Chip]:
    """``count`` chips, each one once before any comes again in a later scene."""
    ordered = sorted(chips, key=lambda c: _order(seed.rsplit("/", 1)[0] + c.key))
    return [ordered[(start + i) % len(ordered)] for i in range(count)] if ordered else []


def _fillers(library: Library, kind: str, split: str, shape: tuple[int, ...]) -> list[Sample]:
    label = _FILLER_LABEL.get(kind)
    if FILLER not in library.names or shape[2] != 3 or label is None:
        return []
    assert label in UCM_THINGS
    return [s for s in library.samples(FILLER, split) if label not in s.facts["objects"]]


def _named(chip: _Chip, kind: str, size: Sequence[int]) -> list[tuple[float, ...]]:
    """Boxes of a kind that lie in the chip once it is cut to ``size``, cut with it."""
    out = []
    for found, (x1, y1, x2, y2) in chip.boxes:
        a, b, c, d = max(x1, 0), max(y1, 0), min(x2, size[1]), min(y2, size[0])
        is_in = c > a and d > b and (c - a) * (d - b) >= _LEAST_INSIDE * (x2 - x1) * (y2 - y1)
        if belongs(found, kind) and is_in:
            out.append((a, b, c, d))
    return out


def _lay(
    library: Library, first: Sample, kind: str, parts: Sequence[_Chip], size: tuple[int, ...],
    grid: tuple[int, int], fillers: Sequence[Sample], number: str,
) -> Mosaic:
    height, width = size
    like = library.pixels(first)
    pixels = np.zeros((grid[0] * height, grid[1] * width, like.shape[2]), like.dtype)
    boxes: list[tuple[float, ...]] = []
    others: set[str] = set()
    keys: list[str] = []
    for place, chip in enumerate(parts):
        y, x = place // grid[1] * height, place % grid[1] * width
        if chip.sample is None:
            block, used = _filled(library, fillers, chip.key, height, width)
            keys += used
        else:
            block = library.pixels(chip.sample)[:height, :width]
            keys.append(chip.key)
        pixels[y : y + height, x : x + width] = block
        boxes += [(a + x, b + y, c + x, d + y) for a, b, c, d in _named(chip, kind, size)]
        others |= {k for k, _ in chip.boxes if not belongs(k, kind)}
    values = pixels.astype(np.float32) if pixels.dtype == np.float16 else pixels
    source = f".{_source(first)}" if _source(first) else ""
    return Mosaic(
        f"{first.set_name}{source}.{kind}.{number}", first.set_name, kind, values[None],
        first.bands, modality_in_scene(first), np.array(boxes, np.float64).reshape(-1, 4),
        tuple(sorted(others)), tuple(keys))


def modality_in_scene(sample: Sample) -> str:
    """As the set's; one frame of a video is an optical picture."""
    found = modality_of(sample.set_name, sample.bands)
    return "optical" if found == "video" else found


def _filled(
    library: Library, fillers: Sequence[Sample], key: str, height: int, width: int
) -> tuple[Array, list[str]]:
    """(height, width, 3) of filler pictures side by side."""
    ordered = sorted(fillers, key=lambda s: _order(key + s.key))
    side = library.pixels(ordered[0]).shape[0]
    rows, cols = -(-height // side), -(-width // side)
    used = [ordered[i % len(ordered)] for i in range(rows * cols)]
    lines = [np.concatenate([library.pixels(s) for s in used[r * cols : (r + 1) * cols]], 1)
             for r in range(rows)]
    return np.concatenate(lines)[:height, :width], [s.key for s in used]
