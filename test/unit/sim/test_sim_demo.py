"""The driver of a run, before anything runs: whom it flies, and what it refuses."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("cyclonedds")

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.graph.paths import project_file
from eo_sim import demo
from eo_sim.scenario import load_scenario

PAIR = project_file("config/scenarios/pair.yaml")
ONE = demo.Flight("sat1", "ground", 42, load_scenario(PAIR, "sat1"))
TWO = demo.Flight("sat2", "ground2", 45, load_scenario(PAIR, "sat2"))


def settings_of(flights: list[demo.Flight]) -> dict[str, object]:
    given = demo._arguments(flights, PAIR, Path("out"), 0.0, {}, "pair", 0)
    pairs = [value.split("=", 1) for flag, value in pairwise(given) if flag == "--set"]
    return {name: json.loads(value) for name, value in pairs}


def test_satellites_that_fly_together_are_each_told_who_they_are_and_all_who_shares() -> None:
    settings = settings_of([ONE, TWO])
    assert settings["fleet"] == ["skybee_1", "sentinel_2a"]
    assert settings["sat1/satellite"] == settings["ground/satellite"] == "skybee_1"
    assert settings["sat2/satellite"] == settings["ground2/satellite"] == "sentinel_2a"
    assert "satellite" not in settings
    assert settings["contact_planner.stations"] == settings["link_emulator.stations"]


def test_one_that_flies_alone_has_no_fleet() -> None:
    settings = settings_of([ONE])
    assert settings["satellite"] == "skybee_1"
    assert not [name for name in settings if "fleet" in name or "/" in name]


@pytest.mark.parametrize(
    ("profile", "scenario", "message"),
    [
        ("flight", None, "'flight' has no satellite with its ground"),
        ("pear", None, "'pear' has no satellite with its ground"),
        ("pair", "config/scenarios/short.yaml", "no satellite for segment 'sat2'"),
    ],
)
def test_what_cannot_fly_is_refused_before_anything_is_removed(
    tmp_path: Path, profile: str, scenario: str | None, message: str
) -> None:
    kept = tmp_path / "out" / "kept"
    kept.parent.mkdir()
    kept.touch()
    path = project_file(scenario) if scenario else None
    with pytest.raises(ConfigError, match=message):
        demo.main(out_dir=tmp_path / "out", scenario=path, profile=profile)
    assert kept.exists()
