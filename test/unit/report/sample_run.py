"""A run as a demo would write it: real geometry of one orbit, seeded answers and pictures."""

from __future__ import annotations

import math
import random
from typing import Any

import cv2
import numpy as np

START_NS = 1_791_158_400_000_000_000  # 2026-10-05T00:00:00Z
S_NS = 10**9
_QUESTIONS = {
    "optical": ("How many ships are in the harbour?", "3"),
    "multispectral": ("What is the land cover of this area?", "river"),
    "sar": ("Is there open water in the image?", "yes"),
    "thermal": ("How many vehicles are warm?", "2"),
    "temporal": ("Was anything built between the two dates?", "yes, two buildings"),
    "elevation": ("Is this a valley or a ridge?", "valley"),
}
STATIONS = (
    ("svalbard", 78.23, 15.39),
    ("kiruna", 67.86, 20.96),
    ("maspalomas", 27.76, -15.63),
    ("hartebeesthoek", -25.89, 27.71),
    ("troll", -72.01, 2.53),
    ("punta_arenas", -52.93, -70.85),
    ("alice_springs", -23.76, 133.88),
    ("fairbanks", 64.86, -147.85),
)


def _track(count: int, step_s: int) -> list[dict[str, Any]]:
    points = []
    for index in range(count):
        phase = 2 * math.pi * index * step_s / 5900
        lat = math.degrees(math.asin(math.sin(math.radians(98.6)) * math.sin(phase)))
        along = math.degrees(
            math.atan2(math.cos(math.radians(98.6)) * math.sin(phase), math.cos(phase))
        )
        lon = (20 + along - index * step_s * 0.004178 + 180) % 360 - 180
        points.append(
            {"stamp_ns": START_NS + index * step_s * S_NS, "lat_deg": lat, "lon_deg": lon}
        )
    return points


def picture(rng: np.random.Generator, width: int, height: int) -> bytes:
    """A scene-like picture: smooth ground, a few bright things."""
    base = cv2.resize(rng.random((9, 12, 3), np.float32), (width, height), interpolation=2)
    image = (40 + 150 * base).astype(np.uint8)
    for _ in range(6):
        x, y = int(rng.integers(0, width - 24)), int(rng.integers(0, height - 12))
        cv2.rectangle(image, (x, y), (x + 18, y + 7), (235, 235, 225), -1)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def _regions(rng: random.Random, window: list[int]) -> list[dict[str, Any]]:
    x0, y0, width, height = window
    cells = []
    for row in range(6):
        for column in range(8):
            relevance = rng.random() ** 2
            action = "keep" if relevance > 0.6 else "downsample" if relevance > 0.25 else "drop"
            cells.append(
                {
                    "window": [
                        x0 + column * width // 8,
                        y0 + row * height // 6,
                        width // 8,
                        height // 6,
                    ],
                    "action": action,
                    "scale": {"keep": 1.0, "downsample": 0.25, "drop": 0.0}[action],
                    "relevance": relevance,
                    "codec": "" if action == "drop" else "htj2k",
                    "coded_bytes": 0 if action == "drop" else rng.randrange(600, 9000),
                }
            )
    return cells


