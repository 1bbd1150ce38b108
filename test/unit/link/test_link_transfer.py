"""Class 2 transfers over a bad link: M1, M2, M3, M5, M6, M8, M9 and the basics of M4 and M7."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace
from types import MappingProxyType

import pytest
from link_sim import STEP_NS, Channel, LinkSim, S, frame_of, pdus_of

from eo_nodes.link import (
    CfdpConfig,
    Condition,
    FaultHandler,
    FileReceived,
    PutRefusedError,
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

KIB = 1024
SEGMENT = 1082


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


def limits(condition: Condition, handler: FaultHandler) -> CfdpConfig:
    return CfdpConfig(handlers=MappingProxyType({condition: handler}))


@pytest.mark.parametrize("handler", list(FaultHandler))
def test_m04_positive_ack_limit_has_a_named_fault_and_a_handler(handler):
    cfdp = limits(Condition.POSITIVE_ACK_LIMIT, handler)
    sim = LinkSim(up=Channel(loss=1.0), cfdp=cfdp)
    tid = sim.put("f", b"data")
    sim.run(13.0)  # 4 tries of 3 s
    (fault,) = sim.faults("space")
    assert (fault.transaction, fault.condition, fault.handler) == (
        tid,
        Condition.POSITIVE_ACK_LIMIT,
        handler,
    )
    states = [(q.state, q.is_suspended) for q in sim.space.queue()]
    assert states == {
        FaultHandler.CANCEL: [("cancelling", False)],
        FaultHandler.SUSPEND: [("await_eof_ack", True)],
        FaultHandler.IGNORE: [("await_eof_ack", False)],
        FaultHandler.ABANDON: [],
    }[handler]


def test_m04_nak_limit_and_inactivity_are_named_at_the_destination():
    sim = LinkSim()
    route = Route(TransactionId(1, 5), 2)
    feed(sim, encode_eof(route, Condition.NO_ERROR, 0, 9000))
    sim.kill("space")
    sim.run(31.0)
    conditions = [f.condition for f in sim.faults("ground")]
    assert conditions.count(Condition.INACTIVITY) == 1
    assert Condition.NAK_LIMIT in conditions


def test_m05_no_visibility_is_no_fault_and_costs_nothing():
    """Three passes, an hour of silence between them, cut in the middle of frames (F3)."""
    sim = LinkSim(records_sent=True)
    data = content(2_000_000)
    sim.put("f", data)
    for _ in range(2):
        sim.run(0.5)
        sim.los()
        sim.run(0.05)
        sim.now_ns += 3600 * S
        sim.aos()
    sim.run_idle()
    assert sim.received() == {"f": data}
    assert not sim.faults("space")
    assert not sim.faults("ground")
    sent = sum(map(len, sim.ends["space"].sent))
    assert sent <= 1.1 * len(data)


def test_m05_no_timer_runs_without_visibility():
    sim = LinkSim(up=Channel(loss=1.0))
    sim.put("f", content(5000))
    sim.run(1.0)
    assert sim.space.next_wake_ns(sim.now_ns) is not None
    sim.los()
    assert sim.space.next_wake_ns(sim.now_ns) is None
    sim.now_ns += 10_000 * S
    assert sim.space.poll(sim.now_ns, 10**6) == ([], [])
    sim.aos()
    sim.run(1.0)
    assert not sim.faults("space")


def test_m05_pdus_that_arrive_while_suspended_count_and_resume_sends_the_nak_owed():
    sim = LinkSim(down=Channel(lose=LoseFirst(FileData, 2)), records_sent=True)
    tid = sim.put("f", content(100_000))
    sim.run(0.03)
    sim.ground.suspend(tid, sim.now_ns)
    sim.run(20.0)  # the rest and EOF arrive; the gap is not asked for
    assert sim.ground.queue()[0].progress_bytes == 100_000 - 2 * SEGMENT
    sent = [p for d in sim.ends["ground"].sent for p in pdus_of(d)]
    assert not any(isinstance(p, Nak) for p in sent)
    assert any(isinstance(p, Ack) for p in sent)  # EOF is acknowledged in every state (M2)
    sim.ground.resume(tid, sim.now_ns)
    sim.run_idle()
    assert sim.received() == {"f": content(100_000)}


def test_m05_frames_that_arrive_after_los_count():
    sim = LinkSim(down=Channel(delay_ns=50_000_000))
    sim.put("f", content(20_000))
    sim.run(0.03)
    sim.los(loses_in_flight=False)
    sim.run(1.0)
    assert sim.ground.counters.hidden_pdus > 0
    sim.aos()
    sim.run_idle()
    assert sim.space.counters.file_bytes_repeated == 0
    assert sim.received() == {"f": content(20_000)}


@pytest.mark.parametrize("victim", ["space", "ground"])
@pytest.mark.parametrize("kill_s", [0.02, 0.2, 0.31, 0.6, 0.8, 1.02, 1.05, 1.09])
def test_m06_after_a_kill_at_most_one_checkpoint_is_sent_again(victim, kill_s):
    sim = LinkSim()
    data = content(1_000_000)
    tid = sim.put("f", data)
    sim.run(kill_s)
    counted = sim.space.counters.file_bytes_sent
    sim.kill(victim)
    sim._in_flight.clear()
    sim.los()
    sim.restart(victim)
    sim.aos()
    before = 0 if victim == "space" else counted
    sim.run_idle()
    sent = counted + sim.space.counters.file_bytes_sent - before
    in_flight = 20 * KIB
    assert sent <= len(data) + 256 * KIB + in_flight
    told = sim.of_kind("ground", FileReceived)
    assert {t.transaction for t in told} == {tid}
    assert sim.received() == {"f": data}
    assert sim.finished()[-1].is_complete


def test_m06_kill_between_rename_and_record_is_recognised():
    sim = LinkSim()
    sim.put("f", content(5000))
    ground = sim.ends["ground"]
    publish = ground.files.publish

    def publish_and_die(part: str, final: str) -> None:
        publish(part, final)
        raise KeyboardInterrupt

    ground.files.publish = publish_and_die
    with pytest.raises(KeyboardInterrupt):
        sim.run(1.0)
    ground.files.publish = publish
    sim.restart("ground")
    sim.run_idle()
    assert sim.received() == {"f": content(5000)}
    assert sim.finished()[0].is_complete
    assert sim.space.counters.file_bytes_repeated == 0


def test_m06_finished_is_told_again_when_its_ack_never_left():
    sim = LinkSim()
    tid = sim.put("f", content(5000))
    while not sim.finished():
        sim.step()
    # Killed in the step that told the user: the ACK may or may not have left.
    sim.kill("space")
    sim.restart("space")
    sim.run_idle()
    assert {f.transaction for f in sim.finished()} == {tid}


@pytest.mark.parametrize("end", ["space", "ground"])
def test_m06_cancel_ends_one_transaction_at_both_ends(end):
    sim = LinkSim()
    tid = sim.put("f", content(1_000_000))
    other = sim.put("g", content(30_000, 2), key=(1,))
    sim.run(0.2)
    (sim.space if end == "space" else sim.ground).cancel(tid, sim.now_ns)
    sim.run_idle()
    told = {f.transaction: (f.is_complete, f.condition) for f in sim.finished()}
    assert told[tid] == (False, Condition.CANCEL_REQUEST)
    assert told[other] == (True, Condition.NO_ERROR)
    assert [f.is_complete for f in sim.finished("ground")] == [False]
    assert sim.received() == {"g": content(30_000, 2)}
    assert list(sim.ends["ground"].files.files) == ["/ground/g"]


def test_m06_suspended_source_sends_nothing_until_resumed_even_after_a_restart():
    sim = LinkSim()
    tid = sim.put("f", content(500_000))
    sim.run(0.1)
    sim.space.suspend(tid, sim.now_ns)
    sim.restart("space")
    sim.run(5.0)
    assert sim.space.counters.file_bytes_sent == 0
    sim.space.resume(tid, sim.now_ns)
    sim.run_idle()
    assert sim.received() == {"f": content(500_000)}


def test_m07_a_full_queue_refuses_and_counts():
    sim = LinkSim(cfdp=CfdpConfig(max_queue=2), is_visible=False)
    sim.put("a", b"a")
    sim.put("b", b"b")
    with pytest.raises(PutRefusedError, match="queue_full"):
        sim.put("c", b"c")
    assert sim.space.counters.puts_refused == 1


def test_m07_open_incoming_transactions_are_limited_and_the_rest_comes_later():
    cfdp = CfdpConfig(max_open_receive=1)
    sim = LinkSim(cfdp=cfdp)
    sim.put("a", content(100_000))
    sim.run(0.05)
    sim.put("b", content(100_000, 2), key=(-1,))
    sim.run_until(lambda: len(sim.received()) == 2)
    assert sim.ground.counters.transactions_refused > 0


def test_m08_a_product_still_being_written_is_not_sent():
    sim = LinkSim()
    sim.ends["space"].files.add("/out/half", b"half")
    sim.ends["space"].files.unfinished.add("/out/half")
    with pytest.raises(PutRefusedError, match="file_incomplete"):
        sim.space.put("/out/half", "half", (0,), b"", 0)
    assert not sim.space.has_data()


def test_m08_source_is_deleted_only_after_finished_complete():
    sim = LinkSim(up=Channel(lose=LoseFirst(Finished, 1)), cfdp=CfdpConfig(is_source_deleted=True))
    sim.put("f", content(5000))
    files = sim.ends["space"].files.files
    while not sim.received():
        sim.step()
    sim.run(1.0)  # received, but the first Finished was lost
    assert "/out/f" in files
    sim.run_idle()
    assert "/out/f" not in files


def test_m08_source_is_kept_when_the_transfer_failed():
    sim = LinkSim(cfdp=CfdpConfig(is_source_deleted=True))
    tid = sim.put("f", content(500_000))
    sim.run(0.1)
    sim.ground.cancel(tid, sim.now_ns)
    sim.run_idle()
    assert "/out/f" in sim.ends["space"].files.files


def test_m08_file_that_shrinks_after_put_is_a_size_fault():
    sim = LinkSim(is_visible=False)
    sim.put("f", content(5000))
    del sim.ends["space"].files.files["/out/f"][2000:]
    sim.aos()
    sim.run_idle()
    assert [f.condition for f in sim.faults("space")] == [Condition.FILE_SIZE_ERROR]
    assert sim.received() == {}


HOSTILE = ["../x", "a/../../x", "/etc/passwd", "a//b", ".part/1-0.part", "", "a\\b", "C:x", "n\n"]


@pytest.mark.parametrize("name", HOSTILE)
def test_m09_names_that_leave_the_receive_root_are_rejected(name):
    sim = LinkSim(records_sent=True)
    route = Route(TransactionId(1, 5), 2)
    feed(sim, encode_metadata(route, 4, name, b""))
    feed(sim, FileDataEncoder(route).encode(0, b"evil"))
    feed(sim, encode_eof(route, Condition.NO_ERROR, 0, 4))
    sim.step()
    assert [f.condition for f in sim.faults("ground")] == [Condition.FILESTORE_REJECTION]
    assert sim.ends["ground"].files.files == {}
    finished = [p for d in sim.ends["ground"].sent for p in pdus_of(d) if isinstance(p, Finished)]
    assert finished[0].condition is Condition.FILESTORE_REJECTION


@pytest.mark.parametrize("name", HOSTILE)
def test_m09_such_names_are_not_even_put(name):
    sim = LinkSim()
    sim.ends["space"].files.add("/out/f", b"x")
    with pytest.raises(PutRefusedError, match="name"):
        sim.space.put("/out/f", name, (0,), b"", 0)


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


def test_m05_a_timer_keeps_what_remained_at_los():
    sim = LinkSim(up=Channel(loss=1.0))
    sim.put("f", content(5000))
    sim.run(11.0)  # four EOFs unanswered; the limit is due at 12 s
    sim.los()
    sim.now_ns += 3600 * S
    sim.aos()
    sim.run(0.5)
    assert not sim.faults("space")
    sim.run(3.0)
    assert [f.condition for f in sim.faults("space")] == [Condition.POSITIVE_ACK_LIMIT]
