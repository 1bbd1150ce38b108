"""Line and scatter plots as SVG, without a plotting library: what the study's page needs.

Colours differ in lightness and marks in shape, so that a grey print can be read and what lies on
top of another is seen; every mark has a title.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from eo_sim.report.markup import esc, tag

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 420, 62, 34, 210, 46
_COLOURS = ("#0b3c5d", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#a6761d", "#555555",
            "#1f78b4", "#b2182b", "#8dd3c7")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one name, joined in the order given. is_strong: drawn last, with a heavy line."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    is_strong: bool = False


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers that cover a range."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    step = 10 ** math.floor(math.log10(span / most))
    step *= next(k for k in (1, 2, 5, 10) if span / (step * k) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within a range of positive numbers."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [k * 10.0**power for power in powers for k in (1, 2, 5)]
    return [value for value in every if low <= value <= high]


def plot(
    title: str, x_label: str, y_label: str, series: Sequence[Series], *, is_log_x: bool = False
) -> str:
    """Return one SVG document.

    Args:
        title, x_label, y_label: escaped here; units belong in the labels.
        series: at least one finite point altogether, else the plot says that there is none.
        is_log_x: a logarithmic axis; points at or below 0 are left out.
    """
    scale = math.log10 if is_log_x else float
    shown = [
        (s, [(scale(x), y) for x, y in zip(s.xs, s.ys, strict=True)
             if math.isfinite(x + y) and (x > 0 or not is_log_x)])
        for s in series
    ]
    every = [point for _, points in shown for point in points]
    parts = [tag("text", esc(title), x=_LEFT, y=20, font_size=15, font_weight="bold")]
    if every:
        box = _box(every)
        parts += _axes(box, x_label, y_label, is_log_x=is_log_x)
        numbered = list(enumerate(shown))
        for index, (one, points) in sorted(numbered, key=lambda item: item[1][0].is_strong):
            parts += _series(one, points, box, index, is_log_x=is_log_x)
    else:
        parts.append(tag("text", "no data", x=_LEFT, y=_HEIGHT / 2))
    return tag(
        "svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        font_family="sans-serif", font_size=11, style="background:#fff",
    )  # fmt: skip


def _box(points: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low_x, high_x, low_y, high_y = min(xs), max(xs), min(ys), max(ys)
    pad_x, pad_y = (high_x - low_x or 1.0) * 0.04, (high_y - low_y or 1.0) * 0.06
    return low_x - pad_x, high_x + pad_x, low_y - pad_y, high_y + pad_y


def _place(
    point: tuple[float, float], box: tuple[float, float, float, float]
) -> tuple[float, float]:
    low_x, high_x, low_y, high_y = box
    x = _LEFT + (point[0] - low_x) / (high_x - low_x) * (_WIDTH - _LEFT - _RIGHT)
    y = _HEIGHT - _BOTTOM - (point[1] - low_y) / (high_y - low_y) * (_HEIGHT - _TOP - _BOTTOM)
    return round(x, 1), round(y, 1)


def _axes(
    box: tuple[float, float, float, float], x_label: str, y_label: str, *, is_log_x: bool
) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [tag("rect", x=_LEFT, y=_TOP, width=right - _LEFT, height=bottom - _TOP, fill="none",
                 stroke="#888")]
    across = log_ticks(10 ** box[0], 10 ** box[1]) if is_log_x else ticks(box[0], box[1])
    for value in across:
        x, _ = _place((math.log10(value) if is_log_x else value, box[2]), box)
        parts.append(tag("path", d=f"M{x},{_TOP}V{bottom}", stroke="#ddd", fill="none"))
        parts.append(tag("text", f"{value:g}", x=x, y=bottom + 15, text_anchor="middle"))
    for value in ticks(box[2], box[3]):
        _, y = _place((box[0], value), box)
        parts.append(tag("path", d=f"M{_LEFT},{y}H{right}", stroke="#ddd", fill="none"))
        parts.append(tag("text", f"{value:g}", x=_LEFT - 6, y=y + 4, text_anchor="end"))
    middle = (_TOP + bottom) / 2
    parts.append(tag("text", esc(x_label), x=(_LEFT + right) / 2, y=_HEIGHT - 10,
                     text_anchor="middle"))
    parts.append(tag("text", esc(y_label), x=14, y=middle, text_anchor="middle",
                     transform=f"rotate(-90 14 {middle})"))
    return parts


def _series(
    one: Series, points: Sequence[tuple[float, float]], box: tuple[float, float, float, float],
    index: int, *, is_log_x: bool,
) -> list[str]:
    colour = _COLOURS[index % len(_COLOURS)]
    placed = [_place(point, box) for point in points]
    parts = []
    if len(placed) > 1:
        path = "M" + "L".join(f"{x},{y}" for x, y in placed)
        width = 3 if one.is_strong else 1.4
        parts.append(tag("path", d=path, fill="none", stroke=colour, stroke_width=width))
    for (x, y), (vx, vy) in zip(placed, points, strict=True):
        value = 10**vx if is_log_x else vx
        title = tag("title", esc(f"{one.name}: {value:.4g}, {vy:.4g}"))
        parts.append(_mark(x, y, index, colour, title))
    y = _TOP + 14 + index * 17
    left = _WIDTH - _RIGHT + 14
    parts.append(_mark(left + 5, y - 4, index, colour))
    weight = "bold" if one.is_strong else "normal"
    parts.append(tag("text", esc(one.name), x=left + 16, y=y, font_weight=weight))
    return parts


def _mark(x: float, y: float, index: int, colour: str, *inside: str) -> str:
    """A mark of one of four shapes; open ones last, so that they show what they cover."""
    shape = index % 4
    if shape == 0:
        return tag("circle", *inside, cx=x, cy=y, r=3.6, fill=colour)
    if shape == 1:
        return tag("rect", *inside, x=x - 3.2, y=y - 3.2, width=6.4, height=6.4, fill=colour)
    corners = {
        2: ((0, -4.6), (4.3, 3.4), (-4.3, 3.4)), 3: ((0, -5), (5, 0), (0, 5), (-5, 0))
    }[shape]  # fmt: skip
    path = "M" + "L".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners) + "Z"
    return tag("path", *inside, d=path, fill="none", stroke=colour, stroke_width=1.8)
