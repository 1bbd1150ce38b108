"""Routing by fixed thresholds: per stage, and what stands above them."""

import pytest

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import (
    ByteBudget,
    Contact,
    ContactPlan,
    Request,
    Tap,
    Verdict,
    validate,
)
from eo_nodes.decision.gate import GateConfig, gate_of
from eo_nodes.decision.router import Outlook, Router, RouterConfig

NOW = 1_000_000_000_000
CONFIG = GateConfig(accept=(0.9, 0.8, 0.7), reject=(0.1, 0.3), min_budget_bytes=1000)
PLAN = ContactPlan(contacts=(Contact(id="c1", aos_ns=NOW + 50, los_ns=NOW + 90, capacity_bytes=9),))
FULL = ByteBudget(budget_bytes=999)
FREE = ByteBudget(budget_bytes=1000)


def decide(stage, confidence, plan=PLAN, budget=FREE, mode="nominal", **more):
    tap = Tap(request_id="req-1", stage=stage, confidence=confidence, attempt=2)
    outlook = Outlook(plan=plan, budget=budget, mode=mode)
    router = Router(RouterConfig(policy="fixed", gate=CONFIG))
    return router.decide(tap, Request(id="req-1", **more), outlook, NOW)


@pytest.mark.parametrize(
    ("stage", "confidence", "decision"),
    [
        (1, 0.90, Verdict.ANSWER), (1, 0.89, Verdict.CONTINUE), (1, 0.10, Verdict.CONTINUE),
        (1, 0.09, Verdict.OFFLOAD), (2, 0.80, Verdict.ANSWER), (2, 0.30, Verdict.CONTINUE),
        (2, 0.29, Verdict.OFFLOAD), (3, 0.70, Verdict.ANSWER), (3, 0.69, Verdict.OFFLOAD),
        (3, 0.0, Verdict.OFFLOAD), (3, 1.0, Verdict.ANSWER),
    ],
)  # fmt: skip
def test_thresholds_per_stage(stage, confidence, decision):
    verdict = decide(stage, confidence)
    validate(verdict)
    assert verdict.decision == decision
    assert (verdict.request_id, verdict.attempt, verdict.stage) == ("req-1", 2, stage)
    assert verdict.score == confidence


BARRIERS = [
    ({"mode": "safe"}, "safe mode"),
    ({"consumer": "onboard"}, "on board"),
    ({"deadline_ns": NOW + 40}, "no contact before the deadline"),
    ({"deadline_ns": NOW + 50}, "no contact before the deadline"),
    ({"plan": ContactPlan()}, "no contact in the plan"),
    ({"budget": FULL}, "next contact is full"),
]


@pytest.mark.parametrize(("facts", "reason"), BARRIERS)
def test_last_stage_answers_on_board_and_says_why(facts, reason):
    verdict = decide(3, 0.2, **facts)
    assert verdict.decision == Verdict.ANSWER
    assert "best effort" in verdict.reason and reason in verdict.reason


@pytest.mark.parametrize(("facts", "reason"), BARRIERS)
def test_early_stages_go_on_rather_than_offload(facts, reason):
    verdict = decide(1, 0.01, **facts)
    assert verdict.decision == Verdict.CONTINUE
    assert reason in verdict.reason


@pytest.mark.parametrize(
    "facts",
    [{"deadline_ns": NOW + 51}, {"plan": None}, {"budget": None}, {"deadline_ns": 0}],
)
def test_offload_where_nothing_stands_against_it(facts):
    assert decide(3, 0.2, **facts).decision == Verdict.OFFLOAD


def test_contact_that_is_over_does_not_count():
    def plan(los_ns):
        over = Contact(id="c0", aos_ns=NOW - 90, los_ns=los_ns, capacity_bytes=9)
        return ContactPlan(contacts=(over,))

    past, running = plan(NOW), plan(NOW + 1)
    assert decide(3, 0.2, plan=past).decision == Verdict.ANSWER
    assert decide(3, 0.2, plan=running).decision == Verdict.OFFLOAD


def test_sure_answer_stays_on_board_even_in_safe_mode():
    verdict = decide(3, 0.95, mode="safe")
    assert verdict.decision == Verdict.ANSWER and "best effort" not in verdict.reason


@pytest.mark.parametrize(
    "facts",
    [{"accept": (0.9, 0.8)}, {"reject": (0.1, 1.1)},
     {"accept": (0.9, 0.2, 0.7), "reject": (0, 0.3)}],
)  # fmt: skip
def test_wrong_thresholds_are_refused(facts):
    with pytest.raises(ConfigError):
        GateConfig(**facts)


ABOVE, BELOW = (0.78, 0.67, 1.0), (0.71, 0.6, 0.8)


def test_a_mission_that_states_nothing_flies_the_thresholds_fitted_with_the_model():
    found = gate_of((-1, -1, -1), (-1, -1), ABOVE, BELOW, min_budget_bytes=7)
    # At the end an answer stands from where the ground is no longer called for.
    assert found == GateConfig(accept=(0.78, 0.67, 0.8), reject=(0.71, 0.6), min_budget_bytes=7)


def test_what_a_mission_states_stands_stage_by_stage():
    found = gate_of((0.9, -1, 0.0), (-1, 0.1), ABOVE, BELOW)
    assert (found.accept, found.reject) == ((0.9, 0.67, 0.0), (0.71, 0.1))


@pytest.mark.parametrize(("accept", "reject", "said"), [
    ((-1, -1), (-1, -1), "2 thresholds, expected 3"),
    ((-1, -1, -1), (-1,), "1 thresholds, expected 2"),
    ((0.5, -1, -1), (-1, -1), "lies above"),
    ((1.5, -1, -1), (-1, -1), "in .0, 1."),
])
def test_stated_thresholds_that_do_not_fit_are_refused(accept, reject, said):
    with pytest.raises(ConfigError, match=said):
        gate_of(accept, reject, ABOVE, BELOW)
