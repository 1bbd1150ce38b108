"""Contacts, link, queue and reports: how products travel.

Field units and ranges stand in ``msg/*.msg``; the rules here are what a node checks on entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from .rules import checked, length, one_of, pixel_window


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """The radio link as the modem reports it."""

    satellite: str = ""
    station: str = ""
    stamp_ns: int = 0
    locked: bool = False
    downlink_bps: int = 0
    uplink_bps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One planned pass over a station."""

    id: str = checked("", length(1, 128))
    satellite: str = ""
    station: str = ""
    aos_ns: int = 0
    tca_ns: int = 0
    los_ns: int = 0
    max_elevation_deg: float = 0.0
    capacity_bytes: int = 0
    mean_rate_bps: int = 0
    uplink_rate_bps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPlan:
    """Coming contacts, in order, one link at a time."""

    satellite: str = ""
    stamp_ns: int = 0
    horizon_ns: int = 0
    element_age_days: float = 0.0
    contacts: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteBudget:
    """What the next contact can still carry."""

    stamp_ns: int = 0
    contact_id: str = ""
    aos_ns: int = 0
    los_ns: int = 0
    capacity_bytes: int = 0
    queued_bytes: int = 0
    budget_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DownlinkReport:
    """Progress of one product on the link."""

    product_id: str = ""
    request_id: str = ""
    kind: str = ""
    stamp_ns: int = 0
    state: str = checked("", one_of("queued", "sending", "delivered", "failed", "rejected"))
    reason: str = ""
    size_bytes: int = 0
    first_byte_ns: int = 0
    last_byte_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEntry:
    """One waiting product."""

    product_id: str = ""
    kind: str = ""
    priority: int = 0
    size_bytes: int = 0
    sent_bytes: int = 0
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """The downlink queue, most urgent first."""

    satellite: str = ""
    stamp_ns: int = 0
    queued_bytes: int = 0
    late_bytes: int = 0
    total: int = 0
    entries: tuple[QueueEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Ground to space: a request has its final answer, or a region is wanted again."""

    kind: str = checked("", one_of("final", "region"))
    request_id: str = checked("", length(1, 128))
    answer_id: str = ""
    stamp_ns: int = 0
    window: tuple[int, ...] = checked((), pixel_window())
