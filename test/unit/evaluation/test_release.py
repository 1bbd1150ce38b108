"""What a release is made of beside its graphs: fitted confidence, card, licences, its place."""

import hashlib
import json
import platform
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from eo_nodes.contracts.errors import ConfigError, ModelError
from eo_nodes.lvlm.calibration import read_calibration
from eo_nodes.lvlm.counting import plain
from eo_nodes.lvlm.manifest import answers_digest, read_manifest, sha256_of
from eo_nodes.lvlm.model import load_model
from eo_nodes.lvlm.sight import Picture
from training import confidence, curves, release
from training.decoder import calibrate, card
from training.evaluation import metrics
from training.evaluation.asks import Ask
from training.evaluation.cells import Score, absolute, exact, overlap
from training.evaluation.fixtures import CHIPS
from training.evaluation.sets import open_library

TINY = Path(__file__).parents[2] / "data" / "lvlm" / "tiny_unified"
RECORD = {"parameters": {"parameters": 13_200_000}, "sets": ["mstar", "trees"], "world": 300,
          "stages": [{"stage": "vision", "minutes": 60.2, "steps": 99, "device": "one GPU"}]}


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(TINY, tmp_path / "compact"))


def _ask(truth):
    return Ask("k", SimpleNamespace(size=(4, 4)), "How many?", truth)


def test_a_fit_orders_right_before_wrong_and_says_how_well():
    rng = np.random.default_rng(3)
    y = (rng.random(400) < 0.6).astype(float)
    x = np.c_[y + rng.normal(0, 0.7, 400), rng.normal(0, 1, (400, 4))]
    fit = confidence.fit_stage(x, y, np.arange(400) % 5)
    assert fit["weights"][0] > 1 and fit["auroc"] > 0.75 and fit["ece"] < 0.1
    assert fit["offload_below"] <= fit["answer_above"] < 1


def test_a_stage_without_wrong_answers_has_no_order():
    fit = confidence.fit_stage(np.ones((10, 5)), np.ones(10), np.arange(10) % 5)
    assert fit["auroc"] == 0.5 and fit["ece"] < 0.1


def test_folds_are_left_out():
    x = np.array([[0.0], [1.0], [0.0], [1.0]])
    y = np.array([0.0, 1.0, 1.0, 0.0])          # the second fold says the opposite of the first
    p = confidence.cross_fitted(x, y, np.array([0, 0, 1, 1]))
    assert p[0] > p[1] and p[2] < p[3]


@pytest.mark.parametrize(("metric", "vectors", "truth", "said", "right"), [
    (metrics.ACCURACY, exact, "river", "River.", True),
    (metrics.ACCURACY, exact, "river", "forest", False),
    (metrics.MAE, absolute, 20, "18", True),
    (metrics.MAE, absolute, 20, "17", False),
    (metrics.MAE, absolute, 0, "1", False),
    (metrics.IOU, overlap, (np.ones((4, 4), bool), np.ones((4, 4), bool)),
     "<box 0 0 511 511>", True),
    (metrics.IOU, overlap, (np.ones((4, 4), bool), np.ones((4, 4), bool)), "no", False),
])
def test_what_counts_as_right(metric, vectors, truth, said, right):
    assert calibrate.is_right(Score("t", metric, vectors), _ask(truth), said) is right


def test_a_session_is_watched_at_its_three_taps(folder):
    model = load_model(folder)
    grey = np.full((64, 64, 3), 90, np.uint8)
    picture = Picture(grey, ("red", "green", "blue"), "optical")
    session = model.begin([picture], "where is ship", (), 8, None)
    rows, tempered = calibrate.watch(session)
    assert session.is_finished and rows[1][4] == 0.0
    assert rows[3][4] == session.tap().tokens / 10
    assert (2 in rows) == (session.tap().tokens > calibrate.TAP2_TOKENS)
    assert tempered.shape == confidence.TEMPERATURES.shape and (tempered <= 0).all()


def test_stage_two_takes_complete_answers_only_when_it_must():
    own = [((1.0,), True, 0, True)] * calibrate.FEWEST
    other = [((2.0,), False, 1, False)] * 5
    assert calibrate.by_stage(own + other)[0].max() == 1.0
    assert calibrate.by_stage(own[1:] + other)[0].max() == 2.0


