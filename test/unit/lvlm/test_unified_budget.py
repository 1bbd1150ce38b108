"""What the released compact model computes, by its session's count of multiply-accumulates."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from eo_nodes.lvlm import ViewTensor, load_model
from eo_nodes.lvlm.manifest import V2, read_manifest

COMPACT = Path(__file__).resolve().parents[3] / "models" / "compact"
ANSWER = 24


@pytest.fixture(scope="module")
def model():
    if read_manifest(COMPACT).family != V2:
        pytest.skip("the compact model is of the first family")
    return load_model(COMPACT)


def cost_gflop(session):
    """Of what ran and an answer of 24 tokens, whatever the model would say."""
    macs, context = session.macs, session._context
    c = session._model.config
    for n in range(1, ANSWER):
        layer = c.layer_macs + 2 * c.width * (context + n)
        macs += c.layers * layer + c.width * (c.width + c.vocabulary)
    return 2 * macs / 1e9


def test_an_overview_and_four_zooms_keep_to_their_budget(model, capsys):
    size = model.input_size
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 12, 3), np.uint8)
    pixels = cv2.resize(coarse, (2 * size, 2 * size), interpolation=cv2.INTER_CUBIC)[None]
    bands = ("red", "green", "blue")
    whole = ViewTensor(pixels[:, ::2, ::2], bands, "optical", (0, 0, 2 * size, 2 * size),
                       "overview")
    zooms = [ViewTensor(pixels[:, y : y + size, x : x + size], bands, "optical",
                        (x, y, size, size), "zoom") for y in (0, size) for x in (0, size)]
    prompt = "How many ships are there in the image?"
    session = model.start([whole], prompt, max_tokens=ANSWER)
    late = model.zoom_in(session, [whole, *zooms])
    at_once = model.start([whole, *zooms], prompt, max_tokens=ANSWER)
    found = {name: cost_gflop(s) for name, s in (("overview", session), ("late", late),
                                                 ("at once", at_once))}
    with capsys.disabled():
        print("\n" + ", ".join(f"{name} {value:.2f} GFLOP" for name, value in found.items()))
    assert found["overview"] < 3.5
    # Zooms that tap 1 calls for, with both runs of the prompt.
    assert found["overview"] < found["late"] < 8.0
    assert found["late"] < found["at once"] < 8.2
