"""Both segments with their real nodes in one process, and a modem that the test plays.

The test also plays the compact model, the gate and the contact plan; the regular model is the tiny
one of test/data.
"""

import socket
import time
from pathlib import Path

import numpy as np

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
from eo_nodes.store.frame_store import FrameStore

TINY = str(Path(__file__).parents[1] / "data" / "lvlm" / "tiny_unified")
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

    def say_locked(self, downlink_bps=20_000_000):
        self._say(LinkState(
            satellite="skybee_1", station="svalbard", stamp_ns=time.time_ns(), locked=True,
            downlink_bps=downlink_bps, uplink_bps=2_000_000,
        ))  # fmt: skip

    def say_lost(self):
        self._say(LinkState(satellite="skybee_1", stamp_ns=time.time_ns()))

    def _say(self, state):
        for end in self.sockets:
            self._send(end, modem.pack_status(state))
        self.is_up = state.locked

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
    """Both segments, each in a domain of its own, and the modem between them.

    Args:
        on_board: (node, parameters) by name: more of the satellite's nodes, or in place of those
            that are here.
        refinements: by the satellite itself, as both ends have it; none by default: the first
            answer that could change would wait for one.
        least_change: that these must offer, likewise.
    """

    def __init__(
        self, bench_of, free_port, folder, *, domain, on_board=None, refinements=0,
        least_change=0.02, **ground_parameters
    ):
        from eo_nodes.nodes.downlink_scheduler_node import DownlinkSchedulerNode
        from eo_nodes.nodes.ground_lvlm_node import GroundLvlm
        from eo_nodes.nodes.ground_station_node import GroundStation
        from eo_nodes.nodes.preprocess_node import Preprocess
        from eo_nodes.nodes.tasking_node import Tasking

        self.folder = folder
        self.space, self.ground = bench_of(domain), bench_of(domain + 10)
        ports = {name: free_port() for name in ("space", "ground", "space_node", "ground_node")}
        self.modem = Modem(ports)
        for topic in ("request", "refine", "enhance", "product", "provisional", "final",
                      "downlink_report", "event", "notice"):  # fmt: skip
            self.space.hear(topic)
        for topic in ("product", "answer", "notice", "provisional", "final", "event"):
            self.ground.hear(topic)
        aboard = {"state_dir": str(folder / "space")}
        on_ground = {"state_dir": str(folder / "ground")}
        both = {"refinements": refinements, "least_change": least_change}
        self._starts = {
            "downlink_scheduler": (self.space, DownlinkSchedulerNode, {
                "modem_port": ports["space"], "listen_port": ports["space_node"],
                **FAST, **aboard}),
            # By cut-offs: by value an idle link would bring everything at once.
            "preprocess": (self.space, Preprocess, {
                "choice": "fixed", "cell_px": 16, **both, **aboard}),
            "tasking": (self.space, Tasking, aboard),
            "ground_lvlm": (self.ground, GroundLvlm, {
                "model_dir": TINY, "unsure_below": 1.0, **ground_parameters, **on_ground}),
            "ground_station": (self.ground, GroundStation, {
                "modem_port": ports["ground"], "listen_port": ports["ground_node"],
                "entity_id": 2, "peer_entity_id": 1, **FAST, **both, **on_ground}),
        }  # fmt: skip
        for name, (factory, parameters) in (on_board or {}).items():
            self._starts[name] = (self.space, factory, {**parameters, **aboard})
        self._nodes = {}
        for name in self._starts:
            self.start(name)

    def start(self, name):
        bench, factory, parameters = self._starts[name]
        self._nodes[name] = bench.start(factory, **parameters)

    def stop(self, name):
        """End a node: nothing is handed over, what is not durable is lost."""
        self._starts[name][0].stop(self._nodes.pop(name))

    def start_again(self, name, **parameters):
        """End a node and start it anew, with other parameters where some are given."""
        self.stop(name)
        bench, factory, before = self._starts[name]
        self._starts[name] = (bench, factory, {**before, **parameters})
        self.start(name)

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

    def ask(self, pixels, plan_s, *, contact_s=600):
        """Plan, scene and task; return the request on board.

        Args:
            plan_s: begin and end of later contacts. contact_s: what is left of this one.
        """
        now_ns = time.time_ns()
        spans = [(-60, contact_s), *plan_s]
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
        self.space.say("contact_plan", plan)
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

    def offload(self, request, *, stage=2, relevance=None):
        """As compact model and gate: one cell counts, its neighbour somewhat, the rest not."""
        if relevance is None:
            relevance = np.full((4, 4), 0.01, np.float32)
            relevance[1, 1], relevance[1, 2] = 0.9, 0.4
        self.space.say("tap", Tap(
            request_id=request.id, stage=stage, attempt=request.attempt, confidence=0.3, rows=4,
            columns=4, relevance=tuple(relevance.ravel().tolist()), text="board says",
        ))  # fmt: skip
        self.space.say("verdict", Verdict(
            request_id=request.id, stage=stage, attempt=request.attempt, decision=Verdict.OFFLOAD,
            score=0.3,
        ))  # fmt: skip
        if stage == 3:
            self.space.say("answer", Answer(
                id=f"{request.id}-model", request_id=request.id, text="board says", version=1,
                confidence=(0.3, 0.3, 0.3), origin="onboard", stage=3, model_id="made",
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
