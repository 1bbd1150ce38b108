"""Cells whose questions come from the instruction builder: the synthetic world, and grounding and
referring on real boxes.

The builder's split is asked as it is: real sets without augmentation, the world on scenes whose
numbers and nuisance ranges training never sees; yes/no and counts balanced, wordings drawn with a
fixed seed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from eo_nodes.lvlm import slis, spatial_metrics
from eo_nodes.lvlm.infer import ImageInput
from training.evaluation import metrics, readers
from training.evaluation.asks import Ask
from training.evaluation.cells import TEXT, Cell, Score, each, exact
from training.evaluation.metrics import ACCURACY, F1, MAE, Metric
from training.instruct.builder import instructions_of, load_images, load_mask
from training.instruct.records import Instruction
from training.instruct.sources import Library
from training.instruct.world.stream import stream as world_stream

WORLD = "world"
SCENES = 400
MEAN_IOU = Metric("iou", metrics.ACCURACY.value)
PLACES, POINTS = frozenset({"text", "places"}), frozenset({"text", "places", "visual_prompts"})
VIDEO, SENSORS = frozenset({"text", "video"}), frozenset({"text", "sensors"})
DATES = frozenset({"text", "dates"})
# A phrase names one object: by itself, by its place, by a neighbour.
BOXES = ("box", "box_only", "box_superlative", "box_nearest", "box_relation")


class Exam:
    """One instruction as the runner takes a sample; pixels and mask are made when looked at."""

    def __init__(self, instruction: Instruction, library: Library) -> None:
        self.instruction, self._library = instruction, library
        self.set_name, self.id = instruction.set, instruction.id
        self.cluster = instruction.targets.scene or instruction.id
        self.facts: dict = {}

    @property
    def images(self) -> tuple[ImageInput, ...]:
        """Images in the order of the request."""
        i = self.instruction
        found = load_images(i, self._library.data)
        return tuple(ImageInput(values[None], bands, ref.modality)
                     for (values, bands, *_), ref in zip(found, i.images, strict=True))

    @property
    def mask(self) -> np.ndarray:
        """(H, W) uint8: 1 to segment, 0 not, 255 without a label."""
        return load_mask(self.instruction.targets.mask, self._library.data)


@functools.lru_cache(maxsize=4)
def _world(split: str, scenes: int) -> tuple[Instruction, ...]:
    return tuple(world_stream(split, 0, 0, scenes, shuffled=False))


def source(
    set_name: str, task: str, kinds: Iterable[str], modality: str = ""
) -> Callable[[Library, str, int], list[Exam]]:
    """Samples of one task and its kinds; modality: of the request, "" for any but fusion."""
    wanted = frozenset(kinds)

    def of(library: Library, split: str, limit: int) -> list[Exam]:
        if set_name == WORLD:
            # A small draw needs no large world.
            scenes = min(SCENES, 40 + limit) if limit else SCENES
            made: Iterable[Instruction] = _world(split, scenes)
        else:
            made = instructions_of(library, set_name, split, 0, 0, tasks=(task,), augment=False)
        return [Exam(i, library) for i in made if i.task == task and i.kind in wanted
                and (i.modality == modality if modality else i.modality != "fusion")]

    return of


def _ask(exam: Exam) -> list[Ask]:
    """The instruction's prompt; truth: its answer, and the exam for masks."""
    i = exam.instruction
    height, width = exam.images[0].values.shape[1:3]
    return [Ask(f"{exam.id}#0", exam.id, exam.cluster, i.prompt, i.answer, (height, width),
                i.modality)]


def _ask_mask(exam: Exam) -> list[Ask]:
    (ask,) = _ask(exam)
    mask = exam.mask
    ask.truth, ask.size = (mask == 1, mask != 255), mask.shape
    return [ask]


def _values(text: str, kind: type) -> list:
    return [v for v in readers.values_of(text) if isinstance(v, kind)]


def _box_hit(ask: Ask, said: str) -> np.ndarray:
    """P@0.5: the first box said overlaps the true one, on the same image."""
    (true,), found = _values(ask.truth, slis.Box)[:1], _values(said, slis.Box)
    if not found or found[0].image != true.image:
        return metrics.right(False)
    edges = slis.box_xyxy(found[0]), slis.box_xyxy(true)
    return metrics.right(spatial_metrics.box_iou(edges[:1], edges[1:])[0, 0] >= 0.5)


def _corners(text: str, size: tuple[int, int]) -> np.ndarray:
    """(N, 4, 2) corners of oriented boxes in pixels."""
    height, width = size
    found = [slis.oriented_corners(v, (width, height)) * (width, height)
             for v in _values(text, slis.OrientedBox)]
    return np.array(found).reshape(-1, 4, 2)


def _oriented_hit(ask: Ask, said: str) -> np.ndarray:
    true, found = _corners(ask.truth, ask.size)[:1], _corners(said, ask.size)[:1]
    return metrics.right(len(found) > 0
                         and spatial_metrics.oriented_iou(found, true)[0, 0] >= 0.5)


