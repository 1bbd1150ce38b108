"""What a cell costs and still shows at a scale and a quality, estimated without coding it.

Theory of operation: one Haar transform of a window (four levels, bands of a colour picture made
uncorrelated first) is kept as one statistic: for every tile of 16 pixels and every level, how many
coefficients there are of each magnitude, in half octaves. Whatever is asked about any cell, scale
and step is then a product of small matrices, so hundreds of cells with twenty options each take
milliseconds. Downsampling to 1/2 or 1/4 drops the finest levels; a quantisation step zeroes
coefficients below it and leaves step^2 / 12 in the others. Bytes are a multiple of the bits that
say magnitudes, ``sum(log2(1 + (c / step)^2)) / 2`` with a step, as what lies below it costs little,
and ``sum(log2(1 + |c| / unit))`` without loss. A cell has of each tile what it covers of it. Of a
large window only every other tile is looked at, or fewer.

The multiples were fitted on training chips (``training/evaluation/rates.py`` prints how near they
come): within one picture half of the estimates have the same error up to 7 %, so whoever codes one
block knows the others better.
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
Floats = NDArray[np.float64]
LEVELS = 4
TILE = 2**LEVELS
SCALES = (1.0, 0.5, 0.25, 0.125)
MOST_SAMPLES = 150_000
"""Of a window that are looked at, about."""
_FINE_LEVELS = 3
_BUCKETS = 48  # half octaves, from a quarter of the unit on
_FIRST_OCTAVE = -2
# Where in a half octave its coefficients lie: large ones are rarer.
_PLACES = (1.22, 1.72)
# Bytes per bit of magnitudes, and per coefficient; fitted, see above.
BYTES_LOSSY, BYTES_EXACT = (0.245, 0.0), (0.197, 0.132)
_HEAD_BYTES, _HEAD_BYTES_PER_BAND = 60, 45
_TINY = 1e-9
# Equal weights and two differences: near to what the coder's colour transform does.
_TURN = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


@dataclass(frozen=True, slots=True)
class Profile:
    """Estimates of N cells at K options.

    Attributes:
        bytes: (N, K) coded, without the head of a block.
        shown: (N, K) share of a cell's variance that is still there, [0, 1]; 1 for a flat cell.
        fine: (N, K) the same of detail of up to about 12 pixels alone, which small things are made
            of and large ones drown in ``shown``.
    """

    bytes: Floats
    shown: Floats
    fine: Floats


@dataclass(frozen=True, slots=True)
class Statistic:
    """Magnitudes of a window's detail by place and level.

    Attributes:
        counts: (LEVELS + 1, R * C, _BUCKETS) coefficients of each tile looked at; the last level
            holds the coarsest means.
        means: (R * C, P) the coarsest means. rows, cols: (R + 1,), (C + 1,) edges in pixels of
            what each tile stands for. planes: P. unit: spacing of the samples.
    """

    counts: NDArray[np.float32]
    means: NDArray[np.float32]
    rows: Floats
    cols: Floats
    planes: int
    unit: float


def statistic(block: Array, *, unit: float = 1.0, least_px: int = 32) -> Statistic:
    """Look at a window once.

    Args:
        block: (F, H, W, C) pixels, finite.
        unit: spacing of the samples; what exact coding resolves, > 0.
        least_px: cells asked about later are at least so wide: each keeps a tile.
    """
    frames, height, width, bands = block.shape
    farthest = max(1, least_px // TILE)
    down = min(farthest, max(1, int(np.sqrt(block.size / MOST_SAMPLES))))
    across = min(farthest, max(1, round(block.size / MOST_SAMPLES / down)))
    y, x = _taken(height, down), _taken(width, across)
    part = block.take(y, 1).take(x, 2)
    planes = np.ascontiguousarray(np.moveaxis(part, 3, 1), np.float32).reshape(
        frames * bands, len(y), len(x))
    if len(planes) == 3:
        planes = (_TURN.astype(np.float32) @ planes.reshape(3, -1)).reshape(planes.shape)
    counts, means = _counts(planes, unit)
    rows, cols = (np.append(np.arange(0, side, TILE * step), side).astype(float)
                  for side, step in ((height, down), (width, across)))
    return Statistic(counts, means, rows, cols, len(planes), unit)


def _taken(side: int, every: int) -> NDArray[np.int64]:
    """Pixels along one side: every so many tiles; what a tile lacks at the edge is repeated."""
    starts = np.arange(0, side, TILE * every)
    return np.asarray(np.minimum(starts[:, None] + np.arange(TILE), side - 1).ravel())


def _counts(
    planes: NDArray[np.float32], unit: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Counts and coarsest means, as `Statistic` has them, of planes (P, 16 R, 16 C)."""
    count, height, width = planes.shape
    rows, cols = height // TILE, width // TILE
    counts = np.empty((LEVELS + 1, rows * cols, _BUCKETS), np.float32)
    low = planes
    for level in range(LEVELS):
        # Sums and differences alone: the halves of the orthonormal transform are in `_octave`.
        left, right = low[:, :, 0::2], low[:, :, 1::2]
        sums, differences = left + right, left - right
        top, bottom = sums[:, 0::2], sums[:, 1::2]
        first, second = differences[:, 0::2], differences[:, 1::2]
        fine = np.stack([first + second, top - bottom, first - second])
        low = top + bottom
        counts[level] = _histogram(fine, rows, cols, _octave(unit, level + 1))
    counts[LEVELS] = _histogram(low[None], rows, cols, _octave(unit, LEVELS))
    return counts, low.reshape(count, -1).T / np.float32(2**LEVELS)


