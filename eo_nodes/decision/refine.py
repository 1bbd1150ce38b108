"""Ask for a region too: whether an answer on the ground is worth a second look at the scene.

Purpose: the region that the model on the ground wants before its answer counts, and until when
it may wait for it. Non-purpose: how the region gets here (``tasking``, ``downlink``).

A product says of each region how relevant the model on board found it for the prompt, relative
to the most relevant one, and what became of it. What counts for the prompt and came reduced or
not at all is what a second look can add. One box around all of it is asked for: the model
answers on all regions together, and blocks of their own cost a head each.

Source: own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import ContactPlan, Region

Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineConfig:
    """When a region is asked for.

    Attributes:
        unsure_below: calibrated confidence of the answer in [0, 1] below which it is unsure;
            0 asks for nothing.
        needed_at: relevance in [0, 1] from which the prompt needs a region.
    """

    unsure_below: float
    needed_at: float

    def __post_init__(self) -> None:
        if not (0 <= self.unsure_below <= 1 and 0 <= self.needed_at <= 1):
            raise ConfigError("refine: both thresholds lie in [0, 1]")


def wanted_region(
    regions: Iterable[Region],
    confidence: float,
    plan: ContactPlan | None,
    now_ns: int,
    *,
    deadline_ns: int = 0,
    config: RefineConfig,
) -> Window | None:
    """Return the box to ask for, x y w h in scene pixels, or None: the answer stands.

    Args:
        regions: of the product that was answered on.
        confidence: of the answer, calibrated.
        plan: coming contacts, or None when no plan is known.
        deadline_ns: of the request, 0 for none.
    """
    if confidence >= config.unsure_below:
        return None
    box = missing_box(regions, config.needed_at)
    return box if box is not None and wait_until_ns(plan, now_ns, deadline_ns) else None


def missing_box(regions: Iterable[Region], needed_at: float) -> Window | None:
    """Smallest box around the needed regions that were downsampled or dropped, if there are any."""
    boxes = [r.window for r in regions if r.action != "keep" and r.relevance >= needed_at]
    if not boxes:
        return None
    left, top = min(x for x, _, _, _ in boxes), min(y for _, y, _, _ in boxes)
    right, bottom = max(x + w for x, _, w, _ in boxes), max(y + h for _, y, _, h in boxes)
    return left, top, right - left, bottom - top


def wait_until_ns(plan: ContactPlan | None, now_ns: int, deadline_ns: int = 0) -> int:
    """Return the end of the next contact that begins before the deadline, and not after it.

    The contact under way may bring the region sooner, but nobody knows yet whether it will: the
    wait is worth it only with a later one behind it.

    Returns:
        Orbital time, ns; 0 when no such contact is planned.
    """
    contacts = plan.contacts if plan is not None else ()
    contact = next((c for c in contacts if c.aos_ns > now_ns), None)
    if contact is None or 0 < deadline_ns <= contact.aos_ns:
        return 0
    return min(contact.los_ns, deadline_ns) if deadline_ns else contact.los_ns
