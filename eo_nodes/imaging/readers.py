"""Read files and sensor messages into arrays (F, H, W, C), or say by name why not.

Purpose: one door for every input. What can be used with a remark gets a flag (``saturated``,
``nodata``, ``nan_replaced``, ``no_georeference``); what cannot be used raises `ImageError` with a
code; nothing else is ever raised, whatever the bytes. The claimed size is checked before decoding.
Non-purpose: resampling (``prepare``), choosing the sensor of a file (``sensors``).

Codes: empty, unknown_format, unreadable, truncated, corrupt, too_large, wrong_band_count,
wrong_dtype, wrong_layout, wrong_size, unknown_encoding, bad_step, no_valid_pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ImageError

from . import formats
from .decoders import Decoded, Guard, decode_netcdf, decode_npy, decode_raster
from .sensors import DTYPES, Sensor

Array = NDArray[Any]
NetcdfDecoder = Callable[[bytes, Guard], Decoded]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a reader accepts.

    Attributes:
        max_pixels: frames x height x width of one image.
        max_bytes: decoded size.
        max_file_bytes: size of a file or compressed message.
        saturated_share: from this share of samples at ``valid_max`` on, the flag is set.
    """

    max_pixels: int = 64_000_000
    max_bytes: int = 512 << 20
    max_file_bytes: int = 256 << 20
    saturated_share: float = 0.01


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True, eq=False)
class RawImage:
    """An image as read.

    Attributes:
        values: (F, H, W, C) uint8, uint16, int16 or float32, C order, finite.
        bands: C names; wavelength_um: C centres, 0 where none.
        crs: ``EPSG:n`` or a longer description; geotransform: 6 values, GDAL order; both empty
            without georeference.
        footprint: lon lat pairs in degrees, empty without georeference.
        gsd_m: metres per pixel, 0 when unknown.
        stored_bytes: samples as the sensor recorded them, before scaling to physical units.
    """

    values: Array
    bands: tuple[str, ...]
    wavelength_um: tuple[float, ...]
    gsd_m: float
    crs: str = ""
    geotransform: tuple[float, ...] = ()
    footprint: tuple[float, ...] = ()
    flags: tuple[str, ...] = ()
    stored_bytes: int = 0


def read_file(
    path: Path,
    sensor: Sensor | None = None,
    limits: Limits = DEFAULT_LIMITS,
    *,
    netcdf: NetcdfDecoder = decode_netcdf,
) -> RawImage:
    """Read one image file; the format is told by its content, not its name.

    Args:
        path: GeoTIFF, TIFF, JPEG 2000, PNG, JPEG, NetCDF or npy.
        sensor: what the file must hold, or None to take it as it comes.
        limits: size limits, checked before decoding.
        netcdf: decoder of NetCDF bytes; ``netcdf_child.through_child`` where files may be hostile.
    Raises:
        ImageError: codes at the head of this module.
    """
    try:
        size = path.stat().st_size
        if size > limits.max_file_bytes:
            raise ImageError("too_large", f"file of {size} bytes, limit {limits.max_file_bytes}")
        data = path.read_bytes()
    except OSError as error:
        raise ImageError("unreadable", f"{path.name}: {error.strerror}") from error
    return read_bytes(data, sensor, limits, netcdf=netcdf)


def read_bytes(
    data: bytes,
    sensor: Sensor | None = None,
    limits: Limits = DEFAULT_LIMITS,
    *,
    netcdf: NetcdfDecoder = decode_netcdf,
) -> RawImage:
    """Read the content of an image file; as `read_file`."""
    if len(data) > limits.max_file_bytes:
        raise ImageError("too_large", f"{len(data)} bytes, limit {limits.max_file_bytes}")
    kind = formats.sniff(data)

    def guard(frames: int, height: int, width: int, channels: int, item_bytes: int) -> None:
        guard_size((frames, height, width, channels), item_bytes, limits)

    if kind in ("png", "jpeg"):
        size = formats.png_size(data) if kind == "png" else formats.jpeg_size(data)
        guard(1, *size, 2 if kind == "png" else 1)
        decoded = Decoded(_decode_picture(data, kind)[None])
    elif kind == "npy":
        decoded = decode_npy(data, guard)
    elif kind == "netcdf":
        decoded = netcdf(data, guard)
    else:
        decoded = decode_raster(data, kind, guard)
    return finish(decoded, sensor, limits)


