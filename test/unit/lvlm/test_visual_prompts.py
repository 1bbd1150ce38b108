"""Point, box and free-form mask: limits, pooling weights, text."""

import math

import numpy as np
import pytest

from eo_nodes.contracts import values as contracts
from eo_nodes.contracts.errors import EoError
from eo_nodes.contracts.rules import validate
from eo_nodes.lvlm.slis import (
    Mask,
    OrientedBox,
    Point,
    Polygon,
    Seg,
    SlisSyntaxError,
    Span,
    mask_from,
    parse,
    token_cost,
    write_value,
)
from eo_nodes.lvlm.spatial_metrics import box_iou, mask_iou
from eo_nodes.lvlm.visual_prompts import (
    MAX_PROMPTS,
    TEXT_VERTICES,
    VisualPrompt,
    VisualPromptError,
    as_text,
    as_value,
    box,
    compose,
    drawn,
    extent,
    from_pixels,
    from_value,
    outline,
    parse_prompt,
    place_in_text,
    point,
    rasterise,
)

WHOLE = (0.0, 0.0, 1.0, 1.0)
TRIANGLE = [0.1, 0.1, 0.5, 0.2, 0.3, 0.9]


# -- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fields", "field"), [
    ({"kind": "circle", "xy": (0.1, 0.1)}, "kind"),
    ({"kind": "polygon", "xy": tuple(TRIANGLE)}, "kind"),
    ({"kind": "point", "xy": (0.1,)}, "xy"),
    ({"kind": "point", "xy": ()}, "xy"),
    ({"kind": "point", "xy": (0.1, 1.01)}, "xy"),
    ({"kind": "point", "xy": (-0.01, 0.1)}, "xy"),
    ({"kind": "point", "xy": (math.nan, 0.1)}, "xy"),
    ({"kind": "point", "xy": (math.inf, 0.1)}, "xy"),
    ({"kind": "box", "xy": (0.1, 0.1, 0.5)}, "xy"),
    ({"kind": "box", "xy": (0.5, 0.1, 0.4, 0.2)}, "xy"),
    ({"kind": "box", "xy": (0.5, 0.1, 0.5, 0.2)}, "xy"),
    ({"kind": "mask", "xy": (0.1, 0.1, 0.2, 0.2)}, "xy"),
    ({"kind": "mask", "xy": (0.1,) * 7}, "xy"),
    ({"kind": "mask", "xy": (0.1,) * 514}, "xy"),
    ({"kind": "mask"}, "xy"),
    ({"kind": "mask", "mask": Mask(2, 2, (4,))}, "mask"),
    ({"kind": "mask", "mask": Mask(2, 2, (0, 4)), "xy": tuple(TRIANGLE)}, "mask"),
    ({"kind": "box", "mask": Mask(2, 2, (0, 4))}, "mask"),
    ({"kind": "point", "xy": (0.1, 0.1), "image": 8}, "image"),
    ({"kind": "point", "xy": (0.1, 0.1), "image": -1}, "image"),
    ({"kind": "point", "xy": (0.1, 0.1), "label": "x" * 65}, "label"),
])
def test_what_cannot_be_meant_is_named(fields, field):
    with pytest.raises(VisualPromptError) as caught:
        VisualPrompt(**fields)
    assert caught.value.field == field
    assert isinstance(caught.value, EoError)


def test_prompts_are_values():
    assert point(0.1, 0.2) == point(0.1, 0.2)
    assert len({point(0.1, 0.2), point(0.1, 0.2), drawn(np.eye(3)), drawn(np.eye(3))}) == 2


@pytest.mark.parametrize(("message", "expected"), [
    (contracts.VisualPrompt(kind="point", xy=(320.0, 60.0), label="A"),
     point(0.5, 0.25, label="A")),
    (contracts.VisualPrompt(kind="box", xy=(0.0, 0.0, 640.0, 240.0)), box(0, 0, 1, 1)),
    (contracts.VisualPrompt(kind="polygon", xy=(64.0, 24.0, 320.0, 48.0, 192.0, 216.0)),
     outline(TRIANGLE)),
])
def test_fields_of_a_message_fit(message, expected):
    """A 640 x 240 scene; what the contract lets through has a form here."""
    validate(message)
    found = from_pixels(message.kind, message.xy, 640, 240, label=message.label)
    assert (found.kind, found.label) == (expected.kind, expected.label)
    assert found.xy == pytest.approx(expected.xy)


