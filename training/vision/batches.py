"""Batches of the vision stage: one set each, so one set of bands; a pure function of the step."""

import cv2
import numpy as np
import torch

from eo_nodes.lvlm.spectrum import codes, normalise, parse_bands
from training.instruct.nouns import PINES, UCM_COVERS, UCM_THINGS
from training.instruct.sources import SETS
from training.vision.plan import (
    AS_THERMAL,
    CALIBRATED,
    DENSE,
    GREY,
    HELD_BANDS,
    INVERTED,
    KINDS,
    PLAN,
    SMALLER,
)
from training.vision.targets import (
    cell_counts,
    class_name,
    heat_targets,
    labelled_kinds,
    training_samples,
)

CELL = 32
KIND_TEXTS = {"aircraft": "airplanes", "vehicle": "cars and trucks", "ship": "ships",
              "person": "people", "tree": "trees", "bicycle": "bicycles"}
WATER, CHANGE = "water", "what changed"
WORLD_NAME = "world"
_IGNORED = 255


def sentence(sample):
    """The class as a sentence for the language space."""
    return f"a satellite image of {class_name(sample)}"


def all_texts(library):
    """Every text a batch may hold."""
    texts = [WATER, CHANGE, *KIND_TEXTS.values(), *PINES.values(), *UCM_COVERS.values()]
    texts += [plural for _, plural in UCM_THINGS.values()]
    for name, plan in PLAN.items():
        for s in training_samples(library, name) + (
                library.samples(name, "val") if name in library.names else []):
            if plan.group:
                texts.append(sentence(s))
            texts += s.facts.get("captions", [])
    return texts


def input_size(height, width, px):
    """Whole cells for a picture whose longest side becomes about px."""
    scale = px / max(height, width)
    return tuple(max(1, round(side * scale / CELL)) * CELL for side in (height, width))


