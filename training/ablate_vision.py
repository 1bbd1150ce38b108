"""One short training of the vision network with one mechanism switched, and its scores on val."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from eo_nodes.lvlm.spectrum import parse_bands
from training import schedule
from training.instruct.sources import Library
from training.vision import merge
from training.vision.batches import BatchSource, Crop, all_texts, input_size
from training.vision.composites import CompositeSource, FixedStem
from training.vision.curriculum import TwoStages
from training.vision.distil import Distillation
from training.vision.fit import fit
from training.vision.lite import pretrained_trunk
from training.vision.network import VisionConfig, VisionNetwork
from training.vision.plan import BOX_KINDS, DENSE, KINDS, PLAN
from training.vision.sentences import TextTable
from training.vision.targets import Vocabulary, labelled_kinds
from training.vision.validate import PEAK, matched, proposals, validate

_PARTS = 1000              # resolution of a schedule that runs by time
_OVERLAP = 0.12            # of a zoom window beyond its quarter, on each inner side


@dataclass(frozen=True, slots=True)
class Arm:
    """What differs from the common configuration: teachers to distil from; whether the trunk starts
    from ImageNet; composites instead of any-band kernels; cells of the deepest map only; optical
    sets first; specialists merged."""

    teachers: tuple = ()
    is_pretrained: bool = True
    is_composite: bool = False
    is_top_only: bool = False
    is_staged: bool = False
    is_merged: bool = False


ARMS = {
    "full": Arm(),
    "maka": Arm(teachers=("lite2", "vit", "galileo", "sar2sar", "minilm")),
    "galileo": Arm(teachers=("galileo",)),
    "random": Arm(is_pretrained=False),
    "composites": Arm(is_composite=True),
    "top-cells": Arm(is_top_only=True),
    "pcma": Arm(is_staged=True),
    "merged": Arm(is_merged=True),
}


@dataclass(frozen=True, slots=True)
class Budget:
    """Steps, or minutes where steps is 0."""

    steps: int = 0
    minutes: float = 10.0

    def clock(self, part=1.0):
        """step -> share of this part of the budget that is used up; time starts now."""
        if self.steps:
            return lambda step: step / max(1, round(self.steps * part))
        start, total = time.monotonic(), self.minutes * 60 * part
        return lambda step: (time.monotonic() - start) / total


class TopOnly(VisionNetwork):
    """Its cells hold the map at stride 32 alone; the channels of the other depths are zero."""

    def forward(self, x, band_codes):
        found = super().forward(x, band_codes)
        cells = found["cells"].clone()
        cells[..., self.top_dim:] = 0
        return found | {"cells": cells}


class World:
    """The data of all runs, read once.

    backbone: of the compact model unless a test wants less; texts: file of the sentence vectors.
    """

    def __init__(self, data, sets, texts, backbone="lite0", larger=1.0):
        self.data, self.sets, self.backbone, self.larger = Path(data), sets, backbone, larger
        self.library = Library(self.data)
        self.vocabulary = Vocabulary(self.library)
        self.texts = TextTable(all_texts(self.library), texts)
        self.config = VisionConfig(backbone, KINDS, self.vocabulary.heads)

    def source(self, seed, sets=None, kind=BatchSource):
        return kind(self.library, self.vocabulary, self.texts, seed, self.larger,
                    sets or self.sets)

    def restored(self, path):
        """Network of a checkpoint of `train`."""
        state = schedule.restore(path)
        network = VisionNetwork(VisionConfig(**state["config"]), pretrained=False)
        network.load_state_dict(state["network"])
        return network.eval()


def restart(backbone, seed=0):
    """Random weights whose activations keep their size (He 2015): the trunk has no norms, and
    torch's default would let them vanish."""
    torch.manual_seed(seed)
    for block in backbone.blocks:
        for conv in (block.expand, block.depthwise, block.project):
            if conv is not None:
                kind = "relu" if conv.act else "linear"
                nn.init.kaiming_normal_(conv.conv.weight, nonlinearity=kind)
                nn.init.zeros_(conv.conv.bias)
    first = nn.Conv2d(3, backbone.stem.width, 3, 2)
    nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
    nn.init.zeros_(first.bias)
    backbone.stem.start_from(first, seed)


def network_of(arm, world, seed):
    """The arm's network before training."""
    torch.manual_seed(seed)
    has_weights = world.backbone != "tiny"
    kind = TopOnly if arm.is_top_only else VisionNetwork
    network = kind(world.config, pretrained=has_weights and arm.is_pretrained)
    if not (has_weights and arm.is_pretrained):
        restart(network.backbone, seed)
    if arm.is_composite:
        stem = pretrained_trunk(world.backbone).stem.conv if has_weights else nn.Conv2d(
            3, network.backbone.stem.width, 3, 2)
        network.backbone.stem = FixedStem(stem)
    return network


