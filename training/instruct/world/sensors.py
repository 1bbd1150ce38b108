"""What each sensor makes of a scene: optical with any bands, radar, thermal infrared, elevation.

Optical bands are linear: material reflectance x texture x light, seen through a thin atmosphere.
Coarse sensors mix the materials of a pixel by area. Radar is sigma nought per material with
multi-look speckle, double bounce and layover towards the sensor, shadow away from it, side lobes
of strong scatterers. Thermal is brightness temperature by day or night.
"""

import functools
import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from training.instruct.world import materials
from training.instruct.world.materials import GRAIN, INDEX, WATERS
from training.instruct.world.noise import LOOKS, normal, smooth, speckle_db
from training.instruct.world.objects import paint
from training.instruct.world.scene import Scene, scene_at

S2_BANDS = ("B01 443nm", "B02 490nm", "B03 560nm", "B04 665nm", "B05 705nm", "B06 740nm",
            "B07 783nm", "B08 842nm", "B09 945nm", "B10 1375nm", "B11 1610nm", "B12 2190nm",
            "B8A 865nm")
_GAMMA = ((np.arange(256) / 255) ** 0.75 * 255).astype(np.uint8)
HYPER_NM = tuple(float(v) for v in np.linspace(405, 2455, 120).round(1))


@dataclass(frozen=True, slots=True)
class Sensor:
    """name; modality of `records.MODALITIES`; bands: names as the models read them; centres_nm of
    optical bands; coarse: scene pixels a sensor pixel; is_8bit: a rendering instead of numbers."""

    name: str
    modality: str
    bands: tuple[str, ...]
    centres_nm: tuple[float, ...] = ()
    coarse: int = 1
    is_8bit: bool = False


def _optical(name, modality, bands, centres, coarse=1, is_8bit=False) -> Sensor:
    return Sensor(name, modality, tuple(bands), tuple(map(float, centres)), coarse, is_8bit)


def _nm(name: str, centres, coarse: int = 1) -> Sensor:
    return _optical(name, "multispectral", [f"{c:.1f} nm" for c in centres], centres, coarse)


SENSORS = {s.name: s for s in (
    _optical("rgb", "optical", ("red", "green", "blue"), (665, 560, 490), 1, True),
    _optical("pan", "optical", ("panchromatic",), (600,), 1, True),
    _optical("four", "multispectral", ("red", "green", "blue", "near infrared"),
             (665, 560, 490, 842), 1, True),
    _nm("six", (485, 565, 660, 830, 1650, 2215)),
    _nm("seven", (443, 482, 561, 655, 865, 1609, 2201)),
    _optical("s2", "multispectral", S2_BANDS, [float(b.split()[1][:-2]) for b in S2_BANDS]),
    _nm("hyper", HYPER_NM, 4),
    Sensor("sar", "sar", ("VV", "VH")),
    Sensor("sar_hh", "sar", ("HH",), is_8bit=True),
    Sensor("thermal", "thermal", ("thermal",), is_8bit=True),
    Sensor("thermal_k", "thermal", ("thermal",)),
    Sensor("elevation", "optical", ("elevation",)),
)}


def sensor_of(name: str) -> Sensor:
    """Sensor by name; "nm:443,665" makes one of any bands."""
    if name.startswith("nm:"):
        return _nm(name, tuple(float(v) for v in name[3:].split(",")))
    return SENSORS[name]


@dataclass(frozen=True, slots=True)
class Drawn:
    """cover: material with objects on it; number: object index + 1, 0 ground; shadow: 0..1."""

    cover: np.ndarray
    number: np.ndarray
    shadow: np.ndarray


@functools.lru_cache(maxsize=64)
def drawn(key: str, time: int = 0) -> Drawn:
    """A scene with its objects painted in. Shared: read only."""
    scene = scene_at(key, time)
    cover, number = scene.cover.copy(), np.zeros(scene.cover.shape, np.uint8)
    shadow = np.zeros(scene.cover.shape, np.uint8)
    reach = 1 / math.tan(math.radians(scene.sun_deg))
    away = math.cos(scene.sun_azimuth) * reach, math.sin(scene.sun_azimuth) * reach
    for item in scene.items:
        for k in (0.5, 1.0):
            paint(shadow, item, 1, (away[0] * item.height * k, away[1] * item.height * k))
    for n, item in enumerate(scene.items):
        paint(cover, item, item.material)
        paint(number, item, n + 1)
    return Drawn(cover, number, shadow * (number == 0))


def _texture(scene: Scene, cover: np.ndarray) -> np.ndarray:
    """(H, W) factor around 1: grain by material, coarser for crowns."""
    fine = cv2.GaussianBlur(scene.grain, (0, 0), 0.9) * 2.2
    return np.maximum(1 + GRAIN[cover] * fine, 0.2)


