"""Fixed thresholds of a gate: the simplest routing, and what models without heads are given.

Purpose: the values, their checks, and where they come from when a mission states none.
Non-purpose: deciding (``routing.fixed`` takes them), reading a folder (``lvlm.calibration``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eo_nodes.contracts.errors import ConfigError

FINAL_STAGE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """Thresholds on calibrated confidence in [0, 1].

    Attributes:
        accept: answer at or above, stages 1 to 3. Stage 1 sees no token yet, so it must be surest.
        reject: offload below, stages 1 and 2; the last stage has accept alone.
        min_budget_bytes: what the next contact must still carry for an offload to make sense.
    """

    accept: tuple[float, float, float] = (0.97, 0.92, 0.75)
    reject: tuple[float, float] = (0.10, 0.25)
    min_budget_bytes: int = 0

    def __post_init__(self) -> None:
        values = (*self.accept, *self.reject)
        if len(self.accept) != 3 or len(self.reject) != 2 or not all(0 <= v <= 1 for v in values):
            raise ConfigError("gate: three accept and two reject thresholds in [0, 1]")
        if any(low > high for low, high in zip(self.reject, self.accept, strict=False)):
            raise ConfigError("gate: a reject threshold lies above its accept threshold")


def gate_of(
    accept: Sequence[float], reject: Sequence[float],
    answer_above: Sequence[float], offload_below: Sequence[float],
    *, min_budget_bytes: int = 0,
) -> GateConfig:
    """Thresholds of a mission; where it states none, those fitted with the model.

    At the end of an answer nothing is left to go on for: it stands from where the ground is no
    longer called for (``offload_below``), though ``answer_above`` may lie higher, or nowhere.

    Args:
        accept (3), reject (2): in [0, 1]; below 0 where the model's is wanted.
        answer_above, offload_below: of the model's calibration, stages 1 to 3, in [0, 1].
    Raises:
        ConfigError: another number of thresholds, out of range, or in the wrong order.
    """
    fitted = (*answer_above[: FINAL_STAGE - 1], offload_below[FINAL_STAGE - 1])
    return GateConfig(
        accept=_stated(accept, fitted),  # type: ignore[arg-type]  # GateConfig counts them
        reject=_stated(reject, offload_below[: FINAL_STAGE - 1]),  # type: ignore[arg-type]
        min_budget_bytes=min_budget_bytes,
    )


def _stated(wanted: Sequence[float], fitted: Sequence[float]) -> tuple[float, ...]:
    if len(wanted) != len(fitted):
        raise ConfigError(f"gate: {len(wanted)} thresholds, expected {len(fitted)}")
    return tuple(
        fit if one < 0 else float(one) for one, fit in zip(wanted, fitted, strict=True)
    )
