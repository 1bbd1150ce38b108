"""The vision network: cells, pixel map, summary heads, proposals, language space.

Origin of the parts: EfficientNet-Lite backbone; top-down neck as in feature pyramid networks (Lin
2017); centre heat maps and sizes as in CenterNet (Zhou 2019); sigmoid image-text loss as in SigLIP
(Zhai 2023). All maps are made for whole cells of 32 x 32 px.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from training.vision.backbone import Backbone

TEXT_DIM = 384
HEAT_BIAS = -4.0          # the prior that a place holds no object: sigmoid(-4) = 0.018


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """backbone: lite0 or lite2; depth: channels of the pixel map; match: of the matching map;
    wide: of the neck's upper maps; hidden: of the kernels' generator.

    kinds: objects the heat map knows; heads: (name, outputs) pairs, ``class_*`` softmax,
    ``label_*`` sigmoid.
    """

    backbone: str
    kinds: tuple
    heads: tuple
    depth: int = 64
    match: int = 32
    wide: int = 96
    hidden: int = 128

    def to_dict(self):
        return asdict(self)


class Mix(nn.Module):
    """Depthwise 3 x 3 and pointwise convolution, each with ReLU."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.depthwise = nn.Conv2d(c_in, c_in, 3, padding=1, groups=c_in)
        self.pointwise = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x):
        return functional.relu(self.pointwise(functional.relu(self.depthwise(x))))


class Neck(nn.Module):
    """Maps at strides 4, 8, 16, 32 -> pixel map (N, depth, H / 4, W / 4)."""

    def __init__(self, widths, depth, wide):
        super().__init__()
        inner = (depth, depth, wide, wide)
        self.enter = nn.ModuleList(nn.Conv2d(w, i, 1) for w, i in zip(widths, inner, strict=True))
        self.descend = nn.ModuleList(
            nn.Conv2d(b, a, 1) for a, b in pairwise(inner))
        self.mix = nn.ModuleList(Mix(i, i) for i in inner)
        self.last = Mix(depth, depth)
        self.out = nn.Conv2d(depth, depth, 1)

    def forward(self, maps):
        x = self.mix[3](self.enter[3](maps[3]))
        for i in (2, 1, 0):
            up = functional.interpolate(self.descend[i](x), scale_factor=2.0, mode="nearest")
            x = self.mix[i](self.enter[i](maps[i]) + up)
        return self.out(x + self.last(x))


