"""Does a task ask about a scene, and about which pixels of it.

Areas are outlines in longitude and latitude; they are brought into the pixels of the scene,
clipped there, and the smallest window around what is left is the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eo_nodes.contracts.errors import EoError
from eo_nodes.contracts.rules import ZOOM_OUT
from eo_nodes.contracts.values import Scene, Task, VisualPrompt
from eo_nodes.contracts.windows import Window, surroundings

Point = tuple[float, float]
_EDGE_POINTS = 16  # a straight edge in degrees bends in a projected scene


@dataclass(frozen=True, slots=True)
class Match:
    """Outcome of a match.

    Attributes:
        window: (x, y, width, height) in scene pixels; None when the scene does not serve.
        reason: why not; empty for a match.
    """

    window: Window | None
    reason: str = ""


def match(task: Task, scene: Scene, now_ns: int) -> Match:
    """Decide whether a scene serves a task.

    Args:
        task: validated.
        scene: validated.
        now_ns: orbital time; a task past its deadline matches nothing.
    """
    for wanted, given, name in (
        (task.modality, scene.modality, "modality"),
        (task.sensor, scene.sensor, "sensor"),
        (task.place.casefold(), scene.place.casefold(), "place"),
    ):
        if wanted and wanted != given:
            return Match(None, f"{name} is {given or 'unknown'}, wanted is {wanted}")
    if scene.capture_ns < task.valid_from_ns:
        return Match(None, "captured before the task is valid")
    if task.deadline_ns and max(scene.capture_ns, now_ns) > task.deadline_ns:
        return Match(None, "past the deadline")
    window: Window | None = (0, 0, scene.width, scene.height)
    if task.window:
        x, y, width, height = task.window
        window = _overlap((x, y, width, height), (0, 0, scene.width, scene.height))
        if window is None:
            return Match(None, "window lies outside the scene")
    if task.area and window is not None:
        around, reason = _area_window(task.area, scene)
        if around is None:
            return Match(None, reason)
        window = _overlap(window, around)
        if window is None:
            return Match(None, "window and area do not meet")
    return Match(window)


def seen_for(
    task: Task, scene: Scene, window: Window
) -> tuple[Window, tuple[VisualPrompt, ...]]:
    """What is seen of a scene for a task, and the places that its prompt points at there.

    Zoomed out the window grows by its surroundings, and what the task asks about becomes the first
    place. Where nothing surrounds it, all of the scene is asked about, and no place tells more.

    Args:
        window: of a `match`.
    Returns:
        The request's window and visual prompts.
    """
    if task.zoom != ZOOM_OUT:
        return window, task.visual_prompts
    seen = surroundings(window, scene.width, scene.height)
    if seen == window:
        return window, task.visual_prompts
    x, y, width, height = window
    asked = VisualPrompt(kind="box", xy=(float(x), float(y), float(x + width), float(y + height)))
    return seen, (asked, *task.visual_prompts)


def _overlap(a: Window, b: Window) -> Window | None:
    x, y = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[0] + a[2], b[0] + b[2]), min(a[1] + a[3], b[1] + b[3])
    return (x, y, right - x, bottom - y) if right > x and bottom > y else None


def _area_window(area: Sequence[float], scene: Scene) -> tuple[Window | None, str]:
    outline = list(zip(area[::2], area[1::2], strict=True))
    whole: Window = (0, 0, scene.width, scene.height)
    if len(scene.geotransform) == 6 and scene.crs:
        try:
            pixels = _to_pixels(_near(outline, scene), scene)
        except EoError as error:
            return None, str(error)
        inside = clip(pixels, scene.width, scene.height)
        if not inside:
            return None, "area lies outside the scene"
        left = max(0, math.floor(min(x for x, _ in inside)))
        top = max(0, math.floor(min(y for _, y in inside)))
        right = min(scene.width, math.ceil(max(x for x, _ in inside)))
        bottom = min(scene.height, math.ceil(max(y for _, y in inside)))
        window = _overlap((left, top, right - left, bottom - top), whole)
        return window, "" if window else "area lies outside the scene"
    if scene.footprint:
        seen = list(zip(scene.footprint[::2], scene.footprint[1::2], strict=True))
        if outlines_meet(_near(outline, scene), _unwrapped(seen)):
            return whole, ""
        return None, "area lies outside the scene"
    return None, "scene has no georeference"


def _unwrapped(outline: Sequence[Point], start: float | None = None) -> list[Point]:
    """Make longitudes run on without the jump at 180 degrees."""
    lon_before = outline[0][0] if start is None else start
    run = []
    for lon, lat in outline:
        lon += 360.0 * round((lon_before - lon) / 360.0)
        run.append((lon, lat))
        lon_before = lon
    return run


def _near(outline: Sequence[Point], scene: Scene) -> list[Point]:
    """Bring an outline to the same turn of the globe as the scene."""
    if scene.footprint:
        return _unwrapped(outline, scene.footprint[0])
    if scene.crs.upper() == "EPSG:4326":
        return _unwrapped(outline, scene.geotransform[0])
    return _unwrapped(outline)


def _to_pixels(outline: Sequence[Point], scene: Scene) -> list[Point]:
    """Return the outline in (column, row), float, of the scene's grid."""
    x0, dx, rx, y0, ry, dy = scene.geotransform
    det = dx * dy - rx * ry
    if det == 0:
        raise EoError("geotransform cannot be inverted")
    points = list(outline)
    if scene.crs.upper() != "EPSG:4326":
        points = _project(_denser(points), scene.crs)
    return [
        ((dy * (x - x0) - rx * (y - y0)) / det, (dx * (y - y0) - ry * (x - x0)) / det)
        for x, y in points
    ]


