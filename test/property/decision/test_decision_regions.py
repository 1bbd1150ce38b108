"""Region allocation: a budget that holds, an order that follows relevance, windows that tile."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import validate
from eo_nodes.decision.regions import allocate, grid_for, merge, pool

WINDOW = (10, 20, 97, 61)
RELEVANCE = hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 9)),
                       elements=st.floats(0, 1))  # fmt: skip
GRIDS = st.tuples(st.integers(1, 8), st.integers(1, 8))
LEVEL = {"drop": 0, "downsample": 1, "keep": 2}


def cost(region):
    """Bytes as a codec would: pixels after scaling, and a head."""
    _, _, w, h = region.window
    return 50 + int(w * h * region.scale**2)


def run(relevance, grid=(6, 8), budget=None, **more):
    options = {"keep_at": 0.6, "drop_below": 0.2, "bytes_budget": budget, "estimate": cost}
    return allocate(relevance, WINDOW, grid, **{**options, **more})


def spent(regions):
    return sum(cost(r) for r in regions if r.action != "drop")


@settings(max_examples=150, deadline=None)
@given(RELEVANCE, GRIDS, st.integers(0, 20_000))
def test_never_over_the_budget(relevance, grid, budget):
    assert spent(run(relevance, grid, budget)) <= budget


@settings(max_examples=150, deadline=None)
@given(RELEVANCE, GRIDS, st.one_of(st.none(), st.integers(0, 20_000)))
def test_more_relevant_is_never_treated_worse(relevance, grid, budget):
    regions = run(relevance, grid, budget)
    ordered = sorted(regions, key=lambda r: r.relevance)
    for low, high in pairwise(ordered):
        if low.relevance < high.relevance:
            assert LEVEL[low.action] <= LEVEL[high.action]


@settings(max_examples=150, deadline=None)
@given(RELEVANCE, GRIDS, st.integers(0, 15_000), st.integers(0, 5_000))
def test_more_budget_takes_nothing_away(relevance, grid, budget, extra):
    small, large = run(relevance, grid, budget), run(relevance, grid, budget + extra)
    assert all(LEVEL[a.action] <= LEVEL[b.action] for a, b in zip(small, large, strict=True))


@settings(max_examples=100, deadline=None)
@given(RELEVANCE, GRIDS)
def test_regions_tile_the_window(relevance, grid):
    covered = np.zeros((61, 97), int)
    for region in run(relevance, grid):
        validate(region)
        x, y, w, h = region.window
        covered[y - 20 : y - 20 + h, x - 10 : x - 10 + w] += 1
    assert (covered == 1).all()


@settings(max_examples=100, deadline=None)
@given(RELEVANCE)
def test_raising_a_cells_relevance_never_lowers_it(relevance):
    before = run(relevance, relevance.shape, 3000)
    raised = relevance.copy()
    raised[0, 0] = 1.0
    after = run(raised, relevance.shape, 3000)
    assert LEVEL[after[0].action] >= LEVEL[before[0].action]


@settings(max_examples=100, deadline=None)
@given(RELEVANCE, GRIDS)
def test_merging_keeps_the_action_of_every_pixel(relevance, grid):
    pictures = []
    cells = run(relevance, grid)
    for regions in (cells, merge(cells)):
        picture = np.full((61, 97), -1)
        for region in regions:
            validate(region)
            x, y, w, h = region.window
            part = picture[y - 20 : y - 20 + h, x - 10 : x - 10 + w]
            assert (part == -1).all()
            part[:] = LEVEL[region.action]
        pictures.append(picture)
    assert np.array_equal(*pictures)
    assert len(merge(cells)) <= len(cells)


def test_a_window_kept_as_a_whole_becomes_one_region():
    (region,) = merge(run(np.ones((7, 7)), (4, 4)))
    assert (region.window, region.action, region.relevance) == (WINDOW, "keep", 1.0)


def test_grid_has_cells_of_about_32_pixels():
    assert grid_for((0, 0, 64, 64)) == (2, 2)
    assert grid_for((0, 0, 320, 256)) == (8, 8)
    assert grid_for((0, 0, 10, 100)) == (3, 1)


def test_thresholds_without_a_budget():
    regions = allocate([[0.1, 0.2, 0.59, 0.6]], (0, 0, 40, 10), (1, 4), keep_at=0.6,
                       drop_below=0.2, bytes_budget=None, estimate=cost)  # fmt: skip
    assert [(r.action, r.scale) for r in regions] == [
        ("drop", 0.0), ("downsample", 0.5), ("downsample", 0.5), ("keep", 1.0),
    ]  # fmt: skip


def test_other_prompt_sends_other_bytes():
    left, right = np.zeros((4, 4)), np.zeros((4, 4))
    left[:, :2], right[:, 2:] = 0.9, 0.9
    first, second = run(left, (4, 4), 4000), run(right, (4, 4), 4000)
    sent_first = {r.window for r in first if r.action != "drop"}
    sent_second = {r.window for r in second if r.action != "drop"}
    assert sent_first and sent_second and not sent_first & sent_second


def test_small_object_is_not_averaged_away():
    relevance = np.zeros((8, 8))
    relevance[5, 6] = 0.95
    assert pool(relevance, (2, 2)).tolist() == [[0, 0], [0, 0.95]]


def test_nan_is_no_relevance_and_small_windows_get_fewer_cells():
    assert all(r.action == "drop" for r in run(np.full((3, 3), np.nan)))
    regions = allocate(np.ones((8, 8)), (0, 0, 3, 2), (8, 8), keep_at=0.5, drop_below=0.1,
                       bytes_budget=None, estimate=cost)  # fmt: skip
    assert len(regions) == 6


@pytest.mark.parametrize(
    "more",
    [{"keep_at": 0.1}, {"drop_below": -0.1}, {"keep_at": 1.1}, {"downsample_scale": 1.0},
     {"grid": (0, 3)}, {"relevance": np.zeros((0, 3))}, {"relevance": np.zeros(3)}],
)  # fmt: skip
def test_wrong_arguments_are_refused(more):
    with pytest.raises(ConfigError):
        run(**{"relevance": np.ones((2, 2)), **more})
