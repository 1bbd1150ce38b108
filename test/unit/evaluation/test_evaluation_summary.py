"""Targets reached and missed, reasons, and regular against compact on hand cases."""

import json

import numpy as np
import pytest
from rich.console import Console

from eo_nodes.contracts.errors import ConfigError
from training.evaluation import cells, exams, mechanisms, report, spaces, summary
from training.evaluation.compare import compare
from training.evaluation.metrics import ACCURACY, CIDER, F1, MAE
from training.evaluation.rows import Row, interval, is_reached, told_by_draw


def row(model, hits, *, kind="t", keys=None, metric=ACCURACY, **more):
    vectors = np.array([[float(h), 1.0] for h in hits])
    keys = keys or [str(i) for i in range(len(hits))]
    made = Row(model, "vqa", "optical", "s", kind, metric, metric.value(vectors.sum(0)),
               len(hits), (0.0, 100.0), len(hits), keys=keys, vectors=vectors, clusters_of=keys,
               **more)
    made.reached = is_reached(made)
    return made


def test_comparison_by_hand():
    # Regular right on 1, 1, 1, 0 and compact on 1, 0, 0, 1: 75 - 50; they differ on three, two
    # of which regular has.
    found = compare([row("regular", [1, 1, 1, 0])], [row("compact", [1, 0, 0, 1])])
    assert (found["cells"], found["mean_difference"], found["questions"]) == (1, 25.0, 4)
    assert (found["disagreements"], found["first_right_percent"]) == (3, 66.7)
    low, high = found["first_right_ci95"]
    assert low < 66.7 < high and not found["reached"]


def test_rows_weigh_the_same_whatever_their_size():
    first = [row("r", [1] * 10, kind="a"), row("r", [0] * 1000, kind="b")]
    second = [row("c", [0] * 10, kind="a"), row("c", [0] * 1000, kind="b")]
    assert compare(first, second)["mean_difference"] == 50.0


def test_only_questions_that_both_answered_are_compared():
    found = compare([row("r", [1, 1, 0], keys=["a", "b", "x"])],
                    [row("c", [0, 1, 1], keys=["b", "a", "y"])])
    assert (found["questions"], found["disagreements"], found["first_right_percent"]) == (2, 1, 100)


@pytest.mark.parametrize("more", [{"metric": MAE}, {"kind": "t: part"},
                                  {"kind": "zero-shot, harmonic mean"},
                                  {"kind": "all questions"}])
def test_parts_and_other_units_are_left_out(more):
    assert compare([row("r", [1], **more)], [row("c", [0], **more)]) == {"cells": 0}


def test_targets_are_counted_and_reasons_given():
    rows = [row("compact", [1, 1], kind="good", target=90.0),
            row("compact", [1, 0], kind="far", target=90.0),
            row("compact", [0, 0], kind="blind", target="better", probe=10.0, blind=20.0,
                n_blind=20),
            row("compact", [1, 0], kind="known", target=90.0),
            row("compact", [1, 0], kind="plain"),
            row("compact", [1, 0], kind="draw", target=60.0)]
    rows[1].ci95 = (20.0, 80.0)
    rows[5].reached = None
    summary.give_reasons(rows, {("*", "s", "known", "accuracy"): "labels are wrong"})
    found = summary.summarise(rows)["models"]["compact"]
    assert (found["rows"], found["targets"], found["reached"]) == (6, 5, 1)
    assert [r["type"] for r in found["open"]] == ["draw"] and len(found["missed"]) == 3
    reasons = {m["type"]: m["reason"] for m in found["missed"]}
    assert reasons["known"] == "labels are wrong"
    assert reasons["far"] == "40 from the target"
    assert reasons["blind"] == ("no better than without the image (20); "
                                "not better than the probe answer (10)")
    assert rows[0].reason == "" and rows[4].reason == ""


def test_a_target_within_the_interval_says_so():
    made = row("m", [1, 0], target=60.0)
    made.ci95 = (40.0, 65.0)
    assert summary.from_figures(made) == "the target lies in the interval (40 to 65)"


