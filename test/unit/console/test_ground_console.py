"""Console, recorder and table of topics over real DDS on loopback, in one process, no ROS."""

from __future__ import annotations

import os
import threading
import time

import pytest

from eo_nodes.console.bag import read_bag
from eo_nodes.console.client import GroundConsole
from eo_nodes.console.participant import DdsError, Participant, wire_topic
from eo_nodes.console.recorder import Recorder, Segment
from eo_nodes.contracts.errors import ContractError
from eo_nodes.contracts.values import Answer, Event, Heartbeat, Task

# A domain a run of the tests, so that two runs on one machine do not hear each other.
DOMAIN = 100 + os.getpid() % 60
QUESTION = Task(prompt="how many ships?", consumer="ground", max_answers=1)


def console_in(namespace: str, name: str = "console") -> GroundConsole:
    return GroundConsole(DOMAIN, namespace, name, clock_wait_s=0.05)


def until(condition, what: str, timeout_s: float = 8.0):
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not within {timeout_s} s"
        time.sleep(0.01)
    return found


class Ground:
    """A ground segment that answers each task as told."""

    def __init__(self, namespace: str, reply) -> None:
        self.side = Participant(DOMAIN, namespace)
        self.tasks, self.finals = self.side.reader("task"), self.side.writer("final")
        self.answers = self.side.writer("answer")
        self.reply, self.seen, self._stop = reply, [], threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            for task in self.tasks.take():
                self.seen.append(task)
                self.reply(self, task)

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def final(task: Task, number: int = 1, **fields: object) -> Answer:
    base = {"request_id": f"req-{number}", "status": Answer.FINAL, "origin": "ground"}
    return Answer(id=f"ans-{task.id}-{number}", task_id=task.id, **{**base, **fields})


def test_names_on_the_wire():
    assert wire_topic("/ground", "final") == "rt/ground/final"
    assert wire_topic("ground/", "image/compressed") == "rt/ground/image/compressed"
    assert wire_topic("/ground", "/clock") == "rt/clock"


def test_a_question_gets_its_own_final_answer():
    def reply(ground: Ground, task: Task) -> None:
        ground.finals.write(Answer(id="other", task_id="another task", origin="ground"))
        ground.finals.write(final(task, text="3"))

    with Ground("/g1", reply) as ground:
        console = console_in("/g1", "desk")
        sent = console.ask(QUESTION, deadline=lambda now_ns: now_ns + 10**9)
        found = console.wait_final(sent.id, timeout_s=5)
    assert [answer.text for answer in found] == ["3"]
    assert ground.seen == [sent]
    assert sent.asker == "desk"
    assert sent.deadline_ns == sent.asked_ns + 10**9


def test_several_answers_and_a_late_one():
    def reply(ground: Ground, task: Task) -> None:
        ground.finals.write(final(task, 1))
        ground.finals.write(final(task, 1))  # a repeat is one answer
        ground.finals.write(final(task, 2))

    with Ground("/g2", reply):
        console = console_in("/g2")
        sent = console.ask(QUESTION)
        found = console.wait_final(sent.id, count=3, timeout_s=1.0)
    assert [answer.request_id for answer in found] == ["req-1", "req-2"]


def test_a_refusal_of_the_task_ends_the_wait():
    def reply(ground: Ground, task: Task) -> None:
        ground.finals.write(
            final(task, request_id="", status=Answer.REFUSED, reason="no such place")
        )

    with Ground("/g3", reply):
        console = console_in("/g3")
        sent = console.ask(QUESTION)
        start = time.monotonic()
        (found,) = console.wait_final(sent.id, count=5, timeout_s=20)
    assert found.reason == "no such place"
    assert time.monotonic() - start < 10


def test_a_console_that_joins_late_still_gets_the_answer():
    with Ground("/g4", lambda ground, task: ground.finals.write(final(task, text="early"))):
        sent = console_in("/g4").ask(QUESTION)
        time.sleep(0.2)
        (found,) = console_in("/g4").wait_final(sent.id, timeout_s=5)
    assert found.text == "early"


def test_a_wrong_task_is_refused_before_it_is_sent():
    console = console_in("/g5")
    with pytest.raises(ContractError, match="prompt"):
        console.ask(Task(prompt="", consumer="ground", max_answers=1))


def test_nobody_listening_is_said():
    with pytest.raises(DdsError, match="nobody listens on task"):
        console_in("/g6").ask(QUESTION, match_s=0.2)


def test_ids_of_two_consoles_differ():
    seen: list[str] = []
    with Ground("/g7", lambda ground, task: None):
        for _ in range(2):
            console = console_in("/g7")
            seen += [console.ask(QUESTION).id, console.ask(QUESTION).id]
    assert len(set(seen)) == 4


def test_the_recorder_loses_nothing_of_two_segments(tmp_path):
    count = 3000
    out = tmp_path / "run.mcap"
    recorder = Recorder([Segment("/ra", DOMAIN), Segment("/rb", DOMAIN)], out)
    stop = threading.Event()
    thread = threading.Thread(target=recorder.run, args=(stop.is_set,))
    thread.start()
    try:
        sides = [Participant(DOMAIN, namespace) for namespace in ("/ra", "/rb")]
        beats = [side.writer("heartbeat") for side in sides]
        events = sides[0].writer("event")
        for writer in (*beats, events):
            assert writer.wait_for_reader(5)
        for number in range(count):
            for writer in beats:
                writer.write(Heartbeat(node="n", work=number))
            if number % 10 == 0:
                events.write(Event(id="AOS", stamp_ns=number))
        until(lambda: recorder.counts["/rb/heartbeat"] == count, "the last heartbeat")
    finally:
        stop.set()
        thread.join()
    found: dict[str, list[int]] = {}
    for topic, _, value in read_bag(out):
        found.setdefault(topic, []).append(
            value.work if isinstance(value, Heartbeat) else value.stamp_ns
        )
    assert found == {
        "/ra/heartbeat": list(range(count)),
        "/rb/heartbeat": list(range(count)),
        "/ra/event": list(range(0, count, 10)),
    }
