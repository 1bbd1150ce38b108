"""Ten rows a set: both released models answer real test chips as they did when released."""

import json
from pathlib import Path

import pytest

from training.evaluation import fixtures
from training.evaluation.sets import open_library
from training.evaluation.subject import Subject
from training.instruct.sources import SETS

ROOT = Path(__file__).resolve().parents[3]
CHIPS = ROOT / "test" / "data" / "chips"
# Another processor rounds differently: an answer on the edge may flip.
LEAST_SAME = 0.95


@pytest.fixture(scope="module")
def library():
    return open_library(CHIPS)


def test_every_set_has_chips_with_a_licence(library):
    page = (CHIPS / "README.md").read_text()
    assert set(library.names) == set(SETS) == set(fixtures.LICENCES)
    assert all(f"| {name} | {len(library.samples(name, 'test'))} |" in page for name in SETS)


def test_chips_are_few_bytes():
    size = sum(f.stat().st_size for f in CHIPS.rglob("*") if f.is_file())
    assert size <= fixtures.MOST_BYTES


@pytest.mark.parametrize("name", ["compact", "regular"])
def test_models_answer_the_chips_as_when_released(name, library):
    expected = json.loads(fixtures.expected_path(CHIPS, name).read_text())
    subject = Subject(ROOT / "models" / name)
    assert subject.digest == expected["digest"], "run: python -m training.evaluation.fixtures"
    found = fixtures.answers(subject, library)
    told = expected["rows"]
    assert [r["key"] for r in found] == [r["key"] for r in told]
    by_set = [r["set"] for r in told]
    assert {s: by_set.count(s) for s in SETS} == dict.fromkeys(SETS, fixtures.ROWS)
    same = [a["answer"] == b["answer"] for a, b in zip(found, told, strict=True)]
    differing = [(a, b) for a, b, s in zip(found, told, same, strict=True) if not s]
    assert sum(same) >= LEAST_SAME * len(same), differing[:5]
    close = [abs(a["confidence"] - b["confidence"]) < 0.05
             for a, b, s in zip(found, told, same, strict=True) if s]
    assert sum(close) >= LEAST_SAME * len(close)


def test_tiles_of_two_sensors_and_boxes_are_among_the_questions(library):
    able = frozenset({"text", "dates", "places", "visual_prompts", "sensors", "video"})
    rows = fixtures.rows_of(library, "s1s2_pairs", able)
    assert len(rows) == fixtures.ROWS == len({ask.key for _, _, ask in rows})
    assert sorted(ask.truth for *_, ask in rows) == ["no"] * 9 + ["yes"]
    for _, tiles, ask in rows:
        optical, sar = tiles.images
        assert (optical.modality, sar.modality) == ("optical", "sar")
        assert (ask.truth == "yes") is (tiles.own.id == tiles.other.id)
    assert fixtures.rows_of(library, "s1s2_pairs", able - {"sensors"}) == []
    boxed = {c.name for s in SETS for c, *_ in fixtures.rows_of(library, s, able)}
    assert {"hit_uav.boxes", "trees.boxes", "s2_ships.boxes", "objects_rgb.boxes"} <= boxed


def content(**answers):
    rows = [{"set": "s", "cell": "s.c", "key": k, "prompt": "p", "answer": a, "confidence": c,
             "error": ""} for k, (a, c) in answers.items()]
    return {"digest": "d" * 64, "rows": rows}


def test_renewing_says_what_changed():
    old = content(a=("yes", 0.5), b=("no", 0.5), c=("3", 0.5), gone=("x", 0.5))
    new = content(a=("yes", 0.51), b=("yes", 0.5), c=("3", 0.7), new=("y", 0.5))
    assert fixtures.changes(old, new) == [
        "s.c gone: no longer asked", "s.c b: 'no' -> 'yes'", "s.c new: new, 'y'",
        "1 same answers with a confidence moved by 0.05 or more"]
    assert fixtures.changes(old, old) == []
    assert fixtures.changes({}, {"digest": "e" * 64, "rows": []}) == [
        "weights none -> eeeeeeeeeeee"]


def test_checking_writes_nothing_and_fails_on_a_change(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fixtures, "expected_of", lambda folder, chips: content(a=("yes", 0.5)))
    command = ["--chips", str(tmp_path), "--model", "compact"]
    assert fixtures.main([*command, "--check"]) == 1
    assert not list(tmp_path.iterdir()) and "s.c a: new, 'yes'" in capsys.readouterr().out
    assert fixtures.main(command) == 0
    assert fixtures.main([*command, "--check"]) == 0
    assert "compact: 0 changes" in capsys.readouterr().out
