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
from training.evaluation.cells import TEXT, Cell, Score, Target, Vectors, each, exact
from training.evaluation.metrics import ACCURACY, F1, MAE, Metric
from training.instruct.builder import instructions_of, load_mask
from training.instruct.records import ImageRef, Instruction
from training.instruct.sources import Library
from training.instruct.views import View
from training.instruct.world.sensors import render
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
        self.instruction, self.library = instruction, library
        self.set_name, self.id = instruction.set, instruction.id
        self.cluster = instruction.targets.scene or instruction.id
        self.facts: dict = {}

    @property
    def images(self) -> tuple[ImageInput, ...]:
        """Images in the order of the request."""
        i = self.instruction
        return tuple(ImageInput(_pixels(self.library, ref)[None], bands, ref.modality)
                     for ref, bands in zip(i.images, i.bands, strict=True))

    @property
    def picture(self) -> str:
        """Name of the pixels, see ``asks.Shown``."""
        return repr(self.instruction.images)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the first image, pixels."""
        height, width = _pixels(self.library, self.instruction.images[0]).shape[:2]
        return height, width

    @property
    def mask(self) -> np.ndarray:
        """(H, W) uint8: 1 to segment, 0 not, 255 without a label."""
        return load_mask(self.instruction.targets.mask, self.library.data)


# Questions on one picture follow each other; eight frames and a second sensor fit.
@functools.lru_cache(maxsize=16)
def _pixels(library: Library, ref: ImageRef) -> np.ndarray:
    """(H, W, C) of one image, native values; shared: read only."""
    if ref.set == WORLD:
        return render(ref.id, ref.member, ref.time)[0]
    view = View(library, library.sample(ref.set, ref.id), ref.window, ref.turn)
    values = view.crop(library.pixels(view.sample, ref.member))
    return np.ascontiguousarray(values, np.float32 if values.dtype == np.float16 else None)


@functools.lru_cache(maxsize=4)
def _world(split: str, scenes: int) -> tuple[Instruction, ...]:
    return tuple(world_stream(split, 0, 0, scenes, shuffled=False))


@functools.lru_cache(maxsize=64)
def _real(library: Library, set_name: str, split: str, task: str) -> tuple[Instruction, ...]:
    return tuple(
        instructions_of(library, set_name, split, 0, 0, tasks=(task,), augment=False))


def instructions(library: Library, set_name: str, split: str, task: str, limit: int
                 ) -> tuple[Instruction, ...]:
    """Of one set and, for real sets, one task; for a small draw only a small world is made."""
    if set_name == WORLD:
        return _world(split, min(SCENES, 40 + limit) if limit else SCENES)
    return _real(library, set_name, split, task)


def source(
    set_name: str, task: str, kinds: Iterable[str], modality: str = ""
) -> Callable[[Library, str, int], list[Exam]]:
    """Samples of one task and its kinds; modality: of the request, "" for any but fusion."""
    wanted = frozenset(kinds)

    def of(library: Library, split: str, limit: int) -> list[Exam]:
        made = instructions(library, set_name, split, task, limit)
        return [Exam(i, library) for i in made if i.task == task and i.kind in wanted
                and (i.modality == modality if modality else i.modality != "fusion")]

    return of


def ask(exam: Exam) -> list[Ask]:
    """The instruction's prompt; truth: its answer, and the exam for masks."""
    i = exam.instruction
    return [Ask(f"{exam.id}#0", exam, i.prompt, i.answer, i.modality)]


def ask_mask(exam: Exam) -> list[Ask]:
    """As ``ask``; truth: (inside, labelled), (H, W) bool each."""
    (asked,) = ask(exam)
    mask = exam.mask
    asked.truth = (mask == 1, mask != 255)
    return [asked]


def values(text: str, kind: type) -> list:
    """Spatial values of one kind in an answer."""
    return [v for v in readers.values_of(text) if isinstance(v, kind)]


def box_hit(ask: Ask, said: str) -> np.ndarray:
    """P@0.5: the first box said overlaps the true one, on the same image."""
    (true,), found = values(ask.truth, slis.Box)[:1], values(said, slis.Box)
    if not found or found[0].image != true.image:
        return metrics.right(False)
    edges = slis.box_xyxy(found[0]), slis.box_xyxy(true)
    return metrics.right(spatial_metrics.box_iou(edges[:1], edges[1:])[0, 0] >= 0.5)


def _corners(text: str, size: tuple[int, int]) -> np.ndarray:
    """(N, 4, 2) corners of oriented boxes in pixels."""
    height, width = size
    found = [slis.oriented_corners(v, (width, height)) * (width, height)
             for v in values(text, slis.OrientedBox)]
    return np.array(found).reshape(-1, 4, 2)


def _oriented_hit(ask: Ask, said: str) -> np.ndarray:
    true, found = _corners(ask.truth, ask.size)[:1], _corners(said, ask.size)[:1]
    return metrics.right(len(found) > 0
                         and spatial_metrics.oriented_iou(found, true)[0, 0] >= 0.5)


def _oriented_matches(ask: Ask, said: str) -> np.ndarray:
    ious = spatial_metrics.oriented_iou(_corners(said, ask.size), _corners(ask.truth, ask.size))
    counts = spatial_metrics.detections(ious, 0.5)
    return np.array([counts.hits, counts.extra, counts.missed], float)


