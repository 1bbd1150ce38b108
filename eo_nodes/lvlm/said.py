"""What an answer has said so far, and where it begins to repeat itself.

Purpose: follow the tokens of one answer in the grammar. Greedy decoding that has named all it sees
may name the same places again and again up to the last token. So an answer is over when a value is
closed that it held before; that value and the words that led to it since the value before are left
out. Behind a closed value the grammar is in free text, and cut behind an earlier value it is as
well: what is left is well formed. Nothing is forced, so every token keeps the probability that it
was chosen with. Non-purpose: choosing tokens (``unified_session``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eo_nodes.lvlm.proposals import iou
from eo_nodes.lvlm.slis import Automaton, Box, SlisVocabulary, State, Value, box_xyxy

SAME_BOX_IOU = 0.9


def is_same(one: Value, other: Value) -> bool:
    """Whether two values say the same: equal, or boxes of one image that nearly cover each other.

    Two ``<seg>`` are never the same: what they mean is not in their tokens.
    """
    if one.kind == "seg":
        return False
    if isinstance(one, Box) and isinstance(other, Box) and one.image == other.image:
        first, second = (np.array(box_xyxy(v), np.float32) for v in (one, other))
        return one == other or bool(iou(first, second[None])[0] >= SAME_BOX_IOU)
    return one == other


class Said:
    """The tokens of one answer, one after the other."""

    def __init__(self, words: SlisVocabulary, automaton: Automaton) -> None:
        self._words, self._automaton = words, automaton
        self._states = [automaton.start()]
        self._values: list[Value] = []
        self._ids: list[int] = []
        # Length behind the last value, at the marker of the open one, and where a repeat is cut.
        self._behind = self._marker = 0
        self._cut: int | None = None

    def follow(self, ids: Sequence[int]) -> State:
        """Place in the grammar behind these tokens, which go on from those of the call before.

        Raises:
            SlisError: a token cannot come there.
        """
        for token in ids[len(self._ids):]:
            self._take(token)
        return self._states[len(ids)]

    def _take(self, token: int) -> None:
        state = self._automaton.advance(self._states[-1], token)
        was_open, is_open = (self._automaton.is_open(s) for s in (self._states[-1], state))
        self._states.append(state)
        self._ids.append(token)
        place = len(self._ids)
        if is_open and not was_open:
            self._marker = place - 1
        elif was_open and not is_open:
            value = self._words.segments(self._ids[self._marker:])[0]
            assert not isinstance(value, str)
            if self._cut is None and any(is_same(value, v) for v in self._values):
                self._cut = self._behind
            self._values.append(value)
        if not (is_open or self._words.text_tokens[token]) and token != self._words.end_of_text:
            self._behind = place

    @property
    def is_repeating(self) -> bool:
        """Whether a value was closed that had been said before."""
        return self._cut is not None

    def whole(self, ids: Sequence[int]) -> list[int]:
        """Those of the tokens that stand: no value that is open, none that repeats another."""
        self.follow(ids)
        kept = list(ids[: self._cut])
        while self._automaton.is_open(self._states[len(kept)]):
            kept.pop()
        return kept
