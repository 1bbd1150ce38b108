"""Token form and constrained decoding, by example."""

import json

import numpy as np
import pytest
from slis_cases import WORDS, byte_vocabulary, wordpiece, wordpiece_vocabulary

from eo_nodes.lvlm.slis import (
    SPATIAL_TOKENS,
    Automaton,
    Box,
    Mask,
    Point,
    SlisError,
    SlisSyntaxError,
    SlisValueError,
    SlisVocabulary,
    SpatialIds,
    State,
    TokenizerCodec,
    parse,
)

VOCABULARY = wordpiece_vocabulary()
IDS = VOCABULARY.ids
END = VOCABULARY.end_of_text


def loc(*bins):
    return [IDS.locations + v for v in bins]


def word(text):
    return WORDS.index(text)


def locations(allowed):
    """The bins among the allowed tokens."""
    return np.flatnonzero(allowed[IDS.locations : IDS.locations + 512]).tolist()


def others(allowed):
    """The allowed tokens that are no bins, by name."""
    names = {**dict(enumerate(WORDS)), **dict(zip(IDS.all(), SPATIAL_TOKENS,
                                                              strict=True))}
    return {names[i] for i in np.flatnonzero(allowed)
            if not IDS.locations <= i < IDS.locations + 512}


def run(automaton, tokens, state=None):
    state = automaton.start() if state is None else state
    for token in tokens:
        state = automaton.advance(state, token)
    return state


# -- vocabulary ----------------------------------------------------------------------------------


def test_names_and_ids_of_a_block_agree():
    assert len(SPATIAL_TOKENS) == 7 + 1 + 8 + 512 == len(set(SPATIAL_TOKENS))
    ids = SpatialIds.block(1000)
    names = dict(zip(ids.all(), SPATIAL_TOKENS, strict=True))
    assert ids.all() == list(range(1000, 1528))
    assert names[ids.markers["mask"]] == "<mask>"
    assert (names[ids.end], names[ids.images + 3], names[ids.locations + 511]) == (
        "<end>", "<@3>", "<511>")


def test_ids_survive_a_configuration_file():
    ids = SpatialIds.block(77)
    assert SpatialIds.read(json.loads(json.dumps(ids.as_json()))) == ids


@pytest.mark.parametrize("content", [
    {}, {"markers": {}, "end": 1, "images": 2, "locations": 3},
    {**SpatialIds.block(0).as_json(), "end": "x"}, {**SpatialIds.block(0).as_json(), "markers": 3}])
def test_a_configuration_without_ids_is_refused(content):
    with pytest.raises(SlisValueError, match="spatial tokens"):
        SpatialIds.read(content)


@pytest.mark.parametrize(("size", "ids", "end"), [
    (600, SpatialIds.block(100), 3),                       # reaches beyond the vocabulary
    (700, SpatialIds.block(-1), 600),
    (700, SpatialIds.block(100), 700),
    (700, SpatialIds.block(100), 100),                     # the end is a marker
    (700, SpatialIds(SpatialIds.block(0).markers, 3, 10, 50), 2),
])
def test_ids_that_overlap_or_lie_outside_are_refused(size, ids, end):
    with pytest.raises(SlisValueError):
        SlisVocabulary(size, ids, TokenizerCodec(wordpiece()), end)


def test_token_form_of_each_kind():
    m = IDS.markers
    assert VOCABULARY.encode("<point 1 2>") == [m["point"], *loc(1, 2)]
    assert VOCABULARY.encode("<box @3 1 2 3 4>") == [m["box"], IDS.images + 3, *loc(1, 2, 3, 4)]
    assert VOCABULARY.encode("<poly 1 2 3 4 5 6>") == [m["poly"], *loc(1, 2, 3, 4, 5, 6), IDS.end]
    assert VOCABULARY.encode("<mask 1 2 0 2>") == [m["mask"], *loc(1, 2, 0, 2), IDS.end]
    assert VOCABULARY.encode("<seg @1>") == [m["seg"], IDS.images + 1]


