"""The trained heads of a model folder: from what a tap knows to calibrated scores, in numpy.

``heads.npz`` holds numbers, ``decision.json`` what they mean; both are vouched for by the folder's
manifest and belong to that model. Training them is no work of this module (``training.decision``).

Theory of operation, for each of the three taps: blocks of the feature vector are whitened by one
matrix each and clipped; a few small networks run side by side and their outputs are averaged; three
targets come out: the chance that the answer on board is right, how alike the regular model's answer
would be, and what asking the ground adds to the chance of a right one. Each is calibrated on a
split of its own. Where the input lies farther from what the heads have seen than nearly all of that
split, they abstain (``is_familiar``): by the mean square of whitened evidence and hidden state, and
by what the whitening leaves over (a Mahalanobis distance in two parts). A prompt that is worded in
a new way is no reason to abstain: it is taken for the mean prompt. Some 50,000
multiply-accumulates a tap, of 1.4 10^9 of the compact model.

Source: own; calibration by temperature (Guo et al. 2017) or isotonic regression.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, tanh
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.decision.casework import Means, means_from_plain

Double = NDArray[np.float64]

NUMBERS, FACTS = "heads.npz", "decision.json"
FILES = (NUMBERS, FACTS)
VERSION = 1
STAGES = (1, 2, 3)
TARGETS = ("correct", "alike", "gain")
RIGHT_FROM = 0.5
"""Quality from which an answer counts as right, for heads and their figures (training's too)."""
_CLIP = 6.0
_PROMPT = "prompt"
_FAR_BLOCKS = ("evidence", "hidden")


@dataclass(frozen=True, slots=True)
class Scores:
    """What the heads say at a tap.

    Attributes:
        correct: chance in [0, 1] that the answer on board is right.
        alike: expected similarity in [0, 1] to what the regular model would answer.
        gain: expected gain in [-1, 1] in the chance of a right answer by asking the ground.
        distance: from what the heads know; 1 is the limit.
        is_familiar: False: the heads abstain.
    """

    correct: float
    alike: float
    gain: float
    distance: float
    is_familiar: bool


@dataclass(frozen=True, slots=True)
class _Link:
    """Calibration of one target."""

    scale: float
    shift: float
    is_isotonic: bool
    x: Double
    y: Double

    def value(self, raw: float, *, is_gain: bool) -> float:
        z = self.scale * raw + self.shift
        value = tanh(z) if is_gain else 1 / (1 + exp(-min(max(z, -30.0), 30.0)))
        return float(np.interp(value, self.x, self.y)) if self.is_isotonic else value


@dataclass(frozen=True, slots=True)
class _Stage:
    mean: Double
    limit: float
    projections: tuple[tuple[str, Double, Double], ...]  # name, matrix, one over its squared norms
    network: tuple[Double, Double, Double, Double]  # all members side by side, their mean
    links: tuple[_Link, _Link, _Link]
    far: tuple[float, float]


class Heads:
    """Made by `read_heads`; no state, so the same tap always gives the same scores.

    Attributes:
        sizes: length of each block of the feature vector, in order.
        there: share of right answers of the regular model where the heads were fitted.
        alike_gain: mean gain a unit of unlikeness, there.
        means: what the folder says of sizes, levels and answers, as stated where it says nothing.
    """

    def __init__(self, sizes: Mapping[str, int], stages: Mapping[int, _Stage], there: float,
                 alike_gain: float, means: Means | None = None) -> None:
        self.sizes, self._stages = dict(sizes), dict(stages)
        self.there, self.alike_gain = there, alike_gain
        self.means = means or Means()
        self.length = sum(sizes.values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the projections and networks of all taps."""
        return sum(
            sum(matrix.size for _, matrix, _ in own.projections)
            + own.network[0].size + own.network[2].size for own in self._stages.values()
        )  # fmt: skip

    def scores(self, stage: int, features: Sequence[float] | NDArray[np.floating]) -> Scores:
        """Scores of one tap.

        Args:
            stage: 1, 2 or 3. features: (F,) as ``lvlm.tap_features`` makes them, F = ``length``.
        Raises:
            ModelError: another stage or length, or a number that is not finite.
        """
        if stage not in self._stages:
            raise ModelError(f"no head for stage {stage}")
        x = np.asarray(features, np.float64)
        if x.shape != (self.length,) or not np.isfinite(x).all():
            raise ModelError(f"features of shape {x.shape}, expected ({self.length},), finite")
        own = self._stages[stage]
        z, distance = self._project(own, x)
        first, bias, second, bias2 = own.network
        raw = np.maximum(z @ first + bias, 0.0) @ second + bias2
        correct, alike, gain = (
            link.value(float(r), is_gain=name == "gain")
            for link, r, name in zip(own.links, raw, TARGETS, strict=True))
        return Scores(min(max(correct, 0.0), 1.0), min(max(alike, 0.0), 1.0),
                      min(max(gain, -1.0), 1.0), distance, distance <= 1.0)

    def _project(self, own: _Stage, x: Double) -> tuple[Double, float]:
        centred = x - own.mean
        parts, begin, inside, outside = [], 0, 0.0, 0.0
        for (name, matrix, norms), size in zip(own.projections, self.sizes.values(), strict=True):
            block = centred[begin : begin + size]
            begin += size
            whitened = block @ matrix
            squares = whitened * whitened
            over = max(float(block @ block - squares @ norms), 0.0)
            if name == _PROMPT and over > own.limit:
                whitened = np.zeros_like(whitened)
            parts.append(whitened)
            if name in _FAR_BLOCKS and matrix.shape[1]:
                inside += float(squares.sum()) / len(squares)
                outside += over
        distance = max(inside / own.far[0], outside / own.far[1])
        return np.concatenate(parts).clip(-_CLIP, _CLIP), distance

    def wanted(self, scores: Scores, target: str) -> tuple[float, float]:
        """(score, gain) for routing by one target, see the function `wanted`."""
        return wanted(scores, target, self.there, self.alike_gain)


def wanted(scores: Scores, target: str, there: float, alike_gain: float) -> tuple[float, float]:
    """(score, gain) for routing by one target.

    ``gain`` uses both heads; ``correct`` takes the mean regular model for the ground, so that only
    confidence counts; ``alike`` takes similarity for correctness, as published.

    Args:
        there, alike_gain: as `Heads`.
    Raises:
        ModelError: unknown target.
    """
    if target == "gain":
        return scores.correct, scores.gain
    if target == "correct":
        return scores.correct, there - scores.correct
    if target == "alike":
        return scores.alike, alike_gain * (1 - scores.alike)
    raise ModelError(f"unknown target {target!r}, known: {', '.join(TARGETS)}")


def has_heads(folder: Path) -> bool:
    """Whether a model folder brings heads."""
    return (folder / NUMBERS).is_file()


def read_heads(folder: Path) -> Heads:
    """Read the heads of a model folder; whether the files are the released ones is not seen here.

    Raises:
        ModelError: a file is missing or unreadable, or its numbers do not fit together.
    """
    try:
        facts: Mapping[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        with np.load(folder / NUMBERS, allow_pickle=False) as stored:
            numbers = {name: np.asarray(stored[name], np.float64) for name in stored.files}
        if facts["version"] != VERSION:
            raise ValueError(f"version {facts['version']}, known is {VERSION}")
        sizes = {str(k): int(v) for k, v in facts["sizes"].items()}
        stages = {k: _stage(facts["stages"][str(k)], numbers, f"s{k}.", sizes, facts["members"])
                  for k in STAGES}
        means = means_from_plain(facts["means"]) if "means" in facts else None
        return Heads(sizes, stages, float(facts["there"]), float(facts["alike_gain"]), means)
    except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError,
            zipfile.BadZipFile, zlib.error) as fault:
        raise ModelError(f"{folder.name}: heads do not fit: {fault!r}") from fault


def _stage(
    facts: Mapping[str, Any], numbers: Mapping[str, Double], at: str, sizes: Mapping[str, int],
    members: int,
) -> _Stage:
    mean = numbers[f"{at}mean"]
    projections = []
    for name, size in sizes.items():
        matrix = numbers[f"{at}project.{name}"]
        if matrix.ndim != 2 or matrix.shape[0] != size:
            raise ValueError(f"{at}{name} is {matrix.shape}, its block has {size}")
        projections.append((name, matrix, 1 / np.maximum((matrix**2).sum(0), 1e-6)))
    width = sum(m.shape[1] for _, m, _ in projections)
    networks = []
    for k in range(members):
        first, bias, second, bias2 = (numbers[f"{at}m{k}.{n}"]
                                      for n in ("in", "in_bias", "out", "out_bias"))
        fits = (first.shape == (width, len(bias)) and second.shape == (len(bias), len(TARGETS))
                and bias2.shape == (len(TARGETS),))
        if not fits:
            raise ValueError(f"{at}m{k} is {first.shape} and {second.shape}, inputs are {width}")
        networks.append((first, bias, second, bias2))
    correct, alike, gain = (_link(facts["calibration"][t], numbers, f"{at}{t}.") for t in TARGETS)
    far = (float(facts["far"][0]), float(facts["far"][1]))
    if not networks or mean.shape != (sum(sizes.values()),) or min(far) <= 0:
        raise ValueError(f"{at}mean is {mean.shape}, members {members}, far {far}")
    if not all(np.isfinite(v).all() for k, v in numbers.items() if k.startswith(at)):
        raise ValueError(f"{at} holds a number that is not finite")
    limit = float(numbers[f"{at}limit"].item())
    network = (np.hstack([n[0] for n in networks]), np.concatenate([n[1] for n in networks]),
               np.vstack([n[2] for n in networks]) / members,
               np.mean([n[3] for n in networks], axis=0))
    return _Stage(mean, limit, tuple(projections), network, (correct, alike, gain), far)


def _link(facts: Mapping[str, Any], numbers: Mapping[str, Double], at: str) -> _Link:
    x, y = numbers[f"{at}x"], numbers[f"{at}y"]
    if facts["kind"] not in ("temperature", "isotonic") or x.shape != y.shape or not len(x):
        raise ValueError(f"{at} calibration {facts['kind']}, {x.shape} and {y.shape} knots")
    if (np.diff(y) < 0).any():
        raise ValueError(f"{at} calibration falls")
    return _Link(float(facts["scale"]), float(facts["shift"]), facts["kind"] == "isotonic", x, y)