def test_a_written_fit_is_sealed_and_loads(folder):
    x = np.random.default_rng(0).normal(0, 1, (60, 5))
    fit = confidence.fit_stage(x, (x[:, 0] > 0).astype(float), np.arange(60) % 5)
    before = read_manifest(folder).digest
    sealed = calibrate.write(folder, {str(s): fit for s in (1, 2, 3)}, 1.5)
    assert sealed.digest != before and load_model(folder).digest == sealed.digest
    assert read_calibration(folder)[2].n == 60
    assert json.loads((folder / "config.json").read_text())["temperature"] == 1.5


def test_questions_are_of_rows_with_right_and_wrong():
    class Val:
        """The chips, said to be val."""

        def __init__(self):
            self._library = open_library(CHIPS)

        def __getattr__(self, name):
            return getattr(self._library, name)

        def samples(self, name, split, held=None):
            assert split == "val"
            return self._library.samples(name, "test", held)

    found = list(calibrate.questions(Val(), 2))
    assert len(found) > 20
    again = calibrate.questions(Val(), 2)
    assert [ask.key for _, ask, *_ in found] == [ask.key for _, ask, *_ in again]
    assert {score.metric for _, _, score, _ in found} <= set(calibrate.JUDGED)
    assert all(longest <= calibrate.LONGEST for *_, longest in found)
    per_score = {}
    for _, _, score, _ in found:
        per_score[id(score)] = per_score.get(id(score), 0) + 1
    assert max(per_score.values()) == 2


def test_card_holds_what_ran_and_what_was_scored(folder):
    row = {"model": "compact", "category": "classification", "modality": "sar", "set": "mstar",
           "type": "class", "domain": "real", "metric": "accuracy", "value": 91.25, "n": 1200,
           "ci95": [89.0, 93.0], "majority": 10.0, "probe": 66.3, "blind": None, "target": 88,
           "control": {"name": "masked target", "value": 40.0}, "reached": True, "clusters": 1200,
           "ece": None, "refused": 0, "marks": ["clustered"]}
    blind = {**row, "type": "blind", "blind": 7.0, "n_blind": 20}
    scores = {"split": "test", "rows": [row, blind, {**row, "model": "regular", "value": 3.0}],
              "limit": 40, "limits": {"compact.*": 400, "regular.*": 20, "*.class": 0},
              "blind_limit": 20, "blind_limits": {"*.rsvqa*": 60}, "as_cards": True,
              "runs": [{"model": "compact", "digest": answers_digest(folder)},
                       {"model": "regular", "digest": "0" * 64}]}
    card.write(folder, open_library(CHIPS), RECORD, scores, "A note.", "A limit.")
    text = (folder / "card.md").read_text()
    assert "| vision | 60 | 99 | one GPU |" in text and "13.2 M" in text
    assert "| mstar | class | accuracy | 91.2 | 89.0 to 93.0 | 1200 | 10.0 | 66.3 | - | " \
           "88.0, reached | clustered, masked target 40.0 |" in text
    assert "| 66.3 | 7.0 (20) | 88.0, reached |" in text
    plain = " ".join(text.split())
    assert "ARGS=--as-cards`: 40; `compact.*` 400; `*.class` all. The last" in plain
    assert "altered pictures: 20; `*.rsvqa*` 60." in plain and "regular.*" not in text
    table = card.score_table([{**row, "reached": None}, {**row, "reached": None, "target": None}])
    assert "| 88.0, open |" in table and "| - | clustered" in table
    assert "| 3.0 |" not in text and "A note." in plain and "A limit." in plain
    assert "GFLOP" in text and "300 scenes an epoch" in text
    assert "MSTAR public targets" in (folder / "LICENCES.md").read_text()
    assert load_model(folder)                       # neither file is part of the seal


def test_card_counts_zooms_that_tap_1_calls_for_apart(folder):
    model = load_model(folder)
    once, called, told = card.work(model)
    assert 0 < once < called < told
    text = card.card(folder, open_library(CHIPS), RECORD)
    for name, macs in (("overview and 24 tokens", once), ("with 4 zooms that tap 1 calls for",
                                                          called),
                       ("with 4 zooms from the start", told)):
        assert f"| {name} | {2 * macs / 1e9:.2f} GFLOP |" in text


def test_card_says_whose_weights_it_carries_and_wraps_its_lines(folder):
    record = {**RECORD, "stages": [{**RECORD["stages"][0], "start_from": "weights " * 30}]}
    own = card.card(folder, open_library(CHIPS), record, note="A note. " * 30)
    assert "carried along" not in own
    (folder / "assembly.json").write_text("{}")
    carried = card.card(folder, open_library(CHIPS), record)
    assert "of `compact` are carried along" in carried and "not among the minutes" in carried
    long = [line for line in (own + carried).splitlines()
            if len(line) > 100 and not line.startswith("|")]
    assert long == []


