"""Levels: which is worth most, whose facts count, and what a folder may say of them."""

import json
from dataclasses import replace

import pytest

from eo_nodes.decision.casework import (
    Machine,
    Means,
    estimates_of,
    means_as_plain,
    means_from_plain,
)
from eo_nodes.decision.levels import (
    ANY,
    CHOSEN,
    KINDS,
    LEVELS,
    STATED,
    LevelFacts,
    best_level,
    facts_for,
    level_named,
)

WHOLE = LevelFacts(level_named("lossless"), 1.0, 0.5, 0.1)
LOSSY = LevelFacts(level_named("lossy"), 0.9, 0.1, 0.2)
SMALL = LevelFacts(level_named("regions_1_20"), 0.5, 0.01, 0.4)
TABLE = {ANY: (WHOLE, SMALL), "sar": (LOSSY, SMALL)}


@pytest.mark.parametrize(
    ("gain", "price", "name", "size"),
    [
        (0.2, 0.0, "lossless", 500_000),
        # A MB for 0.04: 0.18 whole, 0.176 lossy, 0.0996 small; for 0.1 it turns.
        (0.2, 0.04e-6, "lossless", 500_000), (0.2, 0.1e-6, "lossy", 100_000),
        (0.2, 5e-6, "regions_1_20", 10_000), (-0.2, 1e-6, "regions_1_20", 10_000),
    ],
)  # fmt: skip
def test_the_level_that_is_worth_most_after_the_price_of_its_bytes(gain, price, name, size):
    found, expected = best_level(gain, 1e6, (WHOLE, LOSSY, SMALL), price)
    assert (found.level.name, expected) == (name, pytest.approx(size))


def test_without_a_level_there_is_nothing_to_choose():
    with pytest.raises(ValueError, match="no level"):
        best_level(0.1, 1e6, (), 0.0)


def test_facts_of_the_modality_and_of_the_kinds_that_may_be_sent():
    assert facts_for(TABLE, "sar", CHOSEN) == (LOSSY, SMALL)
    assert facts_for(TABLE, "thermal", CHOSEN) == (WHOLE, SMALL)
    assert facts_for(TABLE, "sar", ("regions",)) == (SMALL,)
    # A folder that knows no level of these kinds: what it knows, not nothing.
    assert facts_for(TABLE, "sar", ("uniform",)) == (LOSSY, SMALL)


def test_names_are_of_one_level_each():
    assert [level_named(x.name) for x in LEVELS] == list(LEVELS)
    assert level_named("") is None and {x.kind for x in LEVELS} == set(KINDS)


MEANS = Means(levels=TABLE, left_gmac=(0.2, 0.1), ground_gmac=5.0, answer_bytes=550.0)


def test_means_survive_json():
    assert means_from_plain(json.loads(json.dumps(means_as_plain(MEANS)))) == MEANS


def changed(**entry):
    plain = means_as_plain(MEANS)
    plain["levels"][ANY][0] |= entry
    return plain


@pytest.mark.parametrize(
    "plain",
    [
        {}, {**means_as_plain(MEANS), "levels": {}}, {**means_as_plain(MEANS), "left_gmac": [1.0]},
        {**means_as_plain(MEANS), "ground_gmac": -1.0},
        {**means_as_plain(MEANS), "answer_bytes": float("nan")},
        {**means_as_plain(MEANS), "levels": {"sar": []}}, changed(keeps=1.2),
        changed(bytes_share=0.0), changed(bytes_share=float("inf")), changed(code_s=-1.0),
        changed(name="louder"), changed(share=0.3), changed(kind="raw"),
    ],
)  # fmt: skip
def test_means_out_of_range_are_refused(plain):
    with pytest.raises((KeyError, TypeError, ValueError)):
        means_from_plain(plain)


def test_estimates_are_means_at_the_speed_of_a_machine():
    machine = Machine(gmac_s=0.5, gmac_j=2.0, ground_gmac_s=0.1, ground_s=3.0, coding_scale=4.0)
    found = estimates_of(MEANS, machine)
    assert found.left_s == pytest.approx((0.1, 0.05, 0.0))
    assert found.left_j == pytest.approx((0.4, 0.2, 0.0))
    assert (found.ground_s, found.answer_bytes) == (pytest.approx(3.5), 550)
    assert found.levels["sar"][0] == replace(LOSSY, code_s=pytest.approx(0.8))
    # Without means of a folder: what is stated, regions at a fifth of the bytes.
    stated = estimates_of(Means(), Machine()).levels[ANY]
    assert [f.level.name for f in stated] == ["regions_1_5"] == [
        f.level.name for f in STATED[ANY]]
