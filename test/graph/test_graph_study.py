"""One path: what flies decides, sends and answers as the study that measures it.

Twenty real chips go through the real nodes of both segments, one at a time, and through the study's
policy and cores. Both know one plan, one queue and one clock: the study is asked about each tap at
the time at which the graph decided it. Any pair of model folders will do; these are small, with
random weights and heads that were made for the test.
"""

import re
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_heads import put_heads_near
from two_segments import S_NS, Flight

from eo_nodes.contracts import ids
from eo_nodes.contracts.values import Answer, Contact, ContactPlan, Scene, Task, Verdict
from eo_nodes.decision.routing import explain
from eo_nodes.decision.setting import routing_as_plain
from eo_nodes.lvlm import load_model
from eo_nodes.store.frame_store import FrameStore
from eo_sim.study.collect import CHIPS, ask, assemble, library_of
from eo_sim.study.config import load_config
from eo_sim.study.downlink import Downlink
from eo_sim.study.facts import machine_of, put
from eo_sim.study.limits import graph_limits
from eo_sim.study.ours import Ours, Variant, tuned_routing
from eo_sim.study.outcomes import Cores, request_for, tensors
from eo_sim.study.policies import Context
from eo_sim.study.policy import ANSWER_RANK, BOTH, OFFLOAD, PROCEED, Setting
from eo_sim.study.tables import Tables
from eo_sim.study.world import Contact as Window
from eo_sim.study.world import Link

ROOT = Path(__file__).parents[2]
TINY = ROOT / "test" / "data" / "lvlm" / "tiny_unified"
DOMAIN, COUNT = 124, 20
CONFIG = load_config(ROOT / "config" / "study.yaml")
LIMITS = graph_limits()
SPANS = [(1200, 1500), (4000, 4300)]  # s after the start; nothing is sent before the last verdict
RATE_BPS = 4e5
KEEPS = np.array([1, 1, 0.95, 0.9, 0.8, 0.6, 0.8, 0.5, 0.3])  # of the gain, by levels
SETTING = Setting({"accept": 0.8, "hurdle": 0.2, "early": 0.05, "mb_price": 32.0,
                   "delay_price": 0.01, "early_share": 0.5, "regions": True})  # fmt: skip
SAME = {PROCEED: Verdict.CONTINUE, OFFLOAD: Verdict.OFFLOAD, BOTH: Verdict.OFFLOAD,
        1: Verdict.ANSWER}  # fmt: skip
HEAD_BYTES = 20  # by which ids, places and numbers of another length change a file
SCORE_BYTES = 60  # by which a score of 0 is shorter than one with all its digits, three times
STEP_BYTES = 50  # the last step of a final, which a provisional answer lacks
NUMBER = re.compile(r"-?\d+\.\d+")


@dataclass
class Asked:
    """The same questions for both: chips, and what the study's cores made of them."""

    questions: list
    rows: list
    trace: object
    compact: Path
    regular: Path


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    compact, regular = folder / "compact", folder / "regular"
    for one in (compact, regular):
        shutil.copytree(TINY, one)
    questions = chosen()
    views = load_model(compact, threads=1)
    put_heads_near(
        compact,
        # The last two are left out: heads abstain where they know nothing alike.
        [(tensors(views, q.sample.images, LIMITS.compact_px), q.ask.prompt)
         for q in questions[:-2]], LIMITS)  # fmt: skip
    cores, coin = Cores(compact, regular, LIMITS), np.random.default_rng(4)
    rows = [ask(cores, "val", True, question) for question in questions]
    assert not any(row["error"] for row in rows)
    digests = {"compact": cores.compact.digest, "regular": cores.regular.digest}
    for row in rows:  # what each level keeps, made up: answers of random weights tell nothing
        row["compact_quality"] = 0.0
        row["regular_quality"] = (coin.random(len(KEEPS)) < KEEPS).astype(float).tolist()
    trace = assemble(rows, digests, {"limits": LIMITS.as_plain(), **cores.target_facts})
    return Asked(questions, rows, put(trace, compact), compact, regular)


def chosen():
    """Questions of one image, at most two of a set, none with very many bands."""
    module, library, split = library_of(ROOT / CHIPS, "test")
    found, of_set = [], Counter()
    for question in module.questions(library, split, 2):
        images = question.sample.images
        name = question.sample.set_name
        if len(images) == 1 and images[0].values.shape[3] < 20 and of_set[name] < 2:
            of_set[name] += 1
            found.append(question)
    assert len(found) >= COUNT
    return found[:COUNT]


