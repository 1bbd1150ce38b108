"""What the frozen vision network sees of an image, as the decoder takes it; kept on disk.

A `Seen` of a picture holds its cells, the chances of every head, its meaning in the language space,
counts, proposals, and the pixel map at stride 8 (enough to pool regions; masks are learnt on it).
Where two networks look (`training.vision.dual`), cells and maps of both are kept, each at its size.
"""

import hashlib
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from eo_nodes.lvlm.proposals import Proposals, keep
from eo_nodes.lvlm.sight import input_shape, prepare_pixels
from eo_nodes.lvlm.unified_config import read_unified
from training import schedule
from training.vision.dual import (
    PLAIN,
    UNUSED,
    DualNetwork,
    put_weights,
    resized,
    resized_cells,
    table_of,
)
from training.vision.expert import Expert, ExpertConfig
from training.vision.network import VisionConfig, VisionNetwork, chances_of

CANDIDATES = 48
LAYOUT = torch.channels_last      # depthwise convolutions take three quarters of the time so


@dataclass(slots=True)
class Seen:
    """cells: of each network (h, w, cell_dim); chances (all heads joined), meaning (384,), totals,
    peaks (K,) as log(1 + n), boxes (R, 4) in [0, 1] in reading order, look (R, depth), kinds
    (R, K), score (R,), pixel: of each network (depth, H/8, W/8); float16 but for boxes."""

    cells: tuple
    chances: torch.Tensor
    meaning: torch.Tensor
    totals: torch.Tensor
    peaks: torch.Tensor
    boxes: torch.Tensor
    look: torch.Tensor
    kinds: torch.Tensor
    score: torch.Tensor
    pixel: tuple

    @property
    def all_cells(self):
        """(h, w, sum of cell_dim) float32, in the first network's grid."""
        first, *others = (c.float() for c in self.cells)
        return torch.cat([first, *(resized_cells(c[None], first.shape[:2])[0] for c in others)],
                         -1)

    @property
    def all_pixels(self):
        """(sum of depth, H/8, W/8) float32, likewise."""
        return _joined(self.pixel)

    def to_dict(self):
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _joined(maps):
    first, *others = (m.float() for m in maps)
    return torch.cat([first, *(resized(m[None], first.shape[1:])[0] for m in others)])


def candidates(heat, shape, pixel, most=CANDIDATES):
    """Peaks of one batch: score (N, n), boxes (N, n, 4) in [0, 1], kinds (N, n, K), look
    (N, n, depth). Plain operations that ONNX knows."""
    chance = heat.sigmoid()
    best = chance.amax(1, keepdim=True)
    peak = (functional.max_pool2d(best, 3, 1, 1) == best).to(best.dtype) * best
    h, w = heat.shape[2], heat.shape[3]
    score, cell = peak.flatten(1).topk(most, dim=1)
    row, col = torch.div(cell, w, rounding_mode="floor"), cell % w

    def at(x):
        return x.flatten(2).gather(2, cell[:, None].expand(-1, x.shape[1], -1)).transpose(1, 2)

    s = at(shape)
    cx, cy = (col + 0.5 + s[..., 0]) / w, (row + 0.5 + s[..., 1]) / h
    bw, bh = s[..., 2].clamp(-3, 6).exp() / w, s[..., 3].clamp(-3, 6).exp() / h
    boxes = torch.stack([cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2], -1).clamp(0, 1)
    return score, boxes, at(chance), at(pixel)


@dataclass(frozen=True, slots=True)
class CoarseSight:
    """A released folder whose vision network looks as well.

    shifts: {sensor: {kind: shift of both networks' heat map}}; shares (SENSORS,) of the fine one in
    them, None: one half; expert: checkpoint of a scene expert, if there is one; mirrors: as in
    `DualNetwork`."""

    folder: Path
    shifts: dict = field(default_factory=dict)
    expert: Path | None = None
    mirrors: tuple = PLAIN
    shares: torch.Tensor | None = None


