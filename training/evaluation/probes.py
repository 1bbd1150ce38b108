"""Controls: the same question on a picture that lacks what the answer should come from.

A model that scores nearly as well on a control answers from something else: clutter, colour, or
the question alone. Blind is the control of every cell: each picture is grey, by the mean of its
band over training pictures of its set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from eo_nodes.lvlm.infer import ImageInput
from training.evaluation.asks import Ask, grounding_of
from training.evaluation.cells import Cell
from training.evaluation.readers import plain
from training.evaluation.subject import Said
from training.instruct import phrases
from training.instruct.nouns import CLASS_NAMES, STYLE
from training.instruct.sources import Library

Images = tuple[ImageInput, ...]
Alter = Callable[[Images], Images]


@dataclass(frozen=True, slots=True)
class Control:
    """How a question is put otherwise: its images, its words, and how its answer is taken."""

    alter: Alter = lambda images: images
    ask: Callable[[Ask], Ask] = lambda ask: ask
    read: Callable[[Said], Said] = lambda said: said



TRAINING_PICTURES = 32
# Share of the side that the target takes in the middle of a chip.
TARGET_SHARE = {"mstar": 0.5, "opensarship": 0.7}
_VISIBLE_NM = (665.0, 560.0, 490.0)
_VISIBLE_NAMES = ("red", "green", "blue")


def grey(library: Library, cell: Cell) -> Control:
    """Blind: each band of each picture at its mean over the first training pictures."""
    sums: dict[tuple[str, ...], list[np.ndarray]] = {}
    for sample in cell.samples(library, "train", TRAINING_PICTURES)[:TRAINING_PICTURES]:
        for image in sample.images:
            sums.setdefault(image.bands, []).append(_band_means(image))
    means = {bands: np.mean(each, axis=0) for bands, each in sums.items()}

    # Bands that no training picture had: the picture's own mean, the same for all of its bands.
    def alter(images: Images) -> Images:
        return tuple(_filled(i, means.get(i.bands, np.full(len(i.bands), _band_means(i).mean())))
                     for i in images)

    return Control(alter)


def _band_means(image: ImageInput) -> np.ndarray:
    return image.values.reshape(-1, image.values.shape[-1]).mean(axis=0, dtype=np.float64)


def _filled(image: ImageInput, levels: np.ndarray) -> ImageInput:
    values = np.empty_like(image.values)
    values[...] = levels.astype(values.dtype)
    return replace(image, values=values)


def masked_target(library: Library, cell: Cell) -> Control:
    """The middle of a chip, where the target stands, at the median of the clutter around it."""
    share = TARGET_SHARE[cell.set_name]

    def alter(images: Images) -> Images:
        made = []
        for image in images:
            values = image.values.copy()
            height, width = values.shape[1:3]
            rows, cols = (_middle(side, share) for side in (height, width))
            around = np.ones((height, width), bool)
            around[rows, cols] = False
            values[:, rows, cols] = np.median(values[:, around], axis=1)[:, None, None]
            made.append(replace(image, values=values))
        return tuple(made)

    return Control(alter)


def _middle(side: int, share: float) -> slice:
    margin = round(side * (1 - share) / 2)
    return slice(margin, side - margin)


def visible_only(library: Library, cell: Cell) -> Control:
    """Of many bands only red, green and blue: what the other bands are worth."""
    wavelengths = library.meta(cell.set_name).get("wavelengths_nm")

    def alter(images: Images) -> Images:
        made = []
        for image in images:
            nm = wavelengths or [_nm(band) for band in image.bands]
            chosen = [int(np.argmin(np.abs(np.array(nm) - w))) for w in _VISIBLE_NM]
            bands = tuple(f"{n} {nm[c]:g} nm" for n, c in zip(_VISIBLE_NAMES, chosen, strict=True))
            made.append(replace(image, values=image.values[..., chosen], bands=bands))
        return tuple(made)

    return Control(alter)


def _nm(band: str) -> float:
    digits = "".join(c for c in band.split()[-1] if c.isdigit() or c == ".")
    return float(digits) if digits else 0.0


def one_date(library: Library, cell: Cell) -> Control:
    """The first date twice: nothing can have changed."""
    return Control(lambda images: (images[0], replace(images[0])))


def first_sensor(library: Library, cell: Cell) -> Control:
    """Of two sensors only the first."""
    return Control(lambda images: images[:1])


def second_sensor(library: Library, cell: Cell) -> Control:
    """Of two sensors only the second."""
    return Control(lambda images: images[1:2])


def class_caption(library: Library, cell: Cell) -> Control:
    """The commonest training caption of the class that the model names: all a caption says that
    only knows the class."""
    counts: dict[str, Counter[str]] = {}
    for sample in library.samples(cell.set_name, "train"):
        name = CLASS_NAMES[cell.set_name][sample.facts["label"]]
        counts.setdefault(name, Counter()).update(sample.facts.get("captions", []))
    usual = {name: said.most_common(1)[0][0] for name, said in counts.items() if said}
    prompt = phrases.CLASS[STYLE[cell.set_name]][0]
    return Control(
        ask=lambda ask: replace(ask, prompt=prompt),
        read=lambda said: replace(said, text=usual.get(plain(said.text), "")),
    )


def true_expression(library: Library, cell: Cell) -> Control:
    """The annotators' description is grounded: what is lost by the model's own words."""
    return Control(ask=lambda ask: replace(ask, prompt=grounding_of(ask.truth[1]), follow=None))


def no_description(library: Library, cell: Cell) -> Control:
    """A description that says nothing is grounded: hits that need no words."""
    return Control(ask=lambda ask: replace(ask, prompt=grounding_of("object"), follow=None))


SENSORS = ("first_sensor", "second_sensor")
CONTROLS: dict[str, Callable[[Library, Cell], Control]] = {
    "blind": grey,
    "masked_target": masked_target,
    "visible_only": visible_only,
    "one_date": one_date,
    "first_sensor": first_sensor,
    "second_sensor": second_sensor,
    "class_caption": class_caption,
    "true_expression": true_expression,
    "no_description": no_description,
}


class QuestionOnly:
    """The commonest training answer to the very question, else to its type: nobody looks.

    value: what an answer counts as (the ranges of RSVQA), so that the comparison is fair.
    """

    def __init__(self, library: Library, name: str, kind: str, value: Callable[[str], object]):
        self._by_question: dict[str, Counter] = {}
        everything: Counter = Counter()
        for sample in library.samples(name, "train"):
            for qa in sample.facts["qa"]:
                if qa["type"] == kind:
                    found = value(qa["a"])
                    self._by_question.setdefault(qa["q"], Counter())[found] += 1
                    everything[found] += 1
        # None where the folder holds no training pictures: then nothing is known.
        self.majority = everything.most_common(1)[0][0] if everything else None

    def answer(self, question: str) -> object:
        """Value it would give."""
        counts = self._by_question.get(question)
        return counts.most_common(1)[0][0] if counts else self.majority
