"""Router: from tap, request, plan, queue and mode to a verdict; and telecommands."""

from dataclasses import replace

import pytest

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
from eo_nodes.decision.casework import Means
from eo_nodes.decision.heads import Scores
from eo_nodes.decision.levels import ANY, LevelFacts, level_named
from eo_nodes.decision.router import Ahead, Outlook, Router, RouterConfig, ahead_of
from eo_nodes.decision.routing import RoutingConfig

H = 3600 * 10**9
PLAN = ContactPlan(
    contacts=(Contact(id="c1", aos_ns=H, los_ns=2 * H, capacity_bytes=3_600_000_000),))
OUTLOOK = Outlook(plan=PLAN)
SCENE = Scene(width=100, height=100, raw_bytes=1_000_000, modality="optical")
REQUEST = Request(id="r", scene=SCENE, window=(0, 0, 100, 100), priority=2)
TAP = Tap(request_id="r", stage=3, confidence=0.9, attempt=4, features=(0.0, 0.0),
          model_digest="d")


class MadeHeads:
    """Says what it is told."""

    length = 2
    # Whole at half of the bytes, or nearly as good at a twentieth.
    means = Means(
        levels={ANY: (LevelFacts(level_named("lossless"), 1.0, 0.5, 0.1),
                      LevelFacts(level_named("regions_1_20"), 0.9, 0.05, 0.4))},
        left_gmac=(100.0, 50.0), answer_bytes=700.0,
    )  # fmt: skip

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


def entry(name, kind, size, **facts):
    return QueueEntry(product_id=name, kind=kind, size_bytes=size, **facts)


QUEUE = QueueState(queued_bytes=14_150, total=6, entries=(
    entry("f", "event", 50), entry("a", "answer", 500, sent_bytes=100),
    entry("b", "overview", 1000), entry("c", "regions", 3000, priority=2, sent_bytes=1000),
    entry("d", "regions", 5000, priority=1), entry("e", "refinement", 5700, priority=7),
))  # fmt: skip


def test_the_case_counts_what_goes_first():
    # 8450 B but for the refinement, which every request's own pixels pass.
    assert ahead_of(QUEUE, 2) == Ahead(50 + 400 + 1000 + 2000, 450, 8450, 8450)
    assert ahead_of(QUEUE, 1).regions == 8450
    assert ahead_of(None, 2) == Ahead()
    case = router().case(TAP, REQUEST, replace(OUTLOOK, queue=QUEUE), 7)
    assert (case.ahead_bytes, case.answer_ahead_bytes, case.queued_bytes) == (3450, 450, 8450)
    assert (case.now_ns, case.priority, case.late) == (7, 2, None)


def test_late_ones_are_passed_by_what_is_in_time_and_wait_for_each_other():
    queue = replace(QUEUE, late_bytes=5000)  # d, say
    assert ahead_of(queue, 0) == Ahead(3450, 450, 3450, 8450)
    # A late one is not ahead, whatever its priority: it is the last of its kind.
    late = replace(queue, queued_bytes=8450, total=5, entries=(
        *QUEUE.entries[:4], entry("d", "regions", 5000, priority=7)))
    assert ahead_of(late, 0) == Ahead(3450, 450, 3450, 8450)
    asked = replace(REQUEST, deadline_ns=H + 1)
    case = router().case(TAP, asked, replace(OUTLOOK, queue=queue), 0)
    assert (case.ahead_bytes, case.late.ahead_bytes, case.late.deadline_ns) == (3450, 8450, 0)


@pytest.mark.parametrize(("last", "ahead"), [(2, 9_000), (1, 1_000)])
def test_what_a_long_queue_does_not_list_may_be_ahead(last, ahead):
    queue = QueueState(queued_bytes=9_000, total=70, entries=(
        entry("a", "regions", 1000, priority=2), entry("b", "regions", 2000, priority=last)))
    found = ahead_of(queue, 2)
    assert (found.regions, found.answers) == (ahead, 0)
    # Late ones are never ahead of what is in time.
    assert ahead_of(replace(queue, late_bytes=4000), 2).regions == min(ahead, 5000)


def test_the_verdict_names_the_level_that_was_weighed_and_what_it_gains():
    verdict = router().decide(TAP, REQUEST, OUTLOOK, 0)
    validate(verdict)
    assert (verdict.level, verdict.gain, verdict.is_late) == ("lossless", 0.3, False)
    full = replace(OUTLOOK, queue=QueueState(queued_bytes=10**9))
    verdict = router(RouterConfig(routing=RoutingConfig(mb_price=2.0))).decide(
        TAP, REQUEST, full, 0)
    assert (verdict.level, verdict.gain) == ("regions_1_20", pytest.approx(0.27))
    assert "regions_1_20 50 kB" in verdict.reason
    only = RouterConfig(routing=RoutingConfig(kinds=("regions",)))
    assert router(only).decide(TAP, REQUEST, OUTLOOK, 0).level == "regions_1_20"


def test_a_verdict_of_thresholds_names_no_level():
    for own in (Router(RouterConfig()), router(RouterConfig(policy="fixed"))):
        verdict = own.decide(TAP, REQUEST, OUTLOOK, 0)
        assert (verdict.level, verdict.gain, verdict.is_late) == ("", 0.0, False)


def test_a_request_whose_deadline_is_lost_goes_late_behind_the_rest():
    lost = replace(REQUEST, deadline_ns=H // 2)
    verdict = router().decide(TAP, lost, OUTLOOK, 0)
    assert (verdict.decision, verdict.is_late) == (Verdict.OFFLOAD, True)
    assert "too late for the deadline" in verdict.reason
    strict = RouterConfig(routing=RoutingConfig(serves_late=False))
    verdict = router(strict).decide(TAP, lost, OUTLOOK, 0)
    assert (verdict.decision, verdict.is_late) == (Verdict.ANSWER, False)
    assert "best effort, no contact before the deadline" in verdict.reason


def test_expected_bytes_follow_the_window():
    def size(request):
        return router().case(TAP, request, OUTLOOK, 0).regions_bytes

    assert size(replace(REQUEST, window=(0, 0, 20, 50))) == 50_000
    assert size(REQUEST) == 500_000
    assert size(None) == 0


def test_rest_of_the_answer_is_expected_at_early_taps_only():
    for stage, left in ((1, 0.4), (2, 0.2), (3, 0.0)):
        case = router().case(replace(TAP, stage=stage), REQUEST, OUTLOOK, 0)
        assert case.left_s == pytest.approx(left)
        assert (case.answer_bytes, case.level) == (700, "lossless")
        assert case.reduce_s == pytest.approx(0.2)  # 0.1 s a MB, at half of that speed


def test_a_new_plan_is_taken_up():
    own = router()
    assert own.decide(TAP, REQUEST, OUTLOOK, 0).decision == Verdict.OFFLOAD
    assert own.decide(TAP, REQUEST, Outlook(plan=ContactPlan()), 0).decision == Verdict.ANSWER
    assert own.decide(TAP, REQUEST, OUTLOOK, 0).decision == Verdict.OFFLOAD
    assert "no plan known" in own.decide(TAP, REQUEST, Outlook(), 0).reason
