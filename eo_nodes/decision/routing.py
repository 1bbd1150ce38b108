"""Contact-aware routing: answer on board, ask the ground, or decode on. One pure core.

Used by the confidence node and by the study. Non-purpose: scores (``heads``), stating the case
(``casework``) and its level (``levels``), when bytes arrive (``reach``), messages (``router``).

Theory of operation. For an asker on the ground three things can be delivered:

- ``ALONE``: the answer from on board, a few hundred bytes, ahead of all pixels;
- ``REGIONS``: decoding stops here, regions go down, the ground answers;
- ``BOTH``: the answer goes ahead as provisional, regions follow: in the same contact ("answer plus
  regions") or in a later one ("answer now, refinement later").

Each has a worth. With p the chance that the answer on board is right, g what asking the ground
adds to it, t the time at which it is in the asker's hands (``Reach``: plan, rate and the bytes
queued ahead), and in(t) = 1 where that is before the deadline::

    worth = weight(priority) * (chance right at the deadline - delay_price * hours until t)
            - mb_price * load * MB  -  base_mb_price * MB  -  joule_price * J

``load`` in [0, 1] is the share of what the coming contacts carry that is promised already, so an
idle link costs nothing and a full one costs ``mb_price``. It is of the link, not of the request: a
deadline makes no link fuller. A provisional answer saves
``early_share`` of the delay that it goes ahead; finishing it costs energy. The advantage is the
better worth with regions less that of the answer alone. Rules, the first that fits:

1. score >= accept[stage]: answer on board, no more taps (not where the input is unfamiliar);
2. nothing can be asked of the ground (safe mode, no contact in time, no room, an answer that is
   used on board): go on, and at the end answer as best effort, labelled with the reason.
   Where only the deadline stands against it, the case may be late (``Case.late``): no deadline,
   behind all that can still be in time, and rules 3 to 5 decide. So at the end of an answer, and
   at any stage where the answer on board would be too late as well (``Route.is_late``);
3. score < reject[stage]: ask the ground (at the end, unfamiliar input too);
4. advantage > hurdle[stage]: ask the ground at once where REGIONS is the better of the two, else
   decode on, so that the answer can go ahead;
5. go on; at the end answer on board.

Blind to contacts (no plan), nothing is known of delay and load: the advantage is the gain less the
price of bytes and energy, and answers go ahead. A fixed threshold is the special case with infinite
hurdles (``fixed``): rules 1, 2, 3 and 5 are then those of a gate, contact for contact
(test/support/plain_gate.py has them written out).

Units: times int ns of orbital time, durations s, sizes bytes, energies J, chances [0, 1], worth in
chance of a right answer. ``route`` has no state and takes some microseconds; ``explain`` makes the
line for people and is separate, because a study does not need it.

Source: own.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.decision.gate import FINAL_STAGE, GateConfig
from eo_nodes.decision.levels import CHOSEN, KINDS
from eo_nodes.decision.reach import NEVER_NS, Reach

CONTINUE, ANSWER, OFFLOAD = 0, 1, 2  # the numbers of Verdict
ALONE, REGIONS, BOTH = 0, 1, 2
DELIVERIES = ("the answer alone", "regions, the ground answers", "the answer now, regions behind")
NO_CONTACT, TOO_LATE = "no contact before the deadline", "no contact can deliver in time"
_NS_PER_H = 3.6e12
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingConfig:
    """What routing weighs; found by search on a validation split, never on test.

    Attributes:
        accept: score in [0, 1] from which to answer on board, stages 1 to 3; above 1: never.
        reject: score under which to ask the ground, stages 1 to 3; 0: never.
        hurdle: least advantage, stages 1 to 3; inf: rule 4 is off. Earlier stages know less, so
            theirs is higher.
        delay_price: worth of one hour, >= 0. horizon_h: what "not at all" counts as.
        load_h: hours, from the next contact on, whose contacts the queue is held against.
        mb_price: of 10^6 bytes on a full link; base_mb_price: on an idle one. joule_price: of 1 J.
        priority_step: weight of priority k is 1 + k times this.
        early_share: what a right provisional answer saves of the delay until the ground's, [0, 1].
        min_budget_bytes: what the next contact must still carry for an offload, >= 0.
        needs_delivery: an offload must be answered before the deadline by plan and queue, or
            within the plan where there is none; False: any contact before the deadline will do.
        serves_late: what is too late for its deadline may be asked behind all that is not.
        kinds: of levels that may be sent, of ``levels.KINDS``.
    """

    accept: tuple[float, float, float] = (0.97, 0.94, 0.92)
    reject: tuple[float, float, float] = (0.0, 0.0, 0.0)
    hurdle: tuple[float, float, float] = (0.10, 0.05, 0.02)
    delay_price: float = 0.02
    horizon_h: float = 24.0
    load_h: float = 3.0
    mb_price: float = 0.5
    base_mb_price: float = 0.0
    joule_price: float = 0.002
    priority_step: float = 0.25
    early_share: float = 0.5
    min_budget_bytes: int = 0
    needs_delivery: bool = True
    serves_late: bool = True
    kinds: tuple[str, ...] = CHOSEN

    def __post_init__(self) -> None:
        stages = (self.accept, self.reject, self.hurdle)
        prices = (self.delay_price, self.horizon_h, self.load_h, self.mb_price,
                  self.base_mb_price, self.joule_price, self.priority_step,
                  float(self.min_budget_bytes))
        if any(len(s) != FINAL_STAGE or any(v != v for v in s) for s in stages):
            raise ConfigError("routing: accept, reject and hurdle have three numbers each")
        if not all(0 <= v < inf for v in prices) or not 0 <= self.early_share <= 1:
            raise ConfigError("routing: a price is negative, or early_share outside [0, 1]")
        if any(low > high for low, high in zip(self.reject, self.accept, strict=True)):
            raise ConfigError("routing: a reject threshold lies above its accept threshold")
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise ConfigError(f"routing: kinds {self.kinds}, known are {', '.join(KINDS)}")


def fixed(gate: GateConfig) -> RoutingConfig:
    """The special case: fixed thresholds, blind to all but whether a contact comes."""
    return RoutingConfig(
        accept=gate.accept, reject=(*gate.reject, gate.accept[-1]), hurdle=(inf, inf, inf),
        min_budget_bytes=gate.min_budget_bytes, needs_delivery=False, serves_late=False)


@dataclass(slots=True)  # not frozen: that would treble the time that making one takes
class Case:
    """One request at one tap; never changed.

    Attributes:
        stage: 1, 2, or 3 for the end.
        score: calibrated chance in [0, 1] that the answer on board is right (or alike, as trained).
        gain: what asking the ground with these regions adds to that chance, [-1, 1].
        now_ns: orbital time. deadline_ns: when the answer must be in the asker's hands, 0: none.
        regions_bytes: expected size of what would be sent. answer_bytes: of an answer.
        ahead_bytes: queued for the link before such regions, this priority in mind;
            answer_ahead_bytes: queued before an answer; queued_bytes: all that this competes with.
        left_s: computing on board until the answer is complete. reduce_s: until regions are coded.
        ground_s: waiting and computing on the ground. left_j, regions_j: energy of finishing the
            answer, and of coding and sending the regions.
        priority: 0 to 7. is_onboard: the answer is used on the satellite.
        is_familiar: False where the scores abstain. is_safe_mode: nothing may be offloaded.
        budget_bytes: what the next contact still carries; -1 for not known.
        level: name of the level that gain and bytes are of.
        late: the same request without its deadline, behind all that can be in time, at the level
            that is best there; None where there is no such thing to ask.
        load: as of `load_of` with these ``queued_bytes``; below 0 where not worked out yet.
    """

    stage: int
    score: float
    gain: float
    now_ns: int
    deadline_ns: int = 0
    regions_bytes: int = 0
    answer_bytes: int = 600
    ahead_bytes: int = 0
    answer_ahead_bytes: int = 0
    queued_bytes: int = 0
    left_s: float = 0.0
    reduce_s: float = 0.0
    ground_s: float = 0.0
    left_j: float = 0.0
    regions_j: float = 0.0
    priority: int = 0
    is_onboard: bool = False
    is_familiar: bool = True
    is_safe_mode: bool = False
    budget_bytes: int = -1
    level: str = ""
    late: Case | None = None
    load: float = -1.0


@dataclass(slots=True)
class Route:
    """What to do, and what it was weighed by; never changed.

    Attributes:
        decision: CONTINUE, ANSWER or OFFLOAD. delivery: ALONE, REGIONS or BOTH, what is aimed at.
        rule: number of the rule that fitted, 1 to 5.
        advantage: see the module; 0 where not weighed.
        answer_ns, regions_ns: expected delivery of the answer from on board and of the ground's
            answer; NEVER_NS where the plan has no room, 0 where there is no plan.
        load: of the link, [0, 1].
        barrier: why nothing can be asked of the ground, "" where it can.
        is_late: ``Case.late`` was weighed, and all of these are about it.
    """

    decision: int
    delivery: int
    rule: int
    advantage: float
    answer_ns: int
    regions_ns: int
    load: float
    barrier: str
    is_late: bool = False

    def as_late(self) -> Route:
        """The same about a late case."""
        return Route(self.decision, self.delivery, self.rule, self.advantage, self.answer_ns,
                     self.regions_ns, self.load, self.barrier, True)


def route(case: Case, reach: Reach | None, config: RoutingConfig) -> Route:
    """Decide one tap; see the module for the rules.

    Args:
        reach: the satellite's coming contacts; None when no plan is known.
    """
    stage = _place_of(case.stage)
    is_final = stage == FINAL_STAGE - 1
    answer_ns = regions_ns = 0
    if reach is not None:
        answer_ns, regions_ns = _times(case, reach)
    barrier = _barrier(case, reach, config, regions_ns)
    load = case.load
    if load < 0:
        load = load_of(case.now_ns, case.queued_bytes, reach, config)
    familiar = case.is_familiar
    if is_sure(case.stage, case.score, familiar, config):
        return Route(ANSWER, ALONE, 1, 0.0, answer_ns, regions_ns, load, barrier)
    if barrier:
        decision = ANSWER if is_final else CONTINUE
        found = Route(decision, ALONE, 2, 0.0, answer_ns, regions_ns, load, barrier)
        if case.late is not None and wants_late(case, found, config):
            return route(case.late, reach, config).as_late()
        return found
    if case.score < config.reject[stage] if familiar else is_final:
        delivery = BOTH if is_final else REGIONS
        return Route(OFFLOAD, delivery, 3, 0.0, answer_ns, regions_ns, load, "")
    advantage, delivery = 0.0, ALONE
    if familiar and config.hurdle[stage] < inf:
        if reach is None:
            weight = 1.0 + config.priority_step * case.priority
            advantage, delivery = weight * case.gain - _cost(case, config, load), BOTH
        else:
            advantage, delivery = _weigh(case, config, answer_ns, regions_ns, load)
        if advantage > config.hurdle[stage]:
            decision = OFFLOAD if is_final or delivery == REGIONS else CONTINUE
            return Route(decision, delivery, 4, advantage, answer_ns, regions_ns, load, "")
    decision = ANSWER if is_final else CONTINUE
    return Route(decision, ALONE, 5, advantage, answer_ns, regions_ns, load, "")


def is_sure(stage: int, score: float, is_familiar: bool, config: RoutingConfig) -> bool:
    """Rule 1; all that decides before the end where an answer is used on board."""
    return is_familiar and score >= config.accept[_place_of(stage)]


def _place_of(stage: int) -> int:
    """Of a stage in what there are three numbers of."""
    return 0 if stage < 1 else stage - 1 if stage < FINAL_STAGE else FINAL_STAGE - 1


def wants_late(case: Case, found: Route, config: RoutingConfig) -> bool:
    """Whether the late case decides, where there is one.

    Args:
        found: route of the case in time.
    """
    return (
        found.rule == 2 and config.serves_late and found.barrier in (NO_CONTACT, TOO_LATE)
        and (case.stage >= FINAL_STAGE or found.answer_ns > case.deadline_ns)
    )


def _times(case: Case, reach: Reach) -> tuple[int, int]:
    """When the answer from on board and the ground's are in the asker's hands, ns."""
    done_ns = case.now_ns + int(case.left_s * _NS_PER_S)
    down_ns = reach.delivered_ns(
        case.now_ns + int(case.reduce_s * _NS_PER_S), case.ahead_bytes + case.regions_bytes)
    if down_ns < NEVER_NS:
        down_ns += int(case.ground_s * _NS_PER_S)
    if case.is_onboard:
        return done_ns, down_ns
    return reach.delivered_ns(done_ns, case.answer_ahead_bytes + case.answer_bytes), down_ns


def _barrier(case: Case, reach: Reach | None, config: RoutingConfig, regions_ns: int) -> str:
    if case.is_safe_mode:
        return "safe mode"
    if case.is_onboard:
        return "the answer is used on board"
    deadline = case.deadline_ns
    # What is down in time had a contact in time.
    if reach is not None and regions_ns >= (deadline or NEVER_NS):
        open_ns = reach.open_ns(case.now_ns)
        if open_ns == NEVER_NS or (deadline and open_ns >= deadline):
            return NO_CONTACT if deadline else "no contact in the plan"
        if config.needs_delivery and regions_ns > (deadline or NEVER_NS - 1):
            return TOO_LATE if deadline else "the plan has no room"
    if 0 <= case.budget_bytes < config.min_budget_bytes:
        return "the next contact is full"
    return ""


def load_of(
    now_ns: int, queued_bytes: float, reach: Reach | None, config: RoutingConfig
) -> float:
    """Share of what contacts carry in ``load_h`` hours, from the next one on, that is promised.

    Returns:
        [0, 1]; 0 where no plan is known or nothing waits, 1 where no contact comes.
    """
    if reach is None or queued_bytes <= 0:
        return 0.0
    begin_ns = reach.open_ns(now_ns)
    if begin_ns == NEVER_NS:
        return 1.0
    room = reach.room(begin_ns, int(config.load_h * _NS_PER_H))
    return queued_bytes / room if room > queued_bytes else 1.0


def byte_price(load: float, config: RoutingConfig) -> float:
    """Of one byte, at a load of the link in [0, 1]."""
    return (config.mb_price * load + config.base_mb_price) * 1e-6


def _cost(case: Case, config: RoutingConfig, load: float) -> float:
    return byte_price(load, config) * case.regions_bytes + config.joule_price * case.regions_j


def _weigh(
    case: Case, config: RoutingConfig, answer_ns: int, regions_ns: int, load: float
) -> tuple[float, int]:
    """Advantage of the better delivery with regions, and which that is."""
    deadline = case.deadline_ns or NEVER_NS - 1
    weight = 1.0 + config.priority_step * case.priority
    price = config.delay_price
    horizon = config.horizon_h
    answer_h = (answer_ns - case.now_ns) / _NS_PER_H
    answer_h = answer_h if answer_h < horizon else horizon
    regions_h = (regions_ns - case.now_ns) / _NS_PER_H
    regions_h = regions_h if regions_h < horizon else horizon
    here = case.score if answer_ns <= deadline else 0.0
    there = min(max(case.score + case.gain, 0.0), 1.0) if regions_ns <= deadline else 0.0
    cost = _cost(case, config, load)
    finish = config.joule_price * case.left_j
    alone = weight * (here - price * answer_h) - finish
    regions = weight * (there - price * regions_h) - cost
    share = config.early_share if answer_ns <= regions_ns else 0.0
    behind = 0.0
    if regions_h > answer_h:
        behind = weight * price * (regions_h - answer_h) * share
    # The advantage must not rise with the score: what a provisional answer saves is taken as if
    # it were right. Whether to wait for it depends on whether it is.
    advantage = regions - alone + max(behind - finish, 0.0)
    return advantage, REGIONS if behind * here <= finish else BOTH


def explain(case: Case, route_: Route, reach: Reach | None, config: RoutingConfig) -> str:
    """One line for people: scores, gain, bytes, when, and the rule that decided."""
    late = "too late for the deadline, " if route_.is_late else ""
    if route_.is_late and case.late is not None:
        case = case.late
    stage = _place_of(case.stage)
    if not case.is_familiar:
        sure = "the input is unlike what the scores know"
    else:
        sure = f"confidence {case.score:.3f}"
        if config.hurdle[stage] < inf:
            sure += f", the ground adds {signed(case.gain)}"
    why = {
        1: f"reaches {config.accept[stage]:.3f}",
        2: f"best effort, {route_.barrier}" if route_.decision == ANSWER
        else f"decides nothing yet, {route_.barrier}",
        3: f"below {config.reject[stage]:.3f}" if case.is_familiar else "the ground is asked",
        4: f"advantage {signed(route_.advantage)} passes {config.hurdle[stage]:.3f}",
        5: _not_worth(route_, config.hurdle[stage]),
    }[route_.rule]
    return f"{sure}: {late}{why}; {_delivery(case, route_, reach)}"[:300]


def signed(value: float) -> str:
    """A gain for people: with its sign, and none where it rounds to nothing."""
    text = f"{value:+.3f}"
    return text[1:] if text in ("+0.000", "-0.000") else text


def _not_worth(route_: Route, hurdle: float) -> str:
    if hurdle == inf:
        return "decides nothing yet" if route_.decision == CONTINUE else "asking is off"
    return f"advantage {signed(route_.advantage)} stays under {hurdle:.3f}"


def _delivery(case: Case, route_: Route, reach: Reach | None) -> str:
    if reach is None:
        return "no plan known"
    parts = [f"answer {_when(case, route_.answer_ns, reach)}"]
    if not route_.barrier or route_.regions_ns:
        what = case.level or "regions"
        parts.append(f"{what} {case.regions_bytes / 1000:.0f} kB behind "
                     f"{case.ahead_bytes / 1000:.0f} kB {_when(case, route_.regions_ns, reach)}")
    return f"{', '.join(parts)}, link {100 * route_.load:.0f} % promised"


def _when(case: Case, time_ns: int, reach: Reach) -> str:
    if time_ns >= NEVER_NS:
        return "never"
    minutes = (time_ns - case.now_ns) / 6e10
    late = " (late)" if 0 < case.deadline_ns < time_ns else ""
    at = reach.contact_at(time_ns)
    where = f" by {reach.ids[at]}" if at >= 0 and reach.ids[at] else ""
    return f"in {minutes:.1f} min{where}{late}"