class VisionNetwork(nn.Module):
    """See the module's head; `forward` gives a dict, the heads are called on its parts."""

    def __init__(self, config, pretrained=True):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.backbone, pretrained, config.hidden)
        widths, depth = self.backbone.widths, config.depth
        self.neck = Neck(widths, depth, config.wide)
        kinds = len(config.kinds)
        self.tower = Mix(depth, depth)
        self.heat = nn.Conv2d(depth, kinds, 1)
        self.shape = nn.Conv2d(depth, 4, 1)      # centre offset x, y; log width, height (stride 4)
        nn.init.constant_(self.heat.bias, HEAT_BIAS)
        self.top_dim = widths[3]                 # of the cells, first comes the deepest map
        self.cell_dim = widths[3] + widths[2] + 2 * widths[1] + 2 * depth + kinds
        self.pool_norm = nn.LayerNorm(2 * self.cell_dim)
        self.cell_norm = nn.LayerNorm(self.cell_dim)
        self.pooled = nn.ModuleDict({k: nn.Linear(2 * self.cell_dim, n) for k, n in config.heads})
        self.image_text = nn.Linear(2 * self.cell_dim, TEXT_DIM)
        self.cell_text = nn.Linear(self.cell_dim, TEXT_DIM)
        self.region_text = nn.Sequential(nn.LayerNorm(depth), nn.Linear(depth, TEXT_DIM))
        self.text_query = nn.Linear(TEXT_DIM, depth)
        self.query_bias = nn.Parameter(torch.tensor(-2.0))
        self.counts = nn.Linear(self.cell_dim, kinds)
        self.match = nn.Conv2d(depth, config.match, 1)
        self.pair = nn.Sequential(nn.Conv2d(3 * depth, depth, 1), nn.ReLU(), Mix(depth, depth),
                                  Mix(depth, depth), nn.Conv2d(depth, depth, 1))
        self.text_scale = nn.Parameter(torch.tensor(2.3))      # logarithm, as in SigLIP
        self.text_bias = nn.Parameter(torch.tensor(-5.0))

    def forward(self, x, band_codes):
        """x (N, C, H, W), band_codes (C, K) ->

        pixel (N, depth, H/4, W/4), heat (N, kinds, H/4, W/4) logits, shape (N, 4, H/4, W/4),
        cells (N, H/32, W/32, cell_dim), maps: of the backbone, at strides 4, 8, 16, 32.
        """
        maps = self.backbone(x, band_codes)
        pixel = self.neck(maps)
        tower = self.tower(pixel)
        heat, shape = self.heat(tower), self.shape(tower)
        parts = [maps[3], functional.avg_pool2d(maps[2], 2), functional.avg_pool2d(maps[1], 4),
                 functional.max_pool2d(maps[1], 4), functional.avg_pool2d(pixel, 8),
                 functional.max_pool2d(pixel, 8), functional.max_pool2d(heat, 8)]
        cells = torch.cat(parts, 1).permute(0, 2, 3, 1)
        return {"pixel": pixel, "heat": heat, "shape": shape, "cells": cells, "maps": maps}

    def pool(self, cells):
        """(N, h, w, cell_dim) -> normalised mean and maximum (N, 2 cell_dim)."""
        flat = cells.flatten(1, 2)
        return self.pool_norm(torch.cat([flat.mean(1), flat.amax(1)], 1))

    def logits(self, found, heads):
        """[(N, n)] of the summary heads named, of what `forward` found."""
        pooled = self.pool(found["cells"])
        return [self.pooled[name](pooled) for name, _ in heads]

    def meaning(self, found):
        """Unit vectors of the images (N, 384) in the space of MiniLM sentences."""
        return functional.normalize(self.image_text(self.pool(found["cells"])), dim=-1)

    def totals(self, found):
        """(N, kinds) what the cells count, as log(1 + n)."""
        per_cell = self.counts(self.cell_norm(found["cells"]))
        return ((per_cell.clamp(0, 5).exp() - 1).sum((1, 2)) + 1).log()

    def cell_meaning(self, found):
        """Unit vectors of the cells (N, h, w, 384)."""
        return self.embed_cells(found["cells"])

    def embed_cells(self, cells):
        """Unit vectors of the cells (N, h, w, 384)."""
        return functional.normalize(self.cell_text(self.cell_norm(cells)), dim=-1)

    def embed_regions(self, pooled):
        """Masked means of the pixel map (..., depth) -> unit vectors (..., 384)."""
        return functional.normalize(self.region_text(pooled), dim=-1)

    def mask(self, pixel, text):
        """Mask logits (N, Q, h, w) of texts (N, Q, 384) or (Q, 384) on a pixel map."""
        query = self.text_query(text)
        if query.dim() == 2:
            query = query[None].expand(len(pixel), -1, -1)
        return torch.einsum("nqd,ndhw->nqhw", query, pixel) + self.query_bias

    def compare(self, first, last):
        """Pixel map of what changed between two co-registered pixel maps."""
        return self.pair(torch.cat([first, last, (first - last).abs()], 1))

    def signature(self, pixel):
        """(N, match * 64): layout of an image, to compare across sensors by dot product."""
        # Maps are whole cells of 8 x 8, so blocks are equal and their means reshapes, for any size;
        # the means first, they are fewer.
        rows, cols = pixel.shape[2] // 8, pixel.shape[3] // 8
        blocks = pixel.reshape(pixel.shape[0], pixel.shape[1], 8, rows, 8, cols).mean((3, 5))
        x = self.match(blocks)
        x = x - x.mean((2, 3), keepdim=True)
        return functional.normalize(x.flatten(1), dim=-1)


def chances_of(logits, heads):
    """(N, all) chances of summary heads, joined."""
    return torch.cat([x.softmax(-1) if name.startswith("class") else x.sigmoid()
                      for x, (name, _) in zip(logits, heads, strict=True)], -1)
