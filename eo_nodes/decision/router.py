"""From what a satellite knows at a tap to a verdict: states the case, asks ``routing``, says why.

Non-purpose: the decision itself (``routing``), scores (``heads``), choosing regions (``sending``).

Where the model brings heads and the policy is ``contact``, what they say is weighed against plan,
queue and deadline. Else the thresholds decide on the tap's own confidence (``fixed``), as a gate
does. What is not known yet of a request - how large its pixels will be, how long the rest of the
answer and the ground take - is expected by means that come with the heads (``casework``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import (
    ByteBudget,
    ContactPlan,
    QueueEntry,
    QueueState,
    Request,
    Tap,
    Verdict,
)
from eo_nodes.decision.casework import (
    Ahead,
    Asked,
    Machine,
    Means,
    Moment,
    Said,
    estimates_of,
    state_case,
    weigh,
)
from eo_nodes.decision.gate import FINAL_STAGE, GateConfig
from eo_nodes.decision.heads import TARGETS, Heads
from eo_nodes.decision.reach import Reach, reach_of_contacts
from eo_nodes.decision.routing import ANSWER, Case, RoutingConfig, explain, fixed

POLICIES = ("contact", "fixed")
_BEFORE_REGIONS = ("event", "answer", "overview")
_BEFORE_ANSWERS = ("event", "answer")
_LONGEST_REASON = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterConfig:
    """Everything that a mission, or an operator by telecommand, may set.

    Attributes:
        policy: ``contact`` (where the model has heads) or ``fixed``.
        target: which head the gain is read from, one of ``heads.TARGETS``.
        gate: thresholds of ``fixed``. routing: weights of ``contact``.
        machine: speed and power of the computers.
        link_margin: share of the plan's capacity kept for frames, packets and repeats, [0, 1).
    """

    policy: str = "contact"
    target: str = "gain"
    gate: GateConfig = field(default_factory=GateConfig)
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    machine: Machine = field(default_factory=Machine)
    link_margin: float = 0.1

    def __post_init__(self) -> None:
        if self.policy not in POLICIES or self.target not in TARGETS:
            raise ConfigError(f"router: policy {self.policy!r}, target {self.target!r}; known are "
                              f"{', '.join(POLICIES)} and {', '.join(TARGETS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the satellite knows besides the tap.

    Attributes:
        plan, budget, queue: None where not known yet. mode: ``nominal`` or ``safe``.
    """

    plan: ContactPlan | None = None
    budget: ByteBudget | None = None
    queue: QueueState | None = None
    mode: str = "nominal"


