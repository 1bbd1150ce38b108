"""The leak check finds copies, turned copies and near-duplicates, and nothing else; counts."""

import numpy as np

from training.instruct.builder import library, stream
from training.instruct.counts import table, tally
from training.instruct.leaks import find, fingerprint, leaks


def _picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
    return small.repeat(8, 0).repeat(8, 1)


def test_copies_and_turned_copies_are_found():
    train = [fingerprint("a", _picture(0)), fingerprint("b", _picture(1))]
    turned = np.ascontiguousarray(np.rot90(_picture(1))[:, ::-1])
    test = [fingerprint("x", _picture(2), range(8)), fingerprint("y", turned, range(8))]
    assert find(train, test) == [("b", "y", "same")]


def test_near_duplicates_are_found():
    noisy = np.clip(_picture(3).astype(int) + np.random.default_rng(1).integers(-6, 7, (64, 64, 3)),
                    0, 255).astype(np.uint8)
    train, test = [fingerprint("a", _picture(3))], [fingerprint("x", noisy)]
    assert find(train, test) == [("a", "x", "near")]
    assert not find([fingerprint("a", _picture(4))], test)


def test_flat_pictures_have_no_identity():
    sea = np.full((64, 64, 3), 40, np.uint8)
    other = sea.copy()
    other[0, 0] = 41
    assert not find([fingerprint("a", sea)], [fingerprint("x", other)])


def test_no_leak_in_the_packed_sets(data):
    assert leaks(library(data)) == []


def test_count_table_tells_balance_and_blind_share(data):
    counts = tally(stream(data, "train", 0, 0, held=None))
    t = counts["objects_rgb", "vqa"]
    assert t.yes_share == 50
    assert counts["eurosat_rgb", "classification"].questions > 60
    text = table(counts)
    assert "| objects_rgb | vqa |" in text
    assert "presence" in text
