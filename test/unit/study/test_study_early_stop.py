"""What stopping early saves, by hand and on made-up traces."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from study_trace import made_trace

from eo_sim.study.bootstrap import draw_scenes
from eo_sim.study.early_stop import CLASSES, Gate, early_stop

TRACE = made_trace(chips=120)
LOSSLESS = TRACE.level("lossless")
GAIN = 2
DRAWS = draw_scenes(np.ones(len(TRACE.names["scenes"]), bool), 30, 1)


def with_columns(**columns):
    return replace(TRACE, columns={**TRACE.columns, **columns})


def knowing(noise):
    """A trace whose gain head knows the true gain, but for some noise at each tap."""
    random = np.random.default_rng(1)
    scores = TRACE["scores"].copy()
    true = TRACE["regular_quality"][:, LOSSLESS] - TRACE["compact_quality"]
    for tap, scale in enumerate(noise):
        scores[:, tap, GAIN] = true + random.normal(scale=scale, size=len(TRACE))
    return with_columns(scores=scores)


def test_a_gate_stops_at_the_first_tap_that_passes():
    gain = np.array([[0.9, 0.9, 0.9], [0.1, 0.9, 0.1], [0.1, 0.9, 0.9], [0.1, 0.1, 0.1]])
    goes_on = np.array([True, True, False, True])
    assert Gate((0.5, 0.5, 0.5)).stops(gain, goes_on).tolist() == [1, 2, 3, 0]
    assert Gate((np.inf, np.inf, 0.5)).stops(gain, goes_on).tolist() == [3, 0, 3, 0]


def test_where_the_first_tap_knows_all_no_token_is_decoded():
    found = early_stop(knowing((0.05, 0.05, 0.05)), LOSSLESS, 0.5, 0.0, DRAWS)
    assert found["accuracy"]["progressive"] == pytest.approx(
        found["accuracy"]["end_only"], abs=0.01)
    every = found["classes"][0]
    assert every["decode_steps_saved"] > 0.9
    # 2e9 operations to the first tap, 1e8 a token and 3e8 behind it: by the table of the trace.
    test = TRACE.rows("test")
    whole = TRACE["compact_flops"][test, 2].mean()
    assert every["flops_saved"] == pytest.approx(1 - 2e9 / whole, abs=0.1)
    assert sum(row["n"] for row in found["classes"][1:]) == every["n"] == len(test)
    assert [row["tokens"] for row in found["classes"]] == ["all", *(name for name, _, _ in CLASSES)]


def test_where_early_taps_know_nothing_nothing_is_lost_by_them():
    found = early_stop(knowing((9.0, 9.0, 0.05)), LOSSLESS, 0.3, 0.0, DRAWS)
    every = found["classes"][0]
    assert every["at_tap"][2] > 0.8 * every["offloaded"]
    assert found["accuracy"]["progressive"] == pytest.approx(
        found["accuracy"]["end_only"], abs=0.03)


def test_answers_that_end_at_the_second_tap_never_stop_there():
    flops = TRACE["compact_flops"].copy()
    flops[:, 1] = flops[:, 2]
    trace = with_columns(compact_flops=flops)
    found = early_stop(trace, LOSSLESS, 0.5, 0.01, DRAWS)
    assert all(row["at_tap"][1] == 0 for row in found["classes"])


def test_cut_offs_come_from_val_alone():
    spoilt = {name: TRACE[name].copy() for name in ("compact_quality", "regular_quality", "scores")}
    test = TRACE.rows("test")
    spoilt["compact_quality"][test] = 1 - spoilt["compact_quality"][test]
    spoilt["scores"][test] = 0.5
    one, two = (early_stop(t, LOSSLESS, 0.5, 0.005, DRAWS) for t in (TRACE, with_columns(**spoilt)))
    assert one["cuts"] == two["cuts"]
    assert one["accuracy"] != two["accuracy"]
    assert one["offloaded"]["end_only"] == pytest.approx(0.5, abs=0.06)
