"""When the lock-step lets time move: quiet, not quiet, late joiner, restart, stall."""

from eo_nodes.contracts.values import Idle
from eo_sim.lockstep import Lockstep

SETTLE_NS, STALL_NS = 100, 10_000


class Reporter:
    """A node that reports to a lock-step, for tests."""

    def __init__(self, lockstep, name, incarnation=1):
        self.lockstep, self.name, self.incarnation = lockstep, name, incarnation
        self.sequence = 0
        self.sent, self.received = {}, {}

    def report(self, at_ns, wake_ns=0):
        self.sequence += 1
        self.lockstep.on_idle(
            Idle(
                node=self.name,
                incarnation=self.incarnation,
                sequence=self.sequence,
                wake_ns=wake_ns,
                sent_topics=tuple(self.sent),
                sent=tuple(self.sent.values()),
                received_topics=tuple(self.received),
                received=tuple(self.received.values()),
            ),
            at_ns,
        )


def pair(start_ns=1000):
    """A lock-step with two nodes, settled: `a` speaks on /x, `b` listens; next wake 1500."""
    lockstep = Lockstep(
        frozenset(("a", "b")), start_ns, settle_ns=SETTLE_NS, stall_ns=STALL_NS
    )  # fmt: skip
    a, b = Reporter(lockstep, "a"), Reporter(lockstep, "b")
    a.sent, b.received = {"/x": 0}, {"/x": 0}
    a.report(0, wake_ns=1500)
    b.report(0)
    assert lockstep.poll(SETTLE_NS) == 1500
    return lockstep, a, b


def test_time_waits_for_every_expected_node():
    lockstep = Lockstep(frozenset(("a", "b")), 1000, settle_ns=SETTLE_NS)
    Reporter(lockstep, "a").report(0, wake_ns=2000)
    assert lockstep.poll(10**12) is None
    assert lockstep.missing() == ["b"]


def test_time_waits_until_reports_have_settled():
    lockstep = Lockstep(frozenset("a"), 1000, settle_ns=SETTLE_NS)
    Reporter(lockstep, "a").report(50, wake_ns=2000)
    assert lockstep.poll(50 + SETTLE_NS - 1) is None
    assert lockstep.poll(50 + SETTLE_NS) == 2000


def test_quiet_graph_moves_to_the_earliest_wake_up():
    lockstep, _, b = pair()
    b.report(200, wake_ns=1200)
    assert lockstep.poll(201) == 1200


def test_quiet_graph_without_wake_ups_says_so():
    lockstep, a, _ = pair()
    a.report(200, wake_ns=0)
    assert lockstep.poll(201) == 0


def test_message_under_way_holds_time():
    lockstep, a, b = pair()
    a.sent["/x"] = 1
    a.report(200, wake_ns=1500)
    assert lockstep.poll(201) is None
    assert lockstep.awaited() == ["b lacks 1 of /x"]
    b.received["/x"] = 1
    b.report(202)
    assert lockstep.poll(203) == 1500


def test_every_listener_must_have_every_message():
    lockstep, a, b = pair()
    c = Reporter(lockstep, "c")
    c.received = {"/x": 0}
    c.report(150)
    assert lockstep.poll(150 + SETTLE_NS) == 1500
    a.sent["/x"] = b.received["/x"] = 1
    a.report(300, wake_ns=1500)
    b.report(301)
    assert lockstep.poll(302) is None
    assert lockstep.awaited() == ["c lacks 1 of /x"]


def test_wake_up_that_is_due_holds_time_until_it_ran():
    lockstep, a, _ = pair()
    lockstep.advance(1500)
    assert lockstep.poll(300) is None
    a.report(301, wake_ns=1800)
    assert lockstep.poll(302) == 1800


def test_older_report_does_not_undo_a_newer_one():
    lockstep, a, _ = pair()
    a.report(200, wake_ns=1900)
    a.sequence = 0
    a.report(201, wake_ns=1100)
    assert lockstep.poll(202) == 1900


def test_report_of_a_dead_incarnation_is_ignored():
    lockstep, a, _ = pair()
    again = Reporter(lockstep, "a", incarnation=2)
    again.sent = {"/x": 0}
    again.report(200, wake_ns=1700)
    a.report(201, wake_ns=1100)
    assert lockstep.poll(200 + SETTLE_NS) == 1700


def test_late_joiner_is_not_expected_to_have_what_was_said_before():
    lockstep, a, b = pair()
    a.sent["/x"] = b.received["/x"] = 5
    a.report(200, wake_ns=1500)
    b.report(200)
    late = Reporter(lockstep, "late")
    late.received = {"/x": 0}
    late.report(210)
    assert lockstep.poll(220) is None
    assert lockstep.poll(210 + SETTLE_NS) == 1500
    a.sent["/x"] = b.received["/x"] = 6
    a.report(400, wake_ns=1500)
    b.report(400)
    assert lockstep.awaited() == ["late lacks 1 of /x"]


def test_m18_restarted_node_gets_a_baseline_and_old_messages_still_count():
    lockstep, a, b = pair()
    a.sent["/x"] = b.received["/x"] = 3
    a.report(200, wake_ns=1500)
    b.report(200)
    again = Reporter(lockstep, "a", incarnation=2)
    again.sent = {"/x": 0}
    again.report(300, wake_ns=1600)
    assert lockstep.poll(300 + SETTLE_NS) == 1600
    again.sent["/x"] = 1
    again.report(500, wake_ns=1600)
    assert lockstep.awaited() == ["b lacks 1 of /x"]


def test_m18_message_a_killed_node_sent_without_reporting_hides_no_later_one():
    lockstep, _, b = pair()
    b.received["/x"] = 1  # sent by a, which was killed before it could report
    b.report(200)
    again = Reporter(lockstep, "a", incarnation=2)
    again.sent = {"/x": 0}
    again.report(300, wake_ns=1600)
    assert lockstep.poll(300 + SETTLE_NS) == 1600
    again.sent["/x"] = 1
    again.report(500, wake_ns=1600)
    assert lockstep.poll(501) is None


def test_stall_gives_up_messages_that_never_arrive():
    lockstep, a, _ = pair()
    a.sent["/x"] = 1
    a.report(200, wake_ns=1500)
    assert lockstep.poll(200 + STALL_NS - 1) is None
    assert lockstep.poll(200 + STALL_NS) is None
    assert lockstep.poll(201 + STALL_NS) == 1500
    assert (lockstep.report.stalls, lockstep.report.missing) == (1, ["b lacks 1 of /x"])


def test_stall_goes_on_without_a_node_that_died_for_good():
    lockstep, _, b = pair()
    b.report(150, wake_ns=1900)
    lockstep.advance(1500)  # a never runs its wake-up
    assert lockstep.poll(150 + STALL_NS) is None
    assert lockstep.poll(151 + STALL_NS) == 1900
    assert lockstep.report.stalls == 1


def test_time_never_goes_back():
    lockstep, _, _ = pair()
    lockstep.advance(1500)
    lockstep.advance(1200)
    assert lockstep.now_ns == 1500
