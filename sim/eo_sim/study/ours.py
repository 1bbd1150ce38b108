"""Our policy and its ablations: the routing core that flies, fed from the replay.

What states the case and what decides are ``eo_nodes.decision.casework.weigh`` and
``routing.route``, with ``reach`` as the clock of contacts: the functions that the confidence node
calls, with the heads' scores as they are. This file only says what the replay knows of queue and
request. What is sent are the true bytes; what is decided on are those expected from val.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from eo_nodes.decision import routing
from eo_nodes.decision.casework import Ahead, Asked, Moment, Said, estimates_of, weigh
from eo_nodes.decision.heads import Scores, wanted
from eo_nodes.decision.levels import CHOSEN
from eo_nodes.decision.reach import Reach, reach_of
from eo_nodes.decision.routing import Case, Route, RoutingConfig
from eo_nodes.downlink.order import place

from .config import S_NS
from .errors import StudyError
from .facts import machine_of, means_of
from .policies import Context
from .policy import (
    BOTH,
    END,
    OFFLOAD,
    Choice,
    Decide,
    LinkView,
    Policy,
    Setting,
    View,
    answer,
    proceed,
)
from .world import Link

# Places of pixels in time, and of late ones, by priority.
_PIXELS, _LATE = (tuple(place("regions", is_late=is_late, priority=priority)
                        for priority in range(8)) for is_late in (False, True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What an ablation takes away.

    Attributes:
        taps: stages at which it may stop. target: head that the gain is read from.
        kinds: kinds of level it may send. is_fixed: accept and reject alone, as a gate.
        knows_contacts: sees plan and queue.
    """

    taps: tuple[int, ...] = (1, 2, END)
    target: str = "gain"
    kinds: tuple[str, ...] = CHOSEN
    is_fixed: bool = False
    knows_contacts: bool = True


def reach_of_link(link: Link, window_s: float, margin: float = 0.0) -> Reach:
    """The contacts of a replay as the routing core takes them; times ns since the study's start.

    Args:
        margin: share kept for frame heads and repeats, [0, 1).
    """
    rates = [contact.capacity_bytes * 8 / (contact.end_s - contact.start_s)
             for contact in link.contacts]
    return reach_of(
        [round(contact.start_s * S_NS) for contact in link.contacts],
        [round(min(contact.end_s, window_s) * S_NS) for contact in link.contacts], rates,
        margin=margin,
    )  # fmt: skip


class Ours:
    """States cases and reads routes; made for one replay."""

    def __init__(self, setting: Setting, context: Context, variant: Variant) -> None:
        trace, tables = context.trace, context.tables
        self._variant, self.config = variant, routing_config(setting, variant)
        self._estimates = estimates_of(
            means_of(trace), machine_of(tables.config, tables.thinning))
        margin = 1 - 1 / tables.overhead
        self._reaches = {
            id(link): reach_of_link(link, link.end_s, margin) for link in context.links.values()
        }
        self._overhead = tables.overhead
        self._numbers = {level.name: i for i, level in enumerate(trace.levels)}
        self._there, self._alike_gain = _of_heads(trace.meta)
        # As many as the trace has taps: each is asked about again and again.
        self._known: dict[tuple[float, ...], Said] = {}

    def decide(self, view: View, link: Any) -> Choice:
        """``policy.Decide``."""
        if view.stage not in self._variant.taps:
            return proceed()
        if view.is_onboard:  # there is nothing to weigh: the ground is not asked
            said = self._said(view)
            is_over = view.stage == END or routing.is_sure(
                view.stage, said.score, said.is_familiar, self.config)
            return answer() if is_over else proceed()
        return self.choice(view, *self.weigh(view, link))

    def weigh(self, view: View, link: Any) -> tuple[Case, Route]:
        """State the case of one request at one stage and decide it, see ``casework.weigh``."""
        reach, ahead = None, Ahead()
        if self._variant.knows_contacts:
            reach, ahead = self.reach_of(link.link), self._ahead(link, view.priority)
        moment = Moment(
            now_ns=int(view.now_s * S_NS), estimates=self._estimates, config=self.config,
            reach=reach,
        )  # fmt: skip
        return weigh(view.stage, self._said(view), _asked(view), ahead, moment)

    def reach_of(self, link: Link) -> Reach:
        """The contacts of one of the replay's links, as routing knows them."""
        return self._reaches[id(link)]

    def choice(self, view: View, case: Case, found: Route) -> Choice:
        """What a route means in the replay."""
        if found.decision != routing.OFFLOAD:
            return answer() if found.decision == routing.ANSWER else proceed()
        return Choice(
            BOTH if view.stage == END else OFFLOAD, self._numbers[case.level],
            (_LATE if found.is_late else _PIXELS)[view.priority],
            # As the node makes the product: what is late has no deadline to keep.
            max(case.gain, 0.0), 0.0 if found.is_late else view.deadline_s,
        )  # fmt: skip

    def _ahead(self, link: LinkView, priority: int) -> Ahead:
        """In bytes of products: what the link carries is more by frame heads and repeats."""
        per = self._overhead
        answers, before, late, in_time = link.ahead_of(_PIXELS[priority])
        return Ahead(before / per, answers / per, in_time / per, late / per)

    def _said(self, view: View) -> Said:
        key = view.correct, view.similar, view.gain, view.novelty
        found = self._known.get(key)
        if found is None:
            is_familiar = view.novelty <= 1.0
            score, gain = wanted(
                Scores(*key, is_familiar), self._variant.target, self._there, self._alike_gain)
            found = self._known[key] = Said(score, gain, is_familiar)
        return found


