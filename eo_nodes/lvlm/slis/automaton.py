"""Constrained decoding: which token may come next, so that no output can be malformed.

Theory of operation: outside a value any text token, the end, and every marker whose shortest
value still fits into the remaining tokens may come. Inside a value what may come is one interval
of location tokens, ``<end>``, or both. The interval follows from the order of coordinates and
from the tokens that are left: a field is only allowed if the value can still be closed behind it.
So an output is well formed wherever decoding is cut off, and no step has an empty choice.

The state is a small tuple; a step costs a copy of one precomputed row of the vocabulary's width.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eo_nodes.lvlm.slis.values import (
    BINS,
    KINDS,
    LARGEST,
    MAX_IMAGES,
    MAX_VERTICES,
    SlisError,
    SlisValueError,
    field_count,
)
from eo_nodes.lvlm.slis.vocabulary import SlisVocabulary

Bool = NDArray[np.bool_]
# Tokens of the shortest value of each kind: a mask has rows, cols and at least one run.
_SHORTEST = {"point": 3, "box": 5, "obox": 6, "poly": 8, "mask": 5, "span": 3, "seg": 1}
_TEXT, _ENDED = "", "ended"


class State(NamedTuple):
    """Place in the grammar.

    Attributes:
        kind: of the open value, empty in free text, ``ended`` behind the end of text.
        fields: how many of them are there so far.
        may_index: the last token was a marker, so an image token may follow. Behind ``<seg>``,
            which needs nothing more, free text may follow as well.
        memory: what later fields depend on: first corner (box), first index (span), rows (mask,
            before its columns), cells left and last run (mask).
    """

    kind: str = _TEXT
    fields: int = 0
    may_index: bool = False
    memory: tuple[int, ...] = ()


class Automaton:
    """The grammar over one model's vocabulary and one request's images.

    Args:
        vocabulary: ids of text and spatial tokens.
        images: number of images of the request, 1..8; an index must be below it.
        frames: number of frames or dates, 1..512; span indices are below it.
        kinds: kinds of values that may be opened.
    Raises:
        SlisValueError: a number out of range, or an unknown kind.
    """

    def __init__(
        self, vocabulary: SlisVocabulary, *, images: int = 1, frames: int = BINS,
        kinds: Collection[str] = KINDS,
    ) -> None:
        if not 1 <= images <= MAX_IMAGES or not 1 <= frames <= BINS:
            raise SlisValueError(f"{images} images of {frames} frames")
        if unknown := set(kinds) - set(KINDS):
            raise SlisValueError(f"unknown kinds {sorted(unknown)}")
        self._vocabulary, self._images, self._frames = vocabulary, images, frames
        ids = vocabulary.ids
        self._kind_of = {ids.markers[kind]: kind for kind in KINDS if kind in kinds}
        lengths = range(max(_SHORTEST.values()) + 1)
        self._text_rows = [self._text_row(left) for left in lengths]
        self._indexed_rows = [self._text_row(left) for left in lengths]
        for row in self._indexed_rows:
            row[ids.images + 1 : ids.images + images] = True
        self._ended_row = self._row()
        self._ended_row[vocabulary.end_of_text] = True
        for row in (*self._text_rows, *self._indexed_rows, self._ended_row):
            row.setflags(write=False)

    def _row(self) -> Bool:
        return np.zeros(self._vocabulary.size, bool)

    def _text_row(self, remaining: int) -> Bool:
        row = self._vocabulary.text_tokens.copy()
        row[self._vocabulary.end_of_text] = True
        for token, kind in self._kind_of.items():
            row[token] = _SHORTEST[kind] <= remaining
        return row

    def start(self) -> State:
        """State before the first token of an answer."""
        return State()

    def is_open(self, state: State) -> bool:
        """Whether a value is begun and not closed."""
        return state.kind not in (_TEXT, _ENDED)

    def closing(self, state: State) -> int:
        """Fewest tokens that close the open value, 0 in free text."""
        kind, count = state.kind, state.fields
        if not self.is_open(state):
            return 0
        if kind == "poly":
            return max(6 - count, count % 2) + 1
        if kind == "mask":
            # At best one row and one column; runs as long as a token can say.
            cells = state.memory[0] if count else 1
            return max(2 - count, 0) + -(-cells // LARGEST) + 1
        return _SHORTEST[kind] - 1 - count

    def allowed(self, state: State, remaining: int) -> Bool:
        """(V,) bool of the tokens that may come next; not to be written to.

        Args:
            state: of ``start`` or ``advance``.
            remaining: tokens that may still be decoded, this one included, >= 1. From one step to
                the next it may not shrink by more than 1.
        Raises:
            SlisError: the open value cannot be closed within ``remaining``.
        """
        if remaining < max(1, self.closing(state)):
            raise SlisError(f"{remaining} tokens left, {state.kind or 'text'} needs more")
        if state.kind == _TEXT:
            rows = self._indexed_rows if state.may_index else self._text_rows
            return rows[min(remaining, len(rows) - 1)]
        if state.kind == _ENDED:
            return self._ended_row
        ids = self._vocabulary.ids
        low, high, may_end = self._fields(state, remaining)
        row = self._row()
        row[ids.locations + low : ids.locations + high + 1] = True
        row[ids.end] = may_end
        if state.may_index and remaining > self.closing(state):
            row[ids.images + 1 : ids.images + self._images] = True
        return row

    def _fields(self, state: State, remaining: int) -> tuple[int, int, bool]:
        """Lowest and highest bin that may come (none when high < low), and whether <end> may."""
        kind, count, memory = state.kind, state.fields, state.memory
        if kind == "poly":
            full = count >= 2 * MAX_VERTICES
            last = count >= 6 and count % 2 == 0
            closed_in_time = not last or remaining >= 3
            return 0, LARGEST if closed_in_time and not full else -1, last
        if kind == "mask":
            return self._mask_fields(state, remaining)
        if kind == "span":
            return memory[0] if count else 0, self._frames - 1, False
        if kind == "box" and count >= 2:
            return memory[count - 2], LARGEST, False
        return 0, LARGEST, False

    @staticmethod
    def _mask_fields(state: State, remaining: int) -> tuple[int, int, bool]:
        # Behind this field come full runs of LARGEST in both kinds of cells, then <end>.
        reach = LARGEST * (remaining - 2)
        if state.fields == 0:
            return 1, LARGEST, False
        if state.fields == 1:
            return 1, min(LARGEST, reach // state.memory[0]), False
        left, last = state.memory
        if left == 0:
            return 0, -1, True
        lowest = 0 if last in (-1, LARGEST) else 1
        return max(lowest, left - reach), min(LARGEST, left), False

    def advance(self, state: State, token: int) -> State:
        """State behind a token.

        Raises:
            SlisError: the token cannot come here, however many tokens are left.
        """
        kind, ids = state.kind, self._vocabulary.ids
        if state.may_index and 0 < token - ids.images < self._images:
            return state._replace(may_index=False)
        if kind == _TEXT:
            return self._advance_text(token)
        if kind == _ENDED:
            if token == self._vocabulary.end_of_text:
                return state
            raise SlisError(f"token {token} behind the end of text")
        low, high, may_end = self._fields(state, BINS * BINS)
        if token == ids.end and may_end:
            return State()
        field = token - ids.locations
        if not low <= field <= high:
            raise SlisError(f"token {token} may not be field {state.fields} of {kind}")
        count = state.fields + 1
        if count == field_count(kind):
            return State()
        return State(kind, count, False, _remember(state, field))

    def _advance_text(self, token: int) -> State:
        if token == self._vocabulary.end_of_text:
            return State(_ENDED)
        kind = self._kind_of.get(token)
        if kind == "seg":
            return State(may_index=True)
        if kind is not None:
            return State(kind, 0, True)
        if 0 <= token < self._vocabulary.size and self._vocabulary.text_tokens[token]:
            return State()
        raise SlisError(f"token {token} may not stand in free text")


def _remember(state: State, field: int) -> tuple[int, ...]:
    """Memory behind a field that is not the last of its value."""
    kind, count, memory = state.kind, state.fields, state.memory
    if kind == "mask":
        if count == 0:
            return (field,)
        if count == 1:
            return memory[0] * field, -1
        return memory[0] - field, field
    if (kind == "box" and count < 2) or kind == "span":
        return (*memory, field)
    return memory
