"""Land cover of a scene from a random generator: water, fields, forest, blocks, roads, aprons.

Gives the material of each pixel and where which objects may stand. No pixels of any sensor yet.
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from training.instruct.world.materials import INDEX
from training.instruct.world.noise import fractal, smooth

KINDS = ("coast", "farmland", "town", "airfield", "tank farm", "lake")
# metres a pixel, so that the objects of a kind of scene are some ten pixels large
GSD_M = {"coast": 6.0, "farmland": 10.0, "town": 0.8, "airfield": 1.8, "tank farm": 1.6,
         "lake": 8.0}
CROPS = ("winter crop", "summer crop", "bare soil", "grass", "winter crop", "summer crop",
         "orchard")


@dataclass(slots=True)
class Layout:
    """cover: (H, W) uint8 material; shade: (H, W) float32 factor of reflectance (fields differ,
    rows); roads: (x1, y1, x2, y2, half width in pixels); spots: (N, 4) of prepared places
    (x, y, angle, size) by kind of object."""

    cover: np.ndarray
    shade: np.ndarray
    roads: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    spots: dict[str, list[tuple[float, float, float, float]]] = field(default_factory=dict)


def _axes(rng, size: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:size, :size].astype(np.float32)
    c, s = math.cos(angle), math.sin(angle)
    return x * c + y * s, y * c - x * s


def _cuts(rng, size: int, least: float, most: float) -> np.ndarray:
    widths = rng.uniform(least, most, int(4 * size / least) + 2)
    return np.cumsum(widths) - 2.0 * size


def fields(rng, size: int, names=CROPS, least: float = 26, most: float = 70) -> Layout:
    """Strips of fields at one angle, each with its crop, brightness and rows."""
    angle = rng.uniform(0, math.pi)
    u, v = _axes(rng, size, angle)
    strip = np.searchsorted(_cuts(rng, size, least, most), u.ravel()).reshape(u.shape)
    shift = rng.uniform(0, most, strip.max() + 1).astype(np.float32)[strip]
    plot = np.searchsorted(_cuts(rng, size, least, 2 * most), (v + shift).ravel())
    number = strip * 997 + plot.reshape(u.shape)
    _, number = np.unique(number, return_inverse=True)
    number = number.reshape(u.shape)
    many = int(number.max()) + 1
    cover = np.array([INDEX[n] for n in rng.choice(names, many)], np.uint8)[number]
    bright = rng.uniform(0.85, 1.15, many).astype(np.float32)[number]
    row = rng.uniform(0, 0.07, many).astype(np.float32)[number]
    shade = bright * (1 + row * np.sin(u * rng.uniform(1.4, 2.2)))
    return Layout(cover, shade.astype(np.float32))


def _plain(rng, size: int, name: str) -> Layout:
    return Layout(np.full((size, size), INDEX[name], np.uint8), np.ones((size, size), np.float32))


def _put(layout: Layout, where: np.ndarray, name: str) -> None:
    layout.cover[where] = INDEX[name]
    layout.shade[where] = 1.0


def woods(layout: Layout, rng, share: float) -> None:
    n = fractal(rng, *layout.cover.shape, 64)
    _put(layout, n > np.quantile(n[::8, ::8], 1 - share), "forest")


def road(layout: Layout, rng, half: float, angle: float | None = None,
         name: str = "pavement") -> None:
    """A straight road across the scene."""
    size = layout.cover.shape[0]
    angle = rng.uniform(0, math.pi) if angle is None else angle
    cx, cy = rng.uniform(0.25, 0.75, 2) * size
    dx, dy = math.cos(angle) * 2 * size, math.sin(angle) * 2 * size
    line(layout, (cx - dx, cy - dy, cx + dx, cy + dy, half), name)


def line(layout: Layout, r: tuple[float, float, float, float, float], name: str) -> None:
    mask = np.zeros(layout.cover.shape, np.uint8)
    ends = [(round(v * 8) if abs(v) < 4000 else 0) for v in r[:4]]
    cv2.line(mask, ends[:2], ends[2:], 1, max(1, round(2 * r[4])), cv2.LINE_8, 3)
    _put(layout, mask > 0, name)
    layout.roads.append(r)


def rectangle(layout: Layout, cx, cy, w, h, angle, name: str) -> np.ndarray:
    """Fill an oriented rectangle; gives its mask."""
    mask = np.zeros(layout.cover.shape, np.uint8)
    corners = cv2.boxPoints(((cx, cy), (w, h), math.degrees(angle)))
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 1)
    _put(layout, mask > 0, name)
    return mask > 0


def river(layout: Layout, rng, half: float) -> None:
    size = layout.cover.shape[0]
    t = np.linspace(-0.1, 1.1, 40)
    bend = np.interp(t, np.linspace(-0.1, 1.1, 7), rng.uniform(-0.16, 0.16, 7))
    bend = cv2.GaussianBlur(bend[None].astype(np.float32), (1, 9), 0)[0] if len(bend) else bend
    a, mid = rng.uniform(0, 2 * math.pi), rng.uniform(0.35, 0.65, 2)
    along, across = np.array([math.cos(a), math.sin(a)]), np.array([-math.sin(a), math.cos(a)])
    xy = (mid + (t[:, None] - 0.5) * 1.6 * along + bend[:, None] * across) * size
    mask = np.zeros(layout.cover.shape, np.uint8)
    cv2.polylines(mask, [np.round(xy * 8).astype(np.int32)], False, 1, max(2, round(2 * half)),
                  cv2.LINE_8, 3)
    _put(layout, mask > 0, str(rng.choice(["water", "turbid water"])))


def farmland(rng, size: int) -> Layout:
    out = fields(rng, size)
    if rng.random() < 0.6:
        woods(out, rng, rng.uniform(0.05, 0.2))
    if rng.random() < 0.5:
        river(out, rng, rng.uniform(3, 8))
    if rng.random() < 0.8:
        road(out, rng, 1.2)
    return out


def lake(rng, size: int) -> Layout:
    out = _plain(rng, size, "grass")
    woods(out, rng, rng.uniform(0.4, 0.75))
    n = fractal(rng, size, size, 128)
    _put(out, n > np.quantile(n[::8, ::8], 1 - rng.uniform(0.12, 0.35)), "water")
    if rng.random() < 0.6:
        road(out, rng, 1.5)
    return out


def coast(rng, size: int) -> Layout:
    """Land behind a ragged shore, a beach, a quay, open water for ships."""
    out = fields(rng, size) if rng.random() < 0.5 else _plain(rng, size, "grass")
    if rng.random() < 0.6:
        woods(out, rng, rng.uniform(0.1, 0.4))
    u, _ = _axes(rng, size, rng.uniform(0, 2 * math.pi))
    u = (u - u.mean()) / size + 0.06 * fractal(rng, size, size, 96)
    shore = np.quantile(u[::8, ::8], rng.uniform(0.4, 0.75))
    if rng.random() < 0.6:
        _put(out, u < shore + 0.02, "sand")
    _put(out, u < shore, "water")
    if rng.random() < 0.6:
        water = (out.cover == INDEX["water"]).astype(np.uint8)
        edge = np.argwhere(cv2.morphologyEx(water, cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0)
        if len(edge):
            y, x = edge[rng.integers(len(edge))]
            rectangle(out, float(x), float(y), rng.uniform(50, 90), rng.uniform(10, 18),
                      rng.uniform(0, math.pi), "concrete")
    return out


def town(rng, size: int) -> Layout:
    """Blocks between streets; lots for houses; the streets carry cars."""
    out = _plain(rng, size, "grass")
    if rng.random() < 0.6:
        woods(out, rng, rng.uniform(0.05, 0.25))
    angle = rng.uniform(0, math.pi / 2)
    u, v = _axes(rng, size, angle)
    block_u, block_v = rng.uniform(70, 105, 2)
    half = rng.uniform(4.5, 6.0)
    pu, pv = rng.uniform(0, block_u), rng.uniform(0, block_v)
    du, dv = (np.mod(u + pu, block_u), np.mod(v + pv, block_v))
    streets = (np.minimum(du, block_u - du) < half) | (np.minimum(dv, block_v - dv) < half)
    _put(out, streets, "pavement")
    c, s = math.cos(angle), math.sin(angle)
    for k in range(-6, 7):
        for along, across, (a, b) in (((c, s), (-s, c), (pv, block_v)),
                                      ((-s, c), (c, s), (pu, block_u))):
            w = k * b - a
            x, y = across[0] * w, across[1] * w
            out.roads.append((x - along[0] * 2 * size, y - along[1] * 2 * size,
                              x + along[0] * 2 * size, y + along[1] * 2 * size, half))
    spots = out.spots.setdefault("building", [])
    for k in range(-5, 6):
        for j in range(-5, 6):
            for fu in (0.3, 0.7):
                for fv in (0.3, 0.7):
                    uu, vv = (k + fu) * block_u - pu, (j + fv) * block_v - pv
                    spots.append((uu * c - vv * s, uu * s + vv * c, angle,
                                  min(block_u, block_v) * 0.27))
    return out


def airfield(rng, size: int) -> Layout:
    """Grass with a runway and an apron with stands."""
    out = _plain(rng, size, "grass")
    angle = rng.uniform(0, math.pi)
    c, s = math.cos(angle), math.sin(angle)
    road(out, rng, rng.uniform(10, 15), angle)
    cx, cy = rng.uniform(0.38, 0.62, 2) * size
    w, h = rng.uniform(0.65, 0.95) * size, rng.uniform(0.4, 0.6) * size
    rectangle(out, cx, cy, w, h, angle, "concrete")
    step = rng.uniform(34, 42)
    spots = out.spots.setdefault("aircraft", [])
    nose = angle + rng.choice([0.5, -0.5]) * math.pi
    for a in np.arange(-w / 2 + step * 0.6, w / 2 - step * 0.5, step):
        for b in np.arange(-h / 2 + step * 0.6, h / 2 - step * 0.5, step * 1.15):
            jitter = rng.uniform(-0.25, 0.25) if rng.random() < 0.7 else rng.uniform(-3, 3)
            spots.append((cx + a * c - b * s, cy + a * s + b * c, nose + jitter, step * 0.8))
    return out


def tank_farm(rng, size: int) -> Layout:
    """Bare ground and concrete with tanks in rows, sheds, roads."""
    out = _plain(rng, size, str(rng.choice(["bare soil", "grass", "sand"])))
    angle = rng.uniform(0, math.pi)
    c, s = math.cos(angle), math.sin(angle)
    road(out, rng, rng.uniform(4, 6), angle)
    road(out, rng, rng.uniform(4, 6), angle + math.pi / 2)
    cx, cy = rng.uniform(0.4, 0.6, 2) * size
    w, h = rng.uniform(0.6, 0.9) * size, rng.uniform(0.5, 0.8) * size
    rectangle(out, cx, cy, w, h, angle, str(rng.choice(["concrete", "bare soil"])))
    step = rng.uniform(28, 40)
    spots = out.spots.setdefault("tank", [])
    for a in np.arange(-w / 2 + step * 0.6, w / 2 - step * 0.5, step):
        for b in np.arange(-h / 2 + step * 0.6, h / 2 - step * 0.5, step):
            spots.append((cx + a * c - b * s, cy + a * s + b * c, 0.0, step * 0.78))
    return out


MAKERS = {"coast": coast, "farmland": farmland, "town": town, "airfield": airfield,
          "tank farm": tank_farm, "lake": lake}


def relief_m(rng, size: int, cover: np.ndarray) -> np.ndarray:
    """(H, W) float32 metres of ground height; water is level and lowest near its shore."""
    h = 60 + 18 * smooth(rng, size, size, 128) + 4 * smooth(rng, size, size, 48)
    water = np.isin(cover, [INDEX["water"], INDEX["turbid water"]])
    if water.any():
        level = float(np.quantile(h[water], 0.1))
        shore = cv2.distanceTransform((~water).astype(np.uint8), cv2.DIST_L2, 3)
        h = np.where(water, level, np.maximum(h, level + 0.5) * np.minimum(1, shore / 60)
                     + (level + 0.5) * (1 - np.minimum(1, shore / 60)))
    return h.astype(np.float32)
