"""Batches of the procedural world for the vision stage: one sensor each, a pure function of the
step. Training scenes only, without the share held for routing; val scenes for choices."""

import numpy as np
import torch

from eo_nodes.lvlm.spectrum import codes, normalise, parse_bands
from training.instruct.nouns import NOUNS
from training.instruct.sources import is_held_for_routing
from training.instruct.world.asking import COVERS, SCENE_NAMES, SET
from training.instruct.world.dates import SEES
from training.instruct.world.materials import INDEX, MATERIALS
from training.instruct.world.scene import SIZE, TIMES, event_of, scene_at
from training.instruct.world.sensors import drawn, render, sensor_of
from training.instruct.world.stream import NUMBERS
from training.vision.batches import CHANGE, KIND_TEXTS, Crop, draw_crop
from training.vision.plan import BOX_KINDS, HELD_BANDS, KINDS, WORLD
from training.vision.targets import cell_counts, heat_targets

CHANGES = 0.2              # share of the batches that are pairs of dates
EPISODES = {"still": 0.55, "change": 0.2, "series": 0.15, "video": 0.1}    # of single dates
# Odds of the sensors; "any" is a list of wavelengths drawn anew each time.
SENSORS = {"rgb": 5, "pan": 1, "four": 2, "six": 1, "seven": 1, "s2": 2, "any": 2, "hyper": 1,
           "sar": 3, "sar_hh": 1, "thermal": 2, "thermal_k": 2}
PAIR_SENSORS = ("rgb", "rgb", "pan", "six", "s2", "sar")
VAL_SENSORS, VAL_PAIRS = ("rgb", "s2", "sar", "thermal_k"), ("rgb", "sar")
VAL_SCENES = 16            # a sensor
COARSE_PX = 128            # of sensors whose pixels are several of the scene's
# No person and no bicycle stands in the world: where its objects are known, so is their absence.
# Its forests hold trees without boxes.
KNOWN = ("aircraft", "vehicle", "ship", "person", "bicycle")
RADAR_COVERS = ("water", "forest")        # those that radar alone tells
LEAST_AREA = {True: 0.35, False: 0.5}     # of a mask's place; objects are small
CLEAR, OVERCAST = 0.1, 0.5                # opacity of clouds up to which the ground is known
DAY = "label_day"
CLOUDS = "clouds"

_COVER_TEXTS = {
    "water": "open water", "forest": "woods", "grass": "grassland", "sand": "sandy ground",
    "bare soil": "bare ground", "winter crop": "fields of winter crop",
    "summer crop": "fields of summer crop", "orchard": "orchards", "pavement": "asphalt",
    "concrete": "concrete ground", "burnt ground": "burnt land"}
THINGS = {"aircraft": "aircraft", "vehicle": "vehicle", "ship": "ship", "tank": "tank",
          "building": "building"}         # layer -> noun


def _wordings():
    """{layer: its wordings}; the first is what other sets call it."""
    out = {c: (c, _COVER_TEXTS[c]) for c in COVERS} | {CLOUDS: (CLOUDS,)}
    for layer, noun in THINGS.items():
        usual = KIND_TEXTS.get(layer)
        plurals = [p for _, p in NOUNS[noun] if p != usual]
        out[layer] = (usual, *plurals) if usual else tuple(plurals)
    return out


WORDINGS = _wordings()


def scene_text(kind):
    """A kind of scene as a sentence for the language space."""
    return f"a satellite image of {SCENE_NAMES[kind]}"


def made_texts():
    """Every text that a batch of the world may hold."""
    return [CHANGE, *(t for texts in WORDINGS.values() for t in texts),
            *map(scene_text, SCENE_NAMES)]


def layer_of(kind):
    """Layer of an object's kind: cars and trucks are one."""
    return BOX_KINDS.get(kind, kind)


