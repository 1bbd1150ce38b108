"""Intervals over scenes: the same figure as without weights, and shares of gains by hand."""

import numpy as np
import pytest

from eo_nodes.lvlm import chances
from eo_sim.study import bootstrap
from eo_sim.study.bootstrap import Ordered, draw_scenes, interval, over_requests, ratio
from eo_sim.study.calibration import _drawn_position, _drawn_share, risk_coverage
from eo_sim.study.speed_table import speed_table
from eo_sim.study.standing import CAPPED, against, intervals, standing, standings

RANDOM = np.random.default_rng(3)
SCORE = np.round(RANDOM.uniform(size=150), 2)  # with equal ones
RIGHT = (RANDOM.uniform(size=150) < SCORE).astype(float)
ONCE = np.ones((1, 150))


def test_with_every_scene_once_each_figure_is_its_namesake():
    ordered = Ordered(SCORE)
    assert ordered.auroc(ONCE, RIGHT)[0] == pytest.approx(chances.auroc(SCORE, RIGHT))
    assert ordered.aurc(ONCE, RIGHT)[0] == pytest.approx(risk_coverage(SCORE, RIGHT)["aurc"])
    assert bootstrap.ece(ONCE, SCORE, RIGHT, 15)[0] == pytest.approx(
        chances.ece(SCORE, RIGHT, 15))
    assert bootstrap.mean(ONCE, (SCORE - RIGHT) ** 2)[0] == pytest.approx(
        chances.brier(SCORE, RIGHT))


def test_a_request_that_counts_twice_is_one_that_is_there_twice():
    twice = np.concatenate([np.arange(150), np.arange(50)])
    weights = np.ones((1, 150))
    weights[0, :50] = 2
    found = Ordered(SCORE).auroc(weights, RIGHT)[0]
    assert found == pytest.approx(chances.auroc(SCORE[twice], RIGHT[twice]))


def test_order_by_the_true_gain_is_at_one_and_one_that_says_nothing_at_zero():
    gain = RANDOM.choice([-1.0, 0.0, 1.0], size=150, p=[0.1, 0.5, 0.4])
    ideal = Ordered(gain)
    assert _drawn_position(ONCE, ideal, ideal, gain)[0] == pytest.approx(1)
    assert _drawn_position(ONCE, Ordered(np.zeros(150)), ideal, gain)[0] == pytest.approx(0)
    assert _drawn_share(ONCE, Ordered(np.zeros(150)), gain, 0.5)[0] == pytest.approx(0.5, abs=0.01)
    assert _drawn_share(ONCE, ideal, gain, 0.5)[0] > 1


def test_only_scenes_that_are_there_are_drawn():
    draws = draw_scenes(np.array([True, False, True, True]), 200, 5)
    assert (draws[:, 1] == 0).all() and (draws.sum(axis=1) == 3).all()
    assert np.array_equal(draws, draw_scenes(np.array([True, False, True, True]), 200, 5))


def test_an_interval_has_the_width_of_what_scenes_differ_by():
    scene = np.repeat(np.arange(100), 5)
    value = np.repeat(RANDOM.normal(size=100), 5)  # five requests on a scene are no five scenes
    draws = draw_scenes(np.ones(100, bool), 2000, 1)
    low, high = over_requests(lambda w: bootstrap.mean(w, value), draws, scene)
    assert high - low == pytest.approx(2 * 1.96 * value.std() / 10, rel=0.15)
    sums = np.bincount(scene, value)
    assert interval(ratio(sums, np.full(100, 5.0), draws)) == pytest.approx([low, high])


def test_what_no_draw_holds_has_no_interval():
    assert np.isnan(interval(ratio(np.zeros(3), np.zeros(3), np.ones((4, 3))))).all()


def sums(final, *, offloaded=0.0, there=0.9, scenes=20):
    n = np.full(scenes, 4.0)
    return {"n": n, "final": n * final, "10": n * final / 2, "latency_s": n * 60 * (1 + final),
            "bytes": n * 100 * (1 + offloaded), "missed": n * 0.1, "offloaded": n * offloaded,
            "there": n * there}  # fmt: skip


