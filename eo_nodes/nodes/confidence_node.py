"""confidence: a verdict for every tap, with plan, budget and mode in view."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from eo_nodes.contracts.values import ByteBudget, ContactPlan, Mode, Request, Tap
from eo_nodes.decision.gate import Gate, GateConfig

from .base import EoNode
from .parameters import Parameter
from .runner import main_of

_REQUESTS_KNOWN = 1_000


class Confidence(EoNode):
    """The gate of one satellite."""

    PARAMETERS = (
        Parameter("accept", [0.97, 0.92, 0.70], "answer on board at or above, stages 1 to 3"),
        Parameter("reject", [0.30, 0.40], "offload below, stages 1 and 2"),
        Parameter("min_budget_bytes", 0, "an offload needs this much room, bytes", 0, 2**40),
    )

    def __init__(self, name: str = "confidence", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Build the gate."""
        self._gate = Gate(
            GateConfig(
                accept=tuple(self.param("accept")),
                reject=tuple(self.param("reject")),
                min_budget_bytes=self.param("min_budget_bytes"),
            )
        )
        self._wanted: OrderedDict[str, tuple[int, str]] = OrderedDict()  # deadline, consumer
        self._plan: ContactPlan | None = None
        self._budget: ByteBudget | None = None
        self._mode = "nominal"
        self.speak("verdict")
        self.listen("request", self._on_request)
        self.listen("contact_plan", self._on_plan)
        self.listen("byte_budget", self._on_budget)
        self.listen("mode", self._on_mode)
        self.listen("tap", self._on_tap)

    def _on_request(self, request: Request) -> None:
        self._wanted[request.id] = (request.deadline_ns, request.consumer)
        while len(self._wanted) > _REQUESTS_KNOWN:
            self._wanted.popitem(last=False)

    def _on_plan(self, plan: ContactPlan) -> None:
        self._plan = plan

    def _on_budget(self, budget: ByteBudget) -> None:
        self._budget = budget

    def _on_mode(self, mode: Mode) -> None:
        self._mode = mode.mode

    def _on_tap(self, tap: Tap) -> None:
        deadline_ns, consumer = self._wanted.get(tap.request_id, (0, "ground"))
        self.publish(
            "verdict",
            self._gate.decide(
                tap,
                self._plan,
                self._budget,
                self._mode,
                self.now_ns(),
                deadline_ns=deadline_ns,
                consumer=consumer,
            ),
        )


main = main_of(Confidence)

if __name__ == "__main__":
    main()