def train(arm, world, seed, budget, device="cpu", checkpoint=None, workers=0):
    """Returns ({score: value} on val, {fact: value} of the run)."""
    network = network_of(arm, world, seed)
    source = world.source(seed, kind=CompositeSource if arm.is_composite else BatchSource)
    distil = None
    if arm.teachers:
        distil = Distillation.of(arm.teachers, world.data, network).to(device)
    clock = budget.clock(0.5 if arm.is_merged else 1.0)
    if arm.is_staged:
        stages = TwoStages(source.names, source.odds, _PARTS)
        source.odds_at = lambda step: stages(int(_PARTS * clock(step)))
    steps = fit(network, source, clock, device, distil, workers=workers)
    facts = {"steps": steps}
    if arm.is_merged:
        each = max(1, steps // len(merge.groups_of(source.names)))
        taken = merge.merge(network, lambda sets: world.source(seed + 1, sets), source.names,
                            world.vocabulary, source, each, device, workers)
        facts |= {"specialist_steps": each, "shares": {t.name: t.share for t in taken}}
    network.eval()
    if checkpoint is not None:
        schedule.save(checkpoint, {
            "network": network.state_dict(), "steps": steps, "spent_s": 0.0,
            "config": network.config.to_dict(), "names": world.vocabulary.names()})
    return validate(network, world.vocabulary, source, device), facts


def windows(width, height):
    """Four overlapping windows (x, y, w, h) of a picture, each with its quarter (x0, y0, x1, y1).

    The quarters tile the picture: an object belongs to the window whose quarter holds its centre.
    """
    out = []
    for row in (0, 1):
        for col in (0, 1):
            quarter = (col * width / 2, row * height / 2, (col + 1) * width / 2,
                       (row + 1) * height / 2)
            w, h = (round(side * (0.5 + _OVERLAP)) for side in (width, height))
            out.append(((col * (width - w), row * (height - h), w, h), quarter))
    return out


@torch.no_grad()
def zoomed(network, world, source, device="cpu", most=300):
    """Box scores of `validate` with every picture looked at in four windows, each at the size of
    the overview."""
    network.to(device).eval()
    report = {}
    for name in source.names:
        samples = world.library.samples(name, "val")[:most] if name in DENSE else []
        tp = fp = fn = 0
        errors = []
        for s in samples:
            found = _zoom_boxes(network, world, source, s, device)
            for k, kind in enumerate(KINDS):
                if not labelled_kinds(s)[k]:
                    continue
                want = np.array([(x, y, x + w, y + h) for (x, y, w, h), label in zip(
                    s.facts["boxes"], s.facts["box_labels"], strict=True)
                    if BOX_KINDS.get(label) == kind]).reshape(-1, 4)
                got = np.array([b for c, b, _ in found if c == k]).reshape(-1, 4)
                right = matched(got, want)
                tp, fp, fn = tp + right, fp + len(got) - right, fn + len(want) - right
                errors.append(abs(len(got) - len(want)))
        if errors:
            report[f"{name}.f1"] = round(200 * tp / max(2 * tp + fp + fn, 1), 1)
            report[f"{name}.count_mae"] = round(float(np.mean(errors)), 2)
    return report


def _zoom_boxes(network, world, source, s, device):
    """[(kind, box x1 y1 x2 y2 in picture pixels, score)], best first."""
    values = world.library.pixels(s)
    values = values.astype(np.float32) if values.dtype == np.float16 else values
    bands = parse_bands(s.bands)
    picture = source.levels(values, bands).transpose(1, 2, 0)
    height, width = picture.shape[:2]
    out = []
    for window, (qx0, qy0, qx1, qy1) in windows(width, height):
        x0, y0, w, h = window
        size = input_size(h, w, PLAN[s.set_name].px * source.larger)
        x = torch.from_numpy(Crop(window, size, 0).image(picture).transpose(2, 0, 1)[None].copy())
        seen = network(x.to(device), source.codes(bands).to(device))
        scores, kinds, boxes = (v[0].cpu().numpy() for v in proposals(seen["heat"], seen["shape"]))
        scale = np.array([w / size[1], h / size[0]] * 2)
        for score, kind, box in zip(scores, kinds, boxes * scale + [x0, y0, x0, y0], strict=True):
            cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            if score > PEAK and qx0 <= cx < qx1 and qy0 <= cy < qy1:
                out.append((int(kind), box, float(score)))
    return sorted(out, key=lambda f: -f[2])
