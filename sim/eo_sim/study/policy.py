"""What a policy sees and says. A policy of your own is one function of this shape.

    FIRST_STAGE = 2                    # optional: asked from tap 2 on; else from tap 1
    SPACE = {"bar": (0.6, 0.7, 0.8)}   # optional: what the search may set

    def decide(view, link, setting):
        if view.correct >= setting["bar"]:
            return answer()
        in_time = link.eta_s(view.bytes("lossy")) < view.left_s
        return offload(view, "lossy") if in_time else proceed()

``view`` is one request at one stage: 0 before any computing, 1 after vision and prompt, 2 after
some tokens, 3 at the end of the answer (an answer that is complete at stage 2 is at 3). ``link`` is
the satellite's own knowledge of its queue and contacts. Neither knows what the right answer is, nor
what is labelled in the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from eo_nodes.downlink.order import Place, place

PROCEED, ANSWER, OFFLOAD, BOTH = range(4)
# Places in the downlink queue: answers, then pixels, then those that anything may overtake.
ANSWER_RANK, FIRST_RANK = place("answer"), place("regions")
REFINE_RANK = place("regions", is_late=True)
END = 3


class Choice(NamedTuple):
    """What to do.

    action: one of PROCEED, ANSWER, OFFLOAD, BOTH. level: index. rank: of the pixels, their place in
    the queue (``eo_nodes.downlink.order``). value, deadline_s: their order there, the earliest
    deadline first, then the best value per byte; 0: none.
    """

    action: int
    level: int = -1
    rank: Place = FIRST_RANK
    value: float = 0.0
    deadline_s: float = 0.0


_PROCEED, _ANSWER = Choice(PROCEED), Choice(ANSWER)


class View:
    """One request at one stage; one object that the replay refills.

    Attributes:
        row: of the trace. stage: 0 to 3. now_s: since the start of the study.
        similar, correct, gain: scores of this stage (none at 0: 0).
        mean_logprob, min_logprob, entropy, margin: of the tokens so far.
        novelty: of this stage, how unlike the training inputs are; 1 is the limit.
        modality: of the scene.
        question: kind of question, for a policy that is told by the asker; ours does not look.
        deadline_s, left_s: moment of the deadline, and time left to it.
        priority: 0 to 7. is_onboard: the answer is used on board; then nothing is offloaded.
        raw_bytes: of the asked area.
        wire: bytes on the link at each level. to_end_s: see ``left_compute_s``.
        levels: number of each level by name.
    """

    __slots__ = (
        "correct", "deadline_s", "entropy", "gain", "is_onboard", "left_s", "levels", "margin",
        "mean_logprob", "min_logprob", "modality", "novelty", "now_s", "priority", "question",
        "raw_bytes", "row", "similar", "stage", "to_end_s", "wire",
    )  # fmt: skip
    row: int
    stage: int
    now_s: float
    similar: float
    correct: float
    gain: float
    mean_logprob: float
    min_logprob: float
    entropy: float
    margin: float
    novelty: float
    modality: str
    question: str
    deadline_s: float
    left_s: float
    priority: int
    is_onboard: bool
    raw_bytes: int
    wire: Sequence[float]
    to_end_s: Sequence[float]
    levels: Mapping[str, int]

    def bytes(self, level: int | str) -> float:
        """Bytes on the link of this request's area at a level."""
        return self.wire[self.levels[level] if isinstance(level, str) else level]

    def left_compute_s(self) -> float:
        """Computing until the answer is complete, as expected at this stage."""
        return self.to_end_s[self.stage]


class LinkView(Protocol):
    """The satellite's knowledge of its own link."""

    def ahead_bytes(self, rank: Place = FIRST_RANK) -> float:
        """Queued before a product of this place."""

    def queued_bytes(self) -> float:
        """All that waits but refinements, which anything may overtake."""

    def ahead_of(self, rank: Place) -> tuple[float, float, float, float]:
        """Queued before an answer, a product of this place, a late one; and all that is in time."""

    def eta_s(self, size_bytes: float, rank: Place = FIRST_RANK) -> float:
        """Seconds until the last of so many bytes is down by plan and queue; inf: never."""


def proceed() -> Choice:
    """Compute on; at the end this is an answer on board."""
    return _PROCEED


def answer() -> Choice:
    """Answer on board; no more questions about this request."""
    return _ANSWER


def offload(
    view: View, level: int | str, rank: Place = FIRST_RANK, *, value: float = 0.0
) -> Choice:
    """Stop computing, send pixels; the ground answers."""
    return Choice(OFFLOAD, view.levels[level] if isinstance(level, str) else level, rank, value)


def both(view: View, level: int | str, rank: Place = REFINE_RANK) -> Choice:
    """Answer on board provisionally, and send pixels for a better one."""
    return Choice(BOTH, view.levels[level] if isinstance(level, str) else level, rank)


Decide = Callable[[Any, Any], Choice]


@dataclass(frozen=True, slots=True)
class Setting:
    """One point of a policy's search space."""

    values: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def label(self) -> str:
        """Short text for tables."""
        return ", ".join(f"{k} {v}" for k, v in sorted(self.values.items())) or "as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A routing policy with its search space.

    Attributes:
        name: in the table. make: (setting, context) -> decide; context: ``policies.Context``.
        space: name -> values that the search draws from; ``order`` is always among them.
        first_stage: the first stage at which it is asked.
        note: what is ours in a policy named after a published system.
        role: baseline, ours, bound (not a policy one could fly), ablation or user.
        sees_truth: it is told the outcomes (the oracle).
    """

    name: str
    make: Callable[[Setting, Any], Decide]
    space: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    first_stage: int = 1
    note: str = ""
    role: str = "baseline"
    sees_truth: bool = False


ORDERS = ("fifo", "lifo")
