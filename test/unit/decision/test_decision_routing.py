"""Routing: what is delivered when, what is weighed, and what is said about it."""

from dataclasses import replace
from math import inf

import pytest

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import Contact
from eo_nodes.decision.gate import GateConfig
from eo_nodes.decision.reach import NEVER_NS, reach_of, reach_of_contacts
from eo_nodes.decision.routing import (
    ALONE,
    ANSWER,
    BOTH,
    CONTINUE,
    OFFLOAD,
    REGIONS,
    Case,
    RoutingConfig,
    explain,
    fixed,
    load_of,
    route,
)

S, MIN, H = 10**9, 60 * 10**9, 3600 * 10**9
# Ten minutes from one hour on, and again from three hours on, at 8 Mbit/s: 1 MB a second.
REACH = reach_of([H, 3 * H], [H + 10 * MIN, 3 * H + 10 * MIN], [8e6, 8e6], ["c1", "c2"])
CONFIG = RoutingConfig()
CASE = Case(stage=3, score=0.5, gain=0.2, now_ns=0, regions_bytes=1_000_000)


# -- reach ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "size", "when"),
    [
        (0, 0, H), (0, 1_000_000, H + S), (0, 600_000_000, H + 10 * MIN),
        (0, 600_000_001, 3 * H + 1000), (0, 1_200_000_000, 3 * H + 10 * MIN),
        (0, 1_200_000_001, NEVER_NS), (H + 5 * MIN, 1_000_000, H + 5 * MIN + S),
        (H + 5 * MIN, 300_000_001, 3 * H + 1000), (H + 10 * MIN, 0, 3 * H),
        (3 * H + 10 * MIN, 0, NEVER_NS),
    ],
)  # fmt: skip
def test_delivery_waits_for_contacts_and_what_is_ahead(now, size, when):
    assert REACH.delivered_ns(now, size) == when


def test_bytes_until_counts_contacts_only():
    assert REACH.bytes_until(0, H) == 0
    assert REACH.bytes_until(0, H + MIN) == pytest.approx(60e6)
    assert REACH.bytes_until(H + MIN, 4 * H) == pytest.approx(1_140e6)
    assert REACH.bytes_until(4 * H, 5 * H) == 0


def test_margin_and_empty_contacts():
    contacts = (
        Contact(id="a", aos_ns=0, los_ns=S, capacity_bytes=1000),
        Contact(id="b", aos_ns=2 * S, los_ns=3 * S, capacity_bytes=0),
    )
    reach = reach_of_contacts(contacts, margin=0.1)
    assert (reach.ids, reach.after) == (("a",), (900.0,))


@pytest.mark.parametrize(
    "facts", [([0, 5], [10, 20], [1, 1]), ([0], [1, 2], [1]), ([0], [1], [1], (), 1.0)]
)
def test_reach_refuses_overlap_lengths_and_margin(facts):
    aos, los, rate, *_ = facts
    with pytest.raises(ConfigError):
        reach_of(aos, los, rate, margin=1.0 if len(facts) > 3 else 0.0)


# -- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule", "decision", "delivery"),
    [
        ({"score": 0.95}, 1, ANSWER, ALONE),
        ({"score": 0.95, "is_familiar": False}, 3, OFFLOAD, BOTH),
        ({"is_familiar": False, "stage": 1}, 5, CONTINUE, ALONE),
        ({"is_safe_mode": True}, 2, ANSWER, ALONE),
        ({"is_safe_mode": True, "stage": 1}, 2, CONTINUE, ALONE),
        ({"is_onboard": True}, 2, ANSWER, ALONE),
        ({"is_onboard": True, "deadline_ns": 4 * H, "stage": 2}, 2, CONTINUE, ALONE),
        ({"deadline_ns": H}, 2, ANSWER, ALONE),
        ({"deadline_ns": H + S - 1}, 2, ANSWER, ALONE),
        ({"deadline_ns": H + S}, 4, OFFLOAD, BOTH),
        ({"deadline_ns": H + 5 * S, "ground_s": 4.1}, 2, ANSWER, ALONE),
        ({"gain": 0.2}, 4, OFFLOAD, BOTH),
        ({"gain": 0.2, "stage": 1, "left_j": 1.0}, 4, OFFLOAD, REGIONS),
        ({"gain": 0.01}, 5, ANSWER, ALONE),
        ({"gain": 0.08, "stage": 1}, 5, CONTINUE, ALONE),
        ({"gain": -0.3}, 5, ANSWER, ALONE),
    ],
)
def test_rules(change, rule, decision, delivery):
    found = route(replace(CASE, **change), REACH, CONFIG)
    assert (found.rule, found.decision, found.delivery) == (rule, decision, delivery)


