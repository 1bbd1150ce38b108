"""Spatial values of an answer in pixels of its images, as JSON-ready data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.slis import (
    Box,
    Mask,
    OrientedBox,
    Point,
    Polygon,
    Span,
    Value,
    box_xyxy,
    oriented_corners,
    parse,
    point_xy,
    polygon_xy,
    write_value,
)

Size = tuple[int, int]


def places_of(
    text: str, sizes: Sequence[Size], corners: Sequence[tuple[int, int]] = ()
) -> list[dict[str, Any]]:
    """List the spatial values of a text.

    Args:
        text: an answer; free text stands between the values.
        sizes: (height, width) of each image of the request, pixels.
        corners: x, y of each one's first pixel in the picture that it was cut from, to have ``xy``
            in pixels of that picture; none where they are whole.
    Returns:
        One entry a value: ``kind``, ``image``, ``text`` (canonical form) and, by kind, ``xy``
        (point, flat outline of box corners, oriented box or polygon, pixels), ``rows``, ``cols``,
        ``runs`` (mask, cells over the whole image) or ``frames`` (span).
    Raises:
        ModelError: a value refers to an image that the request does not have.
        SlisSyntaxError: a value is malformed.
    """
    corners = corners or [(0, 0)] * len(sizes)
    return [_entry(part, sizes, corners) for part in parse(text) if not isinstance(part, str)]


def _entry(
    value: Value, sizes: Sequence[Size], corners: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    if value.image >= len(sizes):
        raise ModelError(f"the answer points at image {value.image} of {len(sizes)}")
    entry = {"kind": value.kind, "image": value.image, "text": write_value(value)}
    if isinstance(value, Mask):
        return {**entry, "rows": value.rows, "cols": value.cols, "runs": list(value.runs)}
    if isinstance(value, Span):
        return {**entry, "frames": [value.t1, value.t2]}
    xy = _normalised(value, sizes[value.image])
    height, width = sizes[value.image]
    pixels = np.asarray(xy, np.float64).reshape(-1, 2) * (width, height) + corners[value.image]
    return {**entry, "xy": [round(float(v), 1) for v in pixels.ravel()]}


def _normalised(value: Value, size: Size) -> Any:
    if isinstance(value, Point):
        return point_xy(value)
    if isinstance(value, Box):
        return box_xyxy(value)
    if isinstance(value, OrientedBox):
        return oriented_corners(value, (size[1], size[0]))
    if isinstance(value, Polygon):
        return polygon_xy(value)
    return ()