def _oriented_matches(ask: Ask, said: str) -> np.ndarray:
    ious = spatial_metrics.oriented_iou(_corners(said, ask.size), _corners(ask.truth, ask.size))
    counts = spatial_metrics.detections(ious, 0.5)
    return np.array([counts.hits, counts.extra, counts.missed], float)


def _mean_overlap(ask: Ask, said: str) -> np.ndarray:
    common, whole = metrics.mask_overlap(readers.mask_of(said, ask.size), *ask.truth)
    return np.array([common / whole if whole else 1.0, 1.0])


_boxes = each(lambda a, s: metrics.match_boxes(
    readers.boxes_of(s, a.size), readers.boxes_of(a.truth, a.size), 0.5))
_number = each(lambda a, s: metrics.error(readers.number(s), readers.number(a.truth)))


def _cell(
    name: str, task: str, modality: str, kinds: Sequence[str], scores: Sequence[Score],
    needs: frozenset[str] = TEXT, *, asked: str = "", request: str = "", max_tokens: int = 24,
) -> Cell:
    set_name = name.split(".")[0]
    is_mask = any(score.metric is MEAN_IOU for score in scores)
    return Cell(
        name, task, modality, _ask_mask if is_mask else _ask, tuple(scores), needs,
        max_tokens=max_tokens, domain="synthetic" if set_name == WORLD else "real",
        source=source(set_name, asked or task, kinds, request),
    )


def _score(
    kind: str, metric: Metric, vectors, regular: float | None = None,
    compact: float | None = None, per_tag: bool = False,
) -> Score:
    return Score(kind, metric, vectors, is_clustered=True, regular=regular, compact=compact,
                 per_tag=per_tag)


def table() -> list[Cell]:
    """Cells of the world, then of real sets with boxes."""
    hit, oriented = each(_box_hit), each(_oriented_hit)
    overlap = each(_mean_overlap)
    any_sensor, boxes = "any sensor", 256
    world = [
        _cell("world.vqa", "vqa", any_sensor, ("presence", "comp", "area", "day"),
              [_score("questions", ACCURACY, exact, 85, 70, per_tag=True)]),
        _cell("world.class", "classification", any_sensor, ("class", "is_class"),
              [_score("classes", ACCURACY, exact)]),
        _cell("world.count", "count", any_sensor, ("count", "count_whole"),
              [_score("counts", ACCURACY, exact), _score("counts", MAE, _number)]),
        _cell("world.fused_count", "count", "fusion", ("count",),
              [_score("counts by two sensors", ACCURACY, exact)], SENSORS, request="fusion"),
        _cell("world.grounding", "grounding", any_sensor, BOXES,
              [_score("grounding, P@0.5", ACCURACY, hit, 70, 55, per_tag=True)], PLACES),
        _cell("world.oriented", "grounding", any_sensor, ("oriented",),
              [_score("oriented grounding, P@0.5", ACCURACY, oriented)], PLACES),
        _cell("world.boxes", "count", any_sensor, ("detect",),
              [_score("boxes, IoU 0.5", F1, _boxes)], PLACES, max_tokens=boxes),
        _cell("world.oriented_boxes", "count", any_sensor, ("detect_oriented",),
              [_score("oriented boxes, IoU 0.5", F1, each(_oriented_matches))], PLACES,
              max_tokens=boxes),
        _cell("world.area", "segmentation", any_sensor, ("named", "phrase", "at_prompt"),
              [_score("areas, mean IoU", MEAN_IOU, overlap, 60, 45, per_tag=True)], POINTS,
              max_tokens=boxes),
        _cell("world.refer", "referring", any_sensor, ("what", "cover"),
              [_score("what is there", ACCURACY, exact)], POINTS),
        _cell("world.change", "change", "temporal", ("changed", "event", "new_count"),
              [_score("change questions", ACCURACY, exact)], DATES),
        _cell("world.change_area", "change", "temporal", ("segment",),
              [_score("changed area, mean IoU", MEAN_IOU, overlap)], PLACES | DATES,
              max_tokens=boxes),
        _cell("world.dates", "temporal", "temporal", ("crop", "first_image", "season", "span"),
              [_score("series of dates", ACCURACY, exact)], VIDEO | POINTS, request="temporal"),
        _cell("world.video", "temporal", "video",
              ("count_frame", "direction", "is_moving", "moving", "span"),
              [_score("video questions", ACCURACY, exact)], VIDEO | POINTS, request="video"),
        _cell("world.track", "temporal", "video", ("track",),
              [_score("track to a frame, P@0.5", ACCURACY, hit)], VIDEO | POINTS),
    ]
    grounding = [
        _cell(f"{name}.grounding", "grounding", modality, BOXES,
              [_score("grounding, P@0.5", ACCURACY, hit)], PLACES)
        for name, modality in (("objects_rgb", "optical"), ("hit_uav", "infrared"),
                               ("s2_ships", "multispectral"), ("aerial_video", "video"))
    ]
    referring = [
        _cell(f"{name}.refer", "referring", modality, (kind,),
              [_score("what is there", ACCURACY, exact)], POINTS)
        for name, modality, kind in (("objects_rgb", "optical", "what"),
                                     ("hit_uav", "infrared", "what"),
                                     ("flood_s1", "sar", "cover"))
    ]
    return world + grounding + referring