def test_text_and_values_mix_and_come_back():
    text = "two ships at <point 1 2>, (<box 1 2 3 4>) and <seg>."
    ids = VOCABULARY.encode(text)
    assert ids[:3] == [word("two"), word("ships"), word("at")]
    assert VOCABULARY.segments(ids)[1] == Point(1, 2)
    assert VOCABULARY.decode(ids) == text
    assert VOCABULARY.decode([*ids, END, word("none"), IDS.end]) == text


def test_a_codec_that_keeps_spaces_gets_exact_text_back():
    vocabulary = byte_vocabulary()
    text = "  Zwei Schiffe:<point 1 2>,<box 1 2 3 4>  \u00fc < x <boxes> "
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_typed_names_of_tokens_stay_text():
    """Also where the tokenizer knows the spatial tokens: "<12>" in a question is no location."""
    tokenizer = wordpiece()
    tokenizer.add_special_tokens(list(SPATIAL_TOKENS))
    vocabulary = SlisVocabulary(len(WORDS) + 528, SpatialIds.block(len(WORDS)),
                                TokenizerCodec(tokenizer), END)
    ids = vocabulary.encode("1 <12> <end> <point 1 2>")
    assert [i for i in ids if i >= len(WORDS)] == vocabulary.encode("<point 1 2>")


@pytest.mark.parametrize(("tokens", "position", "reason"), [
    ([word("two"), IDS.end], 1, "outside a value"),
    ([*loc(3)], 0, "outside a value"),
    ([IDS.images + 1], 0, "outside a value"),
    ([IDS.markers["point"], *loc(1)], 0, "cut off"),
    ([IDS.markers["point"], *loc(1), word("two")], 2, "inside point"),
    ([IDS.markers["point"], *loc(1), END], 2, "inside point"),
    ([IDS.markers["point"], IDS.images, *loc(1, 2)], 1, "inside point"),
    ([IDS.markers["poly"], *loc(1, 2, 3, 4, 5, 6)], 0, "cut off"),
    ([IDS.markers["poly"], *loc(1, 2, 3, 4), IDS.end], 0, "2 vertices"),
    ([IDS.markers["box"], *loc(5, 5, 4, 9)], 0, "not in order"),
    ([IDS.markers["box"], *loc(1, 2), IDS.end, *loc(3)], 3, "inside box"),
])
def test_malformed_tokens_are_named_with_their_place(tokens, position, reason):
    with pytest.raises(SlisSyntaxError, match=reason) as caught:
        VOCABULARY.decode(tokens)
    assert caught.value.position == position


# -- automaton -----------------------------------------------------------------------------------


def test_free_text_allows_words_the_end_and_markers():
    allowed = Automaton(VOCABULARY).allowed(State(), 50)
    assert locations(allowed) == []
    names = others(allowed)
    assert {"two", "##s", "[SEP]", "<box>", "<poly>", "<seg>"} <= names
    assert names.isdisjoint({"[PAD]", "[UNK]", "[CLS]", "<", "<end>", "<@1>"})
    assert not allowed[IDS.locations + 512 :].any()        # ids that nothing stands for


@pytest.mark.parametrize(("remaining", "markers"), [
    (1, {"<seg>"}), (2, {"<seg>"}), (3, {"<seg>", "<point>", "<span>"}),
    (5, {"<seg>", "<point>", "<span>", "<box>", "<mask>"}),
    (6, {"<seg>", "<point>", "<span>", "<box>", "<mask>", "<obox>"}),
    (8, {"<seg>", "<point>", "<span>", "<box>", "<mask>", "<obox>", "<poly>"})])
def test_a_value_opens_only_where_it_can_close(remaining, markers):
    allowed = Automaton(VOCABULARY).allowed(State(), remaining)
    assert {name for name in others(allowed) if name.startswith("<")} == markers


