"""The table of events: stable id, severity, what it means, and the operator's next step."""

from __future__ import annotations

from dataclasses import dataclass

from .values import Event


@dataclass(frozen=True, slots=True)
class EventKind:
    """One row.

    Attributes:
        severity: of `Event`.
        meaning: one line.
        next_step: what an operator does.
    """

    severity: int
    meaning: str
    next_step: str


EVENTS: dict[str, EventKind] = {
    "NODE_ACTIVE": EventKind(Event.INFO, "a node became active", "nothing"),
    "NODE_INACTIVE": EventKind(Event.INFO, "a node was deactivated", "nothing if ordered"),
    "NODE_LATE": EventKind(Event.WARNING, "a heartbeat is late", "look at the load of its machine"),
    "NODE_LOST": EventKind(Event.ERROR, "a node stopped beating", "see NODE_RESTARTED"),
    "NODE_RESTARTED": EventKind(Event.WARNING, "a node was started again", "read its log"),
    "NODE_DISABLED": EventKind(
        Event.FATAL, "a node used up its restarts",
        "read its log, repair, then `spaceverse up --enable SEGMENT/PROCESS`",
    ),
    "MODE_CHANGED": EventKind(Event.WARNING, "the segment changed its mode", "read the reason"),
    "QOS_INCOMPATIBLE": EventKind(
        Event.ERROR, "two ends of a topic do not match", "compare both ends with the topic table"
    ),
    "BAD_MESSAGE": EventKind(
        Event.WARNING, "a message broke its contract", "repair the sender named in the fields"
    ),
    "INPUT_FAILED": EventKind(
        Event.WARNING, "an input could not be served; the next one is", "read the text"
    ),
    "INTERNAL_ERROR": EventKind(
        Event.ERROR, "unexpected failure; the node goes on", "report it with the node's log"
    ),
    "TRANSITION_REFUSED": EventKind(
        Event.ERROR, "a node refused to configure or activate", "repair what the text names"
    ),
    "BAD_IMAGE": EventKind(
        Event.WARNING, "an image was quarantined", "look at the file in the quarantine folder"
    ),
    "SCENE_CAPTURED": EventKind(Event.INFO, "a scene was captured", "nothing"),
    "PLACE_REFUSED": EventKind(
        Event.WARNING, "a question points outside its window, or at no place", "tell the asker"
    ),
    "PLACES_UNREAD": EventKind(
        Event.WARNING, "a model that knows no places answered without those pointed at",
        "load a model that does",
    ),
    "FRAME_EVICTED": EventKind(
        Event.WARNING, "a frame left the store before its last request", "raise the store's size"
    ),
    "FRAME_MISSING": EventKind(
        Event.ERROR, "a frame is gone or differs from its digest", "see FRAME_EVICTED"
    ),
    "TASK_ACCEPTED": EventKind(Event.INFO, "a task is in the ledger", "nothing"),
    "TASK_REFUSED": EventKind(Event.WARNING, "a task was refused", "tell the asker the reason"),
    "COMMAND_ACCEPTED": EventKind(Event.INFO, "a command was carried out", "nothing"),
    "COMMAND_REJECTED": EventKind(Event.WARNING, "a command was rejected", "read the reason"),
    "REQUEST_EXPIRED": EventKind(
        Event.WARNING, "a request met its deadline without an answer", "look at queue and plan"
    ),
    "INFERENCE_FAILED": EventKind(
        Event.ERROR, "a model gave no answer", "look at the log of the model's node"
    ),
    "MODEL_LOADED": EventKind(Event.INFO, "a model passed its self test", "nothing"),
    "MODEL_REFUSED": EventKind(
        Event.FATAL, "a model folder was refused, or what it is to run on",
        "`spaceverse models verify FOLDER`; give the node another model_dir",
    ),
    "HEADS_UNUSED": EventKind(
        Event.WARNING, "taps of another model than the routing heads'; thresholds decide",
        "give both nodes the same model_dir",
    ),
    "VERDICT_TIMEOUT": EventKind(
        Event.WARNING, "no verdict came; the decoder went on", "look at the confidence node"
    ),
    "REGION_ASKED": EventKind(
        Event.INFO, "the ground wants a region too before its answer is final", "nothing"
    ),
    "REGION_REFUSED": EventKind(
        Event.WARNING, "a region wanted again is not on board any more", "see FRAME_EVICTED"
    ),
    "REGION_REFINED": EventKind(
        Event.INFO, "the final answer has seen the region asked for", "nothing"
    ),
    "REFINEMENT_LEFT_OUT": EventKind(
        Event.INFO, "finer pixels could not be made; the answer stands", "see FRAME_EVICTED"
    ),
    "ANSWER_REFINED": EventKind(
        Event.INFO, "the final answer has seen finer pixels that followed unasked", "nothing"
    ),
    "REGION_GIVEN_UP": EventKind(
        Event.WARNING, "a region did not come in time; the answer without it is final",
        "look at queue and plan",
    ),
    "STORE_FULL": EventKind(Event.ERROR, "a store is full", "free space or raise its limit"),
    "PRODUCT_QUEUED": EventKind(Event.INFO, "a product waits for a contact", "nothing"),
    "PRODUCT_DELIVERED": EventKind(Event.INFO, "the other end has a product", "nothing"),
    "TRANSFER_FAULT": EventKind(
        Event.ERROR, "a transfer ended with a fault", "it is queued again; see the condition"
    ),
    "FRAME_REJECTED": EventKind(Event.DEBUG, "bytes from the link were no frame", "nothing"),
    "AOS": EventKind(Event.INFO, "a contact began", "nothing"),
    "LOS": EventKind(Event.INFO, "a contact ended", "nothing"),
    "PLAN_UPDATED": EventKind(Event.INFO, "contacts were planned", "nothing"),
    "PLAN_FAILED": EventKind(
        Event.ERROR, "contacts could not be planned; tried again, the last plan stands",
        "look at the element sets",
    ),
    "ELEMENTS_OLD": EventKind(Event.WARNING, "the element set is old", "uplink a newer one"),
    "LOCKSTEP_STALL": EventKind(
        Event.WARNING, "messages were never received", "look at the topics in the fields"
    ),
    "ARCHIVE_FAILED": EventKind(Event.ERROR, "a record was not archived", "look at the disk"),
}
