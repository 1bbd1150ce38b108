"""The map: coastlines, ground track, stations, contacts and captures as one SVG.

Equirectangular, one unit a degree: x = lon + 180, y = 90 - lat. Coastlines: sim/assets/README.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from .assets import asset
from .markup import clock, esc, size, tag

_LABEL_HEIGHT = 7.5
_LABEL_ADVANCE = 3.6  # per character of the label font, on average


def _xy(lon_deg: float, lat_deg: float) -> tuple[float, float]:
    return round(lon_deg + 180, 2), round(90 - lat_deg, 2)


@cache
def land_path() -> str:
    """Return the SVG path of all land."""
    tree = json.loads(asset("land_110m.geojson").read_text(encoding="utf-8"))
    parts = []
    for feature in tree["features"]:
        for polygon in feature["geometry"]["coordinates"]:
            for ring in polygon:
                points = (f"{x:g},{y:g}" for x, y in (_xy(*point) for point in ring))
                parts.append("M" + "L".join(points) + "Z")
    return "".join(parts)


def track_path(points: Sequence[dict[str, Any]]) -> str:
    """Return the SVG path of a ground track, cut where it crosses the antimeridian."""
    parts: list[str] = []
    before: float | None = None
    for point in points:
        x, y = _xy(point["lon_deg"], point["lat_deg"])
        move = before is None or abs(x - before) > 180
        parts.append(f"{'M' if move else 'L'}{x:g},{y:g}")
        before = x
    return "".join(parts)


def during(
    points: Sequence[dict[str, Any]], contacts: Iterable[dict[str, Any]]
) -> list[list[dict[str, Any]]]:
    """Return the pieces of a track inside each contact."""
    return [
        [p for p in points if contact["aos_ns"] <= p["stamp_ns"] <= contact["los_ns"]]
        for contact in contacts
    ]


def _graticule() -> str:
    lines = [f"M{x},0V180" for x in range(0, 361, 30)] + [f"M0,{y}H360" for y in range(0, 181, 30)]
    return "".join(lines)


def _place_labels(stations: Sequence[dict[str, Any]]) -> list[tuple[float, float, str]]:
    """Choose (x, y, anchor) of each label so that none lies over another, where possible."""
    taken: list[tuple[float, float, float, float]] = []
    placed = []
    for station in stations:
        x, y = _xy(station["lon_deg"], station["lat_deg"])
        width = _LABEL_ADVANCE * len(station["name"])
        options = [
            (x + 4, y + 2.4, "start"),
            (x - 4, y + 2.4, "end"),
            (x + 2, y - 4, "start"),
            (x + 2, y + 9, "start"),
            (x - 2, y - 4, "end"),
            (x - 2, y + 9, "end"),
        ]
        chosen = None
        for option in options:
            left = option[0] if option[2] == "start" else option[0] - width
            box = (left, option[1] - _LABEL_HEIGHT, left + width, option[1])
            inside = box[0] >= 0 and box[2] <= 360 and box[1] >= 0
            if inside and not any(_overlap(box, other) for other in taken):
                chosen = option
                taken.append(box)
                break
        placed.append(chosen or options[0])
    return placed


def _overlap(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def world_map(report: dict[str, Any]) -> str:
    """Return the figure of the map."""
    contacts = report.get("contacts", [])
    track = report.get("track", [])
    used = {contact["station"] for contact in contacts}
    stations = report.get("stations", [])
    parts = [
        tag("rect", width=360, height=180, cls="sea"),
        tag("path", d=_graticule(), cls="graticule"),
        tag("path", d=land_path(), cls="land"),
        tag("path", d=track_path(track), cls="track"),
    ]
    for contact, piece in zip(contacts, during(track, contacts), strict=True):
        title = (
            f"{contact['station']}: {clock(contact['aos_ns'])} - {clock(contact['los_ns'])}, "
            f"up to {contact.get('max_elevation_deg', 0):.0f}°, "
            f"carries {size(contact.get('capacity_bytes', 0))}"
        )
        parts.append(tag("path", tag("title", esc(title)), d=track_path(piece), cls="in-contact"))
    for station in stations:
        x, y = _xy(station["lon_deg"], station["lat_deg"])
        busy = "" if station["name"] in used else " unused"
        parts.append(
            tag(
                "path",
                tag("title", esc(station["name"])),
                d=f"M{x},{y - 2.6}L{x + 2.4},{y + 1.8}H{x - 2.4}Z",
                cls=f"station{busy}",
            )
        )
    for request in report.get("requests", []):
        if "lon_deg" in request and "lat_deg" in request:
            x, y = _xy(request["lon_deg"], request["lat_deg"])
            title = f"{request.get('place', '')} {request['prompt']}".strip()
            parts.append(
                tag(
                    "circle",
                    tag("title", esc(title)),
                    cx=x,
                    cy=y,
                    r=1.7,
                    cls=f"capture {esc(request['origin'])}",
                )
            )
    labelled = [station for station in stations if station["name"] in used]
    for station, (x, y, anchor) in zip(labelled, _place_labels(labelled), strict=True):
        name = station["name"].replace("_", " ")
        parts.append(tag("text", esc(name), x=x, y=y, text_anchor=anchor, cls="name"))
    return tag(
        "svg",
        *parts,
        viewBox="0 0 360 180",
        cls="world",
        role="img",
        aria_label="Map of the ground track, the stations and the captures",
    )