def test_barriers_say_why():
    def barrier(config=CONFIG, reach=REACH, **change):
        return route(replace(CASE, **change), reach, config).barrier

    assert barrier(deadline_ns=H) == "no contact before the deadline"
    assert barrier(deadline_ns=H + 1) == "no contact can deliver in time"
    assert barrier(reach=reach_of([], [], [])) == "no contact in the plan"
    assert barrier(ahead_bytes=2 * 10**9) == "the plan has no room"
    assert barrier(replace(CONFIG, min_budget_bytes=10), budget_bytes=9) == (
        "the next contact is full")
    assert barrier(budget_bytes=0) == ""


def test_answer_now_with_refinement_in_a_later_contact():
    # The first contact is full of other regions; an answer passes them.
    case = replace(CASE, stage=1, ahead_bytes=600_000_000, gain=0.3, left_j=0.0)
    found = route(case, REACH, CONFIG)
    assert (found.decision, found.delivery) == (CONTINUE, BOTH)
    assert found.answer_ns < H + MIN and found.regions_ns > 3 * H
    at_end = route(replace(case, stage=3), REACH, CONFIG)
    assert (at_end.decision, at_end.delivery) == (OFFLOAD, BOTH)


def test_a_provisional_answer_that_is_surely_wrong_is_not_waited_for():
    case = replace(CASE, stage=1, score=0.0, gain=0.6, ahead_bytes=600_000_000, left_j=0.01)
    assert route(case, REACH, CONFIG).decision == OFFLOAD


def test_load_is_of_the_link_whatever_the_deadline():
    # 600 MB in the contact at one hour, 600 MB two hours later; 240 MB wait.
    case = replace(CASE, queued_bytes=240_000_000)
    for minutes in (0, 61, 65, 24 * 60):
        asked = replace(case, deadline_ns=minutes * MIN)
        assert route(asked, REACH, CONFIG).load == pytest.approx(0.2)
    # Contacts farther off than that from the next one carry it later.
    assert route(case, REACH, replace(CONFIG, load_h=1.0)).load == pytest.approx(0.4)
    assert load_of(2 * H, 240_000_000, REACH, CONFIG) == pytest.approx(0.4)
    assert load_of(4 * H, 1, REACH, CONFIG) == 1.0
    assert load_of(0, 0, REACH, CONFIG) == load_of(0, 1, None, CONFIG) == 0.0


def test_an_idle_link_costs_nothing_and_a_full_one_its_price():
    config = replace(CONFIG, joule_price=0.0, delay_price=0.0, mb_price=0.5)
    small = replace(CASE, gain=0.03)
    assert route(small, REACH, config).decision == OFFLOAD
    # Everything until the horizon is promised, but to what goes behind these regions.
    full = replace(small, queued_bytes=2 * 10**9)
    assert route(full, REACH, config).load == 1.0
    assert route(full, REACH, config).decision == ANSWER


def test_priority_outweighs_a_full_link():
    config = replace(CONFIG, joule_price=0.0, delay_price=0.0, mb_price=0.5, priority_step=1.0)
    case = replace(CASE, gain=0.2, queued_bytes=2 * 10**9)
    assert route(case, REACH, config).decision == ANSWER
    assert route(replace(case, priority=3), REACH, config).decision == OFFLOAD


# -- late ----------------------------------------------------------------------------------------

# The first contact opens at one hour: a deadline of half an hour is lost for any answer, one of
# an hour and a second for what is more than 1 MB.
LATE = replace(CASE, gain=0.15, ahead_bytes=5_000_000, level="lossy")


