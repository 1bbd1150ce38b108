"""Bad messages and tasks: a named event or a refusal the asker can read, and the node goes on."""

import dataclasses
import json
from pathlib import Path

import pytest
from poison import BAD_TASKS, GOOD

from eo_nodes.contracts.values import VALUES, Answer, Product, Tap, Verdict

DOMAIN = 90
TINY = str(Path(__file__).parents[1] / "data" / "lvlm" / "tiny_unified")


@pytest.fixture
def bench(bench_of):
    return bench_of(DOMAIN)


@pytest.fixture
def station(bench, free_port):
    from eo_nodes.nodes.ground_station_node import GroundStation

    return bench.start(
        GroundStation, listen_port=free_port(), modem_port=free_port(),
        entity_id=2, peer_entity_id=1, satellite="skybee_1",
    )  # fmt: skip


def test_m32_every_bad_task_is_refused_where_the_asker_reads_it(bench, station):
    bench.hear("final")
    for number, (name, changes) in enumerate(BAD_TASKS.items()):
        task_id = f"task-bad-{number}"
        bench.say("task", dataclasses.replace(GOOD, id=task_id, asker="me", **changes))
        answer = bench.only("final", "task_id", task_id)
        assert (answer.status, answer.asker) == (Answer.REFUSED, "me"), name
        assert answer.origin == "ground" and answer.text == "", name
        assert 5 < len(answer.reason) <= 300, name
        assert len(answer.prompt) <= 2000, name
    assert station.is_active
    assert len(bench.heard["final"]) == len(BAD_TASKS), "one refusal each"


def test_m32_good_task_after_bad_ones_goes_up(bench, station):
    bench.hear("final")
    bench.say("task", dataclasses.replace(GOOD, id="task-bad", prompt=""))
    bench.only("final", "task_id", "task-bad")
    bench.say("task", GOOD)
    bench.until(
        lambda: [status.name for status in station.endpoint.queue()] == ["task/task-good"],
        "the good task in the uplink queue, and no bad one",
    )
    assert [answer.task_id for answer in bench.heard["final"]] == ["task-bad"]


def test_task_without_a_usable_id_is_an_event_and_the_node_stays(bench, station):
    bench.hear("event")
    bench.hear("final")
    for number, task_id in enumerate(("", "x" * 500)):
        start = len(bench.heard["event"])
        bench.say("task", dataclasses.replace(GOOD, id=task_id, prompt=f"number {number}"))
        bench.event("BAD_MESSAGE", '"field": "id"', start)
    bench.say("task", dataclasses.replace(GOOD, id="task-bad", prompt=""))
    bench.only("final", "task_id", "task-bad")
    assert not [event for event in bench.heard["event"] if event.id == "INTERNAL_ERROR"]


def test_same_bad_task_twice_is_refused_once_each_time_with_the_same_answer(bench, station):
    bench.hear("final")
    bad = dataclasses.replace(GOOD, id="task-bad", prompt="")
    bench.say("task", bad)
    first = bench.only("final", "task_id", "task-bad")
    bench.say("task", bad)
    bench.until(lambda: len(bench.heard["final"]) == 2, "the refusal again")
    assert bench.heard["final"][1].id == first.id


def test_bad_tap_is_an_event_and_the_next_tap_gets_its_verdict(bench):
    from eo_nodes.nodes.confidence_node import Confidence

    bench.start(Confidence, policy="fixed", gate_accept=[0.9, 0.8, 0.7], gate_reject=[0.1, 0.2])
    bench.hear("verdict")
    bench.hear("event")
    bench.say("tap", Tap(request_id="req-1", stage=1, confidence=float("nan")))
    event = bench.event("BAD_MESSAGE", "tap")
    assert json.loads(event.fields_json)["field"] == "confidence"
    bench.say("tap", Tap(request_id="req-1", stage=1, attempt=1, confidence=0.95))
    verdict = bench.only("verdict", "request_id", "req-1")
    assert (verdict.decision, verdict.stage, verdict.attempt) == (Verdict.ANSWER, 1, 1)
    assert len(bench.heard["verdict"]) == 1


SPACE = {
    "camera_ingest": {},
    "tasking": {},
    "preprocess": {},
    "compact_lvlm": {"model_dir": TINY},
    "confidence": {"policy": "fixed", "gate_accept": [0.9, 0.8, 0.7], "gate_reject": [0.1, 0.2]},
    "ground_lvlm": {"model_dir": TINY},
    "archive": {},
    "health_monitor": {"watched": ["tasking"]},
}


def breaks_a_rule(name):
    """Whether the empty value of a type is refused by its rules."""
    return any(field.metadata.get("rule") for field in dataclasses.fields(VALUES[name]))


@pytest.mark.parametrize("name", SPACE)
def test_m32_empty_message_on_every_topic_of_a_node_is_named_and_survived(bench, name):
    from eo_nodes.contracts.topics import TOPICS
    from eo_nodes.nodes.container import factory_of

    node = bench.start(factory_of(name), **SPACE[name])
    bench.hear("event")
    topics = {full.removeprefix("/test/") for full in node._received}
    if name == "health_monitor":
        topics.add("heartbeat")
    own = [t for t in sorted(topics) if t in TOPICS and "/" not in TOPICS[t].type]
    tried = [topic for topic in own if breaks_a_rule(TOPICS[topic].type)]
    assert tried or name == "camera_ingest"
    for topic in tried:
        start = len(bench.heard["event"])
        bench.say(topic, VALUES[TOPICS[topic].type]())
        bench.event("BAD_MESSAGE", json.dumps({"topic": topic})[1:-1], start)
    assert node.is_active
    assert not [event for event in bench.heard["event"] if event.id == "INTERNAL_ERROR"]


def test_product_whose_file_is_gone_or_torn_fails_and_the_next_is_tried(bench, tmp_path):
    from eo_nodes.nodes.ground_lvlm_node import GroundLvlm

    node = bench.start(GroundLvlm, model_dir=TINY)
    bench.hear("event")
    torn = tmp_path / "torn.prd"
    torn.write_bytes(b"no container")
    for number, path in enumerate((tmp_path / "absent.prd", torn)):
        bench.say(
            "product",
            Product(id=f"prd-{number}", request_id=f"req-{number}", kind="regions", path=str(path)),
        )
        bench.event("INFERENCE_FAILED", f"req-{number}")
    assert node.is_active and node.pending_jobs == 0


@pytest.mark.parametrize(
    "arguments", ["", "[", "[" * 4000, "{}", '{"mode": 7}', '{"mode": ["safe"]}', '{"mode": "off"}']
)
def test_bad_command_is_rejected_by_name_and_a_good_one_is_obeyed(bench, arguments):
    from eo_nodes.contracts.values import Command
    from eo_nodes.nodes.health_monitor_node import HealthMonitor

    bench.start(HealthMonitor, watched=["tasking"])
    bench.hear("event")
    bench.hear("mode")
    bench.say("command", Command(id="cmd-1", opcode="set_mode", arguments_json=arguments))
    bench.event("COMMAND_REJECTED", "cmd-1")
    bench.say("command", Command(id="cmd-2", opcode="set_mode", arguments_json='{"mode": "safe"}'))
    bench.event("COMMAND_ACCEPTED", "cmd-2")
    bench.only("mode", "mode", "safe")
