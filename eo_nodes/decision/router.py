"""From what a satellite knows at a tap to a verdict: states the case, asks ``routing``, says why.

Non-purpose: the decision itself (``routing``), scores (``heads``), choosing regions (``sending``).

Where the model brings heads and the policy is ``contact``, what they say is weighed against plan,
queue and deadline. Else the thresholds decide on the tap's own confidence (``fixed``), as a gate
does. What is not known yet of a request - how large its regions will be, how long the rest of the
answer and the ground take - is estimated by stated figures (``Estimates``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.contracts.values import (
    ByteBudget,
    ContactPlan,
    QueueState,
    Request,
    Tap,
    Verdict,
)
from eo_nodes.decision.gate import FINAL_STAGE, GateConfig
from eo_nodes.decision.heads import TARGETS, Heads
from eo_nodes.decision.reach import Reach, reach_of_contacts
from eo_nodes.decision.routing import ANSWER, Case, RoutingConfig, explain, fixed, route

POLICIES = ("contact", "fixed")
_BEFORE_REGIONS = ("event", "answer", "overview")
_BEFORE_ANSWERS = ("event", "answer")
_LONGEST_REASON = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """What is expected before it is known; stated, not measured.

    Attributes:
        sent_share: coded regions as a share of the window's raw bytes, (0, 1].
        least_bytes, most_bytes: bounds of that estimate. answer_bytes: of an answer on the link.
        left_s: of computing from taps 1 and 2 to the end of an answer. reduce_s: coding regions.
        ground_s: waiting and computing on the ground. left_j: energy of the rest of an answer.
        mb_j: coding and sending of 10^6 bytes.
        link_margin: share of the plan's capacity kept for frames, packets and repeats, [0, 1).
    """

    sent_share: float = 0.2
    least_bytes: int = 2_000
    most_bytes: int = 400_000
    answer_bytes: int = 600
    left_s: tuple[float, float] = (0.5, 0.3)
    reduce_s: float = 0.3
    ground_s: float = 10.0
    left_j: tuple[float, float] = (0.01, 0.008)
    mb_j: float = 2.0
    link_margin: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterConfig:
    """Everything that a mission, or an operator by telecommand, may set.

    Attributes:
        policy: ``contact`` (where the model has heads) or ``fixed``.
        target: which head the gain is read from, one of ``heads.TARGETS``.
        gate: thresholds of ``fixed``. routing: weights of ``contact``.
    """

    policy: str = "contact"
    target: str = "gain"
    gate: GateConfig = field(default_factory=GateConfig)
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    estimates: Estimates = field(default_factory=Estimates)

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
        case = self.case(tap, request, outlook, now_ns)
        routing = self.config.routing if self.weighs(tap) else fixed(self.config.gate)
        reach = self._reach_of(outlook.plan)
        found = route(case, reach, routing)
        stage = case.stage - 1
        accept, score = min(routing.accept[stage], 1.0), case.score if case.is_familiar else 0.0
        if found.decision == ANSWER and found.rule == 5:
            # Asking is not worth it: what there is stands, and is no best effort.
            accept = min(accept, score)
        return Verdict(
            request_id=tap.request_id, stamp_ns=now_ns, attempt=tap.attempt, stage=case.stage,
            decision=found.decision, score=score, accept=accept, reject=routing.reject[stage],
            reason=explain(case, found, reach, routing)[:_LONGEST_REASON],
        )  # fmt: skip

    def case(self, tap: Tap, request: Request | None, outlook: Outlook, now_ns: int) -> Case:
        """State the case of a tap; arguments as `decide`."""
        request = request or Request()
        e, stage = self.config.estimates, min(max(tap.stage, 1), FINAL_STAGE)
        score, gain, is_familiar = self._scores(tap, stage)
        size = self._expected_bytes(request)
        left = stage - 1 if stage < FINAL_STAGE else None
        queue = outlook.queue
        return Case(
            stage=stage, score=score, gain=gain, now_ns=now_ns, deadline_ns=request.deadline_ns,
            regions_bytes=size, answer_bytes=e.answer_bytes,
            ahead_bytes=_ahead(queue, _BEFORE_REGIONS, request.priority),
            answer_ahead_bytes=_ahead(queue, _BEFORE_ANSWERS, None),
            queued_bytes=queue.queued_bytes if queue is not None else 0,
            left_s=e.left_s[left] if left is not None else 0.0, reduce_s=e.reduce_s,
            ground_s=e.ground_s, left_j=e.left_j[left] if left is not None else 0.0,
            regions_j=e.mb_j * size / 1e6, priority=request.priority,
            is_onboard=request.consumer == "onboard", is_familiar=is_familiar,
            is_safe_mode=outlook.mode == "safe",
            budget_bytes=outlook.budget.budget_bytes if outlook.budget is not None else -1,
        )  # fmt: skip

    def _scores(self, tap: Tap, stage: int) -> tuple[float, float, bool]:
        if self._heads is None or not self.weighs(tap):
            return tap.confidence, 0.0, True
        scores = self._heads.scores(stage, tap.features)
        score, gain = self._heads.wanted(scores, self.config.target)
        return score, gain, scores.is_familiar

    def _expected_bytes(self, request: Request) -> int:
        e, scene = self.config.estimates, request.scene
        pixels = scene.width * scene.height
        raw = 0.0
        if len(request.window) == 4 and pixels:
            raw = scene.raw_bytes * request.window[2] * request.window[3] / pixels
        return int(min(max(raw * e.sent_share, e.least_bytes), e.most_bytes))

    def _reach_of(self, plan: ContactPlan | None) -> Reach | None:
        if plan is not self._plan:
            self._plan = plan
            margin = self.config.estimates.link_margin
            self._reach = reach_of_contacts(plan.contacts, margin=margin) if plan else None
        return self._reach


def _ahead(queue: QueueState | None, kinds: Sequence[str], priority: int | None) -> int:
    """Bytes that go down before a new product: all of ``kinds``, and regions of this priority.

    A queue lists its most urgent products only. Where all of these go ahead of regions, so may
    those that it does not list: they count as well.
    """
    if queue is None:
        return 0
    total = listed = 0
    is_behind_all = priority is not None
    for entry in queue.entries:
        left = max(entry.size_bytes - entry.sent_bytes, 0)
        listed += left
        is_region = entry.kind == "regions" and priority is not None and entry.priority >= priority
        if entry.kind in kinds or is_region:
            total += left
        else:
            is_behind_all = False
    if is_behind_all and queue.total > len(queue.entries):
        total += max(queue.queued_bytes - listed, 0)
    return total


def with_thresholds(config: RouterConfig, wanted: Mapping[str, Any]) -> RouterConfig:
    """Configuration with what an operator wants changed.

    Args:
        wanted: any of ``policy``, ``target``; ``accept`` (3) and ``reject`` (2) of the fixed
            gate; ``sure`` (3), ``hurdle`` (3), ``delay_price``, ``mb_price`` of the contact policy.
    Raises:
        ConfigError: nothing to change, an unknown key, a value of another kind or out of range.
    """
    gate: dict[str, Any] = {}
    routing: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for key, value in wanted.items():
        if key in ("policy", "target"):
            plain[key] = value
        elif key in ("accept", "reject"):
            gate[key] = _numbers(key, value)
        elif key in ("sure", "hurdle"):
            routing["accept" if key == "sure" else key] = _numbers(key, value)
        elif key in ("delay_price", "mb_price"):
            (routing[key],) = _numbers(key, [value])
        else:
            raise ConfigError(f"thresholds: unknown key {key!r:.60}")
    if not wanted:
        raise ConfigError("thresholds: nothing to change")
    return replace(config, **plain, gate=replace(config.gate, **gate),
                   routing=replace(config.routing, **routing))


def _numbers(key: str, value: Any) -> tuple[float, ...]:
    is_list = isinstance(value, list | tuple)
    if not is_list or not all(type(v) in (int, float) and v == v and abs(v) < inf for v in value):
        raise ConfigError(f"thresholds: {key} is {value!r:.60}, expected numbers")
    return tuple(float(v) for v in value)

