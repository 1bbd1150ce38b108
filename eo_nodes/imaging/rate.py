"""What a cell costs and still shows at a scale and a quality, estimated without coding it.

Theory of operation: a Haar transform (orthonormal, four levels, bands of a colour picture made
uncorrelated first) says where a cell's detail lies. Downsampling to 1/2 or 1/4 drops the finest
levels; a quantisation step zeroes coefficients below it and leaves step^2 / 12 in the others. So
one transform gives, for every scale and step, the energy lost, and the bytes as a multiple of
``sum(log2(1 + |c| / step))``, the usual proxy for the length of a bit-plane code. The multiples
were fitted on training chips of seven sets, coded at three scales, four steps and exactly: half of
the estimates lie within 4 % of the coded size without loss and within 17 % with it.
Non-purpose: exact sizes; whoever must hold a budget codes and measures.

Source: own; distortion of a uniform quantiser with a dead zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ConfigError

Array = NDArray[Any]
LEVELS = 4
SCALES = (1.0, 0.5, 0.25, 0.125)
_FINE_LEVELS = 3
# Bytes per unit of sum(log2(1 + |c| / step)), and per coefficient; fitted, see above.
_BYTES_PER_LOG, _BYTES_PER_SAMPLE = 0.165, 0.0
_BYTES_PER_LOG_EXACT, _BYTES_PER_SAMPLE_EXACT = 0.188, 0.13
_HEAD_BYTES, _HEAD_BYTES_PER_BAND = 60, 45
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Profile:
    """Estimates for one cell.

    Attributes:
        bytes: (K,) coded, without the head of a block.
        shown: (K,) share of the cell's variance that is still there, [0, 1]; 1 for a flat cell.
        fine: (K,) the same of detail of up to about 12 pixels alone, which small things are made
            of and large ones drown in ``shown``.
    """

    bytes: NDArray[np.float64]
    shown: NDArray[np.float64]
    fine: NDArray[np.float64]


def profile(block: Array, options: Sequence[tuple[float, float]], *, unit: float = 1.0) -> Profile:
    """Estimate a cell at each option.

    Args:
        block: (F, H, W, C) pixels of the cell.
        options: (scale, step): scale one of ``SCALES``, step of the wavelet in units of the samples
            or 0 for exact coding.
        unit: spacing of the samples; what exact coding resolves.
    Raises:
        ConfigError: an unknown scale or a negative step.
    """
    for scale, step in options:
        if scale not in SCALES or step < 0:
            raise ConfigError(f"rate: no estimate at scale {scale}, step {step}")
    details = _details(_uncorrelated(block))
    energies = [float((d**2).sum()) for d in details]
    whole = sum(energies[:LEVELS]) + float(((details[-1] - details[-1].mean(
        axis=(1, 2), keepdims=True)) ** 2).sum())
    small = sum(energies[:_FINE_LEVELS])
    sizes, lost, lost_fine = [], [], []
    for scale, step in options:
        first = SCALES.index(scale)
        # Averages of 2 x 2 are half of what the orthonormal transform gives, level by level.
        gain = 2.0**first
        kept = details[first:]
        width = step or unit
        count = sum(d.size for d in kept)
        logs = sum(float(np.log2(1 + np.abs(d) / (gain * width)).sum()) for d in kept)
        per_log, per_sample = (
            (_BYTES_PER_LOG, _BYTES_PER_SAMPLE) if step
            else (_BYTES_PER_LOG_EXACT, _BYTES_PER_SAMPLE_EXACT)
        )
        sizes.append(per_log * logs + per_sample * count)
        errors = [*energies[:first], *(_error(d, gain * step) for d in kept)]
        lost.append(sum(errors))
        lost_fine.append(sum(errors[:_FINE_LEVELS]))
    return Profile(np.array(sizes), _left(lost, whole), _left(lost_fine, small))


def _left(lost: Sequence[float], whole: float) -> NDArray[np.float64]:
    """Share that is not lost; all of nothing is there."""
    if whole <= _TINY:
        return np.ones(len(lost))
    return np.clip(1 - np.array(lost) / whole, 0, 1)


def head_bytes(planes: int) -> int:
    """What a coded block takes beside its samples, bytes."""
    return _HEAD_BYTES + _HEAD_BYTES_PER_BAND * planes


def _error(detail: Array, step: float) -> float:
    """Squared error of coefficients behind a quantiser of this step with a dead zone."""
    if not step:
        return 0.0
    square = detail**2
    return float(np.where(np.abs(detail) < step, np.minimum(square, step**2), step**2 / 12).sum())


def _uncorrelated(block: Array) -> Array:
    """(P, H, W) float64 planes, sides multiples of 2**LEVELS, three alike bands rotated."""
    frames, height, width, bands = block.shape
    side = 2**LEVELS
    pad = ((0, 0), (0, -height % side), (0, -width % side))
    planes = np.moveaxis(block.astype(np.float64), 3, 1).reshape(frames * bands, height, width)
    if frames * bands == 3:
        # Equal weights and two differences: near to what the coder's colour transform does.
        turn = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
        planes = np.tensordot(turn, planes, 1)
    return np.pad(planes, pad, mode="edge")


def _details(planes: Array) -> list[Array]:
    """Haar coefficients of each level, finest first, (P, n) each; last the coarsest means."""
    details: list[Array] = []
    low = planes
    for _ in range(LEVELS):
        a, b = low[:, 0::2, 0::2], low[:, 0::2, 1::2]
        c, d = low[:, 1::2, 0::2], low[:, 1::2, 1::2]
        fine = np.stack([a - b + c - d, a + b - c - d, a - b - c + d], axis=1) / 2
        details.append(fine.reshape(len(planes), -1))
        low = (a + b + c + d) / 2
    details.append(low)
    return details
