"""What the spatial language can say: places, areas and spans, in integer bins.

A coordinate is one of 512 bins of the side of the WHOLE image that it refers to, whatever view
of it the model looked at. Values check themselves, so a value that exists can be written.
Grammar: docs/slis.md. Conversion to floats and pixels: ``slis.geometry``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, TypeAlias

from eo_nodes.contracts.errors import EoError

BINS = 512
"""Number of bins of an image side, of the half circle, and of time indices."""
LARGEST = BINS - 1
MAX_IMAGES = 8
MAX_VERTICES = 256
KINDS = ("point", "box", "obox", "poly", "mask", "span", "seg")


class SlisError(EoError):
    """Base of the errors of the spatial language."""


class SlisValueError(SlisError):
    """Numbers that no spatial value may hold."""


class SlisSyntaxError(SlisError):
    """Text or tokens that break the grammar.

    Attributes:
        position: 0-based index of the character (in text) or of the token (in ids) at fault.
        reason: what is wrong there.
    """

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"at {position}: {reason}")
        self.position = position
        self.reason = reason


def _check(kind: str, image: int, numbers: Iterable[int]) -> None:
    if not 0 <= image < MAX_IMAGES:
        raise SlisValueError(f"{kind}: image {image} is outside 0 to {MAX_IMAGES - 1}")
    for number in numbers:
        if not 0 <= number <= LARGEST:
            raise SlisValueError(f"{kind}: {number} is outside 0 to {LARGEST}")


@dataclass(frozen=True, slots=True)
class Point:
    """One place: bins ``x``, ``y`` of image ``image``, 0..511."""

    kind: ClassVar[str] = "point"
    x: int
    y: int
    image: int = 0

    def __post_init__(self) -> None:
        _check(self.kind, self.image, self.numbers)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Fields in the order in which they are written."""
        return self.x, self.y


@dataclass(frozen=True, slots=True)
class Box:
    """Upright box between the bins of its edges; ``x1 <= x2``, ``y1 <= y2``."""

    kind: ClassVar[str] = "box"
    x1: int
    y1: int
    x2: int
    y2: int
    image: int = 0

    def __post_init__(self) -> None:
        _check(self.kind, self.image, self.numbers)
        if self.x1 > self.x2 or self.y1 > self.y2:
            raise SlisValueError(f"box: corners {self.numbers} are not in order")

    @property
    def numbers(self) -> tuple[int, ...]:
        """Fields in the order in which they are written."""
        return self.x1, self.y1, self.x2, self.y2


@dataclass(frozen=True, slots=True)
class OrientedBox:
    """Box turned by an angle: centre, side lengths, direction of the first side.

    Attributes:
        cx, cy: bins of the centre.
        w, h: bins of the image's LONGER side, so that a square stays square in any image.
        angle: bins of [0, 180) degrees, from the x axis towards the y axis (clockwise as seen).
    """

    kind: ClassVar[str] = "obox"
    cx: int
    cy: int
    w: int
    h: int
    angle: int
    image: int = 0

    def __post_init__(self) -> None:
        _check(self.kind, self.image, self.numbers)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Fields in the order in which they are written."""
        return self.cx, self.cy, self.w, self.h, self.angle


@dataclass(frozen=True, slots=True)
class Polygon:
    """Closed outline of 3..256 vertices (x, y); the last joins the first."""

    kind: ClassVar[str] = "poly"
    vertices: tuple[tuple[int, int], ...]
    image: int = 0

    def __post_init__(self) -> None:
        if not 3 <= len(self.vertices) <= MAX_VERTICES:
            raise SlisValueError(
                f"poly: {len(self.vertices)} vertices, allowed are 3 to {MAX_VERTICES}"
            )
        if any(len(vertex) != 2 for vertex in self.vertices):
            raise SlisValueError("poly: a vertex is not a pair of numbers")
        _check(self.kind, self.image, self.numbers)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Fields in the order in which they are written."""
        return tuple(number for vertex in self.vertices for number in vertex)


