"""Code and decode blocks of pixels: any number of frames and bands, 8 and 16 bit, dB and kelvin.

Theory of operation: a block (F, H, W, C) becomes F * C planes of unsigned 8 or 16 bit,
``level = (value - offset) / step`` rounded, coded losslessly: HTJ2K and JPEG 2000 as one
codestream of F * C components without a colour transform, PNG with the planes one below the other.
With ``max_error`` 0 integers come back exactly. A larger ``max_error`` widens the step, so the
error stays below it for every sample. Float blocks (SAR in dB, kelvin) are always quantised: on
their own grid if they lie on one, else to 1/65535 of their range.

A ``wavelet_step`` codes HTJ2K with the irreversible wavelet and this step: far fewer bytes (a
tenth of lossless at 35 dB), but no bound for a single sample. The encoder lets samples wrap around
at the ends of their range, so levels lie in the middle of 16 bits with room for any overshoot.

Three bands that go together (most colour pictures) get the colour transform of the standard, 28 %
fewer bytes without loss and 60 % with it; more bands, frames and other triples get none.
``jpeg2000_layers`` is ``layers``: exact when whole, a coarser picture when cut.

Layout: head (little endian, ``_HEAD``) and the coded planes. Decoding is total: any bytes give an
array of the size that the head states, or `ImageError`.
"""

from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ImageError

from . import formats, layers
from .sensors import DTYPES

Array = NDArray[Any]
CODECS = ("htj2k", "jpeg2000", "png", "raw", "jpeg2000_layers")
DEFAULT_CODEC = "htj2k"
# version, codec, dtype, bytes per level, frames, height, width, bands, step, offset
_HEAD = struct.Struct("<BBBBHHHHdd")
_VERSION = 1
HEAD_BYTES = _HEAD.size
# JPEG 2000 allows 16,384 components (ISO/IEC 15444-1 A.5.1).
_MAX_PLANES = 16_384
_START_OF_DATA = b"\xff\x93"
_LONGEST_HEAD = 1 << 16
_MIDDLE, _LOSSY_LEVELS = 32_768, 16_384
# Correlation of neighbouring bands from which the colour transform pays.
_ALIKE = 0.5


def encode(
    values: Array, codec: str = DEFAULT_CODEC, *, max_error: float = 0.0, wavelet_step: float = 0.0
) -> bytes:
    """Code a block.

    Args:
        values: (F, H, W, C) uint8, uint16, int16 or float32, finite, sides 1 to 65535.
        codec: one of ``CODECS``.
        max_error: bound of the absolute error per sample, in units of the samples, >= 0;
            for floats the bound can not be finer than 1/131070 of the block's range.
        wavelet_step: quantisation step of the irreversible wavelet in units of the samples, HTJ2K
            only; 0 codes as ``max_error`` says.
    Raises:
        ImageError: wrong_layout, wrong_dtype, not_finite, unknown_codec.
    """
    if codec not in CODECS:
        raise ImageError("unknown_codec", f"{codec[:40]!r}")
    if values.ndim != 4 or not all(1 <= side <= 65535 for side in values.shape):
        raise ImageError("wrong_layout", f"block of shape {values.shape}")
    frames, height, width, bands = values.shape
    if frames * bands > _MAX_PLANES:
        raise ImageError("wrong_layout", f"{frames * bands} planes, limit {_MAX_PLANES}")
    if values.dtype.name not in DTYPES:
        raise ImageError("wrong_dtype", f"block of {values.dtype}")
    if wavelet_step > 0 and codec != "htj2k":
        raise ImageError("unknown_codec", f"{codec} has no irreversible form here")
    if wavelet_step > 0:
        levels, step, offset = _centred(values)
    else:
        levels, step, offset = _quantise(values, max_error)
    if codec == "raw" and values.itemsize > 1:
        levels = levels.astype(np.uint16)  # as the sensor stores them
    planes = np.ascontiguousarray(np.moveaxis(levels, 3, 1).reshape(-1, height, width))
    head = _HEAD.pack(
        _VERSION, CODECS.index(codec), DTYPES.index(values.dtype.name), planes.itemsize,
        frames, height, width, bands, step, offset,
    )  # fmt: skip
    return head + _code_planes(planes, codec, wavelet_step / step)


