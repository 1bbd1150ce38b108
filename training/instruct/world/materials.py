"""What surfaces are made of: reflectance spectra, radar backscatter, temperatures.

Spectra are typical shapes drawn through control points (after the ranges of spectral libraries:
red edge of leaves near 700 nm, liquid water near 970, 1450 and 1940 nm, soils that rise with
wavelength, dark infrared of water); they are not measurements of any sample. Backscatter levels
are usual C-band values at 30 to 40 degrees of incidence; thermal values a clear midsummer day.
"""

import functools
from dataclasses import dataclass

import numpy as np

NODES_NM = np.array([400, 450, 490, 560, 620, 665, 705, 740, 783, 842, 865, 945, 1100, 1250, 1375,
                     1450, 1610, 1940, 2200, 2500], np.float32)
_GREEN = [3, 4, 4, 9, 5, 4, 12, 32, 42, 46, 47, 44, 46, 42, 26, 13, 24, 5, 11, 5]
_DRY = [8, 10, 12, 18, 22, 25, 28, 31, 33, 36, 37, 38, 42, 44, 38, 34, 40, 22, 28, 22]
_SOIL = [8, 10, 12, 17, 21, 24, 26, 27, 29, 31, 32, 33, 36, 38, 36, 37, 41, 34, 38, 33]
_CLEAR = [6, 6, 5.5, 4.5, 2, 1.5, 1, .7, .5, .3, .3, .2, .1, .1, .1, .1, .1, .1, .1, .1]
_TURBID = [6, 8, 10, 14, 13, 12, 9, 5, 4, 2.5, 2.2, 1, .3, .2, .1, .1, .1, .1, .1, .1]
_ASPHALT = [6, 6.5, 7, 8, 8.5, 9, 9.5, 10, 10, 11, 11, 11.5, 12, 13, 13, 13, 14, 14, 14, 14]
_CONCRETE = [17, 19, 21, 25, 27, 28, 29, 29, 30, 31, 31, 31, 32, 33, 32, 31, 34, 29, 32, 29]
_TILE = [5, 6, 7, 11, 21, 28, 30, 31, 33, 35, 35, 36, 38, 40, 40, 39, 43, 39, 42, 40]
_BURNT = [3, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 8, 9, 12, 15, 16, 17, 20, 19, 22, 21]
_WHITE = [45, 58, 62, 65, 66, 66, 66, 66, 65, 64, 64, 62, 60, 57, 54, 50, 52, 40, 44, 38]
_METAL = [24, 25, 26, 27, 28, 28, 28, 29, 29, 29, 29, 30, 31, 32, 32, 33, 34, 35, 35, 36]
_DARK = [4, 4, 4, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 8, 8, 8, 8]
_RED = [5, 5, 5, 6, 25, 42, 46, 48, 49, 50, 50, 50, 50, 49, 47, 45, 46, 40, 42, 38]
_BLUE = [18, 30, 28, 14, 8, 7, 8, 11, 18, 26, 28, 32, 36, 38, 38, 37, 40, 36, 37, 34]
_SAND = [14, 18, 22, 30, 36, 39, 41, 42, 43, 45, 46, 46, 49, 51, 47, 46, 52, 42, 48, 42]


@dataclass(frozen=True, slots=True)
class Material:
    """spectrum: percent at `NODES_NM`; vv_db, vh_db: sigma nought; day_k, night_k: surface
    temperature; emissivity: 8 to 14 um; grain: relative texture of reflectance; cycle: which
    phenology turns it green ("" for none)."""

    name: str
    spectrum: tuple[float, ...]
    vv_db: float
    vh_db: float
    day_k: float
    night_k: float
    emissivity: float = 0.96
    grain: float = 0.08
    cycle: str = ""


def _m(name, spectrum, *values, **more) -> Material:
    return Material(name, tuple(spectrum), *values, **more)