def _light(scene: Scene, d: Drawn) -> np.ndarray:
    """(H, W) factor of sun light: relief, roofs, shadows, the gain of the day."""
    gx = cv2.Sobel(scene.height_m, cv2.CV_32F, 1, 0, scale=0.125) / scene.gsd_m
    gy = cv2.Sobel(scene.height_m, cv2.CV_32F, 0, 1, scale=0.125) / scene.gsd_m
    hill = 1 + 0.6 * (gx * math.cos(scene.sun_azimuth) + gy * math.sin(scene.sun_azimuth))
    return hill.clip(0.6, 1.4) * (1 - 0.62 * d.shadow) * scene.bright


def _mixed(table: np.ndarray, cover: np.ndarray, factor: np.ndarray, coarse: int) -> np.ndarray:
    """(h, w, C): materials of each coarse pixel mixed by area and light."""
    h, w = cover.shape[0] // coarse, cover.shape[1] // coarse
    present = np.unique(cover)
    shares = np.stack([cv2.resize(np.where(cover == m, factor, 0).astype(np.float32), (w, h),
                                  interpolation=cv2.INTER_AREA) for m in present], -1)
    return shares.reshape(-1, len(present)) @ table[present]


def _optical_image(scene: Scene, sensor: Sensor, d: Drawn) -> np.ndarray:
    centres = np.array(sensor.centres_nm, np.float32)
    rng = scene.rng(sensor.name)
    table = materials.reflectances(sensor.centres_nm, scene.day_of_year)
    factor = _texture(scene, d.cover) * _light(scene, d) * scene.shade
    through = materials.transmittance(centres)
    # Rayleigh and aerosol path light, and the veil of the haze
    path = ((0.035 * (490 / centres) ** 4 + scene.haze * (490 / centres) ** 1.3) * through)
    h, w = (n // sensor.coarse for n in d.cover.shape)
    if sensor.coarse > 1:
        image = _mixed(table * through, d.cover, factor, sensor.coarse).T.reshape(-1, h, w)
    else:
        image = np.stack([factor * t[d.cover] for t in (table * through).T])
    image = np.ascontiguousarray(image, np.float32)
    if scene.clouds is not None:
        veil = cv2.resize(scene.clouds, (w, h), interpolation=cv2.INTER_AREA)
    for plane, light, t in zip(image, path, through, strict=True):
        if sensor.coarse == 1:
            cv2.GaussianBlur(plane, (0, 0), 0.55, dst=plane)
        plane += np.float32(light)
        if scene.clouds is not None:
            plane += veil * (np.float32(0.72 * t) - plane)
        plane += np.float32(scene.noise) * normal(rng, h, w)
    return np.moveaxis(image, 0, -1)


def _to_8bit(image: np.ndarray) -> np.ndarray:
    """As a publisher renders reflectance: one gain for all bands from the 98 % level, a gamma."""
    top = max(0.12, float(np.quantile(image[::4, ::4], 0.97)))
    level = np.ascontiguousarray(np.clip(image / (1.08 * top), 0, 1) * 255, np.uint8)
    return _GAMMA[level]


def _radar_db(scene: Scene, polarisation: str, d: Drawn, rng) -> np.ndarray:
    """(H, W) sigma nought before speckle, dB."""
    table = materials.backscatter_db(polarisation, scene.day_of_year)
    water = [INDEX[n] for n in WATERS]
    table[water] += scene.wind_db
    db = table[scene.cover] + 0.8 * smooth(rng, *scene.cover.shape, 24)
    db += np.where(scene.cover == INDEX["forest"], 1.2 * scene.grain, 0)
    look = scene.rng("look").uniform(0, 2 * math.pi) if not scene.time else replace(
        scene, time=0).rng("look").uniform(0, 2 * math.pi)
    ax, ay = math.cos(look), math.sin(look)              # from the sensor to the ground
    gx = cv2.Sobel(scene.height_m, cv2.CV_32F, 1, 0, scale=0.125) / scene.gsd_m
    gy = cv2.Sobel(scene.height_m, cv2.CV_32F, 0, 1, scale=0.125) / scene.gsd_m
    db += np.clip(8 * (gx * ax + gy * ay), -5, 5)
    power = 10 ** (db / 10)
    strong = np.zeros_like(power)
    drop = 0.1 if polarisation in ("VH", "HV") else 1.0
    for item in scene.items:
        h = item.height
        if item.kind in ("building", "tank"):
            paint(power, item, 10 ** (-2.8), (ax * h, ay * h))           # shadow
            paint(power, item, 0.9 * drop, (-ax * h * 0.6, -ay * h * 0.6))   # layover, bounce
            paint(power, item, 0.12 * drop)
            edge = item.length * 0.5
            strong[_pixel(item.cx - ax * edge, item.cy - ay * edge, power.shape)] += 40 * drop
        else:
            paint(power, item, 2.0 * drop)
            for _ in range(4):
                t = rng.uniform(-0.42, 0.42) * item.length
                xy = item.cx + t * math.cos(item.angle), item.cy + t * math.sin(item.angle)
                strong[_pixel(*xy, power.shape)] += rng.uniform(15, 60) * drop
    if strong.any():
        power += cv2.filter2D(strong, -1, _lobes(), borderType=cv2.BORDER_CONSTANT)
    return 10 * np.log10(power + 10 ** (-3.3))


def _pixel(x: float, y: float, shape) -> tuple[int, int]:
    return min(shape[0] - 1, max(0, int(y))), min(shape[1] - 1, max(0, int(x)))


@functools.cache
def _lobes() -> np.ndarray:
    """Point response of 19 pixels: a main lobe and the cross of side lobes, 21 dB down."""
    t = np.arange(-9, 10)
    line = np.where(t == 0, 0, 0.008 / (1 + np.abs(t) * 0.8))
    k = np.zeros((19, 19), np.float32)
    k[9], k[:, 9] = line, line
    k[8:11, 8:11] = np.outer([0.25, 1, 0.25], [0.25, 1, 0.25])
    return k


def _radar(scene: Scene, sensor: Sensor, d: Drawn) -> np.ndarray:
    looks = LOOKS[int(scene.rng("looks").integers(len(LOOKS)))]
    bands = []
    for band in sensor.bands:
        rng = scene.rng(sensor.name, band)
        db = _radar_db(scene, band, d, rng)
        bands.append(db + speckle_db(rng, *db.shape, looks))
    image = np.stack(bands, -1).astype(np.float32)
    if sensor.is_8bit:
        amplitude = 10 ** (image / 20)
        top = max(0.25, float(np.quantile(amplitude[::4, ::4], 0.97)))
        return np.clip(amplitude / (2.2 * top) * 255, 0, 255).astype(np.uint8)
    return image


def _thermal(scene: Scene, sensor: Sensor, d: Drawn) -> np.ndarray:
    rng = scene.rng("thermal")
    shape = d.cover.shape
    kelvin = materials.brightness_k(scene.is_day)[d.cover]
    ground = d.number == 0
    kelvin += (0.7 * smooth(rng, *shape, 24) + 6 * GRAIN[d.cover] * scene.grain) * ground
    if scene.is_day:
        kelvin -= 7 * d.shadow
    for item in scene.items:
        if item.is_hot:
            aft = replace(item, kind="car", length=item.length * 0.4, width=item.width * 0.6,
                          cx=item.cx - 0.2 * item.length * math.cos(item.angle),
                          cy=item.cy - 0.2 * item.length * math.sin(item.angle))
            paint(kelvin, aft, 322.0 if scene.is_day else 305.0)
    kelvin = cv2.GaussianBlur(kelvin, (0, 0), 0.9) + 0.12 * normal(rng, *shape)
    if not sensor.is_8bit:
        return kelvin[..., None].astype(np.float32)
    low, high = np.quantile(kelvin[::4, ::4], (0.01, 0.99))
    grey = np.clip((kelvin - low) / max(high - low, 4.0), 0, 1)
    if rng.random() < 0.15:                  # black-hot rendering
        grey = 1 - grey
    return (grey[..., None] * 255).astype(np.uint8)


def _elevation(scene: Scene, d: Drawn) -> np.ndarray:
    height = scene.height_m.copy()
    tall = np.array([0, *(i.height for i in scene.items)], np.float32) * scene.gsd_m
    forest = (scene.cover == INDEX["forest"]) & (d.number == 0)
    return (height + tall[d.number] + forest * (12 + 2 * scene.grain))[..., None]


def render(key: str, sensor_name: str, time: int = 0) -> tuple[np.ndarray, tuple[str, ...]]:
    """(values (H, W, C), band names) of a scene: uint8 renderings, uint16 reflectance x 10000,
    float32 dB, kelvin or metres."""
    scene, sensor, d = scene_at(key, time), sensor_of(sensor_name), drawn(key, time)
    if sensor.modality == "sar":
        return _radar(scene, sensor, d), sensor.bands
    if sensor.modality == "thermal":
        return _thermal(scene, sensor, d), sensor.bands
    if sensor.bands == ("elevation",):
        return _elevation(scene, d).astype(np.float32), sensor.bands
    image = _optical_image(scene, sensor, d)
    if sensor.is_8bit:
        return _to_8bit(image), sensor.bands
    np.clip(image, 0.0001, 2, out=image)
    image *= 10000
    return np.ascontiguousarray(image, np.uint16), sensor.bands
