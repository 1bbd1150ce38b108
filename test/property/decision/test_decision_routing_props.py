"""What holds for every case: reach, monotony, barriers, the fixed special case."""

import sys
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from eo_nodes.contracts.values import ByteBudget, Contact, ContactPlan, Tap
from eo_nodes.decision.gate import GateConfig
from eo_nodes.decision.reach import NEVER_NS, reach_of, reach_of_contacts
from eo_nodes.decision.routing import (
    ANSWER,
    OFFLOAD,
    REGIONS,
    Case,
    RoutingConfig,
    explain,
    fixed,
    route,
)

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))

from plain_gate import decide

MINUTE = 60 * 10**9
UNIT = st.floats(0, 1, allow_nan=False)
ORDER = {OFFLOAD: 0, 0: 1, ANSWER: 2}


@st.composite
def contacts(draw, fewest=0):
    gaps = draw(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 12),
                                   st.integers(1, 10**9)), min_size=fewest, max_size=6))
    found, at = [], 0
    for gap, length, capacity in gaps:
        aos, los = at + gap * MINUTE, at + (gap + length) * MINUTE
        found.append(Contact(id=f"c{len(found)}", aos_ns=aos, los_ns=los, capacity_bytes=capacity))
        at = los
    return tuple(found)


@st.composite
def cases(draw):
    now = draw(st.integers(0, 600)) * MINUTE
    deadline = draw(st.one_of(st.just(0), st.integers(1, 900).map(lambda m: now + m * MINUTE)))
    case = Case(
        stage=draw(st.integers(1, 3)), score=draw(UNIT), gain=draw(st.floats(-1, 1)), now_ns=now,
        deadline_ns=deadline, regions_bytes=draw(st.integers(0, 10**8)),
        ahead_bytes=draw(st.integers(0, 10**9)), queued_bytes=draw(st.integers(0, 10**9)),
        ground_s=draw(st.floats(0, 100)), left_s=draw(st.floats(0, 10)),
        left_j=draw(UNIT), regions_j=draw(UNIT), priority=draw(st.integers(0, 7)),
        is_onboard=draw(st.booleans()), is_familiar=draw(st.booleans()),
        is_safe_mode=draw(st.booleans()),
    )
    if not deadline or draw(st.booleans()):
        return case
    # Behind all that is in time, perhaps at another level.
    more = draw(st.integers(0, 10**9))
    late = replace(
        case, deadline_ns=0, ahead_bytes=case.ahead_bytes + more,
        queued_bytes=case.queued_bytes + more, regions_bytes=draw(st.integers(0, 10**8)),
    )
    return replace(case, late=late)


def with_facts(case, **facts):
    """The same facts in the case and in the late one, as ``state_case`` states them."""
    late = replace(case.late, **facts) if case.late is not None else None
    return replace(case, late=late, **facts)


@st.composite
def weights(draw):
    accept = draw(st.tuples(UNIT, UNIT, UNIT))
    reject = tuple(a * draw(UNIT) for a in accept)
    price = st.floats(0, 2)
    return RoutingConfig(
        accept=accept, reject=reject, hurdle=draw(st.tuples(*[st.floats(-1, 1)] * 3)),
        delay_price=draw(price), mb_price=draw(price), base_mb_price=draw(price),
        joule_price=draw(price), early_share=draw(UNIT), serves_late=draw(st.booleans()),
    )


# -- reach ---------------------------------------------------------------------------------------


@given(contacts(), st.integers(0, 900), st.integers(0, 10**9), st.integers(0, 10**8))
def test_delivery_lies_in_a_contact_and_more_bytes_are_never_earlier(plan, minute, size, more):
    reach, now = reach_of_contacts(plan), minute * MINUTE
    when, later = reach.delivered_ns(now, size), reach.delivered_ns(now, size + more)
    assert when <= later and when >= now
    if when < NEVER_NS:
        assert reach.contact_at(when) >= 0
        assert reach.bytes_until(now, when) >= size - 1
    else:
        assert reach.bytes_until(now, 10**18) <= size + 1


@given(contacts(), st.integers(0, 10**9), st.integers(0, 900), st.integers(0, 60))
def test_waiting_never_delivers_earlier(plan, size, minute, wait):
    reach = reach_of_contacts(plan)
    assert reach.delivered_ns(minute * MINUTE, size) <= reach.delivered_ns(
        (minute + wait) * MINUTE, size)


# -- routing -------------------------------------------------------------------------------------


