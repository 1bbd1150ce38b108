"""The two trained models of the repository: they load, fit the size limit and read real chips."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from eo_nodes.lvlm import load_model, overview_of
from eo_nodes.lvlm.assemble import read_recipe
from eo_nodes.lvlm.manifest import V2, read_manifest, sha256_of
from eo_nodes.lvlm.unified_config import WEIGHTS

ROOT = Path(__file__).resolve().parents[3]
CHIPS = ROOT / "test" / "data" / "lvlm" / "chips"
RGB = ("red", "green", "blue")
NAMES = {"Forest": "forest", "SeaLake": "sea or lake", "Residential": "residential area",
         "Industrial": "industrial area", "River": "river", "Highway": "highway"}
# Of the repository, and once assembled.
OWN_BYTES = {"compact": 16_000_000, "regular": 14_000_000}
WHOLE_BYTES = {"compact": 16_000_000, "regular": 180_000_000}


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


@pytest.mark.parametrize("name", ["compact", "regular"])
def test_models_fit_their_limits(name):
    manifest = read_manifest(ROOT / "models" / name)
    sizes = {file: size for file, (size, _) in manifest.files.items()}
    assert manifest.family == V2
    assert sum(sizes.values()) <= WHOLE_BYTES[name]
    assert sum(sizes.values()) - sizes.get(WEIGHTS, 0) <= OWN_BYTES[name]


def test_what_one_model_lends_another_is_of_the_same_release():
    for path in sorted((ROOT / "models").glob("*/assembly.json")):
        for sibling in read_recipe(path.parent).siblings:
            lent = path.parents[1] / sibling.folder / sibling.file
            assert sha256_of(lent) == sibling.file_sha256, f"{path.parent.name} needs a new export"


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
    assert all(s.n >= 60 and s.ece < 0.2 for s in model.calibration.values())


def test_an_answer_stays_within_its_work(model):
    image, _ = next(chips())
    session = ask(model, image, "Is this a forest?")
    assert session.text in ("yes", "no")
    # 3.5 GFLOP for an overview and 24 tokens of the compact model; a chip and a word are less.
    assert session.macs < (1.75e9 if model.id == "compact" else 31e9)
