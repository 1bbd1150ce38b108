"""The input without any-band kernels: fixed three-channel composites into a fixed stem."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from eo_nodes.lvlm.bands import to_composites
from eo_nodes.lvlm.spectrum import codes, parse_bands
from training.vision.batches import BatchSource

RGB = parse_bands(("red", "green", "blue"))


def modality_of(bands):
    """What `to_composites` calls an image of these bands."""
    kinds = {b.kind for b in bands}
    for kind in ("sar", "thermal", "elevation"):
        if kind in kinds:
            return kind
    return "multispectral" if len(bands) > 3 else "optical"


class CompositeSource(BatchSource):
    """Batches of composites: RGB as it is, one radar or thermal channel three times, VV, VH and
    their ratio; of multispectral images the one with infrared in it. All bands are always there:
    what a missing one would be replaced with is nowhere defined."""

    drops_bands = False

    def levels(self, values, bands):
        picture = to_composites(values, [b.name for b in bands], modality_of(bands))[-1]
        return np.ascontiguousarray((picture.transpose(2, 0, 1) - 0.498) / 0.502, np.float32)

    def codes(self, bands):
        return torch.from_numpy(codes(RGB))


class FixedStem(nn.Module):
    """A plain RGB convolution in the place of `backbone.BandStem`; ignores the codes."""

    def __init__(self, conv):
        super().__init__()
        self.width = conv.out_channels
        self.conv = nn.Conv2d(3, self.width, 3, 2)
        self.conv.load_state_dict(conv.state_dict())

    def forward(self, x, band_codes):
        return functional.relu6(self.conv(functional.pad(x, (0, 1, 0, 1))))
