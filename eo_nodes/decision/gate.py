"""Fixed thresholds of a gate: the simplest routing, and what models without heads are given.

Purpose: the values and their checks. Non-purpose: deciding (``routing.fixed`` takes them).
"""

from __future__ import annotations

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
