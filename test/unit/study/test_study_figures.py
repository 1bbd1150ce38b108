"""Scores, search, headline figures, the whole table on a made-up trace, and a user's policy."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from study_trace import made_trace

from eo_nodes.contracts.errors import ConfigError
from eo_sim.study import __main__ as command
from eo_sim.study.calibration import (
    auroc,
    brier,
    by_score,
    ece,
    ranking,
    risk_coverage,
    scores_table,
)
from eo_sim.study.config import load_config, parse_config
from eo_sim.study.errors import StudyError
from eo_sim.study.figures import Point, figures
from eo_sim.study.fits import fit, isotonic
from eo_sim.study.ours import ablations, ours
from eo_sim.study.plots import Series, plot, ticks
from eo_sim.study.policies import baselines
from eo_sim.study.policy import Policy, Setting
from eo_sim.study.report import page, write
from eo_sim.study.run import Study
from eo_sim.study.trace import save_trace
from eo_sim.study.tune import Trial, curve, draw_settings
from eo_sim.study.user import load_policy

ROOT = Path(__file__).parents[3]
CONFIG = load_config(ROOT / "config" / "study.yaml")
TRACE = made_trace(chips=30)

# -- scores --------------------------------------------------------------------------------------


def test_calibration_figures_by_hand():
    right = np.array([0.0, 1.0, 0.0, 1.0])
    assert ece(np.array([0.5, 0.5, 0.5, 0.5]), right, 1) == 0
    assert ece(np.array([0.0, 1.0, 0.0, 1.0]), right, 4) == 0
    assert ece(np.array([1.0, 0.0, 1.0, 0.0]), right, 4) == 1
    assert brier(np.array([0.5] * 4), right) == 0.25
    assert auroc(np.array([0.1, 0.9, 0.2, 0.8]), right > 0.5) == 1
    assert auroc(np.array([0.5] * 4), right > 0.5) == 0.5
    assert auroc(np.array([0.9, 0.1, 0.2, 0.8]), right > 0.5) == 0.25
    assert np.isnan(auroc(np.array([0.1, 0.2]), np.array([True, True])))


def test_risk_coverage_by_hand():
    found = risk_coverage(np.array([0.9, 0.8, 0.1, 0.0]), np.array([1.0, 1.0, 0.0, 0.0]), 2)
    assert found["risk"][-1] == 0.5
    assert found["aurc"] == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)


def test_order_among_equal_scores_says_nothing():
    score = np.array([0.5, 0.5, 0.5, 0.5])
    one = risk_coverage(score, np.array([1.0, 1.0, 0.0, 0.0]))
    two = risk_coverage(score, np.array([0.0, 0.0, 1.0, 1.0]))
    assert one["aurc"] == two["aurc"] == 0.5
    assert by_score(np.array([0.1, 0.9, 0.9]), np.array([3.0, 1.0, 2.0])).tolist() == [1.5, 1.5, 3]


@pytest.mark.parametrize("rising", [True, False])
def test_isotonic_fit_is_monotone_and_keeps_the_mean(rising):
    random = np.random.default_rng(3)
    x = random.uniform(size=400)
    y = (random.uniform(size=400) < (x if rising else 1 - x)).astype(float)
    line = isotonic(x, y, rising=rising)
    steps = np.diff(line(np.linspace(0, 1, 200)))
    assert (steps >= -1e-12).all() if rising else (steps <= 1e-12).all()
    assert line(x).mean() == pytest.approx(y.mean(), abs=0.03)


def test_fits_do_not_see_the_test_split():
    spoilt = {k: v.copy() for k, v in TRACE.columns.items()}
    test = TRACE.rows("test")
    for name in ("compact_quality", "regular_quality"):
        spoilt[name][test] = 1 - spoilt[name][test]
    one, two = (fit(t, 1) for t in (TRACE, replace(TRACE, columns=spoilt)))
    assert np.array_equal(one.correct, two.correct)
    assert np.array_equal(one.retention, two.retention)
    assert np.array_equal(one.gains["gain"], two.gains["gain"])


def test_an_answer_that_is_complete_at_the_second_tap_has_no_score_there():
    long = made_trace(chips=150)
    columns = dict(long.columns)
    flops, scores = columns["compact_flops"].copy(), columns["scores"].copy()
    short = np.arange(len(long)) % 2 == 0
    flops[short, 2] = flops[short, 1]
    scores[short, 1] = 0.999  # a head that was never meant to see it
    trace = replace(long, columns=columns | {"compact_flops": flops, "scores": scores})
    found = fit(trace, 1)
    assert np.array_equal(found.correct[short, 1], found.correct[short, 2])
    assert found.quantiles["correct2"][-1] < 0.999
    counts = {r["stage"]: r["n"] for r in scores_table(trace, found, 15) if r["group"] == "all"}
    assert counts["tap 2"] == int((~short)[trace.rows("test")].sum()) < counts["end"]


def test_oracle_ranking_bounds_every_head_and_random_is_zero():
    rows = ranking(TRACE, fit(TRACE, 1), 1, 0.5)
    oracle = rows[0]
    assert oracle["position"] == 1
    assert all(r["position"] <= 1 for r in rows)
    assert all(max(r["accuracy"]) <= max(oracle["accuracy"]) + 1e-9 for r in rows)
    # All curves end where everything is asked of the ground.
    assert len({round(r["accuracy"][-1], 9) for r in rows}) == 1


# -- search --------------------------------------------------------------------------------------


def test_every_policy_gets_the_same_number_of_trials():
    for policy in (*baselines(TRACE), ours(), *ablations()):
        settings = draw_settings(policy, 16, 1)
        total = np.prod([len(v) for v in policy.space.values()])
        assert len(settings) == min(16, total), policy.name
        assert len({s.label() for s in settings}) == len(settings)
        assert draw_settings(policy, 16, 1) == settings
    assert draw_settings(ours(), 16, 1) != draw_settings(ours(), 16, 2)


def test_curve_keeps_the_best_and_the_fronts():
    def trial(name, objective, accuracy, size, latency):
        return Trial(Setting({"name": name}), objective, accuracy, size, latency)

    trials = [trial("best", 0.9, 0.8, 50, 9), trial("cheap", 0.3, 0.5, 10, 9),
              trial("beaten", 0.4, 0.4, 60, 10), trial("quick", 0.2, 0.3, 70, 1)]  # fmt: skip
    kept = [s["name"] for s in curve(trials, 5)]
    assert kept[0] == "best"
    assert set(kept) == {"best", "cheap", "quick"}


# -- headline ------------------------------------------------------------------------------------


def point(name, role, *, final, latency, size, scenes=40, is_tuned=True):
    n = np.full(scenes, 10.0)
    sums = {"n": n, "final": n * final, "latency_s": n * latency, "bytes": n * size,
            "10": n * final / 4, "30": n * final / 2, "90": n * final}  # fmt: skip
    return Point(name, role, "as it is", is_tuned, sums)


def test_headline_figures_by_hand():
    points = [
        point("ours", "ours", final=0.80, latency=1000, size=100),
        point("ours", "ours", final=0.75, latency=600, size=80, is_tuned=False),
        point("tabi_style", "baseline", final=0.70, latency=2000, size=90),
        point("satellite_only", "baseline", final=0.50, latency=1500, size=1),
        point("ground_only_raw", "baseline", final=0.72, latency=4000, size=500),
        point("oracle", "bound", final=0.95, latency=500, size=50),
    ]
    found = figures(points, CONFIG.figures)
    head = found["headline"]
    equal = head["equal_bytes_points"]
    assert (equal["baseline"], round(equal["value"], 6)) == ("tabi_style", 10)
    assert equal["ci95"] == pytest.approx([10, 10])
    within = head["within_deadline_points"]
    assert within["10"]["value"] == pytest.approx(100 * (0.80 - 0.72) / 4)
    cut = head["equal_accuracy_latency_percent"]
    # The most accurate baseline has 0.72 after 4000 s; ours reaches that in 600 s.
    assert (cut["baseline"], round(cut["value"], 6)) == ("ground_only_raw", 85)
    paper = found["paper_style"]
    wanted = np.mean([100 * (0.8 / x - 1) for x in (0.7, 0.5, 0.72)])
    assert paper["accuracy_gain_percent"]["value"] == pytest.approx(wanted)
    assert set(head) == {"equal_bytes_points", "within_deadline_points",
                         "equal_accuracy_latency_percent"}  # fmt: skip


def test_a_figure_that_cannot_be_formed_says_why():
    points = [point("ours", "ours", final=0.5, latency=10, size=1),
              point("tabi_style", "baseline", final=0.7, latency=20, size=9)]  # fmt: skip
    head = figures(points, CONFIG.figures)["headline"]
    assert head["equal_bytes_points"]["value"] is None
    assert "as few bytes" in head["equal_bytes_points"]["why"]
    assert "reaches 70.0 %" in head["equal_accuracy_latency_percent"]["why"]


def test_intervals_hold_what_differs_between_scenes():
    n = np.full(60, 5.0)
    better = np.where(np.arange(60) < 45, 1.0, -1.0) * 0.2
    mine = {"n": n, "final": n * (0.5 + better), "latency_s": n, "bytes": n,
            **dict.fromkeys(("10", "30", "90"), n)}  # fmt: skip
    other = {**mine, "final": n * 0.5}
    found = figures([Point("ours", "ours", "", True, mine),
                     Point("tabi_style", "baseline", "", True, other)], CONFIG.figures)  # fmt: skip
    low, high = found["headline"]["equal_bytes_points"]["ci95"]
    assert low < 10 < high
    assert 0 < low < 8 and 12 < high < 20


# -- the whole of it -----------------------------------------------------------------------------

SMALL = replace(
    CONFIG,
    world=replace(CONFIG.world, satellites=("sentinel_2a",), hours=4.0, drain_hours=2.0,
                  rates_mbps=(30.0,)),
    workload=replace(CONFIG.workload, loads={"idle": 0.02, "busy": 2.0}, scene_px=300_000,
                     replayed_a_day=2500.0),
    tune=replace(CONFIG.tune, trials=2, hours=2.0, satellites=("sentinel_2a",), curve_points=2),
    figures=replace(CONFIG.figures, bootstrap=40),
)  # fmt: skip
POLICY = """
from eo_sim.study.policy import answer, offload, proceed
NAME = "mine"
FIRST_STAGE = 2
SPACE = {"bar": (0.3, 0.6)}
def decide(view, link, setting):
    if view.correct >= setting["bar"]:
        return answer()
    if link.eta_s(view.bytes("lossy")) < view.left_s:
        return offload(view, "lossy")
    return proceed()
