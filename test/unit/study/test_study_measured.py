"""Limits in one list, kept regions by digest, growth of the replay, compute beside the model.
"""

import copy
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from made_heads import put_heads
from study_trace import made_trace

from eo_nodes.decision.heads import read_heads
from eo_nodes.lvlm.manifest import answers_digest, read_manifest
from eo_sim.study.config import load_config
from eo_sim.study.errors import StudyError
from eo_sim.study.goals import MISSED, NOT_MEASURED, REACHED, goals
from eo_sim.study.kept import kept_regions
from eo_sim.study.measured import compute
from eo_sim.study.overhead import SCENES, Overhead, Round, compute_table, overhead
from eo_sim.study.page_measured import goals as goals_page
from eo_sim.study.page_measured import kept as kept_page
from eo_sim.study.speed import carried_load
from eo_sim.study.speed_table import growth_of

ROOT = Path(__file__).parents[3]
TINY = ROOT / "test" / "data" / "lvlm" / "tiny_unified"
NONE = {"value": None, "ci95": None}


# -- kept regions --------------------------------------------------------------------------------


def held(percent, low, high, lost=None):
    row = {"held_percent": percent, "ci95": [low, high], "by_size": {"0-12 px": percent, "48- px":
           None}, "by_size_ci95": {"0-12 px": [low, high], "48- px": [None, None]},
           "share_of_budget": 0.9}  # fmt: skip
    points = {"points": lost, "low": lost - 1, "high": lost + 1} if lost is not None else None
    return row | ({"points_lost": points} if points else {})


@pytest.fixture
def folders(tmp_path):
    found = {name: tmp_path / name for name in ("compact", "regular")}
    for folder in found.values():
        shutil.copytree(TINY, folder)
    return found


def digests_of(folders):
    return {name: read_manifest(folder).digest for name, folder in folders.items()}


def written(path, models):
    raw = {"ours": held(85.0, 81, 89, 1.5), "wrong prompt": held(60.0, 50, 80.9)}
    exact = {"ours": held(70.0, 60, 80, 2.5), "wrong prompt": held(65.0, 50, 75)}
    path.write_text(json.dumps({
        "command": "measure --it", "models": models, "split": "test", "share": 0.05, "scenes": 9,
        "cells": ["made.ship"], "tables": {"raw": raw, "exact": exact}}))  # fmt: skip
    return path


def test_kept_regions_are_shown_for_the_models_that_they_were_measured_with(tmp_path, folders):
    models = {name: answers_digest(folder) for name, folder in folders.items()}
    file = written(tmp_path / "regions.json", models)
    found = kept_regions(file, digests_of(folders), folders)
    assert found["limits"] == {
        "raw": {"held": True, "points_lost": True, "wrong_is_worse": True},
        "exact": {"held": False, "points_lost": False, "wrong_is_worse": False}}  # fmt: skip
    text = "\n".join(kept_page({"kept_regions": found}))
    assert f"Measured by `measure --it`, models compact {models['compact'][:12]}" in text
    assert "| ours | 85.0 [81.0, 89.0] | 85 [81, 89] | - | 90.0 | 1.5 [0.5, 2.5] |" in text


def test_what_the_regular_model_answered_needs_that_model(tmp_path, folders):
    models = {"compact": answers_digest(folders["compact"]), "regular": "0" * 64}
    found = kept_regions(written(tmp_path / "f", models), digests_of(folders), folders)
    assert found["is_measured"] and "points_lost" not in found["tables"]["raw"]["ours"]
    assert found["limits"]["raw"] == {"held": True, "points_lost": None, "wrong_is_worse": True}
    assert "lost: not measured" in "\n".join(kept_page({"kept_regions": found}))


def test_without_a_file_or_of_other_weights_nothing_is_shown_and_nothing_fails(tmp_path, folders):
    digests = digests_of(folders)
    models = {name: answers_digest(folder) for name, folder in folders.items()}
    other = written(tmp_path / "other", models | {"compact": "0" * 64})
    good = written(tmp_path / "good", models)
    for file, given in ((None, digests), (tmp_path / "none", digests), (other, digests),
                        (good, digests | {"compact": "1" * 64})):  # fmt: skip
        found = kept_regions(file, given, folders)
        assert not found["is_measured"] and "not measured for these models" in found["why"]
        text = "\n".join(kept_page({"kept_regions": found}))
        assert "training.evaluation.regions" in text and "85.0" not in text


def test_a_new_calibration_leaves_kept_regions_as_they_are(tmp_path, folders):
    models = {name: answers_digest(folder) for name, folder in folders.items()}
    before = digests_of(folders)
    put_heads(folders["compact"])
    after = digests_of(folders)
    assert before["compact"] != after["compact"]
    assert kept_regions(written(tmp_path / "f", models), after, folders)["is_measured"]


