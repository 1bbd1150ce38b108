"""The level that a verdict names is what the real node sends: pixels and bytes of the study's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.values import ByteBudget, Tap, Verdict
from eo_nodes.decision.levels import LEVELS
from eo_nodes.decision.sending import SendingConfig
from eo_nodes.imaging.container import compose, read_container
from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.store.frame_store import FrameStore
from eo_sim.study.outcomes import levels_of, request_for

DOMAIN = 146
SIDE = 192
BANDS = ("red", "green", "blue")
IDS_BYTES = 20  # by which other digits change a compressed head


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(5)
    ground = np.kron(rng.integers(40, 200, (12, 12, 3)), np.ones((16, 16, 1)))
    return (ground + rng.normal(0, 6, ground.shape)).clip(0, 255).astype(np.uint8)[None]


def test_what_flies_is_what_was_weighed_however_long_the_queue(bench_of, pixels):
    from eo_nodes.nodes.preprocess_node import Preprocess

    bench = bench_of(DOMAIN)
    bench.hear("product")
    node = bench.start(Preprocess)
    store = FrameStore(bench.folder / "test" / "frames", 1 << 22)
    frame = store.put("frame", pixels)
    # Ids as long as real ones, as the study has them.
    asked = request_for(ImageInput(pixels, BANDS, "optical"), "ships?")
    scene = replace(asked.scene, frame_key=frame.key, sha256=frame.sha256)
    full = ByteBudget(contact_id="c", capacity_bytes=10_000, queued_bytes=90_000)
    bench.say("byte_budget", full)
    bench.until(lambda: node._budget.before(node.now_ns()) == full, "the budget on board")
    relevance = np.full((4, 4), 0.02)
    relevance[1, 2] = 0.9
    weighed = levels_of(ImageInput(pixels, BANDS, "optical"), relevance, "ships?", SendingConfig())
    for i, (level, (came, size, _)) in enumerate(zip(LEVELS, weighed, strict=True)):
        request_id = f"{asked.id[:-1]}{i}"
        bench.say("request", replace(asked, id=request_id, scene=scene, attempt=1))
        bench.say("tap", Tap(request_id=request_id, attempt=1, stage=1, rows=4, columns=4,
                             relevance=tuple(relevance.ravel().tolist())))
        bench.say("verdict", Verdict(
            request_id=request_id, attempt=1, stage=1, decision=Verdict.OFFLOAD,
            level=level.name, gain=0.2, stamp_ns=asked.stamp_ns + 1_333_329_767))  # fmt: skip
        product = bench.only("product", "request_id", request_id)
        assert product.size_bytes == pytest.approx(size, abs=IDS_BYTES), level.name
        sent = compose(read_container(Path(product.path).read_bytes()))
        assert np.abs(sent.astype(int) - came).max() <= (64 if level.kind == "regions" else 0)
