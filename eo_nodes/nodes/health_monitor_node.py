"""health_monitor: heartbeats, mode and diagnostics of one segment.

Restarting is the supervisor's; this node says what is late or lost, keeps the mode, and obeys
the commands that change it. What the supervisor gave up (its restart budget is used up) it notes
in a file beside the state of the segment; that takes the segment to safe mode.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType

from eo_nodes.contracts.operations import OPCODES
from eo_nodes.contracts.values import Command, Heartbeat, Mode
from eo_nodes.health.disabled import DisabledNodes, read_note
from eo_nodes.health.heartbeats import (
    ALIVE,
    EVENT_OF_LEVEL,
    LATE,
    HeartbeatMonitor,
)
from eo_nodes.health.modes import (
    COMMAND_NOMINAL,
    COMMAND_SAFE,
    NODE_DISABLED,
    NOMINAL,
    SAFE,
    ModeKeeper,
)
from eo_nodes.store.ledger_store import LedgerStore

from .base import EoNode
from .folders import state_folder
from .parameters import Parameter
from .runner import main_of

_WORKS = ("active", "degraded")


class HealthMonitor(EoNode):
    """Health of one segment."""

    PARAMETERS = (
        Parameter("watched", [""], "nodes expected to beat; others are watched once they beat"),
        Parameter("obeys_commands", True, "commands on this segment's topic are for this segment"),
        Parameter("late_s", 4.0, "silence after which a node is late, real s", 0.1, 600.0),
        Parameter("lost_s", 10.0, "silence after which a node is lost, real s", 0.2, 600.0),
        Parameter("stall_s", 60.0, "pending jobs without work: late, real s", 1.0, 3600.0),
        Parameter("check_s", 1.0, "period of the check, real s", 0.1, 60.0),
    )

    def __init__(self, name: str = "health_monitor", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Open the store of the mode."""
        self._store = LedgerStore(os.path.join(state_folder(self), "health.db"))
        self._modes = ModeKeeper(self._store)
        self._disabled = DisabledNodes(self._store)
        self._note = os.path.join(state_folder(self), "disabled_nodes.json")
        self._note_seen_ns = 0
        self._boot_mode = self._modes.on_boot(self.now_ns())
        self._beats: dict[str, Heartbeat] = {}
        self.speak("mode", "diagnostics")
        self.listen("heartbeat", self._on_heartbeat)
        if self.param("obeys_commands"):
            self.listen("command", self._on_command)

    def activate(self) -> None:
        """Begin to watch; the boot succeeded when all expected nodes beat as active."""
        self._is_booted = False
        self._monitor = HeartbeatMonitor(
            [name for name in self.param("watched") if name],
            late_ns=round(self.param("late_s") * 1e9),
            lost_ns=round(self.param("lost_s") * 1e9),
            stall_ns=round(self.param("stall_s") * 1e9),
            now_ns=time.monotonic_ns(),
        )
        self.publish("mode", self._boot_mode)
        self._timer = self.create_timer(
            self.param("check_s"), self._check, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def deactivate(self) -> None:
        """Stop watching."""
        self.destroy_timer(self._timer)

    def cleanup(self) -> None:
        """Close the store."""
        self._store.close()

    def _on_heartbeat(self, heartbeat: Heartbeat) -> None:
        before = self._beats.get(heartbeat.node)
        if before is not None and heartbeat.incarnation > before.incarnation:
            self.emit("NODE_RESTARTED", f"{heartbeat.node} was started again", node=heartbeat.node)
        self._beats[heartbeat.node] = heartbeat
        self._monitor.on_heartbeat(heartbeat, time.monotonic_ns())

    def _check(self) -> None:
        for finding in self._monitor.check(time.monotonic_ns()):
            text = f"{finding.node} is {finding.level} after {finding.silence_ns / 1e9:.1f} s"
            self.emit(EVENT_OF_LEVEL[finding.level], text, node=finding.node)
        self.guarded(self._look_for_disabled, "disabled nodes")
        levels = self._monitor.levels()
        if (
            not self._is_booted
            and levels
            and all(
                level == ALIVE and self._beats.get(name, Heartbeat()).state in _WORKS
                for name, level in levels.items()
            )
        ):
            self._is_booted = True
            self._modes.on_boot_done()
        self._publish_diagnostics(levels)
        self.settle()

    def _look_for_disabled(self) -> None:
        try:
            written_ns = os.stat(self._note).st_mtime_ns
            if written_ns == self._note_seen_ns:
                return
            self._note_seen_ns = written_ns
            with open(self._note, encoding="utf-8") as note:
                nodes = read_note(note.read())
        except FileNotFoundError:
            return
        for node in self._disabled.new(nodes):
            text = f"{node} used up its restarts"
            self.emit("NODE_DISABLED", text, node=node)
            self._follow(NODE_DISABLED, text)
        self._disabled.keep(nodes)  # last: what a crash interrupts is reported again

    def _publish_diagnostics(self, levels: dict[str, str]) -> None:
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        severities = {ALIVE: DiagnosticStatus.OK, LATE: DiagnosticStatus.WARN}
        for name, level in levels.items():
            beat = self._beats.get(name)
            severity = severities.get(level, DiagnosticStatus.ERROR)
            if level == ALIVE and beat is not None and beat.state == "degraded":
                severity = DiagnosticStatus.WARN
            status = DiagnosticStatus(
                level=severity,
                name=f"{self.segment}/{name}",
                message=level if beat is None else f"{level}, {beat.state}",
            )
            if beat is not None:
                status.values = [
                    KeyValue(key="work", value=str(beat.work)),
                    KeyValue(key="pending", value=str(beat.pending)),
                    KeyValue(key="version", value=beat.version),
                ]
            message.status.append(status)
        self.publish("diagnostics", message)

    def _on_command(self, command: Command) -> None:
        if OPCODES.get(command.opcode, "health_monitor") != "health_monitor":
            return  # another node obeys it
        if command.opcode != "set_mode":
            self.emit("COMMAND_REJECTED", f"unknown opcode {command.opcode!r}", id=command.id)
            return
        try:
            wanted = json.loads(command.arguments_json or "{}")["mode"]
            trigger = {SAFE: COMMAND_SAFE, NOMINAL: COMMAND_NOMINAL}[wanted]
        except (ValueError, KeyError, TypeError, RecursionError):
            self.emit("COMMAND_REJECTED", "set_mode needs mode nominal or safe", id=command.id)
            return
        self._follow(trigger, f"command {command.id} of {command.issuer}")
        self.emit("COMMAND_ACCEPTED", f"set_mode {wanted}", id=command.id)

    def _follow(self, trigger: str, reason: str) -> None:
        mode: Mode | None = self._modes.on_trigger(trigger, reason, self.now_ns())
        if mode is not None:
            self.publish("mode", mode)
            self.emit("MODE_CHANGED", f"{mode.mode}: {mode.reason}")


main = main_of(HealthMonitor)

if __name__ == "__main__":
    main()