@pytest.mark.parametrize(("kind", "xy", "size"), [
    ("mask", TRIANGLE, (9, 9)), ("point", (10.5, 3), (10, 9)), ("box", (1, 1, 3, 3), (0, 9))])
def test_pixels_outside_the_scene_are_refused(kind, xy, size):
    with pytest.raises(VisualPromptError):
        from_pixels(kind, xy, *size)


def test_a_drawn_mask_needs_a_set_cell():
    for cells in (np.zeros((4, 4)), np.ones(4), np.ones((2, 2, 2))):
        with pytest.raises(VisualPromptError, match="mask"):
            drawn(cells)


def test_a_large_drawing_is_resampled_and_a_thin_stroke_stays():
    cells = np.zeros((2000, 3000), bool)
    cells[1000, 100:2900] = True
    prompt = drawn(cells)
    assert (prompt.mask.rows, prompt.mask.cols) == (511, 511)
    x0, y0, x1, y1 = extent(prompt)
    assert (x0, x1) == pytest.approx((100 / 3000, 2900 / 3000), abs=2 / 511)
    assert y0 <= 1000 / 2000 <= y1


@pytest.mark.parametrize(("prompt", "expected"), [
    (point(0.1, 0.2), (0.1, 0.2, 0.1, 0.2)), (box(0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4)),
    (outline(TRIANGLE), (0.1, 0.1, 0.5, 0.9)), (drawn([[0, 0, 0, 0], [0, 1, 1, 0]]),
                                                (0.25, 0.5, 0.75, 1.0))])
def test_extent(prompt, expected):
    assert extent(prompt) == pytest.approx(expected)


# -- pooling weights -----------------------------------------------------------------------------


def test_box_weights_are_the_covered_share():
    """Columns 0..2 by 1, 1, 0.5; rows 1 and 2 by 0.5 and 1."""
    weights = rasterise(box(0, 0.375, 0.625, 0.75), WHOLE, 4, 4)
    expected = np.outer([0, 0.5, 1, 0], [1, 1, 0.5, 0])
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    assert weights.dtype == np.float32


def test_weights_of_a_zoom_are_those_of_the_part():
    """The view is the right half of the upper half: x 0.5..1, y 0..0.5."""
    weights = rasterise(box(0.5, 0.25, 0.75, 1), (0.5, 0, 0.5, 0.5), 2, 2)
    np.testing.assert_allclose(weights, [[0, 0], [1, 0]])


@pytest.mark.parametrize("prompt", [
    box(0.5, 0.25, 0.6, 0.5), outline([0.5, 0.25, 0.6, 0.25, 0.6, 0.5, 0.5, 0.5]),
    drawn([[0] * 10, [0] * 5 + [1] + [0] * 4, [0] * 10, [0] * 10])])
