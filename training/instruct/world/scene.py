"""A scene of the world: land cover, objects, light, and what happens to it over time.

A key names a scene for ever: "SPLIT-EPISODE-NUMBER", e.g. "train-still-81". Splits differ in
their numbers and in the ranges of what should not matter (`RANGES`): sun, haze, noise, soil and
wind of the test lie outside those of training.

Episodes: "still" one date; "change" two dates with an event between; "series" six dates over a
year; "video" eight frames of moving objects.
"""

import functools
import math
import zlib
from dataclasses import dataclass, field, replace

import numpy as np

from training.instruct.world import events, layout
from training.instruct.world.layout import GSD_M, Layout
from training.instruct.world.materials import INDEX, PAINTS, ROOFS
from training.instruct.world.noise import fractal, normal
from training.instruct.world.objects import Item, fits, take

SIZE = 256
EPISODES = ("still", "change", "series", "video")
TIMES = {"still": 1, "change": 2, "series": 6, "video": 8}


@dataclass(frozen=True, slots=True)
class Ranges:
    """Least and most of nuisances, disjoint between training and test."""

    sun_deg: tuple[float, float] = (36, 62)
    haze: tuple[float, float] = (0.0, 0.05)
    noise: tuple[float, float] = (0.002, 0.006)
    bright: tuple[float, float] = (0.85, 1.1)
    wind_db: tuple[float, float] = (-2.0, 3.0)
    scale: tuple[float, float] = (0.85, 1.2)


RANGES = {"train": Ranges(), "val": Ranges(),
          "test": Ranges((27, 35), (0.052, 0.075), (0.0065, 0.008), (1.11, 1.2), (3.2, 4.5),
                         (0.75, 0.84))}


@dataclass(slots=True)
class Scene:
    """State of a scene at one time.

    cover, shade, height_m: (H, W); items: objects present; grain: (H, W) white noise of texture;
    day_of_year; is_day; clouds: (H, W) float32 0..1 or None; change: (H, W) bool, what differs
    from the first date for a lasting reason; event: what happened, or None.
    """

    key: str
    kind: str
    gsd_m: float
    cover: np.ndarray
    shade: np.ndarray
    height_m: np.ndarray
    items: list[Item]
    grain: np.ndarray
    ranges: Ranges
    sun_deg: float = 50.0
    sun_azimuth: float = 2.4
    haze: float = 0.02
    noise: float = 0.004
    bright: float = 1.0
    wind_db: float = 0.0
    day_of_year: float = 180.0
    is_day: bool = True
    clouds: np.ndarray | None = None
    change: np.ndarray | None = None
    event: "events.Event | None" = None
    roads: list = field(default_factory=list)
    time: int = 0

    @property
    def size(self) -> int:
        return self.cover.shape[0]

    def rng(self, *parts: object) -> np.random.Generator:
        """A generator for one purpose at this time."""
        text = ":".join(map(str, (self.key, self.time, *parts)))
        return np.random.default_rng(zlib.crc32(text.encode()))

    def seen(self, least: float = 0.5) -> list[Item]:
        """Objects at least `least` inside the image."""
        return [i for i in self.items if i.inside(self.size) >= least]


def _paint(rng) -> int:
    return INDEX[str(rng.choice(PAINTS))]


def _ships(rng, lay: Layout, many: int, scale: float, taken) -> list[Item]:
    size, items = lay.cover.shape[0], []
    taken |= ~np.isin(lay.cover, [INDEX["water"], INDEX["turbid water"]])
    for _ in range(many * 12):
        if len(items) == many:
            break
        length = rng.uniform(12, 34) * scale
        item = Item("ship", INDEX[str(rng.choice(["white paint", "grey paint", "dark paint",
                                                  "red paint"]))],
                    rng.uniform(0, size), rng.uniform(0, size), length,
                    length * rng.uniform(0.2, 0.3), rng.uniform(0, 2 * math.pi), height=2.0,
                    is_hot=bool(rng.random() < 0.6))
        if fits(taken, item, 3):
            take(taken, item)
            items.append(item)
    return items


def _at_spots(rng, lay: Layout, kind: str, many: int, scale: float, taken) -> list[Item]:
    spots, items = lay.spots.get(kind, []), []
    for k in rng.permutation(len(spots)):
        if len(items) == many:
            break
        x, y, angle, room = spots[k]
        long = room * scale * rng.uniform(0.7, 1.0) / 1.2
        if kind == "aircraft":
            item = Item(kind, INDEX[str(rng.choice(["white paint", "white paint", "grey paint"]))],
                        x, y, long, long * rng.uniform(0.85, 1.0), angle, height=3.0,
                        is_hot=bool(rng.random() < 0.2))
        elif kind == "tank":
            item = Item(kind, INDEX[str(rng.choice(["white paint", "white paint", "grey paint",
                                                    "red paint"]))],
                        x, y, long, long, 0.0, height=long * 0.35)
        else:
            item = Item("building", INDEX[str(rng.choice(ROOFS))], x, y,
                        long * 1.5, long * rng.uniform(0.7, 1.1), angle + math.pi / 2 * (
                            rng.random() < 0.5), height=rng.uniform(4, 9))
        if fits(taken, item, 1):
            take(taken, item)
            items.append(item)
    return items


