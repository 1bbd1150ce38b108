"""Write ``report.json`` and ``report.html``: one page that opens offline.

Everything is inside the file: style, script, drawings, pictures as data URIs. Its content security
policy forbids any request, so that it stays so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .assets import asset
from .cards import card, filters
from .headline import headline
from .markup import clock, esc, tag, void
from .schema import check
from .timeline import timeline
from .why import why
from .world import world_map

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def build(report: Mapping[str, Any], out_dir: Path) -> Path:
    """Write the two files of a run.

    Args:
        report: as `schema.Report`.
        out_dir: made where missing.
    Returns:
        Path of ``report.html``; ``report.json`` lies beside it, without the pictures.
    Raises:
        ReportError: the report lacks what a page needs.
        OSError: the folder cannot be written.
    """
    data = dict(report)
    check(data)
    out_dir.mkdir(parents=True, exist_ok=True)
    rows = [
        {key: value for key, value in row.items() if key != "thumbnail_png"}
        for row in data.get("requests", [])
    ]
    text = json.dumps({**data, "requests": rows}, indent=1, ensure_ascii=False)
    (out_dir / "report.json").write_text(text + "\n", encoding="utf-8")
    path = out_dir / "report.html"
    path.write_text(page(data), encoding="utf-8")
    return path


def page(report: dict[str, Any]) -> str:
    """Return the whole page."""
    meta = report.get("meta", {})
    title = meta.get("title") or "spaceverse report"
    requests = report.get("requests", [])
    head = tag(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", esc(title)),
        tag("style", asset("report.css").read_text(encoding="utf-8")),
    )
    body = tag(
        "body",
        _heading(meta, title),
        tag(
            "main",
            headline(report),
            _section("Where", world_map(report), _map_legend()),
            _section("When", timeline(report), _line_legend()),
            *([_section("Why", told)] if (told := why(requests)) else []),
            _section(
                "Answers",
                filters(requests),
                _card_legend(),
                tag("div", *(card(i, r) for i, r in enumerate(requests)), cls="cards"),
            ),
        ),
        _footer(meta),
        tag("script", asset("report.js").read_text(encoding="utf-8")),
    )
    return f'<!doctype html>\n<html lang="en">{head}{body}</html>\n'


def _section(title: str, *content: str) -> str:
    return tag("section", tag("h2", title), *content, cls="block")


def _heading(meta: Mapping[str, Any], title: str) -> str:
    facts = [str(meta[key]) for key in ("satellite", "scenario") if meta.get(key)]
    if "start_ns" in meta and "end_ns" in meta:
        facts.append(f"{clock(meta['start_ns'], date=True)} - {clock(meta['end_ns'])} UTC, orbital")
    return tag(
        "header",
        tag("h1", esc(title)),
        tag("p", *(tag("span", esc(fact)) for fact in facts)),
        tag("button", "Dark / light", type="button", id="theme"),
        cls="top",
    )


def _footer(meta: Mapping[str, Any]) -> str:
    notes = [tag("li", esc(note)) for note in meta.get("notes", [])]
    made = ", ".join(str(meta[key]) for key in ("software", "command", "created") if meta.get(key))
    return tag(
        "footer",
        tag("ul", *notes) if notes else "",
        tag("p", esc(made)),
        tag("p", "Coastlines: Natural Earth, public domain."),
    )


def _legend(*items: tuple[str, str]) -> str:
    spans = (tag("span", tag("i", cls=f"key {cls}"), esc(text)) for cls, text in items)
    return tag("p", *spans, cls="legend")


def _map_legend() -> str:
    return _legend(
        ("k-track", "ground track"),
        ("k-contact", "in contact"),
        ("k-station", "station used"),
        ("k-onboard", "capture answered on board"),
        ("k-ground", "capture answered on the ground"),
    )


def _line_legend() -> str:
    return _legend(
        ("k-contact-band", "contact"),
        ("k-capture", "capture"),
        ("phase-compute", "compute"),
        ("k-decision", "decision"),
        ("phase-wait", "wait"),
        ("phase-transmit", "transmit"),
        ("phase-ground", "ground"),
        ("k-right", "right answer"),
        ("k-wrong", "wrong answer"),
    )


def _card_legend() -> str:
    return _legend(
        ("k-keep", "region kept"),
        ("k-downsample", "downsampled"),
        ("k-drop", "dropped, never sent"),
        ("k-accept", "answer at or above"),
        ("k-reject", "offload below"),
    )
