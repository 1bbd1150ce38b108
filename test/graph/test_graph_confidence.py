"""Heads in the live graph: taps carry what they take, verdicts follow them, commands move them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from calibrated import calibrated
from made_heads import put_heads

from eo_nodes.contracts.errors import ModelError
from eo_nodes.contracts.values import (
    Command,
    Contact,
    ContactPlan,
    Tap,
    Verdict,
    View,
    Views,
)
from eo_nodes.lvlm.calibration import read_calibration

DOMAIN = 120
ROOT = Path(__file__).parents[2]
TINY = ROOT / "test" / "data" / "lvlm" / "tiny_unified"
NEVER = [1.0, 1.0, 1.0]
H = 3600 * 10**9
PIXELS = np.random.default_rng(3).integers(0, 256, (96, 96, 3), np.uint8)
VIEW = View(kind="overview", window=(0, 0, 96, 96), frames=1, height=96, width=96, bands=3,
            dtype="uint8", band_names=("red", "green", "blue"), data=PIXELS.tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("model") / "compact"
    shutil.copytree(TINY, made)
    put_heads(made)
    return str(made)


@pytest.fixture
def bench(bench_of):
    return bench_of(DOMAIN)


def start(bench, folder, **parameters):
    from eo_nodes.nodes.compact_lvlm_node import CompactLvlm
    from eo_nodes.nodes.confidence_node import Confidence

    for topic in ("tap", "verdict", "answer", "event"):
        bench.hear(topic)
    # Nothing is saved by a provisional answer: where the ground is asked, it is asked at once.
    gate = bench.start(
        Confidence, model_dir=folder, accept=NEVER, early_share=0.0, **parameters)
    bench.start(CompactLvlm, model_dir=folder)
    return gate


def ask(bench, number=1, plan=True):
    now = bench.probe.get_clock().now().nanoseconds
    contact = Contact(id="c1", aos_ns=now + H, los_ns=now + 2 * H, capacity_bytes=10**9)
    bench.say("contact_plan", ContactPlan(contacts=(contact,) if plan else (), horizon_ns=H))
    bench.say("views", Views(
        request_id=f"req-{number}", scene_id="scn-1", modality="optical", attempt=1,
        prompt="What is it?", views=(VIEW,)))


def test_an_offload_verdict_of_the_heads_ends_decoding_at_once(bench, folder):
    start(bench, folder, hurdle=[-2.0, -2.0, -2.0])
    ask(bench)
    verdict = bench.only("verdict", "request_id", "req-1")
    assert (verdict.stage, verdict.decision) == (1, Verdict.OFFLOAD)
    assert "the ground adds" in verdict.reason and "by c1" in verdict.reason
    assert (verdict.level, verdict.is_late) == ("regions_1_5", False), "as stated, without means"
    assert verdict.gain != 0.0
    # The next request is served, and nothing more is heard of the first.
    ask(bench, 2)
    bench.only("verdict", "request_id", "req-2")
    assert [tap.request_id for tap in bench.heard["tap"]] == ["req-1", "req-2"]
    assert not bench.heard["answer"]
    assert [t.tokens for t in bench.heard["tap"]] == [0, 0]


def test_an_answer_that_nobody_can_be_asked_about_is_labelled(bench, folder):
    start(bench, folder, hurdle=[-2.0, -2.0, -2.0])
    ask(bench, plan=False)
    answer = bench.only("answer", "request_id", "req-1")
    assert answer.reason.startswith("degraded: ") and "no contact in the plan" in answer.reason


def test_answers_that_are_not_worth_asking_about_carry_no_label(bench, folder):
    start(bench, folder, hurdle=[2.0, 2.0, 2.0])
    ask(bench)
    assert bench.only("answer", "request_id", "req-1").reason == ""
    assert bench.heard["verdict"][-1].decision == Verdict.ANSWER


def test_thresholds_move_by_telecommand_once_and_bad_ones_are_rejected(bench, folder):
    gate = start(bench, folder, hurdle=[2.0, 2.0, 2.0])

    def say(number, arguments):
        bench.say("command", Command(id=f"cmd-{number}", opcode="set_threshold",
                                     arguments_json=arguments))

    for number, bad in enumerate(("", "[]", "[" * 3000, '{"hurdle": [1]}', '{"speed": 1}')):
        say(number, bad)
        bench.event("COMMAND_REJECTED", f"cmd-{number}")
    low = json.dumps({"hurdle": [-2, -2, -2]})
    say(10, low)
    bench.event("COMMAND_ACCEPTED", "cmd-10")
    say(11, json.dumps({"hurdle": [2, 2, 2]}))
    bench.event("COMMAND_ACCEPTED", "cmd-11")
    say(10, low)  # comes again: must not undo what came after it
    say(12, json.dumps({"target": "alike"}))
    bench.event("COMMAND_ACCEPTED", "cmd-12")
    assert gate._router.config.routing.hurdle == (2.0, 2.0, 2.0)
    assert gate._router.config.target == "alike"
    say(13, low)
    bench.event("COMMAND_ACCEPTED", "cmd-13")
    ask(bench)
    assert bench.only("verdict", "request_id", "req-1").decision == Verdict.OFFLOAD


def test_taps_of_another_model_are_an_event_and_get_the_thresholds(bench, folder):
    start(bench, folder, gate_accept=[0.9, 0.8, 0.7], gate_reject=[0.1, 0.2])
    tap = Tap(request_id="req-9", stage=3, attempt=1, confidence=0.75, model_digest="other")
    bench.say("tap", tap)
    bench.event("HEADS_UNUSED", "other")
    verdict = bench.only("verdict", "request_id", "req-9")
    assert (verdict.decision, verdict.score) == (Verdict.ANSWER, 0.75)


def test_m30_heads_that_the_manifest_does_not_vouch_for_are_refused(bench, folder, tmp_path):
    from eo_nodes.nodes.confidence_node import Confidence

    broken = tmp_path / "compact"
    shutil.copytree(folder, broken)
    (broken / "decision.json").write_text((broken / "decision.json").read_text() + " ")
    node = bench.make(Confidence, model_dir=str(broken))
    with pytest.raises(ModelError):
        node.configure()


def test_thresholds_of_a_model_without_heads_come_with_it(bench, tmp_path):
    from eo_nodes.nodes.confidence_node import Confidence

    folder = calibrated(tmp_path / "compact", (0.78, 0.67, 1.0), (0.71, 0.6, 0.8))
    bench.hear("verdict")
    node = bench.start(Confidence, model_dir=folder)
    gate = node._router.config.gate
    assert (gate.accept, gate.reject) == ((0.78, 0.67, 0.8), (0.71, 0.6))
    for stage, confidence, decision in (
        (1, 0.79, Verdict.ANSWER), (1, 0.77, Verdict.CONTINUE), (1, 0.7, Verdict.OFFLOAD),
        (2, 0.59, Verdict.OFFLOAD), (3, 0.81, Verdict.ANSWER), (3, 0.79, Verdict.OFFLOAD),
    ):  # fmt: skip
        name = f"req-{stage}-{confidence}"
        bench.say("tap", Tap(request_id=name, stage=stage, attempt=1, confidence=confidence))
        assert bench.only("verdict", "request_id", name).decision == decision, name


def test_thresholds_that_are_stated_stand_beside_those_of_the_model(bench, tmp_path):
    from eo_nodes.nodes.confidence_node import Confidence

    folder = calibrated(tmp_path / "compact", (0.78, 0.67, 1.0), (0.71, 0.6, 0.8))
    node = bench.start(
        Confidence, model_dir=folder, gate_accept=[0.9, -1.0, 0.5], gate_reject=[-1.0, 0.0])
    gate = node._router.config.gate
    assert (gate.accept, gate.reject) == ((0.9, 0.67, 0.5), (0.71, 0.0))


def test_the_mission_flies_the_thresholds_of_the_model_it_flies(bench):
    from eo_nodes.nodes.confidence_node import Confidence

    space = yaml.safe_load((ROOT / "config" / "params" / "space.yaml").read_text())
    told = space["/**/confidence"]["ros__parameters"]
    gate = bench.start(Confidence, **told)._router.config.gate
    stages = read_calibration(ROOT / told["model_dir"])
    assert gate.accept[:2] == (stages[1].answer_above, stages[2].answer_above)
    assert (*gate.reject, gate.accept[2]) == tuple(stages[s].offload_below for s in (1, 2, 3))
    flown = space["/**/compact_lvlm"]["ros__parameters"]["model_dir"]
    assert told["model_dir"] == flown


def test_m30_a_calibration_that_the_manifest_does_not_vouch_for_is_refused(bench, tmp_path):
    from eo_nodes.nodes.confidence_node import Confidence

    folder = Path(calibrated(tmp_path / "compact", (0.8, 0.8, 0.8), (0.1, 0.1, 0.1)))
    path = folder / "calibration.json"
    path.write_text(path.read_text().replace("0.1", "0.2"))
    bench.hear("event")
    with pytest.raises(ModelError, match=r"calibration\.json"):
        bench.make(Confidence, model_dir=str(folder)).configure()
    bench.event("MODEL_REFUSED", "calibration.json")


def test_health_monitor_leaves_thresholds_to_their_node(bench):
    from eo_nodes.nodes.health_monitor_node import HealthMonitor

    bench.start(HealthMonitor, watched=["confidence"])
    bench.hear("event")
    bench.say("command", Command(id="c-1", opcode="set_threshold", arguments_json="{}"))
    bench.say("command", Command(id="c-2", opcode="set_speed", arguments_json="{}"))
    bench.event("COMMAND_REJECTED", "c-2")
    assert not [e for e in bench.heard["event"] if "c-1" in e.fields_json]