"""


def test_table_page_and_plots_with_a_policy_of_the_user(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(POLICY)
    study = Study(TRACE, SMALL, ROOT / "config" / "mission")
    table = study.table([load_policy(file)], with_ablations=False)
    path = write(table, tmp_path / "out")
    read = json.loads((tmp_path / "out" / "table.json").read_text())
    assert {"headline", "paper_style", "rows", "scores", "ranking", "idle"} <= set(read)
    assert read["paper_style"]["published"]["accuracy_gain_percent"] == 31.2
    assert "mine" in {r["policy"] for r in read["rows"]}
    text = path.read_text()
    assert text.count("| mine |") >= 2 and "### Paper style" in text
    assert len(list((tmp_path / "out").glob("*.svg"))) == 7
    budget = [r for r in read["rows"] if r["rate_mbps"] == 0]
    assert budget, "the rates of the link budget are replayed too"
    rate = {r["policy"]: r["figures"]["offloaded"] for r in read["rows"]
            if r["load"] == "busy" and r["rate_mbps"] == 30 and r["is_tuned"]}  # fmt: skip
    assert rate["random_offload"] == pytest.approx(rate["ours"], abs=0.05)
    assert page(table) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [("x = 1", "no function decide"), ("def decide(a): pass", "takes 1 arguments"),
     ("raise ValueError('oh')", "ValueError: oh"),
     ("FIRST_STAGE = 7\ndef decide(a, b): pass", "FIRST_STAGE")],
)  # fmt: skip
def test_policy_files_that_do_not_fit_are_refused(tmp_path, text, words):
    file = tmp_path / "p.py"
    file.write_text(text)
    with pytest.raises(StudyError, match=words):
        load_policy(file)
    with pytest.raises(StudyError, match="no such policy file"):
        load_policy(tmp_path / "none.py")


def test_without_a_trace_the_command_says_how_to_make_one(tmp_path, capsys):
    assert command.main(["--trace", str(tmp_path / "none.npz")]) == 1
    said = capsys.readouterr().err
    assert "there is no trace" in said and "make trace DATA=DIR" in said


def test_a_trace_of_other_models_is_not_replayed_as_if_it_were_theirs(tmp_path, capsys):
    path = tmp_path / "trace.npz"
    save_trace(TRACE, path)
    assert command.main(["--trace", str(path)]) == 1
    assert "no request on a chip of the tree" in capsys.readouterr().err


def test_configuration_names_the_wrong_key():
    import yaml

    tree = yaml.safe_load((ROOT / "config" / "study.yaml").read_text())
    tree["world"]["loss"] = 2
    with pytest.raises(ConfigError, match=r"world.loss: 2 is outside"):
        parse_config(tree, "study.yaml")
    del tree["world"]["loss"]
    with pytest.raises(ConfigError, match="lacks loss"):
        parse_config(tree, "study.yaml")


def test_plots_say_when_there_is_nothing_and_escape_names():
    assert "no data" in plot("t", "x", "y", [Series("a", [], [])])
    assert "<b>" not in plot("<b>", "x", "y", [Series("<b>", [1, 2], [3, 4])])
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]


def test_policy_roles_are_known():
    for policy in (*baselines(TRACE), ours(), *ablations()):
        assert isinstance(policy, Policy)
        assert policy.role in ("baseline", "ours", "bound", "ablation")
        assert policy.sees_truth == (policy.name == "oracle")
