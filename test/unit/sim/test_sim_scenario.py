"""Scenario files: the shipped one loads; anything wrong is one named error at load."""

from pathlib import Path

import pytest
import yaml

from eo_nodes.contracts.errors import ConfigError
from eo_sim.scenario import load_scenario, parse_time

ROOT = Path(__file__).parents[3]
QUESTION = {
    "id": "q1", "prompt": "how many?", "modality": "sar", "scene": "port", "window": [0, 0, 8, 8],
    "answer": "3", "type": "count",
}  # fmt: skip
GOOD = {
    "name": "t", "start": "2026-08-28T06:08:00Z", "duration_s": 100, "satellite": "s",
    "stations": ["a"], "captures": [{"file": "rgb__port.png", "at_s": [20, 10]}],
    "questions": "questions.yaml", "asked_at_s": 5, "deadline_s": 90,
}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """Write a scenario, changed in places; return its path."""

    def make(rows=({},), raw=None, **changes):
        (tmp_path / "rgb__port.png").write_bytes(b"x")
        asked = [{**QUESTION, **row} for row in rows]
        (tmp_path / "questions.yaml").write_text(yaml.safe_dump({"questions": asked}))
        tree = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
        path = tmp_path / "scenario.yaml"
        path.write_bytes(yaml.safe_dump(tree).encode() if raw is None else raw)
        return path

    return make


def test_shipped_demo_holds_what_it_promises():
    scenario = load_scenario(ROOT / "config" / "scenarios" / "demo.yaml")
    assert len(scenario.questions) >= 32
    assert len({question.task.modality for question in scenario.questions}) >= 5
    assert len(scenario.stations) >= 2
    places = {capture.place for capture in scenario.captures}
    assert {question.task.place for question in scenario.questions} <= places
    assert all(question.truth for question in scenario.questions)
    assert {"image", "compressed", "folder"} == {capture.via for capture in scenario.captures}


def test_defaults_come_from_the_file_and_its_names(write):
    scenario = load_scenario(write())
    capture = scenario.captures[0]
    assert [item.at_s for item in scenario.captures] == [10.0, 20.0]
    assert (capture.sensor, capture.place, capture.via) == ("rgb", "port", "folder")
    question = scenario.questions[0]
    assert (question.at_s, question.task.deadline_ns, question.truth) == (5.0, 90 * 10**9, "3")
    assert (question.task.id, question.task.window) == ("task-q1", (0, 0, 8, 8))


@pytest.mark.parametrize(
    "key", ["name", "start", "duration_s", "satellite", "stations", "captures"]
)
def test_missing_key_is_named(write, key):
    with pytest.raises(ConfigError, match=key):
        load_scenario(write(**{key: None}))


@pytest.mark.parametrize(
    "changes",
    [
        {"start": "2026-08-28T06:08:00"},
        {"start": "yesterday"},
        {"duration_s": "long"},
        {"duration_s": float("nan")},
        {"duration_s": 0},
        {"duration_s": float("inf")},
        {"captures": [{"file": "absent.png", "at_s": 1}]},
        {"captures": [{"file": "rgb__port.png", "at_s": 1, "via": "pigeon"}]},
        {"captures": [{"file": "rgb__port.png"}]},
        {"captures": [{"file": "rgb__port.png", "at_s": -1}]},
        {"captures": ["rgb__port.png"]},
        {"captures": 5},
        {"questions": "absent.yaml"},
        {"deadline_s": float("inf")},
        {"asked_at_s": float("nan")},
    ],
    ids=str,
)
def test_bad_scenario_is_a_config_error(write, changes):
    load_scenario(write())
    with pytest.raises(ConfigError):
        load_scenario(write(**changes))


@pytest.mark.parametrize("raw", [b"", b"[]", b"7", b"a: [", b"\xff\xfe\x00", b"text"])
def test_file_that_is_no_scenario_is_a_config_error(write, raw):
    with pytest.raises(ConfigError):
        load_scenario(write(raw=raw))


@pytest.mark.parametrize(
    "row",
    [
        {"modality": "lidar"},
        {"prompt": ""},
        {"prompt": "x" * 3000},
        {"window": [0, 0, 0, 8]},
        {"window": ["a"]},
        {"window": 5},
        {"priority": 9},
        {"consumer": "moon"},
        {"deadline_s": float("nan")},
    ],
    ids=str,
)
def test_bad_question_is_a_config_error(write, row):
    with pytest.raises(ConfigError):
        load_scenario(write(rows=[row]))


def test_two_questions_of_one_id_are_a_config_error(write):
    with pytest.raises(ConfigError, match="same id"):
        load_scenario(write(rows=[{}, {}]))


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2026-08-28T06:08:00.25Z", 1_787_897_280_250_000_000),
        ("1969-12-31T23:59:59Z", -(10**9)),
    ],
)
def test_time_is_exact_to_the_ns(text, ns):
    assert parse_time(text) == ns


def test_two_satellites_each_have_their_captures_and_the_questions_about_them():
    path = ROOT / "config" / "scenarios" / "pair.yaml"
    first, second = load_scenario(path, "sat1"), load_scenario(path, "sat2")
    assert (first.satellite, second.satellite) == ("skybee_1", "sentinel_2a")
    assert (first.start_ns, first.stations) == (second.start_ns, second.stations)
    for one in (first, second):
        places = {capture.place for capture in one.captures}
        assert one.questions and {q.task.place for q in one.questions} == places
    ids = [q.task.id for one in (first, second) for q in one.questions]
    assert len(set(ids)) == len(ids)


def test_a_satellite_that_does_not_fly_is_one_named_error(write):
    with pytest.raises(ConfigError, match="no satellite for segment 'sat3'"):
        load_scenario(ROOT / "config" / "scenarios" / "pair.yaml", "sat3")
    with pytest.raises(ConfigError, match="no satellite for segment 'sat2'"):
        load_scenario(write(), "sat2")
    with pytest.raises(ConfigError, match=r"scenario\.yaml"):
        load_scenario(write(satellites=["sat1"]))
    with pytest.raises(ConfigError, match=r"scenario\.yaml"):
        load_scenario(write(satellites={"sat1": 3}))
