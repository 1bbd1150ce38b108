"""One path: the router on board and ours in the replay decide the same of the same request."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from study_trace import made_trace

from eo_nodes.contracts.values import (
    Contact,
    ContactPlan,
    QueueEntry,
    QueueState,
    Request,
    Scene,
    Tap,
    Verdict,
)
from eo_nodes.decision.heads import Scores, wanted
from eo_nodes.decision.router import Outlook, Router, RouterConfig
from eo_nodes.downlink.order import place
from eo_sim.study.config import load_config
from eo_sim.study.downlink import Downlink
from eo_sim.study.facts import machine_of, means_of
from eo_sim.study.ours import Ours, Variant, routing_config
from eo_sim.study.policies import Context
from eo_sim.study.policy import ANSWER, BOTH, OFFLOAD, PROCEED, Setting
from eo_sim.study.tables import Tables
from eo_sim.study.world import Contact as Window
from eo_sim.study.world import Link

ROOT = Path(__file__).parents[3]
CONFIG = load_config(ROOT / "config" / "study.yaml")
TRACE = made_trace(chips=40)
TABLES = Tables(TRACE, CONFIG)
S = 10**9
# 8 Mbit/s, two minutes in every half hour.
SPANS = [(t, t + 120.0) for t in (1800.0, 3600.0, 5400.0)]
LINK = Link([Window("sat", "st", a, b, np.array([a, b]), np.full(2, 8e6)) for a, b in SPANS],
            20_000.0)  # fmt: skip
PLAN = ContactPlan(contacts=tuple(
    Contact(id=f"c{i}", aos_ns=int(a) * S, los_ns=int(b) * S,
            capacity_bytes=int((b - a) * 1_000_000))
    for i, (a, b) in enumerate(SPANS)))  # fmt: skip
SAME = {PROCEED: Verdict.CONTINUE, ANSWER: Verdict.ANSWER, OFFLOAD: Verdict.OFFLOAD,
        BOTH: Verdict.OFFLOAD}  # fmt: skip
MODEL = "c" * 64


class Heads:
    """Scores of a row of the trace, as its heads said them."""

    length, means = 1, means_of(TRACE)

    def scores(self, stage, features):
        alike, correct, gain = TRACE["scores"][int(features[0]), stage - 1].tolist()
        distance = float(TRACE["novelty"][int(features[0]), stage - 1]) * 1.05
        return Scores(correct, alike, gain, distance, distance <= 1)

    def wanted(self, scores, target):
        return wanted(scores, target, TRACE.meta["there"], TRACE.meta["alike_gain"])


def queues(waiting):
    """The same products in the queue of the replay and in that of the satellite."""
    down, entries, late = Downlink(LINK), [], 0
    for kind, priority, is_late, size in waiting:
        down.add(0.0, size * TABLES.overhead, place(kind, is_late=is_late, priority=priority))
        late += size if is_late else 0
        entries.append((place(kind, is_late=is_late, priority=priority), QueueEntry(
            product_id=f"p{len(entries)}", kind=kind, priority=priority, size_bytes=size)))
    entries = [entry for _, entry in sorted(entries, key=lambda pair: pair[0])]
    state = QueueState(
        queued_bytes=sum(entry.size_bytes for entry in entries), late_bytes=late,
        total=len(entries), entries=tuple(entries))
    return down, state


def drawn(random):
    """Up to twelve products that wait, small ones or more than a contact carries."""
    scale = float(random.choice([1e4, 1e6, 5e7]))
    return [("answer" if random.uniform() < 0.3 else "regions", int(random.integers(0, 4)),
             bool(random.uniform() < 0.3), int(random.uniform(0.1, 1) * scale))
            for _ in range(int(random.integers(0, 12)))]  # fmt: skip


def as_answers_in_time(waiting):
    """Answers have one place and no priority that counts, and are never late."""
    return [(kind, 0, False, size) if kind == "answer" else (kind, priority, late, size)
            for kind, priority, late, size in waiting]


SETTINGS = [
    {"accept": 0.95, "hurdle": 0.01, "early": 0.05, "mb_price": 8.0, "delay_price": 0.01,
     "early_share": 0.5, "regions": True},
    {"accept": 1.01, "hurdle": 0.0, "early": 0.15, "mb_price": 128.0, "delay_price": 0.0,
     "early_share": 1.0, "regions": False},
]  # fmt: skip


@pytest.mark.parametrize("target", ["gain", "correct", "alike"])
@pytest.mark.parametrize("values", SETTINGS, ids=["cheap", "dear"])
def test_router_and_replay_decide_the_same(values, target):
    variant, setting = Variant(target=target), Setting(values)
    routing = routing_config(setting, variant)
    router = Router(
        RouterConfig(target=target, routing=routing, machine=machine_of(CONFIG),
                     link_margin=1 - 1 / TABLES.overhead), Heads(), MODEL)
    own = Ours(setting, Context(TRACE, None, TABLES, {"sat": LINK}), variant)
    random = np.random.default_rng(5)
    seen = set()
    for row in random.permutation(len(TRACE))[:60].tolist():
        down, queue = queues(as_answers_in_time(drawn(random)))
        now_s = float(random.integers(0, 1500))
        raw = int(TRACE["raw_bytes"][row])
        modality = str(TRACE.names_of("modality")[row])
        priority, is_onboard = int(TRACE["priority"][row]), bool(random.uniform() < 0.1)
        deadline_s = now_s + float(random.choice([600, 1800, 5400]))
        request = Request(
            id="r", scene=Scene(width=10, height=10, raw_bytes=raw, modality=modality),
            window=(0, 0, 10, 10), deadline_ns=int(deadline_s) * S, priority=priority,
            consumer="onboard" if is_onboard else "ground")
        outlook = Outlook(plan=PLAN, queue=queue)
        for stage in (1, 2, 3):
            tap = Tap(request_id="r", stage=stage, features=(float(row),), model_digest=MODEL)
            scores = Heads().scores(stage, (row,))
            view = SimpleNamespace(
                row=row, stage=stage, now_s=now_s, similar=scores.alike, correct=scores.correct,
                gain=scores.gain, novelty=scores.distance, modality=modality,
                deadline_s=deadline_s, priority=priority, is_onboard=is_onboard, raw_bytes=raw)
            verdict = router.decide(tap, request, outlook, int(now_s) * S)
            choice = own.decide(view, down)
            assert verdict.decision == SAME[choice.action], (row, stage, verdict.reason)
            seen.add((verdict.decision, verdict.is_late))
            if verdict.decision == Verdict.OFFLOAD:
                assert verdict.level == TRACE.levels[choice.level].name
                assert max(verdict.gain, 0.0) == pytest.approx(choice.value)
                assert choice.rank == place(
                    "regions", is_late=verdict.is_late, priority=priority)
    assert {(Verdict.OFFLOAD, False), (Verdict.OFFLOAD, True), (Verdict.ANSWER, False),
            (Verdict.CONTINUE, False)} <= seen, "every kind of verdict was compared"
