"""Finer pixels that follow a product: never coarser than what came, by value, within the budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eo_nodes.contracts.values import Contact, ContactPlan, Region
from eo_nodes.decision.finer import came_as, finer
from eo_nodes.decision.product import Sent
from eo_nodes.decision.refine import hold_until_ns
from eo_nodes.decision.sending import SendingConfig, plan
from eo_nodes.imaging.coder import RegionCoder
from eo_nodes.imaging.container import (
    ProductHeader,
    compose,
    join,
    read_container,
)

S = 1_000_000_000
SIDE = 256
WINDOW = (0, 0, SIDE, SIDE)
CONFIG = SendingConfig()


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    """Smooth ground with fine texture in one corner."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIDE, :SIDE]
    ground = 90 + 40 * np.sin(x / 31) * np.cos(y / 23)
    ground[:64, :64] += rng.normal(0, 25, (64, 64))
    return np.clip(ground, 0, 255).astype(np.uint8)[None, :, :, None]


@pytest.fixture(scope="module")
def relevance() -> np.ndarray:
    map_ = np.full((8, 8), 0.1, np.float32)
    map_[:2, :2] = 1.0
    return map_


def _coder(frame: np.ndarray, overview_px: int = 0) -> RegionCoder:
    header = ProductHeader(request_id="r", window=WINDOW, dtype="uint8", band_names=("b",))
    return RegionCoder(frame, header, overview_px=overview_px)


def _sent(frame: np.ndarray, relevance: np.ndarray, budget: float) -> tuple[Sent, bytes]:
    coder = _coder(frame, 32)
    made = plan(relevance, WINDOW, coder, budget_bytes=budget, config=CONFIG)
    return (made.regions, made.base), coder.product(made.regions, made.base)


def _finer(frame: np.ndarray, relevance: np.ndarray, sent: Sent, **changes: Any) -> Any:
    given = {"value": 1.0, "least_change": 0.0, "budget_bytes": 20_000.0, "config": CONFIG}
    return finer(sent, relevance, WINDOW, _coder(frame), **{**given, **changes})


def test_what_follows_is_finer_fits_and_brings_the_picture_nearer(
    frame: np.ndarray, relevance: np.ndarray
) -> None:
    sent, first = _sent(frame, relevance, 1_500)
    coder = _coder(frame)
    chosen = finer(sent, relevance, WINDOW, coder, value=1.0, least_change=0.0,
                   budget_bytes=4_000.0, config=CONFIG)  # fmt: skip
    assert chosen and all(region.action != "drop" for region in chosen)
    data = coder.product(chosen)
    assert len(data) <= 4_000
    before = came_as(sent[0], np.array([r.window for r in chosen]))
    for region, (scale, step) in zip(chosen, before, strict=True):
        told = float(region.codec.partition("/")[2] or 0)
        assert region.scale >= scale and told <= step
        assert (region.scale, told) != (scale, step), "the same again is of no use"
    one = read_container(first)
    both = join(one, read_container(data))
    worth = np.kron(relevance, np.ones((32, 32)))
    far, near = (
        (np.abs(compose(content)[0, ..., 0].astype(int) - frame[0, ..., 0]) * worth).mean()
        for content in (one, both)
    )
    assert near < 0.8 * far
    assert chosen[0].relevance == max(region.relevance for region in chosen)


def test_more_budget_sends_more_and_none_sends_nothing(
    frame: np.ndarray, relevance: np.ndarray
) -> None:
    sent, _ = _sent(frame, relevance, 1_500)
    sizes = [
        sum(r.window[2] * r.window[3] for r in _finer(frame, relevance, sent, budget_bytes=b))
        for b in (0.0, 2_000.0, 8_000.0, 40_000.0)
    ]
    assert sizes[0] == 0 < sizes[1]
    assert sizes == sorted(sizes)


def test_nothing_follows_what_came_exactly(frame: np.ndarray, relevance: np.ndarray) -> None:
    whole = Region(window=WINDOW, action="keep", scale=1.0, relevance=1.0, codec="htj2k")
    assert _finer(frame, relevance, ((whole,), None)) == ()


def test_nothing_follows_that_brings_less_than_it_must(
    frame: np.ndarray, relevance: np.ndarray
) -> None:
    sent, _ = _sent(frame, relevance, 1_500)
    assert _finer(frame, relevance, sent, value=0.5, least_change=0.01)
    assert _finer(frame, relevance, sent, value=0.5, least_change=0.5) == ()
    assert _finer(frame, relevance, sent, value=0.0) == ()


def test_of_a_dropped_window_the_most_relevant_goes_first(
    frame: np.ndarray, relevance: np.ndarray
) -> None:
    nothing = Region(window=WINDOW, action="drop", relevance=1.0)
    chosen = _finer(frame, relevance, ((nothing,), None), budget_bytes=3_000.0)
    x, y, _, _ = chosen[0].window
    assert x < 64 and y < 64


def test_a_cell_came_as_the_region_on_top_of_its_middle() -> None:
    below = Region(window=(0, 0, 64, 64), action="downsample", scale=0.5, codec="htj2k/4")
    above = Region(window=(32, 0, 32, 32), action="keep", scale=1.0, codec="htj2k")
    gone = Region(window=(0, 32, 64, 32), action="drop")
    cells = np.array([(0, 0, 32, 32), (32, 0, 32, 32), (200, 0, 32, 32)])
    assert came_as((below, above, gone), cells).tolist() == [[0.5, 4], [1, 0], [0, np.inf]]


PLAN = ContactPlan(contacts=(Contact(id="a", aos_ns=10 * S, los_ns=20 * S),
                             Contact(id="b", aos_ns=50 * S, los_ns=60 * S)))  # fmt: skip


@pytest.mark.parametrize(
    ("why", "changes", "until_s"),
    [
        ("it could change", {}, 20),
        ("not after the deadline", {"deadline_ns": 18 * S}, 18),
        ("the deadline has passed", {"deadline_ns": 14 * S}, 0),
        ("all came", {"missing": 0.0, "least_change": 0.0}, 0),
        ("it is certain", {"confidence": 1.0, "least_change": 0.0}, 0),
        ("too little is missing", {"missing": 0.02}, 0),
        ("between contacts", {"now_ns": 30 * S}, 0),
        ("no plan", {"plan": None}, 0),
    ],
)
def test_an_answer_is_held_to_the_end_of_the_contact_where(
    why: str, changes: dict[str, Any], until_s: int
) -> None:
    given: dict[str, Any] = {"missing": 0.5, "confidence": 0.5, "plan": PLAN, "now_ns": 15 * S,
                             "least_change": 0.02}  # fmt: skip
    assert hold_until_ns(**{**given, **changes}) == until_s * S, why


def test_cells_of_two_cut_offs_are_refined_too(frame: np.ndarray, relevance: np.ndarray) -> None:
    half = Region(window=(0, 0, 128, 256), action="downsample", scale=0.5, codec="htj2k")
    chosen = _finer(frame, relevance, ((half, replace(half, window=(128, 0, 128, 256))), None))
    assert chosen and all(region.scale == 1.0 for region in chosen)
