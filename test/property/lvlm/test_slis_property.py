"""The spatial language: exact inverses, no crash on any input, no malformed output from any logits.

Hypothesis looks for the odd case with few examples; seeded loops give the volume.
"""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slis_cases import (
    byte_vocabulary,
    masks,
    near_text,
    near_values,
    values,
    wordpiece_vocabulary,
)

from eo_nodes.lvlm.slis import (
    KINDS,
    Automaton,
    SlisError,
    SlisSyntaxError,
    box_from,
    box_xyxy,
    make,
    mask_cells,
    mask_from,
    oriented_corners,
    oriented_from,
    parse,
    point_from,
    point_xy,
    polygon_from,
    polygon_xy,
    serialise,
    token_cost,
    write_value,
)

WORDPIECE, BYTES = wordpiece_vocabulary(), byte_vocabulary()
quick = settings(max_examples=40, deadline=None, derandomize=True)


def merged(segments):
    """Segments as the parser gives them: neighbouring strings joined, empty ones dropped."""
    out = []
    for segment in segments:
        if isinstance(segment, str) and out and isinstance(out[-1], str):
            out[-1] += segment
        elif segment != "":
            out.append(segment)
    return out


# -- text ----------------------------------------------------------------------------------------


@quick
@given(values)
def test_a_value_comes_back_from_its_text(value):
    assert parse(write_value(value)) == [value]
    assert make(value.kind, value.numbers, value.image) == value


@quick
@given(st.lists(st.one_of(near_text, values), max_size=8))
def test_segments_come_back_from_their_text(segments):
    try:
        text = serialise(segments)
    except SlisSyntaxError:
        return  # free text that opens a value; the examples show that it is refused
    assert parse(text) == merged(segments)


@quick
@given(near_values)
def test_every_text_that_is_read_is_canonical(text):
    """The other direction, over near misses too: what the parser takes it gives back exactly."""
    try:
        segments = parse(text)
    except SlisSyntaxError as error:
        assert 0 <= error.position < len(text)
        return
    assert serialise(segments) == text
    assert merged(segments) == segments


def read_or_refuse(text):
    """What must hold for any text at all; returns whether it was read."""
    try:
        segments = parse(text)
    except SlisSyntaxError as error:
        assert 0 <= error.position < len(text), repr(text)
        return False
    assert serialise(segments) == text, repr(text)
    return True


def test_random_bytes_never_crash_the_parser():
    rng = np.random.default_rng(11)
    for _ in range(1000):
        raw = rng.bytes(int(rng.integers(0, 200)))
        for text in (raw.decode("latin-1"), raw.decode("utf-8", "replace"),
                     raw.decode("utf-8", "surrogateescape")):
            read_or_refuse(text)


def test_pieces_of_values_in_any_order_are_read_or_refused():
    pieces = [*(f"<{kind}" for kind in KINDS), " 1", " 2", " 511", " 512", " 01", ">", ">", " @1",
              " @0", " @8", " ", "<end>", "<12>", "<", "x", "-", "\t", "\u0661", "@1"]
    rng = random.Random(12)
    read = sum(read_or_refuse("".join(rng.choices(pieces, k=rng.randrange(12))))
               for _ in range(20_000))
    assert 2_000 < read < 18_000        # both ways are taken often


def test_a_damaged_value_is_text_or_an_error_never_a_crash():
    rng = random.Random(13)
    texts = ["<point 12 40>", "<box @1 12 40 80 99>", "<obox 1 2 3 4 5>", "<seg @2>", "<span 0 3>",
             "<poly 0 0 511 0 511 511>", "<mask 2 400 511 0 89 200>"]
    read = 0
    for _ in range(5_000):
        damaged = rng.choice(texts)
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(damaged))
            damaged = damaged[:place] + rng.choice(["", "<", ">", " ", "9", "@1"]) + (
                damaged[place + rng.randrange(2) :])
        read += read_or_refuse(damaged) if damaged else 1
    assert 500 < read < 4_500


# -- numbers -------------------------------------------------------------------------------------