class Study:
    """The policy of the study over one queue, asked at the graph's times."""

    def __init__(self, asked, begin_ns):
        self.begin_ns, self.trace = begin_ns, asked.trace
        self.tables = Tables(asked.trace, CONFIG)
        rate = np.full(2, RATE_BPS)
        self.link = Link(
            [Window("sat", "st", a, b, np.array([a, b], float), rate) for a, b in SPANS], 9000.0)
        self.ours = Ours(
            SETTING, Context(asked.trace, None, self.tables, {"sat": self.link}), Variant())
        self.down = Downlink(self.link)
        self.numbers = {}
        self.names = asked.trace.flown_modality()

    def route(self, row, stage, verdict, request):
        """Case, route and choice of one tap."""
        trace, now_s = self.trace, (verdict.stamp_ns - self.begin_ns) / S_NS
        similar, correct, gain = trace["scores"][row, stage - 1].tolist()
        view = SimpleNamespace(
            row=row, stage=stage, now_s=now_s, similar=similar, correct=correct, gain=gain,
            novelty=float(trace["novelty"][row, stage - 1]), modality=str(self.names[row]),
            deadline_s=(request.deadline_ns - self.begin_ns) / S_NS,
            priority=int(trace["priority"][row]), is_onboard=False,
            raw_bytes=int(trace["raw_bytes"][row]))  # fmt: skip
        case, route = self.ours.weigh(view, self.down)
        return case, route, self.ours.choice(view, case, route)

    def send(self, name, choice, row, verdict):
        """Queue what the graph queues."""
        now_s = (verdict.stamp_ns - self.begin_ns) / S_NS
        if choice.action != OFFLOAD:
            size = self.tables.answer_wire[row]
            self.numbers[self.down.add(now_s, size, ANSWER_RANK)] = (name, "answer")
        if choice.action >= OFFLOAD:
            number = self.down.add(
                now_s, self.tables.wire[row, choice.level], choice.rank, choice.value,
                choice.deadline_s, int(self.trace["level_bytes"][row, choice.level]))  # fmt: skip
            self.numbers[number] = (name, "regions")
        self.down.advance(now_s)
        return 2 if choice.action == BOTH else 1

    def waiting(self):
        """What waits, in the order in which it will go."""
        return [self.numbers[entry[-1]] for entry in sorted(self.down._queue)]


def parameters(tables):
    """The study's setting as a satellite gets it."""
    return {
        **routing_as_plain(tuned_routing(SETTING)), **asdict(machine_of(CONFIG)),
        "link_margin": 1 - 1 / tables.overhead,
    }  # fmt: skip


@pytest.fixture
def flight(asked, bench_of, free_port, tmp_path):
    from eo_nodes.nodes.compact_lvlm_node import CompactLvlm
    from eo_nodes.nodes.confidence_node import Confidence
    from eo_nodes.nodes.preprocess_node import Preprocess

    folder = str(asked.compact)
    made = Flight(
        bench_of, free_port, tmp_path, domain=DOMAIN, model_dir=str(asked.regular),
        unsure_below=0.0, max_tokens=LIMITS.regular_tokens, overview_px=LIMITS.regular_px,
        on_board={
            "preprocess": (Preprocess, {"overview_px": LIMITS.compact_px}),
            "confidence": (Confidence, {
                "model_dir": folder, **parameters(Tables(asked.trace, CONFIG))}),
            "compact_lvlm": (CompactLvlm, {
                "model_dir": folder, "max_tokens": LIMITS.compact_tokens,
                "tap2_tokens": LIMITS.tap2_tokens, "verdict_timeout_s": 60.0}),
        },
    )  # fmt: skip
    for topic in ("tap", "verdict", "answer", "task", "queue"):
        made.space.hear(topic)
    yield made
    made.modem.close()


def plan_from(begin_ns):
    return ContactPlan(satellite="skybee_1", contacts=tuple(
        Contact(id=f"c{a}", aos_ns=begin_ns + a * S_NS, los_ns=begin_ns + b * S_NS,
                station="svalbard", capacity_bytes=int((b - a) * RATE_BPS / 8))
        for a, b in SPANS))  # fmt: skip


def ask_all(flight, asked, begin_ns):
    """Plan to both segments, and every task up; then the contact is over."""
    for bench in (flight.space, flight.ground):
        bench.speaker("contact_plan", listeners=2)
        bench.say("contact_plan", plan_from(begin_ns))
    flight.modem.say_locked()
    made = ids.IdFactory("console", 0x5BD1E995)
    tasks = []
    for row, question in enumerate(asked.questions):
        tasks.append(Task(
            id=made.new("task", begin_ns), prompt=question.ask.prompt, place=f"p{row:02}",
            asker="console", asked_ns=begin_ns, max_answers=1, consumer="ground",
            priority=int(asked.trace["priority"][row]),
            # Deadlines count from the capture, which is now.
            deadline_ns=begin_ns + int(Tables(asked.trace, CONFIG).deadline_s[row] * S_NS)))
        flight.ground.say("task", tasks[-1])
    flight.until(lambda: len(flight.space.heard["task"]) == COUNT, "all tasks on board")
    flight.modem.say_lost()
    return tasks