def _denser(outline: Sequence[Point]) -> list[Point]:
    following = [*outline[1:], outline[0]]
    return [
        (x + (u - x) * step / _EDGE_POINTS, y + (v - y) * step / _EDGE_POINTS)
        for (x, y), (u, v) in zip(outline, following, strict=True)
        for step in range(_EDGE_POINTS)
    ]


def _project(points: Sequence[Point], crs: str) -> list[Point]:
    # Imported here: only projected scenes need it, and it takes a quarter of a second.
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        x, y = transform("EPSG:4326", crs, [p[0] for p in points], [p[1] for p in points])
    except (RasterioError, ValueError) as error:
        raise EoError(f"crs {crs:.40} is unknown") from error
    if not all(map(math.isfinite, (*x, *y))):
        raise EoError("area lies outside the scene's projection")
    return list(zip(x, y, strict=True))


def clip(outline: Sequence[Point], width: float, height: float) -> list[Point]:
    """Clip an outline to the rectangle (0, 0) to (width, height).

    Returns:
        The corners of what is left, empty when nothing is.
    Source: Sutherland and Hodgman 1974.
    """
    sides: list[tuple[int, float, Callable[[float], bool]]] = [
        (0, 0.0, lambda v: v >= 0),
        (0, width, lambda v: v <= width),
        (1, 0.0, lambda v: v >= 0),
        (1, height, lambda v: v <= height),
    ]
    left = list(outline)
    for axis, limit, is_inside in sides:
        kept: list[Point] = []
        for a, b in zip(left, [*left[1:], *left[:1]], strict=True):
            if is_inside(a[axis]):
                kept.append(a)
            if is_inside(a[axis]) != is_inside(b[axis]):
                part = (limit - a[axis]) / (b[axis] - a[axis])
                kept.append((a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])))
        left = kept
    return left


def outlines_meet(a: Sequence[Point], b: Sequence[Point]) -> bool:
    """True when two outlines share a point: an edge crosses or one lies in the other."""
    edges_a = list(zip(a, [*a[1:], a[0]], strict=True))
    edges_b = list(zip(b, [*b[1:], b[0]], strict=True))
    if any(_cross(p, q, r, s) for p, q in edges_a for r, s in edges_b):
        return True
    return _contains(b, a[0]) or _contains(a, b[0])


def _turn(p: Point, q: Point, r: Point) -> float:
    return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])


def _cross(p: Point, q: Point, r: Point, s: Point) -> bool:
    return (_turn(p, q, r) > 0) != (_turn(p, q, s) > 0) and (
        (_turn(r, s, p) > 0) != (_turn(r, s, q) > 0)
    )


def _contains(outline: Sequence[Point], point: Point) -> bool:
    x, y = point
    inside = False
    for (ax, ay), (bx, by) in zip(outline, [*outline[1:], outline[0]], strict=True):
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            inside = not inside
    return inside
