"""Write scene files without loss, and the table of scenes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import netCDF4
import numpy as np
import rasterio
import yaml
from numpy.typing import NDArray

from eo_nodes.imaging.sensors import Sensor


@dataclass(frozen=True, slots=True)
class Place:
    """Georeference of a grid: coordinate system and pixel to map transform."""

    crs: rasterio.crs.CRS
    transform: rasterio.Affine


def write(path: Path, values: NDArray[Any], sensor: Sensor, place: Place | None) -> None:
    """Write (F, H, W, C) in the format that the file name ends with."""
    kind = path.suffix[1:]
    if kind in ("tif", "jp2"):
        _write_raster(path, kind, values, sensor, place)
    elif kind == "png":
        picture = values[0] if values.shape[3] == 1 else values[0][..., ::-1]
        if not cv2.imwrite(str(path), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
            raise OSError(f"{path.name} was not written")
    elif kind == "npy":
        np.save(path, np.ascontiguousarray(values[0]))
    else:
        _write_netcdf(path, values, sensor, place)


def _write_raster(
    path: Path, kind: str, values: NDArray[Any], sensor: Sensor, place: Place | None
) -> None:
    frames, height, width, bands = values.shape
    planes = np.moveaxis(values, -1, 1).reshape(frames * bands, height, width)
    options: dict[str, Any] = (
        {"driver": "GTiff", "compress": "deflate", "predictor": 2, "zlevel": 9,
         "interleave": "band"}
        if kind == "tif"
        else {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}
    )  # fmt: skip
    if place is not None:
        options |= {"crs": place.crs, "transform": place.transform}
    with rasterio.open(path, "w", height=height, width=width, count=frames * bands,
                       dtype=planes.dtype, **options) as target:  # fmt: skip
        target.write(planes)
        if kind == "tif":
            target.descriptions = list(sensor.band_names) * frames
    # GDAL keeps what a JPEG 2000 file cannot hold beside it; nothing here needs it.
    path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)


def _write_netcdf(
    path: Path, values: NDArray[Any], sensor: Sensor, place: Place | None
) -> None:
    frames, height, width, bands = values.shape
    with netCDF4.Dataset(path, "w") as target:
        for name, size in (("time", frames), ("band", bands), ("y", height), ("x", width)):
            target.createDimension(name, size)
        image = target.createVariable(
            "image", values.dtype, ("time", "band", "y", "x"), zlib=True, complevel=9,
            chunksizes=(1, 1, height, width), fill_value=False,
        )  # fmt: skip
        image[:] = np.moveaxis(values, -1, 1)
        names = target.createVariable("band_name", str, ("band",))
        for number, name in enumerate(sensor.band_names):
            names[number] = name
        if place is not None:
            mapping = target.createVariable("crs", "i4")
            mapping.crs_wkt = place.crs.to_wkt()
            image.grid_mapping = "crs"
            centres = np.arange(max(width, height)) + 0.5
            target.createVariable("x", "f8", ("x",))[:] = (
                place.transform.c + place.transform.a * centres[:width]
            )
            target.createVariable("y", "f8", ("y",))[:] = (
                place.transform.f + place.transform.e * centres[:height]
            )


def write_tables(assets: Path, rows: list[dict[str, Any]]) -> None:
    """Write scenes.yaml and the same for people, scenes.md."""
    text = "# Made by sim.make_scenes. raw_bytes: samples as the sensor stores them.\n"
    text += yaml.safe_dump({"scenes": rows}, sort_keys=False, width=100)
    (assets / "scenes.yaml").write_text(text, encoding="utf-8")
    lines = [
        "# Scenes in the box", "",
        "Made by `python -m sim.make_scenes --data DIR`; pixels are cut and laid out, not",
        "resampled. Mosaics hold chips of test splits that no training sees. Scenes marked with *",
        "stand in for a satellite sensor; what they stand in for is below the table.", "",
        "| scene | sensor, modality | bands (um) | size, type | GSD m | place | date | source |"
        " licence |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        star = " *" if row["stands_in_for"] else ""
        bands = ", ".join(
            f"{name} ({um:g})" if um else name
            for name, um in zip(row["bands"], row["wavelength_um"], strict=True)
        )
        size = f"{row['height']} x {row['width']} x {len(row['bands'])}"
        if row["frames"] > 1:
            size = f"{row['frames']} dates of {size}"
        cells = (
            f"`{row['file'].removeprefix('scenes/')}`{star}",
            f"{row['sensor']}, {row['modality']}", bands, f"{size} {row['stored_dtype']}",
            f"{row['gsd_m']:g}" if row["gsd_m"] else "varies", row["place"], row["date"],
            row["source"], row["licence"],
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Remarks:", ""]
    for row in rows:
        remarks = [row["note"]] if row["note"] else []
        if row["stands_in_for"]:
            remarks.append(f"stands in for: {row['stands_in_for']}")
        if remarks:
            lines.append(f"- {row['name']}: {'; '.join(remarks)}.")
    (assets / "scenes.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
