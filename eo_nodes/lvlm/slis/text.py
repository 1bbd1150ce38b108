"""Text of the spatial language: parser and serialiser, exact inverses.

Every text that the parser accepts is canonical: it serialises to the same characters. So a
number has no leading zero, fields are parted by one space, and image 0 is not written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from eo_nodes.lvlm.slis.values import (
    KINDS,
    MAX_IMAGES,
    Mask,
    Seg,
    Segment,
    SlisSyntaxError,
    SlisValueError,
    Value,
    make,
)

# A marker opens a value only as a whole word: "<boxer" and "< box" are free text.
_OPENER = re.compile(rf"<({'|'.join(KINDS)})(?![0-9A-Za-z_])")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,2}")
_IMAGE = re.compile(rf"@[1-{MAX_IMAGES - 1}]")


def write_value(value: Value) -> str:
    """Canonical text of one value, e.g. ``<box @1 12 40 80 99>``."""
    image = [f"@{value.image}"] if value.image else []
    return f"<{' '.join([value.kind, *image, *map(str, value.numbers)])}>"


def serialise(segments: Iterable[Segment]) -> str:
    """Canonical text of free text and values in order.

    Raises:
        SlisSyntaxError: free text holds the opening of a value, which would be read as one.
    """
    parts: list[str] = []
    free = ""
    done = 0
    for segment in segments:
        if isinstance(segment, str):
            free += segment
            continue
        _refuse_opener(free, done)
        text = write_value(segment)
        parts += [free, text]
        done += len(free) + len(text)
        free = ""
    _refuse_opener(free, done)
    return "".join([*parts, free])


def _refuse_opener(free: str, offset: int) -> None:
    if found := _OPENER.search(free):
        raise SlisSyntaxError(offset + found.start(), f"free text holds {found.group()!r}")


def parse(text: str) -> list[Segment]:
    """Split text into free text and values.

    Args:
        text: any characters. ``<`` not followed by a marker name is free text.
    Returns:
        Segments in order, no empty and no neighbouring strings. ``serialise`` gives the text back.
    Raises:
        SlisSyntaxError: a value is malformed; the position is that of the field at fault, or of
            its ``<`` when the fields do not fit each other.
    """
    segments: list[Segment] = []
    place = 0
    while opener := _OPENER.search(text, place):
        if opener.start() > place:
            segments.append(text[place : opener.start()])
        close = text.find(">", opener.end())
        if close < 0:
            raise SlisSyntaxError(opener.start(), f"{opener.group()!r} is never closed")
        segments.append(_value(text, opener, close))
        place = close + 1
    if place < len(text):
        segments.append(text[place:])
    return segments


def _value(text: str, opener: re.Match[str], close: int) -> Value:
    image, numbers = 0, []
    place = opener.end()
    while place < close:
        if text[place] != " ":
            raise SlisSyntaxError(place, f"expected a space or '>', got {text[place]!r}")
        place += 1
        stop = text.find(" ", place, close)
        field = text[place : close if stop < 0 else stop]
        if _NUMBER.fullmatch(field):
            numbers.append(int(field))
        elif _IMAGE.fullmatch(field) and place == opener.end() + 1:
            image = int(field[1:])
        else:
            raise SlisSyntaxError(place, _fault(field))
        place += len(field)
    try:
        return make(opener.group(1), numbers, image)
    except SlisValueError as error:
        raise SlisSyntaxError(opener.start(), str(error)) from error


def _fault(field: str) -> str:
    if field == "@0":
        return "image 0 is written without an index"
    if field.startswith("@"):
        return f"{field!r:.20} is no image index 1 to {MAX_IMAGES - 1} in first place"
    return f"{field!r:.20} is no number 0 to 511 without leading zeros"


def fill_segs(text: str, masks: Sequence[Mask | None]) -> str:
    """Put the masks of the pixel module where a text holds ``<seg>``.

    Args:
        text: canonical text.
        masks: one for each ``<seg>`` in order; None leaves it standing.
    Raises:
        SlisSyntaxError: the text is malformed.
        SlisValueError: another number of masks, or one of another image.
    """
    segments = parse(text)
    places = [i for i, segment in enumerate(segments) if isinstance(segment, Seg)]
    if len(places) != len(masks):
        raise SlisValueError(f"{len(masks)} masks for {len(places)} <seg>")
    for place, mask in zip(places, masks, strict=True):
        seg = segments[place]
        if mask is None or isinstance(seg, str):
            continue
        if mask.image != seg.image:
            raise SlisValueError(f"mask of image {mask.image} for <seg> of image {seg.image}")
        segments[place] = mask
    return serialise(segments)
