"""Two vision networks as one: a fine one beside the coarse one of another model, frozen.

Both see the same pictures, each at the size it was trained at. Chances, counts and the language
space are the means of what both say, sizes and mostly heat maps too: an ensemble errs less than
either of its members where their errors differ. Cells and pixel maps lie side by side, the fine
ones first, in the fine grid. A scene expert (`training.vision.expert`), where there is one, has a
share in the chances.
"""

import json
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from eo_nodes.lvlm import spectrum
from eo_nodes.lvlm.spectrum import SENSORS
from training.stored import put, weights_of

SHIFTS, SHARES = "shifts.json", "shares.json"          # beside a vision network's checkpoint
HALF = 0.5
UNUSED = ("region_text.", "text_query.", "query_bias", "text_scale", "text_bias")
# How the fine and the coarse network look (`looked`): plainly, or at mirrored pictures too. A look
# of the fine one takes several times as long, so it has fewer.
PLAIN = (((),), ((),))
MIRRORS = (((), (2, 3)), ((), (3,), (2,), (2, 3)))
MOSTLY = 0.5                 # trust in an expert above which the fine network is not asked


def resized(maps, size):
    """Maps (N, D, h, w) at another size, bilinear."""
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def resized_cells(cells, size):
    """Cells (N, h, w, D) on another grid."""
    return resized(cells.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)


def sensor_of(band_codes):
    """Codes (C, K) -> (SENSORS,) shares that sum to one. Plain operations that ONNX knows."""
    return torch.stack(spectrum.sensor_shares(band_codes))


def mirrored(maps, sides):
    """Maps (N, D, h, w) turned over along ``sides``, 2 upside down, 3 left to right."""
    return maps.flip(sides) if sides else maps


def mean_of(values):
    """Of tensors of one shape."""
    return values[0] if len(values) == 1 else torch.stack(values).mean(0)


def looked(network, x, band_codes, mirrors):
    """As `VisionNetwork.forward`, with heat and sizes as the mean of what the network finds in the
    pictures as they are and mirrored: from above nothing says where left is, so what it finds
    should not hang on it, and as far as it does, it errs. (What a picture shows altogether may:
    radar throws shadows to one side. The rest is of the pictures as they are.)

    mirrors: sides of `mirrored`, the first of them ().
    """
    first, *others = (network(mirrored(x, m), band_codes) for m in mirrors)
    heat, shape = [first["heat"]], [first["shape"]]
    for found, sides in zip(others, mirrors[1:], strict=True):
        # Offsets of the centres turn over as well; sizes do not.
        sign = [-1.0 if 3 in sides else 1.0, -1.0 if 2 in sides else 1.0, 1.0, 1.0]
        heat.append(mirrored(found["heat"], sides))
        sign = found["shape"].new_tensor(sign)[:, None, None]
        shape.append(mirrored(found["shape"], sides) * sign)
    return first | {"heat": mean_of(heat), "shape": mean_of(shape)}