@quick
@given(masks())
def test_a_mask_comes_back_from_its_cells(mask):
    assert mask_from(mask_cells(mask), mask.image) == mask


unit = st.floats(0, 1)


@quick
@given(unit, unit, unit, unit)
def test_boxes_and_points_are_off_by_half_a_bin(a, b, c, d):
    edges = (min(a, b), min(c, d), max(a, b), max(c, d))
    value = box_from(*edges)
    # A side within one bin becomes that bin, so each edge may then move by up to one bin.
    assert np.abs(np.subtract(box_xyxy(value), edges)).max() <= 1 / 512 + 1e-12
    if value.x1 < value.x2 and value.y1 < value.y2:
        assert np.abs(np.subtract(box_xyxy(value), edges)).max() <= 0.5 / 512 + 1e-12
    assert box_from(*box_xyxy(value)) == value
    assert np.abs(np.subtract(point_xy(point_from(a, b)), (a, b))).max() <= 0.5 / 512 + 1e-12


@quick
@given(st.lists(st.tuples(unit, unit), min_size=3, max_size=12))
def test_quantising_an_outline_twice_changes_nothing(xy):
    value = polygon_from(xy)
    assert polygon_from(polygon_xy(value)) == value


@quick
@given(st.floats(0.3, 0.7), st.floats(0.3, 0.7), st.floats(0.1, 0.3), st.floats(0.02, 0.08),
       st.floats(0, 179.9), st.sampled_from([(1, 1), (640, 480), (200, 500)]))
def test_quantising_an_oriented_box_twice_moves_it_by_a_bin_at_most(cx, cy, w, h, deg, size):
    turn, longer = np.deg2rad(deg), max(size)
    along = np.array([np.cos(turn), np.sin(turn)]) * w * longer / 2
    across = np.array([-np.sin(turn), np.cos(turn)]) * h * longer / 2
    centre = np.array([cx, cy]) * size
    quad = np.array([centre - along - across, centre + along - across, centre + along + across,
                     centre - along + across]) / size
    once = oriented_from(quad, size)
    twice = oriented_from(oriented_corners(once, size), size)
    gaps = np.abs(np.subtract(once.numbers, twice.numbers))
    gaps[4] = min(gaps[4], 512 - gaps[4])
    assert gaps.max() <= 1


# -- tokens --------------------------------------------------------------------------------------


@quick
@given(st.lists(values, max_size=5))
def test_values_come_back_from_their_tokens(listed):
    for vocabulary in (WORDPIECE, BYTES):
        ids = vocabulary.encode_segments(listed)
        assert vocabulary.segments(ids) == listed
        assert len(ids) == sum(map(token_cost, listed))


@quick
@given(st.lists(st.one_of(near_text, values), max_size=6))
def test_a_codec_that_keeps_spaces_is_an_exact_inverse(segments):
    text = "".join(s if isinstance(s, str) else write_value(s) for s in segments)
    try:
        ids = BYTES.encode(text)
    except SlisSyntaxError:
        return
    assert BYTES.decode(ids) == text


def test_damaged_tokens_never_crash_the_reader():
    rng = random.Random(14)
    ids = WORDPIECE.encode("two <point 12 40> <seg> <box @1 12 40 80 99> ship <span 0 3> <seg @2>"
                           " <poly 0 0 511 0 511 511> at <mask 2 400 511 0 89 200>")
    pools = [WORDPIECE.ids.all()[:16], range(WORDPIECE.ids.locations, WORDPIECE.ids.locations + 9),
             range(WORDPIECE.size)]
    read = 0
    for _ in range(4_000):
        start = rng.randrange(len(ids))
        tokens = ids[start : start + rng.randrange(20)]
        for _ in range(rng.randrange(3)):
            place = rng.randrange(len(tokens) + 1)
            tokens[place : place + rng.randrange(2)] = [rng.choice(rng.choice(pools))]
        try:
            text = WORDPIECE.decode(tokens)
        except SlisSyntaxError as error:
            assert 0 <= error.position < len(tokens), tokens
            continue
        assert serialise(parse(text)) == text, tokens
        read += 1
    assert 100 < read < 3_900


# -- automaton -----------------------------------------------------------------------------------


