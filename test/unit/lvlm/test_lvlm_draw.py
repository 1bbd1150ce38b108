"""Pictures with places painted on them, and places in pixels."""

import cv2
import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.draw import ANSWER_COLOURS, PROMPT_COLOUR, display, paint, png
from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.lvlm.places import places_of
from eo_nodes.lvlm.slis import parse

RGB = ("red", "green", "blue")
GREY = 90


def image(height=100, width=200, count=3, dtype=np.uint8, bands=RGB):
    return ImageInput(np.full((1, height, width, count), GREY, dtype), bands, "optical")


def where(picture, colour):
    return np.argwhere((picture == np.array(colour)).all(-1))


@pytest.mark.parametrize(
    ("text", "x_range", "y_range"),
    [
        ("<box 128 128 383 383>", (0.25, 0.75), (0.25, 0.75)),
        ("<poly 0 0 256 0 256 511>", (0.0, 0.5), (0.0, 1.0)),
        ("<obox 256 256 256 128 0>", (0.25, 0.75), (0.25, 0.75)),
    ],
)
def test_outlines_lie_where_they_should(text, x_range, y_range):
    picture = paint([image()], parse(text))
    height, width = picture.shape[:2]
    ys, xs = where(picture, ANSWER_COLOURS[0]).T
    assert (xs.min() / width, xs.max() / width) == pytest.approx(x_range, abs=0.02)
    assert (ys.min() / height, ys.max() / height) == pytest.approx(y_range, abs=0.04)


def test_masks_tint_their_cells_only():
    picture = paint([image()], parse("water <mask 2 2 1 1 2>"))
    height, width = picture.shape[:2]
    tinted = (picture != GREY).any(-1)
    assert tinted[: height // 2, width // 2 :].all()
    assert not tinted[height // 2 :].any() and not tinted[:, : width // 2].any()


def test_prompts_are_white_and_on_their_own_image():
    picture = paint([image(), image()], [], parse("<point @1 256 256>"))
    ys, xs = where(picture[:, :, :], PROMPT_COLOUR).T
    # Two pictures of 400 px beside a white gap of 8.
    circle = (xs > 408)
    assert circle.any() and not (xs < 400).any()
    assert np.abs(xs[circle] - 608).max() <= 9 and np.abs(ys[circle] - 100).max() <= 9


def test_a_caption_stands_below_and_odd_characters_do_no_harm():
    plain, named = paint([image()], []), paint([image()], [], caption="Wo? \u00e9 " + "x" * 300)
    assert named.shape[0] > plain.shape[0] and named.shape[1] == plain.shape[1]
    assert (named[: plain.shape[0]] == plain).all()
    assert (named[plain.shape[0] :] < 100).any()


def test_png_holds_the_picture():
    picture = paint([image()], parse("<box 1 1 90 90>"))
    back = cv2.imdecode(np.frombuffer(png(picture), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert (back == picture).all()


def test_display_takes_true_colour_of_many_bands():
    values = np.zeros((1, 4, 4, 5), np.uint8)
    values[..., 3], values[..., 2], values[..., 1] = 10, 20, 30
    bands = ("B01 443nm", "B02 490nm", "B03 560nm", "B04 665nm", "B05 red edge 705nm")
    assert display(ImageInput(values, bands, "multispectral"))[0, 0].tolist() == [10, 20, 30]


def test_display_stretches_what_is_not_8_bit_and_survives_nan():
    values = np.linspace(-30, 0, 100, dtype=np.float32).reshape(1, 10, 10, 1)
    values[0, 0, 0, 0] = np.nan
    shown = display(ImageInput(values, ("VV",), "sar"))
    assert shown.shape == (10, 10, 3) and shown.dtype == np.uint8
    assert shown[0, 1, 0] < 10 and (shown[..., 0] == shown[..., 2]).all()


def test_places_in_pixels_of_their_image():
    found = places_of("a ship <box 0 0 255 255> at <point @1 256 0> in <span 0 3> <mask 1 2 1 1>",
                      [(100, 200), (50, 512)])
    assert [(f["kind"], f["image"]) for f in found] == [
        ("box", 0), ("point", 1), ("span", 0), ("mask", 0)]
    assert found[0]["xy"] == pytest.approx([0.2, 0.1, 99.8, 49.9], abs=0.06)
    assert found[1]["xy"] == pytest.approx([256.5, 0.05], abs=0.06)
    assert found[2]["frames"] == [0, 3]
    assert (found[3]["rows"], found[3]["cols"], found[3]["runs"]) == (1, 2, [1, 1])
    assert found[0]["text"] == "<box 0 0 255 255>"


def test_a_place_on_no_image_is_an_error():
    with pytest.raises(ModelError, match="image 2 of 1"):
        places_of("<point @2 1 1>", [(10, 10)])
