"""Token form of the spatial language: between ids and segments.

A value is its marker token, the image token unless that is image 0, one location token a field,
and ``<end>`` where the number of fields varies. Free text is whatever the tokenizer makes of it.
The 528 spatial tokens should lie outside the tokenizer's own table, so that no typed text turns
into one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eo_nodes.lvlm.slis.text import parse, serialise
from eo_nodes.lvlm.slis.values import (
    BINS,
    KINDS,
    MAX_IMAGES,
    Segment,
    SlisSyntaxError,
    SlisValueError,
    Value,
    field_count,
    make,
)

SPATIAL_TOKENS: tuple[str, ...] = (
    *(f"<{kind}>" for kind in KINDS),
    "<end>",
    *(f"<@{index}>" for index in range(MAX_IMAGES)),
    *(f"<{bin_}>" for bin_ in range(BINS)),
)
"""Names of the spatial tokens in the order of ``SpatialIds.block``: 8 markers, images, bins."""

_NO_SPACE_BEFORE = re.compile(r"[,.;:!?)\]]")
_NO_SPACE_AFTER = ("(", "[")


@dataclass(frozen=True, slots=True)
class SpatialIds:
    """Where the spatial tokens lie in a vocabulary.

    Attributes:
        markers: id of each kind of ``KINDS``.
        end: id of ``<end>``.
        images: id of ``<@0>``; ``<@k>`` is ``images + k``.
        locations: id of ``<0>``; bin v is ``locations + v``.
    """

    markers: Mapping[str, int]
    end: int
    images: int
    locations: int

    @classmethod
    def block(cls, first: int) -> SpatialIds:
        """All 528 in one block from ``first``, in the order of ``SPATIAL_TOKENS``."""
        markers = {kind: first + index for index, kind in enumerate(KINDS)}
        images = first + len(KINDS) + 1
        return cls(markers, images - 1, images, images + MAX_IMAGES)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> SpatialIds:
        """From a model's configuration, as ``as_json`` wrote it.

        Raises:
            SlisValueError: an entry is missing or no id.
        """
        try:
            markers = {kind: int(content["markers"][kind]) for kind in KINDS}
            end, images, locations = (int(content[n]) for n in ("end", "images", "locations"))
        except (KeyError, TypeError, ValueError) as error:
            raise SlisValueError(f"spatial tokens: {error!r}") from error
        return cls(markers, end, images, locations)

    def as_json(self) -> dict[str, Any]:
        """Content for a model's configuration."""
        return {"markers": dict(self.markers), "end": self.end, "images": self.images,
                "locations": self.locations}

    def all(self) -> list[int]:
        """All 528 ids, in the order of ``SPATIAL_TOKENS``."""
        return [*(self.markers[kind] for kind in KINDS), self.end,
                *range(self.images, self.images + MAX_IMAGES),
                *range(self.locations, self.locations + BINS)]


class TextCodec(Protocol):
    """Free text to ids and back.

    Attributes:
        keeps_spaces: whether decoding gives every space back (byte-level BPE does, WordPiece not).
        answer_ids: ids that an answer may hold: no padding or the like, and no token with a
            ``<``, of which markers could be spelled in free text.
    """

    @property
    def keeps_spaces(self) -> bool: ...

    @property
    def answer_ids(self) -> Collection[int]: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


