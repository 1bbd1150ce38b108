"""The ledger on board, step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ledger_cases import SCENE, TASK, S, only

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.rules import ZOOM_IN, ZOOM_OUT, ZOOM_WHOLE
from eo_nodes.contracts.values import (
    Answer,
    DownlinkReport,
    Event,
    Notice,
    Request,
    Task,
    Verdict,
    VisualPrompt,
    validate,
)
from eo_nodes.store.ledger_store import LedgerStore
from eo_nodes.tasking.finals import answer_product_id
from eo_nodes.tasking.ledger import LedgerLimits, SpaceLedger
from eo_nodes.tasking.rows import TRANSITIONS, Pin, Unpin

LIMITS = LedgerLimits(
    in_flight=2, progress_ns=10 * S, timeouts=1, lifetime_ns=1000 * S, hold_ns=500 * S
)


@pytest.fixture
def store() -> LedgerStore:
    return LedgerStore(":memory:")


@pytest.fixture
def ledger(store: LedgerStore) -> SpaceLedger:
    return SpaceLedger(store, LIMITS)


def _issued(ledger: SpaceLedger, task: Task = TASK) -> Request:
    ledger.on_task(task, 1 * S)
    (request,) = only(ledger.on_scene(SCENE, 2 * S), Request)
    return request


def _text(request: Request, **fields: Any) -> Answer:
    given = Answer(
        id="model-1", request_id=request.id, text="three", origin="onboard", stage=2, version=1
    )
    return replace(given, **fields)


def _verdict(request: Request, decision: int) -> Verdict:
    return Verdict(request_id=request.id, attempt=1, stage=2, decision=decision)


def _report(request: Request, state: str, kind: str = "regions", name: str = "p") -> DownlinkReport:
    return DownlinkReport(
        product_id=name, request_id=request.id, kind=kind, state=state, reason="limit"
    )


def test_a_match_pins_the_frame_before_the_request_goes_out(ledger: SpaceLedger) -> None:
    ledger.on_task(TASK, 1 * S)
    actions = ledger.on_scene(SCENE, 3 * S)
    pin, request = actions
    assert pin == Pin("frame-1", request.id)
    assert (request.window, request.attempt, request.deadline_ns) == ((0, 0, 20, 10), 1, 100 * S)
    assert request.scene == SCENE
    validate(request)
    assert ledger.pins() == {"frame-1": {request.id}}


def test_m24_only_asking_for_computing_goes_out_before_its_rows_are_on_the_medium(
    store: LedgerStore, ledger: SpaceLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, transaction = [], store.transaction

    def watched(*, durable: bool = True) -> Any:
        commits.append(durable)
        return transaction(durable=durable)

    monkeypatch.setattr(store, "transaction", watched)
    request = _issued(ledger)  # a task, then a scene
    ledger.on_answer(_text(request), 3 * S)
    (final,) = only(ledger.on_verdict(_verdict(request, Verdict.ANSWER), 4 * S), Answer)
    assert final.status == Answer.FINAL
    assert commits == [True, False, True, True]


def test_a_verdict_to_continue_is_progress_and_writes_nothing(
    store: LedgerStore, ledger: SpaceLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = _issued(ledger)
    silent_ns = ledger.next_wake_ns()
    monkeypatch.setattr(store, "transaction", None)
    assert ledger.on_verdict(_verdict(request, Verdict.CONTINUE), 7 * S) == []
    assert (silent_ns, ledger.next_wake_ns()) == (12 * S, 17 * S)


def test_a_task_after_its_scene_is_matched_too(ledger: SpaceLedger) -> None:
    ledger.on_scene(SCENE, 1 * S)
    assert len(only(ledger.on_task(TASK, 2 * S), Request)) == 1


def test_a_task_after_its_frame_left_waits_for_another_scene(ledger: SpaceLedger) -> None:
    ledger.on_scene(SCENE, 1 * S)
    ledger.forget_frame("frame-1", 2 * S)
    assert only(ledger.on_task(TASK, 3 * S), Request) == []


def test_repeats_of_tasks_and_scenes_change_nothing(ledger: SpaceLedger) -> None:
    _issued(ledger)
    assert ledger.on_scene(SCENE, 3 * S) == []
    assert ledger.on_task(replace(TASK, stamp_ns=77), 3 * S) == []


def test_an_id_used_twice_for_different_tasks_is_evented(ledger: SpaceLedger) -> None:
    ledger.on_task(TASK, 1 * S)
    (event,) = ledger.on_task(replace(TASK, prompt="else?"), 2 * S)
    assert isinstance(event, Event) and event.id == "COMMAND_REJECTED"


def test_a_deadline_in_the_past_is_refused_and_the_asker_can_read_it(ledger: SpaceLedger) -> None:
    answer, event = ledger.on_task(replace(TASK, deadline_ns=1), 2 * S)
    assert (answer.status, answer.reason) == (Answer.REFUSED, "deadline is in the past")
    assert (answer.asker, answer.task_id, event.id) == ("ann", "task-1", "TASK_REFUSED")


def test_m07_too_many_open_tasks_are_refused(store: LedgerStore) -> None:
    ledger = SpaceLedger(store, replace(LIMITS, open_tasks=1))
    ledger.on_task(TASK, 1 * S)
    (refusal,) = only(ledger.on_task(replace(TASK, id="task-2"), 1 * S), Answer)
    assert refusal.reason == "too many open tasks"


def test_max_answers_bounds_the_requests_of_a_task(ledger: SpaceLedger) -> None:
    ledger.on_task(replace(TASK, max_answers=2), 1 * S)
    requests = [
        len(only(ledger.on_scene(replace(SCENE, id=f"scene-{n}"), 2 * S), Request))
        for n in range(3)
    ]
    assert requests == [1, 1, 0]


def test_a_request_sees_as_near_as_its_task_says(ledger: SpaceLedger) -> None:
    ledger.on_task(replace(TASK, zoom=ZOOM_IN), 1 * S)
    request, = only(ledger.on_scene(SCENE, 2 * S), Request)
    assert request.zoom == ZOOM_IN


@pytest.mark.parametrize(
    ("zoom", "window", "boxes", "raw_bytes"),
    [
        (ZOOM_WHOLE, (250, 100, 50, 40), [], 50 * 40 * 6),
        # 100 pixels about the middle, moved inwards from the right edge.
        (ZOOM_OUT, (200, 70, 100, 100), [(250.0, 100.0, 300.0, 140.0)], 100 * 100 * 6),
    ],
)
def test_zoomed_out_a_request_sees_the_surroundings_and_points_at_what_is_asked(
    ledger: SpaceLedger,
    zoom: int,
    window: tuple[int, ...],
    boxes: list[tuple[float, ...]],
    raw_bytes: int,
) -> None:
    here = VisualPrompt(kind="point", xy=(260.0, 110.0))
    asked = replace(TASK, zoom=zoom, window=(250, 100, 80, 40), visual_prompts=(here,))
    ledger.on_task(asked, 1 * S)
    (request,) = only(ledger.on_scene(replace(SCENE, width=300, height=200), 2 * S), Request)
    validate(request.visual_prompts[0])
    assert request.window == window
    assert [place.xy for place in request.visual_prompts] == [*boxes, here.xy]
    row = ledger.request(request.id)
    assert row is not None and row.raw_bytes == raw_bytes


def test_where_nothing_surrounds_it_zooming_out_points_at_nothing(ledger: SpaceLedger) -> None:
    request = _issued(ledger, replace(TASK, zoom=ZOOM_OUT))
    assert (request.window, request.visual_prompts) == ((0, 0, 20, 10), ())


def test_the_pipeline_gets_the_most_urgent_first_and_no_more_than_it_holds(
    ledger: SpaceLedger,
) -> None:
    for n in range(5):
        ledger.on_task(replace(TASK, id=f"task-{n}", priority=n), 1 * S)
    first = only(ledger.on_scene(SCENE, 2 * S), Request)
    assert [request.task_id for request in first] == ["task-4", "task-3"]
    done = ledger.on_verdict(_verdict(first[0], Verdict.OFFLOAD), 3 * S)
    assert only(done, Request) == [], "its product is still to come"
    done = ledger.on_report(_report(first[0], "queued"), 4 * S)
    assert [request.task_id for request in only(done, Request)] == ["task-2"]


@pytest.mark.parametrize("is_text_first", [True, False])
def test_text_and_verdict_in_either_order_make_one_final(
    ledger: SpaceLedger, is_text_first: bool
) -> None:
    request = _issued(ledger)
    text, verdict = _text(request), _verdict(request, Verdict.ANSWER)
    steps = [
        lambda now_ns: ledger.on_answer(text, now_ns),
        lambda now_ns: ledger.on_verdict(verdict, now_ns),
    ]
    ordered = steps if is_text_first else steps[::-1]
    got = [step(now_ns) for step, now_ns in zip(ordered, (5 * S, 6 * S), strict=True)]
    assert got[0] == []
    final, unpin = got[1]
    assert (final.status, final.text, final.reason) == (Answer.FINAL, "three", "")
    assert (final.version, final.stage, final.raw_bytes) == (2, 2, 20 * 10 * 3 * 2)
    assert (final.asker, final.prompt, final.task_id) == ("ann", "ships?", "task-1")
    names = [step.name for step in final.steps]
    assert names == ["asked", "captured", "matched", "issued", "decided", "final"]
    assert unpin == Unpin("frame-1", request.id)
    assert ledger.on_answer(text, 7 * S) == ledger.on_verdict(verdict, 7 * S) == []


def test_text_of_an_earlier_tap_is_not_what_the_verdict_accepted(ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    ledger.on_answer(_text(request, stage=1, text="two"), 3 * S)
    assert ledger.on_verdict(_verdict(request, Verdict.ANSWER), 4 * S) == []
    final, _ = ledger.on_answer(_text(request), 5 * S)
    assert (final.text, final.version) == ("three", 3)


def test_the_first_decision_counts(ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    ledger.on_verdict(_verdict(request, Verdict.OFFLOAD), 3 * S)
    assert ledger.on_verdict(_verdict(request, Verdict.ANSWER), 4 * S) == []
    assert ledger.on_answer(_text(request), 5 * S) == []


def test_delivery_of_pixels_hands_the_request_to_the_ground(ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    ledger.on_verdict(_verdict(request, Verdict.OFFLOAD), 3 * S)
    for state in ("queued", "sending", "delivered"):
        ledger.on_report(_report(request, state), 4 * S)
    (row,) = ledger.open_requests()
    assert (row.state, row.owner) == ("ground", "ground")
    assert ledger.on_time(101 * S) == [], "the owner on the ground minds the deadline"
    done = ledger.on_notice(Notice(kind="final", request_id=request.id, answer_id="a"), 102 * S)
    assert done == [Unpin("frame-1", request.id)]
    assert ledger.open_requests() == ()


def test_a_frame_is_not_kept_for_ever_for_a_silent_ground(ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    ledger.on_report(_report(request, "delivered"), 4 * S)
    assert ledger.next_wake_ns() == 504 * S
    assert ledger.on_time(504 * S) == [Unpin("frame-1", request.id)]


def test_at_a_deadline_the_provisional_text_becomes_a_labelled_final(ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    ledger.on_answer(_text(request), 3 * S)
    ledger.on_verdict(_verdict(request, Verdict.OFFLOAD), 3 * S)
    ledger.on_report(_report(request, "queued"), 4 * S)
    event, final, _ = ledger.on_time(100 * S)
    assert event.id == "REQUEST_EXPIRED"
    assert (final.status, final.text, final.reason) == (Answer.FINAL, "three", "degraded: deadline")


def test_what_is_asked_for_late_outlives_its_deadline(ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    late = replace(_verdict(request, Verdict.OFFLOAD), is_late=True)
    ledger.on_verdict(late, 4 * S)
    ledger.on_report(_report(request, "queued"), 5 * S)
    assert not only(ledger.on_time(101 * S), Answer), "its pixels may come after the deadline"
    (final,) = only(ledger.on_time(1005 * S), Answer)  # a lifetime after the verdict
    assert final.reason == "no answer by its deadline"


def test_at_a_deadline_without_any_text_it_is_refused(ledger: SpaceLedger) -> None:
    _issued(ledger)
    (final,) = only(ledger.on_time(100 * S), Answer)
    assert (final.status, final.reason) == (Answer.REFUSED, "no answer by its deadline")


def test_with_bytes_under_way_the_deadline_waits_for_the_end_of_the_transfer(
    ledger: SpaceLedger,
) -> None:
    request = _issued(ledger)
    ledger.on_answer(_text(request), 3 * S)
    ledger.on_report(_report(request, "sending"), 4 * S)
    assert ledger.on_time(100 * S) == []
    (final,) = only(ledger.on_report(_report(request, "failed"), 101 * S), Answer)
    assert final.reason == "degraded: not delivered: limit"


def test_a_failed_product_waits_for_the_other_one(ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    for name in ("p", "q"):
        ledger.on_report(_report(request, "queued", name=name), 4 * S)
    assert ledger.on_report(_report(request, "failed", name="p"), 5 * S) == []
    (final,) = only(ledger.on_report(_report(request, "failed", name="q"), 6 * S), Answer)
    assert final.reason == "not delivered: limit"


def test_a_task_without_any_scene_is_refused_at_its_deadline(ledger: SpaceLedger) -> None:
    ledger.on_task(TASK, 1 * S)
    assert ledger.next_wake_ns() == 100 * S
    (refusal,) = only(ledger.on_time(100 * S), Answer)
    assert refusal.reason == "no scene matched before the deadline"


def test_silence_in_the_pipeline_issues_again_and_then_ends(ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    assert ledger.next_wake_ns() == 12 * S
    (again,) = ledger.on_time(12 * S)
    assert (again.id, again.attempt) == (request.id, 2)
    (final,) = only(ledger.on_time(22 * S), Answer)
    assert (final.status, final.reason) == (Answer.REFUSED, "no decision on board")


def test_the_model_can_refuse(ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    gone = _text(request, status=Answer.REFUSED, text="", reason="frame is gone")
    (final,) = only(ledger.on_answer(gone, 3 * S), Answer)
    assert (final.status, final.reason) == (Answer.REFUSED, "frame is gone")


def test_a_final_closes_when_its_own_product_is_delivered(ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    ledger.on_answer(_text(request), 3 * S)
    final, _ = ledger.on_verdict(_verdict(request, Verdict.ANSWER), 4 * S)
    ledger.on_report(_report(request, "delivered", "answer", "another"), 5 * S)
    assert len(ledger.open_requests()) == 1
    ledger.on_report(_report(request, "delivered", "answer", answer_product_id(final)), 6 * S)
    assert ledger.open_requests() == ()
    assert ledger.next_wake_ns() is None


def test_a_final_that_nobody_queued_is_given_out_again(ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    ledger.on_answer(_text(request), 3 * S)
    final, _ = ledger.on_verdict(_verdict(request, Verdict.ANSWER), 4 * S)
    assert ledger.on_time(13 * S) == []
    assert ledger.on_time(14 * S) == [final]
    ledger.on_report(_report(request, "queued", "answer", answer_product_id(final)), 15 * S)
    assert ledger.on_time(90 * S) == []


def test_a_refusal_of_a_task_is_given_out_until_it_is_queued_and_closes(
    ledger: SpaceLedger,
) -> None:
    refusal, _ = ledger.on_task(replace(TASK, deadline_ns=1), 2 * S)
    assert ledger.on_time(12 * S) == [refusal]
    for state, left in (("queued", 1), ("delivered", 0)):
        report = DownlinkReport(product_id=answer_product_id(refusal), kind="answer", state=state)
        ledger.on_report(report, 13 * S)
        assert len(ledger.open_tasks()) == left
    assert ledger.on_task(replace(TASK, deadline_ns=1), 14 * S) == []


def test_m26_recovery_pins_and_issues_again(store: LedgerStore, ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    pin, again = SpaceLedger(store, LIMITS).recover(5 * S)
    assert pin == Pin("frame-1", request.id)
    assert (again.id, again.attempt) == (request.id, 2)


def test_recovery_gives_out_the_same_final_again(store: LedgerStore, ledger: SpaceLedger) -> None:
    request = _issued(ledger)
    ledger.on_answer(_text(request), 3 * S)
    final, _ = ledger.on_verdict(_verdict(request, Verdict.ANSWER), 4 * S)
    assert SpaceLedger(store, LIMITS).recover(5 * S) == [final]


def test_recovery_gives_out_the_same_refusal_again(store: LedgerStore, ledger: SpaceLedger) -> None:
    refusal, _ = ledger.on_task(replace(TASK, deadline_ns=1), 2 * S)
    assert SpaceLedger(store, LIMITS).recover(5 * S) == [refusal]


def test_a_repeat_after_closing_and_a_restart_is_still_recognised(
    store: LedgerStore, ledger: SpaceLedger
) -> None:
    request = _issued(ledger)
    ledger.on_notice(Notice(kind="final", request_id=request.id), 3 * S)
    again = SpaceLedger(store, LIMITS)
    assert again.on_task(TASK, 4 * S) == []
    assert again.on_scene(SCENE, 4 * S) == []
    assert again.on_answer(_text(request), 4 * S) == []


def test_m25_a_step_that_cannot_be_written_did_not_happen(
    store: LedgerStore, ledger: SpaceLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = _issued(ledger)
    ledger.on_answer(_text(request), 3 * S)
    execute = store.database.execute

    def full(sql: str, values: Any = ()) -> Any:
        if sql == "COMMIT":
            raise StorageError("database or disk is full")
        return execute(sql, values)

    monkeypatch.setattr(store.database, "execute", full)
    with pytest.raises(StorageError):
        ledger.on_verdict(_verdict(request, Verdict.ANSWER), 4 * S)
    monkeypatch.undo()
    (final,) = only(ledger.on_verdict(_verdict(request, Verdict.ANSWER), 5 * S), Answer)
    assert final.stamp_ns == 5 * S


def test_every_target_of_the_table_is_a_state_with_a_way_out_or_the_end() -> None:
    sources = {state for state, _ in TRANSITIONS}
    assert set(TRANSITIONS.values()) - sources == {"closed"}