class Router:
    """Decide taps. What it keeps is configuration and the plan in another form."""

    def __init__(
        self, config: RouterConfig, heads: Heads | None = None, digest: str = ""
    ) -> None:
        """Start. digest: of the model that the heads belong to."""
        self.config, self._heads, self._digest = config, heads, digest
        means = heads.means if heads is not None else Means()
        self._estimates = estimates_of(means, config.machine)
        self._plan: ContactPlan | None = None
        self._reach: Reach | None = None

    def lacks_heads(self, tap: Tap) -> bool:
        """Whether heads are there, and this tap comes from another model than theirs."""
        return self._heads is not None and (
            tap.model_digest != self._digest or len(tap.features) != self._heads.length)

    def weighs(self, tap: Tap) -> bool:
        """Whether this tap is weighed by heads, plan and queue; else the thresholds decide."""
        return (self._heads is not None and self.config.policy == "contact"
                and not self.lacks_heads(tap))

    def decide(
        self, tap: Tap, request: Request | None, outlook: Outlook, now_ns: int
    ) -> Verdict:
        """Verdict on one tap, its reason in one line.

        Args:
            request: what the tap is about; None where it is not known: no deadline, for the ground.
        Raises:
            ModelError: a feature of the tap is not finite.
        """
        stated = self._stated(tap, request, outlook, now_ns)
        case, found = weigh(*stated)
        is_weighed, moment = self.weighs(tap), stated[-1]
        reach, routing = moment.reach, moment.config
        stage = case.stage - 1
        accept, score = min(routing.accept[stage], 1.0), case.score if case.is_familiar else 0.0
        if found.decision == ANSWER and found.rule == 5:
            # Asking is not worth it: what there is stands, and is no best effort.
            accept = min(accept, score)
        return Verdict(
            request_id=tap.request_id, stamp_ns=now_ns, attempt=tap.attempt, stage=case.stage,
            decision=found.decision, score=score, accept=accept, reject=routing.reject[stage],
            level=case.level if is_weighed else "", gain=case.gain, is_late=found.is_late,
            reason=explain(case, found, reach, routing)[:_LONGEST_REASON],
        )  # fmt: skip

    def case(self, tap: Tap, request: Request | None, outlook: Outlook, now_ns: int) -> Case:
        """State the case of a tap; arguments as `decide`."""
        return state_case(*self._stated(tap, request, outlook, now_ns))

    def _stated(
        self, tap: Tap, request: Request | None, outlook: Outlook, now_ns: int
    ) -> tuple[int, Said, Asked, Ahead, Moment]:
        """What ``casework`` takes."""
        request = request or Request()
        stage = min(max(tap.stage, 1), FINAL_STAGE)
        moment = Moment(
            now_ns=now_ns, estimates=self._estimates, config=self._routing(tap),
            reach=self._reach_of(outlook.plan), is_safe_mode=outlook.mode == "safe",
            budget_bytes=outlook.budget.budget_bytes if outlook.budget is not None else -1,
        )  # fmt: skip
        return (stage, self._said(tap, stage), _asked(request),
                ahead_of(outlook.queue, request.priority), moment)

    def _routing(self, tap: Tap) -> RoutingConfig:
        return self.config.routing if self.weighs(tap) else fixed(self.config.gate)

    def _said(self, tap: Tap, stage: int) -> Said:
        if self._heads is None or not self.weighs(tap):
            return Said(tap.confidence)
        scores = self._heads.scores(stage, tap.features)
        score, gain = self._heads.wanted(scores, self.config.target)
        return Said(score, gain, scores.is_familiar)

    def _reach_of(self, plan: ContactPlan | None) -> Reach | None:
        if plan is not self._plan:
            self._plan = plan
            margin = self.config.link_margin
            self._reach = reach_of_contacts(plan.contacts, margin=margin) if plan else None
        return self._reach


def _asked(request: Request) -> Asked:
    scene, raw = request.scene, 0.0
    pixels = scene.width * scene.height
    if len(request.window) == 4 and pixels:
        raw = scene.raw_bytes * request.window[2] * request.window[3] / pixels
    return Asked(
        raw_bytes=raw, modality=scene.modality, deadline_ns=request.deadline_ns,
        priority=request.priority, is_onboard=request.consumer == "onboard",
    )  # fmt: skip


def ahead_of(queue: QueueState | None, priority: int) -> Ahead:
    """What the queue puts before new products; nothing where no queue is known.

    A queue lists its most urgent products only. Where all of these go ahead of regions, so may
    those that it does not list: they count as well, late ones aside.

    Args:
        priority: of the new products.
    """
    if queue is None:
        return Ahead()
    answers = regions = behind = listed = 0
    is_ahead_of_all = True
    late = _late_regions(queue)
    for number, entry in enumerate(queue.entries):
        left = _left_bytes(entry)
        listed += left
        is_region = entry.kind == "regions"
        answers += left if entry.kind in _BEFORE_ANSWERS else 0
        if entry.kind in _BEFORE_REGIONS or (
            is_region and entry.priority >= priority and number not in late
        ):
            regions += left
        else:
            is_ahead_of_all = False
            behind += 0 if is_region else left
    in_time = max(queue.queued_bytes - queue.late_bytes - behind, 0)
    if is_ahead_of_all and queue.total > len(queue.entries):
        regions += max(queue.queued_bytes - listed, 0)
    every = max(queue.queued_bytes - behind, 0)
    return Ahead(min(regions, in_time), answers, in_time, every)


def _late_regions(queue: QueueState) -> set[int]:
    """Numbers of the entries that are late regions: the last of their kind, of so many bytes."""
    entries = queue.entries
    left = queue.late_bytes
    if queue.total > len(entries):  # of those that are not listed there may be any number
        left -= queue.queued_bytes - sum(map(_left_bytes, entries))
    found: set[int] = set()
    for number in range(len(entries) - 1, -1, -1):
        if entries[number].kind == "regions":
            left -= _left_bytes(entries[number])
            if left < 0:
                break
            found.add(number)
    return found


def _left_bytes(entry: QueueEntry) -> int:
    return max(entry.size_bytes - entry.sent_bytes, 0)
