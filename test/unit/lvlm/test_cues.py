"""Where a prompt looks: named kinds, proposals of these, cells in the language space."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from eo_nodes.lvlm import ViewTensor, load_model
from eo_nodes.lvlm.cues import chances_of, cosines, named_kinds, seen_of
from eo_nodes.lvlm.proposals import Proposals, keep
from eo_nodes.lvlm.unified_scene import Scene

KINDS = ("aircraft", "vehicle", "ship", "person", "tree", "bicycle")
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
    seen = seen_of(session, "cars?", KINDS)
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
    seen = {k: seen_of(session, prompt, kinds) for k, prompt in named.items()}
    nothing = seen_of(session, "is there water?", kinds)
    assert not nothing.chances.any()
    for one in seen.values():
        assert one.boxes.shape == (len(one.chances), 4)
        assert ((one.chances >= 0) & (one.chances <= 1)).all()
        assert one.meanings.ndim == 3 and np.isfinite(one.meanings).all()
        close = cosines(one.meanings, np.ones(one.meanings.shape[2]))
        assert close.shape == one.meanings.shape[:2] and (np.abs(close) <= 1 + 1e-6).all()


def test_what_the_decoder_does_not_read_counts_as_well() -> None:
    kinds = np.array([[0.9, 0.02], [0.8, 0.1], [0.03, 0.4]], np.float32)
    boxes = np.array([[0.1 * i, 0.1, 0.1 * i + 0.05, 0.2] for i in range(3)], np.float32)
    every = Proposals(kinds.max(1), boxes, kinds, np.zeros((3, 4), np.float32))
    kept = keep(every, most=1)
    assert len(kept.score) == 1 and kept.offered is every
    feed = SimpleNamespace(pixels=np.zeros((1, 1, 32, 64)))
    see = SimpleNamespace(cell_meaning=np.zeros((1, 2, 384), np.float32))
    scene = Scene(**dict.fromkeys(f.name for f in fields(Scene)))  # type: ignore[arg-type]
    scene = replace(scene, regions=(kept,), seen=((feed, see),))  # type: ignore[arg-type]
    tap = SimpleNamespace(relevance=np.zeros((1, 2), np.float32))
    session = SimpleNamespace(tap=lambda: tap, scene=scene)
    found = seen_of(session, "how many vehicles?", ("aircraft", "vehicle"))
    assert found.chances.round(4).tolist() == [0.4]  # of its kind, not of any
    assert np.allclose(found.boxes, boxes[2:])


def test_what_is_rather_of_another_kind_counts_less() -> None:
    kinds = np.array([[0.4, 0.2], [0.4, 0.4], [0.4, 0.8], [0.0, 0.9]])
    found = chances_of(kinds, np.array([1.0, 0.0]))
    assert np.allclose(found, [0.4, 0.4, 0.1, 0.0])
    assert np.allclose(chances_of(kinds, np.ones(2)), [0.4, 0.4, 0.8, 0.9])  # all are named
    assert not chances_of(kinds, np.zeros(2)).any()
    assert chances_of(np.zeros((0, 2)), np.ones(2)).shape == (0,)
