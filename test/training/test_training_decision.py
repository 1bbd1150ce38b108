"""Routing heads: figures, calibration, training on made rows, and that what flies says the same."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.decision.heads import Heads, read_heads
from eo_nodes.lvlm.chances import auroc, brier, ece, reached
from eo_nodes.lvlm.manifest import MANIFEST, V2, read_manifest, seal
from eo_nodes.lvlm.tap_features import FACTS, PROMPT_SIZE, sizes_of
from training.decision import calibrating, figures, network, report
from training.decision.head import restored
from training.decision.network import PLAN, Plan
from training.decision.questions import alike, part_of, shared_words
from training.decision.rows import Rows, join
from training.decision.train import fit_heads, write

SIZES = sizes_of(12, 8)
QUICK = Plan(PLAN.directions, hidden=16, members=2, epochs=50)


def made_rows(count=900, seed=0):
    """Right where the first fact is low, alike with it; the ground is right nine times in ten."""
    rng = np.random.default_rng(seed)
    features = [rng.normal(size=(count, sum(SIZES.values()))).astype(np.float32) for _ in range(3)]
    for stage, noise in enumerate((1.5, 0.8, 0.3)):
        clean = features[2][:, 0]
        features[stage][:, 0] = clean + (noise * rng.normal(size=count) if stage < 2 else 0)
    chance = 1 / (1 + np.exp(3 * features[2][:, 0]))
    here = (rng.random(count) < chance).astype(float)
    there = (rng.random(count) < 0.9).astype(float)
    scene = np.array([f"set/{i % 90}" for i in range(count)])
    text = np.array(["x"] * count)
    return Rows(
        features=tuple(features), sizes=SIZES, here=here, there=there,
        alike=np.where(here == there, 1.0, 0.2), tokens=np.tile([0, 3, 9], (count, 1)),
        macs=np.tile([100, 110, 130], (count, 1)), has_tap2=np.ones(count, bool),
        regular_macs=np.full(count, 900), kind=text, task=text, set=text, modality=text,
        scene=scene, part=np.array([part_of(s) for s in scene]))


@pytest.fixture(scope="module")
def rows():
    return made_rows()


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    names = ("vision.onnx", "scene.onnx", "pair.onnx", "decoder.onnx", "tokenizer.json",
             "config.json", "calibration.json")
    for name in names:
        (path / name).write_bytes(name.encode())
    seal(path, V2, "compact", names, {"text": "as it was"})
    write(path, fit_heads(rows, QUICK), rows, QUICK)
    return path


# -- figures -------------------------------------------------------------------------------------


def test_risk_coverage_does_not_hang_on_the_order_of_equals():
    one = figures.aurc([0.5, 0.5, 0.5, 0.9], [1, 0, 0, 1])
    other = figures.aurc([0.5, 0.5, 0.9, 0.5], [0, 1, 1, 0])
    assert one == pytest.approx(other)
    assert figures.best_aurc([1, 1, 0, 0]) == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)


def test_brier_of_the_base_rate_is_the_variance():
    assert figures.base_brier([1, 1, 0, 0]) == pytest.approx(brier([0.5] * 4, [1, 1, 0, 0]))


def test_interval_is_drawn_over_scenes():
    rng = np.random.default_rng(6)
    truth = (rng.random(300) < 0.5).astype(float)
    score = truth + rng.normal(0, 1, 300)
    single = [f"s{i}" for i in range(300)]
    low, high = figures.interval(auroc, score, truth, single)
    assert low < auroc(score, truth) < high < 1
    # The same rows in ten scenes say less.
    few = figures.interval(auroc, np.repeat(score[:30], 10), np.repeat(truth[:30], 10),
                           [f"s{i // 10}" for i in range(300)])
    assert few[1] - few[0] > high - low
    assert np.isnan(figures.interval(auroc, [0.1, 0.2], [1, 1], ["a", "b"])[0])


def test_routed_asks_the_least_sure_first():
    found = figures.routed([0.9, 0.1, 0.8, 0.2], [1, 0, 1, 0], [1, 1, 1, 1], (0.0, 0.25, 0.5))
    assert found == {0.0: 0.5, 0.25: 0.75, 0.5: 1.0}
    assert figures.gain_share([0.9, 0.1, 0.8, 0.2], [1, 0, 1, 0], [1, 1, 1, 1]) == 1.0


# -- calibration ---------------------------------------------------------------------------------


def test_temperature_undoes_overconfidence():
    rng = np.random.default_rng(1)
    true = rng.normal(size=4000)
    y = (rng.random(4000) < calibrating.sigmoid(true)).astype(float)
    scale, shift = calibrating.temperature(3 * true, y)
    assert scale == pytest.approx(1 / 3, abs=0.05) and shift == pytest.approx(0, abs=0.1)


def test_isotonic_never_falls_and_stands_on_enough_rows():
    rng = np.random.default_rng(2)
    x = rng.random(1000)
    x, y = x, (rng.random(1000) < x**2).astype(float)
    knots, values = calibrating.isotonic(x, y)
    assert (np.diff(values) >= 0).all() and (np.diff(knots) > 0).all()
    assert len(knots) <= 1000 // calibrating.LEAST_MASS
    assert np.abs(calibrating.on_curve((knots, values), x) - x**2).mean() < 0.06


def test_bent_scores_are_put_right_by_the_curve():
    rng = np.random.default_rng(3)
    p = rng.random(4000)
    y = (rng.random(4000) < np.where(p < 0.5, 0.1, 0.6)).astype(float)
    raw = np.log(p / (1 - p))
    scenes = [f"s{i % 50}" for i in range(4000)]
    fit = calibrating.choose(raw, y, scenes, calibrating.sigmoid)
    assert fit["kind"] == "isotonic"
    assert ece(calibrating.apply(raw, fit, calibrating.sigmoid), y) < 0.03


# -- network -------------------------------------------------------------------------------------


def test_gradient_is_that_of_the_loss():
    rng = np.random.default_rng(4)
    z, y = rng.normal(size=(7, 5)), np.c_[rng.random((7, 2)), rng.uniform(-1, 1, 7)]
    w = network.start(5, Plan({}, hidden=6), rng)
    w["out"] = rng.normal(size=w["out"].shape)
    g = network.gradient(z, y, w, 0.0)
    for name in w:
        moved = {k: v.copy() for k, v in w.items()}
        at = (0,) * w[name].ndim
        moved[name][at] += 1e-6
        change = network.loss_of(network.forward(z, moved)[0], y).sum() - network.loss_of(
            network.forward(z, w)[0], y).sum()
        assert change / 1e-6 == pytest.approx(g[name][at], rel=1e-3, abs=1e-6), name


def test_projection_whitens_and_knows_what_is_far(rows):
    x = rows.features[2]
    parts = network.fit_projection(x, SIZES, PLAN)
    z, far = network.project(x, parts, SIZES)
    assert z.std(0) == pytest.approx(np.ones(z.shape[1]), abs=0.1)
    _, odd = network.project(x + 20, parts, SIZES)
    assert odd[:, 0].min() > far[:, 0].max()


# -- training ------------------------------------------------------------------------------------


def test_later_taps_order_better_and_are_calibrated(rows, folder):
    facts = json.loads((folder / "decision.json").read_text())
    check = [facts["stages"][str(s)]["check"] for s in (1, 2, 3)]
    assert check[0]["auroc"] < check[2]["auroc"] and check[2]["auroc"] > 0.75
    assert all(c["brier"] < c["base_brier"] for c in check[1:])
    assert facts["rows"] == {p: int((rows.part == p).sum())
                             for p in ("fit", "calibrate", "check")}


def test_no_scene_is_in_two_parts(rows):
    parts = {}
    for scene, part in zip(rows.scene, rows.part, strict=True):
        assert parts.setdefault(scene, part) == part
    assert set(parts.values()) == {"fit", "calibrate", "check"}


def test_same_rows_give_the_same_files(rows, folder, tmp_path):
    again = fit_heads(rows, QUICK)
    with np.load(folder / "heads.npz") as stored:
        for stage, head in again.items():
            for name, value in head.numbers().items():
                np.testing.assert_array_equal(stored[name], value, f"{stage} {name}")


def test_manifest_vouches_for_the_heads_and_keeps_the_rest(folder):
    manifest = read_manifest(folder)
    assert {"heads.npz", "decision.json", "vision.onnx"} <= set(manifest.files)
    assert manifest.golden == {"text": "as it was"} and (folder / MANIFEST).is_file()


def test_what_flies_says_what_training_measured(rows, folder):
    heads = fit_heads(rows, QUICK)
    flown = read_heads(folder)
    assert isinstance(flown, Heads) and flown.length == sum(SIZES.values())
    few = rows.where(np.arange(0, 900, 30))
    for stage, head in heads.items():
        said, distance = head.scores(few)
        for i, features in enumerate(few.features[stage - 1]):
            scores = flown.scores(stage, features)
            got = (scores.correct, scores.alike, scores.gain, scores.distance)
            assert got == pytest.approx((*said[i], distance[i]), rel=1e-5, abs=1e-6)


def test_heads_come_back_from_the_folder_as_they_were(rows, folder):
    few, again = rows.where(np.arange(40)), restored(folder)
    for stage, head in fit_heads(rows, QUICK).items():
        for one, other in zip(head.scores(few), again[stage].scores(few), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9)
    with pytest.raises(ConfigError, match="train first"):
        restored(folder / "nothing")


# -- report --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(rows, folder):
    calibrate, check = (rows.where(rows.part == p) for p in ("calibrate", "check"))
    return report.report(restored(folder), calibrate, check)


def test_report_holds_each_tap_by_sensor_and_type(found):
    groups = {(r["tap"], r["group"]) for r in found["calibration"]}
    assert groups == {(t, g) for t in (1, 2, 3) for g in ("all", "modality x", "task x")}
    last = next(r for r in found["calibration"] if (r["tap"], r["group"]) == (3, "all"))
    assert last["brier"] < last["base_brier"] and last["aurc"] > last["best_aurc"]
    assert found["cost"]["heads_macs"] > 1000
    assert last["risk"][-1] == pytest.approx(1 - last["right"]) and len(last["coverage"]) == 10
    assert last["auroc_ci95"][0] < last["auroc"] < last["auroc_ci95"][1]


def test_trained_targets_lie_between_random_and_oracle(found):
    kept = {(r["tap"], r["target"]): r["gain_share_at_half"] for r in found["targets"]}
    assert kept[0, "random"] < kept[3, "gain"] < kept[0, "oracle"]
    assert set(kept) == {(0, "random"), (0, "oracle"),
                         *((t, n) for t in (1, 2, 3) for n in network.TARGETS)}


def test_early_stop_counts_steps_and_operations(found):
    whole = found["savings"][0]
    # 9 steps and 130 operations in all, 100 before the first: none of those is ever saved.
    assert whole["decode_share_of_flop"] == pytest.approx(30 / 130, abs=1e-4)
    early = whole["stopped_at_1"] * 9 + whole["stopped_at_2"] * 6
    assert whole["steps_saved"] == pytest.approx(early / (9 * whole["asked"]), abs=1e-4)
    saved = whole["stopped_at_1"] * 30 + whole["stopped_at_2"] * 20
    assert whole["flop_saved"] == pytest.approx(saved / (130 * whole["asked"]), abs=1e-4)
    assert [r["answer_tokens"] for r in found["savings"]] == ["all", "8-15", "8+"]


def test_report_prints_a_line_a_row(found):
    lines = []
    report.table(found, lines.append)
    rows = sum(len(found[k]) for k in ("calibration", "targets", "savings"))
    assert len(lines) == 1 + rows + len(report.limits(found))


def test_limits_are_said_to_be_reached_or_missed(found):
    lines = report.limits(found)
    assert len(lines) == 5  # three taps, the gain at half, the steps saved
    assert "auroc" in lines[2] and "at least 0.75" in lines[2]
    low = json.loads(json.dumps(found))
    for row in low["calibration"]:
        if row["group"] == "all":
            row["reached"] = reached(
                row["tap"], ece=0.06, auroc=[0.65, 0.69, float("nan")][row["tap"] - 1],
                brier=0.2, base=0.2,
            )  # fmt: skip
    told = [line.count("missed") for line in report.limits(low)[:3]]
    assert told == [2, 3, 3]  # at tap 1 the order is good enough


def test_a_part_without_rows_is_refused(rows):
    with pytest.raises(ConfigError, match="collect more"):
        fit_heads(rows.where(rows.part == "fit"), QUICK)


# -- what is collected ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "like"),
    [("yes", "Yes.", 1.0), ("yes", "no", 0.0), ("4", "8", 0.5), ("0", "0", 1.0),
     ("0", "3", 0.0), ("a red car", "a blue car", 2 / 3),
     ("<box 0 0 256 256>", "<box 0 0 256 250>", 1.0), ("<box 0 0 100 100>", "none", 0.0),
     ("<box 0 0 100 100>", "<box 300 300 400 400>", 0.0)],
)  # fmt: skip
def test_similarity_of_answers(one, other, like):
    assert alike(one, other) == pytest.approx(like)
    assert alike(other, one) == pytest.approx(like)


def test_shared_words_is_symmetric_and_one_for_the_same():
    assert shared_words("many green trees", "many trees") == pytest.approx(0.8)
    assert shared_words("", "") == 1.0


def test_journals_are_joined_by_question():
    from training.decision.collect import packed

    def row(key, text, quality, **more):
        taps = [packed(np.full(len(FACTS) + 4, t, np.float32)) for t in range(3)]
        return {"key": key, "prompt": "p", "text": text, "quality": quality, "error": "",
                "kind": "k", "task": "t", "set": "s", "modality": "m", "scene": key, "taps": taps,
                "seen": packed(np.full(PROMPT_SIZE + 2, 9.0)), "evidence": 2,
                "tokens": [0, 3, 5], "macs": [1, 2, 3], "has_tap2": True, **more}

    own = [row("a", "yes", 1.0), row("b", "no", 0.0), row("c", "", 0.0, error="too narrow"),
           row("d", "yes", 1.0)]
    far = [row("a", "yes", 1.0), row("b", "yes", 1.0), row("d", "yes", 1.0, prompt="other")]
    found = join(own, far)
    assert found.gain.tolist() == [0.0, 1.0] and found.alike.tolist() == [1.0, 0.0]
    assert found.features[1].shape == (2, sum(found.sizes.values()))
    first = found.features[1][0]
    assert first[0] == 1.0 and first[len(FACTS)] == 9.0 and first[-1] == 1.0
    with pytest.raises(ConfigError):
        join(own, [])


def test_quality_reads_numbers_within_a_tenth():
    from training.decision.questions import Question, quality
    from training.evaluation import cells, metrics

    score = cells.Score("n", metrics.MAE, cells.absolute)
    ask = SimpleNamespace(truth=20, size=(8, 8))
    question = Question("k", "k", None, score, ask, None)
    assert [quality(question, t) for t in ("20", "22", "23", "none")] == [1.0, 1.0, 0.0, 0.0]
