"""The ledger on the ground, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ledger_cases import GROUND_LIMITS, LATER_TASK, PRODUCT, S, only

from eo_nodes.contracts.values import Answer, Event, Notice, Step
from eo_nodes.store.ledger_store import LedgerStore
from eo_nodes.tasking.ground_ledger import GroundLedger

PROVISIONAL = Answer(
    id="ans-p",
    request_id="req-1",
    task_id="task-1",
    text="two",
    version=1,
    origin="onboard",
    steps=(Step(name="decided", stamp_ns=5 * S),),
)
FROM_SPACE = replace(PROVISIONAL, id="ans-s", status=Answer.FINAL, version=2, scene_id="scene-1")
FROM_MODEL = Answer(
    id="m", request_id="req-1", status=Answer.FINAL, text="three", origin="ground", version=0
)


@pytest.fixture
def store() -> LedgerStore:
    return LedgerStore(":memory:")


@pytest.fixture
def ledger(store: LedgerStore) -> GroundLedger:
    ledger = GroundLedger(store, GROUND_LIMITS)
    ledger.on_task(LATER_TASK, 1 * S)
    return ledger


def test_an_accepted_task_is_uplinked_until_it_is_up(ledger: GroundLedger) -> None:
    assert ledger.on_task(LATER_TASK, 2 * S) == [LATER_TASK]
    ledger.on_uplinked("task-1")
    assert ledger.on_task(LATER_TASK, 3 * S) == []


def test_a_bad_task_is_refused_at_the_border_and_a_repeat_reads_the_same(
    ledger: GroundLedger,
) -> None:
    bad = replace(LATER_TASK, id="task-2", prompt="x" * 100_000)
    refusal, event = ledger.refuse(bad, "prompt: has 100000 characters", 2 * S)
    assert (refusal.status, refusal.asker, len(refusal.prompt)) == (Answer.REFUSED, "ann", 2000)
    assert event.id == "TASK_REFUSED"
    assert ledger.on_task(bad, 3 * S) == [refusal]


def test_a_deadline_in_the_past_is_refused(ledger: GroundLedger) -> None:
    (refusal,) = only(ledger.on_task(replace(LATER_TASK, id="t", deadline_ns=1), 2 * S), Answer)
    assert refusal.reason == "deadline is in the past"


def test_m07_too_many_open_tasks_are_refused(store: LedgerStore) -> None:
    ledger = GroundLedger(store, replace(GROUND_LIMITS, open_tasks=1))
    ledger.on_task(LATER_TASK, 1 * S)
    (refusal,) = only(ledger.on_task(replace(LATER_TASK, id="t"), 2 * S), Answer)
    assert refusal.reason == "too many open tasks"


def test_the_model_on_the_ground_gives_the_final(ledger: GroundLedger) -> None:
    ledger.on_provisional(PROVISIONAL, 9 * S, bytes_sent=60)
    assert ledger.on_product_received(PRODUCT, 10 * S) == [PRODUCT]
    final, notice = ledger.on_model_answer(FROM_MODEL, 20 * S)
    assert (final.status, final.text, final.origin, final.version) == (1, "three", "ground", 2)
    assert (final.asker, final.prompt, final.bytes_sent, final.raw_bytes) == (
        "ann",
        "ships?",
        760,
        9000,
    )
    names = [step.name for step in final.steps]
    assert names == ["asked", "decided", "provisional", "received", "final"]
    assert notice == Notice(kind="final", request_id="req-1", answer_id=final.id, stamp_ns=20 * S)
    assert ledger.on_model_answer(FROM_MODEL, 21 * S) == []


def test_a_repeated_product_counts_its_bytes_once(ledger: GroundLedger) -> None:
    for _ in range(2):
        ledger.on_product_received(PRODUCT, 10 * S)
    final, _ = ledger.on_model_answer(FROM_MODEL, 20 * S)
    assert final.bytes_sent == 700


def test_a_final_from_space_is_adopted_once(ledger: GroundLedger) -> None:
    final, notice = ledger.on_final_from_space(FROM_SPACE, 10 * S, bytes_sent=90)
    assert (final.id, final.text, final.bytes_sent) == ("ans-s", "two", 90)
    assert final.steps[-1] == Step(name="received", stamp_ns=10 * S)
    assert notice.answer_id == "ans-s"
    assert ledger.on_final_from_space(FROM_SPACE, 11 * S) == []


def test_a_second_final_is_evented_and_not_published(ledger: GroundLedger) -> None:
    ledger.on_product_received(PRODUCT, 10 * S)
    ledger.on_model_answer(FROM_MODEL, 20 * S)
    (event,) = ledger.on_final_from_space(FROM_SPACE, 30 * S)
    assert isinstance(event, Event) and "ans-s" in event.fields_json


def test_a_product_after_the_final_only_tells_the_satellite(ledger: GroundLedger) -> None:
    ledger.on_final_from_space(FROM_SPACE, 10 * S)
    (notice,) = ledger.on_product_received(PRODUCT, 20 * S)
    assert isinstance(notice, Notice) and notice.answer_id == "ans-s"


def test_a_silent_model_leaves_the_provisional_labelled(ledger: GroundLedger) -> None:
    ledger.on_provisional(PROVISIONAL, 10 * S)
    ledger.on_product_received(PRODUCT, 10 * S)
    assert ledger.next_wake_ns() == 60 * S
    final, _ = ledger.on_time(60 * S)
    assert (final.text, final.origin) == ("two", "onboard")
    assert final.reason == "degraded: ground model gave no answer in time"


def test_a_silent_model_without_provisional_is_a_refusal(ledger: GroundLedger) -> None:
    ledger.on_product_received(PRODUCT, 10 * S)
    final, _ = ledger.on_time(60 * S)
    assert (final.status, final.origin, final.text) == (Answer.REFUSED, "ground", "")


def test_the_deadline_comes_before_the_patience_with_the_model(ledger: GroundLedger) -> None:
    ledger.on_provisional(PROVISIONAL, 290 * S)
    ledger.on_product_received(PRODUCT, 290 * S)
    assert len(only(ledger.on_time(300 * S), Answer)) == 1


def test_a_model_that_refuses_falls_back_to_the_provisional(ledger: GroundLedger) -> None:
    ledger.on_provisional(PROVISIONAL, 5 * S)
    ledger.on_product_received(PRODUCT, 10 * S)
    refused = replace(FROM_MODEL, status=Answer.REFUSED, text="", reason="out of memory")
    final, _ = ledger.on_model_answer(refused, 20 * S)
    assert (final.text, final.reason) == ("two", "degraded: ground model: out of memory")


def test_a_refusal_of_the_task_on_board_is_published_once(ledger: GroundLedger) -> None:
    refusal = Answer(
        id="r", task_id="task-1", status=Answer.REFUSED, reason="no scene", origin="onboard"
    )
    (published,) = only(ledger.on_final_from_space(refusal, 10 * S), Answer)
    assert (published.id, published.reason) == ("r", "no scene")
    assert ledger.on_final_from_space(refusal, 11 * S) == []


def test_a_satellite_that_never_speaks_again_ends_in_a_refusal(ledger: GroundLedger) -> None:
    assert ledger.on_time(799 * S) == []
    (refusal,) = only(ledger.on_time(800 * S), Answer)
    assert refusal.reason == "no word from the satellite in time"
    (event,) = ledger.on_final_from_space(FROM_SPACE, 900 * S)
    assert isinstance(event, Event)


def test_a_satellite_that_fell_silent_after_a_provisional_ends_in_it(
    ledger: GroundLedger,
) -> None:
    ledger.on_provisional(PROVISIONAL, 5 * S)
    (final,) = only(ledger.on_time(800 * S), Answer)
    assert final.text == "two" and final.reason.startswith("degraded: no word")


def test_m26_recovery_gives_out_what_was_under_way_with_the_same_ids(
    store: LedgerStore, ledger: GroundLedger
) -> None:
    assert GroundLedger(store, GROUND_LIMITS).recover(2 * S) == [LATER_TASK]
    ledger.on_uplinked("task-1")
    ledger.on_product_received(PRODUCT, 10 * S)
    assert GroundLedger(store, GROUND_LIMITS).recover(11 * S) == [PRODUCT]
    final, notice = ledger.on_model_answer(FROM_MODEL, 20 * S)
    again = GroundLedger(store, GROUND_LIMITS)
    assert again.recover(21 * S) == [final, replace(notice, stamp_ns=21 * S)]
    assert again.owed_uplinks(21 * S) == [replace(notice, stamp_ns=21 * S)]
    assert again.on_model_answer(FROM_MODEL, 22 * S) == []
    assert again.on_time(80 * S) == []
    assert again.recover(81 * S) == []


def test_recovery_gives_out_a_refusal_again_for_a_while(
    store: LedgerStore, ledger: GroundLedger
) -> None:
    refusal, _ = ledger.refuse(replace(LATER_TASK, id="task-2"), "no", 10 * S)
    assert refusal in GroundLedger(store, GROUND_LIMITS).recover(11 * S)
    ledger.on_time(70 * S)
    assert refusal not in GroundLedger(store, GROUND_LIMITS).recover(71 * S)
