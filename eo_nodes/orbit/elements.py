"""Reads orbital element sets (TLE and OMM JSON) and chooses one for a satellite and a time.

Not here: propagation. Sets live in dated files and are never overwritten: a newer file is dropped
beside the older ones. A bad set is a named error and the others of its file are still used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sgp4 import omm
from sgp4.api import SGP4_ERRORS, Satrec
from sgp4.io import compute_checksum

from .errors import ElementsError, NoElementsError
from .timescale import DAY_NS

_JD_1970 = 2_440_587.5
_TLE_LINE_CHARS = 69
# sgp4 reads columns leniently (letters become zeros), so their form is checked first.
_TLE_FORMS = (
    re.compile(
        r"1 [ \dA-Z][ \d]{4}[UCS ] [ \dA-Z]{8} [ \d]{5}\.\d{8} [ +-]\.\d{8} "
        r"[ +-][ \d]{5}[+-]\d [ +-][ \d]{5}[+-]\d [ \d] [ \d]{4}\d"
    ),
    re.compile(
        r"2 [ \dA-Z][ \d]{4} [ \d]{3}\.\d{4} [ \d]{3}\.\d{4} \d{7} [ \d]{3}\.\d{4} "
        r"[ \d]{3}\.\d{4} [ \d]{2}\.\d{8}[ \d]{5}\d"
    ),
)
_OMM_KEYS = (
    "OBJECT_NAME", "OBJECT_ID", "EPOCH", "MEAN_MOTION", "ECCENTRICITY", "INCLINATION",
    "RA_OF_ASC_NODE", "ARG_OF_PERICENTER", "MEAN_ANOMALY", "NORAD_CAT_ID", "BSTAR",
    "MEAN_MOTION_DOT", "MEAN_MOTION_DDOT",
)  # fmt: skip
_OMM_DEFAULTS = {
    "CLASSIFICATION_TYPE": "U", "EPHEMERIS_TYPE": 0, "ELEMENT_SET_NO": 999, "REV_AT_EPOCH": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ElementSet:
    """Mean elements of one object at one epoch.

    Attributes:
        name: as in the file, e.g. "SENTINEL-2A".
        norad_id: catalogue number, > 0.
        epoch_ns: UTC, ns since 1970 (a TLE resolves 0.9 ms).
        source: file name or "uplink".
        satrec: the initialised sgp4 record (WGS-72); not part of equality.
    """

    name: str
    norad_id: int
    epoch_ns: int
    source: str
    satrec: Satrec = field(repr=False, compare=False)

    def age_ns(self, t_ns: int) -> int:
        """Time since the epoch, ns; negative before it."""
        return t_ns - self.epoch_ns


@dataclass(frozen=True, slots=True)
class ElementFile:
    """What a text gave: the sets that are usable, and why the others are not."""

    sets: tuple[ElementSet, ...]
    errors: tuple[ElementsError, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """The element set chosen for a time.

    Attributes:
        elements: the set.
        age_days: since its epoch; negative when every known set is from after the time.
        is_stale: |age| above the limit asked for; positions are then off by many km.
    """

    elements: ElementSet
    age_days: float
    is_stale: bool


def parse_tle(text: str, source: str) -> ElementFile:
    """Read two-line element sets, each after an optional name line; '#' starts a comment line.

    Args:
        text: lines of the file; names may carry the "0 " prefix of Space-Track.
        source: what to call the text in errors.
    Returns:
        Usable sets in order, and one ElementsError for each set that is cut, has a wrong checksum,
        two catalogue numbers, or elements that SGP4 refuses.
    Source: CelesTrak, "NORAD two-line element set format".
    """
    sets: list[ElementSet] = []
    errors: list[ElementsError] = []
    name, first, first_at = "", "", 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.rstrip()
        if not line or line.startswith("#"):
            continue
        try:
            if line.startswith("1 ") and not first:
                first, first_at = line, number
            elif line.startswith("2 ") and first:
                pair, first = (first, line), ""
                sets.append(_from_tle(name, *pair, source, first_at))
                name = ""
            else:
                stray, first = bool(first) or line.startswith("2 "), ""
                name = line.removeprefix("0 ").strip()
                if stray:
                    raise ElementsError(source, number, "line 1 and line 2 are not a pair")
        except ElementsError as error:
            errors.append(error)
    if first:
        errors.append(ElementsError(source, first_at, "the file ends after line 1"))
    return ElementFile(tuple(sets), tuple(errors))


def parse_omm(text: str, source: str) -> ElementFile:
    """Read a JSON list of CCSDS Orbit Mean-elements Messages, as CelesTrak and Space-Track give it.

    Args:
        text: JSON, a list of objects with the OMM keywords, or one such object.
        source: what to call the text in errors.
    Returns:
        Usable sets in order, and one ElementsError for each message that lacks a keyword, has a
        value that is no number, or elements that SGP4 refuses.
    Source: CCSDS 502.0-B-3, chapter 4.
    """
    try:
        messages = json.loads(text)
    except ValueError as error:
        return ElementFile((), (ElementsError(source, 1, f"is not JSON: {error}"),))
    if isinstance(messages, Mapping):
        messages = [messages]
    if not isinstance(messages, list):
        return ElementFile((), (ElementsError(source, 1, "is no list of messages"),))
    read = [_try_omm(message, source, index) for index, message in enumerate(messages, start=1)]
    return ElementFile(
        tuple(one for one in read if isinstance(one, ElementSet)),
        tuple(one for one in read if isinstance(one, ElementsError)),
    )


def read_file(path: Path) -> ElementFile:
    """Read one element file by its ending: .json is OMM, .tle and .txt are two-line sets."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return ElementFile((), (ElementsError(path.name, 1, f"cannot be read: {error}"),))
    return parse_omm(text, path.name) if path.suffix == ".json" else parse_tle(text, path.name)


