"""The time line: one row a request, contacts as bands behind all rows.

Positions are percentages of the width, so that text and marks keep their size at any width.
"""

from __future__ import annotations

from typing import Any

from .markup import clock, esc, span, tag

_ROW_PX = 20
_AXIS_PX = 22
_TICKS_S = (10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)

CAPTURED = ("captured", "capture")
DECIDED = ("decided", "queued", "verdict", "end", "tap2", "tap1")
SENT = ("sent", "first_byte")
RECEIVED = ("received", "last_byte")
# (class, from, to): of each end the first name that a request has counts, so that a coarse and a
# fine history are drawn alike
PHASES = (
    ("compute", CAPTURED, DECIDED),
    ("wait", DECIDED, SENT),
    ("transmit", SENT, RECEIVED),
    ("ground", RECEIVED, ("final",)),
)


def phases(steps: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    """Split the life of a request into named stretches.

    Args:
        steps: dated steps in any order; of a name that occurs twice the last counts, as after
            a restart, apart from the first byte, where the first does.
    Returns:
        (name, from ns, to ns), only those whose two ends are known and in order.
    """
    at: dict[str, int] = {}
    for step in steps:
        if step["name"] not in SENT or step["name"] not in at:
            at[step["name"]] = step["stamp_ns"]
    found = []
    for name, starts, ends in PHASES:
        start = next((at[key] for key in starts if key in at), None)
        end = next((at[key] for key in ends if key in at), None)
        if start is not None and end is not None and end >= start:
            found.append((name, start, end))
    return found


def extent(report: dict[str, Any]) -> tuple[int, int]:
    """Return first and last time to draw, ns; the last is later than the first."""
    times = [s["stamp_ns"] for r in report.get("requests", []) for s in r.get("steps", [])]
    meta = report.get("meta", {})
    times += [meta[key] for key in ("start_ns", "end_ns") if key in meta]
    if not times:
        times = [c[key] for c in report.get("contacts", []) for key in ("aos_ns", "los_ns")]
    first, last = min(times, default=0), max(times, default=1)
    pad = max((last - first) // 100, 1)
    return first - pad, last + pad


class _Axis:
    def __init__(self, first_ns: int, last_ns: int) -> None:
        self.first_ns, self.last_ns = first_ns, last_ns

    def at(self, stamp_ns: int) -> str:
        return f"{self.share(stamp_ns):.3f}%"

    def share(self, stamp_ns: int) -> float:
        share = 100 * (stamp_ns - self.first_ns) / (self.last_ns - self.first_ns)
        return min(max(share, 0.0), 100.0)

    def ticks(self) -> list[int]:
        total_s = (self.last_ns - self.first_ns) / 1e9
        step_s = next((t for t in _TICKS_S if total_s / t <= 9), _TICKS_S[-1])
        step_ns = step_s * 10**9
        start = -(-self.first_ns // step_ns) * step_ns
        return list(range(start, self.last_ns, step_ns))


def _bar(axis: _Axis, row_y: float, name: str, start: int, end: int) -> str:
    y = row_y + (_ROW_PX - {"transmit": 8, "wait": 2}.get(name, 5)) / 2
    return tag(
        "rect",
        tag("title", esc(f"{name} {span((end - start) / 1e9)}, from {clock(start)}")),
        x=axis.at(start),
        # never narrower than a hairline, or compute would vanish beside waiting
        width=f"{max(axis.share(end) - axis.share(start), 0.25):.3f}%",
        y=y,
        height={"transmit": 8, "wait": 2}.get(name, 5),
        rx=1,
        cls=f"phase {name}",
    )


def _row(axis: _Axis, index: int, request: dict[str, Any]) -> str:
    y = index * _ROW_PX
    steps = request.get("steps", [])
    parts = [tag("rect", x=0, y=y, width="100%", height=_ROW_PX, cls="lane")]
    parts += [_bar(axis, y, *phase) for phase in phases(steps)]
    middle = y + _ROW_PX / 2
    for step in steps:
        name = step["name"]
        title = tag("title", esc(f"{name} {clock(step['stamp_ns'])}"))
        if name in CAPTURED:
            parts.append(
                tag("circle", title, cx=axis.at(step["stamp_ns"]), cy=middle, r=3, cls="capture")
            )
        elif name in ("decided", "verdict", "end"):
            x = axis.at(step["stamp_ns"])
            parts.append(
                tag("line", title, x1=x, x2=x, y1=y + 4, y2=y + _ROW_PX - 4, cls="decision")
            )
    ended = max((s["stamp_ns"] for s in steps), default=None)
    if ended is not None:
        mark = {True: "right", False: "wrong"}.get(request.get("right"), "open")  # type: ignore[arg-type]
        parts.append(
            tag(
                "circle",
                tag("title", esc(f"answer {clock(ended)}")),
                cx=axis.at(ended),
                cy=middle,
                r=4.5,
                cls=f"end {mark}",
            )
        )
    return tag("a", *parts, href=f"#r{index + 1}", cls=f"row {esc(request['origin'])}")


def timeline(report: dict[str, Any]) -> str:
    """Return the figure: labels at the left, marks at the right."""
    requests = report.get("requests", [])
    axis = _Axis(*extent(report))
    height = len(requests) * _ROW_PX
    bands = []
    for contact in report.get("contacts", []):
        if contact["los_ns"] < axis.first_ns or contact["aos_ns"] > axis.last_ns:
            continue
        title = f"{contact['station']} {clock(contact['aos_ns'])} - {clock(contact['los_ns'])}"
        width = axis.share(contact["los_ns"]) - axis.share(contact["aos_ns"])
        bands.append(
            tag(
                "rect",
                tag("title", esc(title)),
                x=axis.at(contact["aos_ns"]),
                y=0,
                width=f"{width:.3f}%",
                height=height,
                cls="contact",
            )
        )
    ticks = []
    for number, stamp in enumerate(axis.ticks()):
        x = axis.at(stamp)
        minor = " minor" if number % 3 else ""
        ticks.append(tag("line", x1=x, x2=x, y1=0, y2=height, cls="tick"))
        if 3 < axis.share(stamp) < 97:
            text = clock(stamp, seconds=axis.last_ns - axis.first_ns < 600e9)
            ticks.append(tag("text", text, x=x, y=height + 15, cls=f"tick-label{minor}"))
    rows = [_row(axis, index, request) for index, request in enumerate(requests)]
    drawing = tag(
        "svg",
        *bands,
        *ticks,
        *rows,
        width="100%",
        height=height + _AXIS_PX,
        role="img",
        aria_label="Time line of every request",
    )
    labels = [
        tag(
            "a",
            tag("b", str(index + 1)),
            tag("span", esc(request["prompt"])),
            href=f"#r{index + 1}",
            title=request["prompt"],
        )
        for index, request in enumerate(requests)
    ]
    return tag(
        "div", tag("div", *labels, cls="labels"), tag("div", drawing, cls="lanes"), cls="timeline"
    )
