"""The base of every node: lifecycle, topics by the table, time, jobs, lock-step accounting.

Not here: anything a particular node decides. Everything runs in the executor's thread, apart
from jobs given to `compute` in free mode, which run in one worker thread and come back.

Time (design): with ``use_sim_time`` the node follows /clock, and never falls behind the stamp
of a message it received, so that the order in which a message and the clock arrive does not
matter. With ``lockstep`` a job advances simulated time by its duration: its result is handed
over when the clock has got there.
"""

from __future__ import annotations

import json
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from eo_nodes import __version__
from eo_nodes.contracts.errors import ContractError, EoError
from eo_nodes.contracts.events import EVENTS
from eo_nodes.contracts.topics import TOPICS
from eo_nodes.contracts.values import Event, Heartbeat, Idle, validate

from .alarm import Alarm
from .convert import message_type, to_message, to_value
from .jobs import Jobs
from .parameters import Parameter, declare
from .qos import profile
from .wakeups import Wakeup, Wakeups

_UNCOUNTED = {"/clock", "/idle", "heartbeat", "diagnostics", "compute"}
_HELD_AT_MOST = 1000
_MOST_AHEAD_NS = 86_400_000_000_000


class EoNode(LifecycleNode):
    """Base class. Override `configure`, `activate`, `deactivate`, `cleanup`."""

    PARAMETERS: tuple[Parameter, ...] = ()
    # Whether the node takes part in lock-step; the clock itself does not.
    FOLLOWS_CLOCK = True

    def __init__(self, name: str, **options: Any) -> None:
        # Two instances of a node may live in one process: /rosout allows one of a name.
        super().__init__(name, enable_rosout=False, **options)
        declare(self, self.PARAMETERS)
        self.incarnation = time.time_ns()
        self.lockstep = bool(self.param("lockstep")) and self.FOLLOWS_CLOCK
        self.simulated = self.lockstep or (bool(self.param("use_sim_time")) and self.FOLLOWS_CLOCK)
        self._active = False
        self.is_degraded = False  # it works, but not as it should: its beat says so
        self._is_waiting_for_clock = False
        self._clock_ns = 0
        self._wakeups = Wakeups()
        self._speakers: dict[str, Any] = {}
        self._full_names: dict[str, str] = {}
        self._listeners: list[Any] = []
        self._sent: dict[str, int] = {}
        self._received: dict[str, int] = {}
        self._held: deque[tuple[str, Any, Callable[[Any], None]]] = deque(maxlen=_HELD_AT_MOST)
        self._qos_faults: list[str] = []
        self._work = 0
        self._idle_sequence = 0
        self._idle_shown: tuple[Any, ...] = ()
        self._jobs = Jobs(self)
        self._jump_handle = None
        if self.simulated:
            threshold = JumpThreshold(
                min_forward=Duration(nanoseconds=1), min_backward=Duration(nanoseconds=-1)
            )
            self._jump_handle = self.get_clock().create_jump_callback(
                threshold, post_callback=lambda _: self._on_clock()
            )
        self.speak("event", "heartbeat", "compute")
        if self.lockstep:
            self.speak("/idle")
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(float(self.param("heartbeat_s")), self._beat, clock=steady)
        self._alarm = None if self.simulated else Alarm(self, steady, self._run_due)

    # -- hooks -------------------------------------------------------------------------------

    def configure(self) -> None:
        """Create cores and topics. Raise `EoError` to refuse."""

    def activate(self) -> None:
        """Begin to work: recover, plan, set the first wake-up."""

    def deactivate(self) -> None:
        """Stop working; state stays."""

    def cleanup(self) -> None:
        """Give resources back."""

    # -- parameters --------------------------------------------------------------------------

    def param(self, name: str) -> Any:
        """Return the value of a declared parameter."""
        return self.get_parameter(name).value

    @property
    def segment(self) -> str:
        """Name of the segment: the namespace without its slash."""
        return self.get_namespace().strip("/") or "local"

    @property
    def is_active(self) -> bool:
        """Whether the node is in the lifecycle state active."""
        return self._active

    # -- topics ------------------------------------------------------------------------------

    def speak(self, *topics: str, prefix: str = "") -> None:
        """Create the publishers of topics of the table.

        Args:
            topics: rows of the table.
            prefix: another namespace with a slash at the end, e.g. ``/sat1/``.
        """
        for topic in topics:
            if topic in self._speakers:
                continue
            row = TOPICS[topic]
            self._full_names[topic] = self.resolve_topic_name(prefix + topic)
            if topic not in _UNCOUNTED:
                self._sent.setdefault(self._full_names[topic], 0)
            self._speakers[topic] = self.create_publisher(
                self._type(row.type),
                prefix + topic,
                profile(row.qos),
                event_callbacks=PublisherEventCallbacks(
                    incompatible_qos=lambda info, t=topic: self._on_qos(t, info)
                ),
            )

    def listen(
        self,
        topic: str,
        handler: Callable[[Any], None],
        *,
        name: str = "",
        refuse: Callable[[Any, ContractError], None] | None = None,
    ) -> None:
        """Subscribe to a topic of the table; `handler` gets the validated plain value.

        Args:
            topic: row of the table.
            handler: called with a value, or the message itself for foreign types.
            name: topic name when it differs from the row's (another namespace).
            refuse: called with a value that broke its contract, besides the event.
        """
        row = TOPICS[topic]
        own = "/" not in row.type
        full = self.resolve_topic_name(name or topic)
        if topic not in _UNCOUNTED:
            self._received.setdefault(full, 0)

        def callback(message: Any) -> None:
            if topic not in _UNCOUNTED:
                self._received[full] += 1
            self._enter(topic, message, handler, own, refuse)

        self._listeners.append(
            self.create_subscription(
                self._type(row.type),
                name or topic,
                callback,
                profile(row.qos),
                event_callbacks=SubscriptionEventCallbacks(
                    incompatible_qos=lambda info: self._on_qos(topic, info)
                ),
            )
        )

    def publish(self, topic: str, value: Any) -> None:
        """Publish a plain value (stamped with now) or a foreign message."""
        if not hasattr(value, "get_fields_and_field_types"):
            if hasattr(value, "stamp_ns"):
                value = replace(value, stamp_ns=self.now_ns())
            value = to_message(value)
        if topic not in _UNCOUNTED:
            self._sent[self._full_names[topic]] += 1
        self._speakers[topic].publish(value)

    def count(self, name: str, *, sent: int = 0, received: int = 0) -> None:
        """Count what travels outside DDS (datagrams), for lock-step.

        The receiving end calls it once with ``received=0`` when it begins to listen.
        """
        if sent:
            self._sent[name] = self._sent.get(name, 0) + sent
        else:
            self._received[name] = self._received.get(name, 0) + received

    def emit(self, event_id: str, text: str, **fields: Any) -> None:
        """Publish an event of the table; the fields become JSON."""
        self.publish(
            "event",
            Event(
                id=event_id,
                severity=EVENTS[event_id].severity,
                source=self.get_name(),
                text=text[:1000],
                fields_json=json.dumps(fields, default=str)[:4000] if fields else "",
            ),
        )

    def _type(self, name: str) -> type:
        package, _, short = name.rpartition("/")
        if not package:
            return message_type(name)
        module = __import__(f"{package}.msg", fromlist=[short])
        return getattr(module, short)

    def _on_qos(self, topic: str, info: Any) -> None:
        self._qos_faults.append(topic)
        self.emit("QOS_INCOMPATIBLE", f"topic {topic}: policy {info.last_policy_kind}", topic=topic)

    def _enter(
        self,
        topic: str,
        message: Any,
        handler: Callable[[Any], None],
        own: bool,
        refuse: Callable[[Any, ContractError], None] | None,
    ) -> None:
        if own:
            try:
                message = to_value(message)
            except (UnicodeError, ValueError, TypeError) as error:
                self.emit("BAD_MESSAGE", f"{topic}: {error}", topic=topic)
                self.settle()
                return
            try:
                validate(message)
            except ContractError as error:
                self.emit("BAD_MESSAGE", f"{topic}: {error}", topic=topic, field=error.field)
                if refuse is None:
                    self.settle()
                    return
                fault = error
                handler = lambda value: refuse(value, fault)  # noqa: E731
            if self.simulated:
                self._advance(getattr(message, "stamp_ns", 0))
        if not self._active or self._is_waiting_for_clock:
            if own:  # not images: a thousand of them would not fit, and a sensor does not wait
                self._held.append((topic, message, handler))
            return
        self.guarded(lambda: handler(message), f"handling {topic}")
        self.settle()

    def guarded(self, call: Callable[[], None], what: str) -> None:
        """Run a call so that its failure is an event and the next input is served."""
        self._work += 1
        try:
            call()
        except EoError as error:
            self.get_logger().warning(f"{what}: {error}")
            self.emit("INPUT_FAILED", f"{what}: {error}", error=type(error).__name__)
        except Exception as error:  # the node stays up; the trace goes to the log
            self.get_logger().error(f"{what}: {traceback.format_exc()}")
            self.emit("INTERNAL_ERROR", f"{what}: {error!r}", error=type(error).__name__)

    # -- time --------------------------------------------------------------------------------

    def now_ns(self) -> int:
        """Orbital time: simulated, or UTC of the machine."""
        return self._clock_ns if self.simulated else time.time_ns()

    def at(self, due_ns: int, call: Callable[[], None]) -> Wakeup:
        """Call at a time (at once, from the executor, when it has passed)."""
        wakeup = self._wakeups.add(due_ns, call)
        self._arm()
        return wakeup

    def after(self, seconds: float, call: Callable[[], None]) -> Wakeup:
        """Call some seconds of orbital time from now."""
        return self.at(self.now_ns() + int(seconds * 1e9), call)

    def _advance(self, stamp_ns: int) -> None:
        # A stamp may be ahead of a /clock still on its way, but one far ahead is a lie or a fault.
        if self._clock_ns and stamp_ns - self._clock_ns > _MOST_AHEAD_NS:
            self.emit("BAD_MESSAGE", f"stamp {stamp_ns} is more than a day ahead: not followed")
        elif stamp_ns > self._clock_ns:
            self._clock_ns = stamp_ns

    def _on_clock(self) -> None:
        self._clock_ns = max(self._clock_ns, self.get_clock().now().nanoseconds)
        if self._is_waiting_for_clock and self._active:
            self.guarded(self._begin, "activate")
        self.settle()

    def settle(self) -> None:
        """Run what is due and report to the lock-step; the end of every callback."""
        self._run_due()
        self._report_idle()

    def _run_due(self) -> None:
        if not self._active or self._is_waiting_for_clock:
            return
        while (call := self._wakeups.take_due(self.now_ns())) is not None:
            self.guarded(call, "timer")
        self._arm()

    def _arm(self) -> None:
        if self._alarm is not None and self._active:
            self._alarm.set(self._wakeups.next_ns())

    # -- jobs --------------------------------------------------------------------------------

    def compute(
        self,
        job: str,
        key: str,
        work: Callable[[], Any],
        then: Callable[[Any], None],
        failed: Callable[[Exception], None],
        *,
        is_spare: bool = False,
    ) -> None:
        """Run a job, one at a time; hand its result over when it is done in orbital time.

        Args:
            job: kind of job, for the record of durations.
            key: what it is about; job and key are the same in a replay.
            work: runs in the worker thread in free mode: touches nothing of the node.
            then, failed: called with the result or the error, in the executor's thread.
            is_spare: it begins when no other job waits.
        """
        self._jobs.put(job, key, work, then, failed, is_spare=is_spare)

    def wake(self, call: Callable[[], None]) -> None:
        """Have the executor make a call soon; thread-safe; nothing happens without an executor.

        A task and no guard condition: the events executor has none.
        """
        executor = self.executor
        if executor is not None:
            executor.create_task(call)

    @property
    def pending_jobs(self) -> int:
        """Jobs waiting or running."""
        return self._jobs.pending

    # -- reports -----------------------------------------------------------------------------

    def _beat(self) -> None:
        label = "inactive"
        if self._active:
            label = "degraded" if self.is_degraded else "active"
        self.publish(
            "heartbeat",
            Heartbeat(
                node=self.get_name(),
                incarnation=self.incarnation,
                state=label,
                work=self._work,
                pending=self.pending_jobs,
                version=__version__,
            ),
        )

    def _report_idle(self) -> None:
        if not (self.lockstep and self._active) or self._is_waiting_for_clock:
            return
        shown = (
            self.get_clock().now().nanoseconds,
            self._wakeups.next_ns(),
            tuple(self._sent),
            tuple(self._sent.values()),
            tuple(self._received),
            tuple(self._received.values()),
        )
        if shown == self._idle_shown:
            return
        self._idle_shown = shown
        self._idle_sequence += 1
        self._speakers["/idle"].publish(
            to_message(
                Idle(
                    node=self.get_fully_qualified_name(),
                    incarnation=self.incarnation,
                    sequence=self._idle_sequence,
                    clock_ns=shown[0],
                    wake_ns=shown[1],
                    sent_topics=shown[2],
                    sent=shown[3],
                    received_topics=shown[4],
                    received=shown[5],
                )
            )
        )

    # -- lifecycle ---------------------------------------------------------------------------

    def _transition(self, hook: Callable[[], None], what: str) -> TransitionCallbackReturn:
        try:
            hook()
        except EoError as error:
            self.get_logger().error(f"{what} refused: {error}")
            self.emit("TRANSITION_REFUSED", f"{what}: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(f"{what} failed: {traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Create cores and topics."""
        result = self._transition(self.configure, "configure")
        if result != TransitionCallbackReturn.SUCCESS:
            self._drop_listeners()  # a second try makes them again
        return result

    def _drop_listeners(self) -> None:
        for listener in self._listeners:
            self.destroy_subscription(listener)
        self._listeners.clear()
        self._qos_faults.clear()
        self._held.clear()

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to work; what arrived since configuring is handled now."""
        if self._qos_faults:
            self.get_logger().error(f"incompatible quality of service: {self._qos_faults}")
            return TransitionCallbackReturn.FAILURE
        result = self._transition(self._begin, "activate")
        if result != TransitionCallbackReturn.SUCCESS:
            self._active = False
            return result
        return super().on_activate(state)

    def _begin(self) -> None:
        self._active = True
        if self.simulated:
            self._advance(self.get_clock().now().nanoseconds)
            if not self._clock_ns:
                self._is_waiting_for_clock = True  # the first /clock begins the work
                return
        self._is_waiting_for_clock = False
        self.activate()
        while self._held:
            topic, message, handler = self._held.popleft()
            self.guarded(lambda m=message, h=handler: h(m), f"handling {topic}")
        self.emit("NODE_ACTIVE", f"{self.get_name()} is active")
        self.settle()

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working."""
        result = self._transition(self.deactivate, "deactivate")
        self.emit("NODE_INACTIVE", f"{self.get_name()} is inactive")
        self._active = False
        return (
            result if result != TransitionCallbackReturn.SUCCESS else super().on_deactivate(state)
        )

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give topics and resources back."""
        self._drop_listeners()
        self._wakeups.clear()
        self._jobs.close()
        return self._transition(self.cleanup, "cleanup")

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End: the same as cleanup, where there is something to clean."""
        if self._active:
            self._transition(self.deactivate, "deactivate")
        self._active = False
        if state.label == "unconfigured":
            return TransitionCallbackReturn.SUCCESS
        return self._transition(self.cleanup, "shutdown")

    def destroy_node(self) -> None:
        """Stop the worker before the node goes."""
        self._jobs.close()
        if self._jump_handle is not None:
            self._jump_handle.unregister()
        super().destroy_node()
