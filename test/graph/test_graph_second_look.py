"""A region asked for by the ground, through the real nodes of both segments and a link.

Given: a task, a scene in the frame store, and a board that offloads with its relevance. The test
plays the compact model, the gate, the contact plan and the modem; the regular model is the tiny
one, whose confidence is always below the threshold set here.
"""

import dataclasses
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts import modem
from eo_nodes.contracts.values import (
    Answer,
    Contact,
    ContactPlan,
    LinkState,
    Scene,
    Tap,
    Task,
    Verdict,
)
from eo_nodes.imaging.container import compose, read_container
from eo_nodes.store.frame_store import FrameStore

DOMAIN = 120
TINY = str(Path(__file__).parents[1] / "data" / "lvlm" / "tiny")
S_NS = 10**9
FAST = {"tick_s": 0.01, "satellite": "skybee_1"}


class Modem:
    """Carries datagrams between two ends on loopback and says that the link is locked."""

    def __init__(self, ports):
        self.ports = ports
        self.sockets = {}
        for end in ("space", "ground"):
            self.sockets[end] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sockets[end].setblocking(False)
            self.sockets[end].bind(("127.0.0.1", ports[end]))
        self.is_up = False

    def say_locked(self):
        state = LinkState(
            satellite="skybee_1", station="svalbard", stamp_ns=time.time_ns(), locked=True,
            downlink_bps=20_000_000, uplink_bps=2_000_000,
        )  # fmt: skip
        for end in self.sockets:
            self._send(end, modem.pack_status(state))
        self.is_up = True

    def pump(self):
        for end, other in (("space", "ground"), ("ground", "space")):
            while True:
                try:
                    datagram = self.sockets[end].recv(65535)
                except BlockingIOError:
                    break
                if self.is_up:
                    self._send(other, datagram)

    def _send(self, end, datagram):
        self.sockets[end].sendto(datagram, ("127.0.0.1", self.ports[f"{end}_node"]))

    def close(self):
        for one in self.sockets.values():
            one.close()


class Flight:
    """Both segments, each in a domain of its own, and the modem between them."""

    def __init__(self, bench_of, free_port, folder, **ground_parameters):
        from eo_nodes.nodes.downlink_scheduler_node import DownlinkSchedulerNode
        from eo_nodes.nodes.ground_lvlm_node import GroundLvlm
        from eo_nodes.nodes.ground_station_node import GroundStation
        from eo_nodes.nodes.preprocess_node import Preprocess
        from eo_nodes.nodes.tasking_node import Tasking

        self.folder = folder
        self.space, self.ground = bench_of(DOMAIN), bench_of(DOMAIN + 10)
        ports = {name: free_port() for name in ("space", "ground", "space_node", "ground_node")}
        self.modem = Modem(ports)
        for topic in ("request", "refine", "product", "event", "notice"):
            self.space.hear(topic)
        for topic in ("product", "answer", "notice", "final", "event"):
            self.ground.hear(topic)
        on_board = {"state_dir": str(folder / "space")}
        on_ground = {"state_dir": str(folder / "ground")}
        self.space.start(
            DownlinkSchedulerNode, modem_port=ports["space"], listen_port=ports["space_node"],
            **FAST, **on_board,
        )  # fmt: skip
        # By cut-offs: by value an idle link would bring everything at once.
        self.space.start(Preprocess, choice="fixed", cell_px=16, **on_board)
        self.space.start(Tasking, **on_board)
        self.ground.start(GroundLvlm, **{"model_dir": TINY, "unsure_below": 1.0,
                                         **ground_parameters, **on_ground})  # fmt: skip
        self.ground.start(
            GroundStation, modem_port=ports["ground"], listen_port=ports["ground_node"],
            entity_id=2, peer_entity_id=1, **FAST, **on_ground,
        )  # fmt: skip

    def until(self, predicate, what):
        """Wait while both segments and the modem work; return what the predicate returned."""

        def step():
            self.ground.executor.spin_once(timeout_sec=0.005)
            self.modem.pump()
            return predicate()

        return self.space.until(step, what, wait_s=30.0)

    def first(self, bench, topic, **fields):
        """Wait for the first value on a topic with these fields."""

        def find():
            return next(
                (v for v in bench.heard[topic]
                 if all(getattr(v, key) == value for key, value in fields.items())), None,
            )  # fmt: skip

        return self.until(find, f"{topic} with {fields}")

    def ask(self, pixels, plan_s):
        """Plan, scene and task; return the request on board."""
        now_ns = time.time_ns()
        spans = [(-60, 600), *plan_s]
        plan = ContactPlan(
            satellite="skybee_1",
            contacts=tuple(
                Contact(id=f"c{aos}", aos_ns=now_ns + aos * S_NS, los_ns=now_ns + los * S_NS,
                        station="svalbard", capacity_bytes=10**7)
                for aos, los in spans
            ),
        )  # fmt: skip
        self.ground.speaker("contact_plan", listeners=2)
        self.ground.say("contact_plan", plan)
        self.frame = FrameStore(self.folder / "space" / "test" / "frames", 1 << 20).put(
            "frame-1", pixels
        )
        frames, height, width, bands = pixels.shape
        scene = Scene(
            id="scn-1", capture_ns=now_ns, sensor="rgb_camera", modality="optical", place="here",
            frame_key="frame-1", frames=frames, height=height, width=width, bands=bands,
            dtype="uint8", sha256=self.frame.sha256, band_names=("red", "green", "blue"),
            raw_bytes=pixels.nbytes,
        )  # fmt: skip
        self.space.say("scene", scene)
        self.modem.say_locked()
        self.ground.say("task", Task(
            id="task-1", prompt="What does this image show?", modality="optical", max_answers=1,
            consumer="ground", deadline_ns=now_ns + 3600 * S_NS,
        ))  # fmt: skip
        return self.until(lambda: self.space.heard["request"], "the request")[0]

    def offload(self, request):
        """As compact model and gate: one cell counts, its neighbour somewhat, the rest not."""
        relevance = np.full((4, 4), 0.01, np.float32)
        relevance[1, 1], relevance[1, 2] = 0.9, 0.4
        self.space.say("tap", Tap(
            request_id=request.id, stage=2, attempt=request.attempt, confidence=0.3, rows=4,
            columns=4, relevance=tuple(relevance.ravel().tolist()), text="board says",
        ))  # fmt: skip
        self.space.say("verdict", Verdict(
            request_id=request.id, stage=2, attempt=request.attempt, decision=Verdict.OFFLOAD,
            score=0.3,
        ))  # fmt: skip

    def only_final(self, request):
        """The final, once nothing more can come."""
        final = self.first(self.ground, "final", request_id=request.id)
        self.until(
            lambda: [n for n in self.space.heard["notice"] if n.kind == "final"],
            "the notice of the final on board",
        )
        assert [f.id for f in self.ground.heard["final"]] == [final.id]
        return final


