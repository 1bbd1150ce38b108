"""An answer says no value twice, and is well formed wherever it is cut off."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slis_cases import values, wordpiece_vocabulary

from eo_nodes.lvlm.said import Said, is_same
from eo_nodes.lvlm.slis import KINDS, Automaton, Box, make, parse, serialise

WORDS = wordpiece_vocabulary()
quick = settings(max_examples=60, deadline=None, derandomize=True)


def decode(automaton, said, logits_of, length):
    """Greedy tokens up to the end of text, the length or a repeat; the text behind each."""
    ids, texts = [], []
    while len(ids) < length and not said.is_repeating and ids[-1:] != [WORDS.end_of_text]:
        allowed = automaton.allowed(said.follow(ids), length - len(ids))
        assert allowed.any()
        ids.append(int(np.where(allowed, logits_of(), -np.inf).argmax()))
        said.follow(ids)
        texts.append(WORDS.decode(said.whole(ids)))
    return ids, texts


@pytest.mark.parametrize("wanted", [*KINDS, "any"])
def test_from_any_logits_no_value_comes_twice_and_every_cut_is_well_formed(wanted):
    rng = np.random.default_rng(KINDS.index(wanted) if wanted in KINDS else 99)
    ids, repeats = WORDS.ids, 0
    for _ in range(40):
        length = int(rng.integers(1, 60))
        weights = np.zeros(WORDS.size)
        weights[ids.markers[wanted] if wanted in KINDS else ids.all()[:8]] = 0.9
        # Few and small bins, closed soon, so that values come again; most masks are one cell.
        weights[ids.locations + rng.integers(1, 5, 2)] = 1.0
        weights[ids.end] = 2.0
        automaton = Automaton(WORDS, images=2, frames=3)
        said = Said(WORDS, automaton)
        _, texts = decode(automaton, said, lambda w=weights: rng.random(len(w)) + w, length)
        repeats += said.is_repeating
        for text in texts:
            segments = parse(text)
            assert serialise(segments) == text
            told = [s for s in segments if not isinstance(s, str)]
            assert not any(is_same(v, w) for i, v in enumerate(told) for w in told[:i])
    assert repeats == 0 if wanted == "seg" else repeats > 3


@quick
@given(st.lists(values, min_size=1, max_size=6), st.integers(1, 8))
def test_values_that_differ_all_stand(listed, step):
    """However many tokens come at a time; ``segments`` of the answer are the values up to the
    first that was said before."""
    ids = WORDS.encode_segments(listed)
    said = Said(WORDS, Automaton(WORDS, images=8))
    for end in [*range(step, len(ids), step), len(ids)]:
        said.follow(ids[:end])
    new = [i for i, v in enumerate(listed) if any(is_same(v, w) for w in listed[:i])]
    assert said.is_repeating == bool(new)
    told = listed[: new[0]] if new else listed
    assert WORDS.segments(said.whole(ids)) == told


def test_a_repeat_goes_with_the_words_that_led_to_it():
    first, second = Box(10, 10, 60, 60), Box(100, 10, 160, 60)
    ids = WORDS.encode_segments(["at", first, "and", second, "and", first])
    said = Said(WORDS, Automaton(WORDS))
    assert said.follow(ids) == Automaton(WORDS).start() and said.is_repeating
    assert WORDS.decode(said.whole(ids)) == "at <box 10 10 60 60> and <box 100 10 160 60>"
    said = Said(WORDS, Automaton(WORDS))
    assert not said.is_repeating and said.whole(ids[:-1]) == WORDS.encode_segments(
        ["at", first, "and", second, "and"])
    assert not said.is_repeating, "a value that is open repeats nothing yet"


@pytest.mark.parametrize(("other", "same"), [
    (Box(100, 100, 300, 305), True), (Box(100, 100, 300, 250), False),
    (Box(100, 100, 300, 305, image=1), False), (make("obox", [1, 2, 3, 3, 5]), False)])
def test_boxes_of_one_image_are_the_same_where_they_nearly_cover_each_other(other, same):
    assert is_same(Box(100, 100, 300, 300), other) is same
    assert is_same(other, Box(100, 100, 300, 300)) is same


@quick
@given(values)
def test_every_value_but_a_seg_is_the_same_as_itself(value):
    assert is_same(value, value) is (value.kind != "seg")