def mean_overlap(ask: Ask, said: str) -> np.ndarray:
    """IoU of one mask, and one."""
    common, whole = metrics.mask_overlap(readers.mask_of(said, ask.truth[0].shape), *ask.truth)
    return np.array([common / whole if whole else 1.0, 1.0])


_boxes = each(lambda a, s: metrics.match_boxes(
    readers.boxes_of(s, a.size), readers.boxes_of(a.truth, a.size), 0.5))
_number = each(lambda a, s: metrics.error(readers.number(s), readers.number(a.truth)))


def cell(
    name: str, task: str, modality: str, kinds: Sequence[str], scores: Sequence[Score],
    needs: frozenset[str] = TEXT, *, asked: str = "", request: str = "", max_tokens: int = 24,
) -> Cell:
    """A cell of instructions. asked: their task where the cell counts for another; request: their
    modality."""
    set_name = name.split(".")[0]
    is_mask = any(score.metric is MEAN_IOU for score in scores)
    return Cell(
        name, task, modality, ask_mask if is_mask else ask, tuple(scores), needs,
        max_tokens=max_tokens, domain="synthetic" if set_name == WORLD else "real",
        controls=("first_sensor", "second_sensor") if request == "fusion" else (),
        source=source(set_name, asked or task, kinds, request),
    )


def score(
    kind: str, metric: Metric, vectors: Vectors, regular: Target = None, compact: Target = None,
    per_tag: bool = False,
) -> Score:
    """A row whose interval is by scene."""
    return Score(kind, metric, vectors, is_clustered=True, regular=regular, compact=compact,
                 per_tag=per_tag)


def table() -> list[Cell]:
    """Cells of the world, then of real sets with boxes."""
    hit, oriented = each(box_hit), each(_oriented_hit)
    overlap = each(mean_overlap)
    any_sensor, boxes = "any sensor", 256
    world = [
        cell("world.vqa", "vqa", any_sensor, ("presence", "comp", "area", "day"),
              [score("questions", ACCURACY, exact, 85, 70, per_tag=True)]),
        cell("world.class", "classification", any_sensor, ("class", "is_class"),
              [score("classes", ACCURACY, exact)]),
        cell("world.count", "count", any_sensor, ("count", "count_whole"),
              [score("counts", ACCURACY, exact), score("counts", MAE, _number)]),
        cell("world.fused_count", "count", "fusion", ("count",),
              [score("counts by two sensors", ACCURACY, exact, "best sensor", "best sensor"),
               score("counts by two sensors", MAE, _number, "best sensor", "best sensor")],
              SENSORS, request="fusion"),
        cell("world.grounding", "grounding", any_sensor, BOXES,
              [score("grounding, P@0.5", ACCURACY, hit, 70, 55, per_tag=True)], PLACES),
        cell("world.oriented", "grounding", any_sensor, ("oriented",),
              [score("oriented grounding, P@0.5", ACCURACY, oriented)], PLACES),
        cell("world.boxes", "count", any_sensor, ("detect",),
              [score("boxes, IoU 0.5", F1, _boxes)], PLACES, max_tokens=boxes),
        cell("world.oriented_boxes", "count", any_sensor, ("detect_oriented",),
              [score("oriented boxes, IoU 0.5", F1, each(_oriented_matches))], PLACES,
              max_tokens=boxes),
        cell("world.area", "segmentation", any_sensor, ("named", "phrase", "at_prompt"),
              [score("areas, mean IoU", MEAN_IOU, overlap, 60, 45, per_tag=True)], POINTS,
              max_tokens=boxes),
        cell("world.refer", "referring", any_sensor, ("what", "cover"),
              [score("what is there", ACCURACY, exact)], POINTS),
        cell("world.change", "change", "temporal", ("changed", "event", "new_count"),
              [score("change questions", ACCURACY, exact)], DATES),
        cell("world.change_area", "change", "temporal", ("segment",),
              [score("changed area, mean IoU", MEAN_IOU, overlap)], PLACES | DATES,
              max_tokens=boxes),
        cell("world.dates", "temporal", "temporal", ("crop", "first_image", "season", "span"),
              [score("series of dates", ACCURACY, exact)], VIDEO | POINTS, request="temporal"),
        cell("world.video", "temporal", "video",
              ("count_frame", "direction", "is_moving", "moving", "span"),
              [score("video questions", ACCURACY, exact)], VIDEO | POINTS, request="video"),
        cell("world.track", "temporal", "video", ("track",),
              [score("track to a frame, P@0.5", ACCURACY, hit)], VIDEO | POINTS),
    ]
    grounding = [
        cell(f"{name}.grounding", "grounding", modality, BOXES,
              [score("grounding, P@0.5", ACCURACY, hit)], PLACES)
        for name, modality in (("objects_rgb", "optical"), ("hit_uav", "infrared"),
                               ("s2_ships", "multispectral"), ("aerial_video", "video"))
    ]
    referring = [
        cell(f"{name}.refer", "referring", modality, (kind,),
              [score("what is there", ACCURACY, exact)], POINTS)
        for name, modality, kind in (("objects_rgb", "optical", "what"),
                                     ("hit_uav", "infrared", "what"),
                                     ("flood_s1", "sar", "cover"))
    ]
    # Where masks are labelled and something is pointed at: the whole class is meant, not a part.
    pointed = cell("flood_s1.at_point", "segmentation", "sar", ("at_point",),
                   [score("water at a point, mean IoU", MEAN_IOU, overlap)], POINTS,
                   max_tokens=boxes)
    return [*world, *grounding, *referring, pointed]