@pytest.fixture
def fly(bench_of, free_port, tmp_path):
    made = []

    def make(**parameters):
        made.append(Flight(bench_of, free_port, tmp_path, **parameters))
        return made[-1]

    yield make
    for flight in made:
        flight.modem.close()


@pytest.fixture
def pixels():
    return np.random.default_rng(7).integers(0, 256, (1, 64, 64, 3), np.uint8)


LATER = [(1200, 1800)]


def test_unsure_answer_waits_for_the_region_and_the_one_final_has_seen_all(fly, pixels):
    flight = fly()
    request = flight.ask(pixels, LATER)
    flight.offload(request)

    provisional = flight.first(flight.ground, "answer", request_id=request.id)
    assert provisional.status == Answer.PROVISIONAL
    wish = flight.first(flight.ground, "notice", request_id=request.id)
    assert (wish.kind, wish.window) == ("region", (32, 16, 16, 16)), "the cell that came reduced"
    refine = flight.first(flight.space, "refine", id=request.id)
    assert refine.window == wish.window

    final = flight.only_final(request)
    assert (final.status, final.origin, final.reason) == (Answer.FINAL, "ground", "")
    assert [s.name for s in final.steps][-3:] == ["region_asked", "region_received", "final"]
    kinds = [product.kind for product in flight.ground.heard["product"]]
    assert kinds == ["regions", "refinement"]
    sent = flight.space.heard["product"]
    assert [p.kind for p in sent] == kinds
    assert final.bytes_sent == sum(p.size_bytes for p in sent)
    first, whole = (
        compose(read_container(Path(product.path).read_bytes()))
        for product in flight.ground.heard["product"]
    )
    np.testing.assert_array_equal(whole[:, 16:32, 16:48], pixels[:, 16:32, 16:48])
    np.testing.assert_array_equal(first[:, 16:32, 16:32], pixels[:, 16:32, 16:32])
    assert (first[:, 16:32, 32:48] != pixels[:, 16:32, 32:48]).any()
    ids = [event.id for event in flight.ground.heard["event"]]
    assert ids.count("REGION_ASKED") == ids.count("REGION_REFINED") == 1
    assert "INPUT_FAILED" not in ids and "INTERNAL_ERROR" not in ids


def test_region_of_an_evicted_frame_is_refused_and_the_provisional_answer_is_final(fly, pixels):
    flight = fly()
    request = flight.ask(pixels, LATER)
    flight.offload(request)
    flight.until(lambda: flight.space.heard["product"], "the product")
    flight.frame.path.unlink()

    final = flight.only_final(request)
    provisional = flight.first(flight.ground, "answer", request_id=request.id)
    assert (final.status, final.text) == (Answer.FINAL, provisional.text)
    assert final.reason == "without the region asked for: it is not on board any more"
    for bench in (flight.space, flight.ground):
        assert "REGION_REFUSED" in [event.id for event in bench.heard["event"]]
    assert [product.kind for product in flight.ground.heard["product"]] == ["regions"]


@pytest.mark.parametrize(
    ("why", "plan_s", "parameters"),
    [
        ("no later contact", [], {}),
        ("it begins after the deadline", [(4000, 4600)], {}),
        ("sure enough", LATER, {"unsure_below": 0.0}),
        ("what came reduced is not needed", LATER, {"needed_at": 0.9}),
    ],
)
def test_nothing_is_asked_for_when(fly, pixels, why, plan_s, parameters):
    flight = fly(**parameters)
    request = flight.ask(pixels, plan_s)
    flight.offload(request)
    final = flight.only_final(request)
    assert (final.status, final.origin) == (Answer.FINAL, "ground")
    assert not flight.ground.heard["notice"], why
    assert not flight.space.heard["refine"]
    (answer,) = flight.ground.heard["answer"]
    assert answer.status == Answer.FINAL


def test_m14_region_asked_for_twice_is_sent_once(fly, pixels):
    """The station states its wish again after a kill: the board recognises it."""
    flight = fly()
    request = flight.ask(pixels, LATER)
    flight.offload(request)
    wish = flight.first(flight.space, "notice", kind="region")
    flight.space.say("notice", dataclasses.replace(wish, stamp_ns=time.time_ns()))
    flight.only_final(request)
    sent = [p for p in flight.space.heard["product"] if p.kind == "refinement"]
    assert len(sent) == len(flight.space.heard["refine"]) == 1
