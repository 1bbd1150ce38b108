"""What of a window is sent at a level of compression: one function for node, study and evaluation.

Purpose: from a level's name to regions and overview. Non-purpose: which level (``levels``), coding
(a `Coder`), writing the file.

Levels are whole (one block of the window: raw, lossless, lossy, uniform) or prompted (regions by
value per byte, or by two cut-offs). Without a level, regions take what bytes there are. A level
that does not fit into the most that a product may take goes as regions of so many bytes.

Source: own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.values import Region

from .levels import Level
from .regions import allocate, grid_for, merge, relative
from .sending import Base, Coder, SendingConfig, plan

Sent = tuple[tuple[Region, ...], Base | None]
"""Regions that tile the window, best first, and the overview as ``Coder.size`` takes it."""
_LOSSY = 1 / 16
"""Wavelet step of whole lossy levels, share of the contrast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoffs:
    """Two fixed thresholds, what regions by value are compared with.

    Attributes:
        keep_at, drop_below: shares of the highest relevance, [0, 1]; in between a cell is
            downsampled to ``scale`` of its side.
        cell_px: side of a cell, about, scene pixels. most: cells a side at most.
    """

    keep_at: float = 0.6
    drop_below: float = 0.2
    scale: float = 0.5
    cell_px: int = 32
    most: int = 8


TWO_CUTOFFS = Cutoffs()


def product_of(
    level: Level | None,
    coder: Coder,
    window: Sequence[int],
    relevance: NDArray[np.floating],
    raw_bytes: int,
    sending: SendingConfig,
    *,
    most_bytes: float | None = None,
    cutoffs: Cutoffs = TWO_CUTOFFS,
) -> Sent:
    """Choose what a product holds.

    Args:
        level: of ``levels.LEVELS``; None: regions within ``most_bytes``.
        coder: of the window. window: x, y, w, h in scene pixels.
        relevance: (rows, columns) in [0, 1], any size. raw_bytes: of the window as stored, > 0.
        most_bytes: that the file may take whatever the level says; None for no limit.
    Raises:
        ConfigError: relevance, window or configuration break their contract.
    """
    # As it travels in a tap: node and study must not differ in its last digits.
    map_ = np.asarray(relevance, np.float32)
    budget = most_bytes
    if level is not None and level.kind == "regions":
        budget = min(level.share * raw_bytes, np.inf if most_bytes is None else most_bytes)
    elif level is not None and level.kind == "cutoffs":
        return by_cutoffs(coder, window, map_, cutoffs, most_bytes), None
    elif level is not None:
        regions = (whole(level, coder, window),)
        if most_bytes is None or coder.size(regions, None) <= most_bytes:
            return regions, None
    made = plan(map_, window, coder, budget_bytes=budget, config=sending)
    return made.regions, made.base


def whole(level: Level, coder: Coder, window: Sequence[int]) -> Region:
    """The window as one region, as a whole level sends it."""
    codec = "raw" if level.kind == "raw" else ""
    if level.kind in ("lossy", "uniform") and coder.has_steps and coder.contrast > 0:
        codec = f"htj2k/{float(f'{_LOSSY * coder.contrast:.3g}'):g}"
    is_small = level.kind == "uniform"
    return Region(
        window=tuple(window), action="downsample" if is_small else "keep",
        scale=level.share if is_small else 1.0, relevance=1.0, codec=codec,
    )  # fmt: skip


def by_cutoffs(
    coder: Coder, window: Sequence[int], relevance: NDArray[np.floating], cutoffs: Cutoffs,
    most_bytes: float | None = None,
) -> tuple[Region, ...]:
    """Keep, downsample or drop by two thresholds; cut back least relevant first to fit."""
    left = None if most_bytes is None else max(int(most_bytes) - coder.size((), None), 0)
    return merge(allocate(
        relative(relevance), window,
        grid_for(window, cell_px=cutoffs.cell_px, most=cutoffs.most),
        keep_at=cutoffs.keep_at, drop_below=cutoffs.drop_below, bytes_budget=left,
        estimate=coder.block_size, downsample_scale=cutoffs.scale,
    ))  # fmt: skip
