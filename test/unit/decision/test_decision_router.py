"""Router: from tap, request, plan, queue and mode to a verdict; and telecommands."""

from dataclasses import replace

import pytest

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import (
    Contact,
    ContactPlan,
    QueueEntry,
    QueueState,
    Request,
    Scene,
    Tap,
    Verdict,
    validate,
)
from eo_nodes.decision.heads import Scores
from eo_nodes.decision.router import (
    Estimates,
    Outlook,
    Router,
    RouterConfig,
    with_thresholds,
)

H = 3600 * 10**9
PLAN = ContactPlan(
    contacts=(Contact(id="c1", aos_ns=H, los_ns=2 * H, capacity_bytes=3_600_000_000),))
OUTLOOK = Outlook(plan=PLAN)
SCENE = Scene(width=100, height=100, raw_bytes=1_000_000)
REQUEST = Request(id="r", scene=SCENE, window=(0, 0, 100, 100), priority=2)
TAP = Tap(request_id="r", stage=3, confidence=0.9, attempt=4, features=(0.0, 0.0),
          model_digest="d")


class MadeHeads:
    """Says what it is told."""

    length = 2

    def __init__(self, correct=0.5, gain=0.3, is_familiar=True):
        self._scores = Scores(correct, 0.5, gain, 0.5, is_familiar)

    def scores(self, stage, features):
        return self._scores

    def wanted(self, scores, target):
        return scores.correct, scores.gain if target == "gain" else 0.0


def router(config=None, **said):
    return Router(config or RouterConfig(), MadeHeads(**said), "d")


def test_heads_decide_where_there_are_some():
    verdict = router().decide(TAP, REQUEST, OUTLOOK, 0)
    validate(verdict)
    assert (verdict.decision, verdict.stage, verdict.attempt) == (Verdict.OFFLOAD, 3, 4)
    assert verdict.score == 0.5 and "the ground adds +0.300" in verdict.reason
    assert router(gain=0.0).decide(TAP, REQUEST, OUTLOOK, 0).decision == Verdict.ANSWER


@pytest.mark.parametrize(
    ("tap", "lacks"), [(replace(TAP, model_digest="e"), True), (replace(TAP, features=()), True),
                       (TAP, False)]
)  # fmt: skip
def test_taps_of_another_model_are_decided_by_thresholds(tap, lacks):
    own = router()
    assert own.lacks_heads(tap) == lacks
    score = own.decide(tap, REQUEST, OUTLOOK, 0).score
    assert score == (pytest.approx(0.9) if lacks else 0.5)


def test_without_heads_or_by_choice_the_thresholds_decide():
    for own in (Router(RouterConfig()), router(RouterConfig(policy="fixed"))):
        assert not own.weighs(TAP)
        verdict = own.decide(TAP, REQUEST, OUTLOOK, 0)
        assert (verdict.decision, verdict.accept) == (Verdict.ANSWER, 0.75)


def test_an_answer_that_nobody_vouches_for_scores_below_what_it_needed():
    no_plan = Outlook(plan=ContactPlan())
    for own, tap in ((router(), TAP), (router(correct=1.0, is_familiar=False), TAP)):
        verdict = own.decide(tap, REQUEST, no_plan, 0)
        assert verdict.decision == Verdict.ANSWER and verdict.score < verdict.accept
        assert "best effort, no contact in the plan" in verdict.reason
    # Not worth asking is another thing: the answer stands.
    verdict = router(gain=0.0).decide(TAP, REQUEST, OUTLOOK, 0)
    assert verdict.decision == Verdict.ANSWER and verdict.score >= verdict.accept


def test_consumer_on_board_is_answered_on_board():
    onboard = replace(REQUEST, consumer="onboard")
    verdict = router().decide(TAP, onboard, OUTLOOK, 0)
    assert verdict.decision == Verdict.ANSWER and "used on board" in verdict.reason


def test_the_case_counts_what_goes_first():
    queue = QueueState(queued_bytes=10_000, entries=(
        QueueEntry(product_id="a", kind="answer", size_bytes=500, sent_bytes=100),
        QueueEntry(product_id="b", kind="overview", size_bytes=1000),
        QueueEntry(product_id="c", kind="regions", priority=2, size_bytes=3000, sent_bytes=1000),
        QueueEntry(product_id="d", kind="regions", priority=1, size_bytes=5000),
        QueueEntry(product_id="e", kind="refinement", priority=7, size_bytes=5000),
        QueueEntry(product_id="f", kind="event", size_bytes=50),
    ))
    case = router().case(TAP, REQUEST, replace(OUTLOOK, queue=queue), 7)
    assert (case.ahead_bytes, case.answer_ahead_bytes) == (400 + 1000 + 2000 + 50, 450)
    assert (case.queued_bytes, case.now_ns, case.priority) == (10_000, 7, 2)


