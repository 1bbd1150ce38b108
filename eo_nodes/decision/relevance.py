"""How relevant each part of a window is to a prompt: several cues on one fine grid.

Purpose: put together what the model on board knows at a tap. Non-purpose: models (``lvlm.cues``
fills in `Cues`), choosing regions (``sending``).

Theory of operation. Three cues, each the chance that a place matters, in [0, 1]:

- attention: the model's own prompt-region attention, a cell of the overview each;
- marks: what the vision heads propose, where its kind is one that the prompt names; drawn as boxes
  on a grid fine enough for small things, so these keep a cell of their own however coarse
  attention is;
- language: how far a cell stands out from the others by its cosine to the prompt's sentence.

A place matters if any cue says so: chances are joined as of independent causes, weighted, and then
raised to a power: what a prompt names is rare, and scores of networks fall more slowly than how
often they are right. A prompt that names no known kind leaves attention and language.

Source: own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ConfigError

Floats = NDArray[np.float64]
_NONE = np.zeros((0, 4))
MOST_CELLS = 64


@dataclass(frozen=True, slots=True)
class Cues:
    """What a model knows of one window at a tap.

    Attributes:
        attention: (rows, columns) in [0, 1], or empty.
        boxes: (n, 4) x1 y1 x2 y2 in [0, 1] of the window. chances: (n,) that there is a thing of a
            kind that the prompt names.
        cosines: (rows, columns) of each cell to the prompt's sentence, or empty.
    """

    attention: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    boxes: Floats = field(default_factory=lambda: _NONE)
    chances: Floats = field(default_factory=lambda: np.zeros(0))
    cosines: Floats = field(default_factory=lambda: np.zeros((0, 0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RelevanceConfig:
    """Weights of the cues in [0, 1] and what is made of them, found on val.

    Attributes:
        attention, marks, language: weight of each cue; 0 leaves it out.
        sharpness: power of what they say together, at least 1.
        margin: what surrounds a proposal tells what it is: share of its side added on each side.
        grid: cells of the fine grid along the longer side.
    """

    attention: float = 0.25
    marks: float = 1.0
    language: float = 0.0
    sharpness: float = 2.0
    margin: float = 0.25
    grid: int = 64

    def __post_init__(self) -> None:
        if not all(0 <= w <= 1 for w in (self.attention, self.marks, self.language)):
            raise ConfigError("relevance: weights lie in [0, 1]")
        if not self.sharpness >= 1:
            raise ConfigError(f"relevance: sharpness {self.sharpness}")
        if not 1 <= self.grid <= MOST_CELLS or self.margin < 0:
            raise ConfigError(f"relevance: grid {self.grid}, margin {self.margin}")


def relevance_of(cues: Cues, height: int, width: int, config: RelevanceConfig) -> Floats:
    """Join the cues of a window of ``height`` x ``width`` pixels.

    Returns:
        (rows, columns) in [0, 1], the longer side at most ``config.grid`` cells, whole parts of
        the cells of attention where there are any; ones without any cue: a model that knows
        nothing must not make anything less relevant.
    """
    rows, cols = _fine(cues.attention, height, width, config.grid)
    none = 1 - config.marks * marks(cues.boxes, cues.chances, rows, cols, margin=config.margin)
    if config.attention:
        none *= 1 - config.attention * on_grid(cues.attention, rows, cols)
    if config.language:
        none *= 1 - config.language * on_grid(standing_out(cues.cosines), rows, cols)
    return (1 - none) ** config.sharpness if (none < 1).any() else np.ones((rows, cols))


def _fine(attention: Floats, height: int, width: int, most: int) -> tuple[int, int]:
    """Rows and columns of the fine grid."""
    if attention.ndim == 2 and 0 not in attention.shape:
        parts = max(1, most // max(attention.shape))
        return attention.shape[0] * parts, attention.shape[1] * parts
    longest = max(height, width)
    return max(1, round(most * height / longest)), max(1, round(most * width / longest))


def on_grid(values: Floats, rows: int, cols: int) -> Floats:
    """Map (r, c) onto (rows, cols), each fine cell the coarse one below its centre.

    NaN, infinite and out-of-range values are made chances; an empty map is zeros.
    """
    if values.ndim != 2 or 0 in values.shape:
        return np.zeros((rows, cols))
    clean = np.fmin(np.fmax(values, 0.0), 1.0)  # NaN is 0
    y = ((np.arange(rows) + 0.5) * values.shape[0] / rows).astype(int)
    x = ((np.arange(cols) + 0.5) * values.shape[1] / cols).astype(int)
    return np.asarray(clean[y[:, None], x])


def marks(
    boxes: Floats, chances: Floats, rows: int, cols: int, *, margin: float = 0.0
) -> Floats:
    """Draw boxes on a grid: each cell that a box touches has the highest of their chances.

    Args:
        boxes: (n, 4) in [0, 1]; those with NaN or without area are left out.
        chances: (n,); NaN counts as 0.
    """
    out = np.zeros((rows, cols))
    if boxes.shape != (len(chances), 4):
        raise ConfigError(f"relevance: boxes {boxes.shape}, chances {chances.shape}")
    sizes = boxes[:, 2:] - boxes[:, :2]
    is_drawn = (sizes > 0).all(axis=1) & (chances > 0)  # also NaN
    sides, wider = (cols, rows), margin * sizes[is_drawn]
    first = np.minimum(_inside(boxes[is_drawn, :2] - wider) * sides, np.subtract(sides, 1))
    first = first.astype(np.int64)
    last = np.ceil(_inside(boxes[is_drawn, 2:] + wider) * sides).astype(np.int64)
    last = np.minimum(np.maximum(last, first + 1), sides)
    for (left, top), (right, bottom), chance in zip(
            first.tolist(), last.tolist(), np.minimum(chances[is_drawn], 1.0).tolist(),
            strict=True):
        part = out[top:bottom, left:right]
        np.maximum(part, chance, out=part)
    return out


def _inside(places: Floats) -> Floats:
    """Places on the unit length."""
    return np.fmin(np.fmax(places, 0.0), 1.0)


def standing_out(cosines: Floats) -> Floats:
    """Chance of each cell by how many deviations its cosine lies above the mean of all.

    Cosines of one picture lie close together and their level means little; 0 below the mean, 1/2
    at one and a half deviations, near 1 at three.
    """
    if cosines.ndim != 2 or 0 in cosines.shape:
        return np.zeros((0, 0))
    clean = np.clip(np.nan_to_num(cosines), -1, 1)
    spread = float(clean.std())
    if spread < 1e-6:
        return np.zeros(cosines.shape)
    z = np.maximum((clean - clean.mean()) / spread, 0)
    return np.asarray(z**2 / (z**2 + 1.5**2))
