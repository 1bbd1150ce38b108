"""What the satellite says ahead of its pixels: the ledger on the ground."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ledger_cases import GROUND_LIMITS, LATER_TASK, PRODUCT, S, only

from eo_nodes.contracts.values import Answer, Notice, Step
from eo_nodes.store.ledger_store import LedgerStore
from eo_nodes.tasking.ground_ledger import GroundLedger

AHEAD = Answer(
    id="ans-1-onboard-1", request_id="req-1", task_id="task-1", scene_id="scene-1", text="two",
    version=1, origin="onboard", steps=(Step(name="decided", stamp_ns=5 * S),),
)  # fmt: skip
FROM_SPACE = replace(AHEAD, id="ans-1-onboard-2", status=Answer.FINAL, version=2)
FROM_MODEL = Answer(
    id="m", request_id="req-1", status=Answer.FINAL, text="three", origin="ground", version=1
)


@pytest.fixture
def store() -> LedgerStore:
    return LedgerStore(":memory:")


@pytest.fixture
def ledger(store: LedgerStore) -> GroundLedger:
    ledger = GroundLedger(store, GROUND_LIMITS)
    ledger.on_task(LATER_TASK, 1 * S)
    ledger.on_uplinked("task-1")
    return ledger


def test_it_is_published_as_provisional_once_and_is_no_final(ledger: GroundLedger) -> None:
    (answer,) = ledger.on_provisional(AHEAD, 9 * S, bytes_sent=60)
    assert (answer.id, answer.status, answer.text) == (AHEAD.id, Answer.PROVISIONAL, "two")
    assert answer.bytes_sent == 60
    assert [s.name for s in answer.steps] == ["asked", "decided", "provisional"]
    assert ledger.on_provisional(AHEAD, 10 * S, bytes_sent=60) == [], "a repeat"
    row = ledger.request("req-1")
    assert row is not None and (row.owner, row.final, row.bytes_sent) == ("space", None, 60)


def test_the_final_that_follows_is_a_later_version_and_dates_the_first_answer(
    ledger: GroundLedger,
) -> None:
    ledger.on_provisional(AHEAD, 9 * S, bytes_sent=60)
    ledger.on_product_received(PRODUCT, 20 * S)
    final, notice = ledger.on_model_answer(FROM_MODEL, 30 * S)
    assert isinstance(notice, Notice)
    assert (final.status, final.text, final.version, final.bytes_sent) == (1, "three", 2, 760)
    assert Step(name="provisional", stamp_ns=9 * S) in final.steps


def test_the_satellites_own_final_counts_both_files(ledger: GroundLedger) -> None:
    ledger.on_provisional(AHEAD, 9 * S, bytes_sent=60)
    final, _ = ledger.on_final_from_space(FROM_SPACE, 20 * S, bytes_sent=70)
    assert (final.id, final.bytes_sent) == (FROM_SPACE.id, 130)
    assert [s.name for s in final.steps][1:] == ["decided", "provisional", "received"]


def test_what_the_pixels_overtook_is_said_and_kept_until_the_model_answers(
    ledger: GroundLedger,
) -> None:
    ledger.on_product_received(PRODUCT, 8 * S)
    assert only(ledger.on_provisional(AHEAD, 9 * S), Answer)
    (final,) = only(ledger.on_time(58 * S), Answer)
    assert (final.text, final.origin) == ("two", "onboard")
    assert final.reason == "degraded: ground model gave no answer in time"


def test_nothing_is_said_where_a_final_stands(ledger: GroundLedger) -> None:
    ledger.on_final_from_space(FROM_SPACE, 8 * S)
    assert ledger.on_provisional(AHEAD, 9 * S) == []
    assert ledger.on_provisional(replace(AHEAD, version=9), 9 * S) == []


def test_nothing_is_said_over_the_models_own_and_versions_only_rise(ledger: GroundLedger) -> None:
    ledger.on_provisional(replace(AHEAD, version=3), 7 * S)
    ledger.on_product_received(PRODUCT, 8 * S)
    ledger.on_model_answer(replace(FROM_MODEL, status=Answer.PROVISIONAL), 9 * S)
    assert ledger.on_provisional(replace(AHEAD, version=4), 10 * S) == []
    (final,) = only(ledger.on_model_answer(FROM_MODEL, 11 * S), Answer)
    assert (final.text, final.version) == ("three", 4)


def test_nothing_is_said_of_a_refused_task(store: LedgerStore) -> None:
    ledger = GroundLedger(store, GROUND_LIMITS)
    ledger.refuse(LATER_TASK, "no", 1 * S)
    assert ledger.on_provisional(AHEAD, 9 * S) == []


def test_an_answer_of_nobody_or_of_the_ground_is_not_taken(ledger: GroundLedger) -> None:
    assert ledger.on_provisional(replace(AHEAD, request_id=""), 9 * S) == []
    assert ledger.on_provisional(replace(AHEAD, origin="ground"), 9 * S) == []


def test_one_that_nothing_follows_is_final_at_the_end(ledger: GroundLedger) -> None:
    ledger.on_provisional(AHEAD, 9 * S)
    assert ledger.next_wake_ns() == 800 * S, "deadline and silence"
    assert ledger.on_time(799 * S) == []
    (final,) = only(ledger.on_time(800 * S), Answer)
    assert (final.status, final.text) == (Answer.FINAL, "two")
    assert final.reason == "degraded: no word from the satellite in time"
    assert ledger.on_time(900 * S) == [] and ledger.next_wake_ns() is None


def test_one_of_a_task_that_nobody_knows_ends_as_well(store: LedgerStore) -> None:
    ledger = GroundLedger(store, GROUND_LIMITS)
    assert len(ledger.on_provisional(AHEAD, 9 * S)) == 1
    assert ledger.next_wake_ns() == 509 * S
    (final,) = only(ledger.on_time(509 * S), Answer)
    assert (final.status, final.text) == (Answer.FINAL, "two")


def test_m26_after_a_kill_it_is_given_out_again_with_the_id_it_had(
    store: LedgerStore, ledger: GroundLedger
) -> None:
    (answer,) = ledger.on_provisional(AHEAD, 9 * S, bytes_sent=60)
    again = GroundLedger(store, GROUND_LIMITS)
    assert again.recover(10 * S) == [answer]
    assert again.on_provisional(AHEAD, 11 * S, bytes_sent=60) == [], "the link states it again"
    again.on_final_from_space(FROM_SPACE, 20 * S)
    given = only(GroundLedger(store, GROUND_LIMITS).recover(21 * S), Answer)
    assert [one.status for one in given] == [Answer.FINAL]
