"""Loss of signal and kills in a class 2 transfer: M5, M6."""

from __future__ import annotations

import pytest
from link_sim import KIB, SEGMENT, Channel, LinkSim, LoseFirst, S, content, pdus_of

from eo_nodes.link import (
    Condition,
    FileReceived,
)
from eo_nodes.link.cfdp.pdus import (
    Ack,
    FileData,
    Nak,
)


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
