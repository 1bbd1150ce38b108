"""Lock-step with real nodes and DDS: the same trace whatever the order in which things happen."""

import pytest

from eo_nodes.contracts.values import Tap, Verdict

DOMAIN = 140
START_NS = 1_787_897_280_000_000_000
ROUNDS = 6


def make_players():
    """Two nodes that play ping-pong with jobs and timers; every step goes to a common trace."""
    from eo_nodes.nodes.base import EoNode

    class Player(EoNode):
        trace: list

        def note(self, what):
            self.trace.append((self.now_ns() - START_NS, self.get_name(), what))

    class Ping(Player):
        def __init__(self, **options):
            super().__init__("ping", **options)

        def configure(self):
            self.count = 0
            self.speak("tap")
            self.listen("verdict", lambda v: self.note(f"verdict {v.attempt}"))

        def activate(self):
            self.after(1.0, self.serve)

        def serve(self):
            self.count += 1
            self.note(f"serve {self.count}")
            # Two at once: they stay in order, and the second waits for the first one's job.
            for part in (1, 2):
                self.publish("tap", Tap(request_id="r", attempt=10 * self.count + part, stage=1))
            if self.count < ROUNDS:
                self.after(0.7, self.serve)

    class Pong(Player):
        def __init__(self, **options):
            super().__init__("pong", **options)

        def configure(self):
            self.speak("verdict")
            self.listen("tap", self.on_tap)

        def on_tap(self, tap):
            self.note(f"tap {tap.attempt}")

            def then(result):
                self.note(f"done {result}")
                self.publish("verdict", Verdict(request_id="r", attempt=result, stage=1))

            self.compute("think", str(tap.attempt), lambda: tap.attempt, then, failed=print)

    return Ping, Pong


def play(bench, *, clock_first, **parameters):
    """Run the game to its end of simulated time; return the trace and the lock-step's report."""
    from eo_sim.lockstep import Lockstep
    from eo_sim.nodes.orbit_clock_node import Clockwork, OrbitClock

    trace = []
    expected = frozenset(f"{bench.domain}:/test/{name}" for name in ("ping", "pong"))
    lockstep = Lockstep(expected, START_NS, settle_ns=50_000_000)
    clockwork = Clockwork(lockstep, START_NS, START_NS + 20 * 10**9, 0.0)

    def clock():
        node = bench.make(lambda **options: OrbitClock(clockwork, **without_overrides(options)))
        assert bench.configure(node) and bench.activate(node)

    if clock_first:
        clock()
    players = list(make_players())
    for cls in players if clock_first else reversed(players):
        node = bench.make(
            cls, lockstep=True, use_sim_time=True, compute_mode="fixed",
            compute_fixed_ms=parameters.get("job_ms", 50.0),
        )  # fmt: skip
        node.trace = trace
        assert bench.configure(node) and bench.activate(node)
    if not clock_first:
        clock()
    bench.until(clockwork.finished.is_set, "end of simulated time", wait_s=30.0)
    return trace, lockstep.report


def without_overrides(options):
    """The clock sets its own parameters."""
    return {key: value for key, value in options.items() if key != "parameter_overrides"}


def expected_trace(job_s):
    """What the game is by hand: serves every 0.7 s, two jobs one after the other."""
    steps = []
    for number in range(1, ROUNDS + 1):
        at_s = 1.0 + 0.7 * (number - 1)
        first, second = 10 * number + 1, 10 * number + 2
        steps += [
            (at_s, "ping", f"serve {number}"),
            (at_s, "pong", f"tap {first}"),
            (at_s, "pong", f"tap {second}"),
            (at_s + job_s, "pong", f"done {first}"),
            (at_s + job_s, "ping", f"verdict {first}"),
            (at_s + 2 * job_s, "pong", f"done {second}"),
            (at_s + 2 * job_s, "ping", f"verdict {second}"),
        ]
    return [(round(at_s * 1e9), name, what) for at_s, name, what in steps]


