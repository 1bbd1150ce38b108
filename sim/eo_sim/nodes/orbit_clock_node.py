"""orbit_clock: /clock in every domain, in lock-step with the nodes or free at a rate.

One instance a domain shares one `Clockwork`; the clock and the idle reports are all that they
exchange. Services: ``~/pause`` (SetBool), ``~/step`` (Trigger: one step while paused).
"""

from __future__ import annotations

import threading
import time
from typing import Any

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.parameter import Parameter as RosParameter
from rosgraph_msgs.msg import Clock
from std_srvs.srv import SetBool, Trigger

from eo_nodes.contracts.values import Idle
from eo_nodes.nodes.base import EoNode
from eo_nodes.nodes.parameters import Parameter
from eo_sim.lockstep import Lockstep

_LOG_S = 10.0  # real time between log lines
_REPEAT_NS = 100_000_000  # /clock is best effort: say it again while somebody is awaited


class Clockwork:
    """The state shared by the clocks of all domains.

    Args:
        lockstep: coordinator, or None for free running.
        start_ns, end_ns: orbital time; end 0 for none.
        rate: simulated seconds per real second; 0 in lock-step for as fast as possible.
    """

    def __init__(self, lockstep: Lockstep | None, start_ns: int, end_ns: int, rate: float) -> None:
        self.lockstep = lockstep
        self.now_ns = start_ns
        self.rate = rate
        self.paused = False
        self.finished = threading.Event()
        self.clocks: list[OrbitClock] = []
        self._start_ns = start_ns
        self._end_ns = end_ns
        self._origin_ns = 0
        self._said_ns = 0
        self._paused_at_ns = 0
        self._steps_granted = 0
        self._lock = threading.RLock()

    @property
    def achieved_rate(self) -> float:
        """Simulated over real seconds since the first step; 0 before."""
        elapsed_ns = time.monotonic_ns() - self._origin_ns if self._origin_ns else 0
        return (self.now_ns - self._start_ns) / elapsed_ns if elapsed_ns else 0.0

    def pause(self, wanted: bool) -> None:
        """Stop or go on; the real time of a pause does not count."""
        with self._lock:
            now_ns = time.monotonic_ns()
            if wanted and not self.paused:
                self._paused_at_ns = now_ns
            elif self.paused and not wanted and self._origin_ns:
                self._origin_ns += now_ns - self._paused_at_ns
            self.paused = wanted

    def grant_step(self) -> None:
        """Allow one step while paused."""
        with self._lock:
            self._steps_granted += 1
        self.turn()

    def on_idle(self, idle: Idle) -> None:
        """Take in a report of any domain."""
        with self._lock:
            if self.lockstep is not None:
                self.lockstep.on_idle(idle, time.monotonic_ns())
        self.turn()

    def turn(self) -> None:
        """Move the clock if it may move; called on every report and every few ms."""
        with self._lock:
            now_ns = time.monotonic_ns()
            if self.finished.is_set():
                if now_ns - self._said_ns > _REPEAT_NS:
                    self._say(now_ns)  # who joins late learns that it is over
                return
            if self.paused and not self._steps_granted:
                return
            target_ns = self._target(now_ns)
            if target_ns is None:
                if self.lockstep is not None and now_ns - self._said_ns > _REPEAT_NS:
                    self._say(now_ns)
                return
            self._origin_ns = self._origin_ns or now_ns
            self._steps_granted = max(self._steps_granted - 1, 0)
            if self._end_ns and target_ns >= self._end_ns:
                target_ns = self._end_ns
                self.finished.set()
            self.now_ns = max(target_ns, self.now_ns)
            if self.lockstep is not None:
                self.lockstep.advance(self.now_ns)
            self._say(now_ns)

    def describe(self) -> str:
        """Say where time stands and what it waits for, for the log."""
        with self._lock:
            if self.lockstep is None:
                return f"free running at {self.now_ns} ns"
            report, awaited = self.lockstep.report, self.lockstep.awaited()
            elapsed_s = (self.now_ns - self._start_ns) / 1e9
            return (
                f"{elapsed_s:.1f} s after {report.steps} steps, {report.stalls} stalls; "
                f"waiting for {awaited[:4] or 'nothing'}"
            )

    def _target(self, now_ns: int) -> int | None:
        if self.lockstep is None:
            if not self._origin_ns:
                return self.now_ns
            return self._start_ns + int((now_ns - self._origin_ns) * self.rate)
        target_ns = self.lockstep.poll(now_ns)
        if target_ns is None:
            return None
        if target_ns == 0:
            if not self._end_ns:
                return None  # nothing will happen: wait for somebody outside
            target_ns = self._end_ns
        if self.rate and self._origin_ns:
            due_ns = self._origin_ns + (target_ns - self._start_ns) / self.rate
            if now_ns < due_ns:
                return None
        return target_ns

    def _say(self, now_ns: int) -> None:
        self._said_ns = now_ns
        for clock in self.clocks:
            clock.say(self.now_ns)


