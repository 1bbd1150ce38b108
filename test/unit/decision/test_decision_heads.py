"""Heads as a folder brings them: what is refused, what every score obeys."""

import json

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.decision.heads import FACTS, NUMBERS, TARGETS, Scores, has_heads, read_heads

SIZES = {"facts": 3, "prompt": 4, "evidence": 5, "hidden": 6}


def numbers_of(seed=0, members=2):
    rng = np.random.default_rng(seed)
    found = {}
    for stage in (1, 2, 3):
        at = f"s{stage}."
        found[f"{at}limit"] = np.array([1e6])
        found[f"{at}mean"] = rng.normal(size=18).astype(np.float32)
        for name, size in SIZES.items():
            found[f"{at}project.{name}"] = rng.normal(size=(size, min(size, 4))).astype(np.float32)
        width = sum(min(size, 4) for size in SIZES.values())
        for k in range(members):
            found |= {f"{at}m{k}.in": rng.normal(size=(width, 7)),
                      f"{at}m{k}.in_bias": rng.normal(size=7),
                      f"{at}m{k}.out": rng.normal(size=(7, 3)),
                      f"{at}m{k}.out_bias": rng.normal(size=3)}
        for name in TARGETS:
            low = -0.5 if name == "gain" else 0.1
            found |= {f"{at}{name}.x": np.array([0.2, 0.8]), f"{at}{name}.y": np.array([low, 0.9])}
    return found


def facts_of(**change):
    link = {"kind": "temperature", "scale": 0.5, "shift": 0.1}
    stage = {"calibration": dict.fromkeys(TARGETS, link), "far": [40.0, 90.0]}
    return {"version": 1, "sizes": SIZES, "members": 2, "there": 0.8, "alike_gain": 0.5,
            "stages": {str(s): stage for s in (1, 2, 3)}, **change}


def put(folder, numbers=None, facts=None):
    np.savez(folder / NUMBERS, **(numbers_of() if numbers is None else numbers))
    (folder / FACTS).write_text(json.dumps(facts_of() if facts is None else facts))
    return folder


def features(seed, scale=1.0):
    return np.random.default_rng(seed).normal(size=18) * scale


def test_scores_are_chances_at_any_input(tmp_path):
    heads = read_heads(put(tmp_path))
    for seed in range(100):
        for stage in (1, 2, 3):
            s = heads.scores(stage, features(seed, 10.0 ** (seed % 7 - 2)))
            assert 0 <= s.correct <= 1 and 0 <= s.alike <= 1 and -1 <= s.gain <= 1
            assert s.distance >= 0 and s.is_familiar == (s.distance <= 1)


def test_same_tap_same_scores(tmp_path):
    heads = read_heads(put(tmp_path))
    x = features(5)
    assert heads.scores(2, x) == heads.scores(2, tuple(x.tolist()))


def test_abstains_far_from_what_it_knows(tmp_path):
    numbers = numbers_of()
    heads = read_heads(put(tmp_path, numbers))
    near = numbers["s1.mean"].astype(float)
    assert heads.scores(1, near).distance == pytest.approx(0, abs=1e-9)
    far = near.copy()
    far[-6:] += 100.0  # the hidden state
    assert not heads.scores(1, far).is_familiar
    other = near.copy()
    other[:7] += 100.0  # another wording, other token statistics: no reason to abstain
    assert heads.scores(1, other).is_familiar


def test_a_prompt_worded_in_a_new_way_counts_as_the_mean_prompt(tmp_path):
    numbers = numbers_of()
    matrix = numbers["s1.project.prompt"]
    matrix[:, :] = 0
    matrix[0, 0] = 1.0  # knows one direction of four
    numbers["s1.limit"] = np.array([0.5])
    heads = read_heads(put(tmp_path, numbers))
    mean = numbers["s1.mean"].astype(float)
    known, new = mean.copy(), mean.copy()
    known[3] += 2.0
    new[3:5] += 2.0
    assert heads.scores(1, known) != heads.scores(1, mean) == heads.scores(1, new)


def test_isotonic_calibration_is_monotone_and_bounded(tmp_path):
    link = {"kind": "isotonic", "scale": 1.0, "shift": 0.0}
    facts = facts_of()
    for stage in facts["stages"].values():
        stage["calibration"] = dict.fromkeys(TARGETS, link)
    raw = facts_of()
    one, other = (tmp_path / n for n in ("a", "b"))
    one.mkdir(), other.mkdir()
    bent, plain = read_heads(put(one, facts=facts)), read_heads(put(other, facts=raw))
    pairs = sorted((plain.scores(3, features(s)).correct, bent.scores(3, features(s)).correct)
                   for s in range(60))
    said = [b for _, b in pairs]
    assert said == sorted(said) and min(said) >= 0.1 and max(said) <= 0.9


def test_targets_for_routing(tmp_path):
    heads = read_heads(put(tmp_path))
    scores = Scores(correct=0.6, alike=0.2, gain=0.15, distance=0.1, is_familiar=True)
    assert heads.wanted(scores, "gain") == (0.6, 0.15)
    assert heads.wanted(scores, "correct") == (0.6, pytest.approx(0.2))
    assert heads.wanted(scores, "alike") == (0.2, pytest.approx(0.4))
    with pytest.raises(ModelError, match="unknown target"):
        heads.wanted(scores, "price")


@pytest.mark.parametrize("x", [np.zeros(17), np.zeros((1, 18)), np.full(18, np.nan), ()])
def test_other_features_are_refused(tmp_path, x):
    with pytest.raises(ModelError, match="expected"):
        read_heads(put(tmp_path)).scores(1, x)


def test_other_stages_are_refused(tmp_path):
    with pytest.raises(ModelError, match="stage 4"):
        read_heads(put(tmp_path)).scores(4, features(0))


def changed(**change):
    return {**numbers_of(), **change}


def without(name):
    return {k: v for k, v in numbers_of().items() if k != name}


@pytest.mark.parametrize(
    ("numbers", "facts"),
    [
        (without("s2.mean"), None), (without("s2.limit"), None),
        (without("s3.m1.out"), None), (without("s1.gain.x"), None),
        (changed(**{"s1.mean": np.zeros(17)}), None),
        (changed(**{"s1.mean": np.full(18, np.inf)}), None),
        (changed(**{"s1.project.hidden": np.zeros((5, 4))}), None),
        (changed(**{"s1.m0.in": np.zeros((3, 7))}), None),
        (changed(**{"s1.m0.out": np.zeros((7, 2))}), None),
        (changed(**{"s1.correct.y": np.array([0.9, 0.1])}), None),
        (None, facts_of(version=2)), (None, facts_of(members=3)), (None, facts_of(members=0)),
        (None, facts_of(sizes={"facts": 3})), (None, facts_of(stages={})), (None, []),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(tmp_path, numbers, facts):
    with pytest.raises(ModelError, match="heads do not fit"):
        read_heads(put(tmp_path, numbers, facts))


def test_damaged_files_are_refused_as_such(tmp_path):
    assert not has_heads(tmp_path)
    with pytest.raises(ModelError):
        read_heads(tmp_path)
    put(tmp_path)
    assert has_heads(tmp_path)
    data = (tmp_path / NUMBERS).read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 5):
        (tmp_path / NUMBERS).write_bytes(data[:cut])
        with pytest.raises(ModelError, match="heads do not fit"):
            read_heads(tmp_path)
