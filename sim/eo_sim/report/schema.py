"""What a run writes down about itself: the input of the report and of ``report.json``.

Plain JSON: every name below is a key, every time is int ns of orbital time since 1970-01-01 UTC,
every list may be empty. Keys that a run does not know are left out (``total=False``); the page
then leaves out what it would have shown. `check` refuses what the page cannot draw.
"""

from __future__ import annotations

from typing import Any, TypedDict

from eo_nodes.contracts.errors import EoError


class ReportError(EoError):
    """A report lacks a key or breaks its shape; the message names the place."""


class Meta(TypedDict, total=False):
    """Heading of the page."""

    title: str
    scenario: str  # name of the scenario file
    satellite: str
    created: str  # ISO 8601 UTC, wall clock
    start_ns: int  # orbital time of the run
    end_ns: int
    software: str  # version
    command: str  # what started the run
    capture_rate: str  # the stated rate, for people: "32 windows of 1024 x 1024 in 95 min"
    notes: list[str]  # what a reader must know (labelled limits)


class Station(TypedDict, total=False):
    """A ground station."""

    name: str
    lat_deg: float
    lon_deg: float  # -180 .. 180
    mask_deg: float  # elevation mask


class TrackPoint(TypedDict):
    """Where the satellite stood over."""

    stamp_ns: int
    lat_deg: float
    lon_deg: float


class ContactBand(TypedDict, total=False):
    """One contact."""

    id: str
    station: str
    aos_ns: int
    los_ns: int
    max_elevation_deg: float
    capacity_bytes: int
    used_bytes: int  # bytes of frames that crossed


class RegionBox(TypedDict, total=False):
    """One cell of the reduction, as `Region`."""

    window: list[int]  # x y width height, scene pixels
    action: str  # keep | downsample | drop
    scale: float
    relevance: float
    codec: str
    coded_bytes: int


class LinkRow(TypedDict, total=False):
    """What the satellite knew of its link at a moment."""

    planned: int  # contacts ahead; without it no plan was known
    station: str  # of the first of them
    aos_ns: int
    los_ns: int
    capacity_bytes: int  # of the rest of that contact
    queued_bytes: int  # promised to it
    budget_bytes: int  # left of it


class VerdictRow(TypedDict, total=False):
    """One decision at a tap, as `Verdict`."""

    stage: int
    decision: str  # continue | answer | offload
    score: float
    accept: float
    reject: float
    level: str  # of compression that was weighed; empty where thresholds decided
    gain: float  # chance of a right answer that the pixels add
    is_late: bool
    reason: str
    stamp_ns: int
    link: LinkRow  # in force then


class StepRow(TypedDict):
    """One dated step, as `Step`."""

    name: str
    stamp_ns: int


class RequestRow(TypedDict, total=False):
    """One request with its final answer."""

    id: str
    task_id: str
    scene_id: str
    prompt: str  # required
    truth: str  # from labels, empty when unknown
    answer: str  # required, empty when refused
    provisional: str  # what the compact model said on board, when the ground answered
    status: str  # required: final | refused | lost
    origin: str  # required: onboard | ground; empty when lost
    reason: str  # of a refusal, or a label such as degraded
    right: bool | None  # None: no truth
    modality: str  # required
    sensor: str
    place: str
    lat_deg: float  # of the capture, for the map
    lon_deg: float
    capture_ns: int
    window: list[int]  # asked window x y width height, scene pixels
    regions: list[RegionBox]
    asked_region: list[int]  # region that the ground asked for too; empty: none
    before_region: str  # what the ground said before it had it
    region_bytes: int  # of its product
    before_finer: str  # what the ground said while finer pixels could follow; empty: nothing
    finer_bytes: int  # of what followed unasked
    thumbnail_png: str  # base64 PNG or JPEG of `window`; bytes are taken too and encoded by `build`
    confidences: list[float]  # per stage reached
    verdicts: list[VerdictRow]
    steps: list[StepRow]
    model_id: str
    model_digest: str
    stage: int  # tap that decided
    bytes_raw: int
    bytes_sent: int
    energy_j: float
    priority: int
    wall_s: float  # compute spent, wall clock


class Accuracy(TypedDict, total=False):
    """Shares 0 .. 1 of right answers among those with a truth."""

    onboard: float
    ground: float
    blind_onboard: float  # the same models, same questions, without pixels
    blind_ground: float
    n: int
    n_onboard: int
    n_ground: int


class SecondLooks(TypedDict):
    """Answers on the ground that wanted a region before they were final."""

    asked: int
    refined: int  # the region came in time
    changed: int  # of these: the answer is another one
    right_before: int
    right_after: int
    bytes: int  # of the regions made


class Followed(TypedDict):
    """Answers on the ground that were provisional while finer pixels could follow unasked."""

    held: int
    refined: int  # they came
    changed: int  # of these: the answer is another one
    right_before: int
    right_after: int
    bytes: int  # of all that followed


class Latency(TypedDict, total=False):
    """Capture to final answer, orbital time."""

    mean: float
    p50: float
    p95: float
    parts: dict[str, float]  # mean s: compute, queue, wait, transmit, ground


class Clock(TypedDict, total=False):
    """How time ran."""

    mode: str  # lockstep | free
    requested_rate: float  # 0: as fast as possible
    achieved_rate: float


class Rss(TypedDict, total=False):
    """Peak resident memory, MiB."""

    space: float
    ground: float


class Report(TypedDict, total=False):
    """Everything. The scalar keys are those of ``report.json``'s contract, at its top level."""

    meta: Meta
    tasks: int
    answers_onboard: int
    answers_ground: int
    refusals: int
    lost: int
    duplicates: int
    frames_outside_contact: int
    modalities: list[str]
    scenes: int
    bytes_raw: int  # pixels captured
    bytes_sent: int  # bytes that crossed the link, down
    capacity_bytes: int  # of all contacts together
    accuracy: Accuracy
    second_looks: SecondLooks
    followed: Followed
    latency_s: Latency
    clock: Clock
    wall_s: float
    peak_rss_mb: Rss
    stations: list[Station]
    track: list[TrackPoint]
    contacts: list[ContactBand]
    requests: list[RequestRow]


TOTALS = (
    "tasks",
    "answers_onboard",
    "answers_ground",
    "refusals",
    "lost",
    "duplicates",
    "frames_outside_contact",
    "modalities",
    "scenes",
    "bytes_raw",
    "bytes_sent",
    "accuracy",
    "latency_s",
    "clock",
    "wall_s",
    "peak_rss_mb",
)
REQUEST_KEYS = ("id", "prompt", "answer", "status", "origin", "modality")


def check(report: dict[str, Any]) -> None:
    """Refuse a report that lacks what every report has.

    Raises:
        ReportError: a key is missing or has the wrong kind.
    """
    for key in TOTALS:
        if key not in report:
            raise ReportError(f"report lacks {key!r}")
    for key in ("stations", "track", "contacts", "requests"):
        if not isinstance(report.get(key, []), list):
            raise ReportError(f"report[{key!r}] is no list")
    for index, request in enumerate(report.get("requests", [])):
        for key in REQUEST_KEYS:
            if key not in request:
                raise ReportError(f"requests[{index}] lacks {key!r}")
        window = request.get("window", [])
        if window and len(window) != 4:
            raise ReportError(f"requests[{index}].window has {len(window)} numbers, not 4")
        for region in request.get("regions", []):
            if len(region.get("window", [])) != 4:
                raise ReportError(f"requests[{index}] has a region without a window")
