"""One card an answer: picture with regions, question, answer, truth, and how it came about."""

from __future__ import annotations

import base64
from typing import Any

from .markup import clock, esc, size, span, tag, void

STAGES = {1: "tap 1", 2: "tap 2", 3: "end"}
_ORIGINS = {"onboard": "on board", "ground": "ground"}
_MAGIC = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpeg"), (b"RIFF", "webp"))


def data_uri(picture: str | bytes) -> str:
    """Return a data URI of a picture given as bytes or base64; empty when it is none we show."""
    try:
        raw = base64.b64decode(picture, validate=True) if isinstance(picture, str) else picture
    except ValueError:
        return ""
    for magic, kind in _MAGIC:
        if raw.startswith(magic):
            return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"
    return ""


def dates_in(uri: str, window: list[int]) -> int:
    """Return how many dates stand side by side in a PNG of a window, >= 1.

    Told from its size: the picture of two dates is twice as wide for its height as the window.
    """
    head, _, body = uri.partition("base64,")
    if "image/png" not in head:
        return 1
    raw = base64.b64decode(body[:44])
    width, height = (int.from_bytes(raw[at : at + 4], "big") for at in (16, 20))  # IHDR
    if not width or not height:
        return 1
    return max(round(width / height * window[3] / window[2]), 1)


def _overlay(request: dict[str, Any], dates: int) -> str:
    window = request.get("window") or []
    if not window or not request.get("regions"):
        return ""
    cells = []
    for region in request["regions"]:
        x, y, width, height = region["window"]
        title = f"{region['action']}, relevance {region.get('relevance', 0):.2f}"
        if region.get("coded_bytes"):
            title += f", {size(region['coded_bytes'])} {region.get('codec', '')}"
        cells.append(
            tag(
                "rect",
                tag("title", esc(title)),
                x=x,
                y=y,
                width=width,
                height=height,
                cls=f"region {region['action']}",
            )
        )
    left, top, wide, high = window
    copies = (tag("g", *cells, transform=f"translate({n * wide} 0)") for n in range(1, dates))
    return tag(
        "svg",
        *cells,
        *copies,
        viewBox=f"{left} {top} {wide * dates} {high}",
        preserveAspectRatio="none",
        cls="regions",
        aria_hidden="true",
    )


def _picture(request: dict[str, Any]) -> str:
    uri = data_uri(request.get("thumbnail_png", ""))
    window = request.get("window") or [0, 0, 4, 3]
    dates = dates_in(uri, window)
    shape = f"aspect-ratio:{window[2] * dates}/{window[3]}"
    inside = (
        void("img", src=uri, alt=f"Asked window, {request['modality']}")
        if uri
        else tag("span", "no picture", cls="nopicture")
    )
    return tag("div", inside, _overlay(request, dates), cls="picture", style=shape)


def _verdict_of_truth(request: dict[str, Any]) -> str:
    right = request.get("right")
    if request["status"] != "final":
        return "none"
    return {True: "right", False: "wrong"}.get(right, "open")  # type: ignore[arg-type]


def _meters(request: dict[str, Any]) -> str:
    """Draw the confidence of each stage with the thresholds it was held against."""
    by_stage = {row["stage"]: row for row in request.get("verdicts", [])}
    # A short answer has no tap 2: verdicts know their tap, the answer's list does not.
    held = ([(n, row["score"]) for n, row in sorted(by_stage.items()) if "score" in row]
            or list(enumerate(request.get("confidences", []), 1)))  # fmt: skip
    rows = []
    for stage, value in held:
        share = min(max(value, 0.0), 1.0)
        marks = []
        for key in ("reject", "accept"):
            threshold = by_stage.get(stage, {}).get(key)
            if threshold is not None and 0 < threshold < 1:
                place = f"left:{100 * threshold:.1f}%"
                marks.append(tag("u", style=place, cls=key, title=f"{key} {threshold:.2f}"))
        bar = tag("i", tag("s", style=f"width:{100 * share:.1f}%"), *marks)
        name = STAGES.get(stage, f"stage {stage}")
        rows.append(tag("div", tag("span", name), bar, tag("b", f"{share:.2f}"), cls="meter"))
    return tag("div", *rows, cls="meters") if rows else ""


def _rows(pairs: list[tuple[str, str]]) -> str:
    cells = "".join(tag("dt", esc(name)) + tag("dd", content) for name, content in pairs if content)
    return tag("dl", cells)


def _verdicts(request: dict[str, Any]) -> str:
    lines = []
    for row in request.get("verdicts", []):
        stage = STAGES.get(row["stage"], str(row["stage"]))
        score = f" {row['score']:.2f}" if "score" in row else ""
        text = f"{stage}: {row['decision']}{score}"
        if row.get("reason"):
            text += f" - {row['reason']}"
        lines.append(tag("li", esc(text)))
    return tag("ul", *lines) if lines else ""


def _steps(request: dict[str, Any]) -> str:
    steps = sorted(request.get("steps", []), key=lambda step: step["stamp_ns"])
    lines = []
    for before, step in zip([None, *steps], steps, strict=False):
        delta = f"+{span((step['stamp_ns'] - before['stamp_ns']) / 1e9)}" if before else ""
        lines.append(
            tag(
                "tr",
                tag("td", esc(step["name"])),
                tag("td", clock(step["stamp_ns"])),
                tag("td", delta),
            )
        )
    return tag("table", tag("tbody", *lines)) if lines else ""


