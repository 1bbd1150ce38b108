"""Numbers to learn from a sample's labels: classes, words, heat maps, masks, texts."""

from collections import Counter

import numpy as np

from training.instruct.nouns import CLASS_NAMES
from training.vision.plan import AIRPORTS, BOX_KINDS, KINDS, LABELLED, PLAN

WORDS = 300
COUNT_TOP = 5.0


def words_of(caption):
    return set(caption.strip(".").lower().replace(",", " ").split())


class Vocabulary:
    """Order of the outputs of each head, from the training samples: sorted, so the same always."""

    def __init__(self, library):
        groups, words, objects = {}, Counter(), set()
        for name, plan in PLAN.items():
            for s in training_samples(library, name):
                if plan.group:
                    groups.setdefault(plan.group, set()).add(s.facts["label"])
                for caption in s.facts.get("captions", []):
                    words.update(words_of(caption))
                objects.update(s.facts.get("objects", []))
        self.classes = {g: sorted(v) for g, v in sorted(groups.items())}
        self.words = sorted(words, key=lambda w: (-words[w], w))[:WORDS]
        self.objects = sorted(objects)

    def follow(self, names):
        """Take the order of outputs that a checkpoint was trained with (its ``names``).

        Raises:
            ValueError: it knows others.
        """
        own = self.names()
        if {k: sorted(v) for k, v in names.items()} != {k: sorted(v) for k, v in own.items()}:
            raise ValueError("the checkpoint's heads are of other sets or samples")
        self.classes = {g: list(names[f"class_{g}"]) for g in self.classes}
        self.words, self.objects = list(names["label_words"]), list(names["label_objects"])

    @property
    def heads(self):
        """(name, outputs) pairs as `VisionConfig.heads` wants them."""
        labels = {"label_words": len(self.words), "label_objects": len(self.objects),
                  "label_day": 1, "label_water": 1, "label_changed": 1}
        return tuple((f"class_{g}", len(v)) for g, v in self.classes.items()) + tuple(
            labels.items())

    def names(self):
        """{head: [name of each output]}."""
        return {f"class_{g}": v for g, v in self.classes.items()} | {
            "label_words": self.words, "label_objects": self.objects, "label_day": ["day"],
            "label_water": ["water"], "label_changed": ["change"]}

    def labels(self, s):
        """(head, 0/1 vector) of a sample's labels, or None."""
        if s.set_name == "aid_rsicd":
            have = set().union(*map(words_of, s.facts["captions"]))
            return "label_words", [float(w in have) for w in self.words]
        if s.set_name == "ucm_multilabel":
            return "label_objects", [float(o in s.facts["objects"]) for o in self.objects]
        if s.set_name == "hit_uav":
            return "label_day", [float(s.facts["day_night"] == "day")]
        return None


def training_samples(library, name):
    """What a set may teach: train (and extra), without the share held for routing."""
    if name not in library.names:
        return []
    out = library.samples(name, "train", held=False)
    return out + library.samples(name, "extra", held=False)


def class_name(s):
    """The class in words, as a prompt would say it."""
    names = CLASS_NAMES.get(s.set_name, {})
    return names.get(s.facts["label"], str(s.facts["label"]).lower())


def labelled_kinds(s):
    """(K,) float32: 1 for kinds that are labelled wherever they appear in this sample."""
    kinds = AIRPORTS if s.facts.get("source") == "hrplanes" else LABELLED[s.set_name]
    return np.array([k in kinds for k in KINDS], np.float32)


def heat_targets(boxes, labels, height, width):
    """Heat maps, sizes and mask of the kinds that count, at stride 4.

    Args:
        boxes: (n, 4) x, y, w, h in pixels of the input; labels: their names.
        height, width: of the input, multiples of 32.
    Returns:
        heat (K, h, w) in [0, 1]; shape (4, h, w): offsets of the centre within its place and
        logarithm of the size in strides; at (h, w): 1 where a centre lies.
    """
    h, w = height // 4, width // 4
    heat = np.zeros((len(KINDS), h, w), np.float32)
    shape, at = np.zeros((4, h, w), np.float32), np.zeros((h, w), np.float32)
    yy, xx = np.mgrid[:h, :w]
    for (x, y, bw, bh), label in zip(boxes, labels, strict=True):
        kind = BOX_KINDS.get(label)
        if kind is None:
            continue
        cx, cy = (x + bw / 2) / 4, (y + bh / 2) / 4
        if not (0 <= cx < w and 0 <= cy < h):
            continue
        c, r = int(cx), int(cy)
        # A radius that keeps the overlap of a shifted box high: a share of its sides.
        sx, sy = max(0.6, bw / 4 * 0.14), max(0.6, bh / 4 * 0.14)
        bump = np.exp(-((xx - c) ** 2 / (2 * sx**2) + (yy - r) ** 2 / (2 * sy**2)))
        np.maximum(heat[KINDS.index(kind)], bump, out=heat[KINDS.index(kind)])
        shape[:, r, c] = (cx - c - 0.5, cy - r - 0.5, np.log(max(bw, 1) / 4),
                          np.log(max(bh, 1) / 4))
        at[r, c] = 1
    return heat, shape, at


def cell_counts(boxes, labels, height, width):
    """(H/32, W/32, K) logarithm of one plus the objects centred in each cell."""
    out = np.zeros((height // 32, width // 32, len(KINDS)), np.float32)
    for (x, y, bw, bh), label in zip(boxes, labels, strict=True):
        kind = BOX_KINDS.get(label)
        r, c = int((y + bh / 2) // 32), int((x + bw / 2) // 32)
        if kind is not None and 0 <= r < out.shape[0] and 0 <= c < out.shape[1]:
            out[r, c, KINDS.index(kind)] += 1
    return np.log1p(out)