def _steps(
    capture: int, contact: dict[str, Any], ground: bool, rng: random.Random
) -> list[dict[str, Any]]:
    t = capture
    steps = [("capture", t)]
    for name, seconds in (("request", 0.2), ("views", 0.6), ("tap1", 2.1), ("tap2", 1.2)):
        t += round((seconds + rng.random()) * S_NS)
        steps.append((name, t))
    steps.append(("verdict", t + S_NS // 100))
    t += S_NS
    steps.append(("queued", t))
    first = max(t, contact["aos_ns"]) + rng.randrange(1, 150) * S_NS
    steps += [("first_byte", first), ("last_byte", first + rng.randrange(2, 60) * S_NS)]
    t = steps[-1][1] + round((5 if ground else 0.3) * S_NS)
    if ground:
        steps.append(("ground", t - S_NS))
    steps.append(("final", t))
    return [{"name": name, "stamp_ns": stamp} for name, stamp in steps]


def sample(count: int = 32, seed: int = 7) -> dict[str, Any]:
    """Return a report with `count` requests."""
    rng, pixels = random.Random(seed), np.random.default_rng(seed)
    track = _track(300, 20)
    contacts = [
        {
            "id": f"sat1-{name}-{aos}",
            "station": name,
            "aos_ns": START_NS + aos * S_NS,
            "los_ns": START_NS + (aos + length) * S_NS,
            "max_elevation_deg": elevation,
            "capacity_bytes": capacity,
            "used_bytes": capacity // 40,
        }
        for name, aos, length, elevation, capacity in (
            ("svalbard", 1260, 610, 41.0, 21_000_000),
            ("troll", 4020, 560, 33.0, 17_500_000),
            ("punta_arenas", 4620, 420, 12.0, 6_200_000),
        )
    ]
    requests = []
    for index in range(count):
        modality = list(_QUESTIONS)[index % len(_QUESTIONS)]
        prompt, truth = _QUESTIONS[modality]
        point = track[(index * 7 + 3) % 200]
        contact = next(c for c in contacts if c["los_ns"] > point["stamp_ns"] + 300 * S_NS)
        ground = rng.random() < 0.4
        right = rng.random() < 0.7
        window = [index * 10, 64, 800, 600]
        refused = index == count - 1
        first = 0.9 if not ground else 0.35
        requests.append(
            {
                "id": f"req-{index:011x}-abcdef012345",
                "task_id": f"task-{index:011x}-demo-0001-00001",
                "scene_id": f"scene-{index // 3:011x}",
                "prompt": prompt if index else 'How many <b>ships</b>? <script>alert("x")</script>',
                "truth": truth,
                "answer": "" if refused else truth if right else "none that can be seen",
                "provisional": "maybe one" if ground else "",
                "status": "refused" if refused else "final",
                "origin": "ground" if ground else "onboard",
                "reason": "deadline passed before the capture" if refused else "",
                "right": None if refused else right,
                "modality": modality,
                "place": "Rotterdam",
                "lat_deg": point["lat_deg"],
                "lon_deg": point["lon_deg"],
                "capture_ns": point["stamp_ns"],
                "window": window,
                "regions": _regions(rng, window) if ground else [],
                "asked_region": [window[0], 64, 200, 100] if ground and index % 4 == 0 else [],
                "before_region": "several <i>" if ground and index % 4 == 0 else "",
                "region_bytes": 12_000 if ground and index % 4 == 0 else 0,
                "thumbnail_png": picture(pixels, 320, 240),
                "confidences": [first, first - 0.1] if ground else [first],
                "verdicts": [
                    {
                        "stage": 1,
                        "decision": "offload" if ground else "answer",
                        "score": first,
                        "accept": 0.85,
                        "reject": 0.4,
                        "reason": "below the threshold" if ground else "sure enough",
                        "stamp_ns": point["stamp_ns"],
                    }
                ],
                "steps": _steps(point["stamp_ns"], contact, ground, rng),
                "model_id": "regular-1" if ground else "compact-1",
                "model_digest": "9f86d081884c7d659a2feaa0c55ad015",
                "stage": 1,
                "bytes_raw": 800 * 600 * (13 * 2 if modality == "multispectral" else 3),
                "bytes_sent": rng.randrange(9_000, 90_000) if ground else rng.randrange(300, 800),
                "energy_j": 3.2,
            }
        )
    return {
        "meta": {
            "title": "One orbit, 32 questions",
            "scenario": "demo",
            "satellite": "sentinel_2a",
            "created": "2026-11-21T12:00:00Z",
            "start_ns": START_NS,
            "end_ns": START_NS + 5900 * S_NS,
            "software": "spaceverse 0.1.0",
            "command": "spaceverse demo",
            "capture_rate": "32 windows in 98 min",
            "notes": ["Thermal scenes come from a drone and stand in for a satellite sensor."],
        },
        "tasks": count,
        "answers_onboard": sum(r["origin"] == "onboard" for r in requests),
        "answers_ground": sum(r["origin"] == "ground" for r in requests),
        "refusals": 1,
        "lost": 0,
        "duplicates": 0,
        "frames_outside_contact": 0,
        "modalities": sorted(_QUESTIONS),
        "scenes": 11,
        "bytes_raw": 412_000_000,
        "bytes_sent": 812_345,
        "capacity_bytes": 44_700_000,
        "accuracy": {
            "onboard": 0.74,
            "ground": 0.69,
            "blind_onboard": 0.41,
            "blind_ground": 0.45,
            "n": count - 1,
            "n_onboard": 19,
            "n_ground": 12,
        },
        "second_looks": {
            "asked": 3,
            "refined": 2,
            "changed": 1,
            "right_before": 1,
            "right_after": 2,
            "bytes": 31_000,
        },
        "latency_s": {
            "mean": 1220.5,
            "p50": 1130.0,
            "p95": 2890.0,
            "parts": {
                "compute": 6.1,
                "queue": 3.0,
                "wait": 1180.0,
                "transmit": 28.0,
                "ground": 4.0,
            },
        },
        "clock": {"mode": "lockstep", "requested_rate": 0, "achieved_rate": 61.4},
        "wall_s": 96.1,
        "peak_rss_mb": {"space": 812.0, "ground": 640.0},
        "stations": [
            {"name": name, "lat_deg": lat, "lon_deg": lon, "mask_deg": 5.0}
            for name, lat, lon in STATIONS
        ],
        "track": track,
        "contacts": contacts,
        "requests": requests,
    }