def head_length(blob: bytes) -> int:
    """Bytes at the beginning of a coded block that blocks of one product have nearly in common:
    the head, and of a codestream all up to its first data."""
    if len(blob) < _HEAD.size or CODECS[blob[1]] in ("png", "raw"):
        return min(_HEAD.size, len(blob))
    at = blob.find(_START_OF_DATA, _HEAD.size, _LONGEST_HEAD)
    return _HEAD.size if at < 0 else at + len(_START_OF_DATA)


def decode(blob: bytes, *, max_samples: int = 256_000_000) -> Array:
    """Decode a block to (F, H, W, C) in its first dtype.

    Args:
        max_samples: F * H * W * C that may be allocated.
    Raises:
        ImageError: truncated, corrupt, too_large.
    """
    if len(blob) < _HEAD.size:
        raise ImageError("truncated", f"coded block of {len(blob)} bytes")
    version, codec, kind, item, frames, height, width, bands, step, offset = _HEAD.unpack_from(blob)
    if version != _VERSION or codec >= len(CODECS) or kind >= len(DTYPES) or item not in (1, 2):
        raise ImageError("corrupt", "head of a coded block")
    if min(frames, height, width, bands) < 1 or frames * bands > _MAX_PLANES:
        raise ImageError("corrupt", f"coded block of {(frames, height, width, bands)}")
    if frames * height * width * bands > max_samples:
        raise ImageError("too_large", f"coded block of {(frames, height, width, bands)}")
    if not (np.isfinite(step) and np.isfinite(offset) and 0 < step < 1e30 and abs(offset) < 1e30):
        raise ImageError("corrupt", "step or offset of a coded block")
    shape = (frames * bands, height, width)
    level = np.dtype("<u1" if item == 1 else "<u2")
    planes = _decode_planes(blob[_HEAD.size :], CODECS[codec], shape, level)
    levels = np.moveaxis(planes.reshape(frames, bands, height, width), 1, -1)
    dtype = np.dtype(DTYPES[kind])
    values = levels.astype(np.float64) * step + offset
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return np.ascontiguousarray(values.astype(dtype))


def _quantise(values: Array, max_error: float) -> tuple[Array, float, float]:
    """Levels uint8 or uint16, step and offset."""
    if values.dtype == np.float32:
        if not np.isfinite(values).all():
            raise ImageError("not_finite", "block with NaN or infinity")
        low, high = float(values.min()), float(values.max())
        step = max(2 * max_error, (high - low) / 65535, _grid_step(values))
        if step == 0:
            step = 1.0
        levels = np.rint((values.astype(np.float64) - low) / step)
    else:
        low = float(values.min()) if values.dtype == np.int16 else 0.0
        step = 2.0 * int(max_error) + 1.0
        levels = np.rint((values.astype(np.float64) - low) / step)
    narrow = levels.max() < 256
    return levels.astype(np.uint8 if narrow else np.uint16), step, low


def _centred(values: Array) -> tuple[Array, float, float]:
    """Levels uint16 around the middle of their range, step and offset, for the lossy wavelet."""
    if not np.isfinite(values).all():
        raise ImageError("not_finite", "block with NaN or infinity")
    low, high = float(values.min()), float(values.max())
    step = (high - low) / _LOSSY_LEVELS
    if values.dtype != np.float32:
        step = max(step, 1.0)
    step = step or 1.0
    offset = (low + high) / 2 - _MIDDLE * step
    if step == 1 and values.dtype != np.float32:  # exact in single precision as well
        levels = np.rint(values.astype(np.float32) - np.float32(offset))
    else:
        levels = np.rint((values.astype(np.float64) - offset) / step)
    return levels.astype(np.uint16), step, offset


def _grid_step(values: Array) -> float:
    """Spacing of floats that lie on a grid, else 0.

    Scaled sensors give such floats (dB from one byte); on their own grid they are coded exactly
    and in fewer bytes than on a finer one.
    """
    levels = np.unique(values).astype(np.float64)
    if not 2 <= levels.size <= 65_536:
        return 0.0
    span = levels[-1] - levels[0]
    steps = np.rint(span / np.diff(levels).min())
    if steps > 65_535:
        return 0.0
    step = float(span / steps)
    away = np.abs(np.rint((levels - levels[0]) / step) * step + levels[0] - levels)
    # float32 keeps about seven digits; what is further off is no grid.
    return step if away.max() <= 4e-7 * np.abs(levels).max() else 0.0


