"""Medians, spread and slopes of small samples; numpy only.

Non-purpose: measuring. Every function takes numbers and gives numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom; 1.96 beyond.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """Of one sample: count, median and the quartiles around it."""

    n: int
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Slope:
    """Of a straight line: value per step, and its 95 % interval."""

    value: float
    low: float
    high: float


def t95(freedom: int) -> float:
    """Return the two-sided 95 % quantile of Student's t.

    Raises:
        ValueError: less than one degree of freedom.
    """
    if freedom < 1:
        raise ValueError(f"{freedom} degrees of freedom")
    return _T95[freedom - 1] if freedom <= len(_T95) else 1.96


def summarise(values: Sequence[float]) -> Summary:
    """Return median and quartiles.

    Raises:
        ValueError: no values.
    """
    if not len(values):
        raise ValueError("no values to summarise")
    low, median, high = np.quantile(np.asarray(values, float), (0.25, 0.5, 0.75))
    return Summary(len(values), float(median), float(low), float(high))


def slope_of(steps: Sequence[float], values: Sequence[float], *, blocks: int) -> Slope:
    """Fit a line through the means of consecutive blocks; neighbours within a block are alike.

    Args:
        steps: (N,) rising, e.g. scenes so far; values: (N,) what was measured there.
        blocks: points of the fit, >= 3; N >= blocks.
    Returns:
        Least squares slope with the interval of Student's t for ``blocks - 2``.
    Raises:
        ValueError: too few values or blocks, lengths differ.
    """
    if len(steps) != len(values) or blocks < 3 or len(steps) < blocks:
        raise ValueError(f"{len(steps)} steps, {len(values)} values, {blocks} blocks")
    x = np.array([part.mean() for part in np.array_split(np.asarray(steps, float), blocks)])
    y = np.array([part.mean() for part in np.array_split(np.asarray(values, float), blocks)])
    from_mean = x - x.mean()
    spread = float(from_mean @ from_mean)
    slope = float(from_mean @ y) / spread
    residual = y - y.mean() - slope * from_mean
    error = float(np.sqrt(residual @ residual / (blocks - 2) / spread))
    half = t95(blocks - 2) * error
    return Slope(slope, slope - half, slope + half)