def test_same_game_twice_gives_the_same_trace_to_the_ns(bench_of):
    first, report = play(bench_of(DOMAIN), clock_first=True)
    second, _ = play(bench_of(DOMAIN + 10), clock_first=False)
    assert first == second
    assert first == expected_trace(0.05)
    assert report.stalls == 0


def test_job_lasts_as_long_in_simulated_time_as_it_is_said_to(bench_of):
    trace, _ = play(bench_of(DOMAIN), clock_first=True, job_ms=130.0)
    assert trace == expected_trace(0.13)


def test_time_stands_still_while_a_node_is_missing(bench_of):
    from eo_sim.lockstep import Lockstep
    from eo_sim.nodes.orbit_clock_node import Clockwork, OrbitClock

    bench = bench_of(DOMAIN)
    expected = frozenset(f"{bench.domain}:/test/{name}" for name in ("ping", "absent"))
    lockstep = Lockstep(expected, START_NS, settle_ns=1_000_000)
    clockwork = Clockwork(lockstep, START_NS, 0, 0.0)
    clock = bench.make(lambda **options: OrbitClock(clockwork, **without_overrides(options)))
    assert bench.configure(clock) and bench.activate(clock)
    ping = bench.make(make_players()[0], lockstep=True, use_sim_time=True)
    ping.trace = []
    assert bench.configure(ping) and bench.activate(ping)
    bench.until(lambda: lockstep.missing() == [f"{bench.domain}:/test/absent"], "ping's report")
    for _ in range(50):
        bench.executor.spin_once(timeout_sec=0.02)
    assert clockwork.now_ns == START_NS
    assert ping.trace == []


@pytest.mark.parametrize("steps", [3])
def test_paused_clock_moves_by_granted_steps_only(bench_of, steps):
    from eo_sim.lockstep import Lockstep
    from eo_sim.nodes.orbit_clock_node import Clockwork, OrbitClock

    bench = bench_of(DOMAIN)
    lockstep = Lockstep(frozenset({f"{bench.domain}:/test/ping"}), START_NS, settle_ns=1_000_000)
    clockwork = Clockwork(lockstep, START_NS, 0, 0.0)
    clockwork.paused = True
    clock = bench.make(lambda **options: OrbitClock(clockwork, **without_overrides(options)))
    assert bench.configure(clock) and bench.activate(clock)
    ping = bench.make(make_players()[0], lockstep=True, use_sim_time=True)
    ping.trace = []
    assert bench.configure(ping) and bench.activate(ping)
    for number in range(steps):
        before = lockstep.report.steps
        clockwork.grant_step()
        bench.until(lambda b=before: lockstep.report.steps > b, f"step {number + 1}")
        for _ in range(10):
            bench.executor.spin_once(timeout_sec=0.02)
        assert lockstep.report.steps == before + 1
    assert [what for _, _, what in ping.trace] == ["serve 1", "serve 2", "serve 3"]


def test_node_is_never_behind_the_stamp_of_a_message(bench_of):
    """A message may come before the tick of the clock at which it was sent."""
    from rosgraph_msgs.msg import Clock

    bench = bench_of(DOMAIN)
    _, pong_class = make_players()
    pong = bench.make(pong_class, use_sim_time=True)
    pong.trace = []
    assert bench.configure(pong) and bench.activate(pong)
    clock = Clock()
    clock.clock.sec, clock.clock.nanosec = divmod(START_NS, 10**9)
    bench.until(
        lambda: bench.say("/clock", clock) or pong.now_ns() == START_NS, "the clock at the node"
    )
    bench.say("tap", Tap(request_id="r", attempt=1, stage=1, stamp_ns=START_NS + 5 * 10**9))
    bench.until(lambda: pong.trace, "the tap")
    assert pong.trace[0] == (5 * 10**9, "pong", "tap 1")
