"""In which order questions are asked: a trace that is stopped early still holds some of everything.

Val and test take turns, so any beginning has both; within a split the sets take turns, and within
a set the kinds of question do, as ``training.decision.questions`` deals them. Questions on chips of
the tree, which ``make study`` asks again, take turns with the rest of test.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

Item = TypeVar("Item")
Asked = tuple[str, bool, Any]  # split, whether on a chip of the tree, question


def in_turns(queues: Iterable[Sequence[Item]]) -> list[Item]:
    """One of each queue, then the second of each; queues that have run out are passed over."""
    lists = list(queues)
    longest = max(map(len, lists), default=0)
    return [queue[turn] for turn in range(longest) for queue in lists if turn < len(queue)]


def by_set(questions: Iterable[Any]) -> list[Any]:
    """Sets in turns, each in the order given."""
    found: dict[str, list[Any]] = {}
    for question in questions:
        found.setdefault(question.sample.set_name, []).append(question)
    return in_turns(found[name] for name in sorted(found))


def agenda(chips: Sequence[Any], val: Sequence[Any], test: Sequence[Any]) -> list[Asked]:
    """Questions in the order of asking, each key once; one on a chip of the tree counts as such."""
    held = {question.key for question in chips}
    known: list[Asked] = [("test", True, q) for q in by_set(chips)]
    rest = [
        [(split, False, q) for q in by_set(some) if q.key not in held]
        for split, some in (("val", val), ("test", test))
    ]
    found: dict[str, Asked] = {}
    for one in in_turns((rest[0], in_turns((known, rest[1])))):
        found.setdefault(one[2].key, one)
    return list(found.values())


@dataclass(slots=True)
class Progress:
    """Says how far a run is, and how long the rest will take, at most every ``every_s``.

    Attributes:
        total: questions on the agenda. until_s: monotonic time at which asking ends, inf: none.
    """

    total: int
    until_s: float = float("inf")
    every_s: float = 30.0
    asked: int = 0
    done: dict[str, int] = field(default_factory=dict)
    _begun_s: float = -1.0
    _said_s: float = 0.0

    def add(self, split: str, now_s: float, *, is_new: bool) -> str:
        """Count a question; a line when one is due, else ""."""
        if self._begun_s < 0:
            self._begun_s = self._said_s = now_s
        self.done[split] = self.done.get(split, 0) + 1
        self.asked += is_new
        if not is_new or now_s - self._said_s < self.every_s:
            return ""
        self._said_s = now_s
        return self.line(now_s)

    def line(self, now_s: float) -> str:
        """Where the run stands."""
        so_far = sum(self.done.values())
        parts = ", ".join(f"{split} {count}" for split, count in sorted(self.done.items()))
        text = f"{so_far} of {self.total} ({parts})"
        if not self.asked:
            return text
        each_s = (now_s - self._begun_s) / self.asked
        text += f", {each_s:.1f} s each, the rest takes {_span((self.total - so_far) * each_s)}"
        if self.until_s < float("inf"):
            text += f", asking ends in {_span(max(self.until_s - now_s, 0.0))}"
        return text


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
