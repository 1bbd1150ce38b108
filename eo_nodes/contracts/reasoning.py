"""What models and the decision say about a request.

Field units and ranges stand in ``msg/*.msg``; the rules here are what a node checks on entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .rules import PRODUCT_KINDS, between, checked, finite, length, one_of, pixel_window


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """What the model knows at one pause of its decoder."""

    request_id: str = checked("", length(1, 128))
    stamp_ns: int = 0
    attempt: int = 0
    stage: int = checked(0, between(1, 3))
    tokens: int = 0
    mean_logprob: float = checked(0.0, between(-1e4, 1e-3))
    min_logprob: float = 0.0
    entropy: float = 0.0
    margin: float = 0.0
    confidence: float = checked(0.0, between(0, 1))
    features: tuple[float, ...] = checked((), finite())
    rows: int = 0
    columns: int = 0
    relevance: tuple[float, ...] = checked((), finite())
    text: str = checked("", length(0, 8000))
    model_id: str = ""
    model_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do with a request at a tap."""

    CONTINUE: ClassVar[int] = 0
    ANSWER: ClassVar[int] = 1
    OFFLOAD: ClassVar[int] = 2
    request_id: str = checked("", length(1, 128))
    stamp_ns: int = 0
    attempt: int = 0
    stage: int = checked(0, between(1, 3))
    decision: int = checked(0, between(0, 2))
    score: float = checked(0.0, between(0, 1))
    accept: float = 0.0
    reject: float = 0.0
    level: str = checked("", length(0, 32))
    gain: float = checked(0.0, between(-1, 1))
    is_late: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One cell of a product."""

    window: tuple[int, ...] = checked((), pixel_window(required=True))
    action: str = checked("", one_of("keep", "downsample", "drop"))
    scale: float = checked(0.0, between(0, 1))
    relevance: float = checked(0.0, between(0, 1))
    codec: str = ""
    coded_bytes: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether it came in native resolution, without a step behind its codec's name."""
        return self.action == "keep" and "/" not in self.codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A file for the downlink; the bytes lie in the product store."""

    id: str = checked("", length(1, 128))
    request_id: str = ""
    task_id: str = ""
    scene_id: str = ""
    stamp_ns: int = 0
    kind: str = checked("", one_of(*PRODUCT_KINDS))
    path: str = checked("", length(1, 1024))
    size_bytes: int = 0
    sha256: str = ""
    priority: int = checked(0, between(0, 7))
    deadline_ns: int = 0
    value: float = checked(0.0, between(0, 1))
    is_late: bool = False
    raw_bytes: int = 0
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One dated step in the life of a request."""

    name: str = ""
    stamp_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said to the asker, with where it comes from."""

    PROVISIONAL: ClassVar[int] = 0
    FINAL: ClassVar[int] = 1
    REFUSED: ClassVar[int] = 2
    id: str = checked("", length(1, 128))
    request_id: str = ""
    task_id: str = ""
    scene_id: str = ""
    asker: str = ""
    stamp_ns: int = 0
    version: int = 0
    status: int = checked(0, between(0, 2))
    prompt: str = ""
    text: str = checked("", length(0, 8000))
    reason: str = ""
    confidence: tuple[float, ...] = checked((), finite(0, 3))
    spatial: str = ""
    model_id: str = ""
    model_digest: str = ""
    origin: str = checked("", one_of("onboard", "ground"))
    stage: int = 0
    regions_used: int = 0
    raw_bytes: int = 0
    bytes_sent: int = 0
    energy_j: float = 0.0
    steps: tuple[Step, ...] = ()