def test_corners_of_a_box_come_in_order():
    automaton = Automaton(VOCABULARY)
    state = run(automaton, [IDS.markers["box"], *loc(500, 20)])
    assert locations(automaton.allowed(state, 2)) == list(range(500, 512))
    state = run(automaton, loc(505), state)
    assert locations(automaton.allowed(state, 1)) == list(range(20, 512))
    assert run(automaton, loc(20), state) == automaton.start()


def test_a_span_stays_within_the_frames():
    automaton = Automaton(VOCABULARY, frames=4)
    state = run(automaton, [IDS.markers["span"]])
    assert locations(automaton.allowed(state, 2)) == [0, 1, 2, 3]
    assert locations(automaton.allowed(run(automaton, loc(2), state), 1)) == [2, 3]


def test_a_polygon_closes_behind_its_third_vertex():
    automaton = Automaton(VOCABULARY)
    state = run(automaton, [IDS.markers["poly"], *loc(1, 2, 3, 4, 5)])
    assert others(automaton.allowed(state, 9)) == set()
    state = run(automaton, loc(6), state)
    assert others(automaton.allowed(state, 3)) == {"<end>"}
    assert len(locations(automaton.allowed(state, 3))) == 512
    assert locations(automaton.allowed(state, 2)) == []        # a fourth would not close
    assert run(automaton, [IDS.end], state) == automaton.start()


def test_a_polygon_ends_at_the_most_vertices():
    automaton = Automaton(VOCABULARY)
    state = run(automaton, [IDS.markers["poly"], *loc(*range(256), *range(256))])
    assert locations(automaton.allowed(state, 99)) == []
    assert others(automaton.allowed(state, 99)) == {"<end>"}


def test_runs_of_a_mask_add_up():
    automaton = Automaton(VOCABULARY)
    state = run(automaton, [IDS.markers["mask"], *loc(2, 3)])
    assert locations(automaton.allowed(state, 9)) == [0, 1, 2, 3, 4, 5, 6]
    assert locations(automaton.allowed(state, 2)) == [6]       # one run and <end>
    state = run(automaton, loc(4), state)
    assert locations(automaton.allowed(state, 9)) == [1, 2]    # 0 would be a second spelling
    state = run(automaton, loc(2), state)
    assert locations(automaton.allowed(state, 9)) == []
    assert others(automaton.allowed(state, 9)) == {"<end>"}


def test_a_long_run_goes_on_behind_a_zero():
    automaton = Automaton(VOCABULARY)
    state = run(automaton, [IDS.markers["mask"], *loc(2, 400, 511)])
    assert locations(automaton.allowed(state, 9))[:2] == [0, 1]
    state = run(automaton, loc(0), state)
    assert locations(automaton.allowed(state, 9)) == list(range(1, 290))
    assert run(automaton, [*loc(89, 200), IDS.end], state) == automaton.start()


def test_the_grid_of_a_mask_fits_the_tokens_that_are_left():
    """Of 7 tokens, after rows, columns and <end>, 4 are left for runs of 511: 2,044 cells."""
    automaton = Automaton(VOCABULARY)
    state = run(automaton, [IDS.markers["mask"], *loc(10)])
    assert locations(automaton.allowed(state, 6)) == list(range(1, 205))
    state = run(automaton, loc(204), state)
    # 2,040 cells and 5 tokens: the first run leaves at most 3 x 511.
    assert locations(automaton.allowed(state, 5)) == list(range(507, 512))


def test_only_images_of_the_request_are_named():
    state = State("box", 0, True)
    assert others(Automaton(VOCABULARY).allowed(state, 9)) == set()
    automaton = Automaton(VOCABULARY, images=3)
    assert others(automaton.allowed(state, 9)) == {"<@1>", "<@2>"}
    assert others(automaton.allowed(state, 4)) == set()        # an index would not leave room
    state = run(automaton, [IDS.markers["box"], IDS.images + 2])
    assert others(automaton.allowed(state, 4)) == set()
    assert run(automaton, loc(1, 2, 3, 4), state) == automaton.start()


