"""Frames: one UDP datagram each, or back to back in a byte stream. No packets, no meaning.

Layout, big endian::

    octets  field
    0..1    sync 0x1ACF, the first half of the CCSDS attached sync marker (131.0-B)
    2       spacecraft id
    3       version (2 bits, 01), direction (1 bit, 1 = forward), virtual channel (5 bits)
    4..6    sequence count of this virtual channel and direction, wraps at 2**24
    7..8    payload length in octets
    9..     payload
    last 4  CRC-32 (ISO-HDLC, the one of zlib and IEEE 802.3) over everything before it

The CRC covers the length field before anybody believes it (M11). The overhead is 13 octets; the
default largest frame is 1115 octets, the usual CCSDS transfer frame, which leaves 1102 of payload.
Decoding is total: any bytes give a frame or a ``FrameError`` with a named reason (M10).
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum
from typing import Final, NamedTuple

from eo_nodes.link.errors import FrameError

SYNC: Final = 0x1ACF
VERSION: Final = 0b01
HEADER_BYTES: Final = 9
CRC_BYTES: Final = 4
OVERHEAD_BYTES: Final = HEADER_BYTES + CRC_BYTES
SEQUENCE_MODULUS: Final = 1 << 24
_HEADER = struct.Struct(">HBIH")
_CRC = struct.Struct(">I")
_SYNC_OCTETS: Final = SYNC.to_bytes(2, "big")


class Direction(IntEnum):
    """Who sends: return = from the spacecraft, forward = to it."""

    RETURN = 0
    FORWARD = 1


class VirtualChannel(IntEnum):
    """Virtual channels in use; each has its own sequence count."""

    PACKETS = 0
    DIRECTIVES = 1
    FILE_DATA = 2
    BACKGROUND = 3


class Frame(NamedTuple):
    """A frame whose CRC holds. ``payload`` looks into the datagram; it is not a copy."""

    spacecraft_id: int
    direction: int
    channel: int
    sequence: int
    payload: memoryview


class FrameEncoder:
    """Builds the frames of one sender and counts per virtual channel."""

    def __init__(self, spacecraft_id: int, direction: Direction, max_frame_bytes: int) -> None:
        self._spacecraft_id = spacecraft_id
        self._words = [(VERSION << 30) | (direction << 29) | (vc << 24) for vc in range(32)]
        self._sequences = [0] * 32
        self.max_payload_bytes = max_frame_bytes - OVERHEAD_BYTES

    def encode(self, channel: int, payload: bytes) -> bytes:
        """Return one frame; ``payload`` holds 0..max_payload_bytes octets."""
        sequence = self._sequences[channel]
        self._sequences[channel] = (sequence + 1) % SEQUENCE_MODULUS
        body = (
            _HEADER.pack(
                SYNC, self._spacecraft_id, self._words[channel] | sequence, len(payload)
            )
            + payload
        )
        return body + _CRC.pack(zlib.crc32(body))


def decode_frame(datagram: bytes | memoryview, max_frame_bytes: int) -> Frame:
    """Decode one datagram that holds exactly one frame.

    Raises:
        FrameError: reason is ``short``, ``long``, ``crc``, ``sync``, ``length`` or ``version``.
    """
    size = len(datagram)
    if size < OVERHEAD_BYTES:
        raise FrameError("short")
    if size > max_frame_bytes:
        raise FrameError("long")
    view = memoryview(datagram)
    sync, spacecraft_id, word, length = _HEADER.unpack_from(view)
    if sync != SYNC:
        raise FrameError("sync")
    # CRC before the length is used for anything: M11.
    if zlib.crc32(view[:-CRC_BYTES]) != _CRC.unpack_from(view, size - CRC_BYTES)[0]:
        raise FrameError("crc")
    if length != size - OVERHEAD_BYTES:
        raise FrameError("length")
    if word >> 30 != VERSION:
        raise FrameError("version")
    return Frame(
        spacecraft_id,
        word >> 29 & 1,
        word >> 24 & 0x1F,
        word & 0xFFFFFF,
        view[HEADER_BYTES:-CRC_BYTES],
    )


class FrameStream:
    """Finds frames in a byte stream (a modem on a serial line), however it is cut.

    After damage, sync returns within one maximum frame: a length that cannot be, or a CRC that does
    not hold, costs one octet and the search goes on inside what was already taken for a frame.
    Memory is bounded by one maximum frame plus what one ``feed`` brings.
    """

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame | FrameError]:
        """Take the next bytes; return the frames completed and one error for each false sync."""
        self._buffer += data
        found: list[Frame | FrameError] = []
        start = 0
        while True:
            start = self._next_sync(start)
            if len(self._buffer) - start < HEADER_BYTES:
                break
            length = int.from_bytes(self._buffer[start + 7 : start + 9], "big")
            end = start + length + OVERHEAD_BYTES
            if end - start > self._max_frame_bytes:
                found.append(FrameError("length"))
                start += 1
            elif end > len(self._buffer):
                break
            else:
                try:
                    candidate = bytes(self._buffer[start:end])
                    found.append(decode_frame(candidate, self._max_frame_bytes))
                    start = end
                except FrameError as error:
                    found.append(error)
                    start += 1
        del self._buffer[:start]
        return found

    def _next_sync(self, start: int) -> int:
        """Return where the next sync word is, or may begin at the end of the buffer."""
        index = self._buffer.find(_SYNC_OCTETS, start)
        if index >= 0:
            return index
        ends_in_half = self._buffer.endswith(_SYNC_OCTETS[:1]) and len(self._buffer) > start
        return len(self._buffer) - 1 if ends_in_half else len(self._buffer)
