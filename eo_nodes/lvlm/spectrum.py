"""What a band measures, as numbers: kind, wavelength, width, polarisation; and values to inputs.

The vision graph makes its first kernels from these numbers (after the wavelength-conditioned patch
embedding of GeoLangBind, arXiv 2503.06312), so any set of bands is an input. Every band is treated
on its own: permuting bands together with their values permutes the arrays made here and nothing
else. A reflective band without a wavelength is refused, never guessed.

Ranges of values: uint8 is a rendering (0 to 255); uint16 and int16 of reflective bands are
reflectance x 10,000; float32 is reflectance, kelvin, decibel or metres by the kind of band.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError

Float = NDArray[np.float32]

KINDS = ("optical", "thermal", "sar", "elevation")
SENSORS = ("optical", "multispectral", "sar", "thermal")
"""Kinds of sensor by their bands; elevation goes as optical."""
_MANY = 3.5  # reflective bands, from which on a sensor is multispectral
POLARISATIONS = ("VV", "VH", "HH", "HV", "")
MAX_BANDS = 512

_NM = re.compile(r"(\d+(?:\.\d+)?)\s*(nm|um|µm|μm)\b", re.IGNORECASE)
_POLARISATION = re.compile(r"\b(vv|vh|hh|hv)\b", re.IGNORECASE)
_SAR = re.compile(r"amplitude|magnitude|backscatter|sigma|radar|\bsar\b", re.IGNORECASE)
_THERMAL = re.compile(r"thermal|\btir|\blwir\b|brightness.?temp", re.IGNORECASE)
_ELEVATION = re.compile(r"elevation|\bdem\b|\bdsm\b|height", re.IGNORECASE)
# Words that name a band of every sensor; nominal centre and width in nm. The order matters: "red
# edge" before "red", "near infrared" before both.
_WORDS = (
    (r"coastal|aerosol", 443.0, 20.0),
    (r"red.?edge", 705.0, 15.0),
    (r"near.?infra|\bnir\b|\bnir\d", 842.0, 110.0),
    (r"swir.?2|short.?wave.?infrared 2", 2200.0, 180.0),
    (r"swir|short.?wave", 1610.0, 90.0),
    (r"cirrus", 1375.0, 30.0),
    (r"blue", 490.0, 65.0),
    (r"green", 560.0, 36.0),
    (r"yellow", 605.0, 40.0),
    (r"red\b", 665.0, 35.0),
    (r"pan\b|panchromatic|gr[ae]y|monochrome|luminance", 600.0, 300.0),
)
# Sentinel-2 MSI: centre and width in nm (ESA, Sentinel-2 User Handbook, Sentinel-2A).
_SENTINEL_2 = {
    "B1": (443, 21), "B2": (492, 66), "B3": (560, 36), "B4": (665, 31), "B5": (704, 15),
    "B6": (741, 15), "B7": (783, 20), "B8": (833, 106), "B8A": (865, 21), "B9": (945, 20),
    "B10": (1374, 31), "B11": (1614, 91), "B12": (2202, 175),
}
_S2_NAME = re.compile(r"\bB0?(\d{1,2}|8A)\b", re.IGNORECASE)

_OCTAVES = 6
_WAVES = 8
CODE_SIZE = len(KINDS) + len(POLARISATIONS) + 2 * _OCTAVES + 2 * _WAVES + 1
_REFLECTANCE_TOP = 0.3
_SAR_RANGE_DB = {"VV": (-25.0, 0.0), "HH": (-25.0, 0.0), "VH": (-32.0, -5.0), "HV": (-32.0, -5.0),
                 "": (-25.0, 0.0)}


@dataclass(frozen=True, slots=True)
class Band:
    """One band.

    Attributes:
        name: as the sensor calls it. kind: one of ``KINDS``.
        centre_nm, width_nm: of reflective and thermal bands, > 0; 0 where the kind has none.
        polarisation: of SAR bands, one of ``POLARISATIONS``; empty where not known.
    """

    name: str
    kind: str
    centre_nm: float = 0.0
    width_nm: float = 0.0
    polarisation: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ModelError(f"band {self.name!r}: unknown kind {self.kind!r}")
        if self.polarisation not in POLARISATIONS:
            raise ModelError(f"band {self.name!r}: unknown polarisation {self.polarisation!r}")
        reflective = self.kind in ("optical", "thermal")
        if reflective and not (100 <= self.centre_nm <= 20_000 and self.width_nm > 0):
            raise ModelError(
                f"band {self.name!r} has no wavelength: give it in its name (\"665 nm\"), or in"
                " the sensor's description"
            )


def parse_band(name: str) -> Band:
    """Read a band from its name: ``B04 665nm``, ``red``, ``VV``, ``412.3 nm``, ``thermal``.

    Raises:
        ModelError: the name tells no wavelength, polarisation or kind.
    """
    polarisation = _POLARISATION.search(name)
    if polarisation:
        return Band(name, "sar", polarisation=polarisation[1].upper())
    if _SAR.search(name):
        return Band(name, "sar")
    if _ELEVATION.search(name):
        return Band(name, "elevation")
    stated = _NM.search(name)
    if stated:
        centre = float(stated[1]) * (1.0 if stated[2].lower() == "nm" else 1000.0)
        if _THERMAL.search(name) or centre > 3000:
            return Band(name, "thermal", centre, 1000.0)
        return Band(name, "optical", centre, _width_of(name, centre))
    if _THERMAL.search(name):
        return Band(name, "thermal", 10_500.0, 3000.0)
    text = name.replace("_", " ").lower()
    for pattern, centre, width in _WORDS:
        if re.search(pattern, text):
            return Band(name, "optical", centre, width)
    known = _S2_NAME.search(name)
    if known and f"B{known[1].upper()}" in _SENTINEL_2:
        centre, width = _SENTINEL_2[f"B{known[1].upper()}"]
        return Band(name, "optical", float(centre), float(width))
    return Band(name, "optical")  # raises: it has no wavelength


def _width_of(name: str, centre_nm: float) -> float:
    """Width of a band that states its centre: Sentinel-2's where it is one, else 10 nm."""
    known = _S2_NAME.search(name)
    if known:
        centre, width = _SENTINEL_2.get(f"B{known[1].upper()}", (0, 0))
        if abs(centre - centre_nm) < 20:
            return float(width)
    return 10.0


