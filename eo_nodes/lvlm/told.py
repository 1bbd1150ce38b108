"""Answers that the vision graph gives, copied instead of remembered: numbers, lists, classes.

Theory of operation: at the end of the prompt the decoder says what is asked for: how many there are
of a kind, whether there is any, where they all are, which one of them is meant, which class of a
group the picture is of, whether something that has a label is in it, or something else. For each of
these the vision graph has answers, written as tokens, each with its chance: every number and
whether there is one (``counting``); the boxes of the proposals that are likely enough, and of a few
more and less; the box of each that may be meant (``choosing``); of a group all its names; yes and
no. The next token is then a mixture, as ``pointer`` mixes places: an answer that agrees with the
tokens decoded so far says its own next token, "something else" lets the decoder's distribution
stand; all are weighed again with every token. So a decoder that learnt usual answers from few
pictures still says what is seen, and its log-probabilities tell how sure that is. How far the
vision graph is believed, the folder's graph says: it was measured for each thing asked for
(``training.decoder.told``). (Copying: Vinyals 2015, mixed with generation as by See 2017.)

Order of the scores: counts of the kinds, count of all; whether there is one of a kind, of any;
boxes of a kind; the groups of classes; the labels; of each order the one of each kind that is meant
(``choosing``); something else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import slis
from eo_nodes.lvlm.choosing import ORDERS, meant
from eo_nodes.lvlm.counting import Counting, Counts
from eo_nodes.lvlm.proposals import Proposals
from eo_nodes.lvlm.visual_prompts import VisualPrompt

Float = NDArray[np.float32]
Double = NDArray[np.float64]
YES, NO, NONE = "yes", "no", "none"
_LEAST = -60.0  # of a log-probability: what is as good as impossible stays finite
LISTS = ((0.0, 0.5), (-0.5, 0.25), (0.5, 0.25))
"""How lists of boxes are told: how much stricter each is, as a logit, and its chance."""
LEAST_CHANCE = 0.005  # of a number that is told
_UNASKED = -5.0  # of a score: hardly what is asked for, its answers are not worth spelling


@dataclass(frozen=True, slots=True)
class Classes:
    """Outputs of a head: a group of classes that exclude each other, or labels that do not.

    at: of the first one's chance among those of all heads; names: as an answer says them."""

    at: int
    names: tuple[str, ...]