def test_weights_of_a_view_that_is_not_square(prompt):
    """The view is x 0.4..0.8, y 0..0.5: the place covers its second column, lower half."""
    weights = rasterise(prompt, (0.4, 0, 0.4, 0.5), 2, 4)
    np.testing.assert_allclose(weights, [[0, 0, 0, 0], [0, 1, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("prompt", [
    point(0.9, 0.9), box(0.6, 0.6, 0.9, 0.9), outline([0.6, 0.6, 0.9, 0.6, 0.7, 0.9]),
    drawn(np.pad(np.ones((2, 2)), ((6, 0), (6, 0))))])
def test_outside_the_view_all_weights_are_zero(prompt):
    assert rasterise(prompt, (0, 0, 0.5, 0.5), 8, 8).max() == 0


@pytest.mark.parametrize("prompt", [
    point(0.3, 0.7), box(0.3, 0.7, 0.3001, 0.7001), outline([0.3, 0.7, 0.30001, 0.7, 0.3, 0.70001]),
    drawn(np.eye(511)[:1])])
def test_the_largest_weight_is_one_however_small_the_prompt(prompt):
    weights = rasterise(prompt, WHOLE, 16, 16)
    assert weights.max() == 1
    assert weights.min() >= 0


def test_point_weights_are_a_gaussian_of_one_cell():
    weights = rasterise(point(3.5 / 8, 4.5 / 8), WHOLE, 8, 8)
    assert np.unravel_index(weights.argmax(), weights.shape) == (4, 3)
    assert weights[4, 4] == weights[3, 3] == pytest.approx(math.exp(-0.5))
    assert weights[4, 7] == 0
    np.testing.assert_allclose(weights[4, :3], weights[4, 4:7][::-1])


def test_point_moves_its_weight_within_a_cell():
    left, right = (rasterise(point(x, 0.5), WHOLE, 8, 8) for x in (3.1 / 8, 3.9 / 8))
    assert left[4, 2] > left[4, 4]
    assert right[4, 4] > right[4, 2]


def test_outline_and_drawing_of_the_same_area_agree():
    """A box told in four ways is pooled alike."""
    cells = np.zeros((64, 64))
    cells[8:40, 16:48] = 1
    edges = (16 / 64, 8 / 64, 48 / 64, 40 / 64)
    corners = [edges[0], edges[1], edges[2], edges[1], edges[2], edges[3], edges[0], edges[3]]
    expected = rasterise(box(*edges), WHOLE, 28, 28)
    for prompt in (outline(corners), drawn(cells), drawn(np.kron(cells, np.ones((5, 5))))):
        np.testing.assert_allclose(rasterise(prompt, WHOLE, 28, 28), expected, atol=0.07)


def test_a_view_deep_inside_a_prompt_is_all_weight():
    view = (0.5, 0.5, 0.001, 0.002)
    for prompt in (box(0.1, 0.1, 0.9, 0.9), outline([0.1, 0.1, 0.9, 0.1, 0.9, 0.9, 0.1, 0.9]),
                   drawn(np.pad(np.ones((6, 6)), 1))):
        assert rasterise(prompt, view, 4, 4).min() == pytest.approx(1)


@pytest.mark.parametrize(("view", "rows"), [
    ((0, 0, 0, 1), 4), ((0, 0, 1, -1), 4), ((0, 0, math.nan, 1), 4), ((math.inf, 0, 1, 1), 4),
    (WHOLE, 0), (WHOLE, 4096)])
def test_views_that_are_none_are_refused(view, rows):
    with pytest.raises(VisualPromptError, match="view"):
        rasterise(point(0.5, 0.5), view, rows, 4)


# -- text ----------------------------------------------------------------------------------------


def test_text_of_each_kind():
    assert as_text(point(0.2, 0.4)) == "<point 102 204>"
    assert as_text(box(0, 0, 0.5, 1, image=2)) == "<box @2 0 0 255 511>"
    assert as_text(outline(TRIANGLE)) == "<poly 51 51 256 102 153 460>"


def test_a_long_outline_is_told_with_few_vertices():
    turns = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    circle = 0.5 + 0.3 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    value = as_value(outline(circle))
    assert isinstance(value, Polygon)
    assert len(value.vertices) <= TEXT_VERTICES
    assert token_cost(value) <= 3 + 2 * TEXT_VERTICES
    told, meant = (rasterise(p, WHOLE, 64, 64) > 0.5 for p in (from_value(value), outline(circle)))
    assert mask_iou(told, meant) > 0.85


def test_a_drawing_is_told_by_its_outline_or_by_a_box():
    one = np.zeros((64, 64))
    one[16:32, 8:24] = 1
    value = as_value(drawn(one))
    assert isinstance(value, Polygon)
    assert box_iou([extent(from_value(value))], [(8 / 64, 16 / 64, 24 / 64, 32 / 64)])[0, 0] > 0.95
    two = one.copy()
    two[50:60, 50:60] = 1
    assert as_text(drawn(two)) == "<box 64 128 479 479>"


def test_prompts_go_behind_their_labels_or_to_the_end():
    prompts = [box(0.1, 0.1, 0.5, 0.6, label="A"), point(0.3, 0.3, label="B"), point(0.9, 0.9)]
    assert place_in_text("Is A larger than B?", prompts) == (
        "Is A <box 51 51 255 307> larger than B <point 153 153>? <point 460 460>")


def test_prompts_come_back_in_the_order_of_the_text_and_exact():
    """The drawing is told by its outline and still pooled cell by cell."""
    cells = np.zeros((64, 64))
    cells[16:32, 8:24] = 1
    given = [drawn(cells), box(0.1234567, 0.1, 0.5, 0.6, label="A")]
    text, found = compose("Like <point 1 2>, is A burnt?", given)
    assert [part.kind for part in parse(text) if not isinstance(part, str)] == [
        "point", "box", "poly"]
    assert found == (point(1.5 / 512, 2.5 / 512), given[1], given[0])


def test_a_label_is_a_whole_word():
    prompt = point(0, 0, label="a.b")
    assert place_in_text("xa.b axb a.b?", [prompt]) == "xa.b axb a.b <point 0 0>?"
    assert place_in_text("no such", [prompt]) == "no such <point 0 0>"
    assert place_in_text("", [prompt]) == "<point 0 0>"


def test_text_keeps_the_places_it_has():
    assert place_in_text("What is at <point 1 2>?", []) == "What is at <point 1 2>?"


def test_places_are_read_out_of_a_prompt():
    text = "What is at <point 100 200>, and in <box @1 10 20 30 40> during <span 0 2>?"
    back, prompts = parse_prompt(text)
    assert back == text
    assert [(p.kind, p.image) for p in prompts] == [("point", 0), ("box", 1)]
    assert [as_value(p) for p in prompts] == parse(text)[1:4:2]


def test_a_prompt_read_back_points_at_the_same_place():
    for prompt in (point(0.31, 0.62), box(0.1, 0.2, 0.6, 0.9), outline(TRIANGLE)):
        _, (again,) = parse_prompt(as_text(prompt))
        assert as_text(again) == as_text(prompt)
        assert extent(again) == pytest.approx(extent(prompt), abs=0.5 / 512 + 1e-9)


def test_a_mask_in_a_prompt_is_shortened_for_the_model_but_pooled_exactly():
    cells = np.zeros((32, 32))
    cells[4:20, 6:25] = 1
    value = mask_from(cells)
    text, (prompt,) = parse_prompt(f"describe {write_value(value)}")
    assert prompt.mask == value
    (_, shown) = parse(text)
    assert isinstance(shown, Polygon) and token_cost(shown) <= 3 + 2 * TEXT_VERTICES


def test_an_oriented_box_is_an_outline_inside_the_image():
    text, (prompt,) = parse_prompt("what is <obox 500 256 200 50 0>?")
    assert text == "what is <obox 500 256 200 50 0>?"
    assert prompt.kind == "mask"
    x0, _, x1, _ = extent(prompt)
    assert x1 == pytest.approx(1.0)
    assert x0 == pytest.approx((500.5 - 100.25) / 512, abs=0.01)


def test_an_oriented_box_takes_the_shape_of_its_image():
    """A square of pixels spans twice as much of the height of an image twice as wide as high."""
    _, (square,) = parse_prompt("<obox 256 256 100 100 0>")
    _, (wide,) = parse_prompt("<obox 256 256 100 100 0>", [(200, 100)])
    x0, y0, x1, y1 = extent(wide)
    assert (y1 - y0) == pytest.approx(2 * (x1 - x0), rel=1e-6)
    x0, y0, x1, y1 = extent(square)
    assert (y1 - y0) == pytest.approx(x1 - x0, rel=1e-6)


@pytest.mark.parametrize("value", [Seg(), Span(0, 1)])
def test_values_that_point_at_no_place(value):
    with pytest.raises(VisualPromptError, match=value.kind):
        from_value(value)


def test_what_a_prompt_may_not_hold():
    with pytest.raises(SlisSyntaxError):
        parse_prompt("what is <box 1 2>?")
    with pytest.raises(VisualPromptError, match="seg"):
        parse_prompt("fill <seg>")
    with pytest.raises(VisualPromptError, match="no cell"):
        parse_prompt("fill <mask 2 2 4>")
    with pytest.raises(VisualPromptError, match="17 in one request"):
        parse_prompt("<point 1 2>" * (MAX_PROMPTS + 1))
    with pytest.raises(VisualPromptError, match="17 in one request"):
        place_in_text("<point 1 2>" * MAX_PROMPTS, [point(0, 0)])


def test_values_become_prompts():
    assert from_value(Point(0, 511, image=1)) == point(0.5 / 512, 511.5 / 512, image=1)
    assert from_value(OrientedBox(256, 256, 100, 50, 128)).kind == "mask"
