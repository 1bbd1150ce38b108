"""The ledger on board when the ground wants a region of a request too."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ledger_cases import SCENE, TASK, S, only

from eo_nodes.contracts.values import DownlinkReport, Event, Notice, Request
from eo_nodes.store.ledger_store import LedgerStore
from eo_nodes.tasking.ledger import LedgerLimits, SpaceLedger
from eo_nodes.tasking.rows import Enhance, Pin, Refine, Unpin

LIMITS = LedgerLimits(progress_ns=10 * S, timeouts=1, hold_ns=500 * S)
WINDOW = (4, 2, 8, 6)


@pytest.fixture
def store() -> LedgerStore:
    return LedgerStore(":memory:")


@pytest.fixture
def ledger(store: LedgerStore) -> SpaceLedger:
    ledger = SpaceLedger(store, LIMITS)
    ledger.on_task(TASK, 1 * S)
    return ledger


def _offloaded(ledger: SpaceLedger, state: str = "delivered") -> Request:
    (request,) = only(ledger.on_scene(SCENE, 2 * S), Request)
    ledger.on_report(_report(request, state, "regions"), 4 * S)
    return request


def _report(request: Request, state: str, kind: str = "refinement") -> DownlinkReport:
    return DownlinkReport(product_id=f"p-{kind}", request_id=request.id, kind=kind, state=state)


def _wish(request: Request, window: tuple[int, ...] = WINDOW) -> Notice:
    return Notice(kind="region", request_id=request.id, window=window)


def _state(ledger: SpaceLedger, request: Request) -> str:
    row = ledger.request(request.id)
    assert row is not None
    return row.state


def test_pixels_that_reached_the_ground_may_be_followed_by_finer_ones_once(
    ledger: SpaceLedger,
) -> None:
    (request,) = only(ledger.on_scene(SCENE, 2 * S), Request)
    assert not only(ledger.on_report(_report(request, "sending", "regions"), 3 * S), Enhance)
    delivered = _report(request, "delivered", "regions")
    assert only(ledger.on_report(delivered, 4 * S), Enhance) == [Enhance(request)]
    assert not only(ledger.on_report(delivered, 5 * S), Enhance), "stated again after a restart"
    for state in ("queued", "delivered"):
        assert ledger.on_report(_report(request, state, "enhancement"), 6 * S) == []
    assert _state(ledger, request) == "ground"


def test_nothing_follows_a_final_or_what_is_used_on_board(ledger: SpaceLedger) -> None:
    (request,) = only(ledger.on_scene(SCENE, 2 * S), Request)
    ledger.on_notice(Notice(kind="final", request_id=request.id), 3 * S)
    assert ledger.on_report(_report(request, "delivered", "regions"), 4 * S) == []
    used_here = replace(TASK, id="task-2", consumer="onboard")
    (other,) = only(ledger.on_task(used_here, 5 * S), Request)
    assert not only(ledger.on_report(_report(other, "delivered", "regions"), 7 * S), Enhance)


def test_a_wanted_region_goes_to_preprocess_once_and_keeps_the_frame(ledger: SpaceLedger) -> None:
    request = _offloaded(ledger)
    (refine,) = ledger.on_notice(_wish(request), 20 * S)
    assert refine == Refine(replace(request, window=WINDOW, stamp_ns=20 * S))
    assert ledger.on_notice(_wish(request), 21 * S) == [], "a repeat"
    assert ledger.pins() == {"frame-1": {request.id}}
    ledger.on_report(_report(request, "queued"), 22 * S)
    assert _state(ledger, request) == "ground"
    assert ledger.next_wake_ns() == 522 * S, "the frame is kept from then on"
    assert ledger.on_notice(_wish(request), 23 * S) == [], "a repeat after the product"


def test_a_notice_that_overtakes_the_report_of_the_delivery_counts(ledger: SpaceLedger) -> None:
    request = _offloaded(ledger, "sending")
    assert len(only(ledger.on_notice(_wish(request), 20 * S), Refine)) == 1
    ledger.on_report(_report(request, "delivered", "regions"), 21 * S)
    row = ledger.request(request.id)
    assert row is not None and (row.state, row.owner) == ("refining", "ground")
    assert ledger.on_time(101 * S)[0].id == "REGION_REFUSED", "no final of the satellite"


@pytest.mark.parametrize(
    ("window", "text"),
    [
        ((0, 0, 21, 5), "it lies outside the window"),
        ((), "it has no window"),
    ],
)
def test_a_region_that_cannot_be_is_refused(
    ledger: SpaceLedger, window: tuple[int, ...], text: str
) -> None:
    request = _offloaded(ledger)
    (event,) = ledger.on_notice(_wish(request, window), 20 * S)
    assert (event.id, event.text) == ("REGION_REFUSED", text)


def test_a_second_region_is_refused(ledger: SpaceLedger) -> None:
    request = _offloaded(ledger)
    ledger.on_notice(_wish(request), 20 * S)
    (event,) = ledger.on_notice(_wish(request, (0, 0, 2, 2)), 21 * S)
    assert (event.id, _state(ledger, request)) == ("REGION_REFUSED", "refining")


def test_a_region_of_an_unknown_closed_or_late_request_is_refused(ledger: SpaceLedger) -> None:
    request = _offloaded(ledger)
    stranger = replace(_wish(request), request_id="req-x")
    assert ledger.on_notice(stranger, 5 * S)[0].text == "the request is unknown"
    assert ledger.on_notice(_wish(request), 100 * S)[0].text == "the request's deadline has passed"
    ledger.on_notice(Notice(kind="final", request_id=request.id), 6 * S)
    assert ledger.on_notice(_wish(request), 7 * S)[0].text == "the request is closed"


def test_m35_the_wish_survives_kills_until_the_queue_has_the_product(
    store: LedgerStore, ledger: SpaceLedger
) -> None:
    request = _offloaded(ledger)
    ledger.on_notice(_wish(request), 20 * S)
    again = SpaceLedger(store, LIMITS)
    assert again.recover(25 * S) == [
        Pin("frame-1", request.id),
        Refine(replace(request, window=WINDOW, stamp_ns=25 * S)),
    ]
    again.on_report(_report(request, "queued"), 26 * S)
    assert SpaceLedger(store, LIMITS).recover(27 * S) == [Pin("frame-1", request.id)]


def test_silence_of_preprocess_is_waited_out_then_left_to_the_ground(ledger: SpaceLedger) -> None:
    request = _offloaded(ledger)
    ledger.on_notice(_wish(request), 20 * S)
    assert ledger.next_wake_ns() == 30 * S
    assert len(only(ledger.on_time(30 * S), Refine)) == 1
    (event,) = only(ledger.on_time(40 * S), Event)
    assert (event.id, _state(ledger, request)) == ("REGION_REFUSED", "ground")


def test_the_final_of_the_ground_ends_the_wish(ledger: SpaceLedger) -> None:
    request = _offloaded(ledger)
    ledger.on_notice(_wish(request), 20 * S)
    done = ledger.on_notice(Notice(kind="final", request_id=request.id), 21 * S)
    assert done == [Unpin("frame-1", request.id)]
    assert ledger.on_notice(_wish(request), 22 * S) == [], "an old notice again"
    assert ledger.open_requests() == ()
