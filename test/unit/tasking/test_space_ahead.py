"""A complete answer goes ahead of the pixels of its request: the ledger on board."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ledger_cases import SCENE, TASK, S

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.values import (
    Answer,
    DownlinkReport,
    Request,
    Verdict,
    validate,
)
from eo_nodes.store.ledger_store import LedgerStore
from eo_nodes.tasking.finals import answer_product_id
from eo_nodes.tasking.ledger import LedgerLimits, SpaceLedger

LIMITS = LedgerLimits(progress_ns=10 * S, timeouts=1, lifetime_ns=1000 * S, hold_ns=500 * S)


@pytest.fixture
def store() -> LedgerStore:
    return LedgerStore(":memory:")


@pytest.fixture
def ledger(store: LedgerStore) -> SpaceLedger:
    return SpaceLedger(store, LIMITS)


def _answers(actions: list[Any]) -> list[Answer]:
    return [action for action in actions if isinstance(action, Answer)]


def _request(ledger: SpaceLedger, **fields: Any) -> Request:
    ledger.on_task(replace(TASK, **fields), 1 * S)
    actions = ledger.on_scene(SCENE, 2 * S)
    return next(action for action in actions if isinstance(action, Request))


def _offload(ledger: SpaceLedger, request: Request, *, stage: int = 3, at_s: int = 5) -> list[Any]:
    verdict = Verdict(request_id=request.id, attempt=1, stage=stage, decision=Verdict.OFFLOAD)
    return ledger.on_verdict(verdict, at_s * S)


def _say(ledger: SpaceLedger, request: Request, *, stage: int = 3, at_s: int = 6) -> list[Any]:
    given = Answer(
        id="m", request_id=request.id, text="three", origin="onboard", stage=stage, version=1,
        confidence=(0.25, 0.5), model_id="tiny",
    )  # fmt: skip
    return ledger.on_answer(given, at_s * S)


def _report(ledger: SpaceLedger, request: Request, name: str, state: str, at_s: int) -> list[Any]:
    report = DownlinkReport(
        product_id=name, request_id=request.id, state=state, reason="limit",
        kind="answer" if "answer" in name else "regions",
    )  # fmt: skip
    return ledger.on_report(report, at_s * S)


def _ahead(ledger: SpaceLedger, request: Request) -> Answer:
    _offload(ledger, request)
    (answer,) = _answers(_say(ledger, request))
    return answer


def test_text_and_verdict_together_send_the_answer_ahead_in_either_order(
    ledger: SpaceLedger,
) -> None:
    request = _request(ledger)
    assert not _answers(_offload(ledger, request))
    (answer,) = _answers(_say(ledger, request))
    validate(answer)
    assert (answer.status, answer.text, answer.version) == (Answer.PROVISIONAL, "three", 1)
    assert (answer.request_id, answer.task_id, answer.scene_id, answer.asker, answer.prompt) == (
        request.id, "task-1", "scene-1", "ann", "ships?",
    )  # fmt: skip
    assert (answer.confidence, answer.model_id, answer.stage) == ((0.25, 0.5), "tiny", 3)
    assert [s.name for s in answer.steps] == ["asked", "captured", "matched", "issued", "decided"]

    other = SpaceLedger(LedgerStore(":memory:"), LIMITS)
    request = _request(other)
    assert not _answers(_say(other, request, at_s=5))
    assert len(_answers(_offload(other, request, at_s=6))) == 1


def test_pixels_in_the_queue_stand_for_a_verdict_that_they_overtook(ledger: SpaceLedger) -> None:
    request = _request(ledger)
    assert not _answers(_report(ledger, request, "prd-regions", "queued", 4))
    assert len(_answers(_say(ledger, request))) == 1


@pytest.mark.parametrize(
    ("why", "fields", "stage"),
    [("decoding stopped early", {}, 2), ("it is used on board", {"consumer": "onboard"}, 3)],
)
def test_nothing_goes_ahead_when(
    ledger: SpaceLedger, why: str, fields: dict[str, Any], stage: int
) -> None:
    request = _request(ledger, **fields)
    _offload(ledger, request, stage=stage)
    assert not _answers(_say(ledger, request, stage=stage)), why


def test_an_accepted_answer_is_final_and_nothing_goes_ahead(ledger: SpaceLedger) -> None:
    request = _request(ledger)
    ledger.on_verdict(
        Verdict(request_id=request.id, attempt=1, stage=3, decision=Verdict.ANSWER), 5 * S
    )
    (answer,) = _answers(_say(ledger, request))
    assert answer.status == Answer.FINAL


def test_m14_a_repeat_sends_nothing_once_the_queue_has_it(ledger: SpaceLedger) -> None:
    request = _request(ledger)
    name = answer_product_id(_ahead(ledger, request))
    _report(ledger, request, name, "queued", 7)
    assert not _answers(_say(ledger, request, at_s=8))
    assert not _answers(_offload(ledger, request, at_s=8))
    assert not _answers(_report(ledger, request, "prd-regions", "queued", 9))
    assert not _answers(ledger.on_time(60 * S))


@pytest.mark.parametrize("state", ["", "queued", "sending"])
def test_it_is_given_out_again_until_the_queue_has_it(ledger: SpaceLedger, state: str) -> None:
    """Before the pixels are queued, while they wait, and while they travel."""
    request = _request(ledger)
    first = _ahead(ledger, request)
    if state:
        assert _answers(_report(ledger, request, "prd-regions", state, 7)) == [first]
    wake_ns = ledger.next_wake_ns()
    assert wake_ns is not None and wake_ns <= 17 * S
    assert not _answers(ledger.on_time(wake_ns - 1))
    assert _answers(ledger.on_time(wake_ns)) == [first], "same id: the queue recognises it"


@pytest.mark.parametrize("state", ["failed", "rejected"])
def test_what_the_queue_gave_up_is_given_out_again_later(ledger: SpaceLedger, state: str) -> None:
    request = _request(ledger)
    first = _ahead(ledger, request)
    _report(ledger, request, "prd-regions", "queued", 7)
    _report(ledger, request, answer_product_id(first), "queued", 7)
    assert ledger.next_wake_ns() == 100 * S, "nothing to do before the deadline"
    assert not _answers(_report(ledger, request, answer_product_id(first), state, 8))
    assert ledger.next_wake_ns() == 18 * S
    assert _answers(ledger.on_time(18 * S)) == [first]


def test_the_final_is_a_later_version_and_ends_it(ledger: SpaceLedger) -> None:
    request = _request(ledger)
    first = _ahead(ledger, request)
    _report(ledger, request, "prd-regions", "queued", 7)
    (final,) = _answers(ledger.on_time(100 * S))
    assert (final.status, final.text, final.version) == (Answer.FINAL, "three", first.version + 1)
    assert final.reason == "degraded: deadline"
    assert answer_product_id(final) != answer_product_id(first)
    assert not _answers(_report(ledger, request, answer_product_id(first), "failed", 101))
    assert ledger.request(request.id).state == "answered"  # type: ignore[union-attr]
    _report(ledger, request, answer_product_id(final), "delivered", 102)
    assert ledger.open_requests() == ()


@pytest.mark.parametrize("where", ["before", "after", "queued"])
def test_m26_a_kill_around_its_commit_loses_nothing(store: LedgerStore, where: str) -> None:
    """Killed in the commit, right after it, and after the queue said that it has it."""
    ledger = SpaceLedger(store, LIMITS)
    request = _request(ledger)
    _offload(ledger, request)
    if where == "before":
        execute = store.database.execute

        def failing(sql: str, values: Any = ()) -> Any:
            if sql == "COMMIT":
                raise StorageError("killed")
            return execute(sql, values)

        store.database.execute = failing  # type: ignore[method-assign]
        with pytest.raises(StorageError):
            _say(ledger, request)
        store.database.execute = execute  # type: ignore[method-assign]
    else:
        (first,) = _answers(_say(ledger, request))
        if where == "queued":
            _report(ledger, request, answer_product_id(first), "queued", 7)

    again = SpaceLedger(store, LIMITS)
    given = _answers(again.recover(8 * S))
    if where == "before":
        # The model runs again, as after any kill, and its text completes the three.
        assert not given
        _offload(again, request, at_s=9)
        assert len(_answers(_say(again, request, at_s=10))) == 1
    else:
        assert given == ([first] if where == "after" else [])
