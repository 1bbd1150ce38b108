"""The table: which sets, which questions, how answers are read, and what they are held against.

A cell is one list of questions on one set; each of its scores is one row. Majority and probe are
the data page's figures on the test split (trivial answer; regression on hand-made features), so
they are printed for that split only. Targets: a number; ``better``: better than majority and
probe; ``clearly``: better than both beyond the row's own interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.evaluation import asks, metrics, readers
from training.evaluation.asks import Ask, Asker
from training.evaluation.metrics import Metric
from training.evaluation.sets import samples
from training.instruct import phrases
from training.instruct.nouns import fill
from training.instruct.sources import Library

Vectors = Callable[[Sequence[Ask], Sequence[str]], np.ndarray]
Target = float | str | None
TEXT, PLACES = frozenset({"text"}), frozenset({"text", "places"})
POINTS, DATES = frozenset({"text", "visual_prompts"}), frozenset({"text", "dates"})


@dataclass(frozen=True, slots=True)
class Score:
    """One row of the table.

    Attributes:
        type: what is asked. vectors: asks and answers -> (N, k) for the metric's sums.
        tag: only asks of this tag count; "" for all.
        is_clustered: interval by bootstrap over clusters, not by item.
        majority, probe: on test, in the metric's unit. question_only: the probe is the commonest
            training answer to the very question, computed from train.
        regular, compact: targets.
        per_tag: further rows, one for each tag found.
        note: a remark on all answers, printed with the marks.
        shortcut: (what, value): the data page's figure of a model that does not look properly.
        marks: printed beside the row.
    """

    type: str
    metric: Metric
    vectors: Vectors
    tag: str = ""
    is_clustered: bool = False
    majority: float | None = None
    probe: float | None = None
    question_only: Callable[[str], object] | None = None
    regular: Target = None
    compact: Target = None
    per_tag: bool = False
    note: Callable[[Sequence[Ask], Sequence[str]], str] | None = None
    shortcut: tuple[str, float] | None = None
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """A list of questions on one set.

    Attributes:
        task: one of the nine groups. needs: abilities of the model, see ``subject``.
        controls: names in ``probes.CONTROLS``; blind is asked in any case.
        max_tokens: longest answer.
        source: where its samples come from: (library, split, limit) -> samples; None: all of the
            set's split.
    """

    name: str
    task: str
    modality: str
    ask: Asker
    scores: tuple[Score, ...]
    needs: frozenset[str] = TEXT
    controls: tuple[str, ...] = ()
    max_tokens: int = 24
    domain: str = "real"
    source: Callable[[Library, str, int], list[Any]] | None = None

    @property
    def set_name(self) -> str:
        """Folder of the data, or the world."""
        return self.name.split(".")[0]

    def samples(self, library: Library, split: str, limit: int) -> list[Any]:
        """What is asked about, at least ``limit`` of them where there are so many."""
        if self.source is not None:
            return self.source(library, split, limit)
        return samples(library, self.set_name, split)


def each(vector: Callable[[Ask, str], np.ndarray]) -> Vectors:
    """Lift a vector of one answer to all answers."""
    return lambda some, said: np.array([vector(a, s) for a, s in zip(some, said, strict=True)])


exact = each(lambda a, s: metrics.right(readers.plain(s) == readers.plain(str(a.truth))))
exact_yes_no = each(lambda a, s: metrics.right(readers.yes_no(s) == a.truth))
absolute = each(lambda a, s: metrics.error(readers.number(s), float(a.truth)))
overlap = each(lambda a, s: metrics.mask_overlap(readers.mask_of(s, a.size), *a.truth))


def boxes_at(threshold: float) -> Vectors:
    """Greedy matching at an IoU."""
    return each(
        lambda a, s: metrics.match_boxes(readers.boxes_of(s, a.size), a.truth, threshold)
    )


def caption_scores(some: Sequence[Ask], said: Sequence[str]) -> np.ndarray:
    """(N, 2) plain CIDEr of each caption, and one."""
    values = metrics.cider_each(said, [a.truth for a in some])
    return np.stack([values, np.ones_like(values)], -1)


def caption_note(some: Sequence[Ask], said: Sequence[str]) -> str:
    """BLEU-4, and how many different sentences were said."""
    bleu = metrics.bleu4(said, [a.truth for a in some])
    return f"BLEU-4 {bleu:.1f}, {len(set(said))} sentences"


label_right = each(lambda a, s: metrics.right((readers.yes_no(s) == "yes") == a.truth[1]))


def label_macro(some: Sequence[Ask], said: Sequence[str]) -> np.ndarray:
    """(N, 17 * 3) counts, each ask in the place of its label."""
    counts = np.zeros((len(some), len(asks.UCM_LABELS), 3))
    for row, (a, s) in enumerate(zip(some, said, strict=True)):
        index, truth = a.truth
        counts[row, index] = metrics.label_counts([readers.yes_no(s) == "yes"], [truth])
    return counts.reshape(len(some), -1)


def rsvqa_value(kind: str, text: str) -> object:
    """What an RSVQA answer counts as: the publishers' ranges for counts (low resolution) and
    areas (high resolution), else the words."""
    if kind == "count_lr":
        return readers.said_range(text, readers.COUNT_RANGES)
    if kind == "area":
        return readers.said_range(text, readers.AREA_RANGES)
    return readers.plain(text)


def _rsvqa_score(kind: str, reading: str, majority: float | None, marks=()) -> Score:
    def vectors(some: Sequence[Ask], said: Sequence[str]) -> np.ndarray:
        return np.array([
            metrics.right(rsvqa_value(reading, s) == rsvqa_value(reading, a.truth[0]))
            for a, s in zip(some, said, strict=True)
        ])

    return Score(
        kind, metrics.ACCURACY, vectors, tag=kind, is_clustered=True, majority=majority,
        question_only=lambda text: rsvqa_value(reading, text),
        regular="probe + 5", compact="probe + 2", marks=("clustered", *marks),
    )


def _rsvqa_all(readings: Mapping[str, str], majority: float, probe: float) -> Score:
    """All questions of a set together, each read as its type is."""
    def vectors(some: Sequence[Ask], said: Sequence[str]) -> np.ndarray:
        return np.array([
            metrics.right(rsvqa_value(readings.get(a.tag, ""), s)
                          == rsvqa_value(readings.get(a.tag, ""), a.truth[0]))
            for a, s in zip(some, said, strict=True)
        ])

    return Score("all questions", metrics.ACCURACY, vectors, is_clustered=True,
                 majority=majority, probe=probe, marks=("clustered",))


PINES_USED = frozenset({
    "corn-notill", "corn-mintill", "corn", "grass-pasture", "grass-trees", "hay-windrowed",
    "soybean-notill", "soybean-mintill", "soybean-clean", "wheat", "woods",
    "buildings-grass-trees-drives", "stone-steel-towers",
})
A, F1, MAE, IOU = metrics.ACCURACY, metrics.F1, metrics.MAE, metrics.IOU
SMALL, CLUSTERED = ("n < 50",), ("clustered",)
NO_BASELINE = "no trivial or probe figure"


def table(pines_classes: list[str]) -> list[Cell]:
    """All cells that are asked in words. pines_classes: mask value -> name of indian_pines."""
    return [
        Cell("eurosat_rgb.class", "classification", "optical", asks.scene_class,
             (Score("class", A, exact, majority=10.0, probe=84.3, regular=98, compact=97),)),
        Cell("eurosat_ms.class", "classification", "multispectral", asks.scene_class,
             (Score("class", A, exact, majority=11.2, probe=60.2, regular=90, compact=86),),
             controls=("visible_only",)),
        Cell("aid_rsicd.class", "classification", "optical", asks.scene_class,
             (Score("class", A, exact, majority=4.0, probe=63.4, regular=92, compact=88),)),
        Cell("aid_rsicd.caption", "caption", "optical", asks.fact(phrases.CAPTION[0], "captions"),
             (Score("caption", metrics.CIDER, caption_scores, majority=0.55, probe=1.54,
                    regular=1.9, compact=1.7, note=caption_note,
                    shortcut=("commonest caption of the probe's class", 1.54)),),
             controls=("class_caption",), max_tokens=40),
        Cell("mstar.class", "classification", "sar", asks.scene_class,
             (Score("class", A, exact, majority=10.0, probe=66.3, regular=93, compact=88),),
             controls=("masked_target",)),
        Cell("rsvqa_lr.questions", "vqa", "optical", asks.rsvqa,
             (_rsvqa_score("presence", "", None), _rsvqa_score("comp", "", None),
              _rsvqa_score("count", "count_lr", None),
              _rsvqa_score("rural_urban", "", None, SMALL),
              _rsvqa_all({"count": "count_lr"}, 58.4, 66.4))),
        Cell("rsvqa_hr.questions", "vqa", "optical", asks.rsvqa,
             (_rsvqa_score("presence", "", None), _rsvqa_score("comp", "", None),
              _rsvqa_score("count", "", None), _rsvqa_score("area", "area", None),
              _rsvqa_all({"area": "area"}, 64.2, 67.8))),
        Cell("hit_uav.boxes", "count", "infrared", asks.boxed("vehicle"),
             (Score("vehicle boxes, IoU 0.5", F1, boxes_at(0.5), regular=75, compact=60),),
             needs=PLACES, max_tokens=256),
        Cell("hit_uav.count_vehicle", "count", "infrared", asks.counted("vehicle"),
             (Score("vehicles", MAE, absolute, majority=4.54, probe=3.26, regular=1.5,
                    compact=2.2),)),
        Cell("hit_uav.count_person", "count", "infrared", asks.counted("person"),
             (Score("persons", MAE, absolute, majority=5.70, probe=5.41, regular="clearly",
                    compact="clearly"),)),
        Cell("hit_uav.day", "vqa", "infrared", asks.fact(phrases.DAY[0], "day_night"),
             (Score("day or night", A, exact, majority=70.2, probe=78.0, regular="clearly",
                    compact="clearly"),)),
        Cell("hit_uav.present_person", "vqa", "infrared", asks.present("person"),
             (Score("person present", A, exact_yes_no, majority=83.2, probe=53.6,
                    regular="clearly", compact="clearly"),)),
        Cell("hit_uav.present_vehicle", "vqa", "infrared", asks.present("vehicle"),
             (Score("vehicle present", A, exact_yes_no, majority=87.3, probe=69.7,
                    regular="clearly", compact="clearly"),)),
        Cell("trees.count", "count", "optical", asks.counted("tree"),
             (Score("crowns", MAE, absolute, is_clustered=True, majority=11.49, probe=10.05,
                    regular=6, compact=8, marks=CLUSTERED),)),
        Cell("trees.boxes", "count", "optical", asks.boxed("tree"),
             (Score("crown boxes, IoU 0.4", F1, boxes_at(0.4), is_clustered=True,
                    marks=(*CLUSTERED, "boxes incomplete")),), needs=PLACES, max_tokens=384),
        Cell("flood_s1.water", "segmentation", "sar",
             asks.area(fill(phrases.SEGMENT[0], "water"), 1, 255),
             (Score("water", IOU, overlap, is_clustered=True, majority=24.7, probe=68.0,
                    regular=74, compact=70, marks=(*CLUSTERED, "3 chips")),),
             needs=PLACES, max_tokens=256),
        Cell("flood_s1.present", "vqa", "sar", asks.yes_no_label(phrases.WATER[0], "water"),
             (Score("water in tile", A, exact_yes_no, is_clustered=True, majority=62.5,
                    probe=67.2, regular="clearly", compact="clearly",
                    marks=(*CLUSTERED, "3 chips")),)),
        Cell("change_pairs.area", "change", "temporal",
             asks.area(phrases.CHANGE_SEGMENT[0], 255),
             (Score("changed area", IOU, overlap, is_clustered=True, majority=14.6, probe=19.6,
                    regular=35, compact=28, per_tag=True, marks=CLUSTERED),),
             needs=PLACES | DATES, max_tokens=256),
        Cell("change_pairs.changed", "change", "temporal",
             asks.yes_no_label(phrases.CHANGED[0], "changed"),
             (Score("changed or not", A, exact_yes_no, is_clustered=True, majority=55.3,
                    probe=52.8, regular="clearly", compact="clearly", marks=CLUSTERED),),
             needs=DATES, controls=("one_date",)),
        Cell("objects_rgb.boxes", "count", "optical", asks.boxed("aircraft", "vehicle", "boat"),
             (Score("boxes, IoU 0.5", F1, boxes_at(0.5), is_clustered=True, regular=70,
                    compact=55, per_tag=True),), needs=PLACES, max_tokens=256),
        Cell("objects_rgb.count_aircraft", "count", "optical",
             asks.counted("aircraft", ("hrplanes",)),
             (Score("aircraft", MAE, absolute, majority=4.35, probe=4.60, regular=1.5,
                    compact=2.2),)),
        Cell("objects_rgb.count_objects", "count", "optical",
             asks.counted("object", ("simd", "minsk_uav")),
             (Score("objects", MAE, absolute, is_clustered=True, majority=7.35, probe=7.56,
                    regular="clearly", compact="clearly", marks=CLUSTERED),)),
        Cell("ucm_multilabel.labels", "vqa", "optical", asks.labels_present,
             (Score("17 labels, macro", metrics.MACRO_F1, label_macro, is_clustered=True,
                    majority=8.1, probe=55.3, regular=78, compact=72,
                    shortcut=("labels of the true class", 81.6)),
              Score("17 labels", A, label_right, is_clustered=True, majority=80.8, probe=83.9,
                    regular="clearly", compact="clearly",
                    shortcut=("labels of the true class", 91.8)))),
        Cell("ucm_multilabel.class", "classification", "optical", asks.scene_class,
             (Score("class", A, exact, majority=6.3, probe=56.4, regular="clearly",
                    compact="clearly"),)),
        Cell("ucm_multilabel.caption", "caption", "optical",
             asks.fact(phrases.CAPTION[0], "captions"),
             (Score("caption", metrics.CIDER, caption_scores, note=caption_note,
                    marks=("70 pictures",)),),
             max_tokens=40),
        Cell("s2_ships.present", "vqa", "multispectral", asks.present("ship"),
             (Score("ship in tile", A, exact_yes_no, is_clustered=True, majority=76.4, probe=76.4,
                    regular="better", compact="better", marks=(*CLUSTERED, "4 ports")),)),
        Cell("s2_ships.count", "count", "multispectral", asks.counted("ship"),
             (Score("ships", MAE, absolute, is_clustered=True, majority=2.40, probe=2.36,
                    regular="better", compact="better", marks=(*CLUSTERED, "4 ports")),)),
        Cell("s2_ships.boxes", "count", "multispectral", asks.boxed("ship"),
             (Score("ship boxes, IoU 0.5", F1, boxes_at(0.5), is_clustered=True,
                    marks=(*CLUSTERED, "4 ports", NO_BASELINE)),), needs=PLACES, max_tokens=256),
        Cell("sar_ships.present", "vqa", "sar", asks.present("ship"),
             (Score("ship in tile", A, exact_yes_no, is_clustered=True, majority=82.6, probe=84.0,
                    regular="better", compact="better", marks=CLUSTERED,
                    shortcut=("one brightness threshold", 91.0)),)),
        Cell("sar_ships.count", "count", "sar", asks.counted("ship"),
             (Score("ships", MAE, absolute, is_clustered=True, majority=0.22, probe=0.32,
                    regular="better", compact="better", marks=CLUSTERED),)),
        Cell("sar_ships.boxes", "count", "sar", asks.boxed("ship"),
             (Score("ship boxes, IoU 0.5", F1, boxes_at(0.5), is_clustered=True,
                    marks=(*CLUSTERED, "32 ships", NO_BASELINE)),), needs=PLACES, max_tokens=256),
        Cell("indian_pines.pixels", "referring", "hyperspectral",
             asks.pixel_classes(pines_classes, PINES_USED),
             (Score("class per pixel", A, exact, is_clustered=True, majority=13.2, probe=52.5,
                    regular="better", compact="better", marks=(*CLUSTERED, "one scene"),
                    shortcut=("random pixel split", 82.9)),),
             needs=POINTS, controls=("visible_only",)),
        Cell("aerial_video.count", "temporal", "video", asks.counted("vehicle"),
             (Score("vehicles a frame", MAE, absolute, is_clustered=True, majority=3.90,
                    probe=1.89, regular="better", compact="better",
                    marks=(*CLUSTERED, "4 clips")),)),
        Cell("aerial_video.boxes", "temporal", "video", asks.boxed("vehicle"),
             (Score("vehicle boxes, IoU 0.5", F1, boxes_at(0.5), is_clustered=True, majority=78.1,
                    regular="better", compact="better", marks=(*CLUSTERED, "4 clips"),
                    shortcut=("true boxes of the frame before", 78.1)),),
             needs=PLACES, max_tokens=256),
        Cell("opensarship.type", "classification", "sar", asks.scene_class,
             (Score("ship type", A, exact, is_clustered=True, majority=58.2, probe=52.7,
                    regular="clearly", compact="clearly", marks=CLUSTERED),),
             controls=("masked_target",)),
        Cell("opensarship.length", "vqa", "sar", asks.fact(phrases.LENGTH[0], "length_m"),
             (Score("ship length, m", MAE, absolute, is_clustered=True, majority=52.0, probe=22.0,
                    regular="clearly", compact="clearly", marks=CLUSTERED,
                    shortcut=("chip extent alone", 15.0)),), controls=("masked_target",)),
    ]
