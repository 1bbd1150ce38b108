"""Two link endpoints in one thread, with a channel that loses, doubles, delays and damages.

Deterministic: everything follows from the seed. Time is simulated, in steps of 10 ms.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from eo_nodes.link import (
    CfdpConfig,
    EndpointConfig,
    FileReceived,
    Indication,
    LinkEndpoint,
    TransferFault,
    TransferFinished,
)
from eo_nodes.link.cfdp.pdus import Pdu, decode_pdu
from eo_nodes.link.frames import Direction, FrameEncoder, decode_frame
from eo_nodes.link.memory import MemoryFilestore, MemoryTransferStore
from eo_nodes.link.packets import Apid, PacketEncoder, iter_packets

STEP_NS = 10_000_000
S = 1_000_000_000
KIB = 1024
SEGMENT = 1082


class CrashFilestore(MemoryFilestore):
    """Forgets at a crash what was not synced: stricter than a kill, as strict as a power cut."""

    def __init__(self) -> None:
        super().__init__()
        self.durable: dict[str, bytes] = {}

    def add(self, path: str, data: bytes) -> None:
        self.files[path] = bytearray(data)
        self.durable[path] = data

    def sync(self, path: str) -> None:
        super().sync(path)
        self.durable[path] = bytes(self.files[path])

    def publish(self, part: str, final: str) -> None:
        super().publish(part, final)
        self.durable[final] = bytes(self.files[final])
        self.durable.pop(part, None)

    def remove(self, path: str) -> None:
        super().remove(path)
        self.durable.pop(path, None)

    def crash(self) -> None:
        self.files = {path: bytearray(data) for path, data in self.durable.items()}


@dataclass
class Channel:
    """What one direction does to a datagram. Probabilities in [0, 1]."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    bit_error_rate: float = 0.0
    delay_ns: int = 5_000_000
    rate_bps: float = 8e6
    # Called with each datagram; True loses it.
    lose: Callable[[bytes], bool] | None = None


@dataclass
class End:
    config: EndpointConfig
    channel: Channel
    files: CrashFilestore = field(default_factory=CrashFilestore)
    store: MemoryTransferStore = field(default_factory=MemoryTransferStore)
    indications: list[Indication] = field(default_factory=list)
    tokens: float = 0.0
    sent: list[bytes] = field(default_factory=list)
    endpoint: LinkEndpoint | None = None


def pdus_of(datagram: bytes) -> list[Pdu]:
    """Decode every CFDP PDU of one datagram of ours."""
    frame = decode_frame(datagram, 65507)
    packets = iter_packets(frame.payload)
    return [decode_pdu(bytes(p.data)) for p in packets if p.apid == Apid.CFDP]


def frame_of(*pdus: bytes) -> bytes:
    """One return-direction datagram around PDUs, as a space end would send it."""
    packets = PacketEncoder(Direction.RETURN)
    payload = b"".join(packets.encode(Apid.CFDP, pdu) for pdu in pdus)
    return FrameEncoder(1, Direction.RETURN, 65507).encode(1, payload)