@pytest.mark.parametrize(("last", "ahead"), [(2, 9_000), (1, 1_000)])
def test_what_a_long_queue_does_not_list_may_be_ahead(last, ahead):
    queue = QueueState(queued_bytes=9_000, total=70, entries=(
        QueueEntry(product_id="a", kind="regions", priority=2, size_bytes=1000),
        QueueEntry(product_id="b", kind="regions", priority=last, size_bytes=2000),
    ))  # fmt: skip
    case = router().case(TAP, REQUEST, replace(OUTLOOK, queue=queue), 7)
    assert (case.ahead_bytes, case.answer_ahead_bytes) == (ahead, 0)


def test_expected_bytes_follow_the_window_within_bounds():
    config = RouterConfig(estimates=Estimates(sent_share=0.5, least_bytes=1000, most_bytes=100_000))

    def size(window):
        return router(config).case(TAP, replace(REQUEST, window=window), OUTLOOK, 0).regions_bytes

    assert size((0, 0, 20, 50)) == 50_000
    assert size((0, 0, 1, 1)) == 1000 and size((0, 0, 100, 100)) == 100_000
    assert router(config).case(TAP, None, OUTLOOK, 0).regions_bytes == 1000


def test_rest_of_the_answer_is_expected_at_early_taps_only():
    for stage, left in ((1, 0.5), (2, 0.3), (3, 0.0)):
        assert router().case(replace(TAP, stage=stage), REQUEST, OUTLOOK, 0).left_s == left


def test_a_new_plan_is_taken_up():
    own = router()
    assert own.decide(TAP, REQUEST, OUTLOOK, 0).decision == Verdict.OFFLOAD
    assert own.decide(TAP, REQUEST, Outlook(plan=ContactPlan()), 0).decision == Verdict.ANSWER
    assert own.decide(TAP, REQUEST, OUTLOOK, 0).decision == Verdict.OFFLOAD
    assert "no plan known" in own.decide(TAP, REQUEST, Outlook(), 0).reason


# -- telecommands --------------------------------------------------------------------------------


def test_thresholds_of_both_policies_by_command():
    config = with_thresholds(RouterConfig(), {
        "policy": "fixed", "target": "alike", "accept": [0.9, 0.8, 0.7], "reject": [0.1, 0.2],
        "sure": [1, 0.9, 0.8], "hurdle": [0.3, 0.2, 0.1], "mb_price": 2, "delay_price": 0.0})
    assert (config.policy, config.target) == ("fixed", "alike")
    assert (config.gate.accept, config.gate.reject) == ((0.9, 0.8, 0.7), (0.1, 0.2))
    assert (config.routing.accept, config.routing.hurdle) == ((1.0, 0.9, 0.8), (0.3, 0.2, 0.1))
    assert (config.routing.mb_price, config.routing.delay_price) == (2.0, 0.0)


@pytest.mark.parametrize(
    "wanted",
    [{}, {"accept": [0.9, 0.8]}, {"accept": [0.9, 0.8, 1.1]}, {"reject": [0.99, 0.99]},
     {"accept": "high"}, {"hurdle": [0.1, None, 0.1]}, {"hurdle": [True, 0.1, 0.1]},
     {"sure": [0.1, float("nan"), 0.1]}, {"mb_price": -1}, {"mb_price": [1]},
     {"mb_price": float("inf")}, {"policy": "random"}, {"target": 3}, {"limit": 1}],
)  # fmt: skip
def test_bad_thresholds_are_refused_and_change_nothing(wanted):
    config = RouterConfig()
    with pytest.raises(ConfigError):
        with_thresholds(config, wanted)
    assert config == RouterConfig()


def test_gate_thresholds_take_effect_at_once():
    own = Router(RouterConfig())
    assert own.decide(TAP, REQUEST, OUTLOOK, 0).decision == Verdict.ANSWER
    own.config = with_thresholds(own.config, {"accept": [0.99, 0.99, 0.95]})
    assert own.decide(TAP, REQUEST, OUTLOOK, 0).decision == Verdict.OFFLOAD