@pytest.mark.parametrize(("metric", "n", "n_blind", "is_said"), [
    (ACCURACY, 40, 19, False), (ACCURACY, 40, 20, True), (CIDER, 40, 39, False),
    (CIDER, 40, 40, True),
])
def test_few_questions_without_the_image_are_no_reason(metric, n, n_blind, is_said):
    made = row("m", [0] * n, metric=metric, target="better", probe=10.0, blind=20.0,
               n_blind=n_blind, controls=(("masked target", 30.0), ("first sensor", 40.0)))
    said = summary.from_figures(made)
    assert ("without the image (20)" in said) is ("masked target (30)" in said) is is_said
    assert "first sensor (40)" in said and "probe answer (10)" in said
    made.n_blind = 0            # a control of the data page, nothing asked blind
    assert "masked target (30)" in summary.from_figures(made) or metric is CIDER


def test_the_table_says_how_many_were_asked_blind():
    rows = [row("m", [1] * 30, kind=str(n), blind=25.0, n_blind=n) for n in (12, 30)]
    console = Console(record=True, width=300)
    report.show(rows, [], console)
    few, all_of = console.export_text().splitlines()[-2:]
    assert " 25.0 (12) " in few and " 25.0 " in all_of and "25.0 (" not in all_of


def test_reasons_are_read_by_row(tmp_path):
    path = tmp_path / "reasons.json"
    assert summary.read_reasons(path) == {}
    path.write_text(json.dumps([{"model": "*", "set": "s", "type": "t", "metric": "mae",
                                 "reason": "why"}]))
    assert summary.read_reasons(path) == {("*", "s", "t", "mae"): "why"}


def targeted():
    """(model, set, type, metric) of the rows that have a target."""
    every = [*cells.table([]), *exams.table(), *mechanisms.table()]
    found = {(model, c.set_name, s.type, s.metric.name) for c in every for s in c.scores
             for model in ("compact", "regular") if getattr(s, model) is not None}
    match = spaces.MATCH_TYPES["match_signature"]
    return found | {(model, "s1s2_pairs", match, "accuracy") for model in spaces.MATCH_TARGETS}


def strays(reasons):
    """Keys that no row with a target has, and those without a text."""
    known = targeted()
    known |= {("*", *key[1:]) for key in known}
    return [key for key, why in reasons.items() if key not in known or not why.strip()]


def test_the_reasons_kept_name_rows_that_have_a_target():
    assert strays(summary.read_reasons()) == []
    good, typo = ("compact", "trees", "crowns", "mae"), ("compact", "trees", "crown", "mae")
    no_target = ("*", "trees", "crown boxes, IoU 0.4", "f1")
    assert strays({good: "why", typo: "why", no_target: "why"}) == [typo, no_target]
    assert strays({good: " "}) == [good]


def test_the_reasons_kept_say_what_is_in_the_repository():
    # What was tried and left no result, and what one model has in a reason of both.
    unkept = ("Tried", "tried", "it helped", "(regular)", "larger input")
    assert [why for why in summary.read_reasons().values()
            if any(word in why for word in unkept)] == []


def test_a_reason_of_one_model_goes_before_that_of_all():
    rows = [row(model, [1, 0], target=90.0) for model in ("compact", "regular")]
    summary.give_reasons(rows, {("*", "s", "t", "accuracy"): "of both",
                                ("compact", "s", "t", "accuracy"): "of one"})
    assert [r.reason for r in rows] == ["of one", "of both"]


@pytest.mark.parametrize(("entries", "said"), [
    ([{"model": "*", "set": "s", "type": "t", "metric": "mae"}], "entry 0 lacks reason"),
    ([{"model": "*", "set": "s", "type": "t", "metric": "mae", "reason": r} for r in "ab"],
     "entry 1 is there twice"),
])
def test_wrong_entries_are_named(tmp_path, entries, said):
    path = tmp_path / "reasons.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(ConfigError, match=said):
        summary.read_reasons(path)


