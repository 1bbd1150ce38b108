"""The ledger on the ground when its model wants a region before its answer counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ledger_cases import GROUND_LIMITS, LATER_TASK, PRODUCT, S

from eo_nodes.contracts.values import Answer, Event, Notice
from eo_nodes.store.ledger_store import LedgerStore
from eo_nodes.tasking.ground_ledger import GroundLedger

JOINED = replace(PRODUCT, id="prd-1-refinement-1", kind="refinement", path="/q", size_bytes=900)
UNSURE = Answer(id="ans-1-ground-1", request_id="req-1", text="three", origin="ground", version=1)
SURE = replace(UNSURE, id="ans-1-ground-2", status=Answer.FINAL, text="four", version=2)
WISH = Notice(kind="region", request_id="req-1", window=(1, 2, 3, 4))
UNTIL = 200 * S


@pytest.fixture
def store() -> LedgerStore:
    return LedgerStore(":memory:")


@pytest.fixture
def ledger(store: LedgerStore) -> GroundLedger:
    ledger = GroundLedger(store, GROUND_LIMITS)
    ledger.on_task(LATER_TASK, 1 * S)
    ledger.on_uplinked("task-1")
    ledger.on_provisional(
        Answer(
            id="p", request_id="req-1", task_id="task-1", text="two", version=1, origin="onboard"
        ),
        9 * S,
    )
    ledger.on_product_received(PRODUCT, 10 * S)
    return ledger


def _ask(ledger: GroundLedger, *, answer_first: bool = True) -> list[Any]:
    def answer() -> list[Any]:
        return ledger.on_model_answer(UNSURE, 20 * S)

    def wish() -> list[Any]:
        return ledger.on_region_wanted(WISH, 20 * S, until_ns=UNTIL)

    first, second = (answer, wish) if answer_first else (wish, answer)
    assert first() == []
    return second()


@pytest.mark.parametrize("answer_first", [True, False])
def test_answer_and_wish_together_ask_in_either_order(
    ledger: GroundLedger, *, answer_first: bool
) -> None:
    notice, event = _ask(ledger, answer_first=answer_first)
    assert notice == replace(WISH, stamp_ns=20 * S)
    assert event.id == "REGION_ASKED"
    assert ledger.next_wake_ns() == UNTIL
    row = ledger.request("req-1")
    assert row is not None and row.takes("refinement") and row.final is None


def test_the_answer_on_all_regions_is_the_one_final(ledger: GroundLedger) -> None:
    _ask(ledger)
    assert ledger.on_region_received(JOINED, 30 * S, received_bytes=400) == [JOINED]
    assert ledger.on_region_received(JOINED, 31 * S, received_bytes=400) == [], "a repeat"
    assert ledger.on_product_received(PRODUCT, 31 * S) == [], "a repeat"
    assert ledger.on_model_answer(UNSURE, 31 * S) == [], "late, of the product without the region"
    final, notice, event = ledger.on_model_answer(SURE, 32 * S)
    assert (final.status, final.text, final.version) == (Answer.FINAL, "four", 3)
    assert (final.bytes_sent, final.reason) == (1100, "")
    assert (notice.kind, notice.answer_id) == ("final", final.id)
    assert (event.id, event.text) == ("REGION_REFINED", "answer changed")
    assert [s.name for s in final.steps] == [
        "asked", "provisional", "received", "region_asked", "region_received", "final",
    ]  # fmt: skip
    assert ledger.on_model_answer(SURE, 33 * S) == []
    (late,) = ledger.on_region_received(JOINED, 34 * S, received_bytes=400)
    assert late.kind == "final", "a repeat after the final only tells the satellite"


def test_an_answer_that_stays_is_said_to_be_confirmed(ledger: GroundLedger) -> None:
    _ask(ledger)
    ledger.on_region_received(JOINED, 30 * S, received_bytes=400)
    *_, event = ledger.on_model_answer(replace(SURE, text="three"), 32 * S)
    assert (event.id, event.text) == ("REGION_REFINED", "answer confirmed")


def test_a_refused_region_makes_the_provisional_answer_final(ledger: GroundLedger) -> None:
    _ask(ledger)
    final, notice, event = ledger.on_region_refused("req-1", 30 * S)
    assert (final.status, final.text, final.origin, final.version) == (1, "three", "ground", 2)
    assert final.reason == "without the region asked for: it is not on board any more"
    assert (notice.kind, event.id) == ("final", "REGION_REFUSED")
    assert ledger.on_region_refused("req-1", 31 * S) == []


def test_a_contact_without_the_region_makes_the_provisional_answer_final(
    ledger: GroundLedger,
) -> None:
    _ask(ledger)
    assert ledger.on_time(UNTIL - 1) == []
    final, notice, event = ledger.on_time(UNTIL)
    assert (final.text, final.reason) == (
        "three",
        "without the region asked for: it did not come in time",
    )
    assert event.id == "REGION_GIVEN_UP"
    (late,) = ledger.on_region_received(JOINED, UNTIL + S, received_bytes=400)
    assert (late.kind, late.answer_id) == ("final", notice.answer_id)


def test_a_request_is_asked_about_once(ledger: GroundLedger) -> None:
    _ask(ledger)
    again = replace(WISH, window=(0, 0, 1, 1))
    assert ledger.on_region_wanted(again, 21 * S, until_ns=UNTIL) == []
    ledger.on_region_received(JOINED, 30 * S, received_bytes=400)
    assert ledger.on_region_wanted(again, 31 * S, until_ns=UNTIL) == []


def test_without_its_wish_a_provisional_answer_ends_by_the_models_silence(
    ledger: GroundLedger,
) -> None:
    assert ledger.on_model_answer(UNSURE, 20 * S) == []
    final, _ = ledger.on_time(60 * S)
    assert (final.text, final.origin) == ("three", "ground")


def test_a_silent_model_after_the_region_leaves_the_provisional_answer(
    ledger: GroundLedger,
) -> None:
    _ask(ledger)
    ledger.on_region_received(JOINED, 30 * S, received_bytes=400)
    final, _ = ledger.on_time(80 * S)
    assert (final.text, final.bytes_sent) == ("three", 1100)


def test_a_final_from_space_ends_the_wait(ledger: GroundLedger) -> None:
    _ask(ledger)
    from_space = Answer(
        id="ans-s", request_id="req-1", task_id="task-1", status=Answer.FINAL, text="two",
        origin="onboard", version=2,
    )  # fmt: skip
    final, _ = ledger.on_final_from_space(from_space, 25 * S)
    assert final.id == "ans-s"
    assert ledger.on_time(UNTIL) == [], "the latch ends"


def test_m26_recovery_asks_again_or_gives_the_model_all_regions_again(
    store: LedgerStore, ledger: GroundLedger
) -> None:
    _ask(ledger)
    asked = replace(WISH, stamp_ns=25 * S)
    assert GroundLedger(store, GROUND_LIMITS).recover(25 * S) == [asked]
    assert ledger.owed_uplinks(25 * S) == [asked]
    ledger.on_region_received(JOINED, 30 * S, received_bytes=400)
    again = GroundLedger(store, GROUND_LIMITS)
    assert again.recover(31 * S) == [JOINED]
    assert len([a for a in again.on_model_answer(SURE, 32 * S) if isinstance(a, Answer)]) == 1
    assert not [a for a in again.recover(33 * S) if isinstance(a, Event)]
