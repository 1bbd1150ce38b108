"""Our policy and its ablations: the routing core that flies, fed from the replay.

What decides is ``eo_nodes.decision.routing.route``, with ``reach`` as its clock of contacts: the
functions that the confidence node calls. This file only states the case: calibrated chance and
gain at this tap, the level whose pixels are worth most, what waits before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from eo_nodes.decision import routing
from eo_nodes.decision.reach import Reach, reach_of
from eo_nodes.decision.routing import Case, RoutingConfig, load_of, route

from .config import S_NS
from .policies import Context, density_rank
from .policy import (
    ANSWER_RANK,
    BOTH,
    END,
    OFFLOAD,
    ORDERS,
    REFINE_RANK,
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

# Worth of a joule: that of an answer's decoding is some tenths, and must not outweigh one.
_JOULE_PRICE = 0.002


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
    kinds: tuple[str, ...] = ("lossless", "lossy", "regions", "uniform")
    is_fixed: bool = False
    knows_contacts: bool = True


def reach_of_link(link: Link, window_s: float) -> Reach:
    """The contacts of a replay as the routing core takes them; times ns since the study's start."""
    rates = [contact.capacity_bytes * 8 / (contact.end_s - contact.start_s)
             for contact in link.contacts]
    return reach_of(
        [round(contact.start_s * S_NS) for contact in link.contacts],
        [round(min(contact.end_s, window_s) * S_NS) for contact in link.contacts], rates,
    )  # fmt: skip


class Ours:
    """States cases and reads routes; made for one replay."""

    def __init__(self, setting: Setting, context: Context, variant: Variant) -> None:
        trace, fits, tables = context.trace, context.fits, context.tables
        self._setting, self._variant = setting, variant
        self._config = routing_config(setting, variant)
        self._reaches = {
            id(link): reach_of_link(link, link.end_s) for link in context.links.values()
        }
        self._correct = fits.correct.tolist()
        self._gain = fits.gains[variant.target].tolist()
        kinds = [k for k in variant.kinds if k != "regions" or setting["regions"]]
        self._levels = [i for i, x in enumerate(trace.levels) if x.kind in kinds]
        self._keeps = dict(zip(trace.names["modalities"], fits.retention.tolist(), strict=True))
        # What is not known before it is done is expected as on val.
        val = trace.rows("val")
        self._ground_s = float(tables.regular_s[val].mean())
        self._answer = float(tables.answer_wire[val].mean())
        self._left_j = tables.to_end_j.tolist()
        self._code, self._code_j = (x[val].mean(axis=0).tolist()
                                    for x in (tables.code_s, tables.code_j))

    def decide(self, view: View, link: Any) -> Choice:
        """``policy.Decide``."""
        stage, row = view.stage, view.row
        if stage not in self._variant.taps:
            return proceed()
        gain = self._gain[row][stage - 1]
        reach = self._reaches[id(link.link)] if self._variant.knows_contacts else None
        load = load_of(int(view.now_s * S_NS), link.queued_bytes(), reach, self._config)
        level, kept, size = self._best_level(view, gain, load)
        expected = gain * kept
        rank = density_rank(expected / size)
        case = self._case(view, link, expected, level, size, rank)
        if reach is not None:
            case = _softened(case, reach)
        found = route(case, reach, self._config)
        if found.decision == routing.OFFLOAD:
            return Choice(BOTH if stage == END else OFFLOAD, level, rank)
        if found.barrier and stage == END and reach is not None and case.deadline_ns:
            # Too late for the deadline, not for the asker: behind all that can still be in time.
            late = replace(case, deadline_ns=0, ahead_bytes=int(link.ahead_bytes(REFINE_RANK)))
            if route(late, reach, self._config).decision == routing.OFFLOAD:
                return Choice(BOTH, level, REFINE_RANK)
        if reach is None and stage == END and found.rule == 5 and (
            expected > self._setting["hurdle"]
        ):
            return Choice(BOTH, level, rank)  # blind to contacts: by gain alone
        return answer() if found.decision == routing.ANSWER else proceed()

    def _best_level(self, view: View, gain: float, load: float) -> tuple[int, float, float]:
        """(level, share of the gain it keeps, bytes): worth most after its price."""
        keeps, wire = self._keeps[view.modality], view.wire
        config = self._config
        price = (config.mb_price * load + config.base_mb_price) * 1e-6
        best, worth = self._levels[0], -inf
        for level in self._levels:
            value = gain * keeps[level] - price * wire[level]
            if value > worth:
                best, worth = level, value
        return best, keeps[best], wire[best]

    def _case(
        self, view: View, link: LinkView, gain: float, level: int, size: float, rank: int
    ) -> Case:
        row, stage = view.row, view.stage
        return Case(
            stage=stage,
            score=self._correct[row][stage - 1],
            gain=gain,
            now_ns=int(view.now_s * S_NS),
            deadline_ns=int(view.deadline_s * S_NS),
            regions_bytes=int(size),
            answer_bytes=int(self._answer),
            ahead_bytes=int(link.ahead_bytes(rank)),
            answer_ahead_bytes=int(link.ahead_bytes(ANSWER_RANK)),
            queued_bytes=int(link.queued_bytes()),
            left_s=view.left_compute_s(),
            reduce_s=self._code[level],
            ground_s=self._ground_s,
            left_j=self._left_j[stage],
            regions_j=self._code_j[level],
            priority=view.priority,
            is_onboard=view.is_onboard,
            is_familiar=view.novelty <= 1.0,  # as the heads say it
        )


