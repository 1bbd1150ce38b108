"""What the owner on the ground says: answers in its name, and notices to the satellite."""

from __future__ import annotations

from dataclasses import replace

from eo_nodes.contracts.ids import answer_id
from eo_nodes.contracts.values import Answer, Notice, Step

from .finals import FINAL, PROVISIONAL, with_steps
from .ground_rows import GroundRow, GroundTask


def signed(
    row: GroundRow, task: GroundTask | None, given: Answer, status: int, now_ns: int, *,
    reason: str = "",
) -> Answer:
    """Return the next version of a request's answer, with its history so far.

    Args:
        given: what the model said, or the satellite.
        status: PROVISIONAL, FINAL or REFUSED.
    """
    known = row.provisional.version if row.provisional is not None else 0
    version = max(known + 1, given.version + (status != Answer.PROVISIONAL))
    said = PROVISIONAL if status == Answer.PROVISIONAL else FINAL
    return replace(
        given,
        id=answer_id(row.request_id, "ground", version),
        request_id=row.request_id,
        task_id=row.task_id,
        scene_id=row.scene_id,
        asker=task.task.asker if task is not None else given.asker,
        prompt=task.task.prompt if task is not None else given.prompt,
        stamp_ns=now_ns,
        version=version,
        status=status,
        reason=reason,
        # Who gave the text: a degraded final is still the model on board.
        origin="ground" if status == Answer.REFUSED else given.origin,
        raw_bytes=row.product.raw_bytes if row.product else given.raw_bytes,
        bytes_sent=row.bytes_sent,
        steps=with_steps((*row.steps, *given.steps), Step(name=said, stamp_ns=now_ns)),
    )


def wish_of(row: GroundRow, now_ns: int) -> Notice:
    """Return the notice of the region that a request waits for."""
    return Notice(kind="region", request_id=row.request_id, stamp_ns=now_ns, window=row.wanted)


def notice_of(final: Answer, now_ns: int) -> Notice:
    """Return the notice that a request has its final."""
    return Notice(kind="final", request_id=final.request_id, answer_id=final.id, stamp_ns=now_ns)
