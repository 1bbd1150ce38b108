"""preprocess alone: what it says when pixels of a request reached the ground."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.values import ByteBudget, Request, Scene, Tap, Verdict
from eo_nodes.imaging.container import read_container
from eo_nodes.store.frame_store import FrameStore

DOMAIN = 123
S_NS = 10**9


@pytest.fixture
def bench(bench_of):
    return bench_of(DOMAIN)


PIXELS = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), np.uint8)


def frame_of(bench):
    return FrameStore(bench.folder / "test" / "frames", 1 << 20).put("frame", PIXELS)


def ask(bench, **fields):
    scene = Scene(
        id="scene", capture_ns=1, sensor="cam", modality="optical", frame_key="frame", frames=1,
        height=64, width=64, bands=3, dtype="uint8", sha256=frame_of(bench).sha256,
        band_names=("red", "green", "blue"), raw_bytes=PIXELS.nbytes,
    )  # fmt: skip
    return Request(
        id="r1", task_id="task", scene_id="scene", scene=scene, prompt="ships?",
        modality="optical", window=(0, 0, 64, 64), consumer="ground", attempt=1, **fields,
    )  # fmt: skip


def delivered(
    bench, *, request=None, budget=100_000, is_late=False, most=2_000, least_change=0.0,
    before=lambda: None, **parameters
):
    """Offload a request, then say that its pixels are on the ground; return the node."""
    from eo_nodes.nodes.preprocess_node import Preprocess

    bench.hear("product")
    node = bench.start(Preprocess, max_product_bytes=most, least_change=least_change,
                       **parameters)
    request = request or ask(bench)
    now_ns = time.time_ns()
    bench.say("request", request)
    bench.say("tap", Tap(request_id="r1", attempt=1, stage=1))
    verdict = Verdict(request_id="r1", attempt=1, stage=1, decision=Verdict.OFFLOAD, score=0.3)
    bench.until(lambda: "r1" in node._known, "the request")
    bench.say("verdict", replace(verdict, is_late=is_late))
    bench.only("product", "kind", "regions")
    if budget:
        bench.say("byte_budget", ByteBudget(
            contact_id="c", aos_ns=now_ns - S_NS, los_ns=now_ns + 600 * S_NS,
            budget_bytes=budget, capacity_bytes=budget))  # fmt: skip
        bench.until(lambda: node._budget.before(node.now_ns()), "the budget")
    before()
    bench.say("enhance", request)
    return node


def test_finer_pixels_within_what_the_contact_has_left(bench):
    delivered(bench, budget=5_000)
    product = bench.only("product", "kind", "enhancement")
    assert 1_000 < product.size_bytes <= 5_000
    assert product.regions and {r.action for r in product.regions} <= {"keep", "downsample"}


def test_a_refinement_is_bounded_by_its_own_limit(bench):
    delivered(bench, max_refinement_bytes=5_000)
    assert 1_000 < bench.only("product", "kind", "enhancement").size_bytes <= 5_000


@pytest.mark.parametrize(
    ("why", "given"),
    [
        ("turned off", {"refinements": 0}),
        ("no contact is under way", {"budget": 0}),
        ("all came exactly", {"most": 2_000_000}),
        ("the deadline has passed", {"deadline_ns": 5}),
    ],
)
def test_nothing_is_said_when(bench, why, given):
    if "deadline_ns" in given:
        given = {"request": ask(bench, **given)}
    node = delivered(bench, **given)
    bench.until(lambda: "r1" not in node._done and not node.pending_jobs, "the end of it")
    assert [p.kind for p in bench.heard["product"]] == ["regions"], why


@pytest.mark.parametrize(
    ("why", "given"),
    [
        ("it was made late", {"is_late": True}),
        ("it would bring too little", {"least_change": 1.0}),
    ],
)
def test_a_file_without_regions_says_that_nothing_follows_when(bench, why, given):
    delivered(bench, **given)
    product = bench.only("product", "kind", "enhancement")
    assert read_container(Path(product.path).read_bytes()).regions == (), why


def test_an_evicted_frame_leaves_the_refinement_out(bench):
    bench.hear("event")
    node = delivered(bench, before=lambda: frame_of(bench).path.unlink())
    bench.event("REFINEMENT_LEFT_OUT")
    bench.until(lambda: not node.pending_jobs, "the end of it")
    assert [p.kind for p in bench.heard["product"]] == ["regions"]
