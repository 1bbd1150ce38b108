"""Between bins, scene-normalised floats and pixel grids.

A float coordinate ``x`` in [0, 1] lies in bin ``floor(512 x)``; a bin stands for its centre
``(v + 0.5) / 512``, so a coordinate is off by at most half a bin, 1/1024 of the side. The upper
edge of a half-open interval lies in the last bin that the interval enters. Quantising what was
dequantised gives the same bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from eo_nodes.lvlm.slis.values import (
    BINS,
    LARGEST,
    MAX_VERTICES,
    Box,
    Mask,
    OrientedBox,
    Point,
    Polygon,
    SlisValueError,
)

Bool = NDArray[np.bool_]
Float = NDArray[np.float64]
_GRID_LIMIT = 2048
_FINE_ROWS = 1024
_THIN_SHARE = 1 / 64
# Sub-cells of a side when a mask is traced.
_TRACED = 4


def _finite(*numbers: float) -> None:
    if not all(map(math.isfinite, numbers)):
        raise SlisValueError(f"{numbers!r:.80} holds NaN or infinity")


def to_bin(x: float) -> int:
    """Bin of a coordinate; below 0 and above 1 it is moved to the border.

    Raises:
        SlisValueError: NaN or infinite.
    """
    _finite(x)
    return min(max(math.floor(x * BINS), 0), LARGEST)


def to_upper_bin(x: float) -> int:
    """Last bin that a half-open interval ending at ``x`` enters; limits as ``to_bin``."""
    _finite(x)
    return min(max(math.ceil(x * BINS) - 1, 0), LARGEST)


def from_bin(v: int) -> float:
    """Centre of a bin, in (0, 1)."""
    return (v + 0.5) / BINS


def point_from(x: float, y: float, image: int = 0) -> Point:
    """Point of scene-normalised coordinates."""
    return Point(to_bin(x), to_bin(y), image)


def point_xy(value: Point) -> tuple[float, float]:
    """Scene-normalised centre of a point's bin."""
    return from_bin(value.x), from_bin(value.y)


def box_from(x0: float, y0: float, x1: float, y1: float, image: int = 0) -> Box:
    """Box of scene-normalised half-open edges; ``x0 <= x1`` and ``y0 <= y1``.

    Raises:
        SlisValueError: edges out of order, NaN or infinite.
    """
    if x0 > x1 or y0 > y1:
        raise SlisValueError(f"box {x0, y0, x1, y1} has its corners out of order")
    left, top = to_bin(x0), to_bin(y0)
    return Box(left, top, max(left, to_upper_bin(x1)), max(top, to_upper_bin(y1)), image)


def box_xyxy(value: Box) -> tuple[float, float, float, float]:
    """Scene-normalised edges: centres of their bins; a side within one bin spans that bin."""
    (x0, x1), (y0, y1) = _edges(value.x1, value.x2), _edges(value.y1, value.y2)
    return x0, y0, x1, y1


def _edges(first: int, last: int) -> tuple[float, float]:
    if first == last:
        return first / BINS, (first + 1) / BINS
    return from_bin(first), from_bin(last)


def oriented_from(
    corners: ArrayLike, image_size: tuple[float, float] = (1.0, 1.0), image: int = 0
) -> OrientedBox:
    """Smallest oriented box around points, long side first.

    Args:
        corners: (N, 2) scene-normalised x, y, N >= 3.
        image_size: width and height of the image, in any unit; only their ratio counts.
    Raises:
        SlisValueError: fewer than three points, NaN, or no image.
    """
    width, height = _size(image_size)
    points = np.asarray(corners, np.float64).reshape(-1, 2)
    if len(points) < 3 or not np.isfinite(points).all():
        raise SlisValueError("an oriented box needs 3 or more finite points")
    longer = max(width, height)
    scaled = (points * (width / longer, height / longer)).astype(np.float32)
    (cx, cy), (w, h), angle = cv2.minAreaRect(scaled)
    if w < h:
        w, h, angle = h, w, angle + 90.0
    turn = math.floor((angle % 180.0) / 180.0 * BINS) % BINS
    return OrientedBox(
        to_bin(cx * longer / width), to_bin(cy * longer / height), to_bin(w), to_bin(h), turn, image
    )


