"""What both ends of the link share: socket to the modem, endpoint, pacing, frame log.

Subclasses say what to do with what arrives (`on_indication`) and when the link state changes.
The bytes, timers and files are the business of `eo_nodes.link.endpoint`.
"""

from __future__ import annotations

import json
import os
from ipaddress import ip_address
from typing import Any

from eo_nodes.contracts import modem
from eo_nodes.contracts.errors import ConfigError, ProtocolError
from eo_nodes.contracts.values import LinkState
from eo_nodes.downlink.budget import RateBudget
from eo_nodes.link import EndpointConfig, LinkEndpoint
from eo_nodes.link.config import CfdpConfig
from eo_nodes.link.filestore import DiskFilestore
from eo_nodes.store.ledger_store import LedgerStore
from eo_nodes.store.transfer_store import TransferStore

from .base import EoNode
from .datagrams import DatagramSocket
from .folders import state_folder
from .parameters import Parameter

_BURST_NS = 2_000_000_000  # air time that a late tick may make up for; modems buffer 4 s

LINK_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("modem_host", "127.0.0.1", "host of the modem that takes our frames"),
    Parameter("modem_port", 17101, "UDP port of the modem", 1, 65535),
    Parameter("listen_host", "127.0.0.1", "address that frames and status arrive on"),
    Parameter("listen_port", 17102, "UDP port that frames and status arrive on", 1, 65535),
    Parameter("port_offset", 0, "added to both ports, to run two graphs side by side", 0, 40000),
    Parameter("entity_id", 1, "CFDP entity id of this end", 1, 65535),
    Parameter("peer_entity_id", 2, "CFDP entity id of the other end", 1, 65535),
    Parameter("spacecraft_id", 1, "identifies the satellite in every frame", 0, 255),
    Parameter("max_frame_bytes", 1115, "largest datagram, bytes", 256, 65507),
    Parameter("tick_s", 0.5, "frames are handed to the modem this often, s", 0.001, 10.0),
    Parameter("frame_log", False, "write frames_<end>.jsonl: when frames were sent and received"),
)


