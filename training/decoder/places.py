"""Positions in [0, 1] as numbers a linear layer can compare: octaves of sine and cosine."""

import math

import torch

OCTAVES = 9
CODE = 2 * OCTAVES + 1


def place_code(x):
    """(...) in [0, 1] -> (..., CODE). The finest octave has a period of 1/128 of the side."""
    waves = x[..., None] * (math.pi * 2.0 ** torch.arange(OCTAVES, device=x.device))
    return torch.cat([torch.sin(waves), torch.cos(waves), 2 * x[..., None] - 1], -1)


def bin_codes(bins=512):
    """(bins, CODE): code of the centre of each location token."""
    return place_code((torch.arange(bins) + 0.5) / bins)