MATERIALS = (
    _m("water", _CLEAR, -20, -29, 289, 287, emissivity=0.99, grain=0.03),
    _m("turbid water", _TURBID, -18, -27, 290, 287, emissivity=0.99, grain=0.05),
    _m("grass", _GREEN, -13.5, -20, 296, 280, cycle="grass", grain=0.10),
    _m("forest", _GREEN, -8.5, -14, 293, 284, cycle="forest", grain=0.32),
    _m("winter crop", _GREEN, -12, -19, 298, 280, cycle="winter crop", grain=0.06),
    _m("summer crop", _GREEN, -11, -18, 297, 280, cycle="summer crop", grain=0.07),
    _m("bare soil", _SOIL, -14.5, -24, 307, 281, grain=0.10),
    _m("sand", _SAND, -18, -27, 309, 280, grain=0.06),
    _m("pavement", _ASPHALT, -19, -28, 313, 287, grain=0.06),
    _m("concrete", _CONCRETE, -17, -26, 309, 285, grain=0.05),
    _m("burnt ground", _BURNT, -15.5, -24, 311, 282, grain=0.22),
    _m("tile roof", _TILE, -5, -13, 310, 279, grain=0.06),
    _m("grey roof", _METAL, -4, -12, 312, 278, emissivity=0.9, grain=0.05),
    _m("white roof", _WHITE, -4, -12, 303, 278, emissivity=0.92, grain=0.04),
    _m("dark roof", _DARK, -5, -13, 317, 280, grain=0.05),
    _m("white paint", _WHITE, 6, -4, 301, 281, emissivity=0.9, grain=0.03),
    _m("grey paint", _METAL, 6, -4, 305, 281, emissivity=0.85, grain=0.03),
    _m("dark paint", _DARK, 6, -4, 312, 282, emissivity=0.93, grain=0.03),
    _m("red paint", _RED, 6, -4, 308, 281, emissivity=0.92, grain=0.03),
    _m("blue paint", _BLUE, 6, -4, 309, 281, emissivity=0.92, grain=0.03),
    _m("flood water", _TURBID, -18.5, -27, 290, 286, emissivity=0.99, grain=0.05),
    _m("orchard", _GREEN, -10, -16, 295, 282, cycle="forest", grain=0.22),
)
INDEX = {m.name: i for i, m in enumerate(MATERIALS)}
PAINTS = ("white paint", "grey paint", "dark paint", "red paint", "blue paint")
ROOFS = ("tile roof", "grey roof", "white roof", "dark roof")
WATERS = ("water", "turbid water", "flood water")
GRAIN = np.array([m.grain for m in MATERIALS], np.float32)
# cycle -> (least and most green, day of year of green-up, length of it, of decline, length of it)
CYCLES = {
    "grass": (0.45, 0.85, 95, 22, 300, 25), "forest": (0.25, 1.0, 120, 12, 295, 14),
    "winter crop": (0.1, 1.0, 85, 14, 178, 9), "summer crop": (0.0, 1.0, 168, 11, 262, 9)}


def greenness(cycle: str, day_of_year: float) -> float:
    """Share of green leaves, 0..1, a double logistic curve over the year (northern mid
    latitudes): rise at green-up, fall at senescence or harvest."""
    least, most, up, up_days, down, down_days = CYCLES[cycle]
    rise = 1 / (1 + np.exp(-(day_of_year - up) / up_days * 2))
    fall = 1 / (1 + np.exp(-(day_of_year - down) / down_days * 2))
    return float(least + (most - least) * max(0.0, rise - fall))


@functools.lru_cache(maxsize=64)
def _library(centres_nm: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    at = np.array(centres_nm, np.float32)
    every = [np.interp(at, NODES_NM, m.spectrum) / 100 for m in MATERIALS]
    soil, dry = (np.interp(at, NODES_NM, s) / 100 for s in (_SOIL, _DRY))
    return np.stack(every).astype(np.float32), soil.astype(np.float32), dry.astype(np.float32)


def reflectances(centres_nm: tuple[float, ...], day_of_year: float) -> np.ndarray:
    """(materials, bands) float32 surface reflectance, 0..1. Plants mix green leaves with soil
    (crops before emergence) or with dry matter (grass, leafless wood)."""
    table, soil, dry = _library(centres_nm)
    table = table.copy()
    for i, m in enumerate(MATERIALS):
        if m.cycle:
            g = greenness(m.cycle, day_of_year)
            ground = soil if "crop" in m.cycle else dry
            table[i] = g * table[i] + (1 - g) * ground * (0.55 if m.cycle == "forest" else 1.0)
            if m.name == "forest":          # crowns shade each other
                table[i] *= 0.75
    return table


def transmittance(centres_nm: np.ndarray) -> np.ndarray:
    """Two-way transmittance of water vapour and oxygen near the bands of a clear sky."""
    t = np.ones_like(centres_nm)
    for centre, width, depth in ((760, 4, .5), (940, 22, .45), (1130, 25, .4), (1380, 35, .985),
                                 (1900, 60, .95), (2600, 60, .9)):
        t *= 1 - depth * np.exp(-((centres_nm - centre) / width) ** 2)
    return t


def backscatter_db(polarisation: str, day_of_year: float) -> np.ndarray:
    """(materials,) float32 sigma nought in dB. Leaves add volume scattering, most in VH."""
    cross = polarisation in ("VH", "HV")
    out = np.array([m.vh_db if cross else m.vv_db for m in MATERIALS], np.float32)
    for i, m in enumerate(MATERIALS):
        if "crop" in m.cycle:
            out[i] += (4.0 if cross else 2.5) * (greenness(m.cycle, day_of_year) - 0.5)
    return out


def brightness_k(is_day: bool) -> np.ndarray:
    """(materials,) float32 brightness temperature, K: emitted plus reflected sky (260 K),
    by the Stefan-Boltzmann law over the whole window."""
    sky_k = 260.0
    kelvin = np.array([m.day_k if is_day else m.night_k for m in MATERIALS])
    e = np.array([m.emissivity for m in MATERIALS])
    return ((e * kelvin**4 + (1 - e) * sky_k**4) ** 0.25).astype(np.float32)
