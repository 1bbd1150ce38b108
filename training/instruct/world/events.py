"""What can happen between two dates: building, flood, fire, felling, ships that come and go.

An event is drawn before it happens, so that a caption and a mask can be written from it; applying
it changes a scene's cover, objects and change mask.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from training.instruct.regions import place_name
from training.instruct.world.materials import INDEX, ROOFS, WATERS
from training.instruct.world.noise import fractal
from training.instruct.world.objects import Item, fits, paint, take

KINDS = ("new buildings", "flood", "fire", "felling", "ships")
NUMBER = ("no", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")


@dataclass(frozen=True, slots=True)
class Event:
    """kind: one of `KINDS`; area: (H, W) bool of changed ground; added, removed: objects; first
    and last: time indices at which it is to be seen; place: compass name."""

    kind: str
    area: np.ndarray
    place: str
    added: tuple[Item, ...] = ()
    removed: tuple[Item, ...] = ()
    first: int = 1
    last: int = 99

    @property
    def can_end(self) -> bool:
        return self.kind in ("flood", "ships")

    @property
    def caption(self) -> str:
        """What changed, where, how many."""
        if self.kind == "new buildings":
            n = len(self.added)
            return (f"{n} new building{'s' if n > 1 else ''} "
                    f"{'were' if n > 1 else 'was'} built in the {self.place}.")
        if self.kind == "ships":
            parts = []
            if self.added:
                n = len(self.added)
                parts.append(f"{n} ship{'s' if n > 1 else ''} arrived")
            if self.removed:
                n = len(self.removed)
                parts.append(f"{n} ship{'s' if n > 1 else ''} left")
            return " and ".join(parts).capitalize() + "."
        return {"flood": f"A flood covers land in the {self.place}.",
                "fire": f"The ground in the {self.place} has burnt.",
                "felling": f"Forest was cleared in the {self.place}."}[self.kind]

    @property
    def phrase(self) -> str:
        """A noun phrase for it: "the flood"."""
        return {"new buildings": "new buildings", "flood": "the flood", "fire": "the burnt ground",
                "felling": "the cleared forest", "ships": "the other ships"}[self.kind]


def _where(area: np.ndarray) -> str:
    ys, xs = np.nonzero(area)
    return place_name(xs.mean() / area.shape[1], ys.mean() / area.shape[0])


def _blob(rng, size: int, cover: np.ndarray, names: tuple[str, ...]) -> np.ndarray | None:
    """A connected piece of the named covers, 2 to 20 percent of the scene."""
    where = np.isin(cover, [INDEX[n] for n in names])
    ys, xs = np.nonzero(where[::4, ::4])
    if len(xs) < 40:
        return None
    k = rng.integers(len(xs))
    y, x = np.mgrid[:size, :size].astype(np.float32)
    r = np.hypot(x - 4 * xs[k], y - 4 * ys[k]) / size
    area = where & (r + 0.05 * fractal(rng, size, size, 48) < rng.uniform(0.12, 0.28))
    n, parts, stats, _ = cv2.connectedComponentsWithStats(area.astype(np.uint8))
    if n < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return parts == best if stats[best, cv2.CC_STAT_AREA] > 0.015 * size * size else None


def _flood(rng, scene) -> np.ndarray | None:
    """Water rises over the low ground around it."""
    water = np.isin(scene.cover, [INDEX[n] for n in WATERS])
    if water.mean() < 0.02:
        return None
    level = float(np.quantile(scene.height_m[water], 0.9)) + rng.uniform(1.5, 6.0)
    low = ((scene.height_m < level) | water).astype(np.uint8)
    _, parts = cv2.connectedComponents(low)
    wet = np.isin(parts, np.unique(parts[water])) & ~water
    return wet if 0.02 < wet.mean() < 0.5 else None


def _free(scene) -> np.ndarray:
    taken = np.zeros(scene.cover.shape, np.uint8)
    for i in scene.items:
        take(taken, i)
    return taken


def _buildings(rng, scene) -> tuple[Item, ...]:
    taken = _free(scene)
    taken |= np.isin(scene.cover, [INDEX[n] for n in (*WATERS, "pavement", "forest")])
    many, items = int(rng.integers(1, 6)), []
    cx, cy = rng.uniform(0.2, 0.8, 2) * scene.size
    angle = rng.uniform(0, 3.14)
    for _ in range(60):
        if len(items) == many:
            break
        long = rng.uniform(13, 24)
        item = Item("building", INDEX[str(rng.choice(ROOFS))], cx + rng.normal() * 26,
                    cy + rng.normal() * 26, long, long * rng.uniform(0.5, 0.9), angle,
                    height=rng.uniform(4, 8))
        if fits(taken, item, 2):
            take(taken, item)
            items.append(item)
    return tuple(items)


def _ships(rng, scene) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    ships = [i for i in scene.items if i.kind == "ship"]
    taken = _free(scene)
    taken |= ~np.isin(scene.cover, [INDEX[n] for n in WATERS])
    removed = tuple(s for s in ships if rng.random() < 0.4)
    added = []
    for _ in range(40):
        if len(added) == rng.integers(0, 4):
            break
        long = rng.uniform(14, 32)
        item = Item("ship", INDEX[str(rng.choice(["white paint", "grey paint", "red paint"]))],
                    *(rng.uniform(0, scene.size, 2)), long, long * 0.25,
                    rng.uniform(0, 6.28), height=2.0)
        if fits(taken, item, 3):
            take(taken, item)
            added.append(item)
    return tuple(added), removed


def _area_of(items, size: int) -> np.ndarray:
    area = np.zeros((size, size), np.uint8)
    for i in items:
        paint(area, i, 1)
    return area > 0


def draw(rng, scene, lasting: bool = False) -> Event | None:
    """A random event that this scene allows, or None; `lasting` leaves out ships."""
    order = [k for k in rng.permutation(KINDS) if not (lasting and k == "ships")]
    for kind in order:
        if kind == "new buildings" and scene.kind in ("town", "tank farm", "farmland", "coast"):
            items = _buildings(rng, scene)
            if items:
                area = _area_of(items, scene.size)
                return Event(kind, area, _where(area), items)
        if kind == "ships" and scene.kind in ("coast", "lake"):
            added, removed = _ships(rng, scene)
            if added or removed:
                area = _area_of((*added, *removed), scene.size)
                return Event(kind, area, _where(area), added, removed)
        area = None
        if kind == "flood" and scene.kind in ("coast", "lake", "farmland"):
            area = _flood(rng, scene)
        if kind == "fire":
            area = _blob(rng, scene.size, scene.cover,
                         ("grass", "forest", "winter crop", "summer crop"))
        if kind == "felling":
            area = _blob(rng, scene.size, scene.cover, ("forest",))
        if area is not None:
            return Event(kind, area, _where(area))
    return None


def apply(event: Event, scene) -> None:
    """Make an event happen in a scene (whose arrays are replaced, not written)."""
    new = {"flood": "flood water", "fire": "burnt ground", "felling": "bare soil"}.get(event.kind)
    if new:
        scene.cover = np.where(event.area, np.uint8(INDEX[new]), scene.cover)
        if event.kind == "flood":
            scene.items = [i for i in scene.items if i.kind != "car"]
    gone = set(map(id, event.removed))
    scene.items = [i for i in scene.items if id(i) not in gone] + [
        replace(i) for i in event.added]
    scene.change = event.area