class Catalogue:
    """Every known element set by satellite; grows when newer ones arrive, never shrinks."""

    def __init__(self, sets: Iterable[ElementSet] = ()) -> None:
        self._by_id: dict[int, list[ElementSet]] = {}
        self.add(sets)

    def add(self, sets: Iterable[ElementSet]) -> None:
        """Add sets, filed or uplinked; of two with one epoch the later added one counts."""
        for one in sets:
            known = [s for s in self._by_id.get(one.norad_id, []) if s.epoch_ns != one.epoch_ns]
            self._by_id[one.norad_id] = sorted([*known, one], key=lambda s: s.epoch_ns)

    def norad_ids(self) -> tuple[int, ...]:
        """Catalogue numbers with at least one set, ascending."""
        return tuple(sorted(self._by_id))

    def select(self, norad_id: int, t_ns: int, *, stale_after_days: float = 14.0) -> Selection:
        """Choose the newest set whose epoch is not after the time, else the earliest known.

        Args:
            norad_id: catalogue number.
            t_ns: UTC, ns since 1970.
            stale_after_days: |age| above which the choice is marked stale, >= 0. SGP4 errors grow
                to some km within days and tens of km within weeks (drag), so 14 by default.
        Raises:
            NoElementsError: no set of this satellite is known.
        """
        sets = self._by_id.get(norad_id)
        if not sets:
            raise NoElementsError(f"no element set of catalogue number {norad_id} is known")
        not_after = [s for s in sets if s.epoch_ns <= t_ns]
        chosen = not_after[-1] if not_after else sets[0]
        age_days = chosen.age_ns(t_ns) / DAY_NS
        return Selection(chosen, age_days, abs(age_days) > stale_after_days)


def load_catalogue(folder: Path) -> tuple[Catalogue, tuple[ElementsError, ...]]:
    """Read every .tle, .txt and .json file of a folder, in order of name (they are named by date).

    Returns:
        The catalogue of what is usable, and the errors of what is not (for events).
    """
    catalogue = Catalogue()
    errors: list[ElementsError] = []
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        if path.suffix in {".tle", ".txt", ".json"}:
            found = read_file(path)
            catalogue.add(found.sets)
            errors.extend(found.errors)
    return catalogue, tuple(errors)


def _from_tle(name: str, line1: str, line2: str, source: str, at: int) -> ElementSet:
    for line, form in zip((line1, line2), _TLE_FORMS, strict=True):
        if len(line) != _TLE_LINE_CHARS or not line.isascii():
            raise ElementsError(source, at, f"line has {len(line)} ASCII characters, not 69")
        if not line[68].isdigit() or int(line[68]) != compute_checksum(line):
            raise ElementsError(source, at, f"checksum of line {line[0]} is wrong")
        if not form.fullmatch(line):
            raise ElementsError(source, at, f"columns of line {line[0]} are not those of a set")
    if line1[2:7] != line2[2:7]:
        raise ElementsError(source, at, f"line 1 is of {line1[2:7]}, line 2 of {line2[2:7]}")
    try:
        satrec = Satrec.twoline2rv(line1, line2)
    except ValueError as error:
        raise ElementsError(source, at, f"is no element set: {error}") from error
    return _checked(name or line1[2:7].strip(), satrec, source, at)


def _try_omm(message: Any, source: str, at: int) -> ElementSet | ElementsError:
    try:
        return _from_omm(message, source, at)
    except ElementsError as error:
        return error


def _from_omm(message: Any, source: str, at: int) -> ElementSet:
    if not isinstance(message, Mapping):
        raise ElementsError(source, at, "message is no object")
    missing = [key for key in _OMM_KEYS if key not in message]
    if missing:
        raise ElementsError(source, at, f"lacks {', '.join(missing)}")
    fields = {**_OMM_DEFAULTS, **message}
    epoch = str(fields["EPOCH"]).removesuffix("Z")
    # sgp4 reads the fraction by a fixed pattern, and the standard lets it be absent.
    fields["EPOCH"] = epoch if "." in epoch else f"{epoch}.0"
    satrec = Satrec()
    try:
        omm.initialize(satrec, fields)
    except (ValueError, TypeError, OverflowError) as error:
        raise ElementsError(source, at, f"has a wrong value: {error}") from error
    return _checked(str(fields["OBJECT_NAME"]).strip(), satrec, source, at)


def _checked(name: str, satrec: Satrec, source: str, at: int) -> ElementSet:
    # Propagating to the epoch itself shows elements that the model cannot take (code 1 to 6).
    code, _, _ = satrec.sgp4(satrec.jdsatepoch, satrec.jdsatepochF)
    if code:
        raise ElementsError(source, at, f"SGP4 refuses the elements: {SGP4_ERRORS[code]}")
    days, fraction = divmod(satrec.jdsatepoch - _JD_1970, 1.0)
    # To the microsecond: what OMM states, and the last digit that the two floats hold.
    epoch_us = round((fraction + satrec.jdsatepochF) * (DAY_NS // 1000))
    epoch_ns = int(days) * DAY_NS + epoch_us * 1000
    return ElementSet(name, int(satrec.satnum), epoch_ns, source, satrec)
