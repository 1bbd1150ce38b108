"""Where a prompt looks: named kinds, proposals of these, cells in the language space."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import ViewTensor, load_model
from eo_nodes.lvlm.calibration import (
    Calibration,
    KindCalibration,
    StageCalibration,
    read_calibration,
)
from eo_nodes.lvlm.cues import chances_of, cosines, named_kinds, seen_of
from eo_nodes.lvlm.proposals import Proposals, keep
from eo_nodes.lvlm.unified_scene import Scene

KINDS = ("aircraft", "vehicle", "ship", "person", "tree", "bicycle")
MODEL = SimpleNamespace(config=SimpleNamespace(kinds=KINDS), calibration={})
TINY = Path(__file__).parents[2] / "data" / "lvlm" / "tiny_unified"


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("How many cars are there?", {"vehicle"}),
        ("Count the buses and the bicycles.", {"vehicle", "bicycle"}),
        ("Are any SHIPS visible? Or boats?", {"ship"}),
        ("Is there a person?", {"person"}),
        ("Is it a rural or an urban area?", set()),
        ("Where are the cargo carriers?", set()),
    ],
)
def test_a_prompt_names_kinds_by_whole_words(prompt: str, named: set[str]) -> None:
    found = named_kinds(prompt, KINDS)
    assert {k for k, f in zip(KINDS, found, strict=True) if f} == named


def test_a_session_without_a_scene_has_attention_alone() -> None:
    relevance = np.array([[0.1, 0.9]], np.float32)
    session = SimpleNamespace(tap=lambda: SimpleNamespace(relevance=relevance))
    seen = seen_of(session, "cars?", MODEL)
    assert seen.attention.tolist() == relevance.tolist()
    assert seen.boxes.shape == (0, 4) and seen.chances.size == 0
    assert cosines(seen.meanings, np.ones(384)).size == 0


def test_only_proposals_of_a_named_kind_count() -> None:
    model = load_model(TINY, threads=1)
    rng = np.random.default_rng(8)
    values = rng.integers(0, 255, (1, 96, 96, 3), dtype=np.uint8)
    view = ViewTensor(values, ("red", "green", "blue"), "optical", (0, 0, 96, 96), "overview")
    kinds = model.config.kinds  # type: ignore[attr-defined]
    named = {k: f"How many {k}s are there?" for k in kinds if named_kinds(k, kinds).any()}
    session = model.start([view], "is there water?", max_tokens=4)
    seen = {k: seen_of(session, prompt, model) for k, prompt in named.items()}
    nothing = seen_of(session, "is there water?", model)
    assert not nothing.chances.any()
    for one in seen.values():
        assert one.boxes.shape == (len(one.chances), 4)
        assert ((one.chances >= 0) & (one.chances <= 1)).all()
        assert one.meanings.ndim == 3 and np.isfinite(one.meanings).all()
        close = cosines(one.meanings, np.ones(one.meanings.shape[2]))
        assert close.shape == one.meanings.shape[:2] and (np.abs(close) <= 1 + 1e-6).all()


BOXES = np.array([[0.1 * i, 0.1, 0.1 * i + 0.05, 0.2] for i in range(3)], np.float32)


def session_of(kinds: NDArray[np.float32]) -> SimpleNamespace:
    """At tap 1 of a scene with three proposals, the best of which the decoder reads."""
    every = Proposals(kinds.max(1), BOXES, kinds, np.zeros((3, 4), np.float32))
    kept = keep(every, most=1)
    assert len(kept.score) == 1 and kept.offered is every
    feed = SimpleNamespace(pixels=np.zeros((1, 1, 32, 64)))
    see = SimpleNamespace(cell_meaning=np.zeros((1, 2, 384), np.float32))
    scene = Scene(**dict.fromkeys(f.name for f in fields(Scene)))  # type: ignore[arg-type]
    scene = replace(scene, regions=(kept,), seen=((feed, see),))  # type: ignore[arg-type]
    tap = SimpleNamespace(relevance=np.zeros((1, 2), np.float32))
    return SimpleNamespace(tap=lambda: tap, scene=scene)


def model_of(calibration: Mapping[int, StageCalibration]) -> SimpleNamespace:
    """Of two kinds."""
    return SimpleNamespace(
        config=SimpleNamespace(kinds=("aircraft", "vehicle")), calibration=calibration)


def test_what_the_decoder_does_not_read_counts_as_well() -> None:
    kinds = np.array([[0.9, 0.02], [0.8, 0.1], [0.03, 0.4]], np.float32)
    found = seen_of(session_of(kinds), "how many vehicles?", model_of({}))
    assert found.chances.round(4).tolist() == [0.4]  # of its kind, not of any
    assert np.allclose(found.boxes, BOXES[2:])


def test_chances_are_put_on_one_scale_before_kinds_are_compared() -> None:
    kinds = np.array([[0.5, 0.2], [0.5, 0.2], [0.05, 0.6]], np.float32)
    weights, bias = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.0, 2.0])
    scale = Calibration({}, KindCalibration(("aircraft", "vehicle"), weights, bias))
    plain = seen_of(session_of(kinds), "any vehicles?", model_of({}))
    scaled = seen_of(session_of(kinds), "any vehicles?", model_of(scale))
    assert np.allclose(plain.chances[0], 0.2 * 0.4**2)
    raised = 1 / (1 + 4 * np.exp(-2.0))  # more than the other kind's now: nothing taken off
    assert np.allclose(scaled.chances[0], raised) and raised > 0.5


def test_a_kind_may_count_less_where_another_is_seen() -> None:
    scale = KindCalibration(("tree", "boat"), np.array([[1.0, -1.0], [0.0, 1.0]]), np.zeros(2))
    found = scale.chances(np.array([[0.6, 0.1], [0.6, 0.9], [0.0, 1.0]]))
    assert found[0, 0] > 0.9 and found[1, 0] < 0.2 and np.isfinite(found).all()
    assert np.allclose(found[:2, 1], [0.1, 0.9])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (None, ""),
        ({}, ""),
        ({"names": ["ship", "boat"]}, "boat"),
        ({"bias": [0.0]}, "bias"),
        ({"weights": [[1.0, 0.0]]}, "weights"),
        ({"bias": [0.0, float("nan")]}, "no number"),
        ({"names": None}, "does not fit"),
    ],
)
def test_a_folder_may_bring_a_scale_of_its_kinds(
    tmp_path: Path, entry: dict[str, object] | None, said: str
) -> None:
    for name in ("calibration.json", "config.json"):
        shutil.copy(TINY / name, tmp_path)
    raw = json.loads((tmp_path / "calibration.json").read_text())
    whole = {"names": ["ship", "car"], "weights": np.eye(2).tolist(), "bias": [0.0] * 2}
    if entry is not None:
        raw["kinds"] = whole | entry
        (tmp_path / "calibration.json").write_text(json.dumps(raw))
    if said:
        with pytest.raises(ModelError, match=rf"calibration\.json.*{said}"):
            read_calibration(tmp_path)
        return
    found = read_calibration(tmp_path)
    assert set(found) == {1, 2, 3} and (found.kinds is None) == (entry is None)
    if found.kinds is not None:
        assert np.allclose(found.kinds.chances(np.array([[0.3, 0.3]])), 0.3)


def test_what_is_rather_of_another_kind_counts_less() -> None:
    kinds = np.array([[0.4, 0.2], [0.4, 0.4], [0.4, 0.8], [0.0, 0.9]])
    found = chances_of(kinds, np.array([1.0, 0.0]))
    assert np.allclose(found, [0.4, 0.4, 0.1, 0.0])
    assert np.allclose(chances_of(kinds, np.ones(2)), [0.4, 0.4, 0.8, 0.9])  # all are named
    assert not chances_of(kinds, np.zeros(2)).any()
    assert chances_of(np.zeros((0, 2)), np.ones(2)).shape == (0,)
