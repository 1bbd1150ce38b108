"""The figures at the top: what came out, with what stands beside each."""

from __future__ import annotations

from typing import Any

from .markup import esc, percent, size, span, tag, wilson


def _tile(title: str, *content: str, cls: str = "") -> str:
    return tag("section", tag("h2", title), *content, cls=f"tile {cls}".strip())


def _pair_row(name: str, share: float, blind: float | None, n: int, cls: str) -> str:
    low, high = wilson(share, n)
    marks = [
        tag("s", style=f"width:{100 * share:.1f}%"),
        tag(
            "em",
            style=f"left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%",
            title=f"95 % interval {percent(low)} to {percent(high)}, n = {n}",
        ),
    ]
    beside = ""
    if blind is not None:
        marks.append(tag("u", style=f"left:{100 * blind:.1f}%", title=f"blind {percent(blind)}"))
        beside = f"blind {percent(blind)}, "
    return tag(
        "div",
        tag("span", name),
        tag("b", percent(share)),
        tag("i", *marks),
        tag("small", f"{beside}n = {n}"),
        cls=f"bar {cls}",
    )


def accuracy(report: dict[str, Any]) -> str:
    """Right answers, on board and on the ground, beside the same models blind."""
    found = report["accuracy"]
    n = int(found.get("n", 0))
    rows = []
    for key, name in (("onboard", "on board"), ("ground", "on the ground")):
        if found.get(key) is not None:
            count = int(found.get(f"n_{key}", n))
            rows.append(_pair_row(name, found[key], found.get(f"blind_{key}"), count, key))
    note = tag("p", "line: the same model without pixels; bracket: 95 % interval", cls="note")
    return _tile("Right answers", *rows, note, cls="wide")


def _amounts(report: dict[str, Any]) -> list[tuple[str, float, str]]:
    rows = [("captured, raw", float(report["bytes_raw"]), "raw")]
    if "capacity_bytes" in report:
        rows.append(("contacts carry", float(report["capacity_bytes"]), "capacity"))
    rows.append(("sent", float(report["bytes_sent"]), "sent"))
    return rows


def amounts(report: dict[str, Any]) -> str:
    """Bytes captured, bytes that fit, bytes sent, on one scale."""
    rows = _amounts(report)
    top = max(value for _, value, _ in rows) or 1.0
    bars = [
        tag(
            "div",
            tag("span", name),
            tag("b", size(value)),
            tag("i", tag("s", style=f"width:{max(100 * value / top, 0.4):.2f}%")),
            cls=f"bar {cls}",
        )
        for name, value, cls in rows
    ]
    raw, sent = report["bytes_raw"], report["bytes_sent"]
    note = f"1 byte sent for {raw / sent:,.0f} captured" if sent else "nothing was sent"
    rate = report.get("meta", {}).get("capture_rate", "")
    return _tile("Bytes", *bars, tag("p", esc(f"{note}. {rate}".strip()), cls="note"), cls="wide")


def integrity(report: dict[str, Any]) -> str:
    """What must be zero, and what was answered where."""
    zeros = [
        tag(
            "div",
            tag("b", str(report[key])),
            tag("span", name),
            cls="zero" if report[key] == 0 else "nonzero",
        )
        for key, name in (
            ("lost", "lost"),
            ("duplicates", "duplicates"),
            ("frames_outside_contact", "frames outside contacts"),
        )
    ]
    counts = (
        f"{report['tasks']} tasks: {report['answers_onboard']} answered on board, "
        f"{report['answers_ground']} on the ground, {report['refusals']} refused"
    )
    looks = report.get("second_looks", {})
    asked = (
        f"{looks['asked']} regions asked for again, {looks['refined']} came, "
        f"{looks['changed']} answers changed, {size(looks['bytes'])}"
        if looks
        else ""
    )
    after = report.get("followed", {})
    came = (
        f"{after['held']} answers held for finer pixels, {after['refined']} had them, "
        f"{after['changed']} changed, {size(after['bytes'])}"
        if after
        else ""
    )
    kinds = f"{report['scenes']} scenes, {', '.join(map(str, report['modalities']))}"
    return _tile(
        "Nothing lost",
        tag("div", *zeros, cls="zeros"),
        tag("p", esc(counts), cls="note"),
        tag("p", esc(asked), cls="note") if asked else "",
        tag("p", esc(came), cls="note") if came else "",
        tag("p", esc(kinds), cls="note"),
    )


def latency(report: dict[str, Any]) -> str:
    """Capture to final answer in orbital time, and where it goes."""
    found = report["latency_s"]
    cells = [
        tag("div", tag("b", span(found[key])), tag("span", key))
        for key in ("mean", "p50", "p95")
        if key in found
    ]
    parts = found.get("parts", {})
    total = sum(parts.values()) or 1.0
    stack = [
        tag("s", style=f"width:{100 * value / total:.2f}%", cls=f"phase-{name}", title=name)
        for name, value in parts.items()
    ]
    legend = [
        tag("span", tag("s", cls=f"phase-{name}"), esc(f"{name} {span(value)}"))
        for name, value in parts.items()
    ]
    return _tile(
        "Capture to answer",
        tag("div", *cells, cls="three"),
        tag("div", *stack, cls="stack") if parts else "",
        tag("div", *legend, cls="legend") if parts else "",
    )


def machine(report: dict[str, Any]) -> str:
    """How time ran and what it cost."""
    clock, memory = report["clock"], report["peak_rss_mb"]
    wanted = clock.get("requested_rate", 0)
    pairs = [
        ("clock", str(clock.get("mode", ""))),
        ("rate asked", f"x{wanted:g}" if wanted else "as fast as possible"),
        ("rate reached", f"x{clock.get('achieved_rate', 0):.3g}"),
        ("wall clock", span(report["wall_s"])),
        *((f"peak memory, {key}", f"{value:.0f} MiB") for key, value in memory.items()),
    ]
    rows = "".join(tag("dt", esc(name)) + tag("dd", esc(text)) for name, text in pairs)
    return _tile("This machine", tag("dl", rows))


def headline(report: dict[str, Any]) -> str:
    """Return all tiles."""
    tiles = (accuracy, amounts, integrity, latency, machine)
    return tag("div", *(tile(report) for tile in tiles), cls="tiles")