class Crop:
    """One geometric change, the same for pixels, masks and boxes: window, size, turns.

    Maps the window (x, y, w, h) of a picture to (H, W) px, then turns it (0..7, see
    `training.instruct.records.ImageRef.turn`).
    """

    def __init__(self, window, size, turn):
        self.window, self.size, self.turn = window, size, turn

    def image(self, a, nearest=False):
        x, y, w, h = self.window
        height, width = self.size if self.turn % 2 == 0 else self.size[::-1]
        part = a[y:y + h, x:x + w]
        shrinks = h > height or w > width
        mode = cv2.INTER_NEAREST if nearest else (
            cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        flat = part.reshape(h, w, -1)
        # cv2 resizes at most four channels at once.
        done = [cv2.resize(np.ascontiguousarray(flat[..., i:i + 4]), (width, height),
                           interpolation=mode).reshape(height, width, -1)
                for i in range(0, flat.shape[2], 4)]
        out = np.rot90(np.concatenate(done, -1), self.turn % 4)
        if self.turn >= 4:
            out = out[:, ::-1]
        return np.ascontiguousarray(out if a.ndim == 3 else out[..., 0])

    def boxes(self, boxes):
        """[(x, y, w, h)] in picture pixels -> the same in input pixels, not clipped."""
        x0, y0, w, h = self.window
        height, width = self.size if self.turn % 2 == 0 else self.size[::-1]
        out = []
        for x, y, bw, bh in boxes:
            x, bw = (x - x0) * width / w, bw * width / w
            y, bh = (y - y0) * height / h, bh * height / h
            a, b = width, height
            for _ in range(self.turn % 4):        # a quarter turn counter-clockwise
                x, y, bw, bh, a, b = y, a - x - bw, bh, bw, b, a
            out.append((a - x - bw if self.turn >= 4 else x, y, bw, bh))
        return out


def draw_crop(rng, height, width, px, zoom, turns):
    """A random window at a random scale, its output near px on the longest side."""
    scale = np.exp(rng.uniform(*np.log(zoom)))
    size = input_size(height, width, px)
    w, h = (max(8, min(side, round(side / max(scale, 1)))) for side in (width, height))
    x, y = rng.integers(width - w + 1), rng.integers(height - h + 1)
    if scale < 1:                                  # smaller than usual
        size = input_size(height, width, px * scale)
    return (int(x), int(y), w, h), size, int(rng.choice(turns))


class BatchSource:
    """`batch(step)` -> dict of tensors; the same step, the same batch.

    library: `training.instruct.sources.Library`; vocabulary: `targets.Vocabulary`; texts: a
    `sentences.TextTable`; larger: factor on every set's px (the regular model's inputs are
    larger); plan: another than `plan.PLAN`; world: a `made.MadeScenes` whose batches join those of
    the sets, None for none; odds_at: step -> odds of the sets in the order of `names`, where they
    are to change (`curriculum`).
    """

    drops_bands = True         # whether training batches may go with a subset of their bands

    def __init__(self, library, vocabulary, texts, seed=0, larger=1.0, sets=None, small_until=0,
                 world=None, plan=None):
        self.plan = plan or PLAN
        self.odds_at, self.small_until = None, small_until
        self.library, self.vocabulary, self.texts = library, vocabulary, texts
        self.seed, self.larger = seed, larger
        self.samples = {n: training_samples(library, n) for n in self.plan
                        if sets is None or n in sets}
        self.samples = {n: v for n, v in self.samples.items() if v}
        self.names, shares = list(self.samples), [self.plan[n].share for n in self.samples]
        self.world = world
        if world is not None:
            self.names, shares = [*self.names, WORLD_NAME], [*shares, world.share]
        self.odds = np.array(shares, float) / np.sum(shares)

    def batch(self, step, name=None):
        rng = np.random.default_rng([self.seed, step])
        odds = self.odds if self.odds_at is None else self.odds_at(step)
        name = name or str(rng.choice(self.names, p=odds))
        if name == WORLD_NAME:
            return self.world.batch(step)
        plan, pool = self.plan[name], self.samples[name]
        picked = [pool[i] for i in rng.choice(len(pool), min(plan.batch, len(pool)), False)]
        is_small = step < self.small_until and plan.group
        return self.make(name, picked, rng, training=True, scale=SMALLER if is_small else 1.0)

    def make(self, name, samples, rng, training, scale=1.0):
        """Tensors of these samples of one set; scale: of the size they are fed at."""
        plan = self.plan[name]
        first = samples[0]
        height, width = self.library.pixels(first).shape[:2]
        px = plan.px * self.larger * scale
        turns = SETS[name].turns if training else (0,)
        zoom = plan.zoom if training else (1.0, 1.0)
        _, size, turn = draw_crop(rng, height, width, px, zoom, turns)
        crops = []
        for s in samples:
            h, w = self.library.pixels(s).shape[:2]
            nearer = np.exp(rng.uniform(*np.log(zoom)))
            ww, hh = (max(8, min(v, round(v / max(nearer, 1)))) for v in (w, h))
            if training and nearer <= 1 and name in ("aid_rsicd", "eurosat_rgb", "mstar"):
                share = rng.uniform(0.82, 1)
                ww, hh = int(w * share), int(h * share)
            x, y = rng.integers(w - ww + 1), rng.integers(h - hh + 1)
            own = turn if height != width else int(rng.choice(turns))
            crops.append(Crop((int(x), int(y), ww, hh), size, own))
        out = {"name": name, "samples": [s.key for s in samples]}
        members = ["image", "image2"] if "image2" in first.facts else ["image"]
        for member in members:
            self._pixels(out, samples, crops, member, rng, training)
        self._labels(out, name, samples)
        if name in DENSE:
            self._dense(out, samples, crops)
        self._masks(out, name, samples, crops)
        return out

    def _pixels(self, out, samples, crops, member, rng, training):
        names = samples[0].bands2 if member == "image2" else samples[0].bands
        if any((s.bands2 if member == "image2" else s.bands) != names for s in samples):
            names = ("amplitude",)                 # mixed pairs: all as one band
        as_thermal = training and self.drops_bands and samples[0].set_name in AS_THERMAL and (
            rng.random() < GREY)
        if as_thermal:
            names = ("thermal",)
        is_thermal = names == ("thermal",)
        keep = np.arange(len(names))
        if training and self.drops_bands and len(names) > 3 and (
                rng.random() < HELD_BANDS + (len(names) > 50)):
            few = rng.integers(3, min(len(names), 48) + 1)
            keep = rng.permutation(len(names))[:few]
        bands = parse_bands([names[i] for i in keep])
        stack = []
        for s, crop in zip(samples, crops, strict=True):
            a = self.library.pixels(s, member)
            if a.shape[2] != len(names):
                a = a.mean(2, keepdims=True).astype(a.dtype)
            a = a[..., keep]
            a = a.astype(np.float32) if a.dtype == np.float16 else a
            x = crop.image(self.levels(a, bands).transpose(1, 2, 0)).transpose(2, 0, 1)
            if training and samples[0].set_name not in CALIBRATED:
                gain, shift = rng.uniform(0.82, 1.2), rng.uniform(-0.12, 0.12)
                if is_thermal:                     # by day and season things glow or are cold
                    gain, shift = gain**2 * (-1 if rng.random() < INVERTED else 1), 2 * shift
                x = x * gain + shift
                if samples[0].set_name in ("mstar", "sar_ships", "opensarship"):
                    x = x + rng.normal(0, rng.uniform(0, 0.06), x.shape)
            stack.append(x)
        key = "" if member == "image" else "2"
        out["x" + key] = torch.from_numpy(np.stack(stack).astype(np.float32))
        out["codes" + key] = self.codes(bands)
        out["bands" + key] = [b.name for b in bands]

    def levels(self, values, bands):
        """Native values (H, W, C) -> what the network is fed (C', H, W)."""
        return normalise(values, bands)

    def codes(self, bands):
        """(C', CODE_SIZE) of what `levels` gives."""
        return torch.from_numpy(codes(bands))

    def _labels(self, out, name, samples):
        group = self.plan[name].group
        if group:
            classes = self.vocabulary.classes[group]
            out["class"] = torch.tensor([classes.index(s.facts["label"]) for s in samples])
        labels = [self.vocabulary.labels(s) for s in samples]
        if labels[0] is not None:
            out["label_head"], out["labels"] = labels[0][0], torch.tensor([v for _, v in labels])
        rng = np.random.default_rng(len(samples) + sum(map(len, out["samples"])))
        said = [rng.choice(s.facts["captions"]) if s.facts.get("captions") and rng.random() < 0.6
                else sentence(s) for s in samples] if group else []
        if said:
            ids = {t: i for i, t in enumerate(dict.fromkeys(said))}
            out["text"] = torch.from_numpy(self.texts(list(ids)))
            out["text_of"] = torch.tensor([ids[t] for t in said])
            # Two captions of one class are no clear negatives of each other.
            same = torch.tensor([[a.facts["label"] == b.facts["label"] for b in samples]
                                 for a in samples])
            out["same_class"] = same

    def _dense(self, out, samples, crops):
        parts, counts = [], []
        for s, crop in zip(samples, crops, strict=True):
            boxes, labels = crop.boxes(s.facts["boxes"]), s.facts["box_labels"]
            parts.append(heat_targets(boxes, labels, *crop.size))
            counts.append(cell_counts(boxes, labels, *crop.size))
        for key, values in zip(("heat", "shape", "at"), zip(*parts, strict=True), strict=True):
            out[key] = torch.from_numpy(np.stack(values))
        out["known"] = torch.from_numpy(np.stack([labelled_kinds(s) for s in samples]))
        out["counts"] = torch.from_numpy(np.stack(counts))
        # Boxes filled with their ellipse: a coarse mask for the text of the kind.
        out["mask_text"] = torch.from_numpy(self.texts([KIND_TEXTS[k] for k in KINDS]))
        out["mask"] = (out["heat"] > 0.35).float()
        out["mask_known"] = out["known"][:, :, None, None].expand_as(out["mask"]).clone()

    def _masks(self, out, name, samples, crops):
        if name not in ("flood_s1", "change_pairs", "indian_pines"):
            return
        masks = np.stack([c.image(self.library.mask(s), nearest=True)[2::4, 2::4]
                          for s, c in zip(samples, crops, strict=True)])
        if name == "indian_pines":
            classes = self.library.meta(name)["classes"][1:]
            present = [i for i in range(len(classes)) if (masks == i + 1).any()]
            out["mask"] = torch.from_numpy(
                np.stack([masks == i + 1 for i in present], 1).astype(np.float32))
            known = np.repeat((masks > 0)[:, None], len(present), 1)
            texts = [PINES[classes[i]] for i in present]
        else:
            positive = 1 if name == "flood_s1" else 255
            out["mask"] = torch.from_numpy((masks == positive)[:, None].astype(np.float32))
            known = ((masks != _IGNORED) if name == "flood_s1" else masks >= 0)[:, None]
            texts = [WATER if name == "flood_s1" else CHANGE]
            out["label_head"] = "label_water" if name == "flood_s1" else "label_changed"
            yes = "water" if name == "flood_s1" else "changed"
            out["labels"] = torch.tensor([[float(s.facts["label"] == yes)] for s in samples])
        out["mask_known"] = torch.from_numpy(known.astype(np.float32))
        out["mask_text"] = torch.from_numpy(self.texts(texts))
