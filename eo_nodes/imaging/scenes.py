"""From an image as read to the fields of a Scene.

Non-purpose: storing the pixels; the frame store takes ``RawImage.values`` under the scene's key.
"""

from __future__ import annotations

import hashlib

import numpy as np

from eo_nodes.contracts.values import Scene

from .readers import RawImage
from .sensors import Sensor


def pixels_sha256(values: np.ndarray) -> str:
    """SHA-256 of the samples in C order, little endian, hex."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return hashlib.sha256(little.tobytes()).hexdigest()


def scene_of(
    raw: RawImage,
    sensor: Sensor,
    *,
    scene_id: str,
    stamp_ns: int,
    frame_key: str,
    place: str = "",
) -> Scene:
    """Describe an image of a sensor as a scene.

    Args:
        raw: read with the same sensor.
        stamp_ns: capture, orbital time.
        frame_key: under which the frame store will hold ``raw.values``.
    Returns:
        Scene whose ``raw_bytes`` counts the samples as the sensor stored them, so that a scaled
        sensor (one byte stored, four as float) does not look dearer to send than it is.
    """
    frames, height, width, bands = raw.values.shape
    return Scene(
        id=scene_id, stamp_ns=stamp_ns, sensor=sensor.name, modality=sensor.modality, place=place,
        frame_key=frame_key, frames=frames, height=height, width=width, bands=bands,
        dtype=raw.values.dtype.name, sha256=pixels_sha256(raw.values), band_names=raw.bands,
        wavelength_um=raw.wavelength_um, gsd_m=raw.gsd_m, crs=raw.crs,
        geotransform=raw.geotransform, footprint=raw.footprint, flags=raw.flags,
        raw_bytes=raw.stored_bytes,
    )  # fmt: skip
