"""A region of a request that the ground owns is wanted again: steps of the space ledger.

One region a request. The frame is pinned as long as the ground owns the request, so there is
normally something to cut from; preprocess refuses when there is not. The wish is durable before
preprocess hears of it, and is given out again until the queue has the product.
"""

from __future__ import annotations

from dataclasses import replace

from eo_nodes.contracts.values import DownlinkReport, Notice

from . import finals, rows
from .rows import Refine, RequestRow
from .space_work import Work


def want(work: Work, row: RequestRow | None, notice: Notice) -> None:
    """Take a notice of a wanted region; a repeat changes nothing.

    Args:
        row: of the request, open or closed; None when it is unknown.
        notice: its window is in scene pixels.
    """
    if row is not None and row.wanted and row.wanted == notice.window:
        return
    if row is not None and row.state in rows.OWNED_ON_BOARD:
        # Only who holds the product can want more of it: the notice overtook the report.
        row = work.move(row, rows.PRODUCT_DELIVERED)
        row = work.put(replace(row, owner="ground")) if row is not None else None
    fault = _fault(row, notice, work.now_ns)
    if row is None or fault:
        work.say("REGION_REFUSED", fault, request_id=notice.request_id)
        return
    moved = work.move(row, rows.REGION_WANTED)
    if moved is None:
        work.say("REGION_REFUSED", f"the request is {row.state}", request_id=notice.request_id)
        return
    moved = work.put(replace(moved, wanted=notice.window, timeouts=0))
    issue(work, work.step(moved, finals.REGION_ASKED))


def _fault(row: RequestRow | None, notice: Notice, now_ns: int) -> str:
    if row is None:
        return "the request is unknown"
    if row.wanted:
        return "another region of the request was asked for already"
    if row.expires_ns <= now_ns:
        return "the request's deadline has passed"
    if len(notice.window) != 4:
        return "it has no window"
    x, y, width, height = notice.window
    x0, y0, all_width, all_height = row.request.window
    is_inside = x0 <= x and y0 <= y and x + width <= x0 + all_width
    return "" if is_inside and y + height <= y0 + all_height else "it lies outside the window"


def issue(work: Work, row: RequestRow) -> None:
    """Give the wanted region to preprocess, first or again."""
    request = replace(row.request, window=row.wanted, stamp_ns=work.now_ns)
    work.actions.append(Refine(request))


def follow(work: Work, report: DownlinkReport) -> None:
    """The queue has the refinement, or took and ended it: nothing more is to be made."""
    row = work.request(report.request_id)
    if row is not None:
        work.move(row, rows.REGION_SERVED)


def overdue(work: Work, row: RequestRow, timeouts: int) -> None:
    """Preprocess is silent: ask again a few times, then leave it; the ground gives up by itself."""
    if row.timeouts < timeouts and work.now_ns < row.expires_ns:
        moved = work.put(replace(row, timeouts=row.timeouts + 1, touched_ns=work.now_ns))
        issue(work, moved)
    elif work.move(row, rows.REGION_SERVED) is not None:
        work.say("REGION_REFUSED", "no product of it in time", request_id=row.request.id)
