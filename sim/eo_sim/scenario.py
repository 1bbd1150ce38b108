"""A scenario: when, which satellite and stations, what is captured and what is asked.

Read from ``config/scenarios/NAME.yaml``; the questions may stand in a file of their own. One for
several satellites names under ``satellites``, by space segment, what each has of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from eo_nodes.contracts.errors import ConfigError, ContractError
from eo_nodes.contracts.rules import MODALITIES
from eo_nodes.contracts.values import Task, validate


@dataclass(frozen=True, slots=True)
class Capture:
    """One capture.

    Attributes:
        at_s: after the start, orbital s.
        file: image file, absolute.
        sensor: name in sensors.yaml.
        place: name that questions select by.
        via: image (decoded, on a topic), compressed (the file's bytes on a topic) or folder.
    """

    at_s: float
    file: Path
    sensor: str
    place: str
    via: str


@dataclass(frozen=True, slots=True)
class Question:
    """A task with its truth.

    Attributes:
        at_s: when it is asked on the ground, after the start.
        task: as published; times in it are relative to the start until it is asked.
        truth: right answer from labels, empty when unknown.
        kind: type of question.
    """

    at_s: float
    task: Task
    truth: str
    kind: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that drives a run of one satellite."""

    name: str
    start_ns: int
    duration_s: float
    satellite: str
    stations: tuple[str, ...]
    captures: tuple[Capture, ...]
    questions: tuple[Question, ...]
    about: str


def parse_time(text: str) -> int:
    """ISO 8601 with Z or offset to ns since 1970-01-01 UTC.

    Raises:
        ConfigError: no such time, or no offset.
    """
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError as error:
        raise ConfigError(f"time {text!r}: {error}") from error
    if moment.tzinfo is None:
        raise ConfigError(f"time {text!r} has no offset")
    delta = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1000


def load_scenario(path: Path, segment: str = "sat1") -> Scenario:
    """Read and check a scenario.

    Args:
        segment: space segment of the satellite.
    Raises:
        ConfigError: a key is missing or wrong, or there is nothing for the segment; the text
            names it.
    """
    tree = _yaml(path)
    try:
        flown = tree.get("satellites", {"sat1": {}})
        if segment not in flown:
            raise ConfigError(f"{path.name}: has no satellite for segment {segment!r}")
        tree = {**tree, **flown[segment]}
        start_ns = parse_time(tree["start"])
        assets = (path.parent / tree.get("assets", ".")).resolve()
        captures = tuple(
            capture for entry in tree["captures"] for capture in _captures(entry, assets)
        )
        rows = _yaml(path.parent / tree["questions"])["questions"] if "questions" in tree else []
        asked_s = float(tree.get("asked_at_s", 0.0))
        deadline_s = float(tree.get("deadline_s", 0.0))
        if tree.get("only_captured", False):
            places = {capture.place for capture in captures}
            rows = [row for row in rows if row["scene"] in places]
        scenario = Scenario(
            name=str(tree["name"]),
            start_ns=start_ns,
            duration_s=float(tree["duration_s"]),
            satellite=str(tree["satellite"]),
            stations=tuple(map(str, tree["stations"])),
            captures=tuple(sorted(captures, key=lambda c: (c.at_s, c.file.name))),
            questions=tuple(_question(row, asked_s, deadline_s) for row in rows),
            about=str(tree.get("about", "")),
        )
    except (
        AttributeError, KeyError, TypeError, ValueError, OverflowError, ContractError,
    ) as error:  # fmt: skip
        raise ConfigError(f"{path.name}: {type(error).__name__} {error}") from error
    _check(scenario, path.name)
    return scenario


def _check(scenario: Scenario, name: str) -> None:
    """Refuse what would only show in the middle of a run."""
    if not 0 < scenario.duration_s < 1e9:
        raise ConfigError(f"{name}: duration_s {scenario.duration_s} is not within 0 to 1e9")
    times_s = [capture.at_s for capture in scenario.captures]
    times_s += [question.at_s for question in scenario.questions]
    for at_s in times_s:
        if not 0 <= at_s < 1e9:
            raise ConfigError(f"{name}: a time {at_s} s is not within 0 to 1e9")
    asked = [question.task.id for question in scenario.questions]
    if len(set(asked)) < len(asked):
        raise ConfigError(f"{name}: two questions have the same id")
    for capture in scenario.captures:
        if not capture.file.is_file():
            raise ConfigError(f"{name}: no file {capture.file}")
        if capture.via not in ("image", "compressed", "folder"):
            raise ConfigError(f"{name}: via {capture.via!r}")


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _captures(entry: dict[str, Any], assets: Path) -> list[Capture]:
    file = assets / str(entry["file"])
    times = entry["at_s"] if isinstance(entry["at_s"], list) else [entry["at_s"]]
    sensor, _, place = file.stem.partition("__")
    return [
        Capture(
            at_s=float(at_s),
            file=file,
            sensor=str(entry.get("sensor", sensor)),
            place=str(entry.get("place", place)),
            via=str(entry.get("via", "folder")),
        )
        for at_s in times
    ]


def _question(row: dict[str, Any], asked_s: float, deadline_s: float) -> Question:
    modality = str(row["modality"])
    if modality not in MODALITIES:
        raise ValueError(f"question {row['id']}: modality {modality!r}")
    task = Task(
        id=f"task-{row['id']}",
        asker=str(row.get("asker", "demo")),
        prompt=str(row["prompt"]),
        modality=modality,
        place=str(row["scene"]),
        window=tuple(int(value) for value in row["window"]),
        deadline_ns=round(float(row.get("deadline_s", deadline_s)) * 1e9),
        priority=int(row.get("priority", 3)),
        consumer=str(row.get("consumer", "ground")),
        max_answers=1,
    )
    validate(task)
    return Question(
        at_s=float(row.get("asked_at_s", asked_s)),
        task=task,
        truth=str(row.get("answer", "")),
        kind=str(row.get("type", "")),
    )
