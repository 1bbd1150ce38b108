"""Value per byte: near the optimum by a stated bound, monotone, and only what is worth it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.decision.value import (
    DROPPED,
    Shown,
    ladders,
    seen,
    within,
)

N, K = 3, 3
COSTS = hnp.arrays(np.float64, (N, K), elements=st.integers(1, 40).map(float))
VALUES = hnp.arrays(np.float64, (N, K), elements=st.integers(0, 30).map(float))
BASES = hnp.arrays(np.float64, (2, N), elements=st.integers(0, 30).map(float))
SHARES = hnp.arrays(np.float64, N, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))


def total(costs, chosen):
    return sum(costs[i, k] for i, k in enumerate(chosen) if k != DROPPED)


def brute_force(costs, values, budget):
    """Best gain of any choice of one option or none a cell."""
    best = 0.0
    for chosen in product(range(-1, K), repeat=N):
        if total(costs, chosen) <= budget:
            best = max(best, total(values, chosen))
    return best


def ladder(costs, values):
    """The ladder above nothing, of cells that are all relevant."""
    return ladders(costs, values, np.ones(len(costs)), np.zeros((1, len(costs))))[0]


@seed(20261121)
@settings(max_examples=40, deadline=None, database=None)
@given(COSTS, VALUES, st.integers(0, 160))
def test_greedy_is_within_one_rung_of_the_optimum(costs, values, budget):
    rungs = ladder(costs, values)
    count = int((np.cumsum(rungs.bytes) <= budget).sum())
    chosen = rungs.choice(count, N)
    assert total(costs, chosen) <= budget
    gained, best = total(values, chosen), brute_force(costs, values, budget)
    more = rungs.gains[count] if count < len(rungs) else 0.0
    assert gained <= best <= gained + more + 1e-9


@seed(20261121)
@settings(max_examples=40, deadline=None, database=None)
@given(COSTS, VALUES)
def test_every_prefix_is_the_optimum_of_its_own_cost(costs, values):
    rungs = ladder(costs, values)
    for count in range(len(rungs) + 1):
        chosen = rungs.choice(count, N)
        assert total(costs, chosen) == pytest.approx(rungs.bytes[:count].sum())
        assert total(values, chosen) == pytest.approx(
            brute_force(costs, values, total(costs, chosen)))


STEPS = st.lists(st.integers(1, 100), min_size=1, max_size=40)


def reach(totals, sizes, budget, **more):
    """How far a budget reaches, and how often was asked."""
    asked = []

    def measure(n):
        asked.append(n)
        return float(sizes[n])

    return within(totals, budget, measure, **more)[0], asked


@seed(20261121)
@settings(max_examples=100, deadline=None, database=None)
@given(STEPS, STEPS, st.floats(0.1, 10), st.integers(0, 4000), st.integers(0, 500))
def test_more_budget_never_reaches_less_far_whatever_was_estimated(
    steps, real, ratio, budget, more
):
    count = min(len(steps), len(real))
    totals, sizes = (np.concatenate([[0.0], np.cumsum(s[:count])]) for s in (steps, real))
    small, _ = reach(totals, sizes, budget, ratio=ratio)
    large, asked = reach(totals, sizes, budget + more, ratio=ratio)
    assert small <= large
    assert sizes[small] <= budget or small == 0
    assert len(asked) <= 4 + 6  # by estimate, then halves of 40
    if small < count:  # all but two fiftieths of the budget are used, or the next does not fit
        assert sizes[small + 1] > budget / 1.02 or sizes[small] >= budget / 1.02**2


@seed(20261121)
@settings(max_examples=100, deadline=None, database=None)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=40), st.integers(0, 120))
def test_sizes_that_do_not_grow_are_held_too(sizes, budget):
    sizes = [0, *sizes]
    count, _ = reach(np.arange(len(sizes)) * 10.0, sizes, budget)
    assert sizes[count] <= budget


def test_good_estimates_are_asked_about_once_and_bad_ones_are_corrected():
    totals = np.arange(0, 40_100, 100.0)
    assert reach(totals, totals, 20_000.0)[1] in ([196], [197], [198], [199], [200])
    count, asked = reach(totals, 500 + 1.7 * totals, 20_000.0, fixed=500.0)
    assert len(asked) == 2 and 0.96 * 20_000 <= 500 + 1.7 * totals[count] <= 20_000
    assert within(totals, 20_000.0, lambda n: 500 + 1.7 * totals[n], fixed=500.0)[1] == (
        pytest.approx(1.7))


@seed(20261121)
@settings(max_examples=40, deadline=None, database=None)
@given(COSTS, VALUES)
def test_a_hull_rises_ever_slower_and_misses_no_option(costs, values):
    for cost, value in zip(costs, values, strict=True):
        rungs = ladder(cost[None], value[None])
        x, y = ([0.0, *np.cumsum(steps)] for steps in (rungs.bytes, rungs.gains))
        slopes = np.diff(y) / np.diff(x)
        assert (np.diff(x) > 0).all() and (slopes > 0).all() and (np.diff(slopes) < 0).all()
        assert (np.interp(cost, x, y) >= value - 1e-9).all()
        assert total(cost[None], rungs.choice(len(rungs), 1)) == pytest.approx(x[-1])


@seed(20261121)
@settings(max_examples=20, deadline=None, database=None)
@given(COSTS, VALUES, BASES, SHARES)
def test_above_an_overview_a_ladder_is_that_of_what_is_gained_over_it(
    costs, options, bases, shares
):
    for found, base in zip(ladders(costs, options, shares, bases), bases, strict=True):
        alone = ladder(costs, shares[:, None] * np.maximum(options - base[:, None], 0))
        assert found.bytes.cumsum() == pytest.approx(alone.bytes.cumsum())
        assert found.gains.cumsum() == pytest.approx(alone.gains.cumsum())
        for count in range(len(alone) + 1):
            assert found.choice(count, N).tolist() == alone.choice(count, N).tolist()


def test_a_higher_relevance_goes_first_and_nan_gains_nothing():
    shares = [0.2, 0.8, np.nan, np.inf, -1.0]
    costs, options = np.tile([[1.0, 9.0]], (5, 1)), np.tile([[0.5, 0.9]], (5, 1))
    found = ladders(costs, options, shares, np.zeros((1, 5)))[0]
    assert found.cells.tolist() == [3, 1, 0, 3, 1, 0]
    assert found.gains == pytest.approx([0.5, 0.4, 0.1, 0.4, 0.32, 0.08])


def test_what_goes_first_is_no_gain():
    found = ladders(np.array([[1.0, 4.0]]), np.array([[0.7, 1.0]]), [1.0], np.array([[0.7]]))[0]
    assert (found.options.tolist(), found.bytes.tolist()) == ([1], [4.0])
    assert found.gains == pytest.approx([0.3])


def test_downsampling_costs_most_where_things_are_small():
    detail = Shown(np.ones((3, 3)), np.ones((3, 3)), (0.25, 0.5, 1.0))
    small, large, unknown = seen(detail, [12, 96, np.nan], needed_px=12)
    assert small.tolist() == [0.25, 0.5, 1.0]
    assert large.tolist() == unknown.tolist() == [1.0, 1.0, 1.0]


def test_small_things_are_judged_by_fine_detail():
    detail = Shown(np.full((2, 1), 0.9), np.full((2, 1), 0.2), (1.0,))
    small, large = seen(detail, [14, 80], needed_px=12)[:, 0]
    assert small < 0.3 < 0.9 < large


def test_little_is_gained_behind_enough_but_exact_samples_are_still_worth_something():
    detail = Shown(np.array([[0.4, 0.88, 0.99, 1.0]]), np.zeros((1, 4)), (1.0,) * 4)
    low, enough, near, exact = seen(detail, [np.nan])[0]
    assert low < 0.25 and enough > 0.99 - 0.01
    assert enough < near < exact == 1.0
    assert (exact - enough) / 0.12 < 0.1 * (enough - low) / 0.48


@pytest.mark.parametrize("costs", [np.zeros((2, 2)), np.full((2, 2), np.nan), np.ones((2, 3))])
def test_costs_without_sense_are_refused(costs):
    with pytest.raises(ConfigError):
        ladders(costs, np.ones((2, 2)), np.ones(2), np.zeros((1, 2)))
