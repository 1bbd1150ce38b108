"""Faults of a class 2 transfer by name: limits, queues, files, hostile names: M4, M7, M8, M9."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from link_sim import Channel, LinkSim, LoseFirst, content, feed, pdus_of

from eo_nodes.link import (
    CfdpConfig,
    Condition,
    FaultHandler,
    PutRefusedError,
    TransactionId,
)
from eo_nodes.link.cfdp.pdus import (
    FileDataEncoder,
    Finished,
    Route,
    encode_eof,
    encode_metadata,
)


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
