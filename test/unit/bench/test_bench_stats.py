"""The statistics behind the benchmark's table, against values worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.figures import Figure, Outcome, as_json, figure_of, table
from bench.stats import slope_of, summarise, t95


def test_a_summary_is_median_and_quartiles():
    got = summarise([4.0, 1.0, 3.0, 2.0, 5.0])
    assert (got.n, got.low, got.median, got.high) == (5, 2.0, 3.0, 4.0)


def test_one_slow_sample_does_not_move_the_median():
    assert summarise([1.0, 1.0, 1.0, 1.0, 900.0]).median == 1.0


def test_nothing_cannot_be_summarised():
    with pytest.raises(ValueError, match="no values"):
        summarise([])


def test_an_exact_line_has_its_slope_and_no_interval():
    got = slope_of(range(100), [7.0 + 0.5 * x for x in range(100)], blocks=5)
    assert (got.value, got.low, got.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_interval_of_three_points_is_that_of_the_text_book():
    # x 0 1 2, y 0 2 1: slope 1/2, residuals -1/2 1 -1/2, error sqrt(1.5 / 1 / 2)
    got = slope_of([0, 1, 2], [0.0, 2.0, 1.0], blocks=3)
    assert got.value == pytest.approx(0.5)
    assert got.high - got.value == pytest.approx(12.706 * 0.75**0.5)


def test_the_interval_holds_the_true_slope_in_about_95_of_100_samples():
    random = np.random.default_rng(11)
    steps = np.arange(200)
    inside = 0
    for _ in range(400):
        got = slope_of(steps, 0.02 * steps + random.normal(0, 3, 200), blocks=8)
        inside += got.low <= 0.02 <= got.high
    assert 0.92 <= inside / 400 <= 0.98, "seed 11"


@pytest.mark.parametrize(("steps", "values", "blocks"), [(2, 2, 3), (9, 8, 3), (9, 9, 2)])
def test_too_little_for_a_line_is_refused(steps, values, blocks):
    with pytest.raises(ValueError, match="blocks"):
        slope_of(range(steps), [1.0] * values, blocks=blocks)


def test_quantiles_of_t_end_at_the_normal_one():
    assert (t95(6), t95(30), t95(31)) == (2.447, 2.042, 1.96)


@pytest.mark.parametrize(
    ("value", "limit", "at_least", "expected"),
    [
        (4.0, 5.0, False, 0.2),
        (6.0, 5.0, False, -0.2),
        (99.0, 90.0, True, 0.1),
        (81.0, 90.0, True, -0.1),
    ],
)
def test_distance_is_positive_on_the_good_side(value, limit, at_least, expected):
    row = Figure("x", value, "%", limit=limit, at_least=at_least)
    assert row.distance == pytest.approx(expected)


def test_what_was_not_measured_has_no_distance_and_says_so():
    row = Figure("x", None, "MB", limit=1200.0, note="no model")
    assert row.distance is None
    assert "not measured" in table([row])


def test_the_table_shows_value_spread_limit_and_distance_in_one_line():
    row = figure_of("overhead", summarise([2.0, 4.0, 3.0]), "%", limit=5.0)
    line = table([row]).splitlines()[1]
    assert line.split() == ["overhead", "3", "%", "2.5", "..", "3.5", "3", "<=", "5", "+40%"]


def test_json_of_an_outcome_holds_every_figure():
    outcome = Outcome((Figure("x", 1.0, "s", limit=2.0),), {"model": "m"})
    got = json.loads(json.dumps(as_json(outcome)))
    assert got["model"] == "m"
    assert (got["figures"][0]["name"], got["figures"][0]["distance"]) == ("x", 0.5)
