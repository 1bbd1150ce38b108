"""Rules on the fields of values, and the check that a node runs on what enters it.

A rule is a function of one value that returns what is wrong, or an empty string.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import field, fields, is_dataclass
from functools import cache
from typing import Any

from .errors import ContractError

Rule = Callable[[Any], str]

MODALITIES = ("optical", "multispectral", "sar", "thermal", "temporal", "elevation")
# Zoom of a task: as the node is configured, the window as a whole, its parts finer as well, the
# window with what surrounds it.
ZOOM_AS_CONFIGURED, ZOOM_WHOLE, ZOOM_IN, ZOOM_OUT = range(4)
PRODUCT_KINDS = (
    "answer",
    "overview",
    "regions",
    "refinement",
    "enhancement",
    "event",
    "housekeeping",
    "catalogue",
)


def checked(default: Any, rule: Rule) -> Any:
    """Declare a dataclass field with a default and a rule that `validate` applies."""
    return field(default=default, metadata={"rule": rule})


def length(shortest: int, longest: int) -> Rule:
    """Length in characters, and no NUL, which C strings on the wire would cut at."""

    def rule(value: str) -> str:
        if not shortest <= len(value) <= longest:
            return f"has {len(value)} characters, allowed are {shortest} to {longest}"
        return "contains a NUL character" if "\0" in value else ""

    return rule


def between(low: float, high: float) -> Rule:
    """A number in [low, high]; NaN is outside."""

    def rule(value: float) -> str:
        return "" if low <= value <= high else f"{value} is outside {low} to {high}"

    return rule


def one_of(*names: str) -> Rule:
    """One of the given names."""

    def rule(value: str) -> str:
        return "" if value in names else f"{value!r:.80} is none of {', '.join(map(repr, names))}"

    return rule


def finite(fewest: int = 0, most: int = 1 << 24) -> Rule:
    """A sequence of finite numbers."""

    def rule(values: tuple[float, ...]) -> str:
        if not fewest <= len(values) <= most:
            return f"has {len(values)} values, allowed are {fewest} to {most}"
        # A sum is quick, and finite only without NaN and infinity; it may also overflow.
        if math.isfinite(sum(values)) or all(map(math.isfinite, values)):
            return ""
        return "contains NaN or infinity"

    return rule


def outline() -> Rule:
    """An outline of lon lat pairs in degrees, or nothing."""

    def rule(values: tuple[float, ...]) -> str:
        if not values:
            return ""
        if len(values) % 2 or len(values) < 6 or len(values) > 2000:
            return f"{len(values)} numbers are no outline of 3 to 1000 lon lat pairs"
        for lon, lat in zip(values[::2], values[1::2], strict=True):
            if not (-180 <= lon <= 180 and -90 <= lat <= 90):
                return f"lon {lon} lat {lat} lies off the globe"
        return ""

    return rule


def pixel_window(*, required: bool = False) -> Rule:
    """x, y >= 0 and width, height >= 1 in pixels."""

    def rule(values: tuple[int, ...]) -> str:
        if not values and not required:
            return ""
        if len(values) != 4:
            return f"has {len(values)} numbers, a window has 4"
        x, y, width, height = values
        return "" if x >= 0 and y >= 0 and width >= 1 and height >= 1 else f"{values} is no window"

    return rule


def validate(value: Any, path: str = "") -> None:
    """Check every rule of a value and of the values inside it.

    Args:
        value: a dataclass instance of `contracts.values`.
        path: prefix of field names in errors.
    Raises:
        ContractError: the first rule broken, with the dotted field name.
    """
    for name, rule in _rules(type(value)):  # type: ignore[arg-type]
        content = getattr(value, name)
        if rule is not None and (fault := rule(content)):
            raise ContractError(f"{path}{name}", fault)
        if hasattr(content, "__dataclass_fields__"):
            validate(content, f"{path}{name}.")
        elif type(content) is tuple and content and is_dataclass(content[0]):
            for index, part in enumerate(content):
                validate(part, f"{path}{name}[{index}].")


@cache
def _rules(cls: type[Any]) -> tuple[tuple[str, Rule | None], ...]:
    """Fields in order, each with its rule; the fields of a class never change."""
    return tuple((item.name, item.metadata.get("rule")) for item in fields(cls))