def test_compact_may_stay_fifteen_points_behind_on_the_world():
    rows = [row(m, hits, kind=k, target=t, domain="synthetic")
            for m, t in (("compact", 70.0), ("regular", 85.0))
            for k, hits in (("near", [1] * (8 if m == "compact" else 9) + [0] * 2),
                            ("far", [1] * (5 if m == "compact" else 9) + [0]))]
    rows[0].value, rows[1].value, rows[2].value, rows[3].value = 75.0, 60.0, 86.0, 86.0
    found = {w["type"]: (w["gap"], w["within"]) for w in summary.summarise(rows)["world"]}
    assert found == {"near": (11.0, True), "far": (26.0, False)}


def test_sensors_together_must_beat_the_best_alone():
    made = row("m", [1, 1, 0, 0], target="best sensor", probe=90.0,
               controls=(("first sensor", 40.0), ("second sensor", 45.0)))
    assert made.reached is True
    made.controls = (("first sensor", 50.0), ("second sensor", 45.0))
    assert is_reached(made) is False


def test_what_is_reached_is_json_whatever_the_interval_was_made_of():
    made = row("m", [1, 0] * 10, target=40.0)
    made.ci95, made.clusters = (np.float64(45.0), np.float64(55.0)), 20
    assert json.dumps([told_by_draw(made), is_reached(made)]) == "[true, true]"


def drawn(ci95, target, metric=ACCURACY, clusters=20, **more):
    made = row("m", [1, 0] * 10, metric=metric, target=target, **more)
    made.ci95, made.clusters = ci95, clusters
    return told_by_draw(made)


@pytest.mark.parametrize(("ci95", "told"), [
    ((60.0, 70.0), True), ((61.0, 70.0), True), ((40.0, 59.9), False), ((59.9, 70.0), None),
    ((40.0, 60.0), None), ((float("nan"), float("nan")), None),
])
def test_a_draw_tells_a_target_only_with_its_whole_interval(ci95, told):
    assert drawn(ci95, 60.0) is told


def test_a_draw_tells_lower_is_better_words_and_few_clusters():
    assert drawn((1.0, 2.0), 2.2, MAE) is True and drawn((2.3, 3.0), 2.2, MAE) is False
    assert drawn((2.0, 3.0), 2.2, MAE) is None
    for target in ("better", "clearly"):
        assert drawn((51.0, 70.0), target, majority=10.0, probe=50.0) is True
        assert drawn((20.0, 49.0), target, majority=10.0, probe=50.0) is False
        assert drawn((20.0, 51.0), target, majority=10.0, probe=50.0) is None
        assert drawn((20.0, 51.0), target) is None
    assert drawn((53.0, 70.0), "probe + 2", probe=50.0) is True
    assert drawn((51.0, 70.0), "probe + 2", probe=50.0) is None
    assert drawn((61.0, 70.0), 60.0, clusters=9) is None