def test_a_broken_file_is_named(tmp_path, folders):
    file = written(tmp_path / "regions.json", {})
    tree = json.loads(file.read_text())
    del tree["tables"]["exact"]["wrong prompt"]
    file.write_text(json.dumps(tree))
    with pytest.raises(StudyError, match=r"regions\.json.*wrong prompt"):
        kept_regions(file, digests_of(folders), folders)


# -- speed ---------------------------------------------------------------------------------------


@dataclass
class Timed:
    requests: int
    days: float
    cpu_s: float
    peak_mb: float


def test_growth_is_linear_and_flat_or_says_so():
    rows = [Timed(1000, 2.0, 1.0, 100.0), Timed(10_000, 20.0, 10.5, 110.0)]
    steep = [Timed(1000, 2.0, 1.0, 100.0), Timed(10_000, 20.0, 21.0, 180.0)]
    found = growth_of("light", {"ours": (rows, ""), "steep": (steep, "left out"),
                                "one": (rows[:1], "left out")})["policies"]  # fmt: skip
    told = {k: (v["is_fast"], v["is_linear"], v["is_flat"]) for k, v in found.items()}
    assert told == {"ours": (True, True, True), "steep": (False, False, False),
                    "one": (True, None, None)}  # fmt: skip
    assert found["ours"]["cost_ratio"] == pytest.approx(1.05)
    assert found["ours"]["days_per_s"] == pytest.approx(20 / 10.5)
    assert found["steep"]["more_mb"] == 80 and found["steep"]["skipped"] == "left out"


def test_speed_is_measured_at_a_load_that_contacts_carry():
    assert carried_load(load_config(ROOT / "config" / "study.yaml")) == "light"


# -- compute -------------------------------------------------------------------------------------


def test_compute_is_confidence_and_planning_over_the_model():
    rounds = {"a": [Round(1.0, 0.02, 0.04, 0.5, 1000)], "b": [Round(2.0, 0.04, 0.2, 1.0, 3000)]}
    later = {"a": [Round(1.0, 0.01, 0.02, 0.3, 100)]}
    found = compute_table(Overhead("m", "d", 20, rounds, later))
    assert found["both_further"]["value"] == pytest.approx(0.03)
    assert found["both"]["value"] == pytest.approx((0.06 + 0.12) / 2)
    assert found["is_reached"] and found["heads_operations"] == pytest.approx(0.01)
    slow = {"a": [Round(1.0, 0.02, 0.09, 0.5, 1000)]}
    assert not compute_table(Overhead("m", "d", 20, slow, later))["is_reached"]


def test_compute_is_measured_of_the_model_of_the_trace_alone(folders):
    trace = made_trace(chips=10)
    assert compute(trace, folders["compact"])["is_measured"] is False
    put_heads(folders["compact"])
    found = overhead(folders["compact"], rounds=1)
    assert found.heads_macs == read_heads(folders["compact"]).macs > 0
    assert len(found.every()) == len(SCENES)
    assert all(r.model_s > 0 and r.macs > 0 and r.plan_s > 0 for r in found.every())


# -- limits --------------------------------------------------------------------------------------


def figure(value, low, high):
    return {"value": value, "ci95": [low, high], "baseline": "x"}


def standing(rate, value, *, is_reached):
    return {"rate_mbps": rate, "load": "busy", "policy": "ours", "offloaded": {"value": 0.4},
            "limits": {"share": 0.9, "offloaded": 0.5},
            "share_of_gain": {
                "ground_only_raw": {"value": value, "ci95": [0.8, 1.0], "is_reached": is_reached},
                "unlimited link": {"value": None, "ci95": None, "is_reached": False}}}  # fmt: skip


def score(stage):
    return {"group": "all", "stage": stage, "ece": 0.04, "auroc": 0.69, "brier": 0.2,
            "brier_base": 0.24, "ci95": {k: [0, 1] for k in ("ece", "auroc", "brier")},
            "is_reached": {"ece": True, "auroc": stage == "tap 1", "brier": True}}  # fmt: skip


