"""No test chip of this repository was learnt from: by pixels, turned or not, and by name.

`test/data/imaging/training_hashes.bin` holds a hash of every picture that training may see
(`train`, `extra`) or choose by (`val`); `training/instruct/splits.json.gz` says which sample is of
which split.
"""

import gzip
import json
from pathlib import Path

import pytest

from sim.chips import HASH_BYTES, datasets, index, pixel_hash, read_chips
from training.instruct.fetch_layout import SPLITS
from training.instruct.views import turn_array

DATA = Path(__file__).resolve().parents[2] / "data"
CHIPS = DATA / "chips"
LEARNT = ("train", "extra", "val")


@pytest.fixture(scope="module")
def learnt():
    data = (DATA / "imaging" / "training_hashes.bin").read_bytes()
    return {data[i : i + HASH_BYTES].hex() for i in range(0, len(data), HASH_BYTES)}


@pytest.fixture(scope="module")
def chips():
    """{set/id: hashes of its frames under the eight turns and mirrorings of training}."""
    found = {}
    for name in datasets(CHIPS):
        for chip in read_chips(CHIPS, name, index(CHIPS, name)):
            found[f"{name}/{chip.facts['id']}"] = {
                pixel_hash(turn_array(frame, k)) for frame in chip.frames for k in range(8)}
    return found


def leaks(chips, learnt):
    return [key for key, hashes in chips.items() if hashes & learnt]


def test_no_chip_is_a_picture_of_training_turned_or_not(chips, learnt):
    assert len(learnt) > 20_000 and len(chips) > 140
    assert leaks(chips, learnt) == []


def test_a_chip_among_the_pictures_of_training_would_be_found(chips, learnt):
    key = sorted(chips)[len(chips) // 2]
    for one in chips[key]:
        assert leaks(chips, learnt | {one}) == [key]


def test_no_chip_has_the_name_of_a_sample_of_training(chips):
    splits = json.loads(gzip.decompress(SPLITS.read_bytes()))
    named = [name for name in datasets(CHIPS) if name in splits]
    assert len(named) > 10
    for name in named:
        ids = {key.split("/", 1)[1] for key in chips if key.startswith(f"{name}/")}
        for split in LEARNT:
            assert not ids & set(splits[name].get(split, ())), (name, split)
        assert ids <= set(splits[name]["test"]), name