def size_of(kinds: int, groups: int, labels: int) -> int:
    """How many scores there are for so many kinds, groups of classes and labels."""
    return 2 * (kinds + 1) + kinds + groups + labels + len(ORDERS) * kinds + 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer. asked: place among the scores of what it answers; ids: its tokens, the end token
    included; chance: that it is the answer, if that is asked for, in [0, 1]."""

    asked: int
    ids: tuple[int, ...]
    chance: float = 1.0


class Speller:
    """Writes answers as tokens, each once."""

    def __init__(self, write: Callable[[str], list[int]], end: int) -> None:
        """write: text -> tokens, as often as a new text comes; end: token that closes each."""
        self._write, self._end = write, end
        self._known: dict[str, tuple[int, ...]] = {}

    def __call__(self, text: str) -> tuple[int, ...]:
        """Tokens of an answer."""
        if text not in self._known:
            self._known[text] = self.once(text)
        return self._known[text]

    def once(self, text: str) -> tuple[int, ...]:
        """As a call, of an answer that will hardly come again."""
        return (*self._write(text), self._end)


def boxes_of(found: Proposals, kind: int, least: float) -> str:
    """The places of a kind whose score is above ``least``, as an answer lists them."""
    best = found.kinds.argmax(1) if len(found.score) else np.zeros(0, np.int64)
    chosen = found.boxes[(found.score > least) & (best == kind)]
    said = [slis.write_value(slis.box_from(x1, y1, x2, y2)) for x1, y1, x2, y2 in chosen.tolist()]
    return " ".join(said) or NONE


def lists(found: Proposals, least: Sequence[float], spell: Speller) -> list[Candidate]:
    """Lists of boxes of each kind; least: score above which one is in it, 0: none is told."""
    first, out = 2 * (len(least) + 1), []
    for kind, limit in enumerate(least):
        if limit > 0:
            for stricter, chance in LISTS:
                odds = limit / (1 - limit) * np.exp(stricter)
                text = boxes_of(found, kind, odds / (1 + odds))
                out.append(Candidate(first + kind, spell.once(text), chance))
    return out


def choices(
    found: Proposals, rule: Counting, told: Sequence[bool], places: Sequence[VisualPrompt],
    scores: Float, spell: Speller,
) -> list[Candidate]:
    """Boxes of the one that may be meant, of each order and kind that may be asked for.

    Args:
        found, rule, places: as ``choosing.meant`` takes them. told: whether, of each order; none:
            nothing is. scores: as ``Told`` takes them.
    """
    kinds, out = len(rule.shifts), []
    first = len(scores) - 1 - len(ORDERS) * kinds
    for n, (order, is_told) in enumerate(zip(ORDERS, told, strict=False)):
        for kind in range(kinds) if is_told else ():
            place = first + n * kinds + kind
            if scores[place] < _UNASKED:
                continue
            for i, chance in zip(*meant(found, rule, kind, order, places), strict=True):
                text = slis.write_value(slis.box_from(*found.boxes[i].tolist()))
                out.append(Candidate(place, spell.once(text), float(chance)))
    return out


def candidates(
    counts: Counts, groups: Sequence[Classes], labels: Classes | None, chances: Float,
    spell: Speller,
) -> list[Candidate]:
    """Every answer that the vision graph has but lists.

    Args:
        chances: (n,) of all heads, in [0, 1].
    """
    things = len(counts.numbers)
    out = [Candidate(place, spell(str(n)), float(chance))
           for place, numbers in enumerate(counts.numbers)
           for n, chance in enumerate(numbers) if chance >= LEAST_CHANCE]
    for place, chance in enumerate(counts.presence.tolist(), things):
        out += [Candidate(place, spell(YES), chance), Candidate(place, spell(NO), 1 - chance)]
    for place, group in enumerate(groups, 3 * things - 1):
        own = chances[group.at : group.at + len(group.names)]
        out += [Candidate(place, spell(name), float(chance))
                for name, chance in zip(group.names, own, strict=True)]
    if labels is not None:
        first = 3 * things - 1 + len(groups)
        for place, chance in enumerate(chances[labels.at : labels.at + len(labels.names)], first):
            out += [Candidate(place, spell(YES), float(chance)),
                    Candidate(place, spell(NO), 1 - float(chance))]
    return out


class Told:
    """Follows an answer from its first token; one for an answer."""

    def __init__(self, scores: Float, found: Sequence[Candidate], size: int) -> None:
        """scores: (size,) logarithms of weights, the last of something else; what has no answer
        among ``found`` is something else as well. size: as of ``size_of``.

        Raises:
            ModelError: scores of another number, or not finite: the folder's graph is none of ours.
        """
        if len(scores) != size or not np.isfinite(scores).all():
            raise ModelError(f"asked: {len(scores)} scores for {size} things to ask for, "
                             f"{int(np.isfinite(scores).sum())} of them finite")
        self._candidates = [c.ids for c in found]
        is_told = np.zeros(size, bool)
        is_told[[c.asked for c in found]] = True
        with np.errstate(divide="ignore"):
            each = [float(scores[c.asked]) + np.log(np.float64(c.chance)) for c in found]
        rest = np.logaddexp.reduce(scores[~is_told].astype(np.float64))
        weights = np.array([*each, rest], np.float64)
        self._weights: Double = weights - np.logaddexp.reduce(weights)
        self._count = 0

    @property
    def is_open(self) -> bool:
        """Whether an answer still agrees with what was decoded."""
        return bool((self._weights[:-1] > -np.inf).any())

    def mix(self, logprobs: Double) -> Double:
        """(V,) log-probabilities of the next token, from those of the decoder.

        What the grammar forbids stays forbidden.
        """
        weights = np.exp(self._weights - np.logaddexp.reduce(self._weights))
        out = np.exp(logprobs) * weights[-1]
        for weight, ids in zip(weights, self._candidates, strict=False):
            if weight > 0 and np.isfinite(logprobs[ids[self._count]]):
                out[ids[self._count]] += weight
        with np.errstate(divide="ignore"):
            mixed = np.maximum(np.log(out / out.sum()), _LEAST)
        return np.where(np.isfinite(logprobs), mixed, -np.inf)

    def take(self, token: int, logprob: float) -> None:
        """The next token was decoded. logprob: of the decoder alone."""
        self._weights[-1] += logprob
        for i, ids in enumerate(self._candidates):
            if self._weights[i] > -np.inf and (
                    ids[self._count] != token or self._count + 1 == len(ids)):
                self._weights[i] = -np.inf
        self._count += 1
