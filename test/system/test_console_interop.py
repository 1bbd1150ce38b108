"""Console and recorder (Cyclone DDS, no ROS imported) with a real ROS 2 node (Fast DDS).

The node stands for the ground segment: it answers each task, latches a plan and events, and sends
pictures. Every value is compared field by field.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from eo_nodes.console.bag import read_bag
from eo_nodes.console.client import GroundConsole
from eo_nodes.console.recorder import Recorder, Segment
from eo_nodes.contracts.values import Answer, Step, Task, VisualPrompt

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        importlib.util.find_spec("rclpy") is None or importlib.util.find_spec("spaceverse") is None,
        reason="needs ROS 2 and the built messages",
    ),
]

ROOT = Path(__file__).resolve().parents[2]
DOMAIN = 160 + os.getpid() % 60
EVENTS = 150
VIEW_BYTES = 1_000_000
WAIT_S = 60.0

PEER = """
import sys
import time
from rclpy.node import Node
from eo_nodes.contracts.values import Answer, Contact, ContactPlan, Event, Step, Task, View, Views
from eo_nodes.contracts.topics import TOPICS
from eo_nodes.nodes.convert import message_type, to_message, to_value
from eo_nodes.nodes.qos import profile
from eo_nodes.nodes.runner import run


class Peer(Node):
    def __init__(self):
        super().__init__("peer", namespace="/ground")
        self.out = {
            topic: self.create_publisher(
                message_type(TOPICS[topic].type), topic, profile(TOPICS[topic].qos)
            )
            for topic in ("final", "event", "contact_plan", "views")
        }
        self.create_subscription(
            message_type("Task"), "task", self.on_task, profile(TOPICS["task"].qos)
        )
        self.send("contact_plan", ContactPlan(satellite="s", contacts=(
            Contact(id="c1", station="svalbard", aos_ns=2**60, capacity_bytes=2**40),)))
        for number in range(EVENTS):
            self.send("event", Event(id="AOS", stamp_ns=number, text=f"event {number}"))
        print("ready", flush=True)

    def send(self, topic, value):
        self.out[topic].publish(to_message(value))

    def on_task(self, message):
        task = to_value(message)
        data = bytes(range(256)) * (VIEW_BYTES // 256)
        while not self.out["views"].get_subscription_count():
            time.sleep(0.01)
        self.send("views", Views(request_id="r", prompt=task.prompt, modality="sar",
                                 views=(View(kind="zoom", window=(1, 2, 3, 4), data=data),)))
        self.send("final", Answer(
            id="ans-" + task.id, task_id=task.id, request_id="req-1", status=Answer.FINAL,
            prompt=task.prompt, text=repr(task), origin="ground", confidence=(0.5, 0.75),
            raw_bytes=2**50, steps=(Step(name="capture", stamp_ns=2**60),)))


# Not rclpy.spin: it waits without a limit, and sleeps for ever through a signal that wakes it
# before the context is shut down.
sys.exit(run([Peer]))
"""


@pytest.fixture
def peer(tmp_path):
    script = tmp_path / "peer.py"
    head = f"EVENTS = {EVENTS}\nVIEW_BYTES = {VIEW_BYTES}\n"
    script.write_text(head + textwrap.dedent(PEER))
    environment = {
        **os.environ,
        "ROS_DOMAIN_ID": str(DOMAIN),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT",
        "FASTDDS_DEFAULT_PROFILES_FILE": str(ROOT / "config" / "dds" / "shm_large.xml"),
    }
    process = subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready", "the ROS peer did not start"
        yield process
    finally:
        process.terminate()
        try:
            status = process.wait(30)
        finally:
            process.kill()
    assert status == 0


def test_ask_watch_and_record_against_a_ros_node(peer, tmp_path):
    out = tmp_path / "run.mcap"
    recorder = Recorder(
        [Segment("/ground", DOMAIN)],
        out,
        topics=["task", "final", "event", "views", "contact_plan"],
    )
    stop = threading.Event()
    thread = threading.Thread(target=recorder.run, args=(stop.is_set,))
    thread.start()
    try:
        console = GroundConsole(DOMAIN, "/ground", "desk", clock_wait_s=0.1)
        task = Task(
            prompt="how many ships? 船",
            modality="sar",
            area=(5.0, 49.0, 6.0, 49.0, 6.0, 50.0),
            window=(1, 2, 30, 40),
            visual_prompts=(VisualPrompt(kind="point", xy=(10.5, 20.25), label="here"),),
            consumer="ground",
            max_answers=1,
        )
        # The recorder must know the writer of the pictures before they are sent; that the writer
        # knows the recorder, the peer sees to.
        (pictures,) = (reader for _, reader in recorder._readers if reader.topic == "views")
        end = time.monotonic() + WAIT_S
        while not (pictures.peers and recorder.counts["/ground/event"] == EVENTS):
            assert time.monotonic() < end, f"{recorder.counts}, {pictures.peers} peers"
            time.sleep(0.02)
        sent = console.ask(task)
        (answer,) = console.wait_final(sent.id, timeout_s=WAIT_S)

        plan = console.latest("contact_plan", timeout_s=WAIT_S)
        events = []
        for _, event in console.stream(["event"], timeout_s=WAIT_S):
            events.append(event.stamp_ns)
            if len(events) == EVENTS:
                break
        end = time.monotonic() + WAIT_S
        while not recorder.counts["/ground/views"] and time.monotonic() < end:
            time.sleep(0.02)
    finally:
        stop.set()
        thread.join()

    assert answer == Answer(
        id=f"ans-{sent.id}",
        task_id=sent.id,
        request_id="req-1",
        status=Answer.FINAL,
        prompt=task.prompt,
        text=repr(sent),  # every field of the task reached the node as it was
        origin="ground",
        confidence=(0.5, 0.75),
        raw_bytes=2**50,
        steps=(Step(name="capture", stamp_ns=2**60),),
    )
    assert plan is not None
    assert plan.contacts[0].capacity_bytes == 2**40
    assert events == list(range(EVENTS)), "latched events lost or out of order"

    recorded: dict[str, list] = {}
    for topic, _, value in read_bag(out):
        recorded.setdefault(topic, []).append(value)
    assert [event.stamp_ns for event in recorded["/ground/event"]] == list(range(EVENTS))
    assert recorded["/ground/task"] == [sent]
    assert recorded["/ground/final"] == [answer]
    (views,) = recorded["/ground/views"]
    assert views.views[0].data == bytes(range(256)) * (VIEW_BYTES // 256)
