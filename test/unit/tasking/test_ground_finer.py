"""The ledger on the ground when finer pixels may follow by themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ledger_cases import GROUND_LIMITS, LATER_TASK, PRODUCT, S

from eo_nodes.contracts.values import Answer, Notice
from eo_nodes.store.ledger_store import LedgerStore
from eo_nodes.tasking.finals import supersedes
from eo_nodes.tasking.ground_ledger import GroundLedger

FINER = replace(PRODUCT, id="prd-1-enhancement-1", kind="enhancement", path="/f", size_bytes=900)
FIRST = Answer(
    id="ans-1-ground-1", request_id="req-1", status=Answer.FINAL, text="three", origin="ground",
    version=1, confidence=(0.6,),
)  # fmt: skip
SECOND = replace(FIRST, id="ans-1-ground-2", version=2)
UNTIL = 200 * S


@pytest.fixture
def store() -> LedgerStore:
    return LedgerStore(":memory:")


@pytest.fixture
def ledger(store: LedgerStore) -> GroundLedger:
    ledger = GroundLedger(store, GROUND_LIMITS)
    ledger.on_task(LATER_TASK, 1 * S)
    ledger.on_uplinked("task-1")
    ledger.on_product_received(PRODUCT, 10 * S, missing=0.3)
    return ledger


def _hold(ledger: GroundLedger) -> Answer:
    (held,) = ledger.on_model_answer(FIRST, 20 * S, hold_until_ns=UNTIL)
    assert isinstance(held, Answer)
    return held


def test_an_answer_that_could_change_is_provisional_and_complete(ledger: GroundLedger) -> None:
    held = _hold(ledger)
    assert (held.status, held.text, held.version) == (Answer.PROVISIONAL, "three", 1)
    assert (held.asker, held.prompt, held.bytes_sent) == ("ann", "ships?", 700)
    assert held.steps[-1].name == "provisional"
    assert ledger.next_wake_ns() == UNTIL
    assert ledger.owed_uplinks(21 * S) == [], "the satellite is asked for nothing"


def test_without_anything_to_wait_for_it_is_final(ledger: GroundLedger) -> None:
    final, notice = ledger.on_model_answer(FIRST, 20 * S, hold_until_ns=20 * S)
    assert (final.status, notice.kind) == (Answer.FINAL, "final")


@pytest.mark.parametrize(
    ("text", "confidence", "stands", "said"),
    [
        ("four", 0.3, ("four", 0.3), "answer changed"),
        ("three", 0.9, ("three", 0.9), "answer confirmed"),
        ("three", 0.5, ("three", 0.6), "answer confirmed"),
    ],
)
def test_the_next_version_is_one_that_says_something_else_or_is_surer(
    ledger: GroundLedger, text: str, confidence: float, stands: tuple[str, float], said: str
) -> None:
    held = _hold(ledger)
    assert ledger.on_region_received(FINER, 30 * S, received_bytes=150) == [FINER]
    assert ledger.on_region_received(FINER, 31 * S, received_bytes=150) == [], "a repeat"
    later = replace(SECOND, text=text, confidence=(confidence,))
    final, notice, event = ledger.on_model_answer(later, 40 * S, hold_until_ns=UNTIL)
    assert (final.text, final.confidence[0]) == stands
    assert (final.status, final.reason, final.bytes_sent) == (Answer.FINAL, "", 850)
    assert final.version == held.version + 1
    assert (notice.kind, notice.answer_id) == ("final", final.id)
    assert (event.id, event.text) == ("ANSWER_REFINED", said)
    names = [step.name for step in final.steps]
    assert names == ["asked", "received", "provisional", "finer_received", "final"]
    assert ledger.on_model_answer(later, 41 * S) == []
    (late,) = ledger.on_region_received(FINER, 42 * S, received_bytes=150)
    assert late.kind == "final", "a repeat after the final only tells the satellite"


def test_supersedes_wants_another_text_or_more_confidence() -> None:
    assert supersedes(replace(FIRST, text="four", confidence=()), FIRST)
    assert supersedes(replace(FIRST, confidence=(0.61,)), FIRST)
    assert not supersedes(FIRST, FIRST)


def test_a_contact_without_them_makes_the_held_answer_final(ledger: GroundLedger) -> None:
    held = _hold(ledger)
    assert ledger.on_time(UNTIL - 1) == []
    final, notice = ledger.on_time(UNTIL)
    assert (final.text, final.reason, final.version) == ("three", "", held.version + 1)
    (late,) = ledger.on_region_received(FINER, UNTIL + S, received_bytes=150)
    assert (late.kind, late.answer_id) == ("final", notice.answer_id)


@pytest.mark.parametrize("is_early", [True, False])
def test_the_word_that_nothing_follows_ends_the_wait(
    ledger: GroundLedger, *, is_early: bool
) -> None:
    if is_early:
        assert ledger.on_nothing_finer("req-1", 15 * S) == []
        final, _ = ledger.on_model_answer(FIRST, 20 * S, hold_until_ns=UNTIL)
    else:
        _hold(ledger)
        final, _ = ledger.on_nothing_finer("req-1", 25 * S)
    assert (final.status, final.text, final.reason) == (Answer.FINAL, "three", "")
    assert ledger.on_nothing_finer("req-1", 26 * S) == []


def test_finer_pixels_may_come_before_the_first_answer(ledger: GroundLedger) -> None:
    assert ledger.on_region_received(FINER, 15 * S, received_bytes=150) == [FINER]
    _hold(ledger)
    assert ledger.on_model_answer(FIRST, 21 * S) == [], "a repeat is not the second answer"
    final, _, event = ledger.on_model_answer(replace(SECOND, text="four"), 30 * S)
    assert (final.text, event.text) == ("four", "answer changed")


def test_a_sure_first_answer_is_final_although_finer_pixels_are_here(ledger: GroundLedger) -> None:
    ledger.on_region_received(FINER, 15 * S, received_bytes=150)
    final, _ = ledger.on_model_answer(FIRST, 20 * S)
    assert (final.status, final.text) == (Answer.FINAL, "three")
    assert ledger.on_model_answer(replace(SECOND, text="four"), 30 * S) == []


def test_a_region_that_is_asked_for_goes_before(ledger: GroundLedger) -> None:
    wish = Notice(kind="region", request_id="req-1", window=(1, 2, 3, 4))
    ledger.on_model_answer(replace(FIRST, status=Answer.PROVISIONAL), 20 * S)
    ledger.on_region_wanted(wish, 20 * S, until_ns=UNTIL)
    assert ledger.on_nothing_finer("req-1", 24 * S) == []
    for at_s in (25, 26):  # once, and a repeat
        assert ledger.on_region_received(FINER, at_s * S, received_bytes=150) == []
    row = ledger.request("req-1")
    assert row is not None and row.takes("refinement") and not row.takes("enhancement")
    assert row.product == FINER, "the region is joined to it"
    region = replace(FINER, id="prd-1-refinement-1", kind="refinement", size_bytes=1500)
    assert ledger.on_region_received(region, 30 * S, received_bytes=600) == [region]
    final, _, event = ledger.on_model_answer(SECOND, 40 * S, hold_until_ns=UNTIL)
    assert (final.bytes_sent, event.id) == (1450, "REGION_REFINED")


def test_a_silent_model_after_finer_pixels_leaves_the_held_answer(ledger: GroundLedger) -> None:
    _hold(ledger)
    ledger.on_region_received(FINER, 30 * S, received_bytes=150)
    final, _ = ledger.on_time(80 * S)
    assert (final.text, final.bytes_sent) == ("three", 850)


def test_m26_recovery_says_the_held_answer_again_or_gives_the_model_all_again(
    store: LedgerStore, ledger: GroundLedger
) -> None:
    held = _hold(ledger)
    again = GroundLedger(store, GROUND_LIMITS)
    assert again.recover(25 * S) == [held]
    again.on_region_received(FINER, 30 * S, received_bytes=150)
    later = GroundLedger(store, GROUND_LIMITS)
    assert later.recover(31 * S) == [FINER, held]
    assert [a.text for a in later.on_time(UNTIL) if isinstance(a, Answer)] == ["three"]


def test_a_region_that_is_wanted_after_finer_pixels_came_is_not_asked_for(
    ledger: GroundLedger,
) -> None:
    ledger.on_region_received(FINER, 15 * S, received_bytes=150)
    wish = Notice(kind="region", request_id="req-1", window=(1, 2, 3, 4))
    assert ledger.on_region_wanted(wish, 20 * S, until_ns=UNTIL) == []
    assert ledger.on_model_answer(replace(FIRST, status=Answer.PROVISIONAL), 20 * S) == []
    final, *_ = ledger.on_model_answer(SECOND, 30 * S)
    assert (final.text, final.status) == ("three", Answer.FINAL)
