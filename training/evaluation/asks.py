"""What is asked about a sample, and what is true; one function a kind of question.

The wording is fixed per cell (the first of the training's list), so that a score does not hang on
a lucky phrasing. Every sample is asked, by natural frequency: nothing is balanced here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from eo_nodes.lvlm import slis
from eo_nodes.lvlm.infer import ImageInput
from training.evaluation.sets import Sample
from training.instruct import phrases
from training.instruct.nouns import (
    CLASS_NAMES,
    NOUNS,
    PINES,
    STYLE,
    UCM_COVERS,
    UCM_THINGS,
    belongs,
    fill,
    groups_of,
    kind_of,
)

Asker = Callable[[Sample], list["Ask"]]
UCM_LABELS = (*UCM_COVERS, *UCM_THINGS)


class Shown(Protocol):
    """What a question is asked about; pixels are decoded when looked at.

    Attributes:
        cluster: samples of one cluster are not independent. picture: name of the pixels.
    """

    id: str
    cluster: str

    @property
    def picture(self) -> str: ...

    @property
    def images(self) -> tuple[ImageInput, ...]:
        """Images in the order of the request."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the first image, pixels."""


@dataclass(slots=True)
class Ask:
    """One question on one sample, or two of which the second follows the first.

    Attributes:
        key: unique within the cell.
        sample: what it is about.
        prompt: text, visual prompts in it in spatial form.
        truth: what the cell's reading compares with.
        tag: names the row that it counts for, where a cell has several.
        follow: the answer to ``prompt`` -> a second prompt on the same images; both answers are
            read, one a line.
    """

    key: str
    sample: Shown
    prompt: str
    truth: Any
    tag: str = ""
    follow: Callable[[str], str] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the first image, pixels."""
        return self.sample.size

    @property
    def cluster(self) -> str:
        """Of the sample."""
        return self.sample.cluster

    @property
    def wording(self) -> str:
        """What was asked, to tell whether a kept answer still belongs to it."""
        return self.prompt if self.follow is None else f"{self.prompt}\n{self.follow('')}"


def _ask(sample: Sample, prompt: str, truth: Any, number: int = 0, tag: str = "") -> Ask:
    return Ask(f"{sample.id}#{number}", sample, prompt, truth, tag)


def scene_class(s: Sample) -> list[Ask]:
    """The class by the name that training uses for it."""
    name = CLASS_NAMES[s.set_name][s.facts["label"]]
    return [_ask(s, phrases.CLASS[STYLE[s.set_name]][0], name)]


def yes_no_label(prompt: str, yes: str) -> Asker:
    """Whether the label of the sample is ``yes``."""
    return lambda s: [_ask(s, prompt, "yes" if s.facts["label"] == yes else "no")]


def fact(prompt: str, key: str) -> Asker:
    """A field of the index, asked where the sample has it."""
    return lambda s: [_ask(s, prompt, s.facts[key])] if s.facts.get(key) else []


def _boxes(s: Sample, group: str) -> list[tuple[float, float, float, float]]:
    return [box for label, box in s.boxes if belongs(kind_of(label), group)]


def present(group: str) -> Asker:
    """Whether any box of a group is there."""
    prompt = fill(phrases.PRESENT[0], *NOUNS[group][0])
    return lambda s: [_ask(s, prompt, "yes" if _boxes(s, group) else "no")]


def counted(group: str, sources: tuple[str, ...] = ()) -> Asker:
    """How many boxes of a group there are (``object``: of any); sources: () for all."""
    prompt = fill(phrases.COUNT[0], *NOUNS[group][0])

    def ask(s: Sample) -> list[Ask]:
        if sources and s.facts["source"] not in sources:
            return []
        return [_ask(s, prompt, len(s.boxes if group == "object" else _boxes(s, group)))]

    return ask


def boxed(*groups: str) -> Asker:
    """The boxes of each group that the annotators of the sample looked for."""

    def ask(s: Sample) -> list[Ask]:
        known = groups_of(s.set_name, s.facts)
        return [
            _ask(s, fill(phrases.DETECT[0], *NOUNS[group][0]), _boxes(s, group), i, group)
            for i, group in enumerate(groups)
            if group in known
        ]

    return ask


def area(prompt: str, inside: int, unlabelled: int | None = None) -> Asker:
    """An area: mask value ``inside``; pixels of value ``unlabelled`` are not scored."""

    def ask(s: Sample) -> list[Ask]:
        mask = s.mask
        valid = np.ones(mask.shape, bool) if unlabelled is None else mask != unlabelled
        return [_ask(s, prompt, (mask == inside, valid), tag=s.facts.get("source", ""))]

    return ask


def rsvqa(s: Sample) -> list[Ask]:
    """The set's own questions, in its own words; truth: (answer, question), tag: its type."""
    return [
        _ask(s, qa["q"], (qa["a"], qa["q"]), i, qa["type"]) for i, qa in enumerate(s.facts["qa"])
    ]


def labels_present(s: Sample) -> list[Ask]:
    """Each of the 17 labels of a picture as a question; truth: (index, there or not)."""
    asks = []
    for i, name in enumerate(UCM_LABELS):
        if name in UCM_COVERS:
            prompt = fill(phrases.COVER_PRESENT[0], UCM_COVERS[name])
        else:
            prompt = fill(phrases.PRESENT[0], *UCM_THINGS[name])
        asks.append(_ask(s, prompt, (i, name in s.facts["objects"]), i, name))
    return asks


def pixel_classes(names: list[str], used: frozenset[str]) -> Asker:
    """The class of every labelled pixel, asked by a point in its middle."""

    def ask(s: Sample) -> list[Ask]:
        mask = s.mask
        rows, cols = mask.shape
        asks = []
        for y, x in np.argwhere(mask > 0).tolist():
            name = names[mask[y, x]]
            if name in used:
                place = slis.write_value(slis.point_from((x + 0.5) / cols, (y + 0.5) / rows))
                prompt = phrases.REFER_LAND[0].format(r=place)
                asks.append(_ask(s, prompt, PINES[name], y * cols + x))
        return asks

    return ask


def grounding_of(description: str) -> str:
    """The question where a described thing is; the description may begin with its article."""
    words = description.strip().rstrip(".")
    return phrases.GROUND[0].format(d=words.removeprefix("the ") or "object")
