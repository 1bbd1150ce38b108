"""Chances of kinds on one scale: what labels say of proposals, what is fitted, where it goes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.lvlm.calibration import KindCalibration, read_calibration
from eo_nodes.lvlm.manifest import answers_digest, read_manifest
from eo_nodes.lvlm.model import load_model
from training.evaluation import kinds
from training.vision.plan import KINDS

TINY = Path(__file__).parents[2] / "data" / "lvlm" / "tiny_unified"
SHIP, TREE, VEHICLE = (KINDS.index(k) for k in ("ship", "tree", "vehicle"))


def test_labels_say_what_a_proposal_is_and_what_it_is_not():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60], [80, 0, 90, 10]], float)
    true = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [80, 0, 90, 10]], float)
    labelled = np.array([k == "ship" for k in KINDS], float)
    found = kinds.told(boxes, true, ["ship", "vehicle", None], labelled)
    assert found[:, SHIP].tolist() == [1, 1, 0, 0]
    # Of vehicles not all are labelled: one is known, ships are none, the rest is unknown.
    assert found[:3, VEHICLE].tolist() == [0, 0, 1] and np.isnan(found[3, VEHICLE])
    assert found[:3, TREE].tolist() == [0, 0, 0] and np.isnan(found[3, TREE])


def test_without_labels_of_a_kind_nothing_is_known():
    found = kinds.told(np.array([[0, 0, 9.0, 9.0]]), np.zeros((0, 4)), [], np.zeros(len(KINDS)))
    assert np.isnan(found).all()


def rows_of_trees():
    """True trees have a low chance of being one and none of being ships; boats the opposite."""
    rng = np.random.default_rng(5)
    chances = np.full((400, len(KINDS)), 0.02)
    is_one = np.full(chances.shape, np.nan)
    is_tree = np.arange(400) % 2 == 0
    chances[:, TREE] = np.where(is_tree, 0.2, 0.5) * rng.uniform(0.8, 1.2, 400)
    chances[:, SHIP] = np.where(is_tree, 0.01, 0.4) * rng.uniform(0.8, 1.2, 400)
    is_one[:, TREE], is_one[:, SHIP] = is_tree, ~is_tree
    return kinds.Rows(chances, is_one, np.arange(400) // 80)


def test_a_kind_is_regressed_where_that_sets_right_ones_first():
    rows = rows_of_trees()
    table = kinds.compared(rows)
    tree = table[TREE]
    assert tree["before"] < 50 and tree["after"] > 95 and (tree["n"], tree["right"]) == (400, 200)
    assert np.isnan(table[VEHICLE]["before"])
    assert kinds.gaining(table) == ["tree"]  # ships come first as they are
    found = kinds.fit(rows, ["tree"])
    after = found.chances(rows.chances)
    is_tree = rows.is_one[:, TREE] == 1
    assert after[is_tree, TREE].min() > after[~is_tree, TREE].max()
    others = np.delete(np.arange(len(KINDS)), TREE)
    assert np.allclose(after[:, others], rows.chances[:, others])


def test_a_left_out_fold_teaches_nothing():
    rows = rows_of_trees()
    lies = kinds.Rows(rows.chances, rows.is_one.copy(), rows.fold)
    own = rows.fold == 2
    lies.is_one[own, TREE] = 1 - lies.is_one[own, TREE]
    assert np.allclose(kinds.fit(rows, left_out=2).weights, kinds.fit(lies, left_out=2).weights)
    assert not np.allclose(kinds.fit(rows).weights, kinds.fit(lies).weights)


def test_average_precision():
    score, is_one = np.array([0.9, 0.8, 0.7]), np.array([1.0, 0.0, 1.0])
    assert kinds.precision(score, is_one) == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert np.isnan(kinds.precision(score, np.zeros(3)))


def test_a_written_scale_is_sealed_and_the_answers_stay(tmp_path):
    folder = Path(shutil.copytree(TINY, tmp_path / "compact"))
    before, stages = read_manifest(folder), dict(read_calibration(folder))
    scale = KindCalibration(("ship", "car"), np.array([[1.5, -0.25], [0, 1]]), np.array([0.5, 0]))
    kinds.write(folder, scale, 7, "held")
    after = read_manifest(folder)
    assert after.digest != before.digest and answers_digest(folder) == answers_digest(TINY)
    assert after.golden == before.golden and after.bands == before.bands
    found = load_model(folder).calibration
    assert dict(found) == stages and np.allclose(found.kinds.weights, scale.weights)


def test_a_model_of_other_kinds_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        kinds.main(["--data", str(tmp_path), "--model", str(TINY)])
    assert "ship, car" in capsys.readouterr().err