def test_card_gives_the_reason_of_every_missed_target_and_of_no_other():
    row = {"set": "trees", "type": "count", "metric": "mae", "value": 3.217, "target": "better",
           "reached": False, "reason": "no better than the probe (3.1)"}
    said = card.missed_targets([row, {**row, "type": "met", "reached": True, "reason": ""},
                                {**row, "type": "free", "reached": None, "reason": ""}])
    assert said.splitlines()[-1] == \
        "- trees count, mae 3.22 (target better): no better than the probe (3.1)"
    assert " met," not in said and " free," not in said
    assert card.missed_targets([{**row, "reached": True}]) == ""


def test_scores_of_other_weights_are_refused_by_name(folder):
    scores = {"split": "test", "rows": [{"model": "compact"}], "runs": []}
    for runs, said in (([], "of no weights that are named"), (["b" * 64], "of bbbbbbbbbbbb, not")):
        scores["runs"] = [{"model": "compact", "digest": digest} for digest in runs]
        with pytest.raises(ConfigError, match=f"scores of compact are {said}"):
            card.scores_text(scores, folder)


def test_a_card_of_foreign_scores_is_not_written(folder, tmp_path):
    (folder / "record.json").write_text(json.dumps(RECORD))
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({"split": "test", "rows": [{"model": "compact"}], "runs": []}))
    with pytest.raises(SystemExit, match="release: scores of compact are of no weights"):
        release.main(["--card", "--out", str(folder), "--data", str(CHIPS),
                      "--scores", str(scores)])
    assert not (folder / "card.md").exists()


def test_card_says_how_the_vision_network_was_led_none_included():
    none = {"teachers": [], "pcma_steps": 0, "merged": False, "start_from": "",
            "freeze_lower": False}
    assert card.mechanisms_text(none) == (
        "Vision stage: teachers (MaKA): none; PCMA: none, one stage; merged specialists: none; "
        "started from: EfficientNet-Lite; frozen blocks: none.")
    all_of_them = card.mechanisms_text({"teachers": ["galileo", "minilm"], "pcma_steps": 900,
                                        "merged": True, "start_from": "compact's weights",
                                        "freeze_lower": True})
    assert "galileo, minilm; PCMA: 900 steps; merged specialists: yes" in all_of_them
    assert "compact's weights; frozen blocks: all up to stride 4." in all_of_them
    assert card.mechanisms_text({"teachers": []}).count("not recorded") == 4


def test_card_says_what_the_vision_graph_answers():
    kinds = ("ship", "tree")
    rule = replace(plain(2), slopes=(2.0, 4.0), offsets=(-1.5, 0.0), spreads=(0.3, 0.0))
    spread = replace(plain(2), shifts=(-4.0, 0.0), spreads=(0.5, 0.45))
    config = SimpleNamespace(
        kinds=kinds, listing=(0.25, 0.0), choosing=(False, True) + (False,) * 7, classes=(1, 2),
        labels=None, counting={"sar": rule, "optical": spread})
    text = card.told_text(config)
    flat = " ".join(text.split())
    assert "boxes of ship from a score of 0.25 on; the one that is meant (topmost)." in flat
    assert "classes of 2 groups" in text and "labels" not in text
    assert "| optical | tree | +0.0 | 4.0 | +0.0 | 0.45 |" in text
    assert "| optical | ship |" not in text, "never shown"
    assert text.count("| sar |") == 1 and "| sar | ship | +0.0 | 2.0 | -1.5 | 0.30 |" in text