def test_agreeing_clusters_have_no_interval_without_width():
    clusters = [str(i // 5) for i in range(20)]
    ones, none = np.ones((20, 2)), np.array([[0.0, 1.0]] * 20)
    low, high = interval(ACCURACY, ones, clusters)           # Wilson, four of four
    assert (round(low, 1), high) == (51.0, 100.0)
    low, high = interval(ACCURACY, none, clusters)
    assert (low, round(high, 1)) == (0.0, 49.0)
    low, high = interval(F1, np.array([[0.0, 1.0, 2.0]] * 20), clusters)
    assert (low, round(high, 1)) == (0.0, 49.0)
    one_cluster = interval(ACCURACY, np.array([[1.0, 1.0], [0.0, 1.0]]), ["a", "a"])
    assert np.isnan(one_cluster).all()
    assert np.isnan(interval(MAE, none, clusters)).all()
    made = row("m", [1, 0], target="better", probe=90.0)
    made.ci95 = one_cluster
    assert "nan" not in summary.from_figures(made)
    console = Console(record=True, width=300)
    report.show([made], [], console)
    assert "- to -" in console.export_text() and made.plain()["ci95"] == [None, None]


def test_the_summary_is_printed():
    rows = [row("compact", [1, 0], target=90.0), row("regular", [1, 1], target=90.0)]
    summary.give_reasons(rows, {("compact", "s", "t", "accuracy"): "few chips; twice the steps"})
    console = Console(record=True, width=200)
    report.show_summary(summary.summarise(rows), console)
    text = console.export_text()
    assert "compact: of 1 targets 0 reached, 1 missed, 0 not told apart; 1 rows" in text
    assert "regular: of 1 targets 1 reached, 0 missed" in text
    assert "missed: s t, accuracy 50.0 (target 90.0): few chips; twice the steps" in text
    assert "regular - compact over 1 percent-valued rows: +50.0 points" in text
    assert "in 100.0 % of 1 questions; limits: mean 5 or more yes," in text
    assert "rows of the world" not in text


def test_limits_of_the_comparison_are_told_one_by_one():
    told = report.limits_of({"mean_difference": 4.9, "ci95": [2.1, 7.0],
                             "first_right_percent": 59.9})
    assert told == "limits: mean 5 or more NO, interval above 2 yes, right in 60 % NO"
    told = report.limits_of({"mean_difference": 5.0, "ci95": [2.0, 7.0],
                             "first_right_percent": None})
    assert told == "limits: mean 5 or more yes, interval above 2 NO, right in 60 % NO"


def test_the_gap_on_the_world_is_printed():
    world = [{"set": "world", "type": kind, "metric": "accuracy", "gap": gap,
              "within": gap <= summary.WORLD_GAP} for kind, gap in (("near", 11.0), ("far", 26.0))]
    console = Console(record=True, width=200)
    report.show_summary({"models": {}, "world": world}, console)
    assert console.export_text().splitlines() == [
        "compact is within 15 points of regular in 1 of 2 rows of the world",
        "  further behind: world far, accuracy: +26.0"]


def zero_shot_run(held_out, *, is_reached):
    figures = {"held_out": held_out, "seen": 80.0, "harmonic_mean": 57.6, "times_chance": 4.5,
               "said_anyway": 8.0, "ci95": [40.0, 50.0], "reached": is_reached}
    return {"seed": 7, "steps": 997, "cpu_seconds": 1201,
            "held_out": {"eurosat_rgb": ["Forest", "River"]},
            "captions_that_still_say_it": {"forest": 5, "river": 6}, "rows": [
                {"set": "eurosat_rgb", "names": 10, "chance": 10.0, "n_held_out": 300,
                 "plain": figures, "with_allowance": {**figures, "held_out": 21.0},
                 "allowance": 0.2, "among_held_out_names": 68.0,
                 "chance_among_held_out_names": 50.0}]}


def zero_shot_text(runs):
    console = Console(record=True, width=500)
    report.show_zero_shot(runs, console)
    return console.export_text()


def test_runs_with_held_out_classes_are_kept_and_stand_beside_the_table(tmp_path):
    (tmp_path / "seed7.json").write_text(json.dumps(zero_shot_run(45.0, is_reached=True)))
    kept = tmp_path / "kept.json"
    assert summary.keep_zero_shot(tmp_path, kept) == 1
    text = zero_shot_text(summary.read_zero_shot(kept))
    assert "45.0 % of 300 pictures of Forest, River among 10 names" in text
    assert "training.zero_shot --data DIR --minutes 20 --seed 7" in text
    assert "target reached" in text and "missed" not in text
    assert summary.read_zero_shot(tmp_path / "none") == []


def test_a_missed_zero_shot_target_has_its_reason():
    text = zero_shot_text([{"command": "c", **zero_shot_run(3.0, is_reached=False)}])
    assert "target missed" in text and "among the held-out names alone 68.0 % are right" in text
    assert "11 captions of other classes" in text and "with 0.2 off the seen names: 21.0 %" in text


def test_the_zero_shot_result_that_is_kept_has_both_sets():
    (run, *_) = summary.read_zero_shot()
    assert {row["set"] for row in run["rows"]} == {"eurosat_rgb", "aid_rsicd"}
    text = zero_shot_text(summary.read_zero_shot())
    for row in run["rows"]:
        assert f"{row['plain']['held_out']} % of {row['n_held_out']} pictures" in text
