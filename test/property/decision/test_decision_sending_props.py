"""Regions of a window: tiled, within the budget in real bytes, monotone, driven by the prompt."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import validate
from eo_nodes.decision.cutting import cut
from eo_nodes.decision.sending import SendingConfig, plan

WINDOW = (10, 20, 260, 200)
CONFIG = SendingConfig()
CUT = {"cell_px": 64, "most": 16, "fine_px": 32, "floor": 0.02}
RELEVANCE = hnp.arrays(np.float64, st.tuples(st.integers(1, 24), st.integers(1, 24)),
                       elements=st.floats(0, 1) | st.just(float("nan")))  # fmt: skip


class Guess(NamedTuple):
    """An estimate."""

    bytes: np.ndarray
    shown: np.ndarray
    fine: np.ndarray


class Pretend:
    """A coder by formula: bytes grow with pixels, scale and quality, and every block has a head."""

    contrast, overview_scale, has_steps, head_size = 100.0, 0.1, True, 60

    def _one(self, window, scale, step):
        return 150 + window[2] * window[3] * scale**2 * (0.8 if not step else 3 / (3 + step))

    def estimate(self, windows, options):
        sizes = np.array([[self._one(w, *option) for option in options] for w in windows])
        shown = np.array([[scale**0.3 / (1 + step / 50) for scale, step in options]] * len(windows))
        return Guess(sizes, shown, shown**2)

    def size(self, regions, base):
        blocks = [r for r in regions if r.action != "drop"]
        steps = [float(r.codec.partition("/")[2] or 0) for r in blocks]
        first = self._one(WINDOW, *base) if base else 100
        return int(60 + first + sum(self._one(r.window, r.scale, s)
                             for r, s in zip(blocks, steps, strict=True)))


def run(relevance, budget=None, config=CONFIG):
    return plan(relevance, WINDOW, Pretend(), budget_bytes=budget, config=config)


def quality(made):
    """(h, w) how good each pixel is: scale and exactness, -1 not covered."""
    out = np.full((200, 260), -1.0)
    for r in made.regions:
        validate(r)
        x, y, w, h = r.window
        part = out[y - 20 : y - 20 + h, x - 10 : x - 10 + w]
        assert (part == -1).all() and part.shape == (h, w)
        part[:] = r.scale + (0.2 / (1 + float(r.codec.partition("/")[2] or 0)) if r.scale else 0)
    return out


@seed(20261121)
@settings(max_examples=25, deadline=None, database=None)
@given(RELEVANCE, st.integers(0, 60_000))
def test_tiled_and_never_over_the_budget(relevance, budget):
    made = run(relevance, budget)
    assert (quality(made) >= 0).all()
    size = Pretend().size(made.regions, made.base)
    nothing = all(r.action == "drop" for r in made.regions)
    assert size <= budget or nothing


@seed(20261121)
@settings(max_examples=25, deadline=None, database=None)
@given(RELEVANCE, st.integers(400, 30_000), st.integers(0, 20_000))
def test_more_budget_never_gains_less_and_takes_nothing_away_over_one_overview(
    relevance, budget, more
):
    small, large = run(relevance, budget), run(relevance, budget + more)
    assert small.gain <= large.gain * 1.02 + 1e-9  # the overview is chosen by estimate
    one = SendingConfig(bases=())
    small, large = run(relevance, budget, one), run(relevance, budget + more, one)
    assert small.climbed <= large.climbed
    # Merging hides cells, not pixels: detail by pixel may only grow.
    assert (shown_by_pixel(large) >= shown_by_pixel(small) - 1e-9).all()


def shown_by_pixel(made):
    """(h, w) what the pretended coder shows of each pixel."""
    out = np.zeros((200, 260))
    for r in made.regions:
        x, y, w, h = r.window
        step = float(r.codec.partition("/")[2] or 0)
        out[y - 20 : y - 20 + h, x - 10 : x - 10 + w] = (
            r.scale**0.3 / (1 + step / 50) if r.scale else 0)
    return out


@seed(20261121)
@settings(max_examples=15, deadline=None, database=None)
@given(RELEVANCE)
def test_without_a_limit_all_goes_down_exactly(relevance):
    made = run(relevance)
    assert {(r.action, r.codec) for r in made.regions} == {("keep", "")}


def test_another_prompt_sends_other_regions():
    left, right = np.zeros((6, 8)), np.zeros((6, 8))
    left[:, :3], right[:, 5:] = 0.9, 0.9
    first, second = (quality(run(r, 8_000)) for r in (left, right))
    assert first[:, :90].mean() > 1.5 * first[:, 170:].mean()
    assert second[:, 170:].mean() > 1.5 * second[:, :90].mean()


def test_what_is_small_gets_a_cell_of_its_own_at_full_size():
    relevance = np.full((50, 65), 0.02)
    relevance[20, 30] = 0.9  # 4 x 4 px
    made = run(relevance, 1_500, SendingConfig(bases=()))
    best = made.regions[0]
    x, y, w, h = best.window
    assert best.action == "keep" and w * h <= 40 * 40
    assert x <= 130 < x + w and y <= 100 < y + h


def test_nothing_known_is_even_and_written_best_first():
    places, shares, sizes = cut(np.full((3, 3), np.nan), WINDOW, **CUT)
    assert len(places) == 12 and set(shares) == {CONFIG.floor} and np.isnan(sizes).all()
    relevance = np.linspace(0, 1, 12).reshape(3, 4)
    sent = [r.relevance for r in run(relevance, 8_000).regions if r.action != "drop"]
    assert sent == sorted(sent, reverse=True)


@pytest.mark.parametrize("relevance", [np.zeros(3), np.zeros((0, 2))])
def test_relevance_without_a_grid_is_refused(relevance):
    with pytest.raises(ConfigError):
        run(relevance)