class OrbitClock(EoNode):
    """The clock of one domain."""

    FOLLOWS_CLOCK = False
    PARAMETERS = (
        Parameter("start", "2026-01-01T00:00:00Z", "first orbital time, ISO 8601 UTC"),
        Parameter("duration_s", 0.0, "length of the scenario, orbital s; 0 for no end", 0.0, 1e9),
        Parameter("rate", 0.0, "simulated s per real s; 0 as fast as possible", 0.0, 1e6),
        Parameter("period_s", 0.02, "period of /clock in free mode, real s", 0.001, 1.0),
        Parameter(
            "expected_nodes", [""], "domain:name of nodes that must report before time moves"
        ),
        Parameter("stall_s", 30.0, "give up missing messages after this real time, s", 1.0, 600.0),
    )

    def __init__(self, clockwork: Clockwork, **options: Any) -> None:
        # Whatever the profile says to all nodes: a clock that follows /clock would stand still.
        own = RosParameter("use_sim_time", value=False)
        super().__init__("orbit_clock", parameter_overrides=[own], **options)
        self._clockwork = clockwork
        clockwork.clocks.append(self)
        self._timer: Any = None
        self._stalls_said = 0

    def configure(self) -> None:
        """Open the clock's topic and services."""
        self.speak("/clock")
        self._idle_subscription = self.create_subscription(
            self._type("Idle"), "/idle", self._on_idle, 1000
        )
        self.create_service(SetBool, "~/pause", self._on_pause)
        self.create_service(Trigger, "~/step", self._on_step)

    def activate(self) -> None:
        """Turn the clockwork every few milliseconds from now on."""
        period_s = 0.005 if self._clockwork.lockstep else float(self.param("period_s"))
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(period_s, self._clockwork.turn, clock=steady)
        if self._clockwork.clocks[0] is self:
            self.create_timer(_LOG_S, self._log_state, clock=steady)

    def _log_state(self) -> None:
        lockstep = self._clockwork.lockstep
        if lockstep is not None and lockstep.report.stalls > self._stalls_said:
            self._stalls_said = lockstep.report.stalls
            self.emit("LOCKSTEP_STALL", f"{lockstep.report.missing[-4:]}")
        self.get_logger().info(self._clockwork.describe())

    def deactivate(self) -> None:
        """Stop time."""
        self._log_state()
        if self._timer is not None:
            self.destroy_timer(self._timer)

    def now_ns(self) -> int:
        """The time that this clock says."""
        return self._clockwork.now_ns

    def say(self, now_ns: int) -> None:
        """Publish the time; called by the clockwork from the thread of any domain."""
        if not self.is_active:
            return
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(now_ns, 1_000_000_000)
        self._speakers["/clock"].publish(message)

    def _on_idle(self, message: Any) -> None:
        self._clockwork.on_idle(
            Idle(
                node=f"{self.context.get_domain_id()}:{message.node}",
                incarnation=message.incarnation,
                sequence=message.sequence,
                clock_ns=message.clock_ns,
                wake_ns=message.wake_ns,
                sent_topics=tuple(message.sent_topics),
                sent=tuple(message.sent),
                received_topics=tuple(message.received_topics),
                received=tuple(message.received),
            )
        )

    def _on_pause(self, request: Any, response: Any) -> Any:
        self._clockwork.pause(bool(request.data))
        response.success = True
        return response

    def _on_step(self, request: Any, response: Any) -> Any:
        self._clockwork.grant_step()
        response.success = self._clockwork.paused
        response.message = "" if response.success else "not paused"
        return response