def decode(vocabulary, automaton, logits_of, length):
    """Greedy decoding of ``length`` tokens at most; asserts what must hold at each step."""
    state, out = automaton.start(), []
    while len(out) < length and (not out or out[-1] != vocabulary.end_of_text):
        remaining = length - len(out)
        assert automaton.closing(state) <= remaining
        allowed = automaton.allowed(state, remaining)
        assert allowed.any()
        out.append(int(np.where(allowed, logits_of(), -np.inf).argmax()))
        state = automaton.advance(state, out[-1])
    assert not automaton.is_open(state)
    return out


@pytest.mark.parametrize("vocabulary", [WORDPIECE, BYTES], ids=["wordpiece", "bytes"])
@pytest.mark.parametrize("wanted", [*KINDS, "any"])
def test_random_logits_always_give_well_formed_text(vocabulary, wanted):
    """Any cut, any images; biased towards one kind, towards <end>, towards small or large bins."""
    rng = np.random.default_rng(KINDS.index(wanted) if wanted in KINDS else 99)
    ids, seen = vocabulary.ids, set()
    for _ in range(60):
        images, frames, length = (int(rng.integers(1, most + 1)) for most in (8, 512, 60))
        weights = np.zeros(vocabulary.size)
        weights[ids.markers[wanted] if wanted in KINDS else ids.all()[:8]] = 0.9
        weights[ids.end] = rng.uniform(-0.9, 0.9)
        slope = rng.uniform(-0.9, 0.9)
        weights[ids.locations : ids.locations + 512] = np.linspace(slope, -slope, 512)
        automaton = Automaton(vocabulary, images=images, frames=frames)
        text = vocabulary.decode(decode(
            vocabulary, automaton, lambda w=weights: rng.random(len(w)) + w, length))
        segments = parse(text)
        assert serialise(segments) == text
        for value in segments:
            if not isinstance(value, str):
                seen.add(value.kind)
                assert value.image < images
                assert value.kind != "span" or value.t2 < frames
    assert seen == set(KINDS) if wanted == "any" else wanted in seen


@quick
@given(st.lists(values, min_size=1, max_size=4))
def test_every_value_can_be_decoded_in_exactly_its_tokens(listed):
    """The constraint refuses nothing that is well formed, even when no token is to spare."""
    automaton = Automaton(WORDPIECE, images=8)
    ids = WORDPIECE.encode_segments(listed)
    state = automaton.start()
    for place, token in enumerate(ids):
        assert automaton.allowed(state, len(ids) - place)[token]
        state = automaton.advance(state, token)
    assert not automaton.is_open(state)


@quick
@given(values, st.data())
def test_closing_is_the_fewest_tokens(value, data):
    """From any place inside a value ``closing`` tokens suffice, and one fewer is refused."""
    automaton = Automaton(WORDPIECE, images=8)
    ids = WORDPIECE.encode_segments([value])
    cut = data.draw(st.integers(0, len(ids) - 1))
    state = automaton.start()
    for token in ids[:cut]:
        state = automaton.advance(state, token)
    left = automaton.closing(state)
    assert left <= len(ids) - cut
    while automaton.is_open(state):
        allowed = np.flatnonzero(automaton.allowed(state, left))
        state = automaton.advance(state, int(data.draw(st.sampled_from(allowed.tolist()))))
        left -= 1
    assert left == 0


@quick
@given(st.lists(st.integers(0, WORDPIECE.size - 1), max_size=20))
def test_a_token_is_advanced_over_if_and_only_if_it_may_come(tokens):
    """``advance`` and ``allowed`` agree when there is room for everything."""
    automaton = Automaton(WORDPIECE, images=3, frames=9)
    state = automaton.start()
    for token in [WORDPIECE.ids.markers["mask"], *tokens]:
        allowed = automaton.allowed(state, 10**6)
        for probe in (token, int(allowed.argmax()), int(allowed.size - 1 - allowed[::-1].argmax())):
            try:
                after = automaton.advance(state, probe)
                assert allowed[probe]
            except SlisError:
                assert not allowed[probe]
                continue
        state = after
