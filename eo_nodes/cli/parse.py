"""Option texts to values: outlines, windows, visual prompts, times."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from eo_nodes.contracts.rules import ZOOM_AS_CONFIGURED, ZOOM_IN, ZOOM_OUT, ZOOM_WHOLE
from eo_nodes.contracts.values import VisualPrompt

from .common import UsageError

_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Read numbers apart by commas or spaces.

    Raises:
        UsageError: something is no number.
    """
    try:
        return tuple(float(part) for part in re.split(r"[,\s]+", text.strip()) if part)
    except ValueError:
        raise UsageError(f"{option} {text!r}: numbers apart by commas are wanted") from None


def area(text: str) -> tuple[float, ...]:
    """Read an outline: ``west,south,east,north``, or lon lat pairs of at least three corners.

    Returns:
        Lon lat pairs, degrees. Whether they lie on the globe the task's contract decides.
    Raises:
        UsageError: the count of numbers fits neither form, or the box is empty.
    """
    found = numbers(text, "--area")
    if len(found) == 4:
        west, south, east, north = found
        if west >= east or south >= north:
            raise UsageError("--area: west < east and south < north are wanted")
        return (west, south, east, south, east, north, west, north)
    if len(found) < 6 or len(found) % 2:
        raise UsageError("--area: west,south,east,north or at least three lon,lat pairs")
    return found


def window(text: str) -> tuple[int, ...]:
    """Read ``x,y,width,height`` in scene pixels."""
    found = numbers(text, "--window")
    if len(found) != 4:
        raise UsageError("--window: x,y,width,height are wanted")
    return tuple(round(number) for number in found)


def zoom(text: str, window: Sequence[int]) -> int | None:
    """Read ``auto`` (None), ``none`` or the number of windows of each image, 0 to 4.

    Args:
        text: ``out`` is none of these windows, but wants ``window``, what is asked about.
    Raises:
        UsageError: something else, or nothing to zoom out from.
    """
    if text == "out":
        if not window:
            raise UsageError("--zoom out: --window is wanted, what the question is about")
        return 0
    if text == "auto":
        return None
    if text == "none":
        return 0
    if text in ("0", "1", "2", "3", "4"):
        return int(text)
    raise UsageError(f"--zoom {text!r:.40}: auto, none, out or 0 to 4 is wanted")


def task_zoom(text: str) -> int:
    """Read ``auto``, ``none``, ``in`` or ``out`` as the zoom of a task.

    Raises:
        UsageError: something else.
    """
    known = {"auto": ZOOM_AS_CONFIGURED, "none": ZOOM_WHOLE, "in": ZOOM_IN, "out": ZOOM_OUT}
    if text not in known:
        raise UsageError(f"--zoom {text!r:.40}: {', '.join(known)} is wanted")
    return known[text]


def names(text: str) -> tuple[str, ...]:
    """Read names apart by commas; an empty text is none."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def image_index(text: str, count: int, option: str) -> tuple[int, str]:
    """Read ``@1 rest``: which image of a request, 0 when unsaid, and the rest.

    Raises:
        UsageError: there is no such image.
    """
    match = re.fullmatch(r"@(\d+)\s+(.*)", text.strip(), re.DOTALL)
    if match is None:
        return 0, text.strip()
    if int(match[1]) >= count:
        raise UsageError(f"{option} {text!r}: the last image is @{count - 1}")
    return int(match[1]), match[2]


def visual(kind: str, text: str) -> VisualPrompt:
    """Read a point or box; a label may follow after a colon: ``10,20,80,90:this ship``."""
    places, _, label = text.partition(":")
    found = numbers(places, f"--{kind}")
    wanted = {"point": 2, "box": 4}[kind]
    if len(found) != wanted:
        raise UsageError(f"--{kind}: {wanted} numbers are wanted, {len(found)} given")
    return VisualPrompt(kind=kind, xy=found, label=label.strip())


def moment(text: str, now_ns: int, option: str) -> int:
    """Read a time: ``90s``, ``30min``, ``6h``, ``2d`` from now, or ISO 8601 (UTC when unsaid).

    Returns:
        ns since 1970-01-01 UTC.
    Raises:
        UsageError: it is neither.
    """
    if match := re.fullmatch(r"\+?(\d+(?:\.\d+)?)\s*(s|m|min|h|d)", text.strip()):
        return now_ns + round(float(match[1]) * _UNITS_S[match[2]] * 1e9)
    try:
        found = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise UsageError(f"{option} {text!r}: 6h, 30min or 2026-10-04T12:00:00Z wanted") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=datetime.timezone.utc)
    return int(found.timestamp()) * 1_000_000_000 + found.microsecond * 1000
