"""Zooming out: what a model is handed of a picture, and where places lie on it."""

import numpy as np
import pytest

from eo_nodes import api
from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.lvlm.visual_prompts import VisualPromptError, drawn, extent, outline
from eo_nodes.lvlm.zoom_out import zoomed_out

RGB = ("red", "green", "blue")
WINDOW = (500, 300, 100, 50)        # seen with (450, 225, 200, 200)


def image(height=600, width=800, frames=1):
    """An image whose red and green say row and column."""
    rows, cols = np.mgrid[:height, :width]
    one = np.stack([rows, cols, 0 * rows], -1).astype(np.uint16)
    return ImageInput(np.stack([one] * frames), RGB, "temporal" if frames > 1 else "optical")


class Seeing:
    """A model that keeps what it was handed."""

    def answer(self, images, prompt, visual_prompts, *, max_tokens, zooms=0):
        self.images, self.prompt, self.places = images, prompt, visual_prompts
        return "it <box 0 0 511 511>", 0.5, 3


def test_one_call_sees_the_wider_view_and_points_at_what_is_asked():
    model = Seeing()
    api.answer(model, image(), "What is this?", around=WINDOW)
    seen, = model.images
    assert seen.values.shape == (1, 200, 200, 3)
    assert seen.values[0, 0, 0].tolist() == [225, 450, 0]
    place, = model.places
    assert place.xy == pytest.approx((50 / 200, 75 / 200, 150 / 200, 125 / 200))
    assert model.prompt.startswith("What is this? <box ")
    api.answer(model, image(), "What is this?")
    assert model.images[0].values.shape == (1, 600, 800, 3) and not model.places


def test_places_of_the_picture_come_to_what_is_seen():
    whole = image()
    cells = np.zeros((600, 800), bool)
    cells[250:260, 470:500] = True
    given = [api.point(whole, 450, 425), api.box(whole, (400, 300, 550, 310), label="pier"),
             outline(np.array([[480, 240], [520, 240], [520, 280]]) / (800, 600)),
             drawn(cells, label="oil")]
    asked, point, box, triangle, mask = zoomed_out([whole], WINDOW, given).places
    assert asked.kind == "box"
    assert point.xy == (0.0, 1.0)
    assert (box.xy, box.label) == ((0.0, 75 / 200, 100 / 200, 85 / 200), "pier")
    assert extent(triangle) == pytest.approx((30 / 200, 15 / 200, 70 / 200, 55 / 200))
    # Cells of the mask are 511 to a side of the picture: it is right to one of them.
    assert extent(mask) == pytest.approx((20 / 200, 25 / 200, 50 / 200, 35 / 200), abs=0.012)
    assert mask.label == "oil"


@pytest.mark.parametrize("place", [
    api.point(image(), 449, 300), api.box(image(), (0, 0, 450, 225)),
    drawn(np.pad(np.ones((10, 10)), ((0, 590), (0, 790))))])
def test_a_place_outside_of_what_is_seen_is_an_error(place):
    with pytest.raises(VisualPromptError, match=r"place 1.* lies outside the window"):
        zoomed_out([image()], WINDOW, [place])


def test_dates_and_sensors_are_cut_to_the_same_part():
    sight = zoomed_out([image(frames=2), image(300, 400)], WINDOW)
    dates, coarse = sight.images
    assert dates.values.shape == (2, 200, 200, 3)
    assert coarse.values.shape == (1, 101, 100, 3)
    assert coarse.values[0, 0, 0].tolist() == [112, 225, 0]
    assert sight.corners == ((450, 225), (450, 225), (225, 112))
    whole, = sight.spatial("<box 0 0 511 511>")
    assert whole["xy"] == pytest.approx([450, 225, 650, 425], abs=0.5)
    late, = sight.spatial("<point @2 0 0>")
    assert late["xy"] == pytest.approx([225, 112], abs=0.5)


def test_all_of_a_picture_is_seen_as_it_is():
    sight = zoomed_out([image(60, 80)], (0, 0, 80, 60))
    assert (sight.places, sight.told()) == ((), {})
    assert sight.images[0].values.shape == (1, 60, 80, 3)


@pytest.mark.parametrize("window", [
    (0, 0, 0, 5), (-1, 0, 5, 5), (790, 0, 20, 5), (0, 590, 5, 20), (0, 0, 5)])
def test_a_window_that_is_none_of_the_picture_is_named(window):
    with pytest.raises(ModelError, match=r"is no window .* inside the image of 800 x 600 pixels"):
        zoomed_out([image()], window)


def test_without_an_image_there_is_nothing_to_zoom_out_from():
    with pytest.raises(ModelError, match="there is no image"):
        zoomed_out([], WINDOW)
