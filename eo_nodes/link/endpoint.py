"""One end of the link: frames, packets and file transfer behind one object. All that nodes use.

No sockets, no clock: the caller brings datagrams and times, and sends what ``poll`` returns. Order
of sending: urgent packets (APIDs below 0x20), CFDP directives, background packets that have waited
too long, file data by priority, other background packets.

The pacing is the caller's: it keeps what ``poll`` left of the budget for the next call. A frame is
begun only while the budget holds a whole maximum frame, so a budget below that sends nothing.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Final

from eo_nodes.link.cfdp.entity import CfdpEntity
from eo_nodes.link.cfdp.source import PriorityKey
from eo_nodes.link.counters import LinkCounters
from eo_nodes.link.errors import FrameError, PacketError, PacketRefusedError, PduError
from eo_nodes.link.frames import (
    SEQUENCE_MODULUS as FRAME_MODULUS,
)
from eo_nodes.link.frames import (
    Direction,
    Frame,
    FrameEncoder,
    VirtualChannel,
    decode_frame,
)
from eo_nodes.link.indications import (
    FrameRejected,
    Indication,
    PacketReceived,
    TransactionId,
    TransferStatus,
)
from eo_nodes.link.packets import HEADER_BYTES as PACKET_HEADER_BYTES
from eo_nodes.link.packets import IDLE_APID, Apid, Packet, PacketEncoder, is_urgent, iter_packets
from eo_nodes.link.packets import SEQUENCE_MODULUS as PACKET_MODULUS
from eo_nodes.link.sequences import SequenceTracker

if TYPE_CHECKING:
    from eo_nodes.link.config import EndpointConfig
    from eo_nodes.link.ports import Filestore, Json, TransferStore

_FRAMES_IN_FLIGHT: Final = 8
_NS_PER_S: Final = 1_000_000_000


class LinkEndpoint:
    """Space or ground end of one link.

    Attributes:
        counters: counts since this object was made.
    """

    def __init__(
        self, config: EndpointConfig, filestore: Filestore, transfer_store: TransferStore
    ) -> None:
        """Rebuild open transfers from ``transfer_store``; the peer starts out invisible.

        Raises:
            StorageError: the transfer store cannot be read.
        """
        self.counters = LinkCounters()
        self._config = config
        sends = Direction.RETURN if config.is_space else Direction.FORWARD
        self._expects = Direction.FORWARD if config.is_space else Direction.RETURN
        self._frames = FrameEncoder(config.spacecraft_id, sends, config.max_frame_bytes)
        self._packets = PacketEncoder(sends)
        self._max_data_bytes = self._frames.max_payload_bytes - PACKET_HEADER_BYTES
        self._urgent: deque[tuple[int, int, bytes]] = deque()
        self._background: deque[tuple[int, int, bytes]] = deque()
        self._held_pdu: bytes | None = None
        self._frame_trackers: dict[int, SequenceTracker] = {}
        self._packet_trackers: dict[int, SequenceTracker] = {}
        self._is_visible = False
        self._entity = CfdpEntity(
            local_id=config.local_id,
            remote_id=config.remote_id,
            receive_root=config.receive_root,
            config=config.cfdp,
            filestore=filestore,
            store=transfer_store,
            counters=self.counters,
        )

    @property
    def is_visible(self) -> bool:
        """True between AOS and LOS."""
        return self._is_visible

    def put(
        self,
        path: str,
        name: str,
        priority_key: PriorityKey,
        metadata: bytes | dict[str, Json],
        now_ns: int,
    ) -> TransactionId:
        """Queue a complete file for the peer; durable when this returns.

        Args:
            path: the file, complete on disk (M8); it must not change until TransferFinished.
            name: relative name under the peer's receive root, at most 128 octets of UTF-8.
            priority_key: numbers and strings; the smallest goes first.
            metadata: travels with the file, at most 768 octets; a dict goes as JSON.
            now_ns: time of the request.
        Raises:
            PutRefusedError: with its reason; nothing was queued.
            StorageError: it could not be read or made durable.
        """
        if not isinstance(metadata, bytes):
            metadata = json.dumps(metadata, separators=(",", ":"), sort_keys=True).encode()
        return self._entity.put(
            path=path,
            name=name,
            priority_key=priority_key,
            metadata=metadata,
            now_ns=now_ns,
        )

    def send_packet(self, apid: int, data: bytes, now_ns: int) -> None:
        """Queue a best-effort packet; a full queue drops its oldest and counts it (M7).

        Raises:
            PacketRefusedError: empty, larger than ``max_packet_bytes``, or an APID of the link.
        """
        if apid in (Apid.CFDP, IDLE_APID) or not 0 <= apid < IDLE_APID:
            raise PacketRefusedError(f"APID {apid:#x} cannot be used")
        if not 0 < len(data) <= self._max_data_bytes:
            raise PacketRefusedError(f"{len(data)} bytes, limit {self._max_data_bytes}")
        queue = self._urgent if is_urgent(apid) else self._background
        if len(queue) >= self._config.max_packet_queue:
            queue.popleft()
            self.counters.packets_dropped += 1
        queue.append((now_ns, apid, data))

    @property
    def max_packet_bytes(self) -> int:
        """Largest ``data`` of ``send_packet``."""
        return self._max_data_bytes

    def on_aos(self, now_ns: int, rate_bps: float) -> None:
        """The peer is visible from now on, at this channel rate (> 0)."""
        self._is_visible = True
        in_flight_bits = _FRAMES_IN_FLIGHT * self._config.max_frame_bytes * 8
        self._entity.on_aos(now_ns, int(in_flight_bits / rate_bps * _NS_PER_S))

    def on_los(self, now_ns: int) -> None:
        """The peer is out of sight: nothing is sent, no timer runs (M5)."""
        self._is_visible = False
        self._entity.on_los(now_ns)

    def receive(self, datagram: bytes, now_ns: int) -> list[Indication]:
        """Take one datagram, whatever it holds. Bad bytes are counted, never raised (M10)."""
        counters = self.counters
        try:
            frame = decode_frame(datagram, self._config.max_frame_bytes)
            self._check_addressing(frame)
        except FrameError as error:
            return [*self._entity.take_indications(), self._reject("frame", error.reason)]
        counters.frames_received += 1
        counters.bytes_received += len(datagram)
        self._observe_frame(frame)
        indications: list[Indication] = []
        try:
            for packet in iter_packets(frame.payload):
                self._take_packet(packet, now_ns, indications)
        except PacketError as error:
            indications.append(self._reject("packet", error.reason))
        return indications

    def _check_addressing(self, frame: Frame) -> None:
        if frame.spacecraft_id != self._config.spacecraft_id:
            raise FrameError("spacecraft")
        if frame.direction != self._expects:
            raise FrameError("direction")

    def _take_packet(self, packet: Packet, now_ns: int, indications: list[Indication]) -> None:
        apid, sequence, data = packet
        if apid == IDLE_APID:
            return
        self._observe_packet(apid, sequence)
        if apid != Apid.CFDP:
            indications.append(PacketReceived(apid, bytes(data), sequence))
            return
        try:
            self._entity.receive(data, now_ns)
        except PduError as error:
            indications.append(self._reject("pdu", error.reason))
        indications.extend(self._entity.take_indications())

    def poll(self, now_ns: int, budget_bytes: int) -> tuple[list[bytes], list[Indication]]:
        """Return the datagrams to send now, together at most ``budget_bytes``, and what happened.

        Outside visibility there are no datagrams and no timer acts.
        """
        datagrams: list[bytes] = []
        if self._is_visible:
            self._entity.tick(now_ns)
            remaining = budget_bytes
            while remaining >= self._config.max_frame_bytes:
                datagram = self._next_frame(now_ns)
                if datagram is None:
                    break
                datagrams.append(datagram)
                remaining -= len(datagram)
            self.counters.frames_sent += len(datagrams)
            self.counters.bytes_sent += budget_bytes - remaining
        return datagrams, self._entity.take_indications()

    def _next_frame(self, now_ns: int) -> bytes | None:
        if self._urgent:
            return self._frames.encode(VirtualChannel.PACKETS, self._pack_queue(self._urgent))
        payload = self._pack_directives(now_ns)
        if payload:
            return self._frames.encode(VirtualChannel.DIRECTIVES, payload)
        if not self._is_background_overdue(now_ns):
            pdu = self._entity.next_file_data(now_ns, self._max_data_bytes)
            if pdu is not None:
                self.counters.pdus_sent += 1
                packet = self._packets.encode(Apid.CFDP, pdu)
                return self._frames.encode(VirtualChannel.FILE_DATA, packet)
        if self._background:
            payload = self._pack_queue(self._background)
            return self._frames.encode(VirtualChannel.BACKGROUND, payload)
        return None

    def _is_background_overdue(self, now_ns: int) -> bool:
        if not self._background:
            return False
        return now_ns - self._background[0][0] >= self._config.background_max_wait_ns

    def _pack_queue(self, queue: deque[tuple[int, int, bytes]]) -> bytes:
        """Fill one frame with whole packets; the queue is not empty."""
        packets: list[bytes] = []
        room = self._frames.max_payload_bytes
        while queue and len(queue[0][2]) + PACKET_HEADER_BYTES <= room:
            _, apid, data = queue.popleft()
            packets.append(self._packets.encode(apid, data))
            room -= len(packets[-1])
        self.counters.packets_sent += len(packets)
        return b"".join(packets)

    def _pack_directives(self, now_ns: int) -> bytes:
        """Fill one frame with directives; the one that no longer fits begins the next frame."""
        packets: list[bytes] = []
        room = self._frames.max_payload_bytes
        while True:
            pdu = self._held_pdu or self._entity.next_directive(now_ns, self._max_data_bytes)
            self._held_pdu = None
            if pdu is None:
                break
            if len(pdu) + PACKET_HEADER_BYTES > room:
                self._held_pdu = pdu
                break
            packets.append(self._packets.encode(Apid.CFDP, pdu))
            room -= len(packets[-1])
        self.counters.pdus_sent += len(packets)
        return b"".join(packets)

    def next_wake_ns(self, now_ns: int) -> int | None:
        """Return when ``poll`` should be called for a timer; None when none runs.

        A lower bound: the poll may find that the timer was restarted meanwhile.
        """
        wake_ns = self._entity.next_wake_ns()
        return None if wake_ns is None else max(wake_ns, now_ns)

    def has_data(self) -> bool:
        """True when ``poll`` would send something, were the peer visible."""
        return bool(
            self._urgent or self._held_pdu or self._background or self._entity.has_output()
        )

    def cancel(self, transaction: TransactionId, now_ns: int) -> None:
        """End a transaction and tell the peer. Raises UnknownTransactionError when not open."""
        self._entity.cancel(transaction, now_ns)

    def suspend(self, transaction: TransactionId, now_ns: int) -> None:
        """Send nothing of this transaction; what arrives still counts (M5, M6).

        Raises:
            UnknownTransactionError: not open.
        """
        self._entity.transaction(transaction).suspend(now_ns)

    def resume(self, transaction: TransactionId, now_ns: int) -> None:
        """Undo ``suspend``. Raises UnknownTransactionError when not open."""
        self._entity.transaction(transaction).resume(now_ns)

    def reprioritise(self, transaction: TransactionId, priority_key: PriorityKey) -> None:
        """Give an outgoing transfer another place. Raises UnknownTransactionError."""
        self._entity.reprioritise(transaction, priority_key)

    def queue(self) -> list[TransferStatus]:
        """Return every open transaction: ours in sending order, then the incoming ones."""
        return self._entity.queue()

    def _reject(self, layer: str, reason: str) -> FrameRejected:
        self.counters.rejects[layer, reason] += 1
        return FrameRejected(layer, reason)

    def _observe_frame(self, frame: Frame) -> None:
        tracker = self._frame_trackers.get(frame.channel)
        if tracker is None:
            tracker = self._frame_trackers[frame.channel] = SequenceTracker(FRAME_MODULUS)
        if tracker.observe(frame.sequence):
            return
        trackers = self._frame_trackers.values()
        self.counters.frame_gaps = sum(t.gaps for t in trackers)
        self.counters.frame_duplicates = sum(t.duplicates for t in trackers)
        self.counters.frame_resyncs = sum(t.resyncs for t in trackers)

    def _observe_packet(self, apid: int, sequence: int) -> None:
        self.counters.packets_received += 1
        tracker = self._packet_trackers.get(apid)
        if tracker is None:
            tracker = self._packet_trackers[apid] = SequenceTracker(PACKET_MODULUS)
        if tracker.observe(sequence):
            return
        trackers = self._packet_trackers.values()
        self.counters.packet_gaps = sum(t.gaps for t in trackers)
        self.counters.packet_duplicates = sum(t.duplicates for t in trackers)
        self.counters.packet_resyncs = sum(t.resyncs for t in trackers)
