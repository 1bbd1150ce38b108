"""Controls: the same question on a picture that lacks what the answer should come from.

A model that scores nearly as well on a control answers from something else: clutter, colour, or
the question alone. Blind is the control of every cell: each picture is grey, by the mean of its
band over training pictures of its set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from eo_nodes.lvlm.infer import ImageInput
from training.evaluation.cells import Cell
from training.instruct.sources import Library

Images = tuple[ImageInput, ...]
Alter = Callable[[Images], Images]

TRAINING_PICTURES = 32
# Share of the side that the target takes in the middle of a chip.
TARGET_SHARE = {"mstar": 0.5, "opensarship": 0.7}
_VISIBLE_NM = (665.0, 560.0, 490.0)
_VISIBLE_NAMES = ("red", "green", "blue")


def grey(library: Library, cell: Cell) -> Alter:
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

    return alter


def _band_means(image: ImageInput) -> np.ndarray:
    return image.values.reshape(-1, image.values.shape[-1]).mean(axis=0, dtype=np.float64)


def _filled(image: ImageInput, levels: np.ndarray) -> ImageInput:
    values = np.empty_like(image.values)
    values[...] = levels.astype(values.dtype)
    return replace(image, values=values)


def masked_target(library: Library, cell: Cell) -> Alter:
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

    return alter


def _middle(side: int, share: float) -> slice:
    margin = round(side * (1 - share) / 2)
    return slice(margin, side - margin)


def visible_only(library: Library, cell: Cell) -> Alter:
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

    return alter


def _nm(band: str) -> float:
    digits = "".join(c for c in band.split()[-1] if c.isdigit() or c == ".")
    return float(digits) if digits else 0.0


def one_date(library: Library, cell: Cell) -> Alter:
    """The first date twice: nothing can have changed."""
    return lambda images: (images[0], replace(images[0]))


CONTROLS: dict[str, Callable[[Library, Cell], Alter]] = {
    "blind": grey,
    "masked_target": masked_target,
    "visible_only": visible_only,
    "one_date": one_date,
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