def log_of(path, *steps):
    """A stage's log: at each step the answer's loss on two sets is 1000 / step and twice that."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"step": s, "share": 0.1, "losses": {
        "a.answer": 1000 / s, "b.answer": 2000 / s, "a.relevance": 9.0}}) + "\n" for s in steps))
    return path


def test_a_curve_is_thinned_and_of_the_run_that_is_released(tmp_path):
    # Begun anew after 300, resumed from 200, and what came after 400 is of another release.
    log = log_of(tmp_path / "losses.jsonl", 100, 200, 300, 50, 100, 200, 300, 250, 400, 450)
    assert curves.thin(log, 400) == {"step": [50, 100, 200, 250, 400],
                                     "answer": [30.0, 15.0, 7.5, 6.0, 3.75]}
    many = curves.thin(log_of(log, *range(25, 20_000, 25)), 10**6)
    assert len(many["step"]) == curves.POINTS and many["step"][0] == 25
    assert many["step"][-1] == 19_975 and many["answer"][0] == 60.0
    assert curves.thin(tmp_path / "none", 9) == {} and curves.table({"vision": {}}) == ""
    table = curves.table({"vision": {}, "decoder": many}).splitlines()
    assert table[0] == "| stage | step | answer |" and table[2] == "| decoder | 25 | 60 |"
    assert len(table) == 2 + curves.SHOWN


def test_a_record_says_what_was_read_and_keeps_what_it_knew(folder, tmp_path):
    args = SimpleNamespace(data=CHIPS, seed=3, processor="made up")
    log_of(tmp_path / "vision" / "losses.jsonl", 25, 50, 75, 100)
    record = {**RECORD, "seed": 1}
    release.complete(folder, record, args, {"vision": tmp_path / "vision" / "vision.pt"})
    written = json.loads((folder / "record.json").read_text())
    assert written.items() >= record.items() and written["processor"] == "made up"
    assert written["indexes"]["mstar"] == hashlib.sha256(
        (CHIPS / "mstar" / "index.jsonl").read_bytes()).hexdigest()
    # The stage had 99 steps.
    assert json.loads((folder / "curves.json").read_text())["vision"]["step"] == [25, 50, 75]
    (folder / "curves.json").write_text("{}")
    release.complete(folder, record, args, {})
    assert (folder / "curves.json").read_text() == "{}"


def test_card_prints_digests_machine_and_curves_where_they_stand(folder):
    bare = card.card(folder, open_library(CHIPS), RECORD)
    assert "SHA-256" not in bare and "curves.json" not in bare and "\nSeed 0. The" in bare
    told = card.card(folder, open_library(CHIPS), {
        **RECORD, "seed": 5, "processor": "made up", "indexes": {"mstar": "ab" * 32},
        "curves": {"vision": {"step": [50, 99], "class": [2.5, 0.5]}}})
    assert "Seed 5; on made up. The budget" in told and "`curves.json`" in told
    assert "| index, SHA-256 |\n" in told and f"| {'ab' * 6} |\n" in told
    trees, = (line for line in told.splitlines() if line.startswith("| trees |"))
    assert trees.endswith("| - |")
    assert "| stage | step | class |" in told and "| vision | 99 | 0.5 |" in told


def test_the_processor_is_named(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some CPU 1.0: fast\n")
    assert release.processor(info) == "Some CPU 1.0: fast"
    assert release.processor(tmp_path / "none") == platform.processor()


def test_teachers_are_read_from_the_checkpoint():
    state = {"distil": {"projectors.galileo.a": 1, "projectors.galileo.b": 1,
                        "projectors.canny.a": 1}}
    assert release.teachers_in(state) == ["canny", "galileo"]
    assert release.teachers_in({}) == []


def test_without_scores_the_card_says_so(folder):
    assert "Not scored yet" in card.card(folder, open_library(CHIPS), RECORD)


def test_a_release_replaces_a_model_and_nothing_else(folder, tmp_path):
    made = tmp_path / "made"
    shutil.copytree(TINY, made)
    release.put(made, folder)
    assert (folder / "vision.onnx").is_file() and not made.exists()
    shutil.copytree(TINY, made)
    other = tmp_path / "photos"
    other.mkdir()
    (other / "a.jpg").write_bytes(b"1")
    with pytest.raises(ValueError, match="something else"):
        release.put(made, other)
    assert (other / "a.jpg").exists()


def test_a_damaged_or_too_large_release_is_refused(folder, monkeypatch):
    monkeypatch.setitem(release.MOST_BYTES, "compact", 10)
    monkeypatch.setitem(release.MOST_BYTES, "regular", 11)
    with pytest.raises(ValueError, match="at most 11"):
        release.check(folder)
    (folder / "scene.onnx").write_bytes(b"0")
    with pytest.raises(ModelError, match=r"scene\.onnx"):
        release.check(folder)


def test_layers_lent_by_a_folder_that_changed_meanwhile_are_no_release(folder, monkeypatch):
    lent = folder.parent / "lender" / "decoder.onnx"
    lent.parent.mkdir(exist_ok=True)
    lent.write_bytes(b"1")
    one = SimpleNamespace(folder="lender", file=lent.name, file_sha256=sha256_of(lent))
    monkeypatch.setattr(release, "read_recipe", lambda _: SimpleNamespace(siblings=(one,)))
    assert release.check(folder) > 0
    lent.write_bytes(b"2")
    with pytest.raises(ModelError, match="has changed since"):
        release.check(folder)
    lent.unlink()
    with pytest.raises(ModelError, match="has changed since"):
        release.check(folder)
