"""The one rule from native bands to model input, shared by training and runtime.

Purpose: turn an array as a sensor delivers it into one or two three-channel composites in [0, 1].
Non-purpose: georeferencing, calibration of digital numbers, resizing (see ``views``).

Radiometric ranges, by modality and dtype:

* uint8, any modality: a display rendering, value / 255.
* optical: float in [0, 1] as is; uint16 and int16 are reflectance x 10,000, shown as 8-bit
  Sentinel-2 quick-looks are (0 to 0.2755 reflectance).
* multispectral: reflectance as for optical (float: 0 to 1). Composite 1 is true colour; composite 2
  is (short-wave infrared, near infrared, red) over 0 to 0.4. Without a near-infrared band there is
  one composite; without SWIR the second is (near infrared, red, green).
* sar: float is backscatter in dB, VV and HH -25 to 0, VH and HV -32 to -5; two polarisations give
  (co, cross, co - cross over 0 to 15 dB). Integers above 8 bit are amplitude, in dB of the value,
  stretched between the 1 % and 99 % quantile of the array.
* thermal: float is kelvin, 250 to 330; wider integers are stretched between the quantiles.
* elevation: metres; (height within the array, hill shade, absolute height over 0 to 5,000 m).
* temporal: each frame on its own, by what its band names say.

NaN and minus infinity become 0, plus infinity 1. Source: own rule; Sentinel-2 and Sentinel-1
ranges as in the usual browse products.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError

Float = NDArray[np.float32]

MODALITIES = ("optical", "multispectral", "sar", "thermal", "temporal", "elevation")
_DTYPES = (np.uint8, np.uint16, np.int16, np.float32)
_REFLECTANCE_SCALE = 10_000.0
_TRUE_COLOUR_MAX = 0.2755
_INFRARED_MAX = 0.4
# Sentinel-2 and Landsat names first, then words; the first match wins.
_PATTERNS = {
    "red": r"\bb0?4\b|\bred\b|665 ?nm",
    "green": r"\bb0?3\b|green|560 ?nm",
    "blue": r"\bb0?2\b|blue|490 ?nm",
    "nir": r"\bb0?8\b|near|\bnir|842 ?nm",
    "swir": r"\bb11\b|\bswir|short.?wave|1610 ?nm",
    "co": r"\bvv\b|\bhh\b",
    "cross": r"\bvh\b|\bhv\b",
    "sar": r"\bvv\b|\bhh\b|\bvh\b|\bhv\b|amplitude|magnitude|backscatter",
}


def find_band(bands: Sequence[str], role: str) -> int | None:
    """Index of the band that plays ``role`` (a key of the pattern table), or None.

    A red edge is not red: names that say "edge" are skipped for the visible bands.
    """
    pattern = re.compile(_PATTERNS[role])
    for index, name in enumerate(bands):
        text = name.lower().replace("_", " ")
        if pattern.search(text) and not ("edge" in text and role in ("red", "green", "blue")):
            return index
    return None


def to_composites(values: NDArray[np.generic], bands: Sequence[str], modality: str) -> Float:
    """Turn one frame into three-channel composites.

    Args:
        values: (H, W, C) uint8, uint16, int16 or float32, ranges as at the head of this module.
        bands: C band names, e.g. ``B04 665nm``, ``red``, ``VV``; order as in ``values``.
        modality: one of ``MODALITIES``.
    Returns:
        (n, H, W, 3) float32 in [0, 1]; n is 2 for multispectral with near infrared, else 1.
    Raises:
        ModelError: wrong rank, empty, other dtype, names that do not match, unknown modality.
    """
    if values.ndim != 3 or 0 in values.shape:
        raise ModelError(f"view of shape {values.shape}, expected (H, W, C) without zeros")
    if values.dtype not in _DTYPES:
        raise ModelError(f"view of dtype {values.dtype}, expected uint8, uint16, int16 or float32")
    if len(bands) != values.shape[2]:
        raise ModelError(f"{len(bands)} band names for {values.shape[2]} bands")
    if modality not in MODALITIES:
        raise ModelError(f"unknown modality {modality!r}")
    kind = _kind_of_frame(bands) if modality == "temporal" else modality
    stack = _COMPOSERS[kind](values, bands)
    return np.ascontiguousarray(_clean(stack), np.float32)


def _kind_of_frame(bands: Sequence[str]) -> str:
    if find_band(bands, "sar") is not None:
        return "sar"
    if find_band(bands, "nir") is not None and find_band(bands, "red") is not None:
        return "multispectral"
    return "optical"


def _clean(stack: Float) -> Float:
    finite = np.nan_to_num(stack, nan=0.0, posinf=1.0, neginf=0.0)
    return np.clip(finite, 0.0, 1.0).astype(np.float32)


def _reflectance(values: NDArray[np.generic], top: float) -> Float:
    """Map a band stack to display range: 0 to ``top`` reflectance becomes 0 to 1."""
    if values.dtype == np.uint8:
        return np.asarray(values.astype(np.float32) / 255, np.float32)
    scale = 1.0 if values.dtype == np.float32 else _REFLECTANCE_SCALE
    return np.asarray(values.astype(np.float32) / np.float32(scale * top), np.float32)


def _stretch(values: NDArray[np.generic]) -> Float:
    """Stretch between the 1 % and 99 % quantile of the finite values."""
    x = values.astype(np.float32)
    finite = x[np.isfinite(x)]
    if finite.size == 0:
        return np.zeros_like(x)
    low, high = np.quantile(finite, (0.01, 0.99))
    return np.asarray((x - low) / max(float(high - low), 1e-6), np.float32)


def _visible(bands: Sequence[str]) -> list[int]:
    found = [find_band(bands, role) for role in ("red", "green", "blue")]
    if all(i is not None for i in found):
        return [i for i in found if i is not None]
    # Unnamed channels: three or more are taken as red, green, blue; else the first one is grey.
    return [0, 1, 2] if len(bands) >= 3 else [0, 0, 0]


def _optical(values: NDArray[np.generic], bands: Sequence[str]) -> Float:
    picked = values[..., _visible(bands)]
    top = 1.0 if values.dtype == np.float32 else _TRUE_COLOUR_MAX
    return _reflectance(picked, top)[None]


def _multispectral(values: NDArray[np.generic], bands: Sequence[str]) -> Float:
    visible = _visible(bands)
    true_colour = _reflectance(values[..., visible], _TRUE_COLOUR_MAX)
    nir, swir = find_band(bands, "nir"), find_band(bands, "swir")
    if nir is None:
        return true_colour[None]
    order = [nir, visible[0], visible[1]] if swir is None else [swir, nir, visible[0]]
    infrared = _reflectance(values[..., order], _INFRARED_MAX)
    return np.stack([true_colour, infrared])


def _sar(values: NDArray[np.generic], bands: Sequence[str]) -> Float:
    co, cross = find_band(bands, "co"), find_band(bands, "cross")
    x: Float = values.astype(np.float32)
    level: NDArray[np.floating]
    if values.dtype == np.uint8:
        level = x / 255
    elif values.dtype == np.float32:
        low = np.array([-32.0 if c == cross else -25.0 for c in range(len(bands))], np.float32)
        top = np.where(low < -30, -5.0, 0.0).astype(np.float32)
        level = (x - low) / (top - low)
    else:
        decibel = 20 * np.log10(np.maximum(x, 1.0))
        level = np.stack([_stretch(decibel[..., c]) for c in range(len(bands))], -1)
    if co is None or cross is None:
        return np.repeat(level[None, ..., :1], 3, axis=-1).astype(np.float32)
    if values.dtype == np.float32:
        ratio = (x[..., co] - x[..., cross]) / 15
    else:
        ratio = level[..., co] - level[..., cross]
    return np.stack([level[..., co], level[..., cross], ratio], -1)[None].astype(np.float32)


def _thermal(values: NDArray[np.generic], bands: Sequence[str]) -> Float:
    level: NDArray[np.floating] = values[..., :1].astype(np.float32)
    if values.dtype == np.uint8:
        level = level / 255
    elif values.dtype == np.float32:
        level = (level - 250) / 80
    else:
        level = _stretch(level)
    return np.repeat(level[None], 3, axis=-1).astype(np.float32)


def _elevation(values: NDArray[np.generic], bands: Sequence[str]) -> Float:
    height = np.nan_to_num(values[..., 0].astype(np.float32), posinf=0.0, neginf=0.0)
    if min(height.shape) < 2:
        shade = np.full_like(height, 0.5)
    else:
        slope_y, slope_x = np.gradient(height)
        # Light from the north-west; 30 m a pixel is the usual posting of global elevation models.
        shade = 0.5 + 0.5 * np.tanh((slope_x + slope_y) / 30)
    return np.stack([_stretch(height), shade, height / 5000], -1)[None]


_COMPOSERS = {
    "optical": _optical,
    "multispectral": _multispectral,
    "sar": _sar,
    "thermal": _thermal,
    "elevation": _elevation,
}