def _coded_shape(shape: tuple[int, int, int], codec: str) -> tuple[int, int, int]:
    """(planes, height, width) that the codec is given; it drops a last side of one pixel."""
    planes, height, width = shape
    if codec == "png":
        return 1, planes * height, width
    if width > 1:
        return shape
    return (1, planes, height) if height > 1 else (1, 1, planes)


def _is_colour(planes: Array) -> bool:
    """Whether three planes are alike enough for the colour transform."""
    if planes.shape[0] != 3 or min(planes.shape[1:]) < 2:
        return False
    flat = planes.reshape(3, -1)[:, :: max(1, planes[0].size // 4096)].astype(np.float64)
    away = flat - flat.mean(axis=1, keepdims=True)
    power = (away**2).sum(axis=1)
    both = np.abs((away[:2] * away[1:]).sum(axis=1))
    return bool((both >= _ALIKE * np.sqrt(power[:2] * power[1:])).all())


def _code_planes(planes: Array, codec: str, wavelet_levels: float = 0.0) -> bytes:
    """wavelet_levels: step of the irreversible wavelet in levels, 0 for the reversible one."""
    planes = planes.reshape(_coded_shape(planes.shape, codec))
    if codec == "htj2k":
        is_colour = _is_colour(planes)
        data = np.ascontiguousarray(np.moveaxis(planes, 0, 2)) if is_colour else planes
        level: Any = wavelet_levels / 65_536 if wavelet_levels else None
        return bytes(imagecodecs.htj2k_encode(
            data, level, planar=not is_colour, rgb=is_colour, reversible=level is None))
    if codec == "jpeg2000_layers":
        return layers.encode(planes, is_colour=_is_colour(planes))
    if codec == "jpeg2000":
        return bytes(imagecodecs.jpeg2k_encode(planes, planar=True, mct=False, reversible=True))
    if codec == "png":
        return bytes(imagecodecs.png_encode(planes[0]))
    return planes.astype(planes.dtype.newbyteorder("<"), copy=False).tobytes()


def _decode_planes(
    data: bytes, codec: str, shape: tuple[int, int, int], level: np.dtype[Any]
) -> Array:
    if codec == "raw":
        if len(data) != int(np.prod(shape)) * level.itemsize:
            raise ImageError("truncated", f"{len(data)} bytes for planes {shape}")
        return np.frombuffer(data, level).reshape(shape)
    stated = _stated_shape(data, codec)
    if stated != _coded_shape(shape, codec):
        raise ImageError("corrupt", f"codestream of {stated} planes, the head says {shape}")
    try:
        if codec == "htj2k":
            planes = imagecodecs.htj2k_decode(data, planar=True)
        elif codec == "jpeg2000_layers":
            planes = layers.decode(data)
        elif codec == "jpeg2000":
            planes = imagecodecs.jpeg2k_decode(data, planar=True)
        else:
            planes = imagecodecs.png_decode(data)
    except (RuntimeError, ValueError, TypeError, MemoryError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ImageError("corrupt", f"{codec}: {reason}") from error
    if planes.size != int(np.prod(shape)) or planes.dtype != level.newbyteorder("="):
        raise ImageError("corrupt", f"{codec} gave {planes.shape} {planes.dtype}")
    return np.asarray(planes).reshape(shape)


def _stated_shape(data: bytes, codec: str) -> tuple[int, int, int]:
    """(planes, height, width) that a codestream claims, before its decoder allocates it."""
    kind = formats.sniff(data)
    if kind != ("png" if codec == "png" else "jp2"):
        raise ImageError("corrupt", f"{codec} block holds {kind}")
    if kind == "png":
        height, width, channels = formats.png_size(data)
    else:
        # What is cut has no end marker, and layers may be cut.
        end = layers.END if codec == "jpeg2000_layers" else b""
        height, width, channels = formats.jp2_size(data + end)
    return channels, height, width
