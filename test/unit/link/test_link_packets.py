"""Space packets: octets against spacepackets, counts, and what a bad length costs."""

from __future__ import annotations

import pytest
from spacepackets.ccsds.spacepacket import PacketType, SequenceFlags, SpacePacketHeader

from eo_nodes.link import Apid, EndpointConfig, FrameRejected, LinkEndpoint, PacketReceived
from eo_nodes.link.errors import PacketError
from eo_nodes.link.frames import Direction, FrameEncoder
from eo_nodes.link.memory import MemoryFilestore, MemoryTransferStore
from eo_nodes.link.packets import PacketEncoder, iter_packets
from eo_nodes.link.sequences import SequenceTracker


@pytest.mark.parametrize(
    ("direction", "packet_type"),
    [(Direction.RETURN, PacketType.TM), (Direction.FORWARD, PacketType.TC)],
)
def test_packet_octets_equal_spacepackets(direction, packet_type):
    encoder = PacketEncoder(direction)
    for sequence in range(3):
        data = bytes(range(10 + sequence))
        header = SpacePacketHeader(packet_type, Apid.EVENT, sequence, len(data) - 1)
        assert encoder.encode(Apid.EVENT, data) == bytes(header.pack()) + data


def test_packets_of_spacepackets_are_read():
    header = SpacePacketHeader(
        PacketType.TM, 0x155, 16383, 3, seq_flags=SequenceFlags.UNSEGMENTED
    )
    (packet,) = iter_packets(memoryview(bytes(header.pack()) + b"data"))
    assert (packet.apid, packet.sequence, bytes(packet.data)) == (0x155, 16383, b"data")


def test_m11_sequence_count_is_14_bits_per_apid_and_wraps():
    encoder = PacketEncoder(Direction.RETURN)
    encoder._sequences[Apid.EVENT] = 16383
    raws = [encoder.encode(apid, b"x") for apid in (Apid.EVENT, Apid.EVENT, Apid.COMMAND)]
    assert [next(iter_packets(memoryview(r))).sequence for r in raws] == [16383, 0, 0]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (bytes(6), "short"),
        (bytes.fromhex("2010c0000000 00"), "version"),
        (bytes.fromhex("001080000000 00"), "segmented"),
        (bytes.fromhex("0010c0000001 00"), "length"),
    ],
)
def test_m10_bad_packets_are_named(raw, reason):
    with pytest.raises(PacketError) as caught:
        list(iter_packets(memoryview(raw)))
    assert caught.value.reason == reason


def test_m11_gaps_duplicates_and_wrap_are_counted():
    tracker = SequenceTracker(1 << 14)
    for sequence in (16381, 16382, 0, 1, 1, 5):
        tracker.observe(sequence)
    assert (tracker.gaps, tracker.duplicates) == (1 + 3, 1)


def test_m11_late_arrival_closes_its_gap():
    tracker = SequenceTracker(1 << 14)
    for sequence in (0, 2, 1, 1):
        tracker.observe(sequence)
    assert (tracker.gaps, tracker.duplicates) == (0, 1)


def test_m11_restart_of_the_peer_is_no_gap():
    tracker = SequenceTracker(1 << 14)
    for sequence in [*range(1000), *range(20)]:
        tracker.observe(sequence)
    assert (tracker.gaps, tracker.duplicates, tracker.resyncs) == (0, 0, 1)


def test_trap5_one_bad_length_costs_one_frame_only():
    """The peer's parser lost all that followed a bad length."""
    config = EndpointConfig(2, 1, "/ground", is_space=False)
    ground = LinkEndpoint(config, MemoryFilestore(), MemoryTransferStore())
    frames = FrameEncoder(1, Direction.RETURN, 1115)
    packets = PacketEncoder(Direction.RETURN)
    good = [packets.encode(Apid.EVENT, bytes([i])) for i in range(3)]
    bad = bytes.fromhex("0011c000ffff") + b"short"
    first = ground.receive(frames.encode(0, good[0] + bad + good[1]), 0)
    second = ground.receive(frames.encode(0, good[2]), 0)
    assert first == [PacketReceived(Apid.EVENT, b"\0", 0), FrameRejected("packet", "length")]
    assert second == [PacketReceived(Apid.EVENT, b"\2", 2)]
    assert ground.counters.packet_gaps == 1
    assert ground.counters.rejects["packet", "length"] == 1
