"""Which settings the headline compares: chosen on val alone, by one rule for ours and baselines.

Nothing here sees a test request. Every setting that the search tried may be chosen, of every
policy; the table then says what the chosen ones do on test, bytes and accuracy included, so that
it shows where "equal" on val is not equal on test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .policy import Setting
from .tune import Trial


@dataclass(frozen=True, slots=True)
class Chosen:
    """One setting of one policy, and what it did on val."""

    policy: str
    trial: Trial

    @property
    def setting(self) -> Setting:
        """The setting itself."""
        return self.trial.setting


@dataclass(frozen=True, slots=True)
class Selection:
    """What each headline figure compares.

    Attributes:
        ours: as tuned.
        equal_bytes: baseline, most accurate of those that send at most as many bytes as ours; None
            where every one sends more.
        within: for each deadline the tuned baseline that is best at it.
        accuracy: the highest that both sides reach. quickest: of ours, and of all baselines, the
            quickest setting that reaches it.
        capped: of ours, most accurate of those that offload at most the cap; None where none does.
    """

    ours: Chosen
    equal_bytes: Chosen | None
    within: tuple[Chosen, ...]
    quickest: tuple[Chosen, Chosen]
    accuracy: float
    capped: Chosen | None = None

    def settings(self) -> list[tuple[str, Setting]]:
        """Everything that has to be replayed on test."""
        chosen = [self.ours, *self.within, *self.quickest]
        chosen += [one for one in (self.equal_bytes, self.capped) if one is not None]
        return [(one.policy, one.setting) for one in chosen]


def select(
    ours: str, trials: Mapping[str, Sequence[Trial]], baselines: Sequence[str], cap: float = 0.5
) -> Selection:
    """Choose by val.

    Args:
        ours: name of our policy. trials: of each policy, best objective first.
        baselines: names; at least one. cap: share of requests offloaded, for ``capped``.
    """
    mine = [Chosen(ours, trial) for trial in trials[ours]]
    theirs = [Chosen(name, trial) for name in baselines for trial in trials[name]]
    tuned = [Chosen(name, trials[name][0]) for name in baselines]
    budget = mine[0].trial.bytes_each
    able = [one for one in theirs if one.trial.bytes_each <= budget]
    few = [one for one in mine if one.trial.offloaded <= cap]
    reached = min(_most_accurate(mine).trial.accuracy, _most_accurate(theirs).trial.accuracy)
    return Selection(
        ours=mine[0], equal_bytes=_most_accurate(able) if able else None,
        within=tuple(
            max(tuned, key=lambda one, at=at: one.trial.within[at])  # type: ignore[misc]
            for at in range(len(mine[0].trial.within))
        ),
        quickest=(_quickest(mine, reached), _quickest(theirs, reached)), accuracy=reached,
        capped=_most_accurate(few) if few else None,
    )  # fmt: skip


def _most_accurate(some: Sequence[Chosen]) -> Chosen:
    return max(some, key=lambda one: (one.trial.accuracy, -one.trial.latency_s))


def _quickest(some: Sequence[Chosen], accuracy: float) -> Chosen:
    able = [one for one in some if one.trial.accuracy >= accuracy]
    return min(able, key=lambda one: (one.trial.latency_s, -one.trial.accuracy))
