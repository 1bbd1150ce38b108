"""Any-band stem and EfficientNet-Lite blocks: maps at strides 4, 8, 16 and 32.

The stem makes one 3 x 3 kernel set a band from the band's code (`eo_nodes.lvlm.spectrum`), after
the wavelength-conditioned patch embedding of GeoLangBind (arXiv 2503.06312), here on a pretrained
convolutional stem: at the visible wavelengths it starts as the ImageNet kernels, elsewhere as
their mean. The sum over bands makes it indifferent to their order and number.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from eo_nodes.lvlm.spectrum import CODE_SIZE, Band, codes
from training.vision.lite import pretrained_trunk

STRIDES = (4, 8, 16, 32)
_FIT_STEPS = 400


class BandStem(nn.Module):
    """(N, C, H, W), codes (C, CODE_SIZE) -> (N, width, H / 2, W / 2)."""

    def __init__(self, width=32, hidden=128):
        super().__init__()
        self.width = width
        self.generator = nn.Sequential(
            nn.Linear(CODE_SIZE, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(),
            nn.Linear(hidden, width * 9))
        self.bias = nn.Parameter(torch.zeros(width))

    def kernels(self, band_codes):
        """(C, CODE_SIZE) -> (C, width, 3, 3): the part of each band in a mean over bands."""
        return self.generator(band_codes).view(-1, self.width, 3, 3)

    def forward(self, x, band_codes):
        weight = self.kernels(band_codes).transpose(0, 1) / band_codes.shape[0]
        x = functional.pad(x, (0, 1, 0, 1))      # TensorFlow's 'same' for stride 2 on even sizes
        return functional.relu6(functional.conv2d(x, weight.to(x.dtype), self.bias, stride=2))

    def start_from(self, conv, seed=0):
        """Fit the generator to a pretrained RGB convolution (width, 3, 3, 3); seeded."""
        draw = torch.Generator().manual_seed(seed)
        rgb = conv.weight.data.transpose(0, 1) * 3            # red, green, blue
        grey = rgb.mean(0)
        fixed = [Band("r", "optical", 665, 35), Band("g", "optical", 560, 36),
                 Band("b", "optical", 490, 65)]
        grey_bands = [Band("s", "sar", polarisation=p) for p in ("VV", "VH", "HH", "HV", "")]
        grey_bands += [Band("t", "thermal", 10_500, 3000), Band("e", "elevation"),
                       Band("p", "optical", 600, 300)]
        self.bias.data = conv.bias.data.clone()
        optimizer = torch.optim.Adam(self.generator.parameters(), 2e-3)
        with torch.enable_grad():
            for step in range(_FIT_STEPS):
                u = torch.rand(24, 2, generator=draw)
                bands, goal = list(fixed) + grey_bands, [*rgb, *[grey] * len(grey_bands)]
                for where, width in u.tolist():
                    nm = 380 + 2100 * where
                    bands.append(Band("x", "optical", nm, 10 ** (0.7 + 1.5 * width)))
                    goal.append(_between(nm, rgb, grey))
                found = self.kernels(torch.from_numpy(codes(bands)))
                weight = torch.ones(len(bands))
                weight[:3] = 20
                loss = ((found - torch.stack(goal)) ** 2).mean((1, 2, 3)) @ weight
                optimizer.zero_grad()
                loss.backward()
                optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / _FIT_STEPS) + 1e-5
                optimizer.step()
        return loss.item()


def _between(nm, rgb, grey):
    """Kernel of a wavelength: the nearest visible ones, fading to their mean outside."""
    marks = [(400.0, grey), (490.0, rgb[2]), (560.0, rgb[1]), (665.0, rgb[0]), (760.0, grey)]
    if nm <= marks[0][0] or nm >= marks[-1][0]:
        return grey
    for (low, a), (high, b) in pairwise(marks):
        if nm <= high:
            share = (nm - low) / (high - low)
            return (1 - share) * a + share * b
    return grey


class Backbone(nn.Module):
    """(N, C, H, W), codes -> maps at strides 4, 8, 16, 32; H and W multiples of 32."""

    def __init__(self, size, pretrained=True, hidden=128):
        super().__init__()
        trunk = pretrained_trunk(size) if pretrained else _bare_trunk(size)
        self.stem = BandStem(trunk.stem.conv.out_channels, hidden)
        self.fit = self.stem.start_from(trunk.stem.conv) if pretrained else None
        self.blocks = trunk.blocks
        # The last block of each stride: where the next one starts with a stride, and the end.
        strides = [i for i, b in enumerate(self.blocks) if b.depthwise.stride == 2]
        self.taps = [i - 1 for i in strides[1:]] + [len(self.blocks) - 1]
        self.widths = [self.blocks[i].project.conv.out_channels for i in self.taps]

    def freeze_lower(self):
        """No gradients up to stride 4, where the maps are largest."""
        for part in (self.stem, *self.blocks[:self.taps[0] + 1]):
            part.requires_grad_(False)

    def forward(self, x, band_codes):
        x = self.stem(x, band_codes)
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.taps:
                maps.append(x)
        return maps


def _bare_trunk(size):
    from training.vision.lite import Trunk
    return Trunk(size)