class TokenizerCodec:
    """A ``tokenizers.Tokenizer`` as text codec.

    Args:
        tokenizer: without the spatial tokens, or with them in the same ids as the vocabulary.
        special: ids with a meaning of their own (padding, unknown, class, separator); the end of
            text may be among them.
        keeps_spaces: as in ``TextCodec``; by default what the tokenizer's decoder does.
    """

    def __init__(
        self, tokenizer: Any, special: Iterable[int] = (), keeps_spaces: bool | None = None
    ) -> None:
        self._tokenizer = tokenizer
        if keeps_spaces is None:
            keeps_spaces = type(tokenizer.decoder).__name__ != "WordPiece"
        self.keeps_spaces: bool = keeps_spaces
        plain = (i for token, i in tokenizer.get_vocab().items() if "<" not in token)
        self.answer_ids: frozenset[int] = frozenset(plain) - frozenset(special)

    def encode(self, text: str) -> list[int]:
        """Ids of a piece of text, without special tokens around it."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))


class SlisVocabulary:
    """Ids of text and spatial tokens of one model.

    Args:
        size: number of ids V, that is the width of the logits.
        ids: where the spatial tokens lie.
        codec: of free text.
        end_of_text: id that ends an answer.
    Raises:
        SlisValueError: ids overlap or lie outside 0..size-1.
    """

    def __init__(self, size: int, ids: SpatialIds, codec: TextCodec, end_of_text: int) -> None:
        spatial = ids.all()
        if len(set(spatial) | {end_of_text}) != len(SPATIAL_TOKENS) + 1:
            raise SlisValueError("two spatial tokens, or one and the end of text, share an id")
        if min(spatial) < 0 or max(spatial) >= size or not 0 <= end_of_text < size:
            raise SlisValueError(f"a spatial token or the end of text lies outside 0..{size - 1}")
        self.size, self.ids, self.codec, self.end_of_text = size, ids, codec, end_of_text
        self._spatial = frozenset(spatial)
        self._kind_of = {i: kind for kind, i in ids.markers.items()}
        text = np.zeros(size, bool)
        text[[i for i in codec.answer_ids if 0 <= i < size]] = True
        text[[*spatial, end_of_text]] = False
        text.setflags(write=False)
        self.text_tokens: NDArray[np.bool_] = text
        """(V,) bool: free text that an answer may hold; the end of text is not among them."""

    # -- to ids ----------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """Ids of text with values in it.

        Raises:
            SlisSyntaxError: a value in the text is malformed.
        """
        return self.encode_segments(parse(text))

    def encode_segments(self, segments: Iterable[Segment]) -> list[int]:
        """Ids of free text and values, in order."""
        ids: list[int] = []
        for segment in segments:
            ids += self._free(segment) if isinstance(segment, str) else self._value(segment)
        return ids

    def _free(self, text: str) -> list[int]:
        ids = self.codec.encode(text)
        if self._spatial.isdisjoint(ids):
            return ids
        # The tokenizer knows the spatial tokens and the text spells one, such as "<12>".
        return self.codec.encode(text.replace("<", "< "))

    def _value(self, value: Value) -> list[int]:
        ids = [self.ids.markers[value.kind]]
        if value.image:
            ids.append(self.ids.images + value.image)
        ids += [self.ids.locations + number for number in value.numbers]
        if field_count(value.kind) is None:
            ids.append(self.ids.end)
        return ids

    # -- from ids --------------------------------------------------------------------------------

    def decode(self, ids: Sequence[int]) -> str:
        """Canonical text of ids, up to the end of text if there is one.

        Raises:
            SlisSyntaxError: the spatial tokens are malformed; the position is the index of the id.
        """
        return serialise(self.spaced(self.segments(ids)))

    def segments(self, ids: Sequence[int]) -> list[Segment]:
        """Free text and values of ids, up to the end of text; errors as ``decode``."""
        found: list[Segment] = []
        text: list[int] = []
        place = 0
        while place < len(ids) and ids[place] != self.end_of_text:
            token = ids[place]
            if token not in self._spatial:
                text.append(token)
                place += 1
                continue
            if text:
                found.append(self.codec.decode(text))
                text = []
            value, place = self._read(ids, place)
            found.append(value)
        if text:
            found.append(self.codec.decode(text))
        return [segment for segment in found if segment != ""]

    def _read(self, ids: Sequence[int], start: int) -> tuple[Value, int]:
        """Value whose marker is at ``start``, and the place behind it."""
        kind = self._kind_of.get(ids[start])
        if kind is None:
            raise SlisSyntaxError(start, f"spatial token {ids[start]} outside a value")
        place, image = start + 1, 0
        if place < len(ids) and 0 < ids[place] - self.ids.images < MAX_IMAGES:
            image = ids[place] - self.ids.images
            place += 1
        count = field_count(kind)
        numbers: list[int] = []
        while count is None or len(numbers) < count:
            if place >= len(ids):
                raise SlisSyntaxError(start, f"{kind} is cut off")
            if count is None and ids[place] == self.ids.end:
                place += 1
                break
            number = ids[place] - self.ids.locations
            if not 0 <= number < BINS:
                raise SlisSyntaxError(place, f"token {ids[place]} inside {kind}")
            numbers.append(number)
            place += 1
        try:
            return make(kind, numbers, image), place
        except SlisValueError as error:
            raise SlisSyntaxError(start, str(error)) from error

    def spaced(self, segments: Sequence[Segment]) -> list[Segment]:
        """Put back the spaces around values that the text codec loses.

        A codec that keeps spaces gets its segments back unchanged.
        """
        if self.codec.keeps_spaces:
            return list(segments)
        out: list[Segment] = []
        for segment in segments:
            if out and not _sticks(out[-1], segment):
                out.append(" ")
            out.append(segment)
        return out


def _sticks(before: Segment, after: Segment) -> bool:
    """Whether no space stands between two segments of spaceless text."""
    if isinstance(before, str):
        return before.endswith(_NO_SPACE_AFTER)
    return isinstance(after, str) and bool(_NO_SPACE_BEFORE.match(after))

