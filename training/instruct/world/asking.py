"""Write instructions on scenes of the world: names, visibility, colours, targets."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from training.instruct import spatial
from training.instruct.drafting import Balance
from training.instruct.records import ImageRef, Instruction, MaskRef, Targets
from training.instruct.views import Thing
from training.instruct.world.materials import INDEX, MATERIALS
from training.instruct.world.objects import Item
from training.instruct.world.scene import SIZE, Scene, scene_at
from training.instruct.world.sensors import drawn, sensor_of

SET = "world"
# what a cover is called -> materials that are it
COVERS = {
    "water": ("water", "turbid water", "flood water"), "forest": ("forest",),
    "grass": ("grass",), "sand": ("sand",), "bare soil": ("bare soil",),
    "winter crop": ("winter crop",), "summer crop": ("summer crop",), "orchard": ("orchard",),
    "pavement": ("pavement",), "concrete": ("concrete",), "burnt ground": ("burnt ground",)}
SCENE_NAMES = {"coast": "coast", "farmland": "farmland", "town": "residential area",
               "airfield": "airport", "tank farm": "storage tanks", "lake": "lake in a forest"}
COLOURS = {"white paint": "white", "grey paint": "grey", "dark paint": "dark",
           "red paint": "red", "blue paint": "blue", "tile roof": "red", "grey roof": "grey",
           "white roof": "white", "dark roof": "dark"}
# kinds that can stand in a scene of each kind: only these are asked about
ASKED = {"coast": ("ship",), "lake": ("ship",), "farmland": (), "town": ("building", "car",
         "truck"), "airfield": ("aircraft",), "tank farm": ("tank", "car", "truck")}
OBJECT_SENSORS = ("rgb", "rgb", "rgb", "pan", "four", "six", "seven", "s2", "sar", "sar", "sar_hh",
                  "thermal", "thermal_k")
COVER_SENSORS = ("rgb", "rgb", "four", "six", "seven", "s2", "hyper", "sar")


@dataclass(slots=True)
class Writer(Balance):
    """Instructions of the world in one epoch."""

    def write(self, key: str, task: str, kind: str, prompt: str, answer: str, *,
              sensors: tuple[str, ...], times: tuple[int, ...] = (0,), tag: str = "",
              layer: str = "", layer_image: int = 0, pair: str = "", focus: str = "",
              references: Iterable[str] = ()) -> Instruction:
        """An instruction on a scene seen at `times` by `sensors`: every sensor at every time,
        the image index running over times first."""
        images = tuple(ImageRef(SET, key, s, None, 0, slot, frame, time, _modality(s, times, key))
                       for slot, s in enumerate(sensors) for frame, time in enumerate(times))
        boxes, labels, oboxes = _targets(key, times[0])
        mask = MaskRef(images[layer_image], layer=layer) if layer else None
        targets = Targets(
            boxes=boxes, labels=labels, oboxes=oboxes, mask=mask,
            references=tuple(references), scene=f"{SET}/{key}", pair=pair)
        modality = "fusion" if len(sensors) > 1 else images[0].modality
        return Instruction(
            id=f"{SET}/{key}:{task}.{kind}" + (f".{tag}" if tag else ""), set=SET,
            split=self.split, task=task, kind=kind, images=images, modality=modality,
            bands=tuple(sensor_of(i.member).bands for i in images), prompt=prompt, answer=answer,
            targets=targets, focus=focus, group=f"{SET}/{kind}")


@functools.lru_cache(maxsize=256)
def _targets(key: str, time: int) -> tuple[tuple, tuple[str, ...], tuple]:
    """Boxes, labels and oriented boxes of what is seen, as `records.Targets` holds them."""
    things = scene_at(key, time).seen()
    return (tuple((0, *_rounded(i.box(SIZE))) for i in things), tuple(i.kind for i in things),
            tuple((0, *_rounded((i.cx / SIZE, i.cy / SIZE, i.length / SIZE, i.width / SIZE,
                                 np.degrees(i.angle) % 180))) for i in things))


def _modality(sensor: str, times: tuple[int, ...], key: str) -> str:
    if len(times) > 1:
        return "video" if "-video-" in key else "temporal"
    return sensor_of(sensor).modality


def _rounded(values) -> tuple[float, ...]:
    return tuple(round(float(v), 5) for v in values)


def thing_of(item: Item) -> Thing:
    """An item as the real sets' objects are held."""
    return Thing(item.kind, item.kind, item.box(SIZE))


def obox_of(item: Item, image: int = 0) -> str:
    return spatial.obox(item.corners() / SIZE, image=image)


def is_cut(scene: Scene) -> bool:
    """Whether an object is so cut by the border that its count would be a matter of taste."""
    return any(0.05 < i.inside(SIZE) < 0.7 for i in scene.items)


def cover_layer(name: str) -> str:
    return f"cover:{name}"


def layer_mask(key: str, time: int, layer: str) -> np.ndarray:
    """(H, W) bool of a layer: "cover:NAME", "item:NUMBER", "kind:NAME", "change", "event"."""
    d = drawn(key, time)
    what, _, name = layer.partition(":")
    scene = scene_at(key, time)
    if what == "cover":
        return np.isin(d.cover, [INDEX[m] for m in COVERS[name]])
    if what == "item":
        return d.number == int(name) + 1
    if what == "kind":
        numbers = [n + 1 for n, i in enumerate(scene.items) if i.kind == name]
        return np.isin(d.number, numbers)
    if what == "change":
        return np.zeros(d.cover.shape, bool) if scene.change is None else scene.change
    raise ValueError(f"unknown layer {layer!r}")


def cover_shares(key: str, time: int = 0) -> dict[str, float]:
    """Share of the scene of each cover, objects taken out."""
    counts = np.bincount(drawn(key, time).cover.ravel(), minlength=len(MATERIALS))
    return {c: float(sum(counts[INDEX[m]] for m in ms)) / SIZE**2 for c, ms in COVERS.items()}


def colour_of(item: Item) -> str:
    return COLOURS[MATERIALS[item.material].name]