def _softened(case: Case, reach: Reach) -> Case:
    """Drop a deadline that nothing at all can meet."""
    if case.deadline_ns and not case.is_onboard and (
        reach.open_ns(case.now_ns) >= case.deadline_ns
    ):
        return replace(case, deadline_ns=0)
    return case


def routing_config(setting: Setting, variant: Variant) -> RoutingConfig:
    """The core's configuration of one setting; what is not searched keeps its default."""
    if variant.is_fixed or not variant.knows_contacts:
        off = variant.knows_contacts
        return RoutingConfig(
            accept=(setting["accept"],) * 3,
            reject=(setting["reject"] / 2, setting["reject"], setting["accept"] if off else 0.0),
            hurdle=(inf, inf, inf), needs_delivery=False,
        )  # fmt: skip
    hurdle = setting["hurdle"]
    return RoutingConfig(
        accept=(setting["accept"],) * 3, reject=(0.0, 0.0, 0.0),
        hurdle=(hurdle + setting["early"], hurdle + setting["early"] / 2, hurdle),
        mb_price=setting["mb_price"], delay_price=setting["delay_price"],
        joule_price=_JOULE_PRICE, early_share=setting["early_share"],
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
    "order": ORDERS,
}
_GATE: Mapping[str, Sequence[Any]] = {
    "accept": (0.6, 0.7, 0.8, 0.9, 0.95),
    "reject": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    "hurdle": (0.0, 0.01, 0.03, 0.06, 0.12, 0.2),
    "regions": (True, False),
    "order": ORDERS,
}


def _policy(
    name: str, variant: Variant, role: str, note: str, space: Mapping[str, Sequence[Any]] = _SPACE
) -> Policy:
    def make(setting: Setting, context: Context) -> Decide:
        return Ours(setting, context, variant).decide

    return Policy(name=name, make=make, space=space, role=role, note=note)


def ours() -> Policy:
    """The policy of this repository."""
    return _policy("ours", Variant(), "ours", "calibrated gain, value per byte, contact-aware")


def ablations() -> list[Policy]:
    """Ours with one thing taken away or exchanged, each tuned anew by the same search."""
    return [
        _policy("ours_no_tap1", Variant(taps=(2, END)), "ablation", "no stop before decoding"),
        _policy("ours_no_tap2", Variant(taps=(1, END)), "ablation", "no stop while decoding"),
        _policy("ours_end_only", Variant(taps=(END,)), "ablation", "no early stop"),
        _policy("ours_similarity_target", Variant(target="similar"), "ablation",
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
