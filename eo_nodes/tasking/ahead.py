"""A complete answer goes ahead of the pixels of its request: steps of the space ledger.

The asker has it in the first contact, however long the pixels wait. The final answer follows: from
the ground, or from here when the pixels do not come. It is durable before the queue hears of it,
and is given out again until the queue has it. Verdict, text and the queue's word of the pixels
come over three topics in any order; what completes them gives the answer out.
"""

from __future__ import annotations

from dataclasses import replace

from eo_nodes.contracts.values import DownlinkReport

from . import rows
from .finals import answer_product_id, provisional_on_board
from .rows import RequestRow
from .space_work import Work

_END = 3  # stage of a complete answer; the text of an earlier one is a piece


def send(work: Work, row: RequestRow) -> RequestRow:
    """Give the answer out if pixels are to come and the queue does not have it."""
    given = row.provisional
    if row.state not in rows.PIXELS_TO_COME or row.request.consumer == "onboard":
        return row
    if given is None or given.stage < _END:
        return row
    if row.ahead is None or row.ahead.text != given.text:
        made = provisional_on_board(row, work.now_ns)
        row = replace(row, ahead=made, is_ahead_queued=False)
    if row.ahead is None or row.is_ahead_queued:
        return row
    work.actions.append(row.ahead)
    return work.put(replace(row, touched_ns=work.now_ns))


def is_owed(row: RequestRow) -> bool:
    """Whether it was given out and the queue has yet to say that it has it."""
    return row.ahead is not None and not row.is_ahead_queued and row.state in rows.PIXELS_TO_COME


def follow(work: Work, row: RequestRow, report: DownlinkReport) -> None:
    """Take the queue's word of it; what the queue could not keep is given out again later."""
    if row.ahead is not None and answer_product_id(row.ahead) == report.product_id:
        is_queued = report.state not in ("failed", "rejected")
        if is_queued != row.is_ahead_queued:
            work.put(replace(row, is_ahead_queued=is_queued, touched_ns=work.now_ns))
