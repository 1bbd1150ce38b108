"""link_emulator: the modem on both sides; the only bridge between the two segments.

It takes frames from either end by UDP, passes them through the channel, and tells each end the
state of the link as a modem would. It has no topic of its own apart from events. Each satellite has
an instance; an antenna points at one of the ``fleet`` at a time, by the same assignment as planned.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eo_nodes.contracts import modem
from eo_nodes.contracts.values import LinkState
from eo_nodes.graph.paths import project_file
from eo_nodes.nodes.base import EoNode
from eo_nodes.nodes.datagrams import DatagramSocket
from eo_nodes.nodes.folders import state_folder
from eo_nodes.nodes.parameters import Parameter
from eo_nodes.orbit import load_mission
from eo_sim.channel import Channel, Faults
from eo_sim.truth import S_NS, LinkTruth, Truth


class LinkEmulator(EoNode):
    """Modem of both ends of one link."""

    PARAMETERS = (
        Parameter("stations", [""], "stations that take part"),
        Parameter("fleet", [""], "satellites that share the stations, as the planners'"),
        Parameter("min_contact_s", 30.0, "as the planners', s", 0.0, 600.0),
        Parameter("truth_hours", 24.0, "length of the computed geometry, h", 0.1, 240.0),
        Parameter("space_port", 17101, "frames of the satellite arrive here", 1, 65535),
        Parameter("space_node_port", 17102, "the satellite's node listens here", 1, 65535),
        Parameter("ground_port", 17201, "frames of the ground arrive here", 1, 65535),
        Parameter("ground_node_port", 17202, "the ground's node listens here", 1, 65535),
        Parameter("port_offset", 0, "added to all ports, for a second graph", 0, 40000),
        Parameter("space_segment", "sat1", "name of the space segment"),
        Parameter("ground_segment", "ground", "name of the ground segment"),
        Parameter("loss", 0.0, "probability that a frame is lost", 0.0, 1.0),
        Parameter("bit_error_rate", 0.0, "probability that a bit is flipped", 0.0, 0.5),
        Parameter("seed", 1, "of losses and bit errors", 0, 2**31),
        Parameter("grid_s", 0.1, "arrivals are rounded up to this, s", 0.001, 1.0),
        Parameter("status_s", 10.0, "period of status during a contact, s", 0.1, 60.0),
    )

    def __init__(self, name: str = "link_emulator", **options: Any) -> None:
        super().__init__(name, **options)
        # In the same process as the clock: frames come by UDP, before or after /clock.
        self.time_source: Callable[[], int] = self.now_ns

    def configure(self) -> None:
        """Open both sockets."""
        host, offset = "127.0.0.1", self.param("port_offset")
        self._sockets = {
            "space": DatagramSocket(
                (host, self.param("space_port") + offset),
                (host, self.param("space_node_port") + offset),
                lambda: self.wake(self._on_datagrams),
            ),
            "ground": DatagramSocket(
                (host, self.param("ground_port") + offset),
                (host, self.param("ground_node_port") + offset),
                lambda: self.wake(self._on_datagrams),
            ),
        }
        grid_ns = round(self.param("grid_s") * S_NS)
        faults = (self.param("loss"), self.param("bit_error_rate"))
        seed = self.param("seed")
        self._channels = {  # by the end that sends
            "space": Channel(Faults(*faults, seed=seed), grid_ns=grid_ns),
            "ground": Channel(Faults(*faults, seed=seed + 1), grid_ns=grid_ns),
        }
        self._segments = {
            "space": self.param("space_segment"),
            "ground": self.param("ground_segment"),
        }
        for segment in self._segments.values():
            self.count(f"udp/{segment}/tx")  # we receive what they send
        self._log = open(  # noqa: SIM115 - closed in cleanup
            os.path.join(state_folder(self), "frames_emulator.jsonl"),
            "a",
            encoding="utf-8",
            buffering=1,
        )
        self._delivery: Any = None

    def activate(self) -> None:
        """Compute the geometry and wait for the first contact."""
        now_ns = self.now_ns()
        mission = load_mission(project_file("config/mission"))
        self._truth = Truth(
            mission,
            Path(project_file("config/mission/elements")),
            self.param("satellite"),
            tuple(self.param("stations")),
            now_ns,
            now_ns + round(self.param("truth_hours") * 3600 * S_NS),
            min_contact_s=self.param("min_contact_s"),
            fleet=tuple(name for name in self.param("fleet") if name),
        )
        self._say_state()

    def cleanup(self) -> None:
        """Close the sockets."""
        for one in self._sockets.values():
            one.close()
        self._log.close()
        counters = {end: channel.counters for end, channel in self._channels.items()}
        self.get_logger().info(f"channel: {counters}")

    def _now(self) -> int:
        return max(self.time_source(), self.now_ns())

    def _on_datagrams(self) -> None:
        for end, one in self._sockets.items():
            frames = one.take()
            if not frames:
                continue
            self.count(f"udp/{self._segments[end]}/tx", received=len(frames))
            if self.is_active:
                self._offer(end, frames)
        if self.is_active:
            self._schedule_delivery()
            self.settle()

    def _offer(self, end: str, frames: list[bytes]) -> None:
        now_ns = self._now()
        truth = self._truth.at(now_ns)
        rate_bps = truth.downlink_bps if end == "space" else truth.uplink_bps
        los_ns = truth.contact.los_ns if truth.contact else 0
        channel = self._channels[end]
        passed = [
            frame
            for frame in frames
            if channel.push(frame, now_ns, rate_bps, truth.delay_ns, los_ns)
        ]
        row = {"t_ns": now_ns, "segment": self._segments["space"], "end": end}
        row |= {"offered": len(frames), "sent": len(passed)}
        contact = truth.contact.id if truth.contact else ""
        size = sum(map(len, passed))
        self._log.write(json.dumps({**row, "bytes": size, "contact": contact}) + "\n")

    def _schedule_delivery(self) -> None:
        due = [ns for channel in self._channels.values() if (ns := channel.next_ns()) is not None]
        if not due:
            return
        if self._delivery is not None and self._delivery.call is not None:
            if self._delivery.due_ns <= min(due):
                return
            self._delivery.cancel()
        self._delivery = self.at(min(due), self._deliver)

    def _deliver(self) -> None:
        self._delivery = None
        now_ns = self._now()
        for end, channel in self._channels.items():
            other = "ground" if end == "space" else "space"
            frames = channel.due(now_ns)
            if frames:
                # Status first: it carries the time to a node that has not seen /clock yet.
                self._send(other, [self._status(self._truth.at(now_ns), now_ns), *frames])
        self._schedule_delivery()

    def _send(self, end: str, datagrams: list[bytes]) -> None:
        sent = sum(self._sockets[end].send(datagram) for datagram in datagrams)
        if sent:
            self.count(f"udp/{self._segments[end]}/rx", sent=sent)

    def _status(self, truth: LinkTruth, now_ns: int) -> bytes:
        return modem.pack_status(
            LinkState(
                satellite=self.param("satellite"),
                station=truth.contact.station if truth.contact else "",
                stamp_ns=now_ns,
                locked=truth.contact is not None,
                downlink_bps=truth.downlink_bps,
                uplink_bps=truth.uplink_bps,
            )
        )

    def _say_state(self) -> None:
        now_ns = self._now()
        truth = self._truth.at(now_ns)
        for end in ("space", "ground"):
            self._send(end, [self._status(truth, now_ns)])
        next_ns = self._truth.next_change_ns(now_ns)
        if truth.contact is not None:
            soon_ns = now_ns + round(self.param("status_s") * S_NS)
            next_ns = soon_ns if next_ns is None else min(next_ns, soon_ns)
        if next_ns is not None:
            self.at(next_ns, self._say_state)