@pytest.mark.parametrize(
    ("change", "rule", "decision", "is_late"),
    [
        ({"deadline_ns": H // 2}, 4, OFFLOAD, True),
        ({"deadline_ns": H // 2, "stage": 1, "left_j": 200.0}, 4, OFFLOAD, True),
        # The answer on board can still be in time: first that one, then what is late.
        ({"deadline_ns": H + S // 2}, 4, OFFLOAD, True),
        ({"deadline_ns": H + S // 2, "stage": 1}, 2, CONTINUE, False),
        ({"deadline_ns": H + S}, 4, OFFLOAD, False),
        ({"deadline_ns": H // 2, "score": 0.95}, 1, ANSWER, False),
        ({"deadline_ns": H // 2, "is_safe_mode": True}, 2, ANSWER, False),
        ({"deadline_ns": H // 2, "is_onboard": True}, 2, ANSWER, False),
        ({"deadline_ns": H // 2, "is_familiar": False}, 3, OFFLOAD, True),
    ],
)  # fmt: skip
def test_what_is_too_late_for_its_deadline_is_asked_behind_the_rest(
    change, rule, decision, is_late
):
    late = replace(LATE, **{k: v for k, v in change.items() if k != "deadline_ns"})
    found = route(replace(CASE, late=late, **change), REACH, CONFIG)
    assert (found.rule, found.decision, found.is_late) == (rule, decision, is_late)
    if is_late:  # 5 MB ahead and 1 MB: six seconds into the contact, however late that is
        assert found.regions_ns == H + 6 * S


def test_what_is_late_and_not_worth_it_is_answered_on_board():
    case = replace(CASE, deadline_ns=H // 2, late=replace(LATE, gain=0.001))
    found = route(case, REACH, CONFIG)
    assert (found.rule, found.decision, found.is_late) == (5, ANSWER, True)
    full = replace(case, late=replace(LATE, ahead_bytes=2 * 10**9))
    assert route(full, REACH, CONFIG).barrier == "the plan has no room"


def test_late_requests_are_served_only_where_set_so():
    case = replace(CASE, deadline_ns=H // 2, late=LATE)
    for config in (replace(CONFIG, serves_late=False), fixed(GateConfig())):
        found = route(case, REACH, config)
        assert (found.is_late, found.barrier) == (False, "no contact before the deadline")


# -- without a plan ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "decision", "delivery"),
    [
        ({}, OFFLOAD, BOTH), ({"gain": 0.02}, ANSWER, ALONE), ({"stage": 1}, CONTINUE, BOTH),
        ({"is_onboard": True}, ANSWER, ALONE), ({"is_safe_mode": True}, ANSWER, ALONE),
        ({"regions_bytes": 400_000_000}, ANSWER, ALONE), ({"regions_j": 200.0}, ANSWER, ALONE),
    ],
)  # fmt: skip
def test_blind_to_contacts_the_gain_less_its_price_decides(change, decision, delivery):
    config = replace(CONFIG, base_mb_price=0.0005, joule_price=0.001)
    found = route(replace(CASE, **change), None, config)
    assert (found.decision, found.delivery) == (decision, delivery)
    assert (found.answer_ns, found.regions_ns, found.load) == (0, 0, 0.0)


def test_without_a_plan_reject_thresholds_hold_too():
    config = replace(CONFIG, reject=(0.0, 0.0, 0.4), hurdle=(inf, inf, inf))
    assert route(CASE, None, config).decision == ANSWER
    assert route(replace(CASE, score=0.3), None, config).decision == OFFLOAD


def test_fixed_thresholds_take_the_gate_and_weigh_nothing():
    config = fixed(GateConfig(accept=(0.9, 0.8, 0.7), reject=(0.1, 0.3)))
    assert config.hurdle == (inf, inf, inf)
    assert route(replace(CASE, score=0.69), REACH, config).decision == OFFLOAD
    assert route(replace(CASE, score=0.7, gain=1.0), REACH, config).decision == ANSWER


@pytest.mark.parametrize(
    "facts",
    [{"accept": (0.9, 0.9)}, {"hurdle": (0.1, float("nan"), 0.1)}, {"mb_price": -1.0},
     {"early_share": 1.5}, {"reject": (0.99, 0.0, 0.0)}, {"delay_price": inf},
     {"kinds": ()}, {"kinds": ("lossy", "loud")}],
)  # fmt: skip
def test_wrong_weights_are_refused(facts):
    with pytest.raises(ConfigError):
        RoutingConfig(**facts)


# -- for people ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ("confidence 0.500", "adds +0.200", "passes 0.020", "1000 kB behind 0 kB",
              "in 60.0 min by c1", "0 % promised")),
        ({"score": 0.95}, ("reaches 0.920",)),
        ({"deadline_ns": H}, ("best effort, no contact before the deadline", "(late)")),
        ({"gain": 0.001}, ("stays under 0.020",)),
        ({"gain": -0.0001}, ("the ground adds 0.000: ",)),
        ({"is_familiar": False}, ("unlike what the scores know", "the ground is asked")),
        ({"ahead_bytes": 2 * 10**9}, ("the plan has no room", "never")),
        ({"deadline_ns": H // 2, "late": LATE}, (
            "too late for the deadline, advantage", "lossy 1000 kB behind 5000 kB")),
    ],
)  # fmt: skip
def test_a_route_says_why_in_one_line(change, words):
    case = replace(CASE, **change)
    line = explain(case, route(case, REACH, CONFIG), REACH, CONFIG)
    assert "\n" not in line and all(word in line for word in words), line


def test_explains_without_a_plan_and_under_fixed_thresholds():
    config = fixed(GateConfig())
    for stage in (1, 2, 3):
        case = replace(CASE, stage=stage)
        line = explain(case, route(case, None, config), None, config)
        # Thresholds know no gain: none is spoken of.
        assert "no plan known" in line and "adds" not in line
