"""What was found wrong in another implementation, as regressions on ours (traps 1 and 5: see
test_link_transfer.py::test_m03_... and test_link_packets.py::test_trap5_...)."""

from __future__ import annotations

import random
import time

import pytest
from link_sim import Channel, LinkSim, S, frame_of

from eo_nodes.contracts.errors import StorageError
from eo_nodes.link import Condition, FilestoreError, LinkEndpoint
from eo_nodes.link.cfdp.pdus import FileDataEncoder, Route, encode_metadata


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def test_trap2_two_lossy_transfers_at_once_share_no_list_of_gaps():
    sim = LinkSim(11, down=Channel(loss=0.2))
    sim.put("a", content(200_000, 1))
    sim.run(0.1)
    sim.put("b", content(200_000, 2), key=(-1,))  # overtakes: both are open and have gaps
    sim.run_idle()
    assert sim.received() == {"a": content(200_000, 1), "b": content(200_000, 2)}


def test_trap3_the_wall_clock_plays_no_part(monkeypatch):
    def forbidden() -> float:
        raise AssertionError("a core asked for the time")

    for name in ("time", "monotonic", "time_ns", "monotonic_ns", "perf_counter"):
        monkeypatch.setattr(time, name, forbidden)
    sim = LinkSim(1, down=Channel(loss=0.1))
    sim.put("f", content(30_000))
    sim.run_idle()
    monkeypatch.undo()
    assert sim.received() == {"f": content(30_000)}


def test_trap3_silence_of_the_peer_is_noticed():
    sim = LinkSim()
    sim.put("f", content(500_000))
    sim.run(0.1)
    sim.kill("space")
    sim.run(31.0)
    assert [f.condition for f in sim.faults("ground")] == [Condition.INACTIVITY]
    sim.restart("space")
    sim.run_idle()
    assert sim.received() == {"f": content(500_000)}


def test_trap4_full_disk_is_a_fault_at_both_ends_and_the_next_file_arrives():
    sim = LinkSim()
    files = sim.ends["ground"].files
    write = files.write

    def full(path: str, offset: int, data: bytes) -> None:
        raise FilestoreError("no space left")

    files.write = full
    sim.put("a", content(20_000))
    sim.run(1.0)
    files.write = write
    sim.put("b", content(20_000, 2))
    sim.run_idle()
    assert [f.condition for f in sim.faults("ground")] == [Condition.FILESTORE_REJECTION]
    assert [(f.name, f.is_complete) for f in sim.finished()] == [("a", False), ("b", True)]
    assert sim.received() == {"b": content(20_000, 2)}


@pytest.mark.parametrize("restarts", [False, True])
def test_trap4_a_replayed_pass_does_not_rebuild_the_file(restarts):
    sim = LinkSim(records_sent=True)
    sim.put("f", content(50_000))
    sim.run_idle()
    files = sim.ends["ground"].files
    files.remove("/ground/f")  # its user took it away
    if restarts:
        sim.restart("ground")
    for datagram in sim.ends["space"].sent:
        sim.ends["ground"].indications += sim.ground.receive(datagram, sim.now_ns)
    sim.run_idle()
    assert files.files == {}
    assert sim.ground.counters.files_delivered == (0 if restarts else 1)


def test_trap5_a_lost_ack_of_eof_does_not_end_a_finished_transfer():
    lost = [0]

    def lose_first_up(_: bytes) -> bool:
        lost[0] += 1
        return lost[0] == 1

    sim = LinkSim(up=Channel(lose=lose_first_up))
    sim.put("f", content(5000))
    sim.run_idle(limit_s=10)
    assert sim.finished()[0].is_complete


def test_trap5_loss_duplication_and_reordering_of_10_percent_end_complete():
    sim = LinkSim(
        21,
        down=Channel(loss=0.1, duplicate=0.1, reorder=0.1),
        up=Channel(loss=0.1, duplicate=0.1, reorder=0.1),
    )
    for i in range(5):
        sim.put(f"f{i}", content(60_000, i))
    sim.run_idle()
    assert sim.received() == {f"f{i}": content(60_000, i) for i in range(5)}
    assert not sim.faults("space")


def test_damaged_transfer_record_costs_its_own_transaction_only():
    sim = LinkSim(is_visible=False)
    sim.put("a", content(5000))
    sim.put("b", content(5000, 2))
    sim.ends["space"].store.rows["src:0"] = '{"path": 5}'
    sim.restart("space")
    sim.aos()
    sim.run_idle()
    assert sim.received() == {"b": content(5000, 2)}
    assert sim.space.counters.faults["transfer_record"] == 1


def test_stored_state_that_cannot_be_written_is_counted_and_the_transfer_ends():
    sim = LinkSim()
    sim.put("f", content(600_000))

    def refuse(*_: object) -> None:
        raise StorageError("disk full")

    for end in sim.ends.values():
        end.store.save = refuse
        end.store.delete = refuse
    sim.run_idle()
    assert sim.received() == {"f": content(600_000)}
    assert sim.ground.counters.faults["transfer_store"] > 0


def test_hostile_offsets_stay_within_the_announced_size():
    sim = LinkSim()
    route = Route(sim.put("x", b"x"), 2)
    ground: LinkEndpoint = sim.ground
    ground.receive(frame_of(encode_metadata(route, 10, "f", b"")), S)
    got = ground.receive(frame_of(FileDataEncoder(route).encode(0xFFFFFF00, b"data")), S)
    assert got[0].condition is Condition.FILE_SIZE_ERROR
    assert sim.ends["ground"].files.files == {}
