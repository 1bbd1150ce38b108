"""Collecting for routing heads: only what is held back, balanced, resumable, from both models."""

import json
from pathlib import Path

import pytest

from eo_nodes.lvlm.manifest import answers_digest
from training.decision import collect as collecting
from training.decision import train
from training.decision.collect import collect, journal_of
from training.decision.questions import HELD, open_split, questions
from training.decision.rows import join, read
from training.instruct.sources import is_held_for_routing

TINY = Path(__file__).parents[1] / "data" / "lvlm" / "tiny_unified"


@pytest.fixture(scope="module")
def asked(data):
    library, split = open_split(data, HELD)
    return questions(library, split, 4)


def test_only_the_held_share_of_the_training_splits_is_asked(data, asked):
    assert asked and all(is_held_for_routing(f"{q.sample.set_name}/{q.sample.id}")
                         for q in asked if q.cell.source is None)
    library, _ = open_split(data, HELD)
    assert library.samples("eurosat_rgb", "val") == []
    every, _ = open_split(data, "val")
    assert {s.split for s in every.samples("eurosat_rgb", "val")} == {"val"}


def test_kinds_are_dealt_in_turns_and_a_longer_draw_begins_with_the_shorter(data, asked):
    library, split = open_split(data, HELD)
    kinds = [q.kind for q in asked]
    first = kinds[: len(set(kinds))]
    assert len(set(first)) == len(first) > 5
    shorter = [q.key for q in questions(library, split, 2)]
    assert set(shorter) <= {q.key for q in asked}
    assert [q.key for q in questions(library, split, 4)] == [q.key for q in asked]


def test_a_stopped_run_goes_on_and_asks_nothing_twice(asked, tmp_path, monkeypatch):
    some = asked[:6]
    path = collect(TINY, "compact", some[:3], tmp_path, HELD, say=lambda text: None)
    assert path == journal_of(tmp_path, HELD, "compact", answers_digest(TINY))
    with path.open("ab") as torn:
        torn.write(b'{"key": "half a li')
    collect(TINY, "compact", some, tmp_path, HELD, say=lambda text: None)
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert keys == [q.key for q in some]
    monkeypatch.setattr(collecting, "ask", None)  # nothing is asked again
    collect(TINY, "compact", some, tmp_path, HELD, say=lambda text: None)


def test_time_limit_stops_before_the_next_question(asked, tmp_path):
    said = []
    path = collect(TINY, "regular", asked, tmp_path, HELD, until=0.0, say=said.append)
    assert path.read_bytes() == b"" and said == [f"regular: time is up at 0 of {len(asked)}"]


def test_what_is_collected_can_be_learnt_from(asked, tmp_path, monkeypatch):
    # One model under both names says the same only if it may speak as long.
    monkeypatch.setattr(collecting, "REGULAR_TOKENS", collecting.COMPACT_TOKENS)
    some = asked[:12]
    for which in ("compact", "regular"):
        collect(TINY, which, some, tmp_path, HELD, say=lambda text: None)
    rows = train.rows_of(tmp_path, HELD, TINY, TINY)
    assert len(rows) == 12 and (rows.alike == 1).all() and (rows.gain == 0).all()
    assert all(f.shape == (12, sum(rows.sizes.values())) for f in rows.features)
    assert (rows.macs[:, 0] <= rows.macs[:, 1]).all() and (rows.macs[:, 1] <= rows.macs[:, 2]).all()
    assert (rows.tokens[:, 0] == 0).all() and (rows.tokens[:, 2] >= 1).all()
    own = read(journal_of(tmp_path, HELD, "compact", answers_digest(TINY)))
    assert len(join(own, own)) == 12