class LinkSim:
    """``space`` (entity 1) and ``ground`` (entity 2), visible from the start unless told."""

    def __init__(
        self,
        seed: int = 0,
        *,
        down: Channel | None = None,
        up: Channel | None = None,
        cfdp: CfdpConfig | None = None,
        is_visible: bool = True,
        records_sent: bool = False,
    ) -> None:
        self.random = random.Random(seed)
        self.now_ns = 0
        self._serial = 0
        self._records_sent = records_sent
        self._in_flight: list[tuple[int, int, str, bytes]] = []
        cfdp = cfdp or CfdpConfig()
        self.ends = {
            "space": End(
                EndpointConfig(1, 2, "/space", is_space=True, cfdp=cfdp), down or Channel()
            ),
            "ground": End(
                EndpointConfig(2, 1, "/ground", is_space=False, cfdp=cfdp), up or Channel()
            ),
        }
        self.is_visible = is_visible
        self.restart("space")
        self.restart("ground")

    @property
    def space(self) -> LinkEndpoint:
        endpoint = self.ends["space"].endpoint
        assert endpoint is not None
        return endpoint

    @property
    def ground(self) -> LinkEndpoint:
        endpoint = self.ends["ground"].endpoint
        assert endpoint is not None
        return endpoint

    def restart(self, name: str) -> None:
        """Start (again) from what is durable."""
        end = self.ends[name]
        end.files.crash()
        end.endpoint = LinkEndpoint(end.config, end.files, end.store)
        if self.is_visible:
            end.endpoint.on_aos(self.now_ns, end.channel.rate_bps)

    def kill(self, name: str) -> None:
        """Stop one end at once; ``restart`` brings it back."""
        self.ends[name].endpoint = None

    def aos(self) -> None:
        self.is_visible = True
        for end in self.ends.values():
            if end.endpoint is not None:
                end.endpoint.on_aos(self.now_ns, end.channel.rate_bps)

    def los(self, *, loses_in_flight: bool = True) -> None:
        self.is_visible = False
        if loses_in_flight:
            self._in_flight.clear()
        for end in self.ends.values():
            end.tokens = 0.0
            if end.endpoint is not None:
                end.endpoint.on_los(self.now_ns)

    def put(self, name: str, data: bytes, *, end: str = "space", key: tuple = (0,), meta=b""):
        """Put a file of this content; the source path is /out/NAME."""
        self.ends[end].files.add(f"/out/{name}", data)
        endpoint = self.ends[end].endpoint
        assert endpoint is not None
        return endpoint.put(f"/out/{name}", name, key, meta, self.now_ns)

    def step(self) -> None:
        """Advance 10 ms: deliver what is due, let both ends send."""
        self.now_ns += STEP_NS
        while self._in_flight and self._in_flight[0][0] <= self.now_ns:
            _, _, name, datagram = heapq.heappop(self._in_flight)
            end = self.ends[name]
            if end.endpoint is not None:
                end.indications += end.endpoint.receive(datagram, self.now_ns)
        for name, peer in (("space", "ground"), ("ground", "space")):
            self._send(self.ends[name], peer)

    def _send(self, end: End, peer: str) -> None:
        if end.endpoint is None:
            return
        if self.is_visible:
            cap = max(end.channel.rate_bps / 8 * STEP_NS / S, 2 * end.config.max_frame_bytes)
            end.tokens = min(end.tokens + end.channel.rate_bps / 8 * STEP_NS / S, cap)
        datagrams, indications = end.endpoint.poll(self.now_ns, int(end.tokens))
        end.indications += indications
        assert self.is_visible or not datagrams, "sent without visibility"
        total = sum(map(len, datagrams))
        assert total <= end.tokens, "sent more than the budget"
        end.tokens -= total
        if self._records_sent:
            end.sent += datagrams
        for datagram in datagrams:
            self._transmit(datagram, end.channel, peer)

    def _transmit(self, datagram: bytes, channel: Channel, peer: str) -> None:
        if channel.lose is not None and channel.lose(datagram):
            return
        if self.random.random() < channel.loss:
            return
        copies = 2 if self.random.random() < channel.duplicate else 1
        for _ in range(copies):
            delay_ns = channel.delay_ns
            if self.random.random() < channel.reorder:
                delay_ns += self.random.randrange(5 * STEP_NS)
            self._serial += 1
            damaged = self._damage(datagram, channel.bit_error_rate)
            heapq.heappush(self._in_flight, (self.now_ns + delay_ns, self._serial, peer, damaged))

    def _damage(self, datagram: bytes, rate: float) -> bytes:
        if rate == 0.0:
            return datagram
        damaged = bytearray(datagram)
        bit = int(self.random.expovariate(rate))
        while bit < 8 * len(damaged):
            damaged[bit // 8] ^= 1 << bit % 8
            bit += 1 + int(self.random.expovariate(rate))
        return bytes(damaged)

    def run(self, seconds: float) -> None:
        """Advance so long."""
        end_ns = self.now_ns + int(seconds * S)
        while self.now_ns < end_ns:
            self.step()

    def run_until(self, is_done: Callable[[], bool], limit_s: float = 120.0) -> None:
        """Advance until the condition holds; fails when it does not within the limit."""
        end_ns = self.now_ns + int(limit_s * S)
        while not is_done():
            assert self.now_ns < end_ns, (
                f"not done after {limit_s} s: {self.space.queue()} {self.ground.queue()}"
            )
            self.step()

    def run_idle(self, limit_s: float = 120.0) -> None:
        """Advance until both ends have no open transaction and nothing to send."""
        self.run_until(self.is_idle, limit_s)

    def is_idle(self) -> bool:
        ends = [end.endpoint for end in self.ends.values() if end.endpoint is not None]
        return not self._in_flight and not any(e.queue() or e.has_data() for e in ends)

    def received(self, end: str = "ground") -> dict[str, bytes]:
        """Content of the files told as received at one end, read from its filestore."""
        files = self.ends[end].files.files
        told = [i for i in self.ends[end].indications if isinstance(i, FileReceived)]
        return {i.name: bytes(files[i.path]) for i in told}

    def of_kind(self, end: str, kind: type) -> list:
        return [i for i in self.ends[end].indications if isinstance(i, kind)]

    def finished(self, end: str = "space") -> list[TransferFinished]:
        return self.of_kind(end, TransferFinished)

    def faults(self, end: str) -> list[TransferFault]:
        return self.of_kind(end, TransferFault)


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def feed(sim: LinkSim, *pdus: bytes) -> None:
    for pdu in pdus:
        sim.ends["ground"].indications += sim.ground.receive(frame_of(pdu), sim.now_ns)


class LoseFirst:
    """Loses the first ``count`` datagrams that carry a PDU of this kind."""

    def __init__(self, kind: type, count: int, *, of_eof: bool | None = None) -> None:
        self.kind, self.left, self.of_eof = kind, count, of_eof

    def __call__(self, datagram: bytes) -> bool:
        for pdu in pdus_of(datagram):
            is_wanted = isinstance(pdu, self.kind)
            if is_wanted and (self.of_eof is None or pdu.is_of_eof == self.of_eof) and self.left:
                self.left -= 1
                return True
        return False
