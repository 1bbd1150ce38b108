"""How many bytes still fit: into a contact, and into a stretch of time at a rate."""

from __future__ import annotations

from eo_nodes.contracts.values import ByteBudget, Contact, ContactPlan, LinkState

_BIT_NS_PER_BYTE = 8 * 1_000_000_000


def byte_budget(
    plan: ContactPlan, link: LinkState, queued_bytes: int, now_ns: int, *, margin: float = 0.1
) -> ByteBudget:
    """Return what the rest of the current contact, else the next one, can still carry.

    Args:
        plan: coming contacts in order, one link at a time.
        link: as the modem reports it; a locked link bounds the plan by its rate.
        queued_bytes: waiting already, >= 0.
        now_ns: orbital time.
        margin: share of the capacity kept for frames, packets and repeats, 0..1.
    """
    contact = next((c for c in plan.contacts if c.los_ns > now_ns), None)
    if contact is None:
        return ByteBudget(stamp_ns=now_ns, queued_bytes=queued_bytes)
    capacity = _rest_bytes(contact, link, now_ns)
    usable = capacity - int(capacity * margin)
    return ByteBudget(
        stamp_ns=now_ns,
        contact_id=contact.id,
        aos_ns=contact.aos_ns,
        los_ns=contact.los_ns,
        capacity_bytes=capacity,
        queued_bytes=queued_bytes,
        budget_bytes=max(usable - queued_bytes, 0),
    )


def _rest_bytes(contact: Contact, link: LinkState, now_ns: int) -> int:
    if now_ns <= contact.aos_ns:
        return contact.capacity_bytes
    left_ns = contact.los_ns - now_ns
    planned = contact.capacity_bytes * left_ns // (contact.los_ns - contact.aos_ns)
    if not link.locked or (link.station and link.station != contact.station):
        return planned
    # The rate of now need not last to LOS, the plan need not be met: believe the smaller.
    return min(planned, link.downlink_bps * left_ns // _BIT_NS_PER_BYTE)


def left_bytes(budget: ByteBudget | None, now_ns: int) -> int:
    """Return what the contact under way can carry beyond the queue; 0 between contacts."""
    if budget is None or not budget.contact_id or not budget.aos_ns <= now_ns < budget.los_ns:
        return 0
    return budget.budget_bytes


class RateBudget:
    """Token bucket of bytes at a rate that may change; integers, so that nothing drifts.

    What gathers is bounded by time, not by bytes: air time in which nothing was sent is gone, and
    a modem buffers seconds, however slow the link is.

    Args:
        burst_ns: air time that may gather while nothing is sent, at the rate of the moment, >= 0.
        least_bytes: that may gather beside it, so that the slowest link sends a frame, >= 1.
    """

    def __init__(self, burst_ns: int, least_bytes: int) -> None:
        self._burst_ns = burst_ns
        self._least = least_bytes * _BIT_NS_PER_BYTE
        self._held = 0  # in bit-nanoseconds per second: rate times time, undivided
        self._last_ns: int | None = None

    def advance(self, now_ns: int, rate_bps: int) -> int:
        """Let time pass at a rate; return the whole bytes that may be sent now.

        Args:
            now_ns: not before the last call, else nothing is added.
            rate_bps: since the last call, >= 0.
        """
        if self._last_ns is not None and now_ns > self._last_ns:
            most = rate_bps * self._burst_ns + self._least
            self._held = min(self._held + (now_ns - self._last_ns) * rate_bps, most)
        self._last_ns = now_ns
        return self.available_bytes

    @property
    def available_bytes(self) -> int:
        """Whole bytes that may be sent now; negative after more was spent than was there."""
        return self._held // _BIT_NS_PER_BYTE

    def spend(self, size_bytes: int) -> None:
        """Take bytes out; more than there are leaves a debt that time pays first."""
        self._held -= size_bytes * _BIT_NS_PER_BYTE

    def reset(self, now_ns: int) -> None:
        """Empty the bucket, at AOS: what was not sent before a contact is not owed in it."""
        self._held = 0
        self._last_ns = now_ns
