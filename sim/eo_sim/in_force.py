"""Which budget and which plan a satellite had when it gave a verdict, from what it published."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from eo_nodes.contracts.values import ByteBudget, ContactPlan


class InForce:
    """Budgets and plans by the time they were published."""

    def __init__(self, budgets: Sequence[ByteBudget], plans: Sequence[ContactPlan]) -> None:
        self._budgets = sorted(budgets, key=lambda one: one.stamp_ns)
        self._plans = sorted(plans, key=lambda one: one.stamp_ns)

    def at(self, stamp_ns: int) -> dict[str, Any]:
        """Return a `report.schema.LinkRow`; empty where nothing was published until then."""
        found: dict[str, Any] = {}
        plan = _last(self._plans, stamp_ns)
        if plan is not None:
            ahead = [one for one in plan.contacts if one.los_ns > stamp_ns]
            found["planned"] = len(ahead)
            if ahead:
                found |= _contact(ahead[0].station, ahead[0].aos_ns, ahead[0].los_ns)
        budget = _last(self._budgets, stamp_ns)
        if budget is not None:
            found |= {
                "budget_bytes": budget.budget_bytes,
                "queued_bytes": budget.queued_bytes,
                "capacity_bytes": budget.capacity_bytes,
            }
        return found


def _contact(station: str, aos_ns: int, los_ns: int) -> dict[str, Any]:
    return {"station": station, "aos_ns": aos_ns, "los_ns": los_ns}


def _last(values: Sequence[Any], stamp_ns: int) -> Any:
    """Newest of what was published until then; None of none."""
    at = bisect_right([one.stamp_ns for one in values], stamp_ns)
    return values[at - 1] if at else None
