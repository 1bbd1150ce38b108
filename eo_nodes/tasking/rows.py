"""Rows of the ledgers and the table of what may happen to a request on board.

A request is owned on board until a product with its pixels is delivered; then the ground owns
it. Only the owner writes the final answer; what the owner on board would say goes ahead of the
pixels as provisional. What the table does not list changes nothing: that
is how repeats and late messages end.
"""

from __future__ import annotations

from dataclasses import dataclass

from eo_nodes.contracts.values import Answer, Request, Step, Task

# States of a request on board.
MATCHED = "matched"  # waits for its turn
ISSUED = "issued"  # with preprocess and the model
ACCEPTED = "accepted"  # verdict: answer on board; its text is still to come
OFFLOADED = "offloaded"  # verdict: offload; its product is still to come
QUEUED = "queued"  # a product waits for a contact
SENDING = "sending"  # bytes of a product may be on the ground
GROUND = "ground"  # the ground owns it
REFINING = "refining"  # the same, and it wants a region whose product is still to come
ANSWERED = "answered"  # final answer or refusal written, not yet in the queue
ANSWER_QUEUED = "answer_queued"  # it waits for a contact or travels
CLOSED = "closed"

# Triggers.
ISSUE = "issue"
ACCEPT = "accept"
OFFLOAD = "offload"
PRODUCT_QUEUED = "product_queued"
PRODUCT_SENDING = "product_sending"
PRODUCT_DELIVERED = "product_delivered"
FINALISE = "finalise"
FINAL_QUEUED = "final_queued"
FINAL_FAILED = "final_failed"
FINAL_DELIVERED = "final_delivered"
GROUND_FINAL = "ground_final"
REGION_WANTED = "region_wanted"
REGION_SERVED = "region_served"
HOLD_OVER = "hold_over"

IN_FLIGHT = (ISSUED, ACCEPTED, OFFLOADED)
UNDECIDED = (MATCHED, ISSUED)
OWNED_ON_BOARD = (MATCHED, ISSUED, ACCEPTED, OFFLOADED, QUEUED, SENDING)
OWNED_BY_GROUND = (GROUND, REFINING)
PIXELS_TO_COME = (OFFLOADED, QUEUED, SENDING)  # a complete answer goes ahead of them

TRANSITIONS: dict[tuple[str, str], str] = {
    (MATCHED, ISSUE): ISSUED,
    (ISSUED, ISSUE): ISSUED,
    (ACCEPTED, ISSUE): ISSUED,
    (OFFLOADED, ISSUE): ISSUED,
    (ISSUED, ACCEPT): ACCEPTED,
    (ISSUED, OFFLOAD): OFFLOADED,
    (ISSUED, PRODUCT_QUEUED): QUEUED,
    (OFFLOADED, PRODUCT_QUEUED): QUEUED,
    (ISSUED, PRODUCT_SENDING): SENDING,
    (OFFLOADED, PRODUCT_SENDING): SENDING,
    (QUEUED, PRODUCT_SENDING): SENDING,
    **{(state, PRODUCT_DELIVERED): GROUND for state in OWNED_ON_BOARD},
    **{(state, FINALISE): ANSWERED for state in OWNED_ON_BOARD},
    (ANSWERED, FINAL_QUEUED): ANSWER_QUEUED,
    (ANSWER_QUEUED, FINAL_FAILED): ANSWERED,
    (ANSWERED, FINAL_DELIVERED): CLOSED,
    (ANSWER_QUEUED, FINAL_DELIVERED): CLOSED,
    (GROUND, REGION_WANTED): REFINING,
    (REFINING, REGION_SERVED): GROUND,
    **{(state, GROUND_FINAL): CLOSED for state in (*OWNED_ON_BOARD, *OWNED_BY_GROUND)},
    (ANSWERED, GROUND_FINAL): CLOSED,
    (ANSWER_QUEUED, GROUND_FINAL): CLOSED,
    (GROUND, HOLD_OVER): CLOSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A request on board.

    Attributes:
        request: as last issued.
        frame_key: pinned while the request is open.
        state: one of the states above.
        owner: space or ground.
        expires_ns: deadline, or end of the task's lifetime when it has none.
        touched_ns: last progress.
        timeouts: how often it, or its refinement, was issued again for lack of progress.
        stage: tap of the verdict, 0 before.
        provisional: last text of the model.
        ahead: the provisional answer as it goes down ahead of the pixels.
        is_ahead_queued: the queue has it, or had it.
        versions: versions of the answer given out so far.
        products: products known to the queue and not finished.
        wanted: region that the ground wants too, x y w h in scene pixels; empty: none.
        final: what ended it on board.
        steps: dated history.
    """

    request: Request
    frame_key: str = ""
    asker: str = ""
    raw_bytes: int = 0
    state: str = MATCHED
    owner: str = "space"
    expires_ns: int = 0
    touched_ns: int = 0
    timeouts: int = 0
    stage: int = 0
    provisional: Answer | None = None
    ahead: Answer | None = None
    is_ahead_queued: bool = False
    versions: int = 0
    products: tuple[str, ...] = ()
    wanted: tuple[int, ...] = ()
    final: Answer | None = None
    steps: tuple[Step, ...] = ()


# States of a task on board.
OPEN = "open"  # matches scenes
REFUSED = "refused"  # refusal written, not yet in the queue
REFUSAL_QUEUED = "refusal_queued"  # it waits for a contact or travels

NEVER_NS = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A task on board.

    Attributes:
        task: as received.
        state: one of the four above.
        expires_ns: deadline, or end of its lifetime when it has none.
        matched: requests made of it.
        refusal: written when no scene came or the task was bad.
        touched_ns: when the refusal was last given out.
    """

    task: Task
    state: str = OPEN
    expires_ns: int = 0
    matched: int = 0
    refusal: Answer | None = None
    touched_ns: int = 0


@dataclass(frozen=True, slots=True)
class Pin:
    """Action: keep a frame for a request."""

    frame_key: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Refine:
    """Action: make a product of a region that the ground wants; `request.window` is the region."""

    request: Request


@dataclass(frozen=True, slots=True)
class Enhance:
    """Action: pixels of a request reached the ground; finer ones may follow while time is left."""

    request: Request


@dataclass(frozen=True, slots=True)
class Unpin:
    """Action: the request no longer needs the frame."""

    frame_key: str
    request_id: str
