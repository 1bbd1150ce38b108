"""Decode npy, NetCDF and what GDAL reads (TIFF, JPEG 2000), with georeference, behind a size guard.

Non-purpose: PNG and JPEG (``readers``, through OpenCV); checks against a sensor (``readers``).
GDAL opens a header without decoding, so the guard runs between opening and reading.
Hazard: the HDF5 library can loop for ever on damaged NetCDF (about one file in 3,000 with random
bytes in its header); a node that reads files it does not trust decodes them in a child process,
see ``netcdf_child``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import netCDF4
import numpy as np
import rasterio
from numpy.typing import NDArray

# GDAL's own error classes; rasterio lets some through and has no public name for them.
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.warp import transform as warp_points

from eo_nodes.contracts.errors import ImageError

from . import formats

# The flag ``no_georeference`` says it; a warning a scene would only fill the log.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

Array = NDArray[Any]
# frames, height, width, channels, bytes per sample; raises ImageError.
Guard = Callable[[int, int, int, int, int], None]
_DRIVERS = {"tiff": "GTiff", "jp2": "JP2OpenJPEG"}
_METRES_PER_DEGREE = 111_320.0
_EDGE_POINTS = 8
_ROW_NAMES = ("y", "lat", "latitude", "row", "rows", "line")
_COLUMN_NAMES = ("x", "lon", "longitude", "col", "columns", "column", "sample")


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Samples as stored. values: (F, H, W, C), native byte order; the rest may be empty."""

    values: Array
    bands: tuple[str, ...] = ()
    crs: str = ""
    geotransform: tuple[float, ...] = ()
    footprint: tuple[float, ...] = ()
    gsd_m: float = 0.0
    nodata: float | None = None


def decode_npy(data: bytes, guard: Guard) -> Decoded:
    """npy array of (H, W), (H, W, C) or (F, H, W, C).

    Raises:
        ImageError: truncated, corrupt, wrong_dtype, wrong_layout, or what the guard raises.
    """
    shape, dtype, is_fortran, start = formats.npy_header(data)
    if dtype.kind not in "uif":
        raise ImageError("wrong_dtype", f"npy of {dtype}")
    if not 2 <= len(shape) <= 4:
        raise ImageError("wrong_layout", f"npy of shape {shape}")
    full = (1,) * (4 - len(shape)) + shape if len(shape) != 2 else (1, *shape, 1)
    guard(full[0], full[1], full[2], full[3], dtype.itemsize)
    count = math.prod(shape)
    if len(data) - start < count * dtype.itemsize:
        raise ImageError("truncated", f"npy with {len(data) - start} bytes of samples")
    flat = np.frombuffer(data, dtype, count, start)
    values = flat.reshape(shape, order="F" if is_fortran else "C").reshape(full)
    return Decoded(np.ascontiguousarray(values.astype(dtype.newbyteorder("="))))


def decode_raster(data: bytes, kind: str, guard: Guard) -> Decoded:
    """GeoTIFF, TIFF or JPEG 2000 through GDAL, from memory; no file beside it is ever opened.

    Raises:
        ImageError: truncated, corrupt, empty, wrong_dtype, or what the guard raises.
    """
    if kind == "jp2":
        height, width, components = formats.jp2_size(data)
        guard(1, height, width, components, 2)
    try:
        with (
            rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"),
            MemoryFile(data) as memory,
            memory.open(driver=_DRIVERS[kind]) as source,
        ):
            dtypes = {np.dtype(name) for name in source.dtypes}
            if len(dtypes) != 1 or next(iter(dtypes)).kind not in "uif":
                raise ImageError("wrong_dtype", f"bands of {', '.join(sorted(source.dtypes))}")
            guard(1, source.height, source.width, source.count, next(iter(dtypes)).itemsize)
            if kind == "tiff":
                _check_blocks(source, len(data))
            values = np.moveaxis(source.read(), 0, -1)[None]
            crs, transform = source.crs, source.transform
            # GDAL's default transform means that the file carries none.
            has_place = crs is not None and not transform.is_identity
            names = tuple(name or f"band {i + 1}" for i, name in enumerate(source.descriptions))
            place = georeference(crs, transform, source.height, source.width) if has_place else {}
            if not has_place and not transform.is_identity:
                place = {"gsd_m": abs(transform.a)}
            return Decoded(np.ascontiguousarray(values), names, nodata=source.nodata, **place)
    except ImageError:
        raise
    except Exception as error:  # GDAL's bindings raise a dozen kinds; all mean bad bytes
        is_cut = kind == "tiff" and formats.is_tiff_cut(data)
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise ImageError("truncated" if is_cut else "corrupt", reason) from error


def _check_blocks(source: Any, size: int) -> None:
    """Strips or tiles that point past the end of the file mean that it was cut."""
    for band in range(1, source.count + 1):
        block_height, block_width = source.block_shapes[band - 1]
        last_y = (source.height - 1) // block_height
        last_x = (source.width - 1) // block_width
        for y in range(last_y + 1):
            for x in range(last_x + 1):
                start = source.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=band)
                length = source.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=band)
                if start and length and int(start) + int(length) > size:
                    raise ImageError("truncated", f"block {x} {y} of band {band} is cut")


