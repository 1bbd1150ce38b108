"""Thumbnails of asked windows, for the report."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from eo_nodes.graph.paths import project_file
from eo_nodes.imaging.readers import read_file
from eo_nodes.imaging.sensors import Sensor, load_sensors
from eo_sim.scenario import Scenario

_SIDE_PX = 256


@lru_cache(maxsize=1)
def sensors() -> dict[str, Sensor]:
    """The mission's table of sensors."""
    return load_sensors(
        Path(project_file("config/mission/sensors.yaml")).read_text(encoding="utf-8")
    )


@lru_cache(maxsize=64)
def pixels_of(file: Path, sensor: str) -> np.ndarray:
    """Pixels (F, H, W, C) of a scene file."""
    return read_file(file, sensors()[sensor]).values


def picture(values: np.ndarray) -> np.ndarray:
    """(F, H, W, C) of any sensor to (H, W * F, 3) uint8: dates side by side, 2..98 % stretched."""
    bands = [3, 2, 1] if values.shape[3] >= 12 else [0, 1, 2] if values.shape[3] >= 3 else [0] * 3
    shown = values[..., bands].astype(np.float32)
    if values.dtype != np.uint8:
        low, high = np.percentile(shown, (2, 98))
        shown = (shown - low) / max(float(high - low), 1e-6) * 255
    return np.concatenate(list(np.clip(shown, 0, 255).astype(np.uint8)), axis=1)


def thumbnail_of(scenario: Scenario, scene: Any, window: tuple[int, ...]) -> bytes:
    """PNG of a window of a captured scene; empty when its file is unknown."""
    file = next((c.file for c in scenario.captures if c.place == scene.place), None)
    if file is None:
        return b""
    x, y, width, height = window
    shown = picture(pixels_of(file, scene.sensor)[:, y : y + height, x : x + width])
    scale = _SIDE_PX / max(shown.shape[:2])
    mode = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    size = (max(1, round(shown.shape[1] * scale)), max(1, round(shown.shape[0] * scale)))
    shown = cv2.resize(shown, size, interpolation=mode)
    return bytes(cv2.imencode(".png", shown[..., ::-1])[1])
