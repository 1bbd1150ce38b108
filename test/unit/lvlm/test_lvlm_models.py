"""The two trained models of the repository: they load, fit the size limit and read real chips."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from eo_nodes.lvlm import load_model, overview_of

ROOT = Path(__file__).resolve().parents[3]
CHIPS = ROOT / "test" / "data" / "lvlm" / "chips"
RGB = ("red", "green", "blue")
NAMES = {"Forest": "forest", "SeaLake": "sea or lake", "Residential": "residential area",
         "Industrial": "industrial area", "River": "river", "Highway": "highway"}
LARGEST_BYTES = 20_000_000


@pytest.fixture(scope="module", params=["compact", "regular"])
def model(request):
    return load_model(ROOT / "models" / request.param)


def chips():
    for row in json.loads((CHIPS / "labels.json").read_text()):
        yield cv2.imread(str(CHIPS / row["file"]))[..., ::-1].copy(), NAMES[row["label"]]


def ask(model, image, prompt):
    session = model.start([overview_of(image, RGB, "optical")], prompt)
    session.decode(40)
    return session


def test_both_models_fit_the_limit():
    files = [f for f in (ROOT / "models").rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= LARGEST_BYTES


def test_regular_is_larger():
    sizes = {n: sum(f.stat().st_size for f in (ROOT / "models" / n).glob("*.onnx"))
             for n in ("compact", "regular")}
    assert sizes["regular"] > 1.3 * sizes["compact"]


def test_held_out_chips_are_named_far_above_chance(model):
    right = [ask(model, image, "What is the land cover?").text == name for image, name in chips()]
    # Ten classes: chance is 1 or 2 of 18.
    assert sum(right) >= 12


def test_grey_picture_gives_no_such_answers(model):
    right = [ask(model, np.full_like(image, 127), "What is the land cover?").text == name
             for image, name in chips()]
    assert sum(right) <= 6


def test_prompt_moves_relevance(model):
    moved = []
    for image, _ in chips():
        view = overview_of(image, RGB, "optical")
        scene = model.start([view], "What is the land cover?").tap().relevance
        planes = model.start([view], "How many airplanes are there?").tap().relevance
        moved.append(float((scene - planes).mean()))
    # A scene question is about all of the picture, airplanes are nowhere in these chips.
    assert max(moved) > 0.1 and np.mean(moved) > 0


def test_calibrated_stages_are_fitted(model):
    assert all(s.n > 300 and s.ece < 0.2 for s in model.calibration.values())


def test_compact_answers_within_its_time(model):
    image, _ = next(chips())
    session = ask(model, image, "Is this a forest?")
    assert session.text in ("yes", "no")
    assert session.macs < 3e9
