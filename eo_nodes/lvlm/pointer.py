"""Places copied from what the vision graph proposes, instead of spelt out bin by bin.

Theory of operation: where a box or a point begins, the decoder's state is compared with every
proposal of that image (``scores``), and with "none of them". What the decoder leaves to location
tokens (an image token may come first) is then shared out by
a mixture (a pointer network, Vinyals 2015; mixed with generation as by See 2017): proposals that
agree with the fields decoded so far say their own bin, "none" lets the decoder's distribution
stand. Both are weighed again with every field, so that the fields of one value belong together. A
proposal serves one value of an answer, and as lists go on in reading order, which is the proposals'
own, the state also says how much a proposal loses with each one that it leaves out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eo_nodes.lvlm.slis import BINS, to_bin, to_upper_bin

Float = NDArray[np.float32]
Double = NDArray[np.float64]
KINDS = ("box", "point")
_LEAST = -60.0  # of a log-probability: what is as good as impossible stays finite


def fields_of(kind: str, boxes: NDArray[np.floating]) -> NDArray[np.int64]:
    """(R, 4) or (R, 2) bins that a value of this kind has for boxes (R, 4) in [0, 1]."""
    rows = [(to_bin(x1), to_bin(y1), to_upper_bin(x2), to_upper_bin(y2)) if kind == "box" else
            (to_bin((x1 + x2) / 2), to_bin((y1 + y2) / 2)) for x1, y1, x2, y2 in boxes.tolist()]
    return np.array(rows, np.int64).reshape(len(rows), 4 if kind == "box" else 2)


def left_out(count: int, last: int) -> NDArray[np.int64]:
    """(count,) how many proposals each of them would leave out, when ``last`` (-1: none) was the
    last one said; what comes before it leaves out all that follow."""
    index = np.arange(count) - last - 1
    return np.where(index < 0, index + count, index)


def scores(aim: Float, held: Float, last: int = -1, taken: Collection[int] = ()) -> Double:
    """(R + 1,) log-probabilities of the proposals and, last, of none of them.

    Args:
        aim: (P + 2,) of the decoder's state: direction, none, and order before its softplus.
        held: (R, P) of the proposals' tokens.
        last: proposal said last, -1 for none. taken: those said so far.
    """
    count, size = held.shape
    order = np.logaddexp(0.0, float(aim[size + 1]))
    alike = held.astype(np.float64) @ aim[:size] / size**0.5
    raw = np.append(alike - order * left_out(count, last), float(aim[size]))
    raw[list(taken)] = -np.inf
    raw -= raw.max()
    return np.asarray(raw - np.log(np.exp(raw).sum()), np.float64)


@dataclass(frozen=True, slots=True)
class Offer:
    """Proposals of one image: boxes (R, 4) in [0, 1], held (R, P) of their tokens."""

    boxes: Float
    held: Float


class Pointer:
    """Follows the value that is open; one for an answer."""

    def __init__(self, offers: Sequence[Offer]) -> None:
        """offers: of the images 0, 1, ..."""
        self._offers = tuple(offers)
        self._taken: list[list[int]] = [[] for _ in offers]
        self._close()

    def _close(self) -> None:
        self._image, self._count = -1, 0
        self._bins = np.zeros((0, 0), np.int64)
        self._weights: Double = np.zeros(1)

    @property
    def is_open(self) -> bool:
        """Whether the next token is a field of a value that was opened."""
        return self._image >= 0

    def open(self, kind: str, image: int, aim: Float) -> None:
        """Before the first field of a value. aim: (P + 2,) of the state that it follows from."""
        offer = self._offers[image]
        self._image, self._count = image, 0
        self._bins = fields_of(kind, offer.boxes)
        taken = self._taken[image]
        self._weights = scores(aim, offer.held, taken[-1] if taken else -1, taken)

    def mix(self, logprobs: Double, first: int) -> Double:
        """(K,) log-probabilities of the next field, from those of the decoder.

        first: id of the first location token.
        """
        weights = np.exp(self._weights - np.logaddexp.reduce(self._weights))
        out = np.exp(logprobs)
        located = out[first : first + BINS]
        mass = located.sum()
        located *= weights[-1]
        np.add.at(located, self._bins[:, self._count], weights[:-1] * mass)
        with np.errstate(divide="ignore"):
            return np.asarray(np.maximum(np.log(out), _LEAST))

    def take(self, field: int, logprob: float) -> None:
        """The next field was decoded. logprob: of the decoder alone."""
        self._weights[-1] += logprob
        self._weights[:-1][self._bins[:, self._count] != field] = -np.inf
        self._count += 1
        if self._count == self._bins.shape[1]:
            if self._weights[:-1].size and self._weights[:-1].max() > -np.inf:
                self._taken[self._image].append(int(self._weights[:-1].argmax()))
            self._close()
