"""Frames: total decoding, CRC over the length, sync in a byte stream."""

from __future__ import annotations

import random
import struct
import zlib

import pytest

from eo_nodes.contracts.errors import ProtocolError
from eo_nodes.link.errors import FrameError
from eo_nodes.link.frames import (
    OVERHEAD_BYTES,
    Direction,
    Frame,
    FrameEncoder,
    FrameStream,
    decode_frame,
)

MAX = 1115


def encode(payload: bytes, channel: int = 2) -> bytes:
    return FrameEncoder(7, Direction.RETURN, MAX).encode(channel, payload)


def test_frame_has_the_documented_octets():
    raw = FrameEncoder(7, Direction.FORWARD, MAX).encode(3, b"abc")
    body = bytes.fromhex("1acf 07 63 000000 0003 616263")
    assert raw == body + struct.pack(">I", zlib.crc32(body))


def test_round_trip_counts_per_channel():
    encoder = FrameEncoder(7, Direction.RETURN, MAX)
    sequences = [
        decode_frame(encoder.encode(channel, b"x"), MAX).sequence for channel in (0, 1, 0, 0, 1)
    ]
    assert sequences == [0, 0, 1, 2, 1]


def test_sequence_wraps_at_24_bits():
    encoder = FrameEncoder(7, Direction.RETURN, MAX)
    encoder._sequences[2] = 0xFFFFFF
    pair = [decode_frame(encoder.encode(2, b"x"), MAX).sequence for _ in range(2)]
    assert pair == [0xFFFFFF, 0]


def test_m11_length_is_not_believed_before_the_crc():
    # A frame whose only damage is a smaller length that would still parse.
    raw = bytearray(encode(b"payload of some size"))
    raw[8] -= 4
    with pytest.raises(FrameError) as caught:
        decode_frame(bytes(raw), MAX)
    assert caught.value.reason == "crc"


def test_m10_every_single_bit_flip_is_refused():
    raw = encode(bytes(range(40)))
    for bit in range(8 * len(raw)):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError):
            decode_frame(bytes(damaged), MAX)


def test_m10_every_truncation_and_extension_is_refused():
    raw = encode(bytes(range(40)))
    for size in range(len(raw)):
        with pytest.raises(FrameError):
            decode_frame(raw[:size], MAX)
    with pytest.raises(FrameError):
        decode_frame(raw + b"\0", MAX)


def test_m10_frame_over_the_maximum_is_refused():
    raw = FrameEncoder(7, Direction.RETURN, 4000).encode(2, bytes(MAX))
    with pytest.raises(FrameError, match="long"):
        decode_frame(raw, MAX)


def frames_of(found: list) -> list[bytes]:
    return [bytes(item.payload) for item in found if isinstance(item, Frame)]


def stream_of(payloads: list[bytes]) -> bytes:
    encoder = FrameEncoder(7, Direction.RETURN, MAX)
    return b"".join(encoder.encode(2, payload) for payload in payloads)


@pytest.mark.parametrize("step", [1, 7, 10_000], ids=["byte by byte", "in sevens", "whole"])
def test_m10_stream_is_read_however_it_is_cut(step):
    payloads = [b"", b"one", bytes(1102), b"\x1a\xcf\x1a\xcf"]
    raw = stream_of(payloads)
    stream, found = FrameStream(MAX), []
    for start in range(0, len(raw), step):
        found += stream.feed(raw[start : start + step])
    assert frames_of(found) == payloads


@pytest.mark.parametrize("step", [1, 10_000])
def test_m10_stream_with_trailing_bytes_keeps_what_came_before(step):
    raw = stream_of([b"one", b"two"]) + b"\x1a\xcf trailing"
    stream, found = FrameStream(MAX), []
    for start in range(0, len(raw), step):
        found += stream.feed(raw[start : start + step])
    assert frames_of(found) == [b"one", b"two"]


def test_m10_sync_returns_within_one_maximum_frame():
    # The worst false sync: it claims the largest length, so it holds back the most.
    false_sync = bytes.fromhex("1acf0742000000") + (MAX - OVERHEAD_BYTES).to_bytes(2, "big")
    payloads = [bytes([i]) * 50 for i in range(40)]
    raw = stream_of(payloads)
    stream = FrameStream(MAX)
    found = frames_of(stream.feed(false_sync + raw[:MAX]))
    assert found[:5] == payloads[:5]


def test_m10_noise_gives_rejects_and_bounded_memory():
    rng = random.Random(5)
    stream = FrameStream(MAX)
    found = []
    for _ in range(200):
        found += stream.feed(rng.randbytes(1000).replace(b"\x00", b"\x1a\xcf"))
        assert len(stream._buffer) <= MAX
    assert found
    assert all(isinstance(item, FrameError) for item in found)
