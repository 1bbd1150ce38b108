"""From token statistics to the chance that the answer is right; fitted on val, stored per model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


# Near exp(mean_logprob), and fitted on nothing (n = 0).
UNCALIBRATED = StageCalibration(("mean_logprob",), (3.2,), 2.2, 0.5, 0.2, 1.0, 0)


def calibration_of(folder: Path) -> Mapping[int, StageCalibration]:
    """As `read_calibration`; ``UNCALIBRATED`` at every stage where a folder brings none."""
    if (folder / NAME).is_file():
        return read_calibration(folder)
    return dict.fromkeys((1, 2, 3), UNCALIBRATED)


def read_calibration(folder: Path) -> Mapping[int, StageCalibration]:
    """Calibration per stage (1, 2, 3) from ``calibration.json``.

    Raises:
        ModelError: unreadable, a stage or key missing, an unknown feature.
    """
    raw: Mapping[str, Any] = read_json(folder / NAME)
    try:
        stages = {int(k): _stage(v) for k, v in raw["stages"].items()}
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"calibration.json does not fit: {error}") from error
    if set(stages) != {1, 2, 3}:
        raise ModelError(f"calibration.json has stages {sorted(stages)}, expected 1, 2, 3")
    return stages


def _stage(raw: Mapping[str, Any]) -> StageCalibration:
    features, weights = tuple(raw["features"]), tuple(map(float, raw["weights"]))
    if len(features) != len(weights) or not set(features) <= set(FEATURES):
        raise ValueError(f"features {features}, {len(weights)} weights")
    return StageCalibration(features, weights, float(raw["bias"]), float(raw["answer_above"]),
                            float(raw["offload_below"]), float(raw["ece"]), int(raw["n"]))
