"""Regions by value per byte through the real node: budget, prompt, plan and queue."""

from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.values import ByteBudget, Request, Scene, Tap, Verdict
from eo_nodes.imaging.container import compose, read_container
from eo_nodes.store.frame_store import FrameStore

DOMAIN = 134
MOST = 9_000
SIDE = 256
DEADLINE_NS = 2**62


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(5)
    ground = np.kron(rng.integers(40, 200, (16, 16, 3)), np.ones((16, 16, 1)))
    return (ground + rng.normal(0, 6, ground.shape)).clip(0, 255).astype(np.uint8)[None]


@pytest.fixture
def board(bench_of):
    from eo_nodes.nodes.preprocess_node import Preprocess

    bench = bench_of(DOMAIN)
    bench.hear("product")
    bench.node = bench.start(Preprocess, max_product_bytes=MOST)
    return bench


def offload(bench, pixels, name, relevance, budget=None, *, confidence=0.0, score=0.0,
            stage=1, **said):
    """Ask, offload with this relevance; return the product."""
    store = FrameStore(bench.folder / "test" / "frames", 1 << 22)
    frame = store.put(f"frame-{name}", pixels)
    scene = Scene(
        id=f"scene-{name}", sensor="rgb_camera", modality="optical", frame_key=frame.key, frames=1,
        height=SIDE, width=SIDE, bands=3, dtype="uint8", sha256=frame.sha256,
        band_names=("red", "green", "blue"), raw_bytes=pixels.nbytes,
    )  # fmt: skip
    if budget is not None:
        bench.say("byte_budget", budget)
        bench.until(lambda: bench.node._budget.before(bench.node.now_ns()) == budget,
                    "the budget on board")
    bench.say("request", Request(
        id=name, task_id="task", scene_id=scene.id, scene=scene, prompt="ships?", attempt=1,
        modality="optical", window=(0, 0, SIDE, SIDE), consumer="ground",
        deadline_ns=DEADLINE_NS))  # fmt: skip
    rows, columns = relevance.shape
    bench.say("tap", Tap(request_id=name, attempt=1, stage=stage, rows=rows, columns=columns,
                         confidence=confidence,
                         relevance=tuple(relevance.ravel().tolist())))  # fmt: skip
    bench.say("verdict", Verdict(
        request_id=name, attempt=1, stage=stage, decision=Verdict.OFFLOAD, score=score,
        **said))
    return bench.only("product", "request_id", name)


def error(product, pixels, part):
    came = compose(read_container(Path(product.path).read_bytes())).astype(float)
    return float(np.abs(came - pixels)[:, :, part].mean())


def test_the_file_is_within_the_budget_and_the_prompt_says_what_is_in_it(board, pixels):
    left, right = np.full((4, 4), 0.02), np.full((4, 4), 0.02)
    left[:, 0], right[:, 3] = 0.9, 0.9
    one, other = offload(board, pixels, "r1", left), offload(board, pixels, "r2", right)
    for product in (one, other):
        assert product.size_bytes <= MOST
        assert Path(product.path).stat().st_size == product.size_bytes
        area = sum(r.window[2] * r.window[3] for r in product.regions)
        assert area == SIDE * SIDE
    west, east = slice(0, 64), slice(192, 256)
    assert error(one, pixels, west) < error(one, pixels, east)
    assert error(other, pixels, east) < error(other, pixels, west)


def test_what_the_next_contact_leaves_is_the_budget(board, pixels):
    budget = ByteBudget(contact_id="c1", capacity_bytes=10_000, queued_bytes=6_000,
                        budget_bytes=3_000)  # fmt: skip
    assert offload(board, pixels, "r3", np.ones((4, 4)), budget).size_bytes <= 3_000


def test_a_product_is_worth_what_the_verdict_was_decided_by(board, pixels):
    product = offload(board, pixels, "r4", np.ones((4, 4)), confidence=0.9, score=0.25)
    assert product.value == pytest.approx(0.75)
    assert (product.is_late, product.deadline_ns) == (False, DEADLINE_NS)


def test_a_product_has_the_worth_and_the_lateness_of_its_verdict(board, pixels):
    product = offload(board, pixels, "r5", np.ones((4, 4)), stage=3, score=0.25, level="lossy",
                      gain=0.3, is_late=True)  # fmt: skip
    assert (product.value, product.is_late) == (pytest.approx(0.3), True)
    assert product.deadline_ns == 0, "no deadline to keep: worth per byte orders late ones"