class LinkNode(EoNode):
    """One end of the link."""

    PARAMETERS = LINK_PARAMETERS
    IS_SPACE = True

    def configure(self) -> None:
        """Open the socket and the endpoint; what was under way goes on."""
        if self.IS_SPACE and not ip_address(self.param("listen_host")).is_loopback:
            raise ConfigError(
                f"listen_host {self.param('listen_host')}: until commands are authenticated, "
                "uplink is taken from loopback only"
            )
        self.folder = state_folder(self)
        self.link_state = LinkState()
        self.receive_root = os.path.join(self.folder, "received")
        os.makedirs(self.receive_root, exist_ok=True)
        self.store = LedgerStore(os.path.join(self.folder, "link.db"))
        self.endpoint = LinkEndpoint(
            EndpointConfig(
                local_id=self.param("entity_id"),
                remote_id=self.param("peer_entity_id"),
                receive_root=self.receive_root,
                is_space=self.IS_SPACE,
                spacecraft_id=self.param("spacecraft_id"),
                max_frame_bytes=self.param("max_frame_bytes"),
                cfdp=CfdpConfig(is_source_deleted=True),
            ),
            DiskFilestore(),
            TransferStore(self.store),
        )
        self.rate = RateBudget(
            max(_BURST_NS, int(self.param("tick_s") * 1e9)), self.param("max_frame_bytes")
        )
        self._rate_bps = 0
        self._tick: Any = None
        self._log: Any = None
        if self.param("frame_log"):
            self._log = open(  # noqa: SIM115 - closed in cleanup
                os.path.join(self.folder, f"frames_{self.get_name()}.jsonl"),
                "a",
                encoding="utf-8",
                buffering=1,
            )
        self._tx_name, self._rx_name = f"udp/{self.segment}/tx", f"udp/{self.segment}/rx"
        self.count(self._rx_name)
        self.socket = DatagramSocket(
            (self.param("listen_host"), self.param("listen_port") + self.param("port_offset")),
            (self.param("modem_host"), self.param("modem_port") + self.param("port_offset")),
            lambda: self.wake(self._on_datagrams),
        )
        self.speak("link_state")

    def cleanup(self) -> None:
        """Close socket, store and log."""
        self.socket.close()
        self.store.close()
        if self._log is not None:
            self._log.close()

    # -- for subclasses ----------------------------------------------------------------------

    def on_indication(self, indication: Any) -> None:
        """Take what the endpoint says."""
        raise NotImplementedError

    def on_link_change(self) -> None:
        """The link state changed: `self.link_state`."""

    def on_progress(self) -> None:
        """Frames were sent."""

    def wrote(self) -> None:
        """Something was put: send as soon as the link lets it."""
        self._schedule()

    # -- link --------------------------------------------------------------------------------

    def _on_datagrams(self) -> None:
        datagrams = self.socket.take()
        if not datagrams:
            return
        self.count(self._rx_name, received=len(datagrams))
        if not self.is_active:
            return  # the modem says its state again; frames are repeated by CFDP
        frames = frame_bytes = 0
        for datagram in datagrams:
            if modem.is_status(datagram):
                self.guarded(lambda d=datagram: self._on_status(d), "modem status")
                continue
            frames += 1
            frame_bytes += len(datagram)
            for indication in self.endpoint.receive(datagram, self.now_ns()):
                self.guarded(lambda i=indication: self.on_indication(i), "frame")
        if frames:
            self._write_log("rx", frames, frame_bytes)
            self._schedule()
        self.settle()

    def _on_status(self, datagram: bytes) -> None:
        try:
            state = modem.unpack_status(datagram)
        except ProtocolError as error:
            self.emit("FRAME_REJECTED", str(error))
            return
        if self.simulated:
            self._advance(state.stamp_ns)
        before, self.link_state = self.link_state, state
        now_ns = self.now_ns()
        rate_bps = state.downlink_bps if self.IS_SPACE else state.uplink_bps
        if state.locked:
            if not before.locked or before.station != state.station:
                self.rate.reset(now_ns)
                self.emit("AOS", f"{state.satellite} over {state.station}", rate_bps=rate_bps)
            self.rate.advance(now_ns, self._rate_bps)
            self._rate_bps = rate_bps
            if rate_bps > 0:
                self.endpoint.on_aos(now_ns, rate_bps)
            self._schedule()
        elif before.locked:
            self.endpoint.on_los(now_ns)
            self.emit("LOS", f"{before.satellite} over {before.station}")
        self.publish("link_state", state)
        self.on_link_change()

    def _schedule(self) -> None:
        """Set the next tick: soon while there is something to send, else at a protocol timer."""
        if not self.link_state.locked:
            return
        now_ns = self.now_ns()
        tick_ns = int(self.param("tick_s") * 1e9)
        if self.endpoint.has_data():
            due_ns = (now_ns // tick_ns + 1) * tick_ns
        else:
            wake_ns = self.endpoint.next_wake_ns(now_ns)
            if wake_ns is None:
                return
            due_ns = -(-max(wake_ns, now_ns + 1) // tick_ns) * tick_ns
        if self._tick is not None and self._tick.call is not None:
            if self._tick.due_ns <= due_ns:
                return
            self._tick.cancel()
        self._tick = self.at(due_ns, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        now_ns = self.now_ns()
        if not self.link_state.locked:
            return
        budget = self.rate.advance(now_ns, self._rate_bps)
        datagrams, indications = self.endpoint.poll(now_ns, budget)
        total = sum(map(len, datagrams))
        self.rate.spend(total)
        sent = sum(self.socket.send(datagram) for datagram in datagrams)
        if sent:
            self.count(self._tx_name, sent=sent)
            self._write_log("tx", sent, total)
            self.on_progress()
        for indication in indications:
            self.guarded(lambda i=indication: self.on_indication(i), "link")
        self._schedule()

    def _write_log(self, direction: str, frames: int, size_bytes: int) -> None:
        if self._log is not None:
            row = {"t_ns": self.now_ns(), "direction": direction, "frames": frames}
            self._log.write(json.dumps({**row, "bytes": size_bytes}) + "\n")
