"""Whether the values of an image can be in the unit that a model takes them for.

Purpose: name what is wrong before an answer hides it. Non-purpose: conversion; a file is brought to
physical units by the entry of its sensor (``readers``).
Theory of operation: a file without its sensor is taken as it comes: uint8 as a rendering, wider
integers as reflectance x 10,000, amplitude or counts, float32 as reflectance, decibel or kelvin.
Two things speak against that: a sensor that stores samples of these bands in this dtype with a
scale of its own, and floats where the unit has hardly any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sensors import Sensor

_LOOKED_AT_PX = 256
_TOP_REFLECTANCE = 2.0  # sunlit cloud and snow, and glint below it
_COLDEST_K = 150.0


class UnitWarning(UserWarning):
    """Values that are likely in another unit than they are read in."""


def doubt(
    values: NDArray[Any], names: Sequence[str], modality: str, sensors: Iterable[Sensor] = ()
) -> str:
    """What speaks against the unit of an image's values, empty where nothing does.

    Args:
        values: (F, H, W, C) as they were read, without a sensor's entry.
        names: C bands. modality: of the image.
        sensors: those known, whose files may hold such bands.
    """
    if values.dtype == np.float32:
        return _float_doubt(values, modality)
    bands = {name.lower() for name in names}
    for sensor in sensors:
        stored = sensor.is_scaled and sensor.dtype == values.dtype.name
        if stored and sensor.modality == modality and bands <= {
            name.lower() for name in sensor.band_names
        }:
            return (f"{values.dtype} {', '.join(names)} are read as "
                    f"{_taken_for(values, modality)}; stored samples of {sensor.name} "
                    f"({sensor.scale:g} x value {sensor.offset:+g}) need its name as sensor")
    return ""


def _taken_for(values: NDArray[Any], modality: str) -> str:
    if values.dtype == np.uint8:
        return "an 8-bit rendering"
    if modality in ("optical", "multispectral"):
        return "reflectance x 10,000"
    return "amplitude" if modality == "sar" else "counts of their own range"


def _float_doubt(values: NDArray[Any], modality: str) -> str:
    step = [max(1, side // _LOOKED_AT_PX) for side in values.shape[1:3]]
    x = values[:, :: step[0], :: step[1]]
    x = x[np.isfinite(x)]
    if not x.size:
        return ""
    low, middle, high = np.quantile(x, (0.01, 0.5, 0.99)).tolist()
    if modality == "sar" and low >= 0 < high:
        return ("float32 radar is read as decibel, but no value is below 0: linear power needs "
                "10 log10(x), amplitude 20 log10(x)")  # fmt: skip
    if modality in ("optical", "multispectral") and high > _TOP_REFLECTANCE:
        return (f"float32 is read as reflectance, 0 to 1, but values reach {high:.4g}: divide by "
                "their scale, or give integers of reflectance x 10,000")  # fmt: skip
    if modality == "thermal" and middle < _COLDEST_K:
        return f"float32 thermal is read as kelvin, but half the values are below {middle:.4g}"
    return ""
