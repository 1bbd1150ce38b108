"""Build what the owner says: provisional and final answers, refusals, events; on either side."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from eo_nodes.contracts.events import EVENTS
from eo_nodes.contracts.ids import answer_id, product_id, refusal_id
from eo_nodes.contracts.values import Answer, Event, Step, Task

from .rows import RequestRow

# Names of steps in `Answer.steps`, in the order in which they usually happen.
ASKED = "asked"
CAPTURED = "captured"
MATCHED = "matched"
ISSUED = "issued"
DECIDED = "decided"
QUEUED = "queued"
SENT = "sent"
RECEIVED = "received"
REGION_ASKED = "region_asked"
REGION_RECEIVED = "region_received"
FINER_RECEIVED = "finer_received"  # pixels that the satellite sent by itself
PROVISIONAL = "provisional"  # the asker has an answer, though not the last one
FINAL = "final"


def with_steps(steps: Iterable[Step], *more: Step) -> tuple[Step, ...]:
    """Merge dated steps in time order, each name and time once."""
    found = {(s.stamp_ns, s.name): s for s in (*steps, *more) if s.name}
    return tuple(found[key] for key in sorted(found, key=lambda k: k[0]))


def answer_product_id(answer: Answer) -> str:
    """Return the id of the downlink product that carries an answer or refusal of the owner."""
    return product_id(answer.request_id or answer.id, "answer", max(answer.version, 1))


def provisional_on_board(row: RequestRow, now_ns: int) -> Answer:
    """Turn the last text of the model into what the owner on board says ahead of the pixels.

    Args:
        row: has a provisional answer; `row.versions` becomes the version of it.
    """
    return _on_board(row, Answer.PROVISIONAL, row.versions, "", now_ns)


def final_on_board(row: RequestRow, reason: str, now_ns: int) -> Answer:
    """Turn the last text of the model into the final answer of the owner on board.

    Args:
        row: has a provisional answer.
        reason: empty, or a label such as ``degraded: deadline``.
    """
    final = _on_board(row, Answer.FINAL, row.versions + 1, reason, now_ns)
    return replace(final, steps=with_steps(final.steps, Step(name=FINAL, stamp_ns=now_ns)))


def _on_board(row: RequestRow, status: int, version: int, reason: str, now_ns: int) -> Answer:
    given = row.provisional or Answer()
    return replace(
        given,
        id=answer_id(row.request.id, "onboard", version),
        request_id=row.request.id,
        task_id=row.request.task_id,
        scene_id=row.request.scene_id,
        asker=row.asker,
        stamp_ns=now_ns,
        version=version,
        status=status,
        prompt=row.request.prompt,
        reason=reason,
        origin="onboard",
        stage=row.stage or given.stage,
        raw_bytes=given.raw_bytes or row.raw_bytes,
        steps=with_steps((*row.steps, *given.steps)),
    )


def refusal_on_board(row: RequestRow, reason: str, now_ns: int) -> Answer:
    """Refuse a request that cannot be answered on board."""
    version = row.versions + 1
    return Answer(
        id=answer_id(row.request.id, "onboard", version),
        request_id=row.request.id,
        task_id=row.request.task_id,
        scene_id=row.request.scene_id,
        asker=row.asker,
        stamp_ns=now_ns,
        version=version,
        status=Answer.REFUSED,
        prompt=row.request.prompt,
        reason=reason,
        origin="onboard",
        raw_bytes=row.raw_bytes,
        steps=with_steps(row.steps, Step(name=FINAL, stamp_ns=now_ns)),
    )


def supersedes(later: Answer, before: Answer) -> bool:
    """Whether an answer that has seen finer pixels is a new version: another text, or surer."""
    surer = max(later.confidence, default=0.0) > max(before.confidence, default=0.0)
    return later.text != before.text or surer


def task_refusal(task: Task, reason: str, origin: str, now_ns: int) -> Answer:
    """Refuse a task that never became a request.

    Args:
        origin: onboard or ground.
    """
    return Answer(
        id=refusal_id(task.id),
        task_id=task.id,
        asker=task.asker[:128],
        stamp_ns=now_ns,
        version=1,
        status=Answer.REFUSED,
        prompt=task.prompt[:2000],
        reason=reason,
        origin=origin,
        steps=with_steps(
            (),
            Step(name=ASKED, stamp_ns=task.asked_ns),
            Step(name=FINAL, stamp_ns=now_ns),
        ),
    )


def event(kind: str, source: str, now_ns: int, text: str, **fields: str | int) -> Event:
    """Build an event of the table; the severity comes from there."""
    return Event(
        id=kind,
        severity=EVENTS[kind].severity,
        source=source,
        stamp_ns=now_ns,
        text=text[:1000],
        fields_json=json.dumps(
            {k: v[:256] if isinstance(v, str) else v for k, v in fields.items()}
        ),
    )