def parse_bands(names: Sequence[str]) -> tuple[Band, ...]:
    """Read all bands of an image.

    Raises:
        ModelError: none, more than ``MAX_BANDS``, or one that cannot be read (named).
    """
    if not 1 <= len(names) <= MAX_BANDS:
        raise ModelError(f"{len(names)} bands, expected 1 to {MAX_BANDS}")
    return tuple(parse_band(name) for name in names)


def codes(bands: Sequence[Band]) -> Float:
    """(C, CODE_SIZE) float32: what the kernel generator sees of each band.

    One-hot kind and polarisation, sine and cosine of the logarithmic wavelength (octaves from
    100 nm) and of the linear one (reflective range, 0 to 3,000 nm), logarithm of the width.
    """
    out = np.zeros((len(bands), CODE_SIZE), np.float32)
    for row, band in zip(out, bands, strict=True):
        row[KINDS.index(band.kind)] = 1
        at = len(KINDS)
        if band.kind == "sar":
            row[at + POLARISATIONS.index(band.polarisation)] = 1
        if band.centre_nm > 0:
            at += len(POLARISATIONS)
            octave = np.log2(band.centre_nm / 100) / 8
            phases = np.pi * octave * 2.0 ** np.arange(_OCTAVES)
            row[at : at + 2 * _OCTAVES] = np.concatenate([np.sin(phases), np.cos(phases)])
            at += 2 * _OCTAVES
            if band.centre_nm <= 3000:
                phases = np.pi * band.centre_nm / 3000 * np.arange(1, _WAVES + 1)
                row[at : at + 2 * _WAVES] = np.concatenate([np.sin(phases), np.cos(phases)])
            row[-1] = np.log10(band.width_nm) / 3
    return out


def sensor_shares(band_codes: Any) -> tuple[Any, Any, Any, Any]:
    """How far the bands are those of each of ``SENSORS``, shares that sum to one.

    band_codes: (C, CODE_SIZE), C >= 1, of numpy or torch; plain operations, which graphs know.
    """
    sar, thermal = (band_codes[:, KINDS.index(k)].mean() for k in ("sar", "thermal"))
    many = 1.0 * (band_codes[:, KINDS.index("optical")].sum() > _MANY)
    rest = 1 - sar - thermal
    return rest * (1 - many), rest * many, sar, thermal


def normalise(values: NDArray[np.generic], bands: Sequence[Band]) -> Float:
    """Values to network inputs, band by band.

    Args:
        values: (H, W, C), uint8, uint16, int16 or float32, ranges as at the head of this module.
    Returns:
        (C, H, W) float32, mostly in [-1, 1]; values that are not finite become the darkest.
    Raises:
        ModelError: wrong rank, empty, other dtype, another number of bands.
    """
    if values.ndim != 3 or 0 in values.shape:
        raise ModelError(f"image of shape {values.shape}, expected (H, W, C) without zeros")
    if values.dtype not in (np.uint8, np.uint16, np.int16, np.float32):
        raise ModelError(f"image of dtype {values.dtype}; uint8, uint16, int16, float32 are read")
    if values.shape[2] != len(bands):
        raise ModelError(f"{len(bands)} band names for {values.shape[2]} bands")
    out = np.empty((len(bands), *values.shape[:2]), np.float32)
    for i, band in enumerate(bands):
        out[i] = _level(values[..., i], band)
    np.nan_to_num(out, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray((np.clip(out, 0, 1) - 0.498) / 0.502, np.float32)


def _level(values: NDArray[np.generic], band: Band) -> Float:
    """One band to [0, 1]."""
    x: Float = np.asarray(values, np.float32)
    if values.dtype == np.uint8:
        return _f32(x / 255)
    if band.kind == "elevation":
        return _stretch(x)
    if band.kind == "thermal":
        return _f32((x - 250) / 80) if values.dtype == np.float32 else _stretch(x)
    if band.kind == "sar":
        low, high = _SAR_RANGE_DB[band.polarisation]
        if values.dtype == np.float32:
            return _f32((x - low) / (high - low))
        return _stretch(_f32(20 * np.log10(np.maximum(x, 1.0))))
    reflectance = x if values.dtype == np.float32 else x / 10_000
    # Linear to the top of ordinary land, then flat: snow and cloud keep some contrast.
    level = reflectance / _REFLECTANCE_TOP
    return _f32(np.where(level < 0.8, level, 1 - 0.2 * np.exp(-(level - 0.8) / 0.2)))


def _f32(x: NDArray[np.floating[Any]]) -> Float:
    return np.asarray(x, np.float32)


def _stretch(x: Float) -> Float:
    """Between the 1 % and 99 % quantile of the finite values."""
    finite = x[np.isfinite(x)]
    if finite.size == 0:
        return np.zeros_like(x)
    low, high = np.quantile(finite, (0.01, 0.99))
    return _f32((x - low) / max(float(high - low), 1e-6))