def _asked(view: View) -> Asked:
    return Asked(
        raw_bytes=view.raw_bytes, modality=view.modality,
        deadline_ns=int(view.deadline_s * S_NS), priority=view.priority,
        is_onboard=view.is_onboard,
    )  # fmt: skip


def _of_heads(meta: Mapping[str, Any]) -> tuple[float, float]:
    """What the ablations of the target need besides the scores, as the collector wrote it down.

    Raises:
        StudyError: it did not.
    """
    try:
        return float(meta["there"]), float(meta["alike_gain"])
    except (KeyError, TypeError, ValueError) as error:
        raise StudyError("the trace does not say `there` and `alike_gain` of the heads") from error


def routing_config(setting: Setting, variant: Variant) -> RoutingConfig:
    """The core's configuration of one setting; what is not searched keeps its default."""
    kinds = tuple(k for k in variant.kinds if k != "regions" or setting["regions"])
    hurdle = setting["hurdle"]
    if variant.is_fixed or not variant.knows_contacts:
        blind = not variant.knows_contacts
        return RoutingConfig(
            accept=(setting["accept"],) * 3,
            reject=(setting["reject"] / 2, setting["reject"], 0.0 if blind else setting["accept"]),
            hurdle=(inf, inf, hurdle if blind else inf), needs_delivery=False, serves_late=False,
            base_mb_price=setting["base_mb_price"], kinds=kinds,
        )  # fmt: skip
    return RoutingConfig(
        accept=(setting["accept"],) * 3, reject=(0.0, 0.0, 0.0),
        hurdle=(hurdle + setting["early"], hurdle + setting["early"] / 2, hurdle),
        mb_price=setting["mb_price"], delay_price=setting["delay_price"],
        early_share=setting["early_share"], kinds=kinds,
    )  # fmt: skip


_SPACE: Mapping[str, Sequence[Any]] = {
    "accept": (0.95, 1.01),
    "hurdle": (0.0, 0.01, 0.03),
    "early": (0.05, 0.15, 0.5),
    "mb_price": (2.0, 8.0, 32.0, 128.0),
    "delay_price": (0.0, 0.01),
    "early_share": (0.5, 1.0),
    # Choosing regions costs processor time; whether it is worth that, the search says.
    "regions": (True, False),
    "order": ("fifo",),  # the satellite's queue knows no newest-first
}
_GATE: Mapping[str, Sequence[Any]] = {
    "accept": (0.6, 0.7, 0.8, 0.9, 0.95),
    "reject": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    "hurdle": (0.0, 0.01, 0.03, 0.06, 0.12, 0.2),
    "base_mb_price": (0.0, 0.1, 1.0, 10.0),
    "regions": (True, False),
    "order": ("fifo",),
}


def _policy(
    name: str, variant: Variant, role: str, note: str, space: Mapping[str, Sequence[Any]] = _SPACE
) -> Policy:
    def make(setting: Setting, context: Context) -> Decide:
        return Ours(setting, context, variant).decide

    return Policy(name=name, make=make, space=space, role=role, note=note)


def tuned_routing(setting: Setting) -> RoutingConfig:
    """What a satellite flies with a setting of ours: parameters of the confidence node."""
    return routing_config(setting, Variant())


def ours() -> Policy:
    """The policy of this repository."""
    return _policy("ours", Variant(), "ours", "calibrated gain, value per byte, contact-aware")


def ablations() -> list[Policy]:
    """Ours with one thing taken away or exchanged, each tuned anew by the same search."""
    return [
        _policy("ours_no_tap1", Variant(taps=(2, END)), "ablation", "no stop before decoding"),
        _policy("ours_no_tap2", Variant(taps=(1, END)), "ablation", "no stop while decoding"),
        _policy("ours_end_only", Variant(taps=(END,)), "ablation", "no early stop"),
        _policy("ours_similarity_target", Variant(target="alike"), "ablation",
                "gain read from the similarity head"),
        _policy("ours_correctness_target", Variant(target="correct"), "ablation",
                "gain read from the correctness head"),
        _policy("ours_no_preprocessing", Variant(kinds=("lossless",)), "ablation",
                "whole areas at full resolution only"),
        _policy("ours_fixed_regions", Variant(kinds=("cutoffs",)), "ablation",
                "two fixed cut-offs on regions instead of value per byte"),
        _policy("ours_fixed_cutoffs", Variant(is_fixed=True), "ablation",
                "accept and reject thresholds instead of worth", _GATE),
        _policy("ours_no_contacts", Variant(knows_contacts=False), "ablation",
                "neither plan nor queue known", _GATE),
    ]