@given(cases(), contacts(), weights(), UNIT)
@settings(max_examples=300)
def test_more_confidence_never_turns_towards_the_ground(case, plan, config, other):
    reach = reach_of_contacts(plan)
    case = with_facts(case, is_familiar=True)
    low, high = sorted((case.score, other))
    first, second = (route(with_facts(case, score=s), reach, config) for s in (low, high))
    alone_in_time = first.is_late or first.answer_ns <= (case.deadline_ns or NEVER_NS - 1)
    # Where only the ground's answer can be there in time, being sure of one's own is no help.
    if alone_in_time:
        assert ORDER[first.decision] <= ORDER[second.decision]


@given(cases(), contacts(), weights(), st.floats(-1, 1))
@settings(max_examples=300)
def test_more_gain_never_turns_away_from_the_ground(case, plan, config, other):
    reach = reach_of_contacts(plan)
    low, high = sorted((case.gain, other))
    first, second = (route(with_facts(case, gain=g), reach, config) for g in (low, high))
    assert ORDER[first.decision] >= ORDER[second.decision]


@given(cases(), contacts(), weights())
@settings(max_examples=300)
def test_never_offloads_what_no_contact_delivers_in_time_unless_late_behind_all(
    case, plan, config
):
    reach = reach_of_contacts(plan)
    found = route(case, reach, config)
    if found.decision == OFFLOAD:
        sent = case.late if found.is_late else case
        down = reach.delivered_ns(case.now_ns, sent.ahead_bytes + sent.regions_bytes)
        assert down < NEVER_NS and not case.is_safe_mode and not case.is_onboard
        if found.is_late:
            assert config.serves_late and found.regions_ns >= down
        else:
            assert not case.deadline_ns or down <= found.regions_ns <= case.deadline_ns


@given(cases(), contacts(), weights())
@settings(max_examples=300)
def test_late_is_only_what_the_deadline_alone_stands_against(case, plan, config):
    reach = reach_of_contacts(plan)
    found = route(case, reach, config)
    if found.is_late:
        plain = route(replace(case, late=None), reach, config)
        assert plain.rule == 2 and plain.regions_ns > case.deadline_ns
        # Before the end only where the answer on board would be too late as well.
        assert case.stage == 3 or plain.answer_ns > case.deadline_ns
        assert route(case.late, reach, config).decision == found.decision


@given(cases(), weights())
@settings(max_examples=200)
def test_blind_to_contacts_only_gain_price_and_thresholds_decide(case, config):
    found = route(case, None, config)
    assert not found.is_late and (found.answer_ns, found.regions_ns, found.load) == (0, 0, 0.0)
    if found.rule == 4:
        assert found.advantage > config.hurdle[case.stage - 1]
        assert found.decision == (OFFLOAD if case.stage == 3 else 0)
    cheaper = route(replace(case, regions_bytes=0, regions_j=0.0), None, config)
    assert ORDER[cheaper.decision] <= ORDER[found.decision]


@given(cases(), contacts(), weights())
def test_same_case_same_route_and_one_line(case, plan, config):
    reach = reach_of_contacts(plan)
    found = route(case, reach, config)
    assert route(case, reach, config) == found
    line = explain(case, found, reach, config)
    assert line and "\n" not in line and len(line) <= 300
    assert 0 <= found.load <= 1
    assert found.decision != OFFLOAD or found.delivery >= REGIONS


@given(cases(), contacts(fewest=0), st.tuples(UNIT, UNIT, UNIT), st.tuples(UNIT, UNIT),
       st.one_of(st.none(), st.integers(0, 10)), st.booleans())
@settings(max_examples=400)
def test_fixed_thresholds_are_the_gate(case, plan, accept, shares, budget, has_plan):
    config = GateConfig(
        accept=accept, reject=(accept[0] * shares[0], accept[1] * shares[1]), min_budget_bytes=5)
    case = with_facts(case, is_familiar=True, budget_bytes=-1 if budget is None else budget)
    tap = Tap(request_id="r", stage=case.stage, confidence=case.score)
    known = ContactPlan(contacts=plan) if has_plan else None
    decision, _, _ = decide(
        config, tap, known, None if budget is None else ByteBudget(budget_bytes=budget),
        "safe" if case.is_safe_mode else "nominal", case.now_ns, deadline_ns=case.deadline_ns,
        consumer="onboard" if case.is_onboard else "ground")
    found = route(case, reach_of_contacts(plan) if has_plan else None, fixed(config))
    assert found.decision == decision


def test_an_idle_link_sends_all_that_gains():
    reach = reach_of([0], [10**15], [50e6])
    config = RoutingConfig(hurdle=(0.0, 0.0, 0.0), delay_price=0.0, joule_price=0.0)
    for stage in (1, 2, 3):
        for gain in (0.001, 0.1, 0.5):
            case = Case(stage, 0.5, gain, 0, regions_bytes=10**6)
            found = route(case, reach, config)
            assert found.rule == 4 and (found.decision == OFFLOAD or stage < 3)
