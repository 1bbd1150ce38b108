"""The table of sensors: bands, wavelengths, dtype, valid range; loaded once, then passed in.

Non-purpose: reading pixels (``readers``). A new sensor is one entry in config/mission/sensors.yaml.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.rules import MODALITIES

DTYPES = ("uint8", "uint16", "int16", "float32")
# A file of the watched folder names its sensor: ``SENSOR__anything.tif``.
SENSOR_SEPARATOR = "__"


@dataclass(frozen=True, slots=True)
class Band:
    """One band. wavelength_um and bandwidth_um are 0 where the band has none (SAR, elevation)."""

    name: str
    wavelength_um: float = 0.0
    bandwidth_um: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """One sensor as its files and messages deliver it.

    Attributes:
        dtype: of the stored samples, one of ``DTYPES``.
        frames: dates or video frames in one file or message, >= 1.
        valid_min, valid_max: stored values; from ``valid_max`` on a sample counts as saturated.
        nodata: stored value that means no data, or None.
        scale, offset: physical = stored * scale + offset, float32; (1, 0) keeps the stored dtype.
        gsd_m: metres per pixel, 0 when it varies or is unknown.
        stands_in_for: what satellite sensor it stands in for, empty when it is one itself.
    """

    name: str
    modality: str
    dtype: str
    bands: tuple[Band, ...]
    frames: int = 1
    valid_min: float
    valid_max: float
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    gsd_m: float = 0.0
    stands_in_for: str = ""
    note: str = ""

    @property
    def is_scaled(self) -> bool:
        """Whether the reader turns stored samples into physical float32."""
        return (self.scale, self.offset) != (1.0, 0.0)

    @property
    def band_names(self) -> tuple[str, ...]:
        return tuple(band.name for band in self.bands)


def load_sensors(text: str) -> dict[str, Sensor]:
    """Parse and check the text of config/mission/sensors.yaml.

    Returns:
        Sensors by name.
    Raises:
        ConfigError: no YAML, an unknown or missing key, a value out of range, a name used twice.
    """
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"sensors: no YAML: {error}") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("sensors"), list):
        raise ConfigError("sensors: expected a list under the key 'sensors'")
    sensors: dict[str, Sensor] = {}
    for entry in tree["sensors"]:
        sensor = _sensor(entry)
        if sensor.name in sensors:
            raise ConfigError(f"sensors: {sensor.name} stands there twice")
        sensors[sensor.name] = sensor
    return sensors


def sensor_for_file(sensors: Mapping[str, Sensor], file_name: str) -> Sensor | None:
    """Sensor that a file name (without folder) begins with, or None."""
    return sensors.get(file_name.split(SENSOR_SEPARATOR, 1)[0])


def _sensor(entry: Any) -> Sensor:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ConfigError("sensors: an entry without a name")
    name = entry["name"]
    try:
        bands = tuple(Band(**band) for band in entry.get("bands", ()))
        sensor = Sensor(**{**entry, "bands": bands})
    except TypeError as error:
        raise ConfigError(f"sensors: {name}: {error}") from error
    fault = _fault(sensor)
    if fault:
        raise ConfigError(f"sensors: {name}: {fault}")
    return sensor


def _fault(sensor: Sensor) -> str:
    numbers = [sensor.valid_min, sensor.valid_max, sensor.scale, sensor.offset, sensor.gsd_m]
    numbers += [0.0 if sensor.nodata is None else sensor.nodata]
    numbers += [x for band in sensor.bands for x in (band.wavelength_um, band.bandwidth_um)]
    if not all(isinstance(x, (int, float)) and math.isfinite(x) for x in numbers):
        return "a number is missing or not finite"
    checks = (
        (not sensor.name or SENSOR_SEPARATOR in sensor.name, "empty name or '__' inside it"),
        (sensor.modality not in MODALITIES, f"unknown modality {sensor.modality!r}"),
        (sensor.dtype not in DTYPES, f"unknown dtype {sensor.dtype!r}"),
        (not sensor.bands, "no bands"),
        (len(set(sensor.band_names)) != len(sensor.bands), "a band name stands there twice"),
        (any(min(b.wavelength_um, b.bandwidth_um) < 0 for b in sensor.bands), "negative band"),
        (not 1 <= sensor.frames <= 64, "frames outside 1 to 64"),
        (sensor.valid_min >= sensor.valid_max, "valid_min is not below valid_max"),
        (sensor.scale == 0, "scale is 0"),
        (sensor.gsd_m < 0, "gsd_m is negative"),
    )
    return next((text for is_wrong, text in checks if is_wrong), "")