def show(flight, question, row, begin_ns):
    """A scene of one chip; return the request that it makes."""
    image = question.sample.images[0]
    about = request_for(image, question.ask.prompt).scene
    store = FrameStore(flight.folder / "space" / "test" / "frames", 1 << 26)
    scene_id = ids.IdFactory("camera", 1).new("scn", begin_ns + row * S_NS)
    frame = store.put(scene_id, image.values)
    flight.space.say("scene", Scene(**{
        **{name: getattr(about, name) for name in about.__slots__},
        "id": scene_id, "capture_ns": begin_ns + row * 1_000_000, "place": f"p{row:02}",
        "frame_key": scene_id, "sha256": frame.sha256}))  # fmt: skip
    return flight.first(flight.space, "request", scene_id=scene_id)


def same_reason(one, other):
    """The rule in words, and the numbers near each other; when and where differ in their names."""
    one, other = (text.split(";")[0] for text in (one, other))
    assert NUMBER.sub("", one) == NUMBER.sub("", other)
    near = [[float(n) for n in NUMBER.findall(text)] for text in (one, other)]
    assert near[0] == pytest.approx(near[1], abs=0.005)


def verdict_after(flight, request, stage):
    """The next verdict on a request."""
    return flight.until(
        lambda: next((v for v in flight.space.heard["verdict"]
                      if v.request_id == request.id and v.stage > stage), None),
        f"verdict on {request.prompt!r} after stage {stage}")  # fmt: skip


def queued(flight, count):
    """Wait until the gate knows of so many products; return the queue."""
    confidence = flight._nodes["confidence"]
    return flight.until(
        lambda: (q := confidence._queue.before(confidence.now_ns())) is not None
        and q.total == count and q,
        f"{count} products in the queue")


def decide_all(flight, asked, study, begin_ns):
    """Each request in turn: every verdict as the study's; return the last ones."""
    sent, last = 0, []
    for row, question in enumerate(asked.questions):
        request = show(flight, question, row, begin_ns)
        stage = 0
        while True:
            verdict = verdict_after(flight, request, stage)
            stage = verdict.stage
            case, route, choice = study.route(row, stage, verdict, request)
            where = (question.key, stage, verdict.reason)
            assert verdict.decision == SAME[choice.action], where
            same_reason(verdict.reason, explain(
                case, route, study.ours.reach_of(study.link), study.ours.config))
            assert (verdict.level, verdict.is_late) == (case.level, route.is_late), where
            assert verdict.gain == pytest.approx(case.gain, abs=1e-5), where
            if verdict.decision != Verdict.CONTINUE:
                break
        sent += study.send(request.id, choice, row, verdict)
        queued(flight, sent)
        last.append((request, verdict, choice))
    return last


def test_the_graph_decides_sends_and_answers_as_the_study(flight, asked):
    begin_ns = time.time_ns()
    study = Study(asked, begin_ns)
    ask_all(flight, asked, begin_ns)
    last = decide_all(flight, asked, study, begin_ns)

    entries = queued(flight, len(study.waiting())).entries
    order = [f"prd-{name.removeprefix('req-')}-{kind}" for name, kind in study.waiting()]
    # Without their versions: an answer may be its owner's first or second.
    assert [entry.product_id.rpartition("-")[0] for entry in entries] == order

    flight.modem.say_locked()
    flight.until(lambda: len(flight.ground.heard["final"]) >= COUNT, "all finals")
    finals = {final.request_id: final for final in flight.ground.heard["final"]}
    reports = flight.space.heard["downlink_report"]
    sizes = {(report.request_id, report.kind): report.size_bytes for report in reports}
    seen = Counter()
    for row, (request, verdict, choice) in enumerate(last):
        said, final = asked.rows[row], finals[request.id]
        seen[verdict.decision, verdict.stage == 3, verdict.is_late] += 1
        if choice.action != OFFLOAD:
            step = STEP_BYTES if choice.action == BOTH else 0
            assert sizes[request.id, "answer"] == pytest.approx(
                said["answer_bytes"] - step, abs=SCORE_BYTES), said["key"]
        if choice.action >= OFFLOAD:
            assert sizes[request.id, "regions"] == pytest.approx(
                said["level_bytes"][choice.level], abs=HEAD_BYTES), said["key"]
            assert (final.origin, final.text) == ("ground", said["regular_text"][choice.level])
        else:
            assert (final.origin, final.text) == ("onboard", said["compact_text"])
        assert final.status == Answer.FINAL
    ends = {(decision, late) for decision, _, late in seen}
    assert {(Verdict.OFFLOAD, False), (Verdict.OFFLOAD, True), (Verdict.ANSWER, False)} <= ends
