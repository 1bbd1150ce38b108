"""Route a request at a tap: go on decoding, answer on board, or send regions to the ground.

Purpose: the first routing policy, thresholds on the model's calibrated confidence, with the modes
and the contact plan above it. Non-purpose: choosing regions (``regions``), calibrating (the model).
"""

from __future__ import annotations

from dataclasses import dataclass

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import ByteBudget, ContactPlan, Tap, Verdict

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


class Gate:
    """Decide taps. No state, so the same tap always gives the same verdict."""

    def __init__(self, config: GateConfig) -> None:
        self._config = config

    def decide(
        self,
        tap: Tap,
        plan: ContactPlan | None,
        budget: ByteBudget | None,
        mode: str,
        now_ns: int,
        *,
        deadline_ns: int = 0,
        consumer: str = "ground",
    ) -> Verdict:
        """Verdict on one tap.

        Args:
            tap: with calibrated confidence.
            plan: coming contacts, or None when no plan is known yet.
            budget: what the next contact can carry, or None when not known.
            mode: ``nominal`` or ``safe``; in safe mode nothing is offloaded.
            deadline_ns: of the request, 0 for none.
            consumer: ``onboard`` when the answer is used on the satellite.
        Returns:
            Verdict whose reason says in one line why.
        """
        stage = min(max(tap.stage, 1), FINAL_STAGE)
        is_final = stage == FINAL_STAGE
        accept = self._config.accept[stage - 1]
        reject = accept if is_final else self._config.reject[stage - 1]
        barrier = self._barrier(plan, budget, mode, now_ns, deadline_ns, consumer)
        score = tap.confidence
        if score >= accept:
            decision, reason = Verdict.ANSWER, f"confidence {score:.3f} reaches {accept:.3f}"
        elif barrier and is_final:
            decision, reason = Verdict.ANSWER, f"best effort, {barrier}"
        elif score < reject and not barrier:
            decision, reason = Verdict.OFFLOAD, f"confidence {score:.3f} is below {reject:.3f}"
        else:
            why = f", {barrier}" if barrier else ""
            decision, reason = Verdict.CONTINUE, f"confidence {score:.3f} decides nothing yet{why}"
        return Verdict(
            request_id=tap.request_id, stamp_ns=now_ns, attempt=tap.attempt, stage=stage,
            decision=decision, score=score, accept=accept, reject=reject, reason=reason,
        )  # fmt: skip

    def _barrier(
        self,
        plan: ContactPlan | None,
        budget: ByteBudget | None,
        mode: str,
        now_ns: int,
        deadline_ns: int,
        consumer: str,
    ) -> str:
        """Why nothing can be offloaded, or an empty string."""
        if mode == "safe":
            return "safe mode"
        if consumer == "onboard":
            return "the answer is used on board"
        if plan is not None and not _has_contact(plan, now_ns, deadline_ns):
            return "no contact before the deadline" if deadline_ns else "no contact in the plan"
        if budget is not None and budget.budget_bytes < self._config.min_budget_bytes:
            return "the next contact is full"
        return ""


def _has_contact(plan: ContactPlan, now_ns: int, deadline_ns: int) -> bool:
    return any(
        contact.los_ns > now_ns and (not deadline_ns or contact.aos_ns < deadline_ns)
        for contact in plan.contacts
    )
