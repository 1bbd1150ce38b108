"""Two satellites over the same stations: an antenna points at one of them, in plan and in truth."""

import itertools
import json
import socket

import pytest

from eo_nodes.contracts import modem

SPACE, OTHER = 100, 110
S_NS = 10**9
START_NS = 1_787_896_800 * S_NS  # 2026-08-28 06:00 UTC
# From 582 s to 907 s after it both stand above Inuvik; it points at Sentinel-2A, then at SkyBee-1.
FLEET = ("skybee_1", "sentinel_2a")
STATIONS = ["inuvik", "svalbard"]
SHARED = {"stations": STATIONS, "fleet": list(FLEET), "use_sim_time": True}


class End:
    """The socket of a node at one end of a link."""

    def __init__(self, port, modem_port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", port))
        self.modem = ("127.0.0.1", modem_port)
        self.states, self.frames = [], []

    def send(self, frame):
        self.socket.sendto(frame, self.modem)

    def take(self):
        while True:
            try:
                datagram = self.socket.recv(65535)
            except BlockingIOError:
                return
            if modem.is_status(datagram):
                self.states.append(modem.unpack_status(datagram))
            else:
                self.frames.append(datagram)


def tick(bench, now_ns):
    """Say the time in a domain; best effort, so it is said again and again."""
    from rosgraph_msgs.msg import Clock

    message = Clock()
    message.clock.sec, message.clock.nanosec = divmod(now_ns, S_NS)
    bench.speakers["/clock"].publish(message)


class Sky:
    """Two emulators, each in a domain of its own, and the time that the test tells them."""

    def __init__(self, bench_of, free_port):
        from eo_sim.nodes.link_emulator_node import LinkEmulator

        self.now_ns = 0
        self.ends = []
        self.benches = [bench_of(SPACE), bench_of(OTHER)]
        for name, bench in zip(FLEET, self.benches, strict=True):
            port = {key: free_port() for key in (
                "space_port", "space_node_port", "ground_port", "ground_node_port",
            )}  # fmt: skip
            bench.space = End(port["space_node_port"], port["space_port"])
            bench.ground = End(port["ground_node_port"], port["ground_port"])
            self.ends += [bench.space, bench.ground]
            node = bench.start(
                LinkEmulator, satellite=name, space_segment=name, **port, **SHARED
            )
            node.time_source = lambda: self.now_ns
            bench.speaker("/clock")

    def tell(self, seconds):
        """Set the time, s after the start."""
        self.now_ns = START_NS + round(seconds * S_NS)

    def until(self, predicate, what):
        def step():
            for bench in self.benches:
                tick(bench, self.now_ns)
                bench.executor.spin_once(timeout_sec=0.002)
            for end in self.ends:
                end.take()
            return predicate()

        return self.benches[0].until(step, what, wait_s=20.0)

    def counts(self, key):
        """Frames of the emulators' log, by satellite."""
        sums = dict.fromkeys(FLEET, 0)
        log = self.benches[0].folder / "test" / "frames_emulator.jsonl"
        for line in log.read_text().splitlines():
            row = json.loads(line)
            sums[row["segment"]] += row[key]
        return sums

    def close(self):
        for end in self.ends:
            end.socket.close()


@pytest.fixture
def sky(bench_of, free_port):
    made = Sky(bench_of, free_port)
    yield made
    made.close()


def said(end):
    """Stations that an end was told of, empty for no contact, repeats left out."""
    stations = [state.station if state.locked else "" for state in end.states]
    return [one for one, _ in itertools.groupby(stations)]


def test_no_frame_passes_while_the_antenna_points_at_the_other(sky):
    low, high = sky.benches
    sky.tell(700)
    sky.until(lambda: all(end.states for end in sky.ends), "the first state at every end")
    for end in sky.ends:
        for _ in range(5):
            end.send(b"frame")

    sky.until(lambda: sum(sky.counts("offered").values()) == 20, "all frames in the log")
    assert sky.counts("sent") == {"skybee_1": 0, "sentinel_2a": 10}
    sky.tell(701)
    sky.until(lambda: len(high.space.frames) == len(high.ground.frames) == 5, "frames both ways")
    sky.tell(720)
    sky.until(lambda: high.space.states[-1].stamp_ns == sky.now_ns, "a state later on")
    assert low.ground.frames == low.space.frames == []
    assert said(low.space) == said(low.ground) == [""]
    assert said(high.space) == said(high.ground) == ["inuvik"]


def test_the_antenna_turns_from_one_to_the_other_with_a_handover_between(sky):
    low, high = sky.benches
    for second, first, other in (
        (906.0, "", "inuvik"), (907.1, "", ""), (911.9, "", ""), (912.1, "inuvik", "svalbard"),
    ):  # fmt: skip
        sky.tell(second)
        sky.until(
            lambda a=first, b=other: (said(low.space)[-1:], said(high.space)[-1:]) == ([a], [b]),
            f"{first!r} and {other!r} at {second} s",
        )
    assert said(low.space) == said(low.ground) == ["", "inuvik"]
    assert said(high.space) == said(high.ground) == ["inuvik", "", "svalbard"]
    sky.tell(913)
    low.space.send(b"down")
    sky.until(lambda: sky.counts("sent")["skybee_1"], "the first frame of the one that waited")
    sky.tell(914)
    sky.until(lambda: low.ground.frames, "its arrival")
    sky.tell(1136)  # it has set
    sky.until(lambda: said(low.space)[-1] == "", "its LOS")


def planned(bench, at_s, **parameters):
    """Plan made by a planner whose clock says so many s after the start."""
    from eo_nodes.nodes.contact_planner_node import ContactPlanner

    plans = bench.hear("contact_plan")
    bench.start(ContactPlanner, stations=STATIONS, use_sim_time=True, **parameters)
    bench.speaker("/clock")

    def plan():
        tick(bench, START_NS + at_s * S_NS)
        return plans

    return bench.until(plan, "a plan")[-1]


def test_planners_of_all_segments_come_to_one_assignment(bench_of):
    fleet = list(FLEET)
    on_board = planned(bench_of(SPACE), 0, satellite=FLEET[0], fleet=fleet)
    ground = planned(bench_of(SPACE + 20), 4000, satellite=FLEET[0], fleet=fleet[::-1])
    other = planned(bench_of(OTHER), 0, satellite=FLEET[1], fleet=fleet)
    alone = planned(bench_of(OTHER + 20), 0, satellite=FLEET[0])
    # The windows begin more than an hour apart; what lies inside both is the same.
    from_ns, to_ns = START_NS + 4000 * S_NS, START_NS + 86_400 * S_NS
    both = [[c for c in p.contacts if from_ns <= c.aos_ns and c.los_ns <= to_ns]
            for p in (on_board, ground)]  # fmt: skip
    assert len(both[0]) > 5
    assert both[0] == both[1]
    for one in on_board.contacts:
        assert one.satellite == FLEET[0]
        for two in other.contacts:
            if one.station == two.station:
                assert one.los_ns + 5 * S_NS <= two.aos_ns or two.los_ns + 5 * S_NS <= one.aos_ns
    # Alone it would have had the whole first pass.
    first, whole = on_board.contacts[0], alone.contacts[0]
    assert (first.id, first.los_ns) == (whole.id, whole.los_ns)
    assert first.aos_ns - whole.aos_ns > 300 * S_NS
    assert first.capacity_bytes < whole.capacity_bytes


@pytest.mark.parametrize(
    ("fleet", "named"),
    [(["skybee_1", "sputnik"], "sputnik"), (["hotsat_1"], "'skybee_1' is not of the fleet")],
)
def test_a_fleet_with_a_satellite_that_is_not_known_is_refused_by_name(bench_of, fleet, named):
    from eo_nodes.nodes.contact_planner_node import ContactPlanner

    bench = bench_of(SPACE)
    bench.hear("event")
    node = bench.make(ContactPlanner, satellite="skybee_1", stations=STATIONS, fleet=fleet)
    assert not bench.configure(node)
    bench.event("TRANSITION_REFUSED", named)