class Perception:
    """Runs the vision network of a checkpoint.

    longest, upscale: of `input_shape`; device: where to compute; coarse: `CoarseSight` or None.
    key: changes with the weights and shifts.
    """

    def __init__(self, checkpoint, longest, upscale, device="cpu", coarse=None):
        state = schedule.restore(Path(checkpoint))
        config = VisionConfig(**state["config"])
        network = VisionNetwork(config, pretrained=False)
        network.load_state_dict(state["network"])
        self.key = _digest(state["network"])
        self.sizes = [(longest, upscale)]
        if coarse is not None:
            other = put_weights(VisionNetwork(config, pretrained=False), coarse.folder)
            c = read_unified(coarse.folder)
            if c.kinds != tuple(config.kinds):
                raise ValueError(f"{coarse.folder} knows {c.kinds}, {checkpoint} {config.kinds}")
            shifts = table_of(coarse.shifts, config.kinds)
            held = {k: v for k, v in other.state_dict().items() if not k.startswith(UNUSED)}
            self.key += f" {_digest(held)} {shifts.tolist()}"
            if coarse.shares is not None:
                self.key += f" {coarse.shares.tolist()}"
            expert, trust = None, {}
            if coarse.expert is not None:
                told = schedule.restore(coarse.expert)
                expert = Expert(ExpertConfig.read(told["config"]))
                expert.load_state_dict(told["expert"])
                trust = told.get("trust", {})
                self.key += f" {_digest(told['expert'])} {sorted(trust.items())}"
            network = DualNetwork(network, other, c.input_size / longest, shifts, expert, trust,
                                  coarse.mirrors, coarse.shares)
            self.sizes.append((c.input_size, c.upscale))
        network = network.eval().requires_grad_(False)
        self.network = network.to(device, memory_format=LAYOUT)
        self.names = state["names"]
        self.longest, self.upscale, self.device = longest, upscale, device
        self.heads = tuple(map(tuple, config.heads))

    def prepare(self, values, band_names):
        """Native values (H, W, C) -> [normalised (C, H', W') for each network], codes."""
        values = values.astype(np.float32) if values.dtype == np.float16 else values
        return prepare_pixels(values, band_names, *(
            input_shape(*values.shape[:2], *size) for size in self.sizes))

    def find(self, images):
        """[(values, band names)] of one shape and one set of bands -> what the network found."""
        prepared = [self.prepare(v, b) for v, b in images]
        x, *coarse = (torch.from_numpy(np.stack(same)).to(self.device, memory_format=LAYOUT)
                      for same in zip(*(p for p, _ in prepared), strict=True))
        # Training may compute in bfloat16, which numpy has not.
        with torch.autocast(torch.device(self.device).type, enabled=False):
            return self.network(x, torch.from_numpy(prepared[0][1]).to(self.device), *coarse)

    @torch.no_grad()
    def see(self, images):
        """[(values, band names)] of one shape and one set of bands -> list of `Seen`."""
        n, found = self.network, self.find(images)
        parts = found.get("parts", (found,))
        chances = chances_of(n.logits(found, self.heads), self.heads)
        single = (chances, n.meaning(found), n.totals(found))
        score, boxes, kinds, look = candidates(found["heat"], found["shape"], found["pixel"])
        maps = [functional.avg_pool2d(part["pixel"], 2) for part in parts]
        out = []
        for i in range(len(images)):
            kept = keep(Proposals(*(v[i].cpu().numpy() for v in (score, boxes, kinds, look))))
            out.append(Seen(
                tuple(part["cells"][i].half().cpu() for part in parts),
                *(v[i].half().cpu() for v in single), torch.from_numpy(kept.counts()).half(),
                torch.from_numpy(kept.boxes), torch.from_numpy(kept.look).half(),
                torch.from_numpy(kept.kinds).half(), torch.from_numpy(kept.score).half(),
                tuple(m[i].half().cpu() for m in maps)))
        return out

    @torch.no_grad()
    def compare(self, images):
        """[(values, band names)] before and after -> {"pooled": (2 depth,) mean and maximum of
        the pair map, "pixel": (depth, H/8, W/8)}, float16."""
        with torch.autocast(torch.device(self.device).type, enabled=False):
            change = self.network.compare(*(self.find([image])["pixel"] for image in images))
        pooled = torch.cat([change.mean((2, 3)), change.amax((2, 3))], 1)
        return {"pooled": pooled[0].half().cpu(),
                "pixel": functional.avg_pool2d(change, 2)[0].half().cpu()}


def _digest(weights):
    """Of a network's state."""
    total = hashlib.sha256()
    for name, value in sorted(weights.items()):
        total.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]


def store_key(ref):
    """Name of what an `ImageRef` shows, without its place in a request."""
    window = "" if ref.window is None else "_".join(map(str, ref.window))
    return f"{ref.set}/{ref.id}/{ref.member}/{window}/{ref.turn}"


class Memory:
    """`Seen` by key, filled on demand from a perception, in memory; saved and restored."""

    def __init__(self, perception, path=None):
        self.perception, self.path = perception, path
        self._seen, self._pairs = {}, {}
        state = schedule.restore(path) if path is not None else None
        if state and state["key"] == perception.key:
            self._seen = {k: Seen(**v) for k, v in state["seen"].items()}
            self._pairs = state["pairs"]

    def __len__(self):
        return len(self._seen)

    def get(self, key, image):
        """image: () -> (values, band names), called when the key is new."""
        if key not in self._seen:
            self._seen[key] = self.perception.see([image()])[0]
        return self._seen[key]

    def pair(self, keys, images):
        """What changed between two pictures; images: () -> [(values, band names)] * 2."""
        key = " ".join(keys)
        if key not in self._pairs:
            self._pairs[key] = self.perception.compare(images())
        return self._pairs[key]

    def fill(self, items, batch=16, say=print):
        """items: [(key, () -> (values, band names))]; same shapes run together."""
        waiting, done = {}, 0
        for key, image in items:
            if key in self._seen:
                continue
            values, bands = image()
            group = waiting.setdefault((values.shape, tuple(bands)), [])
            group.append((key, values, bands))
            if len(group) == batch:
                done += self._run(group)
                group.clear()
                if done % 512 < batch:
                    say(f"seen {len(self._seen)}", flush=True)
        for group in waiting.values():
            if group:
                self._run(group)
        self.save()

    def _run(self, group):
        for (key, _, _), seen in zip(group, self.perception.see([g[1:] for g in group]),
                                     strict=True):
            self._seen[key] = seen
        return len(group)

    def save(self):
        if self.path is not None:
            schedule.save(self.path, {
                "key": self.perception.key, "pairs": self._pairs,
                "seen": {k: v.to_dict() for k, v in self._seen.items()}})
