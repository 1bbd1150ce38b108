"""Cells that show a mechanism: regions in a prompt, words and places as each other's inverse,
points, several sensors, captions of change and video.

Where no real set labels it, the synthetic world does. Two questions are asked on one picture where
the second follows the first (``asks.Ask.follow``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from eo_nodes.lvlm import slis, spatial_metrics
from eo_nodes.lvlm.infer import ImageInput
from training.evaluation import metrics, readers
from training.evaluation.asks import Ask, grounding_of, scene_class
from training.evaluation.cells import (
    TEXT,
    Cell,
    Score,
    caption_note,
    caption_scores,
    each,
    exact,
)
from training.evaluation.exams import (
    DATES,
    MEAN_IOU,
    POINTS,
    SENSORS,
    VIDEO,
    WORLD,
    Exam,
    cell,
    instructions,
    score,
    values,
)
from training.evaluation.metrics import ACCURACY, CIDER
from training.evaluation.sets import Sample
from training.instruct.records import Instruction
from training.instruct.sources import Library

Vector = np.ndarray
_VISIBLE = ("red", "green", "blue")
# Real sets whose objects have boxes, and how their pictures were taken.
BOXED = {"objects_rgb": "optical", "hit_uav": "infrared", "s2_ships": "multispectral",
         "aerial_video": "video"}


# -- describe a region, ground the description ----------------------------------------------------


def _ask_inverse(exam: Exam) -> list[Ask]:
    """Truth: (box of the region, the annotators' description of it)."""
    i = exam.instruction
    (region,) = values(i.prompt, slis.Box)[:1]
    return [Ask(f"{exam.id}#0", exam, i.prompt, (region, i.answer), i.modality,
                follow=grounding_of)]


def region_iou(region: slis.Box, said: str) -> float:
    """IoU of the first box of the last answer with the region, [0, 1]; none counts as 0."""
    found = values(said.rsplit("\n", 1)[-1], slis.Box)
    if not found or found[0].image != region.image:
        return 0.0
    edges = [slis.box_xyxy(b) for b in (found[0], region)]
    return float(spatial_metrics.box_iou(edges[:1], edges[1:])[0, 0])


def _inverse_hit(ask: Ask, said: str) -> Vector:
    return metrics.right(region_iou(ask.truth[0], said) >= 0.5)


def _inverse_iou(ask: Ask, said: str) -> Vector:
    return np.array([region_iou(ask.truth[0], said), 1.0])


def _distinct(some: Sequence[Ask], said: Sequence[str]) -> str:
    """How many different descriptions were given, and how many are the annotators'."""
    first = [s.split("\n")[0] for s in said]
    same = sum(readers.plain(f) == readers.plain(a.truth[1])
               for f, a in zip(first, some, strict=True))
    return f"{len(set(first))} descriptions, {100 * same / len(first):.0f} % as annotated"


def _inverse(name: str, modality: str) -> Cell:
    made = cell(f"{name}.inverse", "referring", modality, ("expression",), [
        replace(score("describe and find again, IoU >= 0.5", ACCURACY, each(_inverse_hit)),
                note=_distinct),
        score("describe and find again, mean IoU", MEAN_IOU, each(_inverse_iou))], POINTS)
    return replace(made, ask=_ask_inverse, controls=("true_expression", "no_description"))


# -- the same question with and without a region --------------------------------------------------


class Pair(Exam):
    """One question in a region; ``whole``: the same question on the whole image."""

    def __init__(self, inside: Instruction, whole: Instruction, library: Library) -> None:
        super().__init__(inside, library)
        self.whole = whole


def pairs_of(set_name: str) -> Callable[[Library, str, int], list[Pair]]:
    """Samples: the builder's pairs whose true answers differ."""

    def of(library: Library, split: str, limit: int) -> list[Pair]:
        parts: dict[str, dict[str, Instruction]] = {}
        for i in instructions(library, set_name, split, "count", limit):
            if i.targets.pair and i.kind in ("count_in", "count_whole"):
                parts.setdefault(i.targets.pair, {})[i.kind] = i
        return [Pair(p["count_in"], p["count_whole"], library) for p in parts.values()
                if len(p) == 2 and p["count_in"].answer != p["count_whole"].answer]

    return of


def _ask_pair(pair: Pair) -> list[Ask]:
    inside, whole = pair.instruction, pair.whole
    return [Ask(f"{pair.id}#0", pair, inside.prompt, (inside.answer, whole.answer),
                inside.modality, follow=lambda said: whole.prompt)]


def both_of(said: str) -> tuple[str, str]:
    """The two answers of a pair."""
    first, _, second = said.partition("\n")
    return first, second


def _both_right(ask: Ask, said: str) -> Vector:
    return metrics.right(all(readers.plain(s) == readers.plain(t)
                             for s, t in zip(both_of(said), ask.truth, strict=True)))


def _differ(ask: Ask, said: str) -> Vector:
    first, second = map(readers.plain, both_of(said))
    return metrics.right(bool(first and second) and first != second)


def _fewer(ask: Ask, said: str) -> Vector:
    """A region holds fewer than the whole image: the only order that can be right."""
    first, second = both_of(said)
    return metrics.right(bool(first and second) and readers.number(first) < readers.number(second))


def _pairs(name: str, modality: str) -> Cell:
    made = cell(f"{name}.region", "referring", modality, (), [
        score("with and without region, both right", ACCURACY, each(_both_right)),
        score("with and without region, answers differ", ACCURACY, each(_differ)),
        score("with and without region, fewer in it", ACCURACY, each(_fewer))], POINTS)
    return replace(made, ask=_ask_pair, source=pairs_of(name))


# -- points --------------------------------------------------------------------------------------


def _ask_point(exam: Exam) -> list[Ask]:
    """Truth: the box of the object whose centre is the true point, (x1, y1, x2, y2), 0..1."""
    i = exam.instruction
    (point,) = values(i.answer, slis.Point)[:1]
    x, y = slis.point_xy(point)
    boxes = [b[1:] for b in i.targets.boxes]
    own = min(boxes, key=lambda b: (((b[0] + b[2]) / 2 - x) ** 2 + ((b[1] + b[3]) / 2 - y) ** 2))
    return [Ask(f"{exam.id}#0", exam, i.prompt, own, i.modality)]


def point_hit(ask: Ask, said: str) -> Vector:
    """Whether the first point lies in the true box."""
    found = values(said, slis.Point)
    if not found or found[0].image:
        return metrics.right(False)
    x, y = slis.point_xy(found[0])
    x1, y1, x2, y2 = ask.truth
    return metrics.right(x1 <= x <= x2 and y1 <= y <= y2)


def _points(name: str, modality: str) -> Cell:
    made = cell(f"{name}.point", "grounding", modality, ("point",),
                [score("point on the object", ACCURACY, each(point_hit))], POINTS)
    return replace(made, ask=_ask_point)


# -- sensors -------------------------------------------------------------------------------------


class SplitSample(Sample):
    """A picture of many bands as two images of one place: the visible bands, and all others."""

    @property
    def images(self) -> tuple[ImageInput, ...]:
        """Visible as optical, the others as multispectral."""
        (image,) = super().images
        visible = [i for i, band in enumerate(image.bands)
                   if any(nm in band for nm in (" 665", " 560", " 490"))]
        others = [i for i in range(len(image.bands)) if i not in visible]
        return tuple(ImageInput(image.values[..., of], tuple(image.bands[i] for i in of), modality)
                     for of, modality in ((visible, "optical"), (others, "multispectral")))


def split_samples(library: Library, split: str, limit: int) -> list[SplitSample]:
    """Samples of eurosat_ms, each as two sensors."""
    return [SplitSample(library, s) for s in library.samples("eurosat_ms", split)]


# -- captions ------------------------------------------------------------------------------------


def _ask_caption(exam: Exam) -> list[Ask]:
    """Truth: the reference captions."""
    i = exam.instruction
    return [Ask(f"{exam.id}#0", exam, i.prompt, list(i.targets.references) or [i.answer],
                i.modality)]


def _caption_right(ask: Ask, said: str) -> Vector:
    return metrics.right(readers.plain(said) in map(readers.plain, ask.truth))


def _caption(
    name: str, task: str, modality: str, kind: str, needs: frozenset[str], marks: tuple[str, ...],
    request: str = "",
) -> Cell:
    what = name.split(".")[1].replace("_", " ")
    made = cell(name, task, modality, (kind,), [
        Score(what, CIDER, caption_scores, is_clustered=True, note=caption_note, marks=marks),
        Score(f"{what}, word by word", ACCURACY, each(_caption_right), is_clustered=True,
              marks=marks)], needs, request=request, max_tokens=40)
    return replace(made, ask=_ask_caption)


def table() -> list[Cell]:
    """All of them."""
    any_sensor = "any sensor"
    boxed = list(BOXED.items())
    moving = ("clustered", "captions written from boxes")
    drawn = ("captions written from masks",)
    return [
        _inverse(WORLD, any_sensor), *(_inverse(n, m) for n, m in boxed if n == "objects_rgb"),
        *(_pairs(n, m) for n, m in [(WORLD, any_sensor), *boxed, ("trees", "optical")]),
        *(_points(n, m) for n, m in [(WORLD, any_sensor), *boxed]),
        Cell("eurosat_ms.fused", "classification", "fusion", scene_class,
             (Score("class by two sensors", ACCURACY, exact, majority=11.2, probe=60.2,
                    regular="best sensor", compact="best sensor"),),
             needs=SENSORS, controls=("first_sensor", "second_sensor"), source=split_samples),
        _caption("change_pairs.change_caption", "change", "temporal", "caption", DATES, drawn),
        _caption("world.change_caption", "change", "temporal", "caption", DATES, ()),
        _caption("aerial_video.video_caption", "temporal", "video", "caption", VIDEO, moving),
        _caption("world.video_caption", "temporal", "video", "caption", VIDEO, (), "video"),
        _caption("world.inventory", "caption", any_sensor, "inventory", TEXT, ()),
    ]