class MadeScenes:
    """`batch(step)` -> dict of tensors as `batches.BatchSource` makes them of labelled sets.

    texts: a `sentences.TextTable` that knows `made_texts()`; larger: factor on the size, as there;
    share: of all batches, relative to the shares of the sets.

    A batch is either of single dates (heat, shape, at, known, counts; masks of land cover, clouds
    and objects; text of the kind of scene; day or night for calibrated thermal) or of pairs of
    dates ("is_change": True), whose mask is what changed for a lasting reason.
    """

    def __init__(self, texts, seed=0, larger=1.0, share=WORLD.share):
        self.texts, self.seed, self.larger, self.share = texts, seed, larger, share

    def batch(self, step, sensor=None, is_change=None):
        """The batch of a step; sensor and is_change instead of drawn ones."""
        rng = np.random.default_rng([self.seed, step, len(SET)])
        drawn_change = rng.random() < CHANGES
        is_change = drawn_change if is_change is None else is_change
        sensor = sensor or draw_sensor(rng, is_change)
        shots = [draw_shot(rng, sensor, is_change) for _ in range(WORLD.batch)]
        return self.make(shots, sensor, rng, is_change)

    def val_batches(self):
        """The same batches of val scenes always, whole and as they are: one a sensor of
        `VAL_SENSORS`, then a pair of dates a sensor of `VAL_PAIRS`."""
        for sensors, is_change in ((VAL_SENSORS, False), (VAL_PAIRS, True)):
            for number, sensor in enumerate(sensors):
                rng = np.random.default_rng([number, is_change])
                shots = [draw_shot(rng, sensor, is_change, "val") for _ in range(VAL_SCENES)]
                yield self.make(shots, sensor, rng, is_change, training=False)

    def make(self, shots, sensor, rng, is_change=False, training=True):
        """Tensors of these (key, time) seen by one sensor; pairs are of times 0 and 1."""
        crops = self._crops(len(shots), sensor_of(sensor).coarse, rng, training)
        out = {"name": SET, "samples": [f"{SET}/{key}" for key, _ in shots], "sensor": sensor}
        if is_change:
            keep = None
            for member, time in (("", 0), ("2", 1)):
                keep = _pixels(out, member, [(key, time) for key, _ in shots], crops, sensor, rng,
                               training, keep)
            out["is_change"] = True
            self._change(out, shots, crops)
            return out
        _pixels(out, "", shots, crops, sensor, rng, training)
        self._scenes(out, shots)
        if sensor_of(sensor).coarse == 1:
            _objects(out, shots, crops, sensor)
        if sensor == "thermal_k":
            out["label_head"] = DAY
            out["labels"] = torch.tensor([[float(scene_at(*s).is_day)] for s in shots])
        self._masks(out, shots, crops, sensor, rng, training)
        return out

    def _crops(self, many, coarse, rng, training):
        px = (COARSE_PX if coarse > 1 else WORLD.px) * self.larger
        zoom = WORLD.zoom if training else (1.0, 1.0)
        _, size, _ = draw_crop(rng, SIZE, SIZE, px, zoom, (0,))
        crops = []
        for _ in range(many):
            nearer = max(1.0, np.exp(rng.uniform(*np.log(zoom))))
            side = int(SIZE / nearer) // coarse * coarse
            x, y = (int(v) // coarse * coarse for v in rng.integers(SIZE - side + 1, size=2))
            turn = int(rng.integers(8)) if training else 0
            crops.append(Crop((x, y, side, side), size, turn))
        return crops

    def _change(self, out, shots, crops):
        masks = []
        for (key, _), crop in zip(shots, crops, strict=True):
            change = scene_at(key, 1).change
            change = np.zeros((SIZE, SIZE), bool) if change is None else change
            masks.append(_quarter(crop, change) >= LEAST_AREA[True])
        out["mask"] = torch.from_numpy(np.stack(masks)[:, None].astype(np.float32))
        out["mask_known"] = torch.ones_like(out["mask"])
        out["mask_text"] = torch.from_numpy(self.texts([CHANGE]))

    def _scenes(self, out, shots):
        kinds = [scene_at(*s).kind for s in shots]
        said = list(dict.fromkeys(kinds))
        out["text"] = torch.from_numpy(self.texts([scene_text(k) for k in said]))
        out["text_of"] = torch.tensor([said.index(k) for k in kinds])
        out["same_class"] = torch.tensor([[a == b for b in kinds] for a in kinds])

    def _masks(self, out, shots, crops, sensor, rng, training):
        layers = layers_of(sensor)
        number = {layer: n + 1 for n, layer in enumerate(layers)}
        covers = np.zeros(len(MATERIALS), np.uint8)
        for name in COVERS:
            for material in COVERS[name]:
                covers[INDEX[material]] = number.get(name, 0)
        masks, known = [], []
        for (key, time), crop in zip(shots, crops, strict=True):
            scene, d = scene_at(key, time), drawn(key, time)
            things = np.array([0, *(number.get(layer_of(i.kind), 0) for i in scene.items)],
                              np.uint8)
            where = np.where(d.number > 0, things[d.number], covers[d.cover])
            parts = [_quarter(crop, where == number[layer]) >= LEAST_AREA[layer in THINGS]
                     for layer in layers]
            clear = np.ones_like(parts[0])
            if CLOUDS in layers and scene.clouds is not None:
                veil = _quarter(crop, scene.clouds)
                clear, parts[layers.index(CLOUDS)] = veil <= CLEAR, veil > OVERCAST
            masks.append(parts)
            known.append([np.ones_like(clear) if layer == CLOUDS else clear for layer in layers])
        masks, known = np.array(masks, np.float32), np.array(known, np.float32)
        for k, kind in enumerate(KINDS):        # where a centre lies, however small the object
            if "heat" in out and kind in layers:
                peaks = out["heat"][:, k].numpy() >= 0.999
                masks[:, layers.index(kind)] = np.maximum(masks[:, layers.index(kind)], peaks)
        # What no picture holds is left out, but for what boxes are about.
        kept = [i for i, layer in enumerate(layers)
                if masks[:, i].any() or layer in THINGS]
        said = [WORDINGS[layers[i]] for i in kept]
        out["mask"], out["mask_known"] = (torch.from_numpy(a[:, kept]) for a in (masks, known))
        out["mask_layers"] = [layers[i] for i in kept]
        out["mask_names"] = [
            texts[rng.integers(len(texts)) if training and rng.random() < 0.5 else 0]
            for texts in said]
        out["mask_text"] = torch.from_numpy(self.texts(out["mask_names"]))


def draw_sensor(rng, is_change):
    """Name of a sensor, as `world.sensors.sensor_of` reads it."""
    if is_change:
        return str(rng.choice(PAIR_SENSORS))
    odds = np.array(list(SENSORS.values()), float)
    name = str(rng.choice(list(SENSORS), p=odds / odds.sum()))
    if name == "any":
        centres = np.sort(rng.choice(np.arange(410, 2450, 5), rng.integers(2, 12), False))
        name = "nm:" + ",".join(map(str, centres))
    return name


def draw_shot(rng, sensor, is_change, split="train"):
    """(key, time) of a scene which the sensor sees."""
    while True:
        episode = "change" if is_change else str(
            rng.choice(list(EPISODES), p=list(EPISODES.values())))
        key = f"{split}-{episode}-{rng.integers(NUMBERS)}"
        time = 0 if is_change else int(rng.integers(TIMES[episode]))
        if split == "train" and is_held_for_routing(f"{SET}/{key}"):
            continue
        if is_change and (event := event_of(key)) and sensor not in SEES[event.kind]:
            continue
        # The world renders thermal pictures without the clouds that would hide all.
        if sensor_of(sensor).modality == "thermal" and scene_at(key, time).clouds is not None:
            continue
        return key, time


def layers_of(sensor):
    """What a sensor's pictures tell apart, as keys of `WORDINGS`, the same order always."""
    s = sensor_of(sensor)
    things = tuple(THINGS) if s.coarse == 1 else ()
    if s.modality == "thermal":
        return things
    return (*RADAR_COVERS, *things) if s.modality == "sar" else (*COVERS, CLOUDS, *things)


def _quarter(crop, layer):
    """(H, W) of a scene -> mean over each place at stride 4 of the crop, 0..1."""
    a = crop.image(layer.astype(np.float32))
    h, w = a.shape
    return a.reshape(h // 4, 4, w // 4, 4).mean((1, 3))


def _pixels(out, member, shots, crops, sensor, rng, training, keep=None):
    """Inputs of one member; returns the bands kept, to keep the same of the other."""
    s = sensor_of(sensor)
    if keep is None:
        keep = np.arange(len(s.bands))
        if training and len(keep) > 3 and rng.random() < HELD_BANDS + (len(keep) > 50):
            keep = rng.permutation(len(keep))[:rng.integers(3, min(len(keep), 48) + 1)]
    bands = parse_bands([s.bands[i] for i in keep])
    stack = []
    for (key, time), crop in zip(shots, crops, strict=True):
        values = np.ascontiguousarray(render(key, sensor, time)[0][..., keep])
        part = Crop(tuple(v // s.coarse for v in crop.window), crop.size, crop.turn)
        x = part.image(normalise(values, bands).transpose(1, 2, 0)).transpose(2, 0, 1)
        if training and s.is_8bit:         # renderings differ by publisher, calibrated values not
            x = x * rng.uniform(0.82, 1.2) + rng.uniform(-0.12, 0.12)
        stack.append(x)
    out["x" + member] = torch.from_numpy(np.stack(stack).astype(np.float32))
    out["codes" + member] = torch.from_numpy(codes(bands))
    out["bands" + member] = [b.name for b in bands]
    return keep


def _objects(out, shots, crops, sensor):
    """Heat maps, shapes and counts; nothing is known of objects below clouds."""
    parts, counts, known = [], [], []
    is_optical = sensor_of(sensor).modality not in ("sar", "thermal")
    for (key, time), crop in zip(shots, crops, strict=True):
        scene = scene_at(key, time)
        items = scene.seen()
        corners = [np.array(i.box(SIZE)) * SIZE for i in items]
        boxes = crop.boxes([(a, b, c - a, d - b) for a, b, c, d in corners])
        labels = [i.kind for i in items]
        parts.append(heat_targets(boxes, labels, *crop.size))
        counts.append(cell_counts(boxes, labels, *crop.size))
        is_hidden = is_optical and scene.clouds is not None
        known.append([float(k in KNOWN and not is_hidden) for k in KINDS])
    for name, values in zip(("heat", "shape", "at"), zip(*parts, strict=True), strict=True):
        out[name] = torch.from_numpy(np.stack(values))
    out["known"] = torch.tensor(known)
    out["counts"] = torch.from_numpy(np.stack(counts))
