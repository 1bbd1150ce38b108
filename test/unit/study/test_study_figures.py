"""Scores, search, headline figures, the whole table on a made-up trace, and a user's policy."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from study_trace import made_trace

from eo_nodes.contracts.errors import ConfigError
from eo_sim.study import __main__ as command
from eo_sim.study.bootstrap import draw_scenes
from eo_sim.study.calibration import by_score, ranking, risk_coverage, scores_table
from eo_sim.study.config import load_config, parse_config
from eo_sim.study.errors import StudyError
from eo_sim.study.facts import means_of
from eo_sim.study.figures import Point, figures
from eo_sim.study.fits import fit
from eo_sim.study.keep import MOST_BYTES, write_kept
from eo_sim.study.measured import complete
from eo_sim.study.ours import ablations, ours
from eo_sim.study.page_kept import section
from eo_sim.study.plots import Series, log_ticks, plot, ticks
from eo_sim.study.policies import baselines
from eo_sim.study.policy import ANSWER, OFFLOAD, PROCEED, Policy, Setting
from eo_sim.study.report import page, write
from eo_sim.study.run import Study
from eo_sim.study.selection import select
from eo_sim.study.trace import save_trace
from eo_sim.study.tune import Trial, curve, draw_settings
from eo_sim.study.user import load_policy

ROOT = Path(__file__).parents[3]
CONFIG = load_config(ROOT / "config" / "study.yaml")
TRACE = made_trace(chips=30)


def draws_of(trace, count=30):
    return draw_scenes(np.ones(len(trace.names["scenes"]), bool), count, 1)


# -- scores --------------------------------------------------------------------------------------


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


def test_fits_do_not_see_the_test_split():
    spoilt = {k: v.copy() for k, v in TRACE.columns.items()}
    test = TRACE.rows("test")
    for name in ("compact_quality", "regular_quality"):
        spoilt[name][test] = 1 - spoilt[name][test]
    other = replace(TRACE, columns=spoilt)
    one, two = fit(TRACE, 1), fit(other, 1)
    assert one.contexts == two.contexts and one.quantiles.keys() == two.quantiles.keys()
    assert all(np.array_equal(one.quantiles[k], two.quantiles[k]) for k in one.quantiles)
    assert means_of(TRACE) == means_of(other)


def test_an_answer_that_is_complete_at_the_second_tap_has_no_score_there():
    long = made_trace(chips=150)
    columns = dict(long.columns)
    flops, scores = columns["compact_flops"].copy(), columns["scores"].copy()
    short = np.arange(len(long)) % 2 == 0
    flops[short, 2] = flops[short, 1]
    scores[short, 1] = 0.999  # a head that was never meant to see it
    trace = replace(long, columns=columns | {"compact_flops": flops, "scores": scores})
    assert fit(trace, 1).quantiles["correct2"][-1] < 0.999
    table = scores_table(trace, 15, draws_of(trace))
    counts = {r["stage"]: r["n"] for r in table if r["group"] == "all"}
    assert counts["tap 2"] == int((~short)[trace.rows("test")].sum()) < counts["end"]


def test_oracle_ranking_bounds_every_head_and_random_is_zero():
    rows = ranking(TRACE, 1, 0.5, draws_of(TRACE))
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


def trial(name, accuracy, *, within=(0.5, 0.5, 0.5), size=50.0, latency=9.0):
    return Trial(Setting({"name": name}), accuracy, within, size, latency, 0.3)


def test_curve_keeps_the_best_and_the_fronts():
    trials = [trial("best", 0.8, within=(0.9,)), trial("cheap", 0.5, size=10),
              trial("beaten", 0.4, size=60, latency=10), trial("quick", 0.3, size=70, latency=1)]
    kept = [s["name"] for s in curve(trials, 5)]
    assert kept[0] == "best"
    assert set(kept) == {"best", "cheap", "quick"}


def test_published_cut_offs_stand_as_they_are_or_by_their_quantile():
    context = SimpleNamespace(fits=fit(TRACE, 1), trace=TRACE)
    policy = next(p for p in baselines(TRACE) if p.name == "grace_style_published")
    assert policy.space["order"] == ("lifo",) and not {"unlike", "offload"} & set(policy.space)
    decide = policy.make(
        Setting({"level": "lossy", "provisional": False, "order": "lifo"}), context)
    levels = {level.name: at for at, level in enumerate(TRACE.levels)}
    bar = np.quantile(TRACE["novelty"][TRACE.rows("val"), 0], 0.8)

    def action(stage, novelty=0.0, sure=1.0):
        return decide(SimpleNamespace(stage=stage, novelty=novelty, mean_logprob=np.log(sure),
                                      levels=levels), None).action  # fmt: skip

    assert [action(1, bar - 0.01), action(1, bar + 0.01)] == [PROCEED, OFFLOAD]
    assert [action(3, sure=0.76), action(3, sure=0.74)] == [ANSWER, OFFLOAD]


# -- headline ------------------------------------------------------------------------------------

# What the settings did on val: by this alone the headline chooses.
TRIALS = {
    "ours": [trial("tuned", 0.80, within=(0.4, 0.5, 0.6), size=100, latency=1000),
             trial("swift", 0.75, size=80, latency=600)],
    "tabi_style": [trial("a", 0.70, within=(0.3, 0.2, 0.2), size=90, latency=2000),
                   trial("b", 0.69, size=80, latency=100)],
    "satellite_only": [trial("a", 0.50, within=(0.2, 0.3, 0.3), size=1, latency=1500)],
    "ground_only_raw": [trial("a", 0.74, within=(0.1, 0.1, 0.4), size=500, latency=4000),
                        trial("b", 0.73, size=400, latency=3000)],
}  # fmt: skip
OTHERS = [name for name in TRIALS if name != "ours"]


def test_the_headline_chooses_by_val_and_by_one_rule_for_all():
    found = select("ours", TRIALS, OTHERS)
    assert (found.equal_bytes.policy, found.equal_bytes.setting["name"]) == ("tabi_style", "a")
    assert [one.policy for one in found.within] == [
        "tabi_style", "satellite_only", "ground_only_raw"]
    # Both sides reach 0.74: the quickest setting of each that does.
    own, best = found.quickest
    assert found.accuracy == 0.74
    assert (own.setting["name"], best.policy, best.setting["name"]) == (
        "swift", "ground_only_raw", "a")
    # Where ours reaches less, the baselines may choose a quicker setting too.
    weak = TRIALS | {"ours": [trial("weak", 0.69, size=0.5, latency=300)]}
    lower = select("ours", weak, OTHERS)
    assert (lower.accuracy, lower.quickest[1].setting["name"]) == (0.69, "b")
    assert lower.equal_bytes is None
    # Every setting of ours offloads 0.3 on val.
    assert found.capped.setting["name"] == "tuned"
    assert select("ours", TRIALS, OTHERS, cap=0.2).capped is None
    assert {name for name, _ in lower.settings()} <= set(TRIALS)


def point(name, label, *, final, latency, size, scenes=40):
    n = np.full(scenes, 10.0)
    sums = {"n": n, "final": n * final, "latency_s": n * latency, "bytes": n * size,
            "10": n * final / 4, "30": n * final / 2, "90": n * final}  # fmt: skip
    is_tuned = label == TRIALS[name][0].setting["name"]
    return Point(name, Setting({"name": label}).label(), is_tuned, sums)


def test_headline_figures_by_hand():
    points = [
        point("ours", "tuned", final=0.80, latency=1000, size=100),
        point("ours", "swift", final=0.70, latency=600, size=80),
        # On test this one is quick and good: it was not so on val, and nothing chooses by that.
        point("tabi_style", "b", final=0.99, latency=1, size=1),
        point("tabi_style", "a", final=0.70, latency=2000, size=90),
        point("satellite_only", "a", final=0.50, latency=1500, size=1),
        point("ground_only_raw", "a", final=0.72, latency=4000, size=500),
    ]
    found = figures(points, select("ours", TRIALS, OTHERS), CONFIG.figures)
    head = found["headline"]
    equal = head["equal_bytes_points"]
    assert (equal["baseline"], round(equal["value"], 6)) == ("tabi_style", 10)
    assert equal["ci95"] == pytest.approx([10, 10])
    assert equal["kb_each"] == pytest.approx({"ours": 0.1, "baseline": 0.09})
    within = head["within_deadline_points"]
    assert within["10"]["value"] == pytest.approx(100 * (0.80 - 0.70) / 4)
    assert within["90"]["value"] == pytest.approx(100 * (0.80 - 0.72))
    cut = head["equal_accuracy_latency_percent"]
    assert (cut["baseline"], round(cut["value"], 6)) == ("ground_only_raw", 85)
    # Equal on val; on test ours has two points less, and the table says so.
    assert cut["accuracy"] == pytest.approx({"ours": 0.70, "baseline": 0.72})
    assert cut["accuracy_points"]["value"] == pytest.approx(-2)
    assert set(head) == {"equal_bytes_points", "within_deadline_points",
                         "equal_accuracy_latency_percent"}  # fmt: skip


def test_paper_style_is_not_made_by_one_baseline():
    points = [
        point("ours", "tuned", final=0.80, latency=1000, size=100),
        point("ours", "swift", final=0.80, latency=1000, size=100),
        point("tabi_style", "a", final=0.70, latency=2000, size=90),
        point("satellite_only", "a", final=0.64, latency=1250, size=1),
        # A full link: hardly anything comes down, and very late.
        point("ground_only_raw", "a", final=0.01, latency=50_000, size=500),
    ]
    paper = figures(points, select("ours", TRIALS, OTHERS), CONFIG.figures)["paper_style"]
    gain, cut = paper["accuracy_gain_percent"], paper["latency_reduction_percent"]
    assert gain["by_baseline"]["ground_only_raw"]["value"] == pytest.approx(7900)
    assert gain["by_baseline"]["tabi_style"]["value"] == pytest.approx(100 / 7)
    assert gain["value"] == pytest.approx(25), "the median"
    assert cut["value"] == pytest.approx(50)
    assert cut["by_baseline"]["satellite_only"]["value"] == pytest.approx(20)
    assert paper["baselines"] == ["satellite_only", "ground_only_raw", "tabi_style"]


def test_a_figure_that_cannot_be_formed_says_why():
    trials = {"ours": [trial("tuned", 0.5, size=1)], "tabi_style": [trial("a", 0.7, size=9)]}
    points = [point("ours", "tuned", final=0.5, latency=10, size=1),
              point("tabi_style", "a", final=0.7, latency=20, size=9)]  # fmt: skip
    head = figures(points, select("ours", trials, ["tabi_style"]), CONFIG.figures)["headline"]
    assert head["equal_bytes_points"]["value"] is None
    assert "as few bytes" in head["equal_bytes_points"]["why"]


def test_intervals_hold_what_differs_between_scenes():
    n = np.full(60, 5.0)
    better = np.where(np.arange(60) < 45, 1.0, -1.0) * 0.2
    mine = {"n": n, "final": n * (0.5 + better), "latency_s": n, "bytes": n,
            **dict.fromkeys(("10", "30", "90"), n)}  # fmt: skip
    other = {**mine, "final": n * 0.5}
    trials = {"ours": [trial("x", 0.5)], "tabi_style": [trial("x", 0.5)]}
    points = [Point("ours", "name x", True, mine), Point("tabi_style", "name x", True, other)]
    found = figures(points, select("ours", trials, ["tabi_style"]), CONFIG.figures)
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
MADE_FROM = {"config": "1" * 64, "trace": "2" * 64, "compact": "3" * 64, "regular": "4" * 64,
             "definitions": "5" * 64, "rules": "6" * 64}  # fmt: skip
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
    table = complete(
        study.table([load_policy(file)], with_ablations=False), TRACE, SMALL,
        begun_s=time.monotonic(), recomputed=0, kept_at=None, counts=(200, 2000),
        models={name: tmp_path / name for name in ("compact", "regular")},
        made_from=MADE_FROM,
    )  # fmt: skip
    path = write(table, tmp_path / "out")
    read = json.loads((tmp_path / "out" / "table.json").read_text())
    assert {"headline", "paper_style", "rows", "scores", "ranking", "idle",
            "early_stop"} <= set(read)  # fmt: skip
    assert read["paper_style"]["published"]["accuracy_gain_percent"] == 31.2
    assert "mine" in {r["policy"] for r in read["rows"]}
    text = path.read_text()
    assert text.count("| mine |") >= 2 and "## Paper style" in text
    assert len(list((tmp_path / "out").glob("*.svg"))) == 8
    budget = [r for r in read["rows"] if r["rate_mbps"] == 0]
    assert budget, "the rates of the link budget are replayed too"
    rate = {r["policy"]: r["figures"]["offloaded"] for r in read["rows"]
            if r["load"] == "busy" and r["rate_mbps"] == 30 and r["is_tuned"]}  # fmt: skip
    assert rate["random_offload"] == pytest.approx(rate["ours"], abs=0.05)
    assert page(table) == text
    for row in read["rows"]:  # every row has its intervals, all but ours their distance from ours
        low, high = row["ci95"]["accuracy"]["all"]["final"]
        assert low <= row["figures"]["accuracy"]["all"]["final"] <= high
        assert ("ours_minus_this" in row) == (row["role"] != "ours" or not row["is_tuned"])
    assert {(x["rate_mbps"], x["load"]) for x in read["standing"]} == {
        (30, "idle"), (30, "busy"), (0, "busy")}
    assert all(x["is_reached"] is not None for x in read["levels"] if x["name"] == "regions_1_20")
    told = {r["figure"]: r["outcome"] for r in read["limits"]}
    assert len(told) == len(read["limits"]) > 30
    for name, outcome in told.items():  # no models here, and nothing was asked again
        apart = ("instances held", "compute", "asked again", "points lost, at")
        assert (outcome == "not measured") >= any(part in name for part in apart), name
        assert f"| {name} |" in text
    assert text.count("Not measured for these models") == 2
    assert f"SHA-256 of config {'1' * 12}, definitions {'5' * 12}, rules {'6' * 12}, " in text
    kept_part_says_what_the_table_says(table, tmp_path / "kept.json")


def kept_part_says_what_the_table_says(table, path):
    assert write_kept(table, path) == path.stat().st_size
    assert 3 * path.stat().st_size < 2 * MOST_BYTES, "there is room for three rates"
    found = json.loads(path.read_text())
    assert found["routing"] == table["routing"] and found["sources"] == MADE_FROM
    names = [(r["policy"], r["rate_mbps"]) for r in found["policies"]]
    assert len(set(names)) == len(names) and {rate for _, rate in names} == {30}
    assert "mine" not in path.read_text(), "a policy of the user is not ours to keep"
    assert "chip_rows" not in found["trace"]["meta"]
    text = section(found, {})
    for row in found["limits"]:
        assert f"| {row['figure']} | " in text
    value = next(r for r in table["rows"] if r["role"] == "ours" and r["load"] == "busy"
                 and r["is_tuned"])["figures"]["accuracy"]["all"]["final"]  # fmt: skip
    assert float(text.split("| **ours** | ")[1].split(" ")[0]) == pytest.approx(
        100 * value, abs=0.06)
    assert "+31.2 %" in text and "-51.2 %" in text


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
    tree["world"]["loss"] = 0.01
    tree["figures"]["headline"]["deadlines_min"] = [10, 30, 60]
    with pytest.raises(ConfigError, match=r"headline.deadlines_min: requests of a trace"):
        parse_config(tree, "study.yaml")


def test_plots_say_when_there_is_nothing_and_escape_names():
    assert "no data" in plot("t", "x", "y", [Series("a", [], [])])
    assert "<b>" not in plot("<b>", "x", "y", [Series("<b>", [1, 2], [3, 4])])
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]


def test_a_logarithmic_axis_leaves_out_what_it_cannot_show():
    assert log_ticks(0.3, 60) == [0.5, 1, 2, 5, 10, 20, 50]
    drawn = plot("t", "x", "y", [Series("a", [0, 1, 100], [1, 2, 3])], is_log_x=True)
    assert "a: 100, 3" in drawn and "a: 1, 2" in drawn and "a: 0, 1" not in drawn


def test_policy_roles_are_known():
    for policy in (*baselines(TRACE), ours(), *ablations()):
        assert isinstance(policy, Policy)
        assert policy.role in ("baseline", "ours", "bound", "ablation")
        assert policy.sees_truth == (policy.name == "oracle")
