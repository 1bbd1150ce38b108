"""The one table of topics: name, type, quality of service, and who speaks.

Names are relative to the namespace of a segment (``/sat1``, ``/ground``). Both ends of a topic
read this table, so that their quality of service cannot differ (M34).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Qos:
    """Quality of service in the words of DDS.

    Attributes:
        reliable: reliable, else best effort.
        latched: transient local: late joiners get the last `depth` samples.
        depth: samples kept by each end (keep last).
    """

    reliable: bool
    latched: bool
    depth: int


SENSOR = Qos(reliable=False, latched=False, depth=5)
CLOCK = Qos(reliable=False, latched=False, depth=1)
VIEWS = Qos(reliable=True, latched=False, depth=8)
STREAM = Qos(reliable=True, latched=False, depth=200)
HISTORY = Qos(reliable=True, latched=True, depth=200)
# Depth 1 would drop samples of a burst; the last one is what counts, the order keeps it last.
LATEST = Qos(reliable=True, latched=True, depth=16)


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the table.

    Attributes:
        type: ``package/Name`` of the message; the package is ``spaceverse`` when left out.
        qos: for both ends.
        about: what travels, one line.
    """

    type: str
    qos: Qos
    about: str


TOPICS: dict[str, Topic] = {
    "image": Topic("sensor_msgs/Image", SENSOR, "raw frames; frame_id names the sensor"),
    "image/compressed": Topic("sensor_msgs/CompressedImage", SENSOR, "the same, as PNG or JPEG"),
    "inbox": Topic(
        "sensor_msgs/CompressedImage", STREAM, "files put into the watched folder, for the record"
    ),
    "preview": Topic("sensor_msgs/CompressedImage", LATEST, "JPEG thumbnail of the last scene"),
    "scene": Topic("Scene", HISTORY, "captured scenes (handles, no pixels)"),
    "task": Topic("Task", HISTORY, "questions; ground: from consoles, space: as uplinked"),
    "command": Topic("Command", STREAM, "orders to the segment"),
    "request": Topic("Request", STREAM, "a task matched with a scene"),
    "refine": Topic(
        "Request", STREAM, "a region that the ground wants too: the request's window is the region"
    ),
    "enhance": Topic(
        "Request", STREAM, "its pixels are on the ground: finer ones may follow while time is left"
    ),
    "views": Topic("Views", VIEWS, "pixels for the model"),
    "tap": Topic("Tap", STREAM, "decoder pauses"),
    "verdict": Topic("Verdict", STREAM, "continue, answer on board or offload"),
    "answer": Topic("Answer", STREAM, "what a model said; the owner makes it final"),
    "provisional": Topic(
        "Answer", HISTORY, "complete answers of the owner on board, ahead of pixels that follow"
    ),
    "final": Topic("Answer", HISTORY, "final answers and refusals, written by the owner"),
    "product": Topic("Product", STREAM, "files for the downlink; on the ground: files received"),
    "downlink_report": Topic("DownlinkReport", STREAM, "progress of products on the link"),
    "queue": Topic("QueueState", LATEST, "the downlink queue"),
    "byte_budget": Topic("ByteBudget", LATEST, "what the next contact can still carry"),
    "contact_plan": Topic("ContactPlan", LATEST, "coming contacts"),
    "link_state": Topic("LinkState", LATEST, "the radio link as the modem reports it"),
    "notice": Topic("Notice", HISTORY, "final answer on the ground, region wanted again"),
    "event": Topic("Event", HISTORY, "what an operator should know"),
    "heartbeat": Topic("Heartbeat", STREAM, "liveness as work done"),
    "mode": Topic("Mode", LATEST, "nominal or safe"),
    "compute": Topic("Compute", STREAM, "measured durations of compute jobs"),
    "diagnostics": Topic("diagnostic_msgs/DiagnosticArray", STREAM, "health of all nodes"),
    "/clock": Topic("rosgraph_msgs/Clock", CLOCK, "orbital time (simulation only)"),
    "/idle": Topic("Idle", STREAM, "lock-step accounting (simulation only)"),
}