def from_compressed(
    data: bytes, sensor: Sensor | None = None, limits: Limits = DEFAULT_LIMITS
) -> RawImage:
    """Read the data of a sensor_msgs/CompressedImage (PNG, JPEG, or any format of `read_bytes`)."""
    return read_bytes(bytes(data), sensor, limits)


_ENCODING = re.compile(r"(8|16|32)(U|S|F)C([1-9][0-9]{0,2})")
_NAMED_ENCODINGS = {
    "mono8": ("u1", 1), "mono16": ("u2", 1), "rgb8": ("u1", 3), "bgr8": ("u1", 3),
    "rgba8": ("u1", 4), "bgra8": ("u1", 4), "rgb16": ("u2", 3), "bgr16": ("u2", 3),
}  # fmt: skip
_TYPED_ENCODINGS = {("8", "U"): "u1", ("16", "U"): "u2", ("16", "S"): "i2", ("32", "F"): "f4"}


def from_message(
    encoding: str,
    height: int,
    width: int,
    step: int,
    data: bytes,
    big_endian: bool = False,
    *,
    sensor: Sensor | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> RawImage:
    """Read the fields of a sensor_msgs/Image.

    Args:
        encoding: mono8, mono16, rgb8, bgr8, rgba8, bgra8, rgb16, bgr16, 8UCn, 16UCn, 16SCn or
            32FCn; alpha is dropped, BGR becomes RGB.
        step: bytes per row, >= width * channels * sample size; the rest of a row is padding.
        data: ``height * step`` bytes; the last row may lack its padding.
    Raises:
        ImageError: codes at the head of this module.
    """
    if encoding in _NAMED_ENCODINGS:
        code, channels = _NAMED_ENCODINGS[encoding]
    elif (match := _ENCODING.fullmatch(encoding)) and match.groups()[:2] in _TYPED_ENCODINGS:
        bits, letter, count = match.groups()
        code, channels = _TYPED_ENCODINGS[bits, letter], int(count)
    elif encoding in ("8UC", "16UC", "16SC", "32FC"):  # OpenCV's short form of one channel
        return from_message(f"{encoding}1", height, width, step, data, big_endian,
                            sensor=sensor, limits=limits)  # fmt: skip
    else:
        raise ImageError("unknown_encoding", f"{encoding[:40]!r}")
    dtype = np.dtype((">" if big_endian else "<") + code)
    guard_size((1, height, width, channels), dtype.itemsize, limits)
    row_bytes = width * channels * dtype.itemsize
    if step < row_bytes:
        raise ImageError("bad_step", f"step {step}, a row has {row_bytes} bytes")
    if len(data) < (height - 1) * step + row_bytes:
        raise ImageError("truncated", f"{len(data)} bytes for {height} rows of {step}")
    rows = np.frombuffer(data, np.uint8)[: height * step]
    # The last row's padding may be missing; it carries nothing.
    rows = np.pad(rows, (0, height * step - rows.size)).reshape(height, step)[:, :row_bytes]
    values: Array = np.ascontiguousarray(rows).view(dtype).reshape(height, width, channels)
    values = values.astype(dtype.newbyteorder("="))
    if encoding.startswith("bgr"):
        values = values[..., 2::-1]
    elif encoding.startswith("rgb"):
        values = values[..., :3]
    return finish(Decoded(values[None]), sensor, limits)


def guard_size(shape: tuple[int, int, int, int], item_bytes: int, limits: Limits) -> None:
    """Refuse what a header claims before anything is allocated for it.

    Raises:
        ImageError: ``empty`` or ``too_large``.
    """
    frames, height, width, channels = shape
    if min(shape) < 1:
        raise ImageError("empty", f"{frames} frames of {height} x {width} pixels, {channels} bands")
    pixels = frames * height * width
    if max(height, width, channels) > 65535 or pixels > limits.max_pixels:
        raise ImageError("too_large", f"{height} x {width} pixels, limit {limits.max_pixels}")
    if pixels * channels * item_bytes > limits.max_bytes:
        raise ImageError("too_large", f"{pixels * channels * item_bytes} bytes decoded")


def _decode_picture(data: bytes, kind: str) -> Array:
    """PNG or JPEG bytes to (H, W, C), RGB order, alpha dropped."""
    try:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError("corrupt", f"{kind} data do not decode") from error
    if values is None:
        raise ImageError("corrupt", f"{kind} data do not decode")
    if values.ndim == 2:
        return values[..., None]
    return np.ascontiguousarray(values[..., 2::-1])


def finish(decoded: Decoded, sensor: Sensor | None, limits: Limits) -> RawImage:
    """Check decoded samples against the sensor, clean them, and set the flags.

    Raises:
        ImageError: wrong_band_count, wrong_dtype, no_valid_pixels.
    """
    values = decoded.values
    if sensor is not None:
        values = _frames_of(values, sensor)
    if values.dtype.name not in DTYPES:
        raise ImageError("wrong_dtype", f"{values.dtype}, expected one of {', '.join(DTYPES)}")
    if sensor is not None and values.dtype.name != sensor.dtype:
        raise ImageError("wrong_dtype", f"{values.dtype}, {sensor.name} has {sensor.dtype}")
    values, flags = _clean(values, decoded, sensor, limits)
    stored_bytes = values.nbytes
    if sensor is not None and sensor.is_scaled:
        values = values.astype(np.float32) * np.float32(sensor.scale) + np.float32(sensor.offset)
    count = values.shape[3]
    if sensor is not None:
        bands, wavelengths = sensor.band_names, tuple(b.wavelength_um for b in sensor.bands)
    else:
        bands = decoded.bands or tuple(f"band {i + 1}" for i in range(count))
        wavelengths = (0.0,) * count
    if not decoded.geotransform:
        flags.append("no_georeference")
    return RawImage(
        values=np.ascontiguousarray(values), bands=bands, wavelength_um=wavelengths,
        gsd_m=sensor.gsd_m if sensor is not None and sensor.gsd_m else decoded.gsd_m,
        crs=decoded.crs, geotransform=decoded.geotransform, footprint=decoded.footprint,
        flags=tuple(flags), stored_bytes=stored_bytes,
    )  # fmt: skip


def _frames_of(values: Array, sensor: Sensor) -> Array:
    """Bring the samples to the sensor's frames and bands; dates may lie one after the other."""
    frames, height, width, channels = values.shape
    bands = len(sensor.bands)
    if (frames, channels) == (sensor.frames, bands):
        return values
    if frames == 1 and channels == sensor.frames * bands:
        split = values.reshape(height, width, sensor.frames, bands)
        return np.ascontiguousarray(np.moveaxis(split, 2, 0))
    # A grey rendering stored as three equal channels is what JPEG and WebP make of one band.
    if (sensor.frames, bands, frames, channels) == (1, 1, 1, 3) and _is_grey(values):
        return np.ascontiguousarray(values[..., :1])
    raise ImageError(
        "wrong_band_count",
        f"{frames} frames of {channels} bands, {sensor.name} has {sensor.frames} of {bands}",
    )


def _is_grey(values: Array) -> bool:
    return bool(
        np.array_equal(values[..., 0], values[..., 1])
        and np.array_equal(values[..., 0], values[..., 2])
    )


def _clean(
    values: Array, decoded: Decoded, sensor: Sensor | None, limits: Limits
) -> tuple[Array, list[str]]:
    flags: list[str] = []
    nodata = sensor.nodata if sensor is not None else None
    nodata = decoded.nodata if nodata is None else nodata
    missing = np.zeros(values.shape, bool)
    if nodata is not None and not math.isnan(nodata):
        missing = values == nodata
        if missing.any():
            flags.append("nodata")
    if values.dtype == np.float32:
        broken = ~np.isfinite(values)
        if broken.any():
            missing |= broken
            values = np.where(broken, np.float32(0), values)
            flags.append("nan_replaced")
    if missing.all():
        raise ImageError("no_valid_pixels", "every sample is NaN, infinite or no data")
    top = sensor.valid_max if sensor is not None else None
    if top is None and values.dtype.kind in "ui":
        top = float(np.iinfo(values.dtype).max)
    if top is not None:
        share = np.count_nonzero((values >= top) & ~missing) / values.size
        if share >= limits.saturated_share:
            flags.append("saturated")
    return values, flags
