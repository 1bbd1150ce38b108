"""The pointer: places copied from proposals, mixed with what the decoder would write."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_nodes.lvlm.pointer import Offer, Pointer, fields_of, left_out, scores
from eo_nodes.lvlm.slis import BINS

FIRST, SIZE = 7, 7 + BINS + 3
BOXES = np.array([[0.1, 0.2, 0.3, 0.4], [0.1, 0.5, 0.2, 0.9], [0.6, 0.6, 0.7, 0.7]], np.float32)


def flat():
    """A decoder that would write any location, and an image token with a tenth of its belief."""
    out = np.full(SIZE, -np.inf)
    out[FIRST:FIRST + BINS] = np.log(0.9 / BINS)
    out[0] = np.log(0.1)
    return out


def pointing_at(index, sure=30.0, none=-30.0):
    """(aim, held) that choose one proposal."""
    held = np.zeros((len(BOXES), 4), np.float32)
    held[index] = 1.0
    return np.array([*[sure / 2] * 4, none, -30], np.float32), held


def follow(pointer):
    """Greedy fields until the value is closed."""
    out = []
    while pointer.is_open:
        logprobs = flat()
        best = int(pointer.mix(logprobs, FIRST).argmax())
        pointer.take(best - FIRST, float(logprobs[best]))
        out.append(best - FIRST)
    return out


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("kind", ["box", "point"])
def test_a_sure_pointer_copies_every_field(index, kind):
    aim, held = pointing_at(index)
    pointer = Pointer([Offer(BOXES, held)])
    pointer.open(kind, 0, aim)
    assert follow(pointer) == fields_of(kind, BOXES)[index].tolist()


def test_fields_of_a_box_cover_it_and_of_a_point_lie_at_its_centre():
    assert fields_of("box", BOXES[:1]).tolist() == [[51, 102, 153, 204]]
    assert fields_of("point", BOXES[:1]).tolist() == [[102, 153]]
    assert fields_of("box", BOXES[:0]).shape == (0, 4)


def test_fields_of_one_value_belong_together():
    # Two proposals share their first field: the second decides between them, the rest follows.
    held = np.zeros((3, 4), np.float32)
    pointer = Pointer([Offer(BOXES, held)])
    pointer.open("box", 0, np.array([0, 0, 0, 0, -9, -30], np.float32))
    bins = fields_of("box", BOXES)
    assert bins[0, 0] == bins[1, 0] != bins[2, 0]
    pointer.take(int(bins[1, 0]), -6.0)
    pointer.take(int(bins[1, 1]), -6.0)
    assert follow(pointer) == bins[1, 2:].tolist()


def test_a_proposal_serves_one_value():
    aim, held = pointing_at(1, sure=6.0)
    pointer = Pointer([Offer(BOXES, held)])
    told = []
    for _ in BOXES:
        pointer.open("box", 0, aim)
        told.append(tuple(follow(pointer)))
    assert told[0] == tuple(fields_of("box", BOXES)[1])
    assert len(set(told)) == 3


def test_lists_go_on_in_reading_order():
    assert left_out(4, -1).tolist() == [0, 1, 2, 3]
    assert left_out(4, 1).tolist() == [2, 3, 0, 1]
    pointer = Pointer([Offer(BOXES, np.zeros((3, 4), np.float32))])
    told = []
    for _ in BOXES:
        pointer.open("box", 0, np.array([0, 0, 0, 0, -9, 3], np.float32))
        told.append(follow(pointer))
    assert told == fields_of("box", BOXES).tolist()


def test_none_lets_the_decoder_write():
    pointer = Pointer([Offer(BOXES, np.zeros((3, 4), np.float32))])
    pointer.open("box", 0, np.array([0, 0, 0, 0, 40, -30], np.float32))
    logprobs = flat()
    logprobs[FIRST + 300] = np.log(0.5)
    assert int(pointer.mix(logprobs, FIRST).argmax()) == FIRST + 300


def test_without_proposals_the_decoder_writes():
    pointer = Pointer([Offer(BOXES[:0], np.zeros((0, 4), np.float32))])
    pointer.open("box", 0, np.array([3, 3, 3, 3, -40, 0], np.float32))
    np.testing.assert_allclose(pointer.mix(flat(), FIRST)[FIRST:FIRST + BINS],
                               flat()[FIRST:FIRST + BINS])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 6))
def test_a_mixture_is_a_distribution_and_leaves_other_tokens_alone(seed, count):
    rng = np.random.default_rng(seed)
    low = rng.random((count, 2)) * 0.7
    boxes = np.concatenate([low, low + 0.05 + 0.2 * rng.random((count, 2))], 1).astype(np.float32)
    held = rng.normal(size=(count, 8)).astype(np.float32)
    aim = rng.normal(size=10).astype(np.float32)
    assert np.exp(scores(aim, held)).sum() == pytest.approx(1.0)
    pointer = Pointer([Offer(boxes, held)])
    pointer.open("box", 0, aim)
    while pointer.is_open:
        logits = rng.normal(size=SIZE)
        logprobs = logits - np.log(np.exp(logits).sum())
        mixed = pointer.mix(logprobs, FIRST)
        assert np.exp(mixed).sum() == pytest.approx(1.0)
        np.testing.assert_allclose(mixed[:FIRST], logprobs[:FIRST])
        field = int(mixed[FIRST:FIRST + BINS].argmax())
        pointer.take(field, float(logprobs[FIRST + field]))