class DualNetwork(nn.Module):
    """fine, coarse: `VisionNetwork` of the same heads and kinds; ratio: of the longest sides they
    are fed, coarse to fine; shares (SENSORS,): of the fine one in the heat maps; shifts (SENSORS,
    kinds): added to their logits, so that one chance means the same for every kind, and what no set
    shows a sensor is not found there (`training.decoder.shifts`); expert: `expert.Expert` of the
    same heads; trust: {head: share of its logits, 0 where none is named; the rest is the mean of
    both networks', or the coarse one's where the expert is trusted more than `MOSTLY`: the fine
    one's outputs are spared then}; mirrors: of `looked`, for each network; the expert looks as the
    coarse one."""

    def __init__(self, fine, coarse, ratio, shifts=None, expert=None, trust=None, mirrors=PLAIN,
                 shares=None):
        super().__init__()
        if (fine.config.heads, fine.config.kinds) != (coarse.config.heads, coarse.config.kinds):
            raise ValueError("two networks of different heads")
        self.fine, self.coarse, self.ratio = fine, coarse, ratio
        kinds = len(fine.config.kinds)
        self.register_buffer(
            "shifts", torch.zeros(len(SENSORS), kinds) if shifts is None else shifts)
        self.register_buffer(
            "shares", torch.full((len(SENSORS),), HALF) if shares is None else shares)
        self.expert, self.trust, self.mirrors = expert, trust or {}, mirrors
        if expert is not None:
            fine.pooled = nn.ModuleDict({
                name: head for name, head in fine.pooled.items()
                if self.trust.get(name, 0.0) <= MOSTLY})
        self.config = replace(fine.config, depth=fine.config.depth + coarse.config.depth)
        self.cell_dim = fine.cell_dim + coarse.cell_dim

    def forward(self, x, band_codes, small):
        """x (N, C, H, W), small (N, C, H', W') the same pictures -> as `VisionNetwork.forward`;
        parts: what each of both found."""
        fine = looked(self.fine, x, band_codes, self.mirrors[0])
        coarse = looked(self.coarse, small, band_codes, self.mirrors[1])
        size = fine["heat"].shape[2:]
        sensor = sensor_of(band_codes)
        share, shift = (sensor * self.shares).sum(), (sensor @ self.shifts)[:, None, None]
        heat = share * fine["heat"] + (1 - share) * resized(coarse["heat"], size) + shift
        # Sizes are logarithms in steps of the own map: the coarse one's steps are larger.
        # (The factor one lets the exporter see a quotient of free sizes.)
        own, one = coarse["heat"].shape[2:], self.shifts.new_ones(1)
        steps = torch.cat([one * size[1] / own[1], one * size[0] / own[0]]).log()
        sides = resized(coarse["shape"], size)[:, 2:] + steps[:, None, None]
        shape = torch.cat([fine["shape"][:, :2], (fine["shape"][:, 2:] + sides) / 2], 1)
        cells = torch.cat([fine["cells"], resized_cells(
            coarse["cells"], fine["cells"].shape[1:3])], -1)
        pixel = torch.cat([fine["pixel"], resized(coarse["pixel"], size)], 1)
        out = {"pixel": pixel, "heat": heat, "shape": shape, "cells": cells,
               "parts": (fine, coarse)}
        if self.expert is None:
            return out
        said = [self.expert(mirrored(small, m), band_codes, self.coarse.backbone.stem)
                for m in self.mirrors[1]]
        return out | {"told": {name: mean_of([one[name] for one in said]) for name in said[0]}}

    def logits(self, found, heads):
        fine, coarse = found["parts"]
        own = {n for n, _ in heads if n in self.fine.pooled}
        mine = dict(zip((n for n, _ in heads if n in own), self.fine.logits(
            fine, [h for h in heads if h[0] in own]), strict=True))
        out = []
        for (name, _), said in zip(heads, self.coarse.logits(coarse, heads), strict=True):
            both = (mine[name] + said) / 2 if name in own else said
            share = self.trust.get(name, 0.0) if "told" in found else 0.0
            out.append(share * found["told"][name] + (1 - share) * both if share else both)
        return out

    def meaning(self, found):
        fine, coarse = found["parts"]
        return functional.normalize(self.fine.meaning(fine) + self.coarse.meaning(coarse), dim=-1)

    def totals(self, found):
        fine, coarse = found["parts"]
        return (self.fine.totals(fine) + self.coarse.totals(coarse)) / 2

    def cell_meaning(self, found):
        fine, coarse = found["parts"]
        own = self.fine.cell_meaning(fine)
        other = resized_cells(self.coarse.cell_meaning(coarse), own.shape[1:3])
        return functional.normalize(own + other, dim=-1)

    def _halves(self, pixel):
        return pixel.split([self.fine.config.depth, self.coarse.config.depth], 1)

    def compare(self, first, last):
        """Pixel map of what changed between two co-registered pixel maps; the coarse network
        compares at its own size, that of pictures of the full input (smaller ones keep a little
        more in their coarse grid)."""
        (fine, coarse), (fine_last, coarse_last) = self._halves(first), self._halves(last)
        small = [functional.interpolate(m, scale_factor=self.ratio, mode="bilinear",
                                        align_corners=False) for m in (coarse, coarse_last)]
        change = self.fine.compare(fine, fine_last)
        return torch.cat([change, resized(self.coarse.compare(*small), change.shape[2:])], 1)

    def signature(self, pixel):
        """Layouts of both; a dot product is the mean of theirs."""
        fine, coarse = self._halves(pixel)
        return torch.cat([self.fine.signature(fine), self.coarse.signature(coarse)], 1) * 0.5**0.5


def put_weights(network, folder):
    """Give a `VisionNetwork` the weights of a model folder, as its runtime computes with them."""
    held = {}
    for name in ("vision.onnx", "pair.onnx"):
        held |= {k.removeprefix("network."): v for k, v in weights_of(folder / name).items()
                 if k.startswith("network.")}
    put(network, held, UNUSED)
    return network.eval().requires_grad_(False)


def read_shifts(folder):
    """{sensor: {kind: shift}} as measured, nothing without the file."""
    path = folder / SHIFTS
    return json.loads(path.read_text()) if path.is_file() else {}


def read_shares(folder):
    """(SENSORS,) of the fine network in heat maps, one half where nothing else was measured."""
    path = folder / SHARES
    held = json.loads(path.read_text()) if path.is_file() else {}
    return torch.tensor([float(held.get(sensor, HALF)) for sensor in SENSORS])


def table_of(shifts, kinds):
    """(SENSORS, kinds) of what `read_shifts` gives."""
    return torch.tensor([[float(shifts.get(sensor, {}).get(kind, 0)) for kind in kinds]
                         for sensor in SENSORS])
