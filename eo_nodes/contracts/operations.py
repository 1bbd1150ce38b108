"""Events, commands, health and lock-step accounting.

Field units and ranges stand in ``msg/*.msg``; the rules here are what a node checks on entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .rules import between, checked, length, one_of

# Orders to a segment: opcode of `Command` -> node that obeys it.
OPCODES = {"set_mode": "health_monitor", "set_threshold": "confidence"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something an operator should know."""

    DEBUG: ClassVar[int] = 0
    INFO: ClassVar[int] = 1
    WARNING: ClassVar[int] = 2
    ERROR: ClassVar[int] = 3
    FATAL: ClassVar[int] = 4
    id: str = checked("", length(1, 64))
    severity: int = checked(0, between(0, 4))
    source: str = ""
    stamp_ns: int = 0
    text: str = checked("", length(0, 1000))
    fields_json: str = checked("", length(0, 4000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An order to the segment."""

    id: str = checked("", length(1, 128))
    stamp_ns: int = 0
    issuer: str = ""
    opcode: str = checked("", length(1, 64))
    arguments_json: str = checked("", length(0, 4000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A node does its work."""

    node: str = checked("", length(1, 128))
    stamp_ns: int = 0
    incarnation: int = 0
    state: str = ""
    work: int = 0
    pending: int = 0
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """Mode of the segment."""

    mode: str = checked("", one_of("nominal", "safe"))
    reason: str = ""
    stamp_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """Measured duration of one compute job, recorded so that a replay repeats it."""

    node: str = ""
    job: str = ""
    key: str = ""
    duration_ns: int = 0
    stamp_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Lock-step: what a node has done up to now. Published only with lock-step on."""

    node: str = checked("", length(1, 128))
    incarnation: int = 0
    sequence: int = 0
    clock_ns: int = 0
    wake_ns: int = 0
    sent_topics: tuple[str, ...] = ()
    sent: tuple[int, ...] = ()
    received_topics: tuple[str, ...] = ()
    received: tuple[int, ...] = ()
