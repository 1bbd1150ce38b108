"""Stating a case: the level before the route, in time and late, as node and study both do it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_nodes.decision.casework import Ahead, Asked, Estimates, Moment, Said, state_case, weigh
from eo_nodes.decision.levels import ANY, LevelFacts, level_named
from eo_nodes.decision.reach import reach_of
from eo_nodes.decision.routing import RoutingConfig, byte_price, load_of, route

S, H = 10**9, 3600 * 10**9
# A MB a second for ten minutes, an hour from now; 600 MB in all.
REACH = reach_of([H], [H + 600 * S], [8e6])
WHOLE = LevelFacts(level_named("lossless"), 1.0, 0.5, 0.2)
SMALL = LevelFacts(level_named("regions_1_20"), 0.8, 0.05, 0.4)
ESTIMATES = Estimates(
    levels={ANY: (WHOLE, SMALL)}, left_s=(3.0, 2.0, 0.0), left_j=(30.0, 20.0, 0.0),
    answer_bytes=500, ground_s=7.0, coding_w=10.0, mb_j=2.0,
)  # fmt: skip
CONFIG = RoutingConfig(mb_price=1.0)
MOMENT = Moment(now_ns=0, estimates=ESTIMATES, config=CONFIG, reach=REACH)
ASKED = Asked(raw_bytes=1e6, modality="sar", priority=2)
SAID = Said(0.5, 0.3)


def test_the_case_holds_what_is_expected_of_the_best_level():
    case = state_case(1, SAID, ASKED, Ahead(10, 20, 30, 40), MOMENT)
    assert (case.level, case.regions_bytes, case.gain) == ("lossless", 500_000, 0.3)
    assert (case.reduce_s, case.regions_j) == (pytest.approx(0.2), pytest.approx(2.0 + 1.0))
    assert (case.left_s, case.left_j, case.ground_s, case.answer_bytes) == (3.0, 30.0, 7.0, 500)
    assert (case.ahead_bytes, case.answer_ahead_bytes, case.queued_bytes) == (10, 20, 30)
    assert case.late is None, "no deadline, nothing to be late for"


def test_a_late_case_waits_behind_all_at_the_level_that_is_best_there():
    case = state_case(
        3, SAID, replace(ASKED, deadline_ns=9), Ahead(0, 0, 0, 590e6), MOMENT)
    assert (case.level, case.deadline_ns, case.queued_bytes) == ("lossless", 9, 0)
    late = case.late
    assert (late.level, late.deadline_ns, late.ahead_bytes) == ("regions_1_20", 0, 590_000_000)
    assert (late.gain, late.regions_bytes) == (pytest.approx(0.24), 50_000)
    assert (late.score, late.priority, late.late) == (0.5, 2, None)


@pytest.mark.parametrize(
    ("asked", "moment"),
    [(replace(ASKED, deadline_ns=9, is_onboard=True), MOMENT),
     (replace(ASKED, deadline_ns=9), replace(MOMENT, reach=None)),
     (replace(ASKED, deadline_ns=9), replace(MOMENT, config=replace(CONFIG, serves_late=False)))],
)  # fmt: skip
def test_nobody_waits_for_what_is_late(asked, moment):
    assert state_case(3, SAID, asked, Ahead(), moment).late is None


@given(
    st.integers(1, 3), st.floats(0, 1), st.floats(-1, 1), st.floats(0, 1e8), st.integers(0, 7),
    st.integers(0, 2 * H), st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 100),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_no_other_level_is_worth_more_in_time_or_late(
    stage, score, gain, raw, priority, deadline, queued, more, price
):
    moment = replace(MOMENT, config=replace(CONFIG, mb_price=price))
    asked = Asked(raw_bytes=raw, deadline_ns=deadline, priority=priority)
    waiting = Ahead(queued, 0.0, queued, queued + more)
    case = state_case(stage, Said(score, gain), asked, waiting, moment)
    weight = 1 + CONFIG.priority_step * priority
    for one in (case, case.late):
        if one is None:
            continue
        load = load_of(0, one.queued_bytes, REACH, moment.config)
        a_byte = byte_price(load, moment.config)
        best = weight * one.gain - a_byte * one.regions_bytes
        for level in (WHOLE, SMALL):
            other = weight * gain * level.keeps - a_byte * level.bytes_share * raw
            assert best >= other - 1e-6 - a_byte
    assert (case.late is not None) == (deadline > 0)
    if case.late is not None:
        assert case.late.ahead_bytes >= case.ahead_bytes
        assert case.late.regions_bytes <= case.regions_bytes or gain <= 0


@given(
    st.integers(1, 3), st.floats(0, 1), st.floats(-1, 1), st.booleans(), st.integers(0, 2 * H),
    st.floats(0, 6e8), st.floats(0, 1e8), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_weighing_is_routing_the_whole_statement(
    stage, score, gain, is_familiar, deadline, queued, more, is_onboard, has_plan, serves_late
):
    config = replace(CONFIG, serves_late=serves_late)
    moment = replace(MOMENT, config=config, reach=REACH if has_plan else None)
    asked = replace(ASKED, deadline_ns=deadline, is_onboard=is_onboard)
    given_ = (stage, Said(score, gain, is_familiar), asked,
              Ahead(queued, 0.0, queued, queued + more), moment)  # fmt: skip
    whole = state_case(*given_)
    # Without what the statement knows of the load already.
    bare = replace(whole, load=-1.0, late=whole.late and replace(whole.late, load=-1.0))
    case, found = weigh(*given_)
    assert found == route(whole, moment.reach, config) == route(bare, moment.reach, config)
    assert case == (whole.late if found.is_late else replace(whole, late=None))
