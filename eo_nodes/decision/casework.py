"""Stating the case of a request at a tap: one function for the node and for the study.

Purpose: the level whose pixels are worth most, what they are expected to cost, what goes before
them; then the same as a late one. Non-purpose: deciding (``routing``), scores (``heads``), where
the queue is known from (``router``, the study).

What is not known before it is done is expected: ``Means`` of a validation split, which come with
the heads, over the speed and power of a machine (``Machine``) make ``Estimates``.

Source: own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from eo_nodes.decision.levels import (
    STATED,
    ByModality,
    LevelFacts,
    as_plain,
    best_level,
    facts_for,
    from_plain,
)
from eo_nodes.decision.reach import Reach
from eo_nodes.decision.routing import (
    Case,
    Route,
    RoutingConfig,
    byte_price,
    load_of,
    route,
    wants_late,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Means of the validation split, of one pair of models; without them what is stated here.

    Attributes:
        levels: what each level keeps and costs, by modality.
        left_gmac: 10^9 multiply-accumulates from taps 1 and 2 to the end of an answer.
        ground_gmac: of the regular model. answer_bytes: of an answer's file.
    """

    levels: ByModality = field(default_factory=lambda: STATED)
    left_gmac: tuple[float, float] = (0.1, 0.08)
    ground_gmac: float = 5.0
    answer_bytes: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Speed and power of the computers; stated, not measured: what the study states too.

    An energy is a power times a time: 15 W for 0.004 s, 8 W for the 0.27 s that 10^6 bytes take at
    30 Mbit/s. What is flown's own is ``ground_s``: the study's ground has eight accelerators, here
    one model serves its queue on a processor, and products are handed on by a tick.

    Attributes:
        gmac_s: seconds for 10^9 multiply-accumulates on board. gmac_j: their energy.
        ground_gmac_s: seconds for as many on the ground. ground_s: what is spent there besides.
        coding_scale: coding time on board over that of the machine that made the means.
        coding_w: power of coding. mb_j: energy of sending 10^6 bytes.
    """

    gmac_s: float = 0.004
    gmac_j: float = 0.06
    ground_gmac_s: float = 0.0004
    ground_s: float = 10.0
    coding_scale: float = 2.0
    coding_w: float = 15.0
    mb_j: float = 2.133


@dataclass(frozen=True, slots=True)
class Estimates:
    """What is expected before it is known, on one machine.

    Attributes:
        left_s, left_j: of the rest of an answer from taps 1, 2 and 3 on.
        levels: ``code_s`` is of this machine. Else as ``Means`` and ``Machine``.
    """

    levels: ByModality
    left_s: tuple[float, float, float]
    left_j: tuple[float, float, float]
    answer_bytes: int
    ground_s: float
    coding_w: float
    mb_j: float
    _facts: dict[tuple[str, tuple[str, ...]], tuple[LevelFacts, ...]] = field(
        default_factory=dict, init=False, compare=False, repr=False)

    def facts(self, modality: str, kinds: tuple[str, ...]) -> tuple[LevelFacts, ...]:
        """As ``levels.facts_for``, looked up once."""
        found = self._facts.get((modality, kinds))
        if found is None:
            found = self._facts[modality, kinds] = facts_for(self.levels, modality, kinds)
        return found


def estimates_of(means: Means, machine: Machine) -> Estimates:
    """Means of models at the speed of a machine."""
    left = (*means.left_gmac, 0.0)
    return Estimates(
        levels={
            modality: tuple(replace(f, code_s=f.code_s * machine.coding_scale) for f in facts)
            for modality, facts in means.levels.items()
        },
        left_s=(left[0] * machine.gmac_s, left[1] * machine.gmac_s, 0.0),
        left_j=(left[0] * machine.gmac_j, left[1] * machine.gmac_j, 0.0),
        answer_bytes=round(means.answer_bytes),
        ground_s=machine.ground_s + means.ground_gmac * machine.ground_gmac_s,
        coding_w=machine.coding_w, mb_j=machine.mb_j,
    )  # fmt: skip


# What is made anew for every tap is not frozen: that would treble the time that making it takes.


@dataclass(slots=True)
class Said:
    """What scores say of a request at a tap; see ``heads.Scores``. Never changed.

    Attributes:
        score: chance that the answer on board is right. gain: with lossless pixels.
        is_familiar: False where the scores abstain.
    """

    score: float
    gain: float = 0.0
    is_familiar: bool = True


@dataclass(slots=True, kw_only=True)
class Asked:
    """What is known of a request; never changed.

    Attributes:
        raw_bytes: of its window as the sensor stores it; 0 where not known. modality: of its scene.
        deadline_ns: orbital time, 0: none. priority: 0 to 7. is_onboard: its answer is used there.
    """

    raw_bytes: float = 0.0
    modality: str = ""
    deadline_ns: int = 0
    priority: int = 0
    is_onboard: bool = False


@dataclass(slots=True)
class Ahead:
    """What waits for the link, bytes; pixels are known by priority, and whether they are late.

    Attributes:
        regions: goes before new pixels that are in time. answers: before an answer.
        in_time: all but late pixels and what goes after pixels. every: late pixels as well.
    """

    regions: float = 0.0
    answers: float = 0.0
    in_time: float = 0.0
    every: float = 0.0


@dataclass(slots=True, kw_only=True)
class Moment:
    """What holds for all requests of a moment; never changed.

    Attributes:
        now_ns: orbital time. reach: coming contacts, None where no plan is known.
        is_safe_mode, budget_bytes: as `Case`.
    """

    now_ns: int
    estimates: Estimates
    config: RoutingConfig
    reach: Reach | None = None
    is_safe_mode: bool = False
    budget_bytes: int = -1


def state_case(stage: int, said: Said, asked: Asked, ahead: Ahead, moment: Moment) -> Case:
    """State the case of a request at a tap, and where it has a deadline that of a late one.

    Args:
        stage: 1 to 3.
    """
    late = None
    if _may_be_late(asked, moment):
        late = _case(stage, said, asked, ahead, moment, None, is_late=True)
    return _case(stage, said, asked, ahead, moment, late, is_late=False)


def weigh(
    stage: int, said: Said, asked: Asked, ahead: Ahead, moment: Moment
) -> tuple[Case, Route]:
    """State the case and decide it: as `state_case` and ``route``, for less.

    Returns:
        The case that was weighed, which is the late one where the route says so; the route.
    """
    case = _case(stage, said, asked, ahead, moment, None, is_late=False)
    found = route(case, moment.reach, moment.config)
    if not wants_late(case, found, moment.config) or not _may_be_late(asked, moment):
        return case, found
    late = _case(stage, said, asked, ahead, moment, None, is_late=True)
    return late, route(late, moment.reach, moment.config).as_late()


def _may_be_late(asked: Asked, moment: Moment) -> bool:
    return bool(
        asked.deadline_ns and not asked.is_onboard
        and moment.reach is not None and moment.config.serves_late
    )


def _case(
    stage: int, said: Said, asked: Asked, ahead: Ahead, moment: Moment, late: Case | None, *,
    is_late: bool,
) -> Case:
    """The case at the level that is worth most behind what goes before it."""
    config, estimates, gain = moment.config, moment.estimates, said.gain
    competing = int(ahead.every if is_late else ahead.in_time)
    load = load_of(moment.now_ns, competing, moment.reach, config)
    level, size = best_level(
        gain * (1.0 + config.priority_step * asked.priority), asked.raw_bytes,
        estimates.facts(asked.modality, config.kinds), byte_price(load, config),
    )  # fmt: skip
    gain, code_s = gain * level.keeps, level.code_s * asked.raw_bytes * 1e-6
    joules = code_s * estimates.coding_w + size * 1e-6 * estimates.mb_j
    # In the order of its fields: names would take twice as long as all the rest of making one.
    return Case(
        stage, said.score, gain, moment.now_ns, 0 if is_late else asked.deadline_ns,
        int(size), estimates.answer_bytes, competing if is_late else int(ahead.regions),
        int(ahead.answers), competing, estimates.left_s[stage - 1], code_s, estimates.ground_s,
        estimates.left_j[stage - 1], joules, asked.priority, asked.is_onboard, said.is_familiar,
        moment.is_safe_mode, moment.budget_bytes, level.level.name, late, load,
    )  # fmt: skip


# -- decision.json -------------------------------------------------------------------------------


def means_as_plain(means: Means) -> dict[str, Any]:
    """Entry ``means`` of ``decision.json``."""
    return {"levels": as_plain(means.levels), "left_gmac": list(means.left_gmac),
            "ground_gmac": means.ground_gmac, "answer_bytes": means.answer_bytes}


def means_from_plain(entry: Mapping[str, Any]) -> Means:
    """Inverse of `means_as_plain`.

    Raises:
        KeyError, TypeError, ValueError: no such entry, or a number out of range.
    """
    first, second = (float(v) for v in entry["left_gmac"])
    found = Means(
        levels=from_plain(entry["levels"]), left_gmac=(first, second),
        ground_gmac=float(entry["ground_gmac"]), answer_bytes=float(entry["answer_bytes"]),
    )  # fmt: skip
    numbers = (first, second, found.ground_gmac, found.answer_bytes)
    if not all(isfinite(v) and v >= 0 for v in numbers):
        raise ValueError(f"means: {numbers} holds a number that is negative or not finite")
    return found
