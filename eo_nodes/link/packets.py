"""CCSDS space packets (133.0-B-2): APIDs, 14-bit counts, packing and total parsing.

Whole packets travel in one frame, several to a frame when they are small; none is segmented over
frames, so a lost frame never damages another packet. The header's fixed half is built by
``spacepackets`` once per APID; count and length are appended here.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from spacepackets.ccsds.spacepacket import PacketType, SpacePacketHeader

from eo_nodes.link.errors import PacketError
from eo_nodes.link.frames import Direction

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER_BYTES: Final = 6
SEQUENCE_MODULUS: Final = 1 << 14
IDLE_APID: Final = 0x7FF
_UNSEGMENTED: Final = 0b11 << 14
_HEADER = struct.Struct(">HHH")
_TAIL = struct.Struct(">HH")


class Apid(IntEnum):
    """Application process ids in use. Below 0x20: urgent; above: background."""

    COMMAND = 0x010
    EVENT = 0x011
    TASK = 0x012
    NOTICE = 0x013
    CFDP = 0x020
    HOUSEKEEPING = 0x030
    CATALOGUE = 0x031


def is_urgent(apid: int) -> bool:
    """Tell whether packets of this APID go before file transfer."""
    return apid < Apid.CFDP


class Packet(NamedTuple):
    """One packet; ``data`` looks into the frame, it is not a copy."""

    apid: int
    sequence: int
    data: memoryview


class PacketEncoder:
    """Builds the packets of one sender and counts per APID (M11)."""

    def __init__(self, direction: Direction) -> None:
        self._type = PacketType.TC if direction is Direction.FORWARD else PacketType.TM
        self._prefixes: dict[int, bytes] = {}
        self._sequences: dict[int, int] = {}

    def encode(self, apid: int, data: bytes) -> bytes:
        """Return one packet; ``data`` holds 1..65536 octets, ``apid`` is in 0..2046."""
        prefix = self._prefixes.get(apid)
        if prefix is None:
            header = SpacePacketHeader(
                packet_type=self._type, apid=apid, seq_count=0, data_len=0
            )
            prefix = self._prefixes[apid] = bytes(header.pack()[:2])
        sequence = self._sequences.get(apid, 0)
        self._sequences[apid] = (sequence + 1) % SEQUENCE_MODULUS
        return prefix + _TAIL.pack(_UNSEGMENTED | sequence, len(data) - 1) + data


def iter_packets(payload: memoryview) -> Iterator[Packet]:
    """Yield the packets of one frame.

    Raises:
        PacketError: ``short``, ``version``, ``segmented`` or ``length``; the packets before the bad
            one were yielded, the rest of this frame is not believed, the next frame starts clean.
    """
    offset, size = 0, len(payload)
    while offset < size:
        if size - offset <= HEADER_BYTES:
            raise PacketError("short")
        identification, control, length = _HEADER.unpack_from(payload, offset)
        if identification >> 13:
            raise PacketError("version")
        end = offset + HEADER_BYTES + length + 1
        if end > size:
            raise PacketError("length")
        if control & _UNSEGMENTED != _UNSEGMENTED:
            raise PacketError("segmented")
        yield Packet(
            identification & 0x7FF, control & 0x3FFF, payload[offset + HEADER_BYTES : end]
        )
        offset = end
