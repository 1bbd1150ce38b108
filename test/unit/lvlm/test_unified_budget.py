"""What the released models hold and compute, by their sessions' count of multiply-accumulates."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from eo_nodes.lvlm import ViewTensor, load_model

MODELS = Path(__file__).resolve().parents[3] / "models"
ANSWER = 24
PROMPT = "How many ships are there in the image?"
BANDS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def model():
    return load_model(MODELS / "compact")


def pixels_of(side):
    coarse = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)[None]


def cost_gflop(session):
    """Of what ran and an answer of 24 tokens, whatever the model would say."""
    macs, context = session.macs, session._context
    c = session._model.config
    for n in range(1, ANSWER):
        macs += c.decoder_macs(1, context + n)
    return 2 * macs / 1e9


def test_an_overview_and_four_zooms_keep_to_their_budget(model, capsys):
    size = model.input_size
    pixels = pixels_of(2 * size)
    whole = ViewTensor(pixels[:, ::2, ::2], BANDS, "optical", (0, 0, 2 * size, 2 * size),
                       "overview")
    zooms = [ViewTensor(pixels[:, y : y + size, x : x + size], BANDS, "optical",
                        (x, y, size, size), "zoom") for y in (0, size) for x in (0, size)]
    session = model.start([whole], PROMPT, max_tokens=ANSWER)
    late = model.zoom_in(session, [whole, *zooms])
    at_once = model.start([whole, *zooms], PROMPT, max_tokens=ANSWER)
    found = {name: cost_gflop(s) for name, s in (("overview", session), ("late", late),
                                                 ("at once", at_once))}
    with capsys.disabled():
        print("\n" + ", ".join(f"{name} {value:.2f} GFLOP" for name, value in found.items()))
    assert found["overview"] < 3.5
    # Zooms that tap 1 calls for, with both runs of the prompt.
    assert found["overview"] < found["late"] < 8.0
    assert found["late"] < found["at once"] < 8.2


def test_regular_is_at_least_five_times_larger(model, capsys):
    held = {name: json.loads((MODELS / name / "record.json").read_text())["parameters"]
            for name in ("compact", "regular")}
    assert held["compact"]["parameters"] <= 15_000_000
    assert held["regular"]["parameters"] >= 5 * held["compact"]["parameters"]
    computed = {}
    for one in (model, load_model(MODELS / "regular")):
        size = one.input_size
        view = ViewTensor(pixels_of(size), BANDS, "optical", (0, 0, size, size), "overview")
        computed[one.id] = cost_gflop(one.start([view], PROMPT, max_tokens=ANSWER))
    with capsys.disabled():
        print(f"\ncompact {computed['compact']:.2f}, regular {computed['regular']:.1f} GFLOP")
    assert computed["regular"] >= 5 * computed["compact"]