def oriented_corners(value: OrientedBox, image_size: tuple[float, float] = (1.0, 1.0)) -> Float:
    """(4, 2) scene-normalised corners in order around the box; may lie outside the image.

    Args:
        image_size: as for ``oriented_from``.
    """
    width, height = _size(image_size)
    longer = max(width, height)
    turn = math.radians(from_bin(value.angle) * 180.0)
    along = np.array([math.cos(turn), math.sin(turn)]) * from_bin(value.w) / 2
    across = np.array([-math.sin(turn), math.cos(turn)]) * from_bin(value.h) / 2
    offsets = np.array([-along - across, along - across, along + across, -along + across])
    centre = np.array([from_bin(value.cx), from_bin(value.cy)])
    return np.asarray(centre + offsets * (longer / width, longer / height), np.float64)


def _size(image_size: tuple[float, float]) -> tuple[float, float]:
    width, height = image_size
    _finite(width, height)
    if width <= 0 or height <= 0:
        raise SlisValueError(f"image of {width} x {height}")
    return float(width), float(height)


def polygon_from(xy: ArrayLike, image: int = 0) -> Polygon:
    """Polygon of (N, 2) or flat scene-normalised vertices; a vertex in its neighbour's bin is
    dropped while three are left.

    Raises:
        SlisValueError: fewer than 3 or more than 256 vertices are left, NaN, infinite, or no pairs.
    """
    flat = np.asarray(xy, np.float64).reshape(-1)
    if len(flat) % 2 or len(flat) < 6:
        raise SlisValueError(f"{len(flat)} numbers are no outline of 3 or more vertices")
    vertices = [(to_bin(x), to_bin(y)) for x, y in flat.reshape(-1, 2)]
    kept = vertices[:1] + [v for before, v in pairwise(vertices) if v != before]
    if kept[-1] == kept[0]:
        kept.pop()
    return Polygon(tuple(kept if len(kept) >= 3 else vertices), image)


def polygon_xy(value: Polygon) -> Float:
    """(N, 2) scene-normalised centres of the bins of the vertices."""
    return (np.array(value.vertices, np.float64) + 0.5) / BINS