@dataclass(frozen=True, slots=True)
class Mask:
    """Set of cells of a grid laid over the whole image, as run lengths.

    Attributes:
        rows, cols: 1..511.
        runs: row-major, of cleared and set cells in turn, cleared first (0 when the first cell
            is set); their sum is ``rows * cols``. A run longer than 511 goes on after a 0 of the
            other kind: 600 is ``511 0 89``. A 0 stands nowhere else, so a set of cells has one
            spelling.
    """

    kind: ClassVar[str] = "mask"
    rows: int
    cols: int
    runs: tuple[int, ...]
    image: int = 0

    def __post_init__(self) -> None:
        _check(self.kind, self.image, self.numbers)
        if self.rows < 1 or self.cols < 1:
            raise SlisValueError(f"mask: grid of {self.rows} x {self.cols} cells")
        if sum(self.runs) != self.rows * self.cols:
            raise SlisValueError(
                f"mask: runs add up to {sum(self.runs)}, the grid has {self.rows * self.cols}"
            )
        for before, run in pairwise(self.runs):
            if run == 0 and before != LARGEST:
                raise SlisValueError(f"mask: a run of 0 follows one of {before}, not of {LARGEST}")
        if self.runs[-1] == 0:
            raise SlisValueError("mask: the last run is 0")

    @property
    def numbers(self) -> tuple[int, ...]:
        """Fields in the order in which they are written."""
        return self.rows, self.cols, *self.runs


@dataclass(frozen=True, slots=True)
class Span:
    """Indices of the first and the last frame or date of an interval, ``t1 <= t2``."""

    kind: ClassVar[str] = "span"
    t1: int
    t2: int
    image: int = 0

    def __post_init__(self) -> None:
        _check(self.kind, self.image, self.numbers)
        if self.t1 > self.t2:
            raise SlisValueError(f"span: {self.t1} is later than {self.t2}")

    @property
    def numbers(self) -> tuple[int, ...]:
        """Fields in the order in which they are written."""
        return self.t1, self.t2


@dataclass(frozen=True, slots=True)
class Seg:
    """Placeholder of a mask that the pixel module fills in."""

    kind: ClassVar[str] = "seg"
    image: int = 0

    def __post_init__(self) -> None:
        _check(self.kind, self.image, ())

    @property
    def numbers(self) -> tuple[int, ...]:
        """No fields."""
        return ()


Value: TypeAlias = Point | Box | OrientedBox | Polygon | Mask | Span | Seg
Segment: TypeAlias = str | Value

_FIXED: dict[str, tuple[type, int]] = {
    "point": (Point, 2), "box": (Box, 4), "obox": (OrientedBox, 5), "span": (Span, 2),
    "seg": (Seg, 0),
}


def field_count(kind: str) -> int | None:
    """Number of fields of a kind, the image index aside; None where it varies."""
    return _FIXED[kind][1] if kind in _FIXED else None


def make(kind: str, numbers: Sequence[int], image: int = 0) -> Value:
    """Build the value of ``kind`` from its fields in written order.

    Raises:
        SlisValueError: unknown kind, wrong number of fields, or fields out of range.
    """
    if kind in _FIXED:
        cls, count = _FIXED[kind]
        if len(numbers) != count:
            raise SlisValueError(f"{kind}: {len(numbers)} numbers, needs {count}")
        value: Value = cls(*numbers, image=image)
        return value
    if kind == "poly":
        if len(numbers) % 2:
            raise SlisValueError(f"poly: {len(numbers)} numbers are no pairs")
        return Polygon(tuple(zip(numbers[::2], numbers[1::2], strict=True)), image)
    if kind == "mask":
        if len(numbers) < 3:
            raise SlisValueError(f"mask: {len(numbers)} numbers, needs rows, cols and runs")
        return Mask(numbers[0], numbers[1], tuple(numbers[2:]), image)
    raise SlisValueError(f"unknown kind {kind!r:.40}")
