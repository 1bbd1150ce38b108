"""Asking for a region, for any product and any plan."""

from __future__ import annotations

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from eo_nodes.contracts.values import Contact, ContactPlan, Region
from eo_nodes.decision.refine import RefineConfig, missing_box, wait_until_ns, wanted_region
from eo_nodes.decision.regions import cells

SCALES = {"keep": 1.0, "downsample": 0.5, "drop": 0.0}
WINDOW = (10, 20, 128, 96)
share = st.floats(0, 1)


@st.composite
def tilings(draw: st.DrawFn) -> tuple[Region, ...]:
    places = cells(WINDOW, (draw(st.integers(1, 4)), draw(st.integers(1, 4))))
    actions = draw(st.lists(st.sampled_from(sorted(SCALES)), min_size=len(places), max_size=16))
    return tuple(
        Region(window=place, action=action, scale=SCALES[action], relevance=draw(share))
        for place, action in zip(places, actions, strict=False)
    )


@st.composite
def plans(draw: st.DrawFn) -> ContactPlan:
    edges = sorted(draw(st.sets(st.integers(1, 1000), max_size=12)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    return ContactPlan(contacts=tuple(Contact(id=f"c{a}", aos_ns=a, los_ns=b) for a, b in pairs))


@seed(20261121)
@settings(max_examples=200, deadline=None, database=None)
@given(tilings(), share)
def test_box_lies_inside_and_holds_every_needed_region(
    regions: tuple[Region, ...], needed_at: float
) -> None:
    needed = [r for r in regions if r.action != "keep" and r.relevance >= needed_at]
    box = missing_box(regions, needed_at)
    assert (box is None) == (not needed)
    if box is None:
        return
    assert _holds(WINDOW, box)
    assert all(_holds(box, region.window) for region in needed)
    sides = (box[0], box[1], box[0] + box[2], box[1] + box[3])
    touched = [{r.window[0] for r in needed}, {r.window[1] for r in needed},
               {r.window[0] + r.window[2] for r in needed},
               {r.window[1] + r.window[3] for r in needed}]  # fmt: skip
    assert all(side in edges for side, edges in zip(sides, touched, strict=True)), "smallest"


@seed(20261121)
@settings(max_examples=200, deadline=None, database=None)
@given(plans(), st.integers(0, 1000), st.integers(0, 1000))
def test_wait_is_never_past_the_deadline_and_needs_a_later_contact(
    plan: ContactPlan, now_ns: int, deadline_ns: int
) -> None:
    until_ns = wait_until_ns(plan, now_ns, deadline_ns)
    later = [c for c in plan.contacts if c.aos_ns > now_ns]
    usable = [c for c in later if not deadline_ns or c.aos_ns < deadline_ns]
    assert (until_ns > 0) == bool(usable)
    if until_ns:
        assert usable[0].aos_ns < until_ns <= usable[0].los_ns
        assert not deadline_ns or until_ns <= deadline_ns


@seed(20261121)
@settings(max_examples=200, deadline=None, database=None)
@given(tilings(), share, plans(), st.integers(0, 1000), share, share)
def test_a_surer_answer_never_wants_more(
    regions: tuple[Region, ...],
    needed_at: float,
    plan: ContactPlan,
    now_ns: int,
    one: float,
    other: float,
) -> None:
    config = RefineConfig(unsure_below=0.6, needed_at=needed_at)
    unsure, sure = (
        wanted_region(regions, confidence, plan, now_ns, config=config)
        for confidence in sorted((one, other))
    )
    assert sure is None or sure == unsure


def _holds(outer: tuple[int, ...], inner: tuple[int, ...]) -> bool:
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and inner[0] + inner[2] <= outer[0] + outer[2]
        and inner[1] + inner[3] <= outer[1] + outer[3]
    )
