"""Asking for a region: when, which, until when."""

from __future__ import annotations

import pytest

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import Contact, ContactPlan, Region
from eo_nodes.decision.refine import (
    RefineConfig,
    missing_box,
    missing_share,
    wait_until_ns,
    wanted_region,
)

S = 1_000_000_000
CONFIG = RefineConfig(unsure_below=0.6, needed_at=0.2)
KEPT = Region(window=(0, 0, 32, 32), action="keep", scale=1.0, relevance=1.0)
COARSE = Region(window=(32, 0, 32, 32), action="downsample", scale=0.5, relevance=0.4)
GONE = Region(window=(32, 32, 32, 32), action="drop", scale=0.0, relevance=0.1)
REGIONS = (KEPT, COARSE, GONE)


def _plan(*spans_s: tuple[int, int]) -> ContactPlan:
    return ContactPlan(
        contacts=tuple(
            Contact(id=f"c{i}", aos_ns=aos * S, los_ns=los * S)
            for i, (aos, los) in enumerate(spans_s)
        )
    )


NOW_AND_LATER = _plan((10, 20), (50, 60), (90, 95))


def _wanted(confidence: float = 0.5, **changes: object) -> object:
    given = {"regions": REGIONS, "plan": NOW_AND_LATER, "now_ns": 15 * S, "deadline_ns": 0,
             "config": CONFIG}
    given |= changes
    return wanted_region(confidence=confidence, **given)  # type: ignore[arg-type]


def test_an_unsure_answer_wants_what_the_prompt_needs_and_did_not_come() -> None:
    assert _wanted() == (32, 0, 32, 32)


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("sure enough", {"confidence": 0.6}),
        ("all came", {"regions": (KEPT,)}),
        ("what did not come is not needed", {"regions": (KEPT, GONE)}),
        ("no plan", {"plan": None}),
        ("no later contact", {"now_ns": 90 * S}),
        ("the next contact begins after the deadline", {"deadline_ns": 50 * S}),
    ],
)
def test_else_the_answer_stands(why: str, changes: dict[str, object]) -> None:
    assert _wanted(**changes) is None, why


def test_the_box_holds_all_needed_regions() -> None:
    far = Region(window=(96, 64, 16, 16), action="drop", scale=0.0, relevance=0.3)
    assert missing_box((*REGIONS, far), 0.2) == (32, 0, 80, 80)
    assert missing_box(REGIONS, 0.0) == (32, 0, 32, 64)


def test_the_wait_ends_with_the_later_contact_or_at_the_deadline() -> None:
    assert wait_until_ns(NOW_AND_LATER, 15 * S) == 60 * S
    assert wait_until_ns(NOW_AND_LATER, 15 * S, 55 * S) == 55 * S
    assert wait_until_ns(NOW_AND_LATER, 15 * S, 70 * S) == 60 * S
    assert wait_until_ns(NOW_AND_LATER, 95 * S) == 0
    assert wait_until_ns(None, 15 * S) == 0


def test_a_coarser_quality_is_not_the_whole_region() -> None:
    coarse = Region(window=(0, 0, 32, 32), action="keep", scale=1.0, relevance=1.0,
                    codec="htj2k/12.5")  # fmt: skip
    assert _wanted(regions=(coarse,)) == (0, 0, 32, 32)
    exact = Region(window=(0, 0, 32, 32), action="keep", scale=1.0, relevance=1.0, codec="htj2k")
    assert _wanted(regions=(exact,)) is None


def test_what_could_not_change_the_answer_is_not_asked_for() -> None:
    share = missing_share(REGIONS)
    assert share == pytest.approx((0.4 * 0.5 + 0.1) / 1.5)
    for least, wanted in ((0.5 * share - 1e-6, True), (0.5 * share + 1e-6, False)):
        config = RefineConfig(unsure_below=0.6, needed_at=0.2, least_change=least)
        found = wanted_region(REGIONS, 0.5, NOW_AND_LATER, 15 * S, config=config)
        assert (found is not None) == wanted


def test_nothing_relevant_misses_nothing() -> None:
    assert missing_share(()) == 0.0
    assert missing_share((Region(window=(0, 0, 8, 8), action="drop"),)) == 0.0


def test_thresholds_outside_their_range_are_refused() -> None:
    with pytest.raises(ConfigError):
        RefineConfig(unsure_below=1.1, needed_at=0.2)


def test_what_the_overview_shows_is_not_missing() -> None:
    gone = (Region(window=(0, 0, 8, 8), action="drop", relevance=1.0),)
    shares = [missing_share(gone, overview) for overview in (0.0, 0.25, 0.5, 1.0)]
    assert shares == pytest.approx([1.0, 0.75, 0.5, 0.1]), "in full size it lacks its quality"
    assert missing_share((KEPT,), 0.25) == 0.0
    half = (Region(window=(0, 0, 8, 8), action="downsample", scale=0.5, relevance=1.0),)
    assert missing_share(half, 0.25) == missing_share(half) == 0.5


def test_a_good_overview_leaves_too_little_to_ask_for() -> None:
    config = RefineConfig(unsure_below=0.9, needed_at=0.2, least_change=0.02)
    gone = (Region(window=(0, 0, 8, 8), action="drop", relevance=1.0),)
    assert _wanted(0.85, regions=gone, config=config) == (0, 0, 8, 8)
    assert _wanted(0.85, regions=gone, config=config, overview=1.0) is None