def coverage(xy: ArrayLike, rows: int, cols: int) -> Float:
    """Share of each cell of a grid over the whole image that lies inside an outline.

    Exact along x, counted on up to 8 lines a row along y (fewer on grids above 128 cells).

    Args:
        xy: (N, 2) scene-normalised vertices, N >= 3; what lies outside [0, 1] is cut off. Where an
            outline crosses itself the even-odd rule holds.
        rows, cols: 1..2048.
    Returns:
        (rows, cols) float64 in [0, 1]. An outline that enters the image covers something, however
        thin it is.
    Raises:
        SlisValueError: fewer than three vertices, one not finite, or no such grid.
    """
    _grid(rows, cols)
    vertices = np.asarray(xy, np.float64).reshape(-1, 2)
    if len(vertices) < 3 or not np.isfinite(vertices).all():
        raise SlisValueError("an outline needs 3 or more finite vertices")
    fine = max(2, min(8, _FINE_ROWS // max(rows, cols)))
    begin = vertices * (cols, rows)
    end = np.roll(begin, -1, axis=0)
    lines = ((np.arange(rows * fine) + 0.5) / fine)[:, None]
    # Half-open in y: a line through a vertex is crossed once, not twice.
    crosses = (begin[:, 1] <= lines) != (end[:, 1] <= lines)
    height = np.where(begin[:, 1] == end[:, 1], 1.0, end[:, 1] - begin[:, 1])
    along = begin[:, 0] + (lines - begin[:, 1]) / height * (end[:, 0] - begin[:, 0])
    places = np.sort(np.where(crosses, np.clip(along, 0, cols), cols), axis=1)
    places = places[:, : 2 * -(-int(crosses.sum(axis=1).max()) // 2)]
    left = np.arange(cols, dtype=np.float64)
    shares = np.zeros((rows * fine, cols))
    for enter, leave in zip(places.T[::2], places.T[1::2], strict=True):
        shares += np.clip(leave[:, None] - left, 0, 1) - np.clip(enter[:, None] - left, 0, 1)
    cells = shares.reshape(rows, fine, cols).mean(axis=1)
    return cells if cells.any() else _thin(begin, end, rows, cols)


def _thin(begin: Float, end: Float, rows: int, cols: int) -> Float:
    """The cells that an outline passes which is too thin to cover any, each with a small share."""
    steps = np.linspace(0, 1, 2 * (rows + cols))[:, None, None]
    x, y = np.floor(begin + (end - begin) * steps).reshape(-1, 2).T
    inside = (x >= 0) & (x < cols) & (y >= 0) & (y < rows)
    cells = np.zeros((rows, cols))
    cells[y[inside].astype(int), x[inside].astype(int)] = _THIN_SHARE
    return cells


def fill(xy: ArrayLike, rows: int, cols: int) -> Bool:
    """(rows, cols) bool: the cells at least half inside an outline; arguments as ``coverage``."""
    return np.asarray(coverage(xy, rows, cols) >= 0.5)


def clip_convex(subject: Float, window: Float) -> Float:
    """Part of a polygon inside a convex one, whose vertices turn from the x towards the y axis.

    Args:
        subject, window: (N, 2) and (M, 2) vertices.
    Returns:
        (K, 2) vertices, K = 0 where they do not meet. Parts of a concave subject stay joined by
        edges of no area along the window.
    Source: Sutherland and Hodgman, 1974.
    """
    kept = list(subject)
    for index in range(len(window)):
        begin, end = window[index - 1], window[index]
        edge = end - begin
        points, kept = kept, []
        sides = [float(edge[0] * (p[1] - begin[1]) - edge[1] * (p[0] - begin[0])) for p in points]
        for i, point in enumerate(points):
            before, here = sides[i - 1], sides[i]
            if (before < 0 < here) or (here < 0 < before):
                kept.append(points[i - 1] + (point - points[i - 1]) * (before / (before - here)))
            if here >= 0:
                kept.append(point)
    return np.array(kept, np.float64).reshape(-1, 2)


def _grid(rows: int, cols: int) -> None:
    if not (1 <= rows <= _GRID_LIMIT and 1 <= cols <= _GRID_LIMIT):
        raise SlisValueError(f"grid of {rows} x {cols} cells")


def mask_from(cells: ArrayLike, image: int = 0) -> Mask:
    """Run-length value of a (rows, cols) array, non-zero is set; sides 1..511.

    Raises:
        SlisValueError: not two-dimensional, or a side out of range.
    """
    grid = np.asarray(cells) != 0
    if grid.ndim != 2 or not all(1 <= side <= LARGEST for side in grid.shape):
        raise SlisValueError(f"mask of shape {grid.shape}, sides must be 1 to {LARGEST}")
    flat = grid.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    runs: list[int] = [0] if flat[0] else []
    for length in lengths:
        full, rest = divmod(length - 1, LARGEST)
        runs += [LARGEST, 0] * full + [rest + 1]
    return Mask(int(grid.shape[0]), int(grid.shape[1]), tuple(runs), image)


def mask_cells(value: Mask) -> Bool:
    """(rows, cols) bool array of a mask."""
    flat = np.zeros(value.rows * value.cols, bool)
    place = 0
    for index, run in enumerate(value.runs):
        if index % 2:
            flat[place : place + run] = True
        place += run
    return flat.reshape(value.rows, value.cols)


def resize_mask(cells: ArrayLike, rows: int, cols: int) -> Bool:
    """Resample a mask: set where at least half of the new cell is set (shrinking), else nearest."""
    _grid(rows, cols)
    grid = (np.asarray(cells) != 0).astype(np.float32)
    if grid.ndim != 2 or 0 in grid.shape:
        raise SlisValueError(f"mask of shape {grid.shape}")
    shrinks = rows < grid.shape[0] or cols < grid.shape[1]
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(grid, (cols, rows), interpolation=mode) >= 0.5)


def outlines(cells: ArrayLike, tolerance: float = 1.0, image: int = 0) -> list[Polygon]:
    """Outer outlines of the connected parts of a mask, largest first.

    Args:
        cells: (rows, cols), non-zero is set, over the whole image.
        tolerance: in cells, of the simplification (Douglas-Peucker).
    Returns:
        Polygons; parts too thin for three vertices are left out, holes are filled.
    """
    grid = np.ascontiguousarray(np.asarray(cells) != 0, np.uint8)
    # A contour passes through cell centres: finer cells bring it to the edge of the coarse ones.
    rows, cols = grid.shape
    grid = grid.repeat(_TRACED, axis=0).repeat(_TRACED, axis=1)
    found, _ = cv2.findContours(grid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for contour in sorted(found, key=cv2.contourArea, reverse=True):
        line = _simplified(contour, tolerance * _TRACED)
        if len(line) >= 3:
            xy = (line.reshape(-1, 2) + 0.5) / (cols * _TRACED, rows * _TRACED)
            polygons.append(polygon_from(xy, image))
    return polygons


def _simplified(contour: Any, tolerance: float) -> NDArray[np.int32]:
    line = cv2.approxPolyDP(contour, tolerance, True)
    while len(line) > MAX_VERTICES:
        tolerance *= 2
        line = cv2.approxPolyDP(contour, tolerance, True)
    return np.asarray(line, np.int32)


def bounds(xy: Sequence[float] | Float) -> tuple[float, float, float, float]:
    """Upright box around flat or (N, 2) vertices."""
    points = np.asarray(xy, np.float64).reshape(-1, 2)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)
