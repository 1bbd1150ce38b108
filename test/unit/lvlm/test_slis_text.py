"""The spatial language as text: examples of the grammar, and what is refused where."""

import pytest

from eo_nodes.contracts.errors import EoError
from eo_nodes.lvlm.slis import (
    Box,
    Mask,
    OrientedBox,
    Point,
    Polygon,
    Seg,
    SlisError,
    SlisSyntaxError,
    SlisValueError,
    Span,
    fill_segs,
    make,
    parse,
    serialise,
    token_cost,
    write_value,
)

EXAMPLES = {
    "<point 12 40>": (Point(12, 40), 3),
    "<box 12 40 80 99>": (Box(12, 40, 80, 99), 5),
    "<box @1 12 40 80 99>": (Box(12, 40, 80, 99, image=1), 6),
    "<obox 256 100 60 20 511>": (OrientedBox(256, 100, 60, 20, 511), 6),
    "<poly 0 0 511 0 511 511>": (Polygon(((0, 0), (511, 0), (511, 511))), 8),
    "<mask 2 3 1 2 3>": (Mask(2, 3, (1, 2, 3)), 7),
    "<mask @7 2 3 0 6>": (Mask(2, 3, (0, 6), image=7), 7),
    "<span 0 3>": (Span(0, 3), 3),
    "<seg>": (Seg(), 1),
    "<seg @2>": (Seg(2), 2),
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_each_kind_reads_and_writes(text):
    value, cost = EXAMPLES[text]
    assert parse(text) == [value]
    assert write_value(value) == text
    assert token_cost(value) == cost
    assert make(value.kind, value.numbers, value.image) == value


def test_free_text_stands_between_values():
    text = "two ships: <box 1 2 3 4> and <box 5 6 7 8>, none at <point 0 0>"
    assert parse(text) == ["two ships: ", Box(1, 2, 3, 4), " and ", Box(5, 6, 7, 8),
                           ", none at ", Point(0, 0)]
    assert serialise(parse(text)) == text


@pytest.mark.parametrize("text", [
    "", "no value at all", "a < b > c", "<boxer 1 2>", "< box 1 2 3 4>", "<12>", "<end>", "<@1>",
    "<Box 1 2 3 4>", "<<", "box 1 2 3 4>", "<seg1>", "\x00\ud800"])
def test_other_angle_brackets_are_free_text(text):
    assert parse(text) == ([text] if text else [])


def test_a_value_may_follow_an_angle_bracket():
    assert parse("<<seg>>") == ["<", Seg(), ">"]


@pytest.mark.parametrize(("text", "position", "reason"), [
    ("at <point 1>", 3, "1 numbers, needs 2"),
    ("at <point 1 2 3>", 3, "3 numbers, needs 2"),
    ("at <point", 3, "never closed"),
    ("at <point 1 2", 3, "never closed"),
    ("<point 1 512>", 0, "512 is outside 0 to 511"),
    ("<point 01 2>", 7, "leading zeros"),
    ("<point 1  2>", 9, "no number"),
    ("<point 1 2 >", 11, "no number"),
    ("<point 1,2>", 7, "no number"),
    ("<point 1\t2>", 7, "no number"),
    ("<point -1 2>", 7, "no number"),
    ("<point 1.5 2>", 7, "no number"),
    ("<point \u0661 2>", 7, "no number"),
    ("<point @0 1 2>", 7, "without an index"),
    ("<point @8 1 2>", 7, "no image index"),
    ("<point 1 @1 2>", 9, "no image index"),
    ("<point @1 @1 2>", 10, "no image index"),
    ("<point-ed>", 6, "expected a space"),
    ("<box 5 0 4 9>", 0, "not in order"),
    ("<box 0 5 9 4>", 0, "not in order"),
    ("<span 3 2>", 0, "later"),
    ("<poly 1 2 3 4>", 0, "2 vertices"),
    ("<poly 1 2 3 4 5 6 7>", 0, "no pairs"),
    ("<poly" + " 1 2" * 257 + ">", 0, "257 vertices"),
    ("<mask 1 1>", 0, "rows, cols and runs"),
    ("<mask 0 5 0>", 0, "0 x 5"),
    ("<mask 2 2 1 2>", 0, "add up to 3"),
    ("<mask 2 2 1 0 3>", 0, "follows one of 1"),
    ("<mask 2 2 4 0>", 0, "follows one of 4"),
    ("<mask 2 2 0 0 4>", 0, "follows one of 0"),
    ("<mask 7 73 511 0>", 0, "last run is 0"),
    ("<seg 1>", 0, "1 numbers, needs 0"),
    ("<box 1 2 3 4<point 1 2>", 11, "no number"),
])
def test_malformed_values_are_named_with_their_place(text, position, reason):
    with pytest.raises(SlisSyntaxError, match=reason) as caught:
        parse(text)
    assert caught.value.position == position
    assert isinstance(caught.value, SlisError) and isinstance(caught.value, EoError)


def test_long_runs_have_one_spelling():
    assert write_value(Mask(2, 400, (511, 0, 89, 200))) == "<mask 2 400 511 0 89 200>"
    for runs in ((600, 200), (300, 0, 300, 200), (89, 0, 511, 200), (511, 0, 0, 0, 89, 200)):
        with pytest.raises(SlisValueError):
            Mask(2, 400, runs)


def test_free_text_may_not_open_a_value():
    with pytest.raises(SlisSyntaxError, match="free text") as caught:
        serialise([Point(1, 2), " see <box", " 1 2 3 4>"])
    assert caught.value.position == len("<point 1 2> see ")
    with pytest.raises(SlisSyntaxError):
        serialise(["<se", "g>"])            # only together do they open one


@pytest.mark.parametrize(("kind", "numbers"), [
    ("circle", (1, 2, 3)), ("box", (1, 2, 3)), ("poly", (1, 2, 3)), ("mask", (1, 1))])
def test_values_are_made_from_the_right_number_of_fields(kind, numbers):
    with pytest.raises(SlisValueError):
        make(kind, numbers)


@pytest.mark.parametrize("image", [-1, 8])
def test_image_index_is_bounded(image):
    with pytest.raises(SlisValueError, match="image"):
        Point(1, 2, image=image)


def test_segs_are_filled_in_order():
    text = "roof <seg>, water <seg @1>"
    masks = [Mask(1, 2, (1, 1)), Mask(1, 2, (0, 2), image=1)]
    assert fill_segs(text, masks) == "roof <mask 1 2 1 1>, water <mask @1 1 2 0 2>"
    assert fill_segs(text, [None, None]) == text
    with pytest.raises(SlisValueError, match="1 masks for 2"):
        fill_segs(text, masks[:1])
    with pytest.raises(SlisValueError, match="image 1"):
        fill_segs(text, masks[::-1])
