"""What a node knows of requests ends with their decision, or has a bound."""

import numpy as np
import pytest

from eo_nodes.contracts.values import Answer, Request, Scene, Tap, Verdict
from eo_nodes.store.frame_store import FrameStore

DOMAIN = 110
S = 1_000_000_000


@pytest.fixture
def bench(bench_of):
    return bench_of(DOMAIN)


def request_of(bench, name, *, frame=True, **fields):
    """A request on a small scene; without a frame the store has nothing of it."""
    store = FrameStore(bench.folder / "test" / "frames", 1 << 20)
    handle = store.put(f"frame-{name}", np.zeros((1, 32, 32, 3), np.uint8))
    scene = Scene(
        id=f"scene-{name}",
        sensor="rgb_camera",
        modality="optical",
        frame_key=handle.key if frame else "gone",
        frames=1,
        height=32,
        width=32,
        bands=3,
        dtype="uint8",
        sha256=handle.sha256,
        band_names=("red", "green", "blue"),
    )
    return Request(
        id=name,
        task_id="task",
        scene_id=scene.id,
        scene=scene,
        prompt="ships?",
        modality="optical",
        window=(0, 0, 32, 32),
        consumer=fields.pop("consumer", "ground"),
        attempt=1,
        **fields,
    )


@pytest.fixture
def preprocess(bench):
    from eo_nodes.nodes.preprocess_node import Preprocess

    node = bench.start(Preprocess)
    bench.hear("views")
    return node


def verdict_of(name, decision, **fields):
    return Verdict(request_id=name, attempt=1, stage=1, decision=decision, **fields)


def test_preprocess_forgets_a_request_that_is_answered_on_board(bench, preprocess):
    bench.say("request", request_of(bench, "r1"))
    bench.only("views", "request_id", "r1")
    bench.say("verdict", verdict_of("r1", Verdict.CONTINUE))
    bench.say("verdict", verdict_of("r1", Verdict.ANSWER))
    bench.until(lambda: not preprocess._known, "an end of what is known")


def test_preprocess_forgets_a_request_whose_product_is_made(bench, preprocess):
    bench.hear("product")
    bench.say("request", request_of(bench, "r2"))
    bench.only("views", "request_id", "r2")
    bench.say("tap", Tap(request_id="r2", attempt=1, stage=1))
    bench.say("verdict", verdict_of("r2", Verdict.OFFLOAD))
    bench.only("product", "request_id", "r2")
    assert not preprocess._known


def test_preprocess_forgets_a_request_that_it_refused(bench, preprocess):
    bench.hear("answer")
    bench.say("request", request_of(bench, "r3", frame=False))
    assert bench.only("answer", "request_id", "r3").status == Answer.REFUSED
    assert not preprocess._known


def test_a_verdict_on_an_earlier_attempt_does_not_end_what_was_issued_again(bench, preprocess):
    from dataclasses import replace

    again = replace(request_of(bench, "r4"), attempt=2)
    bench.say("request", again)
    bench.only("views", "request_id", "r4")
    bench.say("verdict", verdict_of("r4", Verdict.ANSWER))
    bench.say("request", request_of(bench, "r5"))
    bench.only("views", "request_id", "r5")
    assert preprocess._known["r4"].request.attempt == 2


def test_confidence_knows_a_bounded_number_of_requests_and_the_latest(bench, monkeypatch):
    from eo_nodes.nodes import confidence_node

    monkeypatch.setattr(confidence_node, "_REQUESTS_KNOWN", 3)
    node = bench.start(confidence_node.Confidence)
    bench.hear("verdict")
    for number in range(8):
        bench.say("request", request_of(bench, f"r{number}", consumer="onboard", deadline_ns=S))
    bench.until(lambda: "r7" in node._requests, "the last request")
    kept = {key: (r.deadline_ns, r.consumer) for key, r in node._requests.items()}
    assert kept == {f"r{number}": (S, "onboard") for number in (5, 6, 7)}
    bench.say("tap", Tap(request_id="r7", attempt=1, stage=1))
    bench.only("verdict", "request_id", "r7")
