"""Numbers copied from what the vision graph proposes, instead of remembered.

Theory of operation: at the end of the prompt the decoder says what is asked for: how many there are
of a kind, whether there is any, or something else. Each of these has one answer that the kept
proposals give, written as tokens. The next token is then a mixture, as ``pointer`` mixes places: an
answer that agrees with the tokens decoded so far says its own next token, "something else" lets the
decoder's distribution stand; all are weighed again with every token. So a decoder that learnt
usual numbers from few pictures still says the number that is seen, and its log-probabilities tell
how sure it is that this was asked. (Copying: Vinyals 2015, mixed with generation as by See 2017.)

Order of the scores: counts of the kinds, count of all; whether there is one of a kind, of any;
something else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.proposals import COUNTED_SCORE, Proposals
from eo_nodes.lvlm.visual_prompts import VisualPrompt, rasterise

Float = NDArray[np.float32]
Double = NDArray[np.float64]
YES, NO = "yes", "no"
_AREAS = ("box", "polygon", "mask")  # places that hold proposals; a point holds none
_GRID = 128  # cells a side, by which it is told whether a proposal lies in a place
_WHOLE = (0.0, 0.0, 1.0, 1.0)
_LEAST = -60.0  # of a log-probability: what is as good as impossible stays finite


def size_of(kinds: int) -> int:
    """How many scores there are for so many kinds."""
    return 2 * (kinds + 1) + 1


def numbers(found: Proposals, places: Sequence[VisualPrompt] = ()) -> NDArray[np.int64]:
    """(K + 1,) proposals of each kind, and of all, that count.

    Args:
        places: on this image; where one is an area, only what has its centre in it counts.
    """
    sure = found.score > COUNTED_SCORE
    area = next((p for p in places if p.kind in _AREAS), None)
    if area is not None and len(found.score):
        weight = rasterise(area, _WHOLE, _GRID, _GRID)
        centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
        column, row = np.clip((centres * _GRID).astype(np.int64), 0, _GRID - 1).T
        sure = sure & (weight[row, column] > 0)
    kinds = found.kinds.shape[1]
    best = found.kinds.argmax(1) if len(found.score) else np.zeros(0, np.int64)
    each = np.bincount(best[sure], minlength=kinds)
    return np.append(each, each.sum()).astype(np.int64)


def answers(counts: Sequence[int], write: Callable[[str], list[int]], end: int) -> list[list[int]]:
    """Token ids of every answer, the end token included; counts: as ``numbers`` gives them."""
    said = [str(n) for n in counts] + [YES if n else NO for n in counts]
    return [[*write(text), end] for text in said]


class Tally:
    """Follows an answer from its first token; one for an answer."""

    def __init__(self, scores: Float, candidates: Sequence[Sequence[int]]) -> None:
        """scores: (C + 1,) logits, the last of something else; candidates: C answers as tokens.

        Raises:
            ModelError: scores of another number, or not finite: the folder's graph is none of ours.
        """
        if len(scores) != len(candidates) + 1 or not np.isfinite(scores).all():
            raise ModelError(f"tally: {len(scores)} scores for {len(candidates)} answers, "
                             f"{int(np.isfinite(scores).sum())} of them finite")
        self._candidates = [tuple(ids) for ids in candidates]
        weights = scores.astype(np.float64)
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