def _cars(rng, lay: Layout, many: int, scale: float, taken) -> list[Item]:
    """Vehicles in their lanes: right-hand traffic, heading along the road."""
    size, items = lay.cover.shape[0], []
    wide = [r for r in lay.roads if r[4] >= 4]
    for _ in range(many * 14 if wide else 0):
        if len(items) == many:
            break
        x1, y1, x2, y2, half = wide[rng.integers(len(wide))]
        t = rng.random()
        angle = math.atan2(y2 - y1, x2 - x1) + (math.pi if rng.random() < 0.5 else 0.0)
        side = half * 0.45
        x = x1 + t * (x2 - x1) - math.sin(angle) * side
        y = y1 + t * (y2 - y1) + math.cos(angle) * side
        truck = rng.random() < 0.25
        length = (rng.uniform(12, 16) if truck else rng.uniform(7, 9)) * scale
        item = Item("truck" if truck else "car", _paint(rng), x, y, length,
                    length * (0.3 if truck else 0.46), angle, height=2.0 if truck else 1.0,
                    is_hot=bool(rng.random() < 0.5))
        if 0 < x < size and 0 < y < size and fits(taken, item, 1):
            take(taken, item)
            items.append(item)
    return items


def _populate(rng, kind: str, lay: Layout, scale: float) -> list[Item]:
    taken = np.zeros(lay.cover.shape, np.uint8)
    items: list[Item] = []
    if kind == "town":
        items += _at_spots(rng, lay, "building", int(rng.integers(4, 26)), scale, taken)
    if kind == "airfield":
        items += _at_spots(rng, lay, "aircraft", int(rng.integers(0, 10)), scale, taken)
    if kind == "tank farm":
        items += _at_spots(rng, lay, "tank", int(rng.integers(0, 13)), scale, taken)
    if kind in ("town", "tank farm"):
        items += _cars(rng, lay, int(rng.integers(0, 12)), scale, taken)
    if kind in ("coast", "lake"):
        items += _ships(rng, lay, int(rng.integers(0, 10)), scale, taken)
    return items


def _moving(rng, items: list[Item], frames: int) -> list[Item]:
    """Some of the ships and vehicles under way, ahead along their heading; about half of them
    such that the middle of the video shows them where they were placed."""
    out = []
    for i in items:
        if i.kind in ("ship", "car", "truck") and rng.random() < 0.6:
            speed = rng.uniform(0.35, 0.8) * i.length
            vx, vy = speed * math.cos(i.angle), speed * math.sin(i.angle)
            back = frames / 2 if rng.random() < 0.5 else 0.0
            i = replace(i, vx=vx, vy=vy, cx=i.cx - vx * back, cy=i.cy - vy * back, is_hot=True)
        out.append(i)
    return out


def _clouds(rng, size: int, share: float) -> np.ndarray:
    n = fractal(rng, size, size, 96)
    edge = np.quantile(n[::8, ::8], 1 - share)
    return np.clip((n - edge) / 0.35, 0, 1).astype(np.float32)


@functools.lru_cache(maxsize=96)
def _first(key: str) -> tuple[Scene, "events.Event | None", tuple[float, ...]]:
    """Scene at time 0, the event to come, and the day of year of each date."""
    split, episode, number = key.split("-")
    ranges = RANGES[split]
    rng = np.random.default_rng([zlib.crc32(f"{split}{episode}".encode()), int(number)])
    kinds = {"video": ("coast", "town", "lake", "tank farm"),
             "series": ("farmland", "farmland", "lake", "coast", "town")}.get(
                 episode, layout.KINDS)
    kind = str(rng.choice(kinds))
    lay = layout.MAKERS[kind](rng, SIZE)
    scale = rng.uniform(*ranges.scale)
    items = _populate(rng, kind, lay, scale)
    if episode == "video":
        items = _moving(rng, items, TIMES["video"])
    scene = Scene(
        key, kind, GSD_M[kind], lay.cover, lay.shade, layout.relief_m(rng, SIZE, lay.cover),
        items, normal(rng, SIZE, SIZE), ranges, rng.uniform(*ranges.sun_deg),
        rng.uniform(0, 2 * math.pi), rng.uniform(*ranges.haze), rng.uniform(*ranges.noise),
        rng.uniform(*ranges.bright), rng.uniform(*ranges.wind_db),
        float(rng.integers(100, 290)), bool(rng.random() < 0.6), roads=lay.roads)
    if episode == "still" and rng.random() < 0.15:
        scene.clouds = _clouds(rng, SIZE, rng.uniform(0.15, 0.6))
    days = (scene.day_of_year,)
    event = None
    if episode == "change":
        days = (scene.day_of_year, scene.day_of_year + float(rng.integers(-25, 26)))
        event = events.draw(rng, scene) if rng.random() < 0.75 else None
    if episode == "series":
        start = float(rng.integers(20, 60))
        days = tuple(start + 55.0 * k + float(rng.integers(-8, 9)) for k in range(6))
        scene.day_of_year = days[0]
        event = events.draw(rng, scene, lasting=True) if rng.random() < 0.7 else None
        if event:
            first = int(rng.integers(1, 5))
            last = int(rng.integers(first, 6)) if event.can_end else 5
            event = replace(event, first=first, last=last)
    return scene, event, days


def dates_of(key: str) -> tuple[float, ...]:
    """Day of year of each date of a series or a change."""
    return _first(key)[2]


def event_of(key: str) -> "events.Event | None":
    """What happens in an episode, whatever the time."""
    return _first(key)[1]


@functools.lru_cache(maxsize=128)
def scene_at(key: str, time: int = 0) -> Scene:
    """The scene of a key at a time, 0 .. TIMES[episode] - 1. Shared: read only."""
    scene, event, days = _first(key)
    episode = key.split("-")[1]
    out = replace(scene, time=time)
    if episode == "video":
        out.items = [i.at(time) for i in scene.items]
    elif time:
        out.day_of_year = days[time]
        out.wind_db = scene.wind_db + float(out.rng("wind").uniform(-0.7, 0.7))
    if event and event.first <= time <= event.last:
        events.apply(event, out)
        out.event = event
    return out
