"""Compare two runs: decisions, bytes, order, answers. What a replay must repeat.

A run is read from a report (``.json``) or from a bag (``.mcap``). What only one of two unlike
sources knows is left out of the comparison, and `compare_files` says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.values import Answer, Product, Verdict

_DECISIONS = {Verdict.CONTINUE: "continue", Verdict.ANSWER: "answer", Verdict.OFFLOAD: "offload"}
_STATUS = {Answer.PROVISIONAL: "provisional", Answer.FINAL: "final", Answer.REFUSED: "refused"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same.

    Attributes:
        kind: decision | bytes | order | answer.
        key: request (and stage), product, or place in the order.
        first, second: what each run has, empty where it has nothing.
    """

    kind: str
    key: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.kind} {self.key}: {self.first or 'nothing'} | {self.second or 'nothing'}"


@dataclass(slots=True)
class Run:
    """What is compared of a run.

    Attributes:
        decisions: "request stage n" -> decision.
        sizes: request or product -> bytes.
        order: requests in the order of their final answers.
        answers: request (task, when it never became one) -> status, origin and text.
        knows: which of the four the source holds.
    """

    decisions: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    knows: frozenset[str] = frozenset(("decision", "bytes", "order", "answer"))


def compare(first: Run, second: Run) -> list[Difference]:
    """Return every difference between two runs, in the order decision, bytes, answer, order."""
    found: list[Difference] = []
    common = first.knows & second.knows
    for kind, one, two in (
        ("decision", first.decisions, second.decisions),
        ("bytes", first.sizes, second.sizes),
        ("answer", first.answers, second.answers),
    ):
        if kind in common:
            found += [
                Difference(kind, key, one.get(key, ""), two.get(key, ""))
                for key in sorted(one.keys() | two.keys())
                if one.get(key) != two.get(key)
            ]
    if "order" in common:
        longest = max(len(first.order), len(second.order))
        for place in range(longest):
            pair = [run.order[place] if place < len(run.order) else "" for run in (first, second)]
            if pair[0] != pair[1]:
                found.append(Difference("order", f"place {place + 1}", pair[0], pair[1]))
                break  # everything after a shift differs: the first place says it
    return found


def run_of_report(report: dict[str, Any]) -> Run:
    """Read a run from the data of ``report.json``."""
    run = Run()
    ended: list[tuple[int, str]] = []
    for row in report.get("requests", []):
        key = row["id"]
        run.answers[key] = f"{row['status']} {row['origin']} {row['answer']!r}"
        run.sizes[key] = str(row.get("bytes_sent", 0))
        for verdict in row.get("verdicts", []):
            run.decisions[f"{key} stage {verdict['stage']}"] = verdict["decision"]
        steps = row.get("steps", [])
        ended.append((max((step["stamp_ns"] for step in steps), default=0), key))
    run.order = [key for _, key in sorted(ended)]
    return run


def run_of_messages(messages: Iterable[tuple[str, int, Any]]) -> Run:
    """Read a run from the messages of a bag, as `read_bag` gives them."""
    run = Run()
    ended: dict[str, int] = {}
    for topic, _, value in messages:
        name = topic.rpartition("/")[2]
        if name == "verdict":
            key = f"{value.request_id} stage {value.stage}"
            run.decisions[key] = _DECISIONS[value.decision]
        elif name == "product" and isinstance(value, Product):
            run.sizes[value.id] = str(value.size_bytes)
        elif name == "final":
            key = value.request_id or value.task_id
            run.answers[key] = f"{_STATUS[value.status]} {value.origin} {value.text!r}"
            # both segments know a final answer: the earlier time stands for both
            ended[key] = min(value.stamp_ns, ended.get(key, value.stamp_ns))
    run.order = sorted(ended, key=lambda key: (ended[key], key))
    return run


def load_run(path: Path) -> Run:
    """Read a run from a report or a bag.

    Raises:
        StorageError: it is neither.
    """
    if path.suffix == ".json":
        try:
            return run_of_report(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{path} is no report: {error}") from error
    from .bag import bag_files, read_bag

    names = {"verdict", "product", "final"}
    bag_files(path)
    return run_of_messages(
        message for message in read_bag(path) if message[0].rpartition("/")[2] in names
    )


def compare_files(first: Path, second: Path) -> tuple[list[Difference], list[str]]:
    """Compare two files; of unlike kinds only decisions and answers are the same things.

    Returns:
        Differences, and the kinds compared.
    Raises:
        StorageError: a file is no run.
    """
    runs = load_run(first), load_run(second)
    if (first.suffix == ".json") != (second.suffix == ".json"):
        for run in runs:
            run.knows = frozenset(("decision", "answer"))
    return compare(*runs), sorted(runs[0].knows)
