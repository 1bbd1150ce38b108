"""What a cell costs and still shows at a scale and a quality, estimated without coding it.

Theory of operation: one Haar transform of a window (four levels, bands of a colour picture made
uncorrelated first) is kept as one statistic: for every tile of 16 pixels and every level, how many
coefficients there are of each magnitude, in half octaves. Whatever is asked about any cell, scale
and step is then a product of two small matrices, so hundreds of cells with twenty options each take
a millisecond. Downsampling to 1/2 or 1/4 drops the finest levels; a quantisation step zeroes
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
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ConfigError

Array = NDArray[Any]
Floats = NDArray[np.float64]
LEVELS = 4
TILE = 2**LEVELS
SCALES = (1.0, 0.5, 0.25, 0.125)
MOST_SAMPLES = 70_000
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
_TOLD = 2  # sets of options: of a product, and of what follows it
# Places in a tile, by their binary digits from the lowest on.
_REVERSED = np.array([int(f"{i:0{LEVELS}b}"[::-1], 2) for i in range(TILE)])
# Equal weights and two differences: near to what the coder's colour transform does.
_TURN = np.divide([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.sqrt([[3], [2], [6]]), dtype=np.float32)


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
        counts: (R * C, LEVELS + 1, _BUCKETS) coefficients of each tile looked at; the last level
            holds the coarsest means.
        means: (R * C, P) the coarsest means. rows, cols: (R + 1,), (C + 1,) edges in pixels of
            what each tile stands for. planes: P. unit: spacing of the samples.
        told: bits and errors of each tile, by the options that were asked about last.
    """

    counts: NDArray[np.float32]
    means: NDArray[np.float32]
    rows: Floats
    cols: Floats
    planes: int
    unit: float
    told: dict[tuple[tuple[float, float], ...], NDArray[np.float32]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """What it takes."""
        return sum(v.nbytes for v in (self.counts, self.means, *self.told.values()))


def spacing(samples: int, least_px: int) -> tuple[int, int]:
    """Every how many tiles are looked at, down and across, of so many samples; see `statistic`."""
    farthest = max(1, least_px // TILE)
    down = min(farthest, max(1, round(sqrt(samples / MOST_SAMPLES))))
    return down, min(farthest, max(1, round(samples / MOST_SAMPLES / down)))


def statistic(block: Array, *, unit: float = 1.0, least_px: int = 32) -> Statistic:
    """Look at a window once.

    Args:
        block: (F, H, W, C) pixels, finite.
        unit: spacing of the samples; what exact coding resolves, > 0.
        least_px: cells asked about later are at least so wide: each keeps a tile.
    """
    frames, height, width, bands = block.shape
    down, across = spacing(block.size, least_px)
    y, x = _taken(height, down), _taken(width, across)
    counts, means = _counts(_planes(block, y, x), unit)
    rows, cols = (np.append(np.arange(0, side, TILE * step), side).astype(float)
                  for side, step in ((height, down), (width, across)))
    return Statistic(counts, means, rows, cols, frames * bands, unit)


def _planes(block: Array, y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.float32]:
    """(F * C, TILE, TILE, R, C) of these rows (TILE, R) and columns (TILE, C); three planes are
    made uncorrelated."""
    frames, _, width, bands = block.shape
    row = np.arange(0, y.size * width, width).reshape(y.shape)
    place = row[:, None, :, None] + x[None, :, None]
    part = block.take(y.ravel(), 1).reshape(frames, -1, bands).take(place.ravel(), 1)
    planes = np.ascontiguousarray(part.transpose(0, 2, 1), np.float32).reshape(-1, place.size)
    if len(planes) == len(_TURN):
        planes = _TURN @ planes
    return planes.reshape(-1, *place.shape)


def _taken(side: int, every: int) -> NDArray[np.int64]:
    """(TILE, N) pixels along one side of every so many tiles; what a tile lacks at the edge is
    repeated. Ordered by the lowest binary digit of a pixel's place in its tile first, so that what
    each level of the transform joins are two halves."""
    starts = np.arange(0, side, TILE * every)
    return np.minimum(_REVERSED[:, None] + starts, side - 1)


def _counts(
    planes: NDArray[np.float32], unit: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Counts and coarsest means, as `Statistic` has them, of planes (P, TILE, TILE, R, C)."""
    tiles = planes.shape[3] * planes.shape[4]
    made = np.empty((planes.size // tiles, tiles), np.float32)
    low, ends = planes, [0]
    for _ in range(LEVELS):
        # Sums and differences alone: the halves of the orthonormal transform are in `_octave`.
        half = low.shape[1] // 2
        left, right = low[:, :, :half], low[:, :, half:]
        sums, differences = left + right, left - right
        top, bottom = sums[:, :half], sums[:, half:]
        first, second = differences[:, :half], differences[:, half:]
        ends.append(ends[-1] + 3 * top.size // tiles)
        fine = made[ends[-2] : ends[-1]].reshape(3, *top.shape)
        np.add(first, second, out=fine[0])
        np.subtract(top, bottom, out=fine[1])
        np.subtract(first, second, out=fine[2])
        low = top + bottom
    made[ends[-1] :] = low.reshape(-1, tiles)
    # Exponent and first binary digit of a float32 say the bucket.
    bits = made.view(np.uint32)
    bits <<= 1
    bits >>= 23
    bins = bits.view(np.int32)
    parts = [bins[a:b] for a, b in pairwise([*ends, len(bins)])]
    for level, part in enumerate(parts, 1):
        part -= 2 * (_octave(unit, min(level, LEVELS)) + 127) - 1
    np.maximum(bins, 0, out=bins)
    np.minimum(bins, _BUCKETS - 1, out=bins)
    place = np.arange(tiles * len(parts), dtype=np.int32).reshape(tiles, -1) * _BUCKETS
    for part, of_tile in zip(parts, place.T, strict=True):
        part += of_tile
    found = np.bincount(bins.ravel(), minlength=place.size * _BUCKETS)
    counts = found.reshape(tiles, LEVELS + 1, _BUCKETS).astype(np.float32)
    return counts, low.reshape(-1, tiles).T / np.float32(2**LEVELS)


def _octave(unit: float, level: int) -> int:
    """Octave in which the buckets of a level begin, before it is halved as often."""
    return int(np.floor(np.log2(unit))) + _FIRST_OCTAVE + level


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
    known: Statistic, windows: Sequence[Sequence[int]] | Array,
    options: Sequence[tuple[float, float]],
) -> Units:
    """As `profile`, before it is made bytes and shares."""
    count = len(options)
    places = np.asarray(windows, float)
    found = _of_tiles(known, options)
    high, wide = _cover(known, places)
    cover = (high[:, :, None] * wide[:, None]).reshape(len(places), -1)
    # The coarsest means show what varies between tiles, not their level.
    means = known.means.astype(np.float64)
    sums = np.hstack([cover.astype(np.float32) @ found, cover @ np.hstack([means, means**2])])
    logs, lost, whole, lost_fine, fine, means, squares = np.split(sums, np.cumsum(
        [count, count, 1, count, 1, known.planes]), axis=1)
    area = np.maximum(cover.sum(axis=1, keepdims=True), _TINY)
    whole = whole[:, 0] + np.maximum(squares - means**2 / area, 0).sum(axis=1)
    samples = places[:, 2:].prod(axis=1)[:, None] * known.planes
    samples = samples * np.array([scale**2 for scale, _ in options])
    return Units(logs, samples, lost, lost_fine, whole, fine[:, 0])


def _of_tiles(known: Statistic, options: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    """(R * C, 3 K + 2) as `_table`, of each tile: any cell is made of them."""
    key = tuple(options)
    if key not in known.told:
        while len(known.told) >= _TOLD:
            del known.told[next(iter(known.told))]
        # 32 bits hold counts and magnitudes alike.
        known.told[key] = known.counts.reshape(len(known.counts), -1) @ _table(known, options)
    return known.told[key]


def profile(
    known: Statistic, windows: Sequence[Sequence[int]] | Array,
    options: Sequence[tuple[float, float]],
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


def _table(known: Statistic, options: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    """((LEVELS + 1) * _BUCKETS, 3 K + 2) of one coefficient: bits and squared error at each of K
    options, its square unless it is a coarsest mean; of fine detail alone error and square."""
    size = _magnitudes(known)
    first = np.array([SCALES.index(scale) for scale, _ in options])[:, None]
    # Averages of 2 x 2 are half of what the orthonormal transform gives, level by level.
    step = np.array([step for _, step in options])[:, None] * 2.0**first
    is_exact = step == 0
    spacing = np.where(is_exact, 1.0, step)
    bits = np.where(is_exact, np.log2(1 + size / (2.0**first * known.unit)),
                    np.log2(1 + (size / spacing) ** 2) / 2)
    error = np.where(is_exact, 0.0, np.where(size < spacing, size**2, spacing**2 / 12))
    level = np.arange(LEVELS + 1)[:, None, None]
    is_there = level >= first  # finer levels go with the size
    errors = np.where(is_there, error, size**2)
    squares = np.broadcast_to(size**2, (LEVELS + 1, 1, _BUCKETS))
    parts = [np.where(is_there, bits, 0.0), errors, squares * (level < LEVELS),
             errors * (level < _FINE_LEVELS), squares * (level < _FINE_LEVELS)]
    table = np.concatenate(parts, axis=1).transpose(0, 2, 1)
    return table.reshape(-1, table.shape[2]).astype(np.float32)


def _cover(known: Statistic, places: Floats) -> tuple[Floats, Floats]:
    """(N, R) and (N, C), whose product says how often each tile's counts go into a place: by how
    much of what the tile stands for lies in it."""
    x, y, w, h = places.T
    parts = []
    for edges, start, side in ((known.rows, y, h), (known.cols, x, w)):
        low = np.maximum(edges[:-1], start[:, None])
        high = np.minimum(edges[1:], (start + side)[:, None])
        # A tile at the edge has fewer pixels of its own.
        own = np.minimum(TILE, np.diff(edges))
        parts.append(np.maximum(high - low, 0) / own)
    return parts[0], parts[1]


def _left(lost: Floats, whole: Floats) -> Floats:
    """Share that is not lost; all of nothing is there."""
    share = 1 - lost / np.maximum(whole, _TINY)[:, None]
    return np.where(whole[:, None] <= _TINY, 1.0, np.clip(share, 0, 1))


def head_bytes(planes: int) -> int:
    """What a coded block takes beside its samples, bytes."""
    return _HEAD_BYTES + _HEAD_BYTES_PER_BAND * planes
