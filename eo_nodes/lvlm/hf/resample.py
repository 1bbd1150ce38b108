"""Resize 8-bit images exactly as the Pillow library does, without it.

The checkpoints were trained on pictures resized by Pillow's two-pass filters, whose support grows
with the scale (no aliasing) and whose intermediate picture is 8 bit. OpenCV's filters differ by up
to tens of grey levels when shrinking.

Source: Pillow's documentation of its filters; fixed-point form measured against its output, equal
in every pixel (test/training).
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError

Bytes = NDArray[np.uint8]
Double = NDArray[np.float64]
_FRACTION_BITS = 22


def _box(x: Double) -> Double:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


def _triangle(x: Double) -> Double:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(x: Double) -> Double:
    x, a = np.abs(x), -0.5
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(x: Double) -> Double:
    return np.where((x >= -3.0) & (x < 3.0), np.sinc(x) * np.sinc(x / 3.0), 0.0)


# Codes as in preprocessor_config.json ("resample"); nearest (0) and Hamming (5) are used by no
# checkpoint.
FILTERS: dict[int, tuple[Callable[[Double], Double], float]] = {
    1: (_lanczos, 3.0), 2: (_triangle, 1.0), 3: (_cubic, 2.0), 4: (_box, 0.5),
}


def resize(image: Bytes, height: int, width: int, resample: int) -> Bytes:
    """Resize a picture.

    Args:
        image: (H, W, C) uint8. height, width: wanted, >= 1.
        resample: code of the filter: 1 Lanczos, 2 bilinear, 3 bicubic, 4 box.
    Returns:
        (height, width, C) uint8.
    Raises:
        ModelError: an unknown filter.
    """
    if resample not in FILTERS:
        raise ModelError(f"unknown resampling filter {resample}")
    lost_rows, lost_cols = image.shape[0] - height, image.shape[1] - width
    # Measured on Pillow 13; earlier versions always go along rows first (some grey levels apart).
    first = 0 if lost_rows > max(0, 2 * lost_cols) else 1
    for axis in (first, 1 - first):
        size = (height, width)[axis]
        if size != image.shape[axis]:
            turned = np.ascontiguousarray(image.swapaxes(0, axis))
            image = np.ascontiguousarray(_pass(turned, size, resample).swapaxes(0, axis))
    return image


def _pass(image: Bytes, size: int, resample: int) -> Bytes:
    """Resize the first axis."""
    first, weights = _weights(image.shape[0], size, resample)
    taps = np.arange(weights.shape[1])
    rows = np.minimum(first[:, None] + taps, image.shape[0] - 1)
    result = np.empty((size, *image.shape[1:]), np.uint8)
    for i in range(size):
        used = image[rows[i]].reshape(len(taps), -1).astype(np.int32)
        total = weights[i] @ used + (1 << (_FRACTION_BITS - 1))
        result[i] = np.clip(total >> _FRACTION_BITS, 0, 255).reshape(image.shape[1:])
    return result


def _weights(length: int, size: int, resample: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """First source index (size,) and fixed-point weights (size, taps) of each output."""
    shape, radius = FILTERS[resample]
    scale = length / size
    stretch = max(scale, 1.0)
    support = radius * stretch
    centre = (np.arange(size) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + support + 0.5).astype(np.int64), length)
    taps = np.arange(ceil(support) * 2 + 1)
    inside = taps < (last - first)[:, None]
    values = shape((taps + first[:, None] - centre[:, None] + 0.5) / stretch) * inside
    values /= values.sum(1, keepdims=True)
    fixed = values * (1 << _FRACTION_BITS)
    return first, np.trunc(fixed + np.copysign(0.5, fixed)).astype(np.int32)