KNOWN = {
    "satellite_only": sums(0.5), "ground_only_raw": sums(0.3), "random_offload": sums(0.6),
    "ground_only_compressed": sums(0.8), "oracle": sums(0.85), "ours": sums(0.75, offloaded=0.6),
    CAPPED: sums(0.74, offloaded=0.5),
}  # fmt: skip
DRAWS = draw_scenes(np.ones(20, bool), 50, 2)


def test_share_of_the_gain_and_position_by_hand():
    found = standing(KNOWN, DRAWS, 0.5)
    share = found["share_of_gain"]
    assert share["ground_only_compressed"]["value"] == pytest.approx(0.25 / 0.30)
    assert share["unlimited link"]["value"] == pytest.approx(0.25 / 0.40)
    assert found["position"]["value"] == pytest.approx(0.15 / 0.25)
    assert found["position"]["ci95"] == pytest.approx([0.6, 0.6])
    assert found["offloaded"]["value"] == pytest.approx(0.6)


def test_the_limit_asks_for_both_the_share_and_the_cap():
    near = KNOWN | {"ours": sums(0.79, offloaded=0.6)}
    of = "ground_only_compressed"
    assert not standing(near, DRAWS, 0.5)["share_of_gain"][of]["is_reached"]
    assert standing(near, DRAWS, 0.6)["share_of_gain"][of]["is_reached"]
    assert not standing(KNOWN, DRAWS, 0.6)["share_of_gain"][of]["is_reached"]


def test_where_asking_always_gains_nothing_there_is_no_share():
    crowded = KNOWN | {"ground_only_compressed": sums(0.4)}
    found = standing(crowded, DRAWS, 0.5)["share_of_gain"]["ground_only_compressed"]
    assert found["value"] is None and "-10.0 points" in found["why"]
    assert found["is_reached"] is False


def test_ours_is_shown_as_tuned_and_capped_where_both_were_replayed():
    rows = standings({(30.0, "busy"): KNOWN, (20.0, "idle"): {"ours": KNOWN["ours"]}}, DRAWS, 0.5)
    assert [(r["policy"], r["rate_mbps"]) for r in rows] == [("ours", 30.0), (CAPPED, 30.0)]
    assert "position" in rows[0] and "position" not in rows[1]


def test_a_row_has_intervals_of_all_and_of_each_group():
    row = sums(0.5) | {"n sar": np.array([4.0] + [0.0] * 19), "final sar": np.zeros(20)}
    found = intervals(row, DRAWS)
    assert found["accuracy"]["all"]["final"] == pytest.approx([0.5, 0.5])
    assert found["accuracy"]["sar"]["final"] == [0.0, 0.0]
    assert found["deadline_misses"] == pytest.approx([0.1, 0.1])
    assert found["latency_mean_s"] == pytest.approx([90, 90])


def test_the_difference_to_ours_is_paired():
    rough = RANDOM.uniform(0.2, 0.8, 20)
    other, ours = sums(rough), sums(rough + 0.1)
    found = against(other, ours, DRAWS)
    assert found["final"]["value"] == pytest.approx(10)
    assert found["final"]["ci95"] == pytest.approx([10, 10]), "scenes differ, the difference not"
    assert set(found) == {"final", "10", "latency_mean_s_percent", "down_bytes_each_percent"}


def test_speed_counts_requests_of_both_consumers_and_days_of_all_satellites():
    class World:
        satellites, hours = ("a", "b"), 12.0

    rows = [{"policy": name, "replay_s": spent, "figures": {"n": 900, "onboard": {"n": 100}}}
            for name, spent in (("slow", 2.0), ("quick", 0.5), ("slow", 2.0))]
    found = speed_table(rows, World())
    slow, quick = found["policies"]
    assert (slow["policy"], slow["requests_per_s"], slow["satellite_days_per_s"]) == (
        "slow", 500, 0.5)
    assert quick["satellite_days_per_s"] == 2
    assert not found["is_reached"]
