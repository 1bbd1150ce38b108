"""Where a prompt looks: named kinds, proposals of these, cells in the language space."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from eo_nodes.lvlm import ViewTensor, load_model
from eo_nodes.lvlm.cues import cosines, named_kinds, seen_of

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