def georeference(crs: CRS, transform: Affine, height: int, width: int) -> dict[str, Any]:
    """crs, geotransform, footprint (lon lat pairs, degrees) and gsd_m of a north-up or turned grid.

    The footprint is empty where an edge lies off the globe (full-disc images).
    """
    epsg = crs.to_epsg()
    step = np.linspace(0.0, 1.0, _EDGE_POINTS, endpoint=False)
    columns = np.concatenate([step, np.ones_like(step), 1 - step, np.zeros_like(step)]) * width
    rows = np.concatenate([np.zeros_like(step), step, np.ones_like(step), 1 - step]) * height
    xs = transform.a * columns + transform.b * rows + transform.c
    ys = transform.d * columns + transform.e * rows + transform.f
    footprint: tuple[float, ...] = ()
    try:
        lons, lats = warp_points(crs, CRS.from_epsg(4326), list(xs), list(ys))
    except (RasterioError, CPLE_BaseError):
        lons, lats = [], []
    pairs = list(zip(lons, lats, strict=True))
    if pairs and all(abs(lon) <= 180 and abs(lat) <= 90 for lon, lat in pairs):
        footprint = tuple(float(x) for pair in pairs for x in pair)
    pixel = math.hypot(transform.a, transform.d)
    return {
        "crs": f"EPSG:{epsg}" if epsg else crs.to_string(),
        "geotransform": tuple(float(x) for x in transform.to_gdal()),
        "footprint": footprint,
        "gsd_m": pixel * _METRES_PER_DEGREE if crs.is_geographic else pixel,
    }


def decode_netcdf(data: bytes, guard: Guard) -> Decoded:
    """NetCDF with one image variable: (..., y, x), (..., band, y, x) or (time, band, y, x).

    The variable with the most samples whose last two dimensions are rows and columns is taken.
    Place comes from a grid mapping with ``crs_wkt`` or ``spatial_ref`` and coordinate variables.

    Raises:
        ImageError: truncated, corrupt, wrong_layout, or what the guard raises.
    """
    if formats.is_hdf5_cut(data):
        raise ImageError("truncated", "NetCDF is shorter than its superblock says")
    try:
        with netCDF4.Dataset("in_memory.nc", memory=data) as dataset:
            # Native samples: scale and mask are applied by the sensor's entry, once.
            dataset.set_auto_maskandscale(False)
            return _read_dataset(dataset, guard)
    except ImageError:
        raise
    except Exception as error:  # as above, for netCDF4 and HDF5
        raise ImageError("corrupt", f"NetCDF: {' '.join(str(error).split())[:200]}") from error


def _read_dataset(dataset: Any, guard: Guard) -> Decoded:
    images = [v for v in dataset.variables.values() if _is_image(v)]
    if not images:
        raise ImageError("wrong_layout", "NetCDF without a variable over rows and columns")
    variable = max(images, key=lambda v: math.prod(v.shape))
    shape = (1,) * (4 - len(variable.shape)) + tuple(variable.shape)
    frames, channels, height, width = shape
    if len(variable.shape) == 3 and variable.dimensions[0].lower() in ("time", "date", "frame"):
        frames, channels = channels, 1
    guard(frames, height, width, channels, variable.dtype.itemsize)
    values = np.asarray(variable[:]).reshape(frames, channels, height, width)
    values = np.ascontiguousarray(np.moveaxis(values, 1, -1))
    nodata = getattr(variable, "_FillValue", None)
    bands: tuple[str, ...] = ()
    names = dataset.variables.get("band_name")
    if names is not None and names.shape[:1] == (channels,):
        bands = tuple(str(name) for name in names[:])
    return Decoded(
        values.astype(values.dtype.newbyteorder("=")), bands,
        nodata=None if nodata is None else float(nodata),
        **_netcdf_place(dataset, variable, height, width),
    )  # fmt: skip


def _is_image(variable: Any) -> bool:
    return bool(
        2 <= len(variable.shape) <= 4
        and isinstance(variable.dtype, np.dtype)
        and variable.dtype.kind in "uif"
        and variable.dimensions[-2].lower() in _ROW_NAMES
        and variable.dimensions[-1].lower() in _COLUMN_NAMES
    )


def _netcdf_place(dataset: Any, variable: Any, height: int, width: int) -> dict[str, Any]:
    row_name, column_name = variable.dimensions[-2:]
    mapping = dataset.variables.get(getattr(variable, "grid_mapping", ""))
    ys, xs = dataset.variables.get(row_name), dataset.variables.get(column_name)
    if ys is None or xs is None or min(height, width) < 2:
        return {}
    if mapping is not None:
        text = getattr(mapping, "crs_wkt", "") or getattr(mapping, "spatial_ref", "")
        crs = CRS.from_user_input(text) if text else None
    else:  # CF: coordinates in degrees need no grid mapping
        is_degrees = "degree" in str(getattr(xs, "units", ""))
        crs = CRS.from_epsg(4326) if is_degrees else None
    if crs is None:
        return {}
    x0, x1, y0, y1 = (float(v) for v in (xs[0], xs[width - 1], ys[0], ys[height - 1]))
    dx, dy = (x1 - x0) / (width - 1), (y1 - y0) / (height - 1)
    # Coordinates are pixel centres (CF); a geotransform begins at the outer corner.
    transform = Affine(dx, 0.0, x0 - dx / 2, 0.0, dy, y0 - dy / 2)
    return georeference(crs, transform, height, width)
