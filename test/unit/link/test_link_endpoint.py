"""Endpoint: order of sending, budget, visibility, counters, rejects."""

from __future__ import annotations

import pytest
from link_sim import LinkSim, S

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.link import (
    Apid,
    EndpointConfig,
    FrameRejected,
    LinkEndpoint,
    PacketReceived,
    PacketRefusedError,
    TransactionId,
    UnknownTransactionError,
)
from eo_nodes.link.frames import VirtualChannel, decode_frame
from eo_nodes.link.memory import MemoryFilestore, MemoryTransferStore


def space(**changes) -> LinkEndpoint:
    config = EndpointConfig(1, 2, "/space", is_space=True, **changes)
    return LinkEndpoint(config, MemoryFilestore(), MemoryTransferStore())


def ground(**changes) -> LinkEndpoint:
    config = EndpointConfig(2, 1, "/ground", is_space=False, **changes)
    return LinkEndpoint(config, MemoryFilestore(), MemoryTransferStore())


def channels(datagrams: list[bytes]) -> list[int]:
    return [decode_frame(d, 1115).channel for d in datagrams]


def test_order_of_sending_is_urgent_directives_files_background():
    sim = LinkSim()
    sim.space.send_packet(Apid.HOUSEKEEPING, b"hk", 0)
    sim.put("f", bytes(3000))
    sim.space.send_packet(Apid.EVENT, b"event", 0)
    sent, _ = sim.space.poll(0, 10**6)
    vc = VirtualChannel
    # Metadata, three segments, EOF as soon as it is owed, then housekeeping.
    assert channels(sent) == [vc.PACKETS, *[vc.FILE_DATA] * 4, vc.DIRECTIVES, vc.BACKGROUND]


def test_background_packet_that_waited_goes_before_file_data():
    sim = LinkSim()
    sim.space.send_packet(Apid.HOUSEKEEPING, b"hk", 0)
    sim.put("f", bytes(10_000))
    sent, _ = sim.space.poll(5 * S, 1115)
    assert channels(sent) == [VirtualChannel.BACKGROUND]


def test_small_packets_share_a_frame_and_arrive_in_order():
    sim = LinkSim()
    for i in range(50):
        sim.ground.send_packet(Apid.COMMAND, bytes([i]) * 10, 0)
    sent, _ = sim.ground.poll(0, 10**6)
    assert len(sent) == 1
    got = sim.space.receive(sent[0], 0)
    assert got == [PacketReceived(Apid.COMMAND, bytes([i]) * 10, i) for i in range(50)]


def test_budget_is_never_exceeded_and_below_one_frame_nothing_is_sent():
    sim = LinkSim()
    sim.put("f", bytes(100_000))
    assert sim.space.poll(0, 1114)[0] == []
    for budget in (1115, 5000, 12_345):
        sent, _ = sim.space.poll(0, budget)
        assert 0 < sum(map(len, sent)) <= budget


def test_nothing_is_sent_before_aos_and_after_los():
    end = space()
    end.send_packet(Apid.EVENT, b"e", 0)
    assert end.has_data()
    assert end.poll(0, 10**6) == ([], [])
    end.on_aos(0, 1e6)
    end.on_los(1)
    assert end.poll(2, 10**6) == ([], [])
    end.on_aos(3, 1e6)
    assert len(end.poll(4, 10**6)[0]) == 1
    assert not end.has_data()


def test_m07_full_packet_queue_drops_the_oldest_and_counts():
    end = space(max_packet_queue=2)
    for i in range(3):
        end.send_packet(Apid.EVENT, bytes([i]), 0)
    end.on_aos(0, 1e6)
    got = ground().receive(end.poll(0, 10**6)[0][0], 0)
    assert [i.data for i in got] == [b"\1", b"\2"]
    assert end.counters.packets_dropped == 1


@pytest.mark.parametrize("apid", [Apid.CFDP, 0x7FF, -1, 0x800])
def test_apids_of_the_link_cannot_be_used(apid):
    with pytest.raises(PacketRefusedError):
        space().send_packet(apid, b"x", 0)


def test_packet_size_limits():
    end = space()
    end.send_packet(Apid.EVENT, bytes(end.max_packet_bytes), 0)
    for size in (0, end.max_packet_bytes + 1):
        with pytest.raises(PacketRefusedError):
            end.send_packet(Apid.EVENT, bytes(size), 0)
    end.on_aos(0, 1e6)
    assert [len(d) for d in end.poll(0, 10**6)[0]] == [1115]


def test_m10_bad_datagrams_are_counted_never_raised():
    end = ground()
    assert end.receive(b"", 0) == [FrameRejected("frame", "short")]
    assert end.receive(bytes(5000), 0) == [FrameRejected("frame", "long")]
    assert end.receive(bytes(100), 0) == [FrameRejected("frame", "sync")]
    assert sum(end.counters.rejects.values()) == 3


def test_frames_of_others_and_our_own_echo_are_refused():
    end = space()
    end.send_packet(Apid.EVENT, b"e", 0)
    end.on_aos(0, 1e6)
    (datagram,) = end.poll(0, 10**6)[0]
    assert end.receive(datagram, 0) == [FrameRejected("frame", "direction")]
    assert ground(spacecraft_id=2).receive(datagram, 0) == [FrameRejected("frame", "spacecraft")]


def test_m11_lost_and_doubled_frames_are_counted():
    end, peer = space(), ground()
    end.on_aos(0, 1e6)
    sent = []
    for i in range(10):
        end.send_packet(Apid.EVENT, bytes([i]), 0)
        sent += end.poll(0, 10**6)[0]
    for i in (0, 1, 4, 5, 5, 6, 7, 8, 9):
        peer.receive(sent[i], 0)
    assert (peer.counters.frame_gaps, peer.counters.frame_duplicates) == (2, 1)
    assert (peer.counters.packet_gaps, peer.counters.packet_duplicates) == (2, 1)


@pytest.mark.parametrize("command", ["cancel", "suspend", "resume"])
def test_commands_to_unknown_transactions_are_refused(command):
    with pytest.raises(UnknownTransactionError):
        getattr(space(), command)(TransactionId(1, 99), 0)
    with pytest.raises(UnknownTransactionError):
        getattr(space(), command)(TransactionId(2, 99), 0)


@pytest.mark.parametrize(
    "changes",
    [{"local_id": 0}, {"remote_id": 1}, {"spacecraft_id": 256}, {"max_frame_bytes": 100}],
)
def test_impossible_settings_are_refused(changes):
    values = {"local_id": 1, "remote_id": 2, "receive_root": "/r", "is_space": True, **changes}
    with pytest.raises(ConfigError):
        EndpointConfig(**values)


def test_next_wake_is_the_timer_that_repeats_eof():
    sim = LinkSim()
    sim.put("f", b"x")
    assert sim.space.next_wake_ns(0) is None
    sim.space.poll(0, 10**6)
    wake_ns = sim.space.next_wake_ns(0)
    assert 3 * S <= wake_ns < 3.1 * S
    again, _ = sim.space.poll(wake_ns, 10**6)
    assert len(again) == 1