def regions_line(request: dict[str, Any]) -> str:
    """Return how many regions were kept, downsampled and dropped; empty of none."""
    counts: dict[str, int] = {}
    for region in request.get("regions", []):
        counts[region["action"]] = counts.get(region["action"], 0) + 1
    if not counts:
        return ""
    words = (("keep", "kept"), ("downsample", "downsampled"), ("drop", "dropped"))
    return ", ".join(f"{counts[key]} {word}" for key, word in words if key in counts)


def _asked_line(request: dict[str, Any]) -> str:
    window = request.get("asked_region")
    if not window:
        return ""
    x, y, width, height = window
    return f"{width} x {height} at {x}, {y}: {size(request.get('region_bytes', 0))}"


def card(index: int, request: dict[str, Any]) -> str:
    """Return the card of one request; `index` counts from 0."""
    verdict = _verdict_of_truth(request)
    refused = request["status"] != "final"
    said = request.get("reason", "") if refused else request["answer"]
    sent, raw = request.get("bytes_sent", 0), request.get("bytes_raw", 0)
    badges = [
        tag("span", esc(_ORIGINS.get(request["origin"], request["origin"])), cls="badge origin"),
        tag("span", esc(request["modality"]), cls="badge"),
    ]
    if refused:
        badges.append(tag("span", esc(request["status"]), cls="badge status"))
    marks = {"right": "✓ right", "wrong": "✗ wrong", "open": "no truth stored", "none": ""}
    truth = ""
    if request.get("truth"):
        truth = tag("p", tag("span", "truth"), esc(request["truth"]), cls="truth")
    provisional = ""
    if request.get("provisional") and request["origin"] == "ground":
        provisional = tag(
            "p", tag("span", "on board it said"), esc(request["provisional"]), cls="truth"
        )
    if request.get("asked_region"):
        provisional += tag(
            "p",
            tag("span", "before it asked for a region"),
            esc(request.get("before_region", "")),
            cls="truth",
        )
    if request.get("before_finer"):
        provisional += tag(
            "p",
            tag("span", "before finer pixels followed"),
            esc(request.get("before_finer", "")),
            cls="truth",
        )
    model = " ".join(
        part for part in (request.get("model_id", ""), request.get("model_digest", "")[:12]) if part
    )
    bytes_line = f"{size(sent)} sent of {size(raw)}"
    if raw:
        bytes_line += f" ({100 * sent / raw:.2g} %)"
    details = _rows(
        [
            ("decisions", _verdicts(request)),
            ("steps", _steps(request)),
            ("regions", esc(regions_line(request))),
            ("asked again", esc(_asked_line(request))),
            ("model", esc(model)),
            ("energy", f"{request['energy_j']:.1f} J, estimate" if request.get("energy_j") else ""),
            ("scene", esc(request.get("scene_id", ""))),
            ("request", esc(request["id"])),
            ("task", esc(request.get("task_id", ""))),
        ]
    )
    return tag(
        "article",
        _picture(request),
        tag(
            "div",
            tag("header", tag("b", f"#{index + 1}"), *badges, tag("em", marks[verdict])),
            tag("h3", esc(request["prompt"])),
            tag("p", esc(said) or "&nbsp;", cls="said"),
            truth,
            provisional,
            _meters(request),
            tag("p", bytes_line, cls="bytes"),
            tag("details", tag("summary", "How it came about"), details),
            cls="text",
        ),
        id=f"r{index + 1}",
        cls=f"card {verdict} {esc(request['origin'])}",
        data_origin=request["origin"],
        data_modality=request["modality"],
        data_verdict="refused" if refused else verdict,
        data_text=f"{request['prompt']} {said} {request.get('truth', '')}".lower(),
    )


def filters(requests: list[dict[str, Any]]) -> str:
    """Return the row of filter buttons with counts."""
    kinds: list[tuple[str, str, str, int]] = []
    verdicts = [_verdict_of_truth(r) if r["status"] == "final" else "refused" for r in requests]
    kinds += [("verdict", key, key, verdicts.count(key)) for key in ("right", "wrong", "refused")]
    origins = [request["origin"] for request in requests]
    kinds += [("origin", key, word, origins.count(key)) for key, word in _ORIGINS.items()]
    modalities = [request["modality"] for request in requests]
    kinds += [("modality", name, name, modalities.count(name)) for name in sorted(set(modalities))]
    chips = [
        tag(
            "button",
            esc(word),
            tag("small", str(count)),
            type="button",
            data_kind=kind,
            data_value=value,
            aria_pressed="false",
        )
        for kind, value, word, count in kinds
        if count
    ]
    return tag(
        "div",
        *chips,
        void("input", type="search", placeholder="words", aria_label="Words in the answers"),
        tag("label", void("input", type="checkbox", id="veil", checked=""), "regions"),
        tag("output", f"{len(requests)} of {len(requests)}"),
        cls="filters",
    )
