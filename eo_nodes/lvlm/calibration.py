"""From a model's scores to chances that hold: of its answers, by token statistics, and of what it
proposes, by kind. Fitted on labelled pictures, stored per model in ``calibration.json``.

Sources: Platt 1999; matrix scaling, Guo et al. 2017.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.manifest import read_json

if TYPE_CHECKING:
    from eo_nodes.lvlm.runtime_greedy import TapState

NAME = "calibration.json"
FEATURES = ("mean_logprob", "min_logprob", "entropy_mean", "first_token_margin", "tokens")


@dataclass(frozen=True, slots=True)
class StageCalibration:
    """Logistic regression of one stage.

    Attributes:
        weights: one per name in ``features`` (fields of ``TapState``); bias likewise.
        answer_above: suggested threshold, confidence in [0, 1] from which to answer.
        offload_below: suggested threshold under which to stop decoding and offload.
        ece: expected calibration error on val, ten bins; n: answers it was fitted on.
    """

    features: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float
    answer_above: float
    offload_below: float
    ece: float
    n: int

    def confidence(self, tap: TapState) -> float:
        """Chance in [0, 1] that the answer is right, by what this tap shows."""
        x = [min(float(getattr(tap, f)), 20.0) / (10.0 if f == "tokens" else 1.0)
             for f in self.features]
        z = self.bias + sum(w * v for w, v in zip(self.weights, x, strict=True))
        return 1 / (1 + exp(-max(-30.0, min(30.0, z))))


@dataclass(frozen=True, slots=True)
class KindCalibration:
    """Logistic regression of each kind on the chances of all: what looks like a tree to a network
    that sees trees everywhere is one sooner where it looks like no car.

    Attributes:
        names: K kinds. weights: (K, K), a row for each kind, of the logits of all; bias: (K,).
    """

    names: tuple[str, ...]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def chances(self, kinds: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, K) as the network says them -> (n, K) that a proposal is of each kind."""
        z = logits(kinds) @ self.weights.T + self.bias
        return np.asarray(1 / (1 + np.exp(-np.clip(z, -30, 30))))


@dataclass(frozen=True, slots=True)
class Calibration(Mapping[int, StageCalibration]):
    """Of the stages 1, 2, 3; kinds: of proposals, None where a folder brings none."""

    stages: Mapping[int, StageCalibration]
    kinds: KindCalibration | None = None

    def __getitem__(self, stage: int) -> StageCalibration:
        return self.stages[stage]

    def __iter__(self) -> Iterator[int]:
        return iter(self.stages)

    def __len__(self) -> int:
        return len(self.stages)


def logits(chances: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of chances, those near 0 and 1 held back."""
    held = np.clip(chances.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(held / (1 - held)))


# Near exp(mean_logprob), and fitted on nothing (n = 0).
UNCALIBRATED = StageCalibration(("mean_logprob",), (3.2,), 2.2, 0.5, 0.2, 1.0, 0)


def calibration_of(folder: Path) -> Calibration:
    """As `read_calibration`; ``UNCALIBRATED`` at every stage where a folder brings none."""
    if (folder / NAME).is_file():
        return read_calibration(folder)
    return Calibration(dict.fromkeys((1, 2, 3), UNCALIBRATED))


def read_calibration(folder: Path) -> Calibration:
    """Calibration per stage (1, 2, 3), and of kinds where it is there, from ``calibration.json``.

    Raises:
        ModelError: unreadable, a stage or key missing, an unknown feature, other kinds than those
            of the model, numbers that are none.
    """
    raw: Mapping[str, Any] = read_json(folder / NAME)
    try:
        stages = {int(k): _stage(v) for k, v in raw["stages"].items()}
        kinds = _kinds(raw["kinds"]) if "kinds" in raw else None
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"calibration.json does not fit: {error}") from error
    if set(stages) != {1, 2, 3}:
        raise ModelError(f"calibration.json has stages {sorted(stages)}, expected 1, 2, 3")
    if kinds is not None:
        known = tuple(read_json(folder / "config.json").get("kinds", ()))
        if kinds.names != known:
            raise ModelError(f"calibration.json is for the kinds {', '.join(kinds.names)}, the "
                             f"model proposes {', '.join(known)}")
    return Calibration(stages, kinds)


def _stage(raw: Mapping[str, Any]) -> StageCalibration:
    features, weights = tuple(raw["features"]), tuple(map(float, raw["weights"]))
    if len(features) != len(weights) or not set(features) <= set(FEATURES):
        raise ValueError(f"features {features}, {len(weights)} weights")
    return StageCalibration(features, weights, float(raw["bias"]), float(raw["answer_above"]),
                            float(raw["offload_below"]), float(raw["ece"]), int(raw["n"]))


def _kinds(raw: Mapping[str, Any]) -> KindCalibration:
    names = tuple(map(str, raw["names"]))
    weights, bias = np.array(raw["weights"], np.float64), np.array(raw["bias"], np.float64)
    if weights.shape != (len(names),) * 2 or bias.shape != (len(names),):
        raise ValueError(f"{len(names)} kinds, weights {weights.shape}, bias {bias.shape}")
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        raise ValueError("kinds: a weight or bias that is no number")
    return KindCalibration(names, weights, bias)
