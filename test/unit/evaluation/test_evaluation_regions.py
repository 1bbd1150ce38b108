"""The regions measurement: scenes, the rule of what is held, policies at equal bytes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.values import Region
from eo_nodes.decision.relevance import Cues, RelevanceConfig
from eo_nodes.decision.sending import SendingConfig
from eo_nodes.lvlm.manifest import answers_digest, read_manifest
from eo_sim.study.kept import kept_regions
from training.evaluation.mosaics import Mosaic, mosaics
from training.evaluation.policies import (
    ORACLE,
    OURS,
    WRONG,
    Told,
    coder_of,
    relevance_map,
    send,
)
from training.evaluation.regions import (
    POLICIES,
    Held,
    count_held,
    interval,
    is_inside,
    is_right,
    keep,
    likeness,
    limits,
    main,
    patch,
    points_lost,
    prompts,
    recall,
    summary,
)
from training.instruct.sources import Library

TINY = Path(__file__).parents[2] / "data" / "lvlm" / "tiny_unified"
CHIPS = Path(__file__).parents[2] / "data" / "chips"


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(CHIPS, 64 << 20)


@pytest.fixture(scope="module")
def scene() -> Mosaic:
    """Two kinds of small bright things on rough ground, apart."""
    rng = np.random.default_rng(2)
    ground = np.kron(rng.integers(20, 140, (30, 30)), np.ones((8, 8)))
    pixels = (ground + rng.normal(0, 5, ground.shape)).clip(0, 150)
    boxes = []
    for x, y in ((40, 40), (60, 44), (48, 70)):
        pixels[y : y + 8, x : x + 10] = 250
        boxes.append((x, y, x + 10, y + 8))
    return Mosaic("made.vehicle.0", "made", "vehicle", pixels.astype(np.uint8)[None, :, :, None],
                  ("lwir",), "thermal", np.array(boxes, float), ("person",), ("a", "b"))


def told(scene: Mosaic, boxes: np.ndarray) -> Told:
    return Told(Cues(np.full((4, 4), 0.1), boxes, np.full(len(boxes), 0.9)), 0)


@pytest.mark.parametrize(("grid", "full"), [(2, 1), (3, 3)])
def test_few_chips_of_a_scene_hold_the_kind_and_it_is_the_same_each_time(
    library: Library, grid: int, full: int
) -> None:
    scenes = mosaics(library, "hit_uav", "test", most=2, grid=grid)
    again = mosaics(library, "hit_uav", "test", most=2, grid=grid)
    assert [s.name for s in scenes] == [s.name for s in again] and scenes
    for one, other in zip(scenes, again, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert len(one.boxes) and len(one.chips) == grid**2
        height, width = one.pixels.shape[1:3]
        assert (one.boxes[:, :2] >= 0).all() and (one.boxes[:, 2:] <= [width, height]).all()
        chip = (height // grid, width // grid)
        found = {(int(b[1] // chip[0]), int(b[0] // chip[1])) for b in one.boxes}
        assert len(found) <= full


def test_pixels_of_a_scene_are_those_of_the_chips(library: Library) -> None:
    (scene, *_) = mosaics(library, "hit_uav", "test", most=1, grid=3)
    height, width = (side // 3 for side in scene.pixels.shape[1:3])
    for place, key in enumerate(scene.chips):
        y, x = place // 3 * height, place % 3 * width
        chip = library.pixels(library.sample(*key.split("/", 1)))[:height, :width]
        assert np.array_equal(scene.pixels[0, y : y + height, x : x + width], chip)


def test_a_question_names_the_kind_and_a_wrong_one_another(scene: Mosaic) -> None:
    asked, wrong = prompts(scene)
    assert "vehicles" in asked and "people" in wrong


def test_likeness_falls_with_what_is_lost(scene: Mosaic) -> None:
    whole = patch(scene.pixels, scene.boxes[0])
    noisy = whole + np.random.default_rng(1).normal(0, 60, whole.shape)
    assert likeness(whole, whole) == pytest.approx(1)
    assert likeness(whole * 0.5 + 30, whole) == pytest.approx(1)  # brightness is no detail
    assert likeness(noisy, whole) < 0.9
    assert likeness(np.full_like(whole, 9), whole) == 0


def test_what_was_not_sent_or_not_shown_is_not_held(scene: Mosaic) -> None:
    height, width = scene.pixels.shape[1:3]
    all_of_it = (Region(window=(0, 0, width, height), action="keep", scale=1.0),)
    assert sum(count_held(scene, scene.pixels, all_of_it)[0]) == 3
    flat = np.full_like(scene.pixels, 80)
    held, inside, n = (sum(c) for c in count_held(scene, flat, all_of_it))
    assert (held, inside, n) == (0, 3, 3)
    west = (Region(window=(0, 0, 55, height), action="keep", scale=1.0),
            Region(window=(55, 0, width - 55, height), action="drop"))  # fmt: skip
    assert [is_inside(b, west) for b in scene.boxes] == [True, False, True]


def test_all_policies_keep_to_the_same_bytes(scene: Mosaic) -> None:
    coder, config = coder_of(scene), SendingConfig()
    found, budget = told(scene, scene.boxes / 240), 0.06 * scene.pixels.nbytes
    for policy in POLICIES:
        map_ = None if policy == "uniform" else relevance_map(
            OURS if policy == "fixed" else policy, scene, found, found, RelevanceConfig())
        came, regions, sent = send(policy, scene, coder, map_, budget, config)
        assert sent <= budget, policy
        assert came.shape == scene.pixels.shape and regions


def test_the_right_prompt_holds_more_than_a_wrong_one_and_no_more_than_the_oracle(
    scene: Mosaic,
) -> None:
    coder, config, budget = coder_of(scene), SendingConfig(), 0.05 * scene.pixels.nbytes
    right = told(scene, scene.boxes / 240)
    wrong = told(scene, np.array([[0.7, 0.7, 0.75, 0.75], [0.8, 0.8, 0.85, 0.85]]))
    held = {}
    for policy in (OURS, WRONG, ORACLE):
        map_ = relevance_map(policy, scene, right, wrong, RelevanceConfig())
        came, regions, _ = send(policy, scene, coder, map_, budget, config)
        held[policy] = sum(count_held(scene, came, regions)[0])
    assert held[WRONG] < held[OURS] <= held[ORACLE] == 3


def test_recall_is_a_mean_over_kinds_with_an_interval_over_scenes() -> None:
    def row(cell: str, number: int, held: int, n: int) -> Held:
        held4, n4 = (held, 0, 0, 0), (n, 0, 0, 0)
        return Held(f"{cell}.{number}", cell, OURS, "raw", 1, 1.0, held4, held4, n4)

    rows = [row("a", 0, 5, 10), row("a", 1, 0, 90), row("b", 0, 1, 1)]
    assert recall(rows) == pytest.approx(100 * (0.05 + 1) / 2)
    low, high = interval(rows)
    assert low <= recall(rows) <= high and high - low > 10
    assert np.isnan(recall(rows, sizes=[1])) and np.isnan(interval(rows, sizes=[1])).all()
    small = [replace(r, held=(r.held[0] // 2, r.held[0] - r.held[0] // 2, 0, 0),
                     n=(r.n[0] // 2, r.n[0] - r.n[0] // 2, 0, 0)) for r in rows]
    assert interval(small) == interval(rows) != interval(small, sizes=[0])
    low, high = interval(small, sizes=[0])
    assert low <= recall(small, sizes=[0]) <= high


def test_bare_scenes_hold_none_of_the_kind_and_are_other_chips(library: Library) -> None:
    full = mosaics(library, "hit_uav", "test", most=2)
    bare = mosaics(library, "hit_uav", "test", most=2, is_bare=True)
    assert bare
    for scene in bare:
        assert scene.boxes.shape == (0, 4) and scene.name.endswith("b")
        assert not {kind for kind in scene.others if kind == scene.kind}
    assert not {s.name for s in full} & {s.name for s in bare}


def test_yes_is_wrong_where_there_is_none(scene: Mosaic) -> None:
    bare = replace(scene, name="made.vehicle.0b", boxes=np.zeros((0, 4)))
    assert [is_right(s, "presence", text) for s in (scene, bare) for text in ("yes", "no")] == [
        True, False, False, True]
    assert [is_right(scene, "count", text) for text in ("3", "4", "5", "many")] == [
        True, True, False, False]
    assert [is_right(bare, "count", text) for text in ("0", "1")] == [True, False]


def test_bare_scenes_count_for_answers_and_not_for_recall() -> None:
    row = Held("s.k.0", "s.k", "ours", "raw", 10, 20.0, (1, 0, 0, 0), (1, 0, 0, 0), (2, 0, 0, 0),
               (True, True))  # fmt: skip
    none = (0,) * 4
    bare = replace(row, scene="s.k.0b", held=none, inside=none, n=none, right=(False, True))
    whole = [replace(r, policy="everything", right=(True, True)) for r in (row, bare)]
    assert recall([row, bare]) == recall([row]) == 50.0
    assert interval([row, bare]) == interval([row])
    assert points_lost([row, bare], whole)["points"] == 25.0


def test_the_whole_scene_goes_in_the_finest_quality_that_fits(scene: Mosaic) -> None:
    coder = coder_of(scene)
    whole = Region(window=(0, 0, 240, 240), action="keep", scale=1.0)
    exact = coder.size((whole,))
    found = {share: send("uniform", scene, coder, None, share * exact, SendingConfig())
             for share in (1.0, 0.6, 0.05)}
    assert [regions[0].scale == 1 for _, regions, _ in found.values()] == [True, True, False]
    assert found[1.0][1][0].codec == "" and found[0.6][1][0].codec.startswith("htj2k/")
    assert all(0.5 * share < size / exact <= share for share, (_, _, size) in found.items())


def test_limits_are_told_for_each_budget() -> None:
    found = {"raw": {"ours": {"held_percent": 80.0, "points_lost": {"points": 2.04}}},
             "exact": {"ours": {"held_percent": 79.9}, "even": {"held_percent": 99.0}}}
    assert limits(found) == [
        "raw: 80.0 % held, at least 80: yes", "raw: 2.0 points of answers lost, at most 2: NO",
        "exact: 79.9 % held, at least 80: NO"]
    assert limits({"raw": {"even": {"held_percent": 99.0}}}) == []
    for high, said in ((74.9, "yes"), (75.1, "NO")):
        both = {OURS: {"held_percent": 80.0, "ci95": (75.0, 85.0)},
                WRONG: {"held_percent": 70.0, "ci95": (60.0, high)}}
        assert limits({"exact": both})[1] == (
            f"exact: 70.0 % held with a wrong prompt, clearly fewer: {said}")


def test_weights_are_never_tried_on_the_test_split(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--data", "nowhere", "--weights", "0.5,1,0,0.02", "--split", "test"])
    assert "val" in capsys.readouterr().err


def test_what_is_kept_for_the_study_is_small_and_reads_as_the_study_reads_it(tmp_path) -> None:
    def row(of: str, policy: str, number: int, held: int, *right: bool) -> Held:
        return Held(f"a.ship.{number}", "a.ship", policy, of, 10, 20.0, (held, 0, 0, 0),
                    (held, 0, 0, 0), (10, 0, 0, 0), right)  # fmt: skip

    rows = []
    for of in ("raw", "exact"):
        rows += [row(of, "ours", n, 9, True, False) for n in range(3)]
        rows += [row(of, WRONG, n, 5, False, False) for n in range(3)]
    rows += [replace(r, policy="everything", right=(True, True)) for r in rows[:3]]
    file = tmp_path / "study" / "regions.json"
    folders = {name: tmp_path / name for name in ("compact", "regular")}
    for folder in folders.values():
        shutil.copytree(TINY, folder)
    keep(file, summary(rows), {
        "command": "it", "models": {k: answers_digest(v) for k, v in folders.items()},
        "split": "test", "share": 0.05, "scenes": 3, "cells": ["a.ship"]})  # fmt: skip
    assert "NaN" not in file.read_text() and file.stat().st_size < 6000
    found = kept_regions(file, {k: read_manifest(v).digest for k, v in folders.items()}, folders)
    ours = found["tables"]["raw"]["ours"]
    assert (ours["held_percent"], ours["by_size"]["12-24 px"]) == (90, None)
    assert ours["by_size_ci95"]["0-12 px"] == [90, 90]
    assert ours["by_size_ci95"]["12-24 px"] == [None, None]
    assert ours["points_lost"]["points"] == 50
    assert found["limits"]["exact"] == {
        "held": True, "points_lost": False, "wrong_is_worse": True}  # fmt: skip


@pytest.mark.parametrize(
    "odd", [["--split", "val"], ["--sets", "trees"], ["--share", "0.1"], ["--policies", "ours"],
            ["--grid", "3"]])
def test_only_the_whole_measurement_on_test_is_kept(
    odd: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--data", "nowhere", "--keep", *odd])
    assert odd[0] in capsys.readouterr().err


def test_a_data_folder_that_lacks_a_set_is_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trees").symlink_to(CHIPS / "trees")
    assert main(["--data", str(tmp_path), "--keep"]) == 1
    said = capsys.readouterr().err
    assert "lacks hit_uav, objects_rgb" in said and "trees" not in said.partition("lacks")[2]