def test_behind_seg_an_index_or_text_may_come():
    automaton = Automaton(VOCABULARY, images=2)
    state = run(automaton, [IDS.markers["seg"]])
    assert {"<@1>", "two", "<box>", "[SEP]"} <= others(automaton.allowed(state, 9))
    assert "<@1>" not in others(automaton.allowed(run(automaton, [IDS.images + 1], state), 9))
    assert run(automaton, [word("two")], state) == automaton.start()


def test_kinds_can_be_left_out():
    automaton = Automaton(VOCABULARY, kinds=("box", "seg"))
    assert {n for n in others(automaton.allowed(State(), 50)) if n[0] == "<"} == {"<box>", "<seg>"}
    with pytest.raises(SlisError):
        automaton.advance(State(), IDS.markers["point"])


def test_behind_the_end_nothing_but_the_end_comes():
    automaton = Automaton(VOCABULARY)
    state = run(automaton, [END])
    assert others(automaton.allowed(state, 5)) == {"[SEP]"}
    assert run(automaton, [END], state) == state
    with pytest.raises(SlisError, match="behind the end"):
        automaton.advance(state, word("two"))


@pytest.mark.parametrize("tokens", [
    [IDS.end], loc(1), [IDS.images + 1], [word("<")], [word("[PAD]")], [-1], [10**6],
    [IDS.markers["point"], word("two")], [IDS.markers["point"], END],
    [IDS.markers["point"], IDS.images + 1], [IDS.markers["point"], IDS.end],
    [IDS.markers["box"], *loc(5, 5, 4)], [IDS.markers["mask"], *loc(0)],
    [IDS.markers["mask"], *loc(2, 2, 5)], [IDS.markers["mask"], *loc(2, 2, 1, 0)],
    [IDS.markers["mask"], *loc(2, 2, 4, 0)], [IDS.markers["poly"], *loc(1, 2, 3, 4), IDS.end]])
def test_a_token_that_cannot_come_is_refused(tokens):
    with pytest.raises(SlisError):
        run(Automaton(VOCABULARY), tokens)


def test_too_few_tokens_for_an_open_value_are_refused():
    automaton = Automaton(VOCABULARY)
    state = run(automaton, [IDS.markers["box"], *loc(1)])
    assert automaton.closing(state) == 3
    with pytest.raises(SlisError, match="2 tokens left"):
        automaton.allowed(state, 2)
    with pytest.raises(SlisError, match="0 tokens left"):
        automaton.allowed(automaton.start(), 0)


@pytest.mark.parametrize("options", [
    {"images": 0}, {"images": 9}, {"frames": 0}, {"frames": 513}, {"kinds": ("circle",)}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(SlisValueError):
        Automaton(VOCABULARY, **options)


def test_rows_are_not_to_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        Automaton(VOCABULARY).allowed(State(), 9)[0] = True


def test_greedy_decoding_under_the_automaton():
    """Logits that want a box with its corners swapped: the nearest legal one comes out."""
    automaton = Automaton(VOCABULARY)
    wishes = [IDS.markers["box"], *loc(300, 10, 200, 90), END]
    state, out = automaton.start(), []
    for step, wish in enumerate(wishes):
        logits = -np.abs(np.arange(VOCABULARY.size) - wish).astype(float)
        allowed = automaton.allowed(state, len(wishes) - step)
        out.append(int(np.where(allowed, logits, -np.inf).argmax()))
        state = automaton.advance(state, out[-1])
    assert parse(VOCABULARY.decode(out)) == [Box(300, 10, 300, 90)]


def test_a_mask_decodes_from_tokens():
    value = Mask(3, 300, (511, 0, 89, 300), image=1)
    assert VOCABULARY.segments(VOCABULARY.encode_segments([value])) == [value]
