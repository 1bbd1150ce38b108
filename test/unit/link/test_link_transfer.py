"""Class 2 transfers over a bad link: the basics, M1, M2, M3."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from link_sim import KIB, SEGMENT, STEP_NS, Channel, LinkSim, LoseFirst, S, content, feed, pdus_of

from eo_nodes.link import (
    CfdpConfig,
    Condition,
    FileReceived,
    TransactionId,
    TransferFinished,
)
from eo_nodes.link.cfdp.pdus import (
    Ack,
    Eof,
    FileData,
    FileDataEncoder,
    Finished,
    Metadata,
    Nak,
    Prompt,
    Route,
    encode_eof,
    encode_metadata,
)


def test_file_name_and_metadata_arrive():
    sim = LinkSim()
    data = content(100_000)
    tid = sim.put("a/b.bin", data, meta={"product": "p1"})
    sim.run_idle()
    (told,) = sim.of_kind("ground", FileReceived)
    assert (told.transaction, told.path, told.name) == (tid, "/ground/a/b.bin", "a/b.bin")
    assert (told.metadata, told.size_bytes) == (b'{"product":"p1"}', 100_000)
    assert sim.received() == {"a/b.bin": data}
    assert sim.finished() == [TransferFinished(tid, "a/b.bin", True, Condition.NO_ERROR)]
    assert not sim.faults("space")
    assert not sim.faults("ground")


def test_both_directions_at_once_and_an_empty_file():
    sim = LinkSim(3, down=Channel(loss=0.1), up=Channel(loss=0.1))
    sim.put("down", content(50_000))
    sim.put("up", content(60_000, 2), end="ground")
    sim.put("empty", b"")
    sim.run_idle()
    assert sim.received("ground") == {"down": content(50_000), "empty": b""}
    assert sim.received("space") == {"up": content(60_000, 2)}


def test_m01_interleaved_transactions_never_touch_each_other():
    """Last segment first, two transactions in turns; the same content lengths (trap 2)."""
    sim = LinkSim()
    files = {10: content(20 * SEGMENT, 1), 11: content(20 * SEGMENT, 2)}
    encoders = {n: FileDataEncoder(Route(TransactionId(1, n), 2)) for n in files}
    for start in reversed(range(0, 20 * SEGMENT, SEGMENT)):
        for n, data in files.items():
            feed(sim, encoders[n].encode(start, data[start : start + SEGMENT]))
    for n, data in files.items():
        route = Route(TransactionId(1, n), 2)
        feed(sim, encode_eof(route, Condition.NO_ERROR, zlib.crc32(data), len(data)))
        feed(sim, encode_metadata(route, len(data), f"f{n}", b""))
    assert sim.received() == {"f10": files[10], "f11": files[11]}


def test_m01_sequence_numbers_survive_a_restart():
    sim = LinkSim()
    first = sim.put("a", b"a")
    sim.run_idle()
    sim.restart("space")
    assert sim.put("b", b"b") == TransactionId(1, first.sequence + 1)


def test_m01_pdus_of_a_foreign_entity_are_refused():
    sim = LinkSim()
    feed(sim, encode_metadata(Route(TransactionId(9, 0), 2), 5, "x", b""))
    feed(sim, encode_metadata(Route(TransactionId(1, 0), 9), 5, "x", b""))
    assert sim.ground.counters.rejects["pdu", "unknown_entity"] == 2
    assert sim.ground.queue() == []


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("end", "kind", "of_eof"),
    [
        ("space", Metadata, None),
        ("space", Eof, None),
        ("space", Prompt, None),
        ("space", Ack, False),
        ("ground", Ack, True),
        ("ground", Nak, None),
        ("ground", Finished, None),
    ],
)
def test_m02_each_directive_may_be_lost_once_and_twice(end, kind, of_eof, count):
    lose_data = iter(range(10**6))
    lose = LoseFirst(kind, count, of_eof=of_eof)

    def lose_down(datagram: bytes) -> bool:
        is_data = any(isinstance(pdu, FileData) for pdu in pdus_of(datagram))
        # Some file data goes too, so that NAK and Prompt happen at all.
        return (is_data and next(lose_data) in (3, 20, 21)) or (end == "space" and lose(datagram))

    sim = LinkSim(down=Channel(lose=lose_down), up=Channel(lose=lose if end == "ground" else None))
    sim.put("f", content(100_000))
    sim.run_idle()
    # What follows makes a second Prompt or ACK(EOF) needless; the loss of one is always met.
    assert lose.left == 0 if kind not in (Prompt, Ack) else lose.left < count
    assert sim.received() == {"f": content(100_000)}
    assert [f.is_complete for f in sim.finished()] == [True]


def test_m02_missing_metadata_is_asked_for_as_0_0():
    sim = LinkSim(down=Channel(lose=LoseFirst(Metadata, 1)), records_sent=True)
    sim.put("f", content(5000))
    sim.run_idle()
    naks = [p for d in sim.ends["ground"].sent for p in pdus_of(d) if isinstance(p, Nak)]
    assert naks[0].requests == ((0, 0),)
    assert sim.received() == {"f": content(5000)}


def test_m02_repeated_eof_is_acknowledged_after_closing_with_finished():
    sim = LinkSim(records_sent=True)
    sim.put("f", content(5000))
    sim.run_idle()
    eof = next(p for d in sim.ends["space"].sent for p in pdus_of(d) if isinstance(p, Eof))
    sim.restart("ground")  # also after a restart: what has closed is remembered
    sim.ends["ground"].sent.clear()
    feed(sim, encode_eof(eof.route, eof.condition, eof.checksum, eof.size_bytes))
    sim.step()
    answers = [p for d in sim.ends["ground"].sent for p in pdus_of(d)]
    assert answers == [
        Ack(eof.route, True, Condition.NO_ERROR, True),
        Finished(eof.route, Condition.NO_ERROR, True),
    ]


def test_m02_finished_repeats_until_acknowledged():
    sim = LinkSim(down=Channel(lose=LoseFirst(Ack, 3)), records_sent=True)
    sim.put("f", content(5000))
    sim.run_idle()
    sent = [p for d in sim.ends["ground"].sent for p in pdus_of(d) if isinstance(p, Finished)]
    assert len(sent) == 4
    assert len(sim.finished()) == 1


def test_m02_duplicates_change_nothing():
    sim = LinkSim(down=Channel(duplicate=1.0), up=Channel(duplicate=1.0))
    sim.put("f", content(50_000))
    sim.run_idle()
    assert len(sim.of_kind("ground", FileReceived)) == 1
    assert len(sim.finished()) == 1
    assert sim.ground.counters.file_bytes_new == 50_000


def test_m02_nak_traffic_stays_below_5_percent_when_frames_are_reordered():
    sim = LinkSim(4, down=Channel(duplicate=0.1, reorder=0.1))
    sim.put("a", content(300_000))
    sim.put("b", content(300_000, 2))
    sim.run_idle()
    assert sim.received() == {"a": content(300_000), "b": content(300_000, 2)}
    assert sim.ground.counters.nak_bytes_sent < 0.05 * 600_000


@pytest.mark.parametrize("loses", [False, True], ids=["gapless", "with gaps"])
def test_m03_checksum_is_recomputed_from_the_bytes_on_disk_on_every_path(loses):
    """Trap 1: one flipped payload bit on the gapless path ended as complete at both ends."""
    sim = LinkSim(2, down=Channel(loss=0.1 if loses else 0.0))
    files = sim.ends["ground"].files
    write = files.write

    def write_damaged(path: str, offset: int, data: bytes) -> None:
        damaged = bytearray(data)
        damaged[0] ^= 0x10 if offset == 5 * SEGMENT else 0
        write(path, offset, damaged)

    files.write = write_damaged
    sim.put("f", content(50_000))
    sim.run_idle()
    assert sim.received() == {}
    assert [f.condition for f in sim.faults("ground")] == [Condition.FILE_CHECKSUM_FAILURE]
    assert [f.is_complete for f in sim.finished()] == [False]
    assert "/ground/f" not in files.files
    assert files.files == {}  # the part file went too


def test_m03_part_file_is_renamed_only_when_complete():
    sim = LinkSim(down=Channel(lose=LoseFirst(FileData, 1)))
    sim.put("f", content(50_000))
    sim.run(0.03)
    assert list(sim.ends["ground"].files.files) == ["/ground/.part/1-0.part"]
    sim.run_idle()
    assert list(sim.ends["ground"].files.files) == ["/ground/f"]


def test_m03_sizes_that_disagree_are_a_fault():
    sim = LinkSim()
    route = Route(TransactionId(1, 5), 2)
    feed(sim, encode_metadata(route, 10, "f", b""))
    feed(sim, encode_eof(route, Condition.NO_ERROR, 0, 9))
    assert [f.condition for f in sim.faults("ground")] == [Condition.FILE_SIZE_ERROR]
    assert sim.received() == {}


def test_urgent_file_overtakes_and_priority_can_change():
    sim = LinkSim()
    low = sim.put("low", content(500_000), key=(5,))
    mid = sim.put("mid", content(200_000, 2), key=(4,))
    sim.run(0.05)
    sim.put("high", content(100_000, 3), key=(1, "x"))
    sim.space.reprioritise(low, (3,))
    assert [q.name for q in sim.space.queue() if q.is_outgoing] == ["high", "low", "mid"]
    sim.run_idle()
    assert [f.name for f in sim.of_kind("ground", FileReceived)] == ["high", "low", "mid"]
    assert mid in {f.transaction for f in sim.finished()}


def test_same_inputs_and_times_give_the_same_octets():
    def run() -> list[bytes]:
        sim = LinkSim(9, down=Channel(loss=0.1, reorder=0.1), records_sent=True)
        for i in range(4):
            sim.put(f"f{i}", content(40_000, i), key=(i % 2,))
        sim.run_idle()
        return sim.ends["space"].sent + sim.ends["ground"].sent

    assert run() == run()


def test_defaults_are_those_of_the_row():
    config = replace(CfdpConfig())
    assert (config.ack_timeout_ns, config.ack_limit) == (3 * S, 4)
    assert (config.inactivity_ns, config.checkpoint_bytes) == (30 * S, 256 * KIB)
    assert config.reorder_window_ns > STEP_NS