TABLE = {
    "headline": {
        "equal_bytes_points": {"value": None, "ci95": None, "baseline": None, "why": "none"},
        "within_deadline_points": {"10": figure(3.0, -1.0, 5.0), "30": figure(3.0, 1.0, 5.0)},
        "equal_accuracy_latency_percent": figure(-2.0, -3.0, -1.0)},
    "paper_style": {"accuracy_gain_percent": figure(31.3, 20, 40),
                    "latency_reduction_percent": figure(51.1, 40, 60)},
    "headline_load": "busy", "has_heads": True,
    "standing": [standing(20, 0.95, is_reached=True), standing(30, 0.91, is_reached=True)],
    "scores": [score("tap 1"), score("end")],
    "ranking": [{"target": target, "stage": "end", "share_at_cap": 0.89,
                 "ci95": {"share_at_cap": [0.8, 0.95]}} for target in ("correct", "gain")],
    "kept_regions": {"is_measured": False, "why": "not measured for these models (no file)"},
    "levels": [{"name": "regions_1_20", "points_lost": 1.5, "is_reached": True,
                "ci95": {"points_lost": [1.0, 2.0]}}, {"name": "lossy", "points_lost": 9}],
    "early_stop": {"is_reached": True, "tolerance": 0.005, "points_lost": {"value": 0.1},
                   "classes": [{"tokens": "8 and more", "offloaded": 9, "decode_steps_saved": 0.6,
                                "flops_saved": 0.1, "ci95": {"decode_steps_saved": [0.5, 0.7]}}]},
    "compute": {"is_measured": True, "has_heads": True, "both": {"value": 0.14},
                "is_reached": False},
    "speed": {"limit_days_per_s": 1.0, "is_reached": True,
              "policies": [{"policy": "ours", "satellite_days_per_s": 1.2}]},
    "growth": growth_of("light", {"ours": ([Timed(10, 2.0, 1.0, 100.0)], "left out")}),
    "recomputed": 30,
    "idle": {"best": "ours", "final_accuracy": {"ours": 0.7}, "sending_everything_wins": True},
    "machine": {"seconds": 1801.0, "cores": 2, "load": 0.4},
}  # fmt: skip


def outcomes(table):
    return {row["figure"]: row["outcome"] for row in goals(table)}


def test_each_figure_is_held_to_its_limit():
    told = outcomes(TABLE)
    expected = {
        "headline: accuracy at equal bytes": NOT_MEASURED,
        "headline: accuracy within 10 min": MISSED,  # the interval holds zero
        "headline: accuracy within 30 min": REACHED,
        "headline: time saved at equal accuracy": MISSED,
        "paper style: accuracy gain": REACHED, "paper style: latency reduction": MISSED,
        "ours: share of what always asking gains, same link, lowest of the rates": REACHED,
        "ours: share of what always asking gains, unlimited link, lowest of the rates":
            NOT_MEASURED,
        "share of what always asking gains, half asked in the order of the gain head": MISSED,
        "ECE, tap 1": REACHED, "AUROC, tap 1": REACHED, "AUROC, tap 2": NOT_MEASURED,
        "AUROC, end": MISSED, "Brier, end": REACHED,
        "named instances held, at 1/20 of its raw bytes": NOT_MEASURED,
        "regular model's points lost on the trace, regions_1_20": REACHED,
        "confidence and planning beside the compact model's compute": MISSED,
        "replay of the table, slowest policy, satellite-days a second": REACHED,
        "requests asked again of both models, no difference": REACHED,
        "the study itself": MISSED,
    }  # fmt: skip
    assert {name: told.get(name) for name in expected} == expected
    assert not any("lossy" in name for name in told)
    assert {told[k] for k in told if "peak memory" in k or "time a request" in k} == {NOT_MEASURED}


def test_one_rate_that_misses_its_share_is_not_hidden_by_another():
    table = copy.deepcopy(TABLE)
    table["standing"][1]["share_of_gain"]["ground_only_raw"] |= {"value": 0.7, "is_reached": False}
    row = next(r for r in goals(table) if "same link" in r["figure"])
    assert (row["outcome"], row["value"]) == (MISSED, pytest.approx(70))
    assert "30 Mbit/s" in row["note"]


def test_a_number_that_is_none_is_never_reached():
    table = copy.deepcopy(TABLE)
    table["early_stop"]["classes"][0] |= {"decode_steps_saved": float("nan"), "offloaded": 0}
    table["recomputed"] = 0
    table["growth"]["policies"] = {}
    told = outcomes(table)
    assert told["replay, cost and memory from 10,000 requests on"] == NOT_MEASURED
    assert told["requests asked again of both models, no difference"] == NOT_MEASURED
    assert [v for k, v in told.items() if k.startswith("decode steps")] == [NOT_MEASURED]


def test_the_page_lists_all_limits_with_their_outcomes():
    rows = goals(TABLE)
    text = "\n".join(goals_page({"limits": rows}))
    assert text.count("\n| ") == len(rows) + 1
    assert "| paper style: accuracy gain | 31.3 % [20.0, 40.0] | at least 31.2 | reached |" in text
    assert f"{sum(r['outcome'] == MISSED for r in rows)} missed" in text
