"""Ask for a region too: whether an answer on the ground is worth a second look at the scene.

Purpose: the region that the model on the ground wants before its answer counts, until when
it may wait for it, and for finer pixels that the satellite sends by itself (``finer``).
Non-purpose: how pixels get here (``tasking``, ``downlink``).

A product says of each region how relevant the model on board found it for the prompt, relative
to the most relevant one, and what became of it: kept exactly, in a coarser quality, downsampled,
dropped. What counts for the prompt and did not come whole is what a second look can add. One box
around all of it is asked for: the model answers on all regions together, and blocks of their own
cost a head each.

A look that could not change the answer is not worth its bytes. An answer changes at most as often
as it is wrong, and only by what is missing, so ``(1 - confidence) * missing share`` bounds what the
look can bring; below `least_change` nothing is asked for.

Source: own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import ContactPlan, Region

Window = tuple[int, int, int, int]
_COARSE = 0.9  # of a region in full size that came in a coarser quality


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineConfig:
    """When a region is asked for.

    Attributes:
        unsure_below: calibrated confidence of the answer in [0, 1] below which it is unsure;
            0 asks for nothing.
        needed_at: relevance in [0, 1] from which the prompt needs a region.
        least_change: what a look must be able to bring, [0, 1].
    """

    unsure_below: float
    needed_at: float
    least_change: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= v <= 1 for v in (self.unsure_below, self.needed_at, self.least_change)):
            raise ConfigError("refine: the thresholds lie in [0, 1]")


def wanted_region(
    regions: Iterable[Region],
    confidence: float,
    plan: ContactPlan | None,
    now_ns: int,
    *,
    deadline_ns: int = 0,
    overview: float = 0.0,
    config: RefineConfig,
) -> Window | None:
    """Return the box to ask for, x y w h in scene pixels, or None: the answer stands.

    Args:
        regions: of the product that was answered on.
        confidence: of the answer, calibrated.
        plan: coming contacts, or None when no plan is known.
        deadline_ns: of the request, 0 for none.
        overview: side length of what lies below the regions, [0, 1].
    """
    regions = tuple(regions)
    could_change = (1 - confidence) * missing_share(regions, overview)
    if confidence >= config.unsure_below or could_change < config.least_change:
        return None
    box = missing_box(regions, config.needed_at)
    return box if box is not None and wait_until_ns(plan, now_ns, deadline_ns) else None


def hold_until_ns(
    missing: float,
    confidence: float,
    plan: ContactPlan | None,
    now_ns: int,
    *,
    deadline_ns: int = 0,
    least_change: float,
) -> int:
    """Return until when an answer is only provisional because finer pixels may follow by itself.

    The same bound as for a region: an answer changes at most as often as it is wrong, and only by
    what is missing. What follows comes in the contact under way or not at all.

    Args:
        missing: share of what is relevant that did not come, [0, 1]. confidence: calibrated.
        plan: contacts, or None when no plan is known. deadline_ns: of the request, 0 for none.
    Returns:
        Orbital time, ns; 0: the answer is final.
    """
    could_change = (1 - confidence) * missing
    if could_change <= 0 or could_change < least_change:
        return 0
    contacts = plan.contacts if plan is not None else ()
    end_ns = next((c.los_ns for c in contacts if c.aos_ns <= now_ns < c.los_ns), 0)
    until_ns = min(end_ns, deadline_ns) if deadline_ns else end_ns
    return until_ns if until_ns > now_ns else 0


def missing_box(regions: Iterable[Region], needed_at: float) -> Window | None:
    """Smallest box around the needed regions that did not come exactly, if there are any."""
    boxes = [r.window for r in regions if not r.is_exact and r.relevance >= needed_at]
    if not boxes:
        return None
    left, top = min(x for x, _, _, _ in boxes), min(y for _, y, _, _ in boxes)
    right, bottom = max(x + w for x, _, w, _ in boxes), max(y + h for _, y, _, h in boxes)
    return left, top, right - left, bottom - top


def missing_share(regions: Iterable[Region], overview: float = 0.0) -> float:
    """Share of what is relevant that did not come, [0, 1]: by relevance and area.

    A region counts by its scale, or by the overview's where that is better; one in a coarser
    quality lacks little.

    Args:
        overview: side length of the overview, of the window's; 0 without one.
    """
    whole = missing = 0.0
    for region in regions:
        weight = region.relevance * region.window[2] * region.window[3]
        came = max(region.scale if region.action != "drop" else 0.0, overview)
        whole += weight
        missing += weight * (1 - came * (1.0 if region.is_exact or came < 1 else _COARSE))
    return missing / whole if whole > 0 else 0.0


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
