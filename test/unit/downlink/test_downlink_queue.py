"""Order, queue and budgets of the downlink."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.values import (
    ByteBudget,
    Contact,
    ContactPlan,
    DownlinkReport,
    LinkState,
    Product,
)
from eo_nodes.downlink.budget import RateBudget, byte_budget, left_bytes
from eo_nodes.downlink.order import CHANNELS, key
from eo_nodes.downlink.scheduler import Cancel, DownlinkScheduler, Put, QueueLimits
from eo_nodes.store.ledger_store import LedgerStore
from eo_sim.channel import Channel, Faults

S = 1_000_000_000
LIMITS = QueueLimits(
    entries=10, size_bytes=10_000, reserve=0.2, transfers=2, urgent_transfers=1, tries=2
)


def _product(name: str, kind: str = "regions", **fields: Any) -> Product:
    given = Product(id=name, request_id=f"req-{name}", kind=kind, path=f"/{name}", size_bytes=100)
    return replace(given, **fields)


@pytest.fixture
def store() -> LedgerStore:
    return LedgerStore(":memory:")


@pytest.fixture
def queue(store: LedgerStore) -> DownlinkScheduler:
    return DownlinkScheduler(store, LIMITS)


def _puts(actions: list[Any]) -> list[str]:
    return [action.product.id for action in actions if isinstance(action, Put)]


def _states(actions: list[Any]) -> list[tuple[str, str]]:
    return [(a.product_id, a.state) for a in actions if isinstance(a, DownlinkReport)]


def test_channels_then_priority_then_deadline_then_value_per_byte() -> None:
    ordered = [
        _product("e", "event"),
        _product("a", "answer", priority=1),
        _product("o", "overview"),
        _product("r1", priority=7),
        _product("r2", deadline_ns=50 * S),
        _product("r3", deadline_ns=60 * S),
        _product("r4", value=0.9, size_bytes=100),
        _product("r5", value=0.9, size_bytes=200),
        _product("late", deadline_ns=1 * S, priority=7),
        _product("made late", deadline_ns=50 * S, is_late=True, priority=3),
        _product("f", "refinement"),
        _product("h", "housekeeping"),
        _product("c", "catalogue"),
        _product("n", "enhancement", priority=7),
    ]
    shuffled = ordered[5:] + ordered[:5]
    assert sorted(shuffled, key=lambda p: key(p, 2 * S)) == ordered
    assert {p.kind for p in ordered} == set(CHANNELS)


def test_a_product_is_queued_and_the_link_gets_as_many_as_it_has_slots(
    queue: DownlinkScheduler,
) -> None:
    first = queue.on_product(_product("a"), 1 * S)
    assert (_states(first), _puts(first)) == ([("a", "queued")], ["a"])
    assert _puts(queue.on_product(_product("b"), 1 * S)) == ["b"]
    assert _puts(queue.on_product(_product("c"), 1 * S)) == []
    assert _puts(queue.on_product(_product("d", "answer"), 1 * S)) == ["d"]
    done = queue.on_delivered("a", 2 * S)
    assert (_states(done), _puts(done)) == ([("a", "delivered")], ["c"])


def test_a_slot_goes_to_the_most_urgent_not_to_the_first(queue: DownlinkScheduler) -> None:
    for name, priority in (("a", 0), ("b", 0), ("c", 1), ("d", 6)):
        queue.on_product(_product(name, priority=priority), 1 * S)
    assert _puts(queue.on_delivered("a", 2 * S)) == ["d"]


def test_reports_follow_a_product_and_carry_the_times_of_its_bytes(
    queue: DownlinkScheduler,
) -> None:
    queue.on_product(_product("a"), 1 * S)
    (sending,) = queue.on_progress("a", 40, 5 * S)
    assert (sending.state, sending.first_byte_ns) == ("sending", 5 * S)
    assert queue.on_progress("a", 60, 6 * S) == []
    assert queue.queued_bytes() == 40
    (delivered,) = queue.on_delivered("a", 7 * S)
    assert (delivered.first_byte_ns, delivered.last_byte_ns) == (5 * S, 7 * S)
    assert queue.on_delivered("a", 8 * S) == []
    assert queue.product_ids() == frozenset()


def test_m04_a_fault_queues_again_until_the_tries_are_used_up(queue: DownlinkScheduler) -> None:
    queue.on_product(_product("a"), 1 * S)
    again = queue.on_fault("a", "nak_limit_reached", 2 * S)
    assert (again[0].id, _states(again), _puts(again)) == (
        "TRANSFER_FAULT",
        [("a", "queued")],
        ["a"],
    )
    ended = queue.on_fault("a", "nak_limit_reached", 3 * S)
    assert _states(ended) == [("a", "failed")]
    assert ended[1].reason == "nak_limit_reached"


def test_a_repeat_is_answered_with_its_report_also_after_delivery(
    queue: DownlinkScheduler,
) -> None:
    queue.on_product(_product("a"), 1 * S)
    assert _states(queue.on_product(_product("a"), 2 * S)) == [("a", "queued")]
    queue.on_delivered("a", 3 * S)
    assert _states(queue.on_product(_product("a"), 4 * S)) == [("a", "delivered")]
    assert queue.queue_state("sat1", 4 * S).total == 0
    known = queue.report("a")
    assert known is not None and known.state == "delivered" and queue.report("b") is None


def test_m07_a_full_queue_rejects_the_less_urgent_with_an_event(queue: DownlinkScheduler) -> None:
    for n in range(8):
        queue.on_product(_product(f"p{n}", priority=n), 1 * S)
    report, event = queue.on_product(_product("worst", "catalogue"), 2 * S)
    assert (report.state, report.reason, event.id) == ("rejected", "queue is full", "STORE_FULL")
    better = queue.on_product(_product("better", priority=7), 3 * S)
    assert _states(better)[0] == ("p2", "rejected"), "p0 and p1 are at the link"
    assert ("better", "queued") in _states(better)
    assert queue.rejected == 2


def test_m25_the_reserve_is_for_answers_and_events(queue: DownlinkScheduler) -> None:
    queue.on_product(_product("big", size_bytes=8000), 1 * S)
    assert _states(queue.on_product(_product("r"), 2 * S)) == [("r", "rejected")]
    assert ("a", "queued") in _states(queue.on_product(_product("a", "answer"), 2 * S))


def test_a_final_on_board_withdraws_pixels_that_have_not_begun(queue: DownlinkScheduler) -> None:
    for name in ("a", "b", "c"):
        queue.on_product(_product(name, request_id="req-1"), 1 * S)
    queue.on_product(_product("ans", "answer", request_id="req-1"), 1 * S)
    queue.on_progress("a", 10, 2 * S)
    done = queue.withdraw("req-1", 3 * S)
    assert [action for action in done if isinstance(action, Cancel)] == [Cancel("b")]
    assert _states(done) == [("b", "failed"), ("c", "failed")]
    assert queue.product_ids() == {"a", "ans"}


def test_m26_recovery_hands_over_what_the_link_lost_and_states_all_reports(
    store: LedgerStore, queue: DownlinkScheduler
) -> None:
    for name in ("a", "b", "c", "d"):
        queue.on_product(_product(name), 1 * S)
    queue.on_progress("b", 50, 2 * S)
    queue.on_delivered("a", 3 * S)
    again = DownlinkScheduler(store, LIMITS)
    done = again.recover({"b"}, 4 * S)
    assert sorted(_states(done)) == [
        ("a", "delivered"),
        ("b", "sending"),
        ("c", "queued"),
        ("d", "queued"),
    ]
    assert _puts(done) == ["c"]


def test_only_the_last_ended_products_are_stated_again(store: LedgerStore) -> None:
    queue = DownlinkScheduler(store, replace(LIMITS, finished=2))
    for name in ("a", "b", "c"):
        queue.on_product(_product(name), 1 * S)
        queue.on_delivered(name, 2 * S)
    assert _states(queue.reports(3 * S)) == [("b", "delivered"), ("c", "delivered")]
    assert _states(DownlinkScheduler(store, LIMITS).reports(3 * S)) == [
        ("b", "delivered"),
        ("c", "delivered"),
    ]


def test_m25_a_step_that_cannot_be_written_did_not_happen(
    store: LedgerStore, queue: DownlinkScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = store.database.execute

    def full(sql: str, values: Any = ()) -> Any:
        if sql == "COMMIT":
            raise StorageError("database or disk is full")
        return execute(sql, values)

    monkeypatch.setattr(store.database, "execute", full)
    with pytest.raises(StorageError):
        queue.on_product(_product("a"), 1 * S)
    monkeypatch.undo()
    assert queue.product_ids() == frozenset()
    assert _puts(queue.on_product(_product("a"), 2 * S)) == ["a"]


def test_the_queue_shows_the_most_urgent_first(queue: DownlinkScheduler) -> None:
    for name, kind in (("r", "regions"), ("a", "answer"), ("c", "catalogue")):
        queue.on_product(_product(name, kind), 1 * S)
    queue.on_progress("r", 30, 2 * S)
    state = queue.queue_state("sat1", 3 * S)
    assert [(e.product_id, e.state, e.sent_bytes) for e in state.entries] == [
        ("a", "queued", 0),
        ("r", "sending", 30),
        ("c", "queued", 0),
    ]
    assert (state.total, state.queued_bytes, state.late_bytes) == (3, 270, 0)


def test_the_queue_says_how_much_of_it_is_late(queue: DownlinkScheduler) -> None:
    queue.on_product(_product("r"), 1 * S)
    queue.on_product(_product("late", is_late=True), 1 * S)
    queue.on_product(_product("soon", deadline_ns=4 * S), 1 * S)
    queue.on_progress("late", 30, 2 * S)
    state = queue.queue_state("sat1", 3 * S)
    assert (state.queued_bytes, state.late_bytes) == (270, 70)
    assert queue.queue_state("sat1", 4 * S).late_bytes == 170, "past its deadline by then"


def test_what_nobody_asked_for_takes_no_slot_and_counts_for_nobody(
    queue: DownlinkScheduler,
) -> None:
    spare = [_product(f"n{i}", "enhancement", priority=7) for i in range(2)]
    assert _puts(queue.on_product(spare[0], 1 * S)) == ["n0"], "nothing else waits"
    assert _puts(queue.on_product(spare[1], 1 * S)) == [], "one at a time"
    assert _puts(queue.on_product(_product("a"), 1 * S)) == ["a"]
    assert _puts(queue.on_product(_product("b"), 1 * S)) == ["b"], "both slots are still free"
    assert queue.queued_bytes() == 200
    state = queue.queue_state("sat1", 2 * S)
    assert (state.total, state.queued_bytes, state.late_bytes) == (2, 200, 0)
    queue.on_product(_product("c"), 2 * S)
    assert _puts(queue.on_delivered("n0", 3 * S)) == [], "something else waits"
    assert _puts(queue.on_delivered("a", 4 * S)) == ["c", "n1"]


def test_what_nobody_asked_for_makes_room_first(queue: DownlinkScheduler) -> None:
    for i in range(2):
        queue.on_product(_product(f"n{i}", "enhancement", priority=7), 1 * S)
    for i in range(6):
        queue.on_product(_product(f"c{i}", "catalogue"), 1 * S)
    made = queue.on_product(_product("last", "catalogue"), 2 * S)
    assert ("n1", "rejected") in _states(made), "n0 is at the link"
    assert ("last", "queued") in _states(made)


def test_the_end_of_a_contact_takes_back_what_nobody_asked_for(
    store: LedgerStore, queue: DownlinkScheduler
) -> None:
    for name, kind in (("a", "regions"), ("n0", "enhancement"), ("n1", "enhancement")):
        queue.on_product(_product(name, kind), 1 * S)
    queue.on_progress("n0", 10, 2 * S)
    done = queue.end_contact(3 * S)
    assert [action for action in done if isinstance(action, Cancel)] == [Cancel("n0")]
    assert sorted(_states(done)) == [("n0", "failed"), ("n1", "failed")]
    assert queue.product_ids() == {"a"}
    queue.on_product(_product("n2", "enhancement"), 4 * S)
    again = DownlinkScheduler(store, LIMITS)
    done = again.recover({"a", "n2"}, 5 * S)
    assert Cancel("n2") in done and again.product_ids() == {"a"}
    assert ("n2", "failed") in _states(done)


def test_nothing_follows_a_request_that_has_its_final_or_waits_for_a_region(
    queue: DownlinkScheduler,
) -> None:
    finer = _product("n", "enhancement", request_id="req-1")
    queue.on_product(_product("a"), 1 * S)
    queue.on_product(finer, 1 * S)
    done = queue.withdraw("req-1", 2 * S, kinds=("enhancement",))
    assert (_states(done), Cancel("n") in done) == ([("n", "failed")], True)
    assert _states(queue.on_product(finer, 3 * S)) == [("n", "rejected")], "it came too late"
    assert queue.product_ids() == {"a"}


PLAN = ContactPlan(
    contacts=(
        Contact(id="c1", station="kiruna", aos_ns=100 * S, los_ns=200 * S, capacity_bytes=1000),
        Contact(id="c2", station="svalbard", aos_ns=300 * S, los_ns=400 * S, capacity_bytes=4000),
    )
)


@pytest.mark.parametrize(
    ("now_s", "link", "contact", "capacity", "budget"),
    [
        (50, LinkState(), "c1", 1000, 850),
        (150, LinkState(), "c1", 500, 400),
        (150, LinkState(locked=True, station="kiruna", downlink_bps=40), "c1", 250, 175),
        (150, LinkState(locked=True, station="kiruna", downlink_bps=80_000), "c1", 500, 400),
        (150, LinkState(locked=True, station="weilheim", downlink_bps=40), "c1", 500, 400),
        (190, LinkState(), "c1", 100, 40),
        (199, LinkState(), "c1", 10, 0),
        (200, LinkState(), "c2", 4000, 3550),
        (400, LinkState(), "", 0, 0),
    ],
)
def test_the_byte_budget_is_of_the_rest_of_this_contact_or_of_the_next(
    now_s: int, link: LinkState, contact: str, capacity: int, budget: int
) -> None:
    got = byte_budget(PLAN, link, 50, now_s * S)
    assert (got.contact_id, got.capacity_bytes, got.budget_bytes) == (contact, capacity, budget)
    assert got.queued_bytes == 50


@pytest.mark.parametrize(("now_s", "left"), [(50, 0), (100, 850), (199, 850), (200, 0)])
def test_bytes_are_left_only_while_the_contact_lasts(now_s: int, left: int) -> None:
    told = byte_budget(PLAN, LinkState(), 50, 50 * S)
    assert left_bytes(told, now_s * S) == left
    assert left_bytes(None, now_s * S) == left_bytes(ByteBudget(), now_s * S) == 0


def test_a_rate_budget_has_no_drift_over_odd_steps() -> None:
    budget = RateBudget(10 * S, 1)
    budget.advance(0, 1)
    for now_ns in range(0, 8 * S + 1, 333_333):
        budget.advance(now_ns, 1_000_003)
    assert budget.advance(8 * S, 1_000_003) == 1_000_003


def test_a_rate_budget_is_bounded_and_a_debt_is_paid_first() -> None:
    budget = RateBudget(S // 2, 100)
    budget.advance(0, 8000)
    assert budget.advance(10 * S, 8000) == 600, "half a second, and a frame"
    budget.spend(1600)
    assert budget.available_bytes == -1000
    assert budget.advance(11 * S, 8000) == 0
    assert budget.advance(5 * S, 8000) == 0, "a clock that goes back adds nothing"
    budget.reset(20 * S)
    assert budget.available_bytes == 0


def test_what_gathered_at_a_high_rate_is_no_burst_at_a_low_one() -> None:
    budget = RateBudget(S, 100)
    budget.advance(0, 8_000_000)
    assert budget.advance(10 * S, 8_000_000) == 1_000_100
    assert budget.advance(11 * S, 8000) == 1100


@pytest.mark.parametrize("rate_bps", [1000, 64_000, 20_000_000])
def test_after_a_long_silence_a_modem_takes_all_that_is_released(rate_bps: int) -> None:
    frame = bytes(1024)
    budget, channel = RateBudget(2 * S, len(frame)), Channel(Faults(), grid_ns=S // 10)
    budget.reset(0)
    at_ns = 3600 * S
    for now_ns in range(at_ns, at_ns + S + 1, S // 2):
        for _ in range(budget.advance(now_ns, rate_bps) // len(frame)):
            budget.spend(len(frame))
            channel.push(frame, now_ns, rate_bps, 0, 2 * at_ns)
    assert channel.counters.overflowed == 0 < channel.counters.sent
