"""The ground segment as a console sees it: ask, order, watch. DDS only, no ROS installation.

Time in tasks is orbital time. In a simulation that is what ``/clock`` says; without a clock it is
the wall clock, as in flight.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from eo_nodes.contracts.ids import IdFactory
from eo_nodes.contracts.values import Answer, Command, Task, validate

from .participant import DdsError, Participant, Reader, Writer

_POLL_S = 0.02


def _check_before_time(task: Task) -> None:
    """Refuse what needs no clock to refuse, before waiting for one."""
    validate(replace(task, id=task.id or "task"))


class GroundConsole:
    """A console in the ground segment.

    Args:
        domain: DDS domain of the ground segment.
        namespace: namespace of the ground segment.
        name: of the console, goes into ids and into `Task.asker`.
        clock_wait_s: how long `ask` waits for a first ``/clock``. A simulation sends it more often
            than once a second; in flight there is none, and the wall clock counts.
    Raises:
        DdsError: the domain cannot be joined.
    """

    def __init__(
        self,
        domain: int,
        namespace: str = "/ground",
        name: str = "console",
        *,
        clock_wait_s: float = 1.0,
    ) -> None:
        self.participant = Participant(domain, namespace)
        self.name = name
        # No durable boot count on a console: 32 random bits make the ids unique instead (M29).
        self._ids = IdFactory(name, secrets.randbits(32))
        self._readers: dict[str, Reader] = {}
        self._writers: dict[str, Writer] = {}
        self._clock_ns = 0
        self._clock_wait_s = clock_wait_s

    def reader(self, topic: str) -> Reader:
        """Return the reader of a topic, subscribing at the first call."""
        if topic not in self._readers:
            self._readers[topic] = self.participant.reader(topic)
        return self._readers[topic]

    def writer(self, topic: str) -> Writer:
        """Return the writer of a topic."""
        if topic not in self._writers:
            self._writers[topic] = self.participant.writer(topic)
        return self._writers[topic]

    def now_ns(self, wait_s: float = 0.0) -> int:
        """Return orbital time: the last ``/clock``, or the wall clock where there is none.

        Args:
            wait_s: how long to wait for a first ``/clock``.
        """
        reader = self.reader("/clock")
        end = time.monotonic() + wait_s
        while True:
            for sample in reader.take():
                self._clock_ns = sample.clock.sec * 1_000_000_000 + sample.clock.nanosec
            if self._clock_ns or time.monotonic() >= end:
                return self._clock_ns or time.time_ns()
            time.sleep(_POLL_S)

    def ask(
        self,
        task: Task,
        *,
        deadline: Callable[[int], int] = lambda _: 0,
        valid_from: Callable[[int], int] = lambda _: 0,
        match_s: float = 5.0,
    ) -> Task:
        """Complete a task with what only the moment of sending knows, check it, publish it.

        Args:
            task: id, asker and asked_ns are filled in where empty.
            deadline, valid_from: orbital time now -> orbital time wanted, 0 for none.
            match_s: how long to wait for somebody who listens.
        Returns:
            The task as sent.
        Raises:
            ContractError: the task breaks its contract; nothing was sent.
            DdsError: nobody listens.
        """
        _check_before_time(task)
        self.reader("final")  # subscribe first: no answer may slip by
        now_ns = self.now_ns(wait_s=self._clock_wait_s)
        task = replace(
            task,
            id=task.id or self._ids.new("task", now_ns),
            asker=task.asker or self.name,
            stamp_ns=now_ns,
            asked_ns=task.asked_ns or now_ns,
            deadline_ns=task.deadline_ns or deadline(now_ns),
            valid_from_ns=task.valid_from_ns or valid_from(now_ns),
        )
        validate(task)
        self._send("task", task, match_s)
        return task

    def send_command(
        self, opcode: str, arguments: dict[str, Any], *, match_s: float = 5.0
    ) -> Command:
        """Publish an order.

        Raises:
            ContractError: it breaks its contract.  DdsError: nobody listens.
        """
        now_ns = self.now_ns()
        command = Command(
            id=self._ids.new("cmd", now_ns),
            stamp_ns=now_ns,
            issuer=self.name,
            opcode=opcode,
            arguments_json=json.dumps(arguments),
        )
        validate(command)
        self._send("command", command, match_s)
        return command

    def _send(self, topic: str, value: Any, match_s: float) -> None:
        writer = self.writer(topic)
        if not writer.wait_for_reader(match_s):
            raise DdsError(
                f"nobody listens on {topic} in domain {self.participant.domain}, namespace "
                f"{self.participant.namespace}: is the ground segment up?"
            )
        writer.write(value)

    def wait_final(
        self,
        task_id: str,
        *,
        count: int = 1,
        timeout_s: float,
        progress: Callable[[Answer], None] | None = None,
    ) -> list[Answer]:
        """Wait for final answers or refusals of a task.

        Args:
            task_id: of the task.
            count: answers wanted; a refusal of the task as a whole ends the wait.
            timeout_s: wall clock.
            progress: called with each answer that is not the last: of the model on the ground, and
                of the satellite ahead of its pixels.
        Returns:
            What came, fewer than `count` when the time is over; each answer id once.
        """
        finals, others = self.reader("final"), (self.reader("provisional"), self.reader("answer"))
        found: dict[str, Answer] = {}
        end = time.monotonic() + timeout_s
        while len(found) < count and time.monotonic() < end:
            for answer in (answer for reader in others for answer in reader.take()):
                if answer.task_id == task_id and progress is not None:
                    progress(answer)
            for answer in finals.take():
                if answer.task_id == task_id:
                    found[answer.id] = answer
                    if not answer.request_id:  # refused before any request: no more will come
                        return list(found.values())
            time.sleep(_POLL_S)
        return list(found.values())

    def stream(
        self, topics: Sequence[str], *, timeout_s: float | None = None
    ) -> Iterator[tuple[str, Any]]:
        """Yield (topic, value) as they come, until the time is over.

        Between arrivals nothing is yielded; close the iterator to stop early.
        """
        readers = [self.reader(topic) for topic in topics]
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while end is None or time.monotonic() < end:
            idle = True
            for reader in readers:
                for value in reader.take():
                    idle = False
                    yield reader.topic, value
            if idle:
                time.sleep(_POLL_S)

    def latest(self, topic: str, *, timeout_s: float = 3.0) -> Any | None:
        """Return the newest sample of a topic, or None when none comes in time."""
        for _, value in self.stream([topic], timeout_s=timeout_s):
            rest = self.reader(topic).take()
            return rest[-1] if rest else value
        return None