def _octave(unit: float, level: int) -> int:
    """Octave in which the buckets of a level begin, before it is halved as often."""
    return int(np.floor(np.log2(unit))) + _FIRST_OCTAVE + level


def _histogram(
    values: NDArray[np.float32], rows: int, cols: int, octave: int
) -> NDArray[np.float32]:
    """(rows * cols, _BUCKETS) how many magnitudes of (..., H, W) lie in each half octave."""
    # Sign, exponent and the first binary digit of a float32 say the bucket.
    exponents = np.arange(1024) % 512 - 2 * (octave + 127)
    table = np.clip(exponents + 1, 0, _BUCKETS - 1).astype(np.int32)
    *_, height, width = values.shape
    tile = (np.arange(height) * rows // height)[:, None] * cols + np.arange(width) * cols // width
    bins = table[values.view(np.uint32) >> 22] + (tile * _BUCKETS).astype(np.int32)
    found = np.bincount(bins.ravel(), minlength=rows * cols * _BUCKETS)
    return found.reshape(rows * cols, _BUCKETS).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Units:
    """What bytes and detail of N cells at K options are made of.

    Attributes:
        logs: (N, K) bits of magnitudes. samples: (N, K) that are coded.
        lost, lost_fine: (N, K) squared error, of all and of fine detail.
        whole, fine: (N,) squares of all and of fine detail.
    """

    logs: Floats
    samples: Floats
    lost: Floats
    lost_fine: Floats
    whole: Floats
    fine: Floats


def units(
    known: Statistic, windows: Sequence[Sequence[int]], options: Sequence[tuple[float, float]]
) -> Units:
    """As `profile`, before it is made bytes and shares."""
    count = len(options)
    # Of each tile: logs and errors of K options, and the squares.
    tables = [_table(known, level, options) for level in range(LEVELS + 1)]
    found = [counts @ table for counts, table in zip(known.counts, tables, strict=True)]
    places = np.asarray(windows, float)
    cover = _cover(known, places)
    # The coarsest means show what varies between tiles, not their level.
    sums = cover @ np.hstack([sum(found)[:, :-1], sum(found[:LEVELS])[:, -1:],
                              sum(found[:_FINE_LEVELS])[:, count:], known.means, known.means**2])
    logs, lost, whole, lost_fine, fine, means, squares = np.split(sums, np.cumsum(
        [count, count, 1, count, 1, known.planes]), axis=1)
    area = np.maximum(cover.sum(axis=1, keepdims=True), _TINY)
    whole = whole[:, 0] + np.maximum(squares - means**2 / area, 0).sum(axis=1)
    samples = places[:, 2:].prod(axis=1)[:, None] * known.planes
    samples = samples * np.array([scale**2 for scale, _ in options])
    return Units(logs, samples, lost, lost_fine, whole, fine[:, 0])


def profile(
    known: Statistic, windows: Sequence[Sequence[int]], options: Sequence[tuple[float, float]]
) -> Profile:
    """Estimate cells at each option.

    Args:
        windows: (N, 4) x, y, w, h in pixels of the block, inside it.
        options: (scale, step): scale one of ``SCALES``, step of the wavelet in units of the samples
            or 0 for exact coding.
    Raises:
        ConfigError: an unknown scale or a negative step.
    """
    for scale, step in options:
        if scale not in SCALES or step < 0:
            raise ConfigError(f"rate: no estimate at scale {scale}, step {step}")
    of = units(known, windows, options)
    per = np.array([BYTES_LOSSY if step else BYTES_EXACT for _, step in options])
    sizes = per[:, 0] * of.logs + per[:, 1] * of.samples
    return Profile(sizes, _left(of.lost, of.whole), _left(of.lost_fine, of.fine))


def _magnitudes(known: Statistic) -> Floats:
    """(_BUCKETS,) of the coefficients in each bucket, units of the samples; 0 for the first."""
    half = np.arange(_BUCKETS - 1)
    octaves = np.floor(np.log2(known.unit)) + _FIRST_OCTAVE + half // 2
    return np.append(0.0, 2.0**octaves * np.array(_PLACES)[half % 2])


def _table(known: Statistic, level: int, options: Sequence[tuple[float, float]]) -> Floats:
    """(_BUCKETS, 2 K + 1) of one coefficient of a level: log and squared error at each option, and
    its square."""
    size = _magnitudes(known)
    logs, errors = np.zeros((2, len(options), _BUCKETS))
    for k, (scale, step) in enumerate(options):
        first = SCALES.index(scale)
        if level < first:
            errors[k] = size**2
            continue
        # Averages of 2 x 2 are half of what the orthonormal transform gives, level by level.
        gain = 2.0**first
        if step:
            width = gain * step
            logs[k] = np.log2(1 + (size / width) ** 2) / 2
            errors[k] = np.where(size < width, size**2, width**2 / 12)
        else:
            logs[k] = np.log2(1 + size / (gain * known.unit))
    return np.hstack([logs.T, errors.T, size[:, None] ** 2])


def _cover(known: Statistic, places: Floats) -> Floats:
    """(N, R * C) how often each tile's counts go into a place: by how much of what the tile stands
    for lies in it."""
    x, y, w, h = places.T
    parts = []
    for edges, start, side in ((known.rows, y, h), (known.cols, x, w)):
        low = np.maximum(edges[:-1], start[:, None])
        high = np.minimum(edges[1:], (start + side)[:, None])
        # A tile at the edge has fewer pixels of its own.
        own = np.minimum(TILE, np.diff(edges))
        parts.append(np.maximum(high - low, 0) / own)
    return np.asarray((parts[0][:, :, None] * parts[1][:, None]).reshape(len(places), -1))


def _left(lost: Floats, whole: Floats) -> Floats:
    """Share that is not lost; all of nothing is there."""
    share = 1 - lost / np.maximum(whole, _TINY)[:, None]
    return np.where(whole[:, None] <= _TINY, 1.0, np.clip(share, 0, 1))


def head_bytes(planes: int) -> int:
    """What a coded block takes beside its samples, bytes."""
    return _HEAD_BYTES + _HEAD_BYTES_PER_BAND * planes
