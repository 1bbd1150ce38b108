"""Draw the demo's questions: seeded, truth from labels, answers in balance.

Each yes or no question is asked twice in the same words, once for each answer; classes and counts
do not repeat within a mosaic. So a model that does not look gains nothing from how often an answer
comes. Water and change are asked where the mask is clear: a tenth of the tile or more, or next to
nothing; in between the label hangs on a few pixels of its edge.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LAND = {
    "AnnualCrop": "annual crop", "Forest": "forest", "Highway": "highway",
    "HerbaceousVegetation": "herbaceous vegetation", "Industrial": "industrial area",
    "Pasture": "pasture", "PermanentCrop": "permanent crop", "Residential": "residential area",
    "River": "river", "SeaLake": "sea or lake",
}  # fmt: skip
PLACES = {
    "Airport": "airport", "BareLand": "bare land", "BaseballField": "baseball field",
    "Beach": "beach", "Bridge": "bridge", "Center": "center", "Church": "church",
    "Commercial": "commercial area", "DenseResidential": "dense residential area",
    "Desert": "desert", "Farmland": "farmland", "Forest": "forest",
    "Industrial": "industrial area", "Meadow": "meadow", "Mountain": "mountain",
    "MediumResidential": "medium residential area", "Park": "park", "Parking": "parking lot",
    "Playground": "playground", "Pond": "pond", "Port": "port", "Resort": "resort",
    "RailwayStation": "railway station", "River": "river", "School": "school",
    "SparseResidential": "sparse residential area", "Square": "square", "Stadium": "stadium",
    "StorageTanks": "storage tanks", "Viaduct": "viaduct",
}  # fmt: skip
OBJECTS = {
    "airplane": "airplanes", "buildings": "buildings", "cars": "cars", "court": "courts",
    "dock": "docks", "mobile-home": "mobile homes", "ship": "ships", "tanks": "tanks",
    "trees": "trees",
}  # fmt: skip
VEHICLES = ("Car", "OtherVehicle")
ASK_LAND = ("What is the land cover?", "What land use is shown?", "What kind of land is this?",
            "Which land cover class is this?")  # fmt: skip
ASK_PLACE = ("What scene is this?", "What kind of place is shown?", "Which scene class is this?")
ASK_VEHICLE = ("What vehicle is this?", "Which vehicle model is shown?", "Identify the vehicle.")
ASK_OBJECT = ("Are there {} in the image?", "Can you see {}?", "Are any {} visible?")
ASK_WATER = ("Is there water in the image?", "Is any water visible?", "Is the area flooded?")
ASK_COUNT = ("How many vehicles are there?", "How many vehicles are in the image?",
             "Count the vehicles.")  # fmt: skip
ASK_DAY = ("Is it day or night?", "Was this taken by day or at night?")
CLEAR_SHARE = 0.1
ASK_CHANGE = ("Has anything changed between the two images?", "Did the area change?",
              "Is there a change between the two dates?")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tile:
    """A chip in its mosaic: window x, y, w, h in pixels of the scene."""

    scene: str
    sample: str
    window: tuple[int, int, int, int]
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """type: class, count, presence (yes or no on objects and water) or yesno (other yes or no)."""

    tile: Tile
    prompt: str
    answer: str
    type: str


def draw(tiles: dict[str, list[Tile]], rng: random.Random) -> list[Question]:
    """Questions for the mosaics, in a mixed order.

    Args:
        tiles: by scene name.
        rng: seeded; the draw never sees a model.
    """
    out: list[Question] = []
    out += _classes(tiles["land_s2_rgb"], 8, ASK_LAND, LAND.__getitem__, rng)
    out += _classes(tiles["land_s2_13band"], 8, ASK_LAND, LAND.__getitem__, rng)
    out += _classes(tiles["places_rgb"], 6, ASK_PLACE, PLACES.__getitem__, rng)
    out += _classes(tiles["vehicles_xband"], 6, ASK_VEHICLE, str.lower, rng)
    out += _objects(tiles["objects_rgb"], 6, rng)
    out += _yes_no(tiles["segura_flood_s1"], 6, ASK_WATER, ("water_fraction", "presence"), rng)
    out += _yes_no(tiles["changes_rgb"], 6, ASK_CHANGE, ("changed_fraction", "yesno"), rng)
    out += _thermal(tiles["streets_thermal"], rng)
    rng.shuffle(out)
    return out


def _classes(
    tiles: list[Tile], count: int, prompts: tuple[str, ...], name: Callable[[str], str],
    rng: random.Random,
) -> list[Question]:  # fmt: skip
    by_label: dict[str, list[Tile]] = defaultdict(list)
    for tile in tiles:
        by_label[tile.facts["label"]].append(tile)
    labels = rng.sample(sorted(by_label), count)
    return [Question(rng.choice(by_label[label]), rng.choice(prompts), name(label), "class")
            for label in labels]  # fmt: skip


def _yes_no(
    tiles: list[Tile], count: int, prompts: tuple[str, ...], field_and_kind: tuple[str, str],
    rng: random.Random,
) -> list[Question]:  # fmt: skip
    """Pairs of the same wording: one on a tile with a large share of the mask, one without."""
    field, kind = field_and_kind
    shown = [t for t in tiles if t.facts[field] >= CLEAR_SHARE]
    absent = [t for t in tiles if t.facts[field] < 0.001]
    pairs = zip(rng.sample(shown, count // 2), rng.sample(absent, count // 2), strict=True)
    out: list[Question] = []
    for yes, no in pairs:
        prompt = rng.choice(prompts)
        out += [Question(yes, prompt, "yes", kind), Question(no, prompt, "no", kind)]
    return out


def _objects(tiles: list[Tile], count: int, rng: random.Random) -> list[Question]:
    """Each object asked of one tile that has it and of one that has not, no tile twice."""
    names = sorted(OBJECTS)
    rng.shuffle(names)
    out: list[Question] = []
    free = list(tiles)
    for name in names:
        shown = [t for t in free if name in t.facts["objects"]]
        absent = [t for t in free if name not in t.facts["objects"]]
        if shown and absent and len(out) < count:
            prompt = rng.choice(ASK_OBJECT).format(OBJECTS[name])
            for tile, answer in ((rng.choice(shown), "yes"), (rng.choice(absent), "no")):
                free.remove(tile)
                out.append(Question(tile, prompt, answer, "presence"))
    if len(out) != count:
        raise ValueError(f"{len(out)} object questions, wanted {count}")
    return out


def _thermal(tiles: list[Tile], rng: random.Random) -> list[Question]:
    """Four counts that differ, and day or night, one each."""
    by_count: dict[int, list[Tile]] = defaultdict(list)
    for tile in tiles:
        number = sum(label in VEHICLES for label in tile.facts["box_labels"])
        if 1 <= number <= 9:
            by_count[number].append(tile)
    out = [Question(rng.choice(by_count[n]), rng.choice(ASK_COUNT), str(n), "count")
           for n in rng.sample(sorted(by_count), 4)]  # fmt: skip
    used = {q.tile.sample for q in out}
    for light in ("day", "night"):
        free = [t for t in tiles if t.facts["day_night"] == light and t.sample not in used]
        out.append(Question(rng.choice(free), rng.choice(ASK_DAY), light, "class"))
    return out
