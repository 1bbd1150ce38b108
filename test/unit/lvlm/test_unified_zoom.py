"""Which windows of an image are seen again."""

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.sight import Picture
from eo_nodes.lvlm.visual_prompts import box, point
from eo_nodes.lvlm.zoom import MAX_PICTURES, windows, with_zooms


def pictures(*shapes):
    return [Picture(np.arange(h * w).reshape(h, w, 1).astype(np.float32), ("red",), "optical",
                    image=i, frame=i, sensor=1) for i, (h, w) in enumerate(shapes)]


def test_without_a_place_the_four_quarters():
    assert windows(301, 400, 256, (), 4) == [
        (0, 0, 200, 150), (200, 0, 200, 150), (0, 150, 200, 151), (200, 150, 200, 151)]
    assert windows(301, 400, 256, (), 2) == [(0, 0, 200, 150), (200, 0, 200, 150)]
    assert windows(301, 400, 256, (), 0) == []


@pytest.mark.parametrize("shape", [(256, 256), (40, 256), (1, 9000)])
def test_nothing_to_gain(shape):
    assert windows(*shape, 256, (), 4) == []


def test_around_a_place_at_native_resolution():
    assert windows(1000, 2000, 256, [point(0.5, 0.5)], 4) == [(872, 372, 256, 256)]
    # In a corner the window stays inside the image.
    assert windows(1000, 2000, 256, [point(1.0, 0.0)], 4) == [(1744, 0, 256, 256)]


def test_a_large_place_is_seen_with_its_surroundings():
    (x, y, w, h), = windows(1000, 1000, 256, [box(0.3, 0.4, 0.7, 0.5)], 4)
    assert (w, h) == (600, 600) and (x, y) == (200, 150)
    # What fills the image is seen best as a whole.
    assert windows(1000, 1000, 256, [box(0.0, 0.0, 1.0, 0.9)], 4) == []


def test_places_share_a_window_and_the_first_count():
    near = [point(0.5, 0.5), point(0.51, 0.52), point(0.1, 0.1), point(0.9, 0.9)]
    assert len(windows(1000, 1000, 256, near, 4)) == 3
    assert windows(1000, 1000, 256, near, 1) == windows(1000, 1000, 256, near[:1], 1)


def test_zooms_are_cut_at_native_resolution_and_know_their_place():
    whole, zoom = with_zooms(pictures((500, 1000)), [point(0.25, 0.5)], 100, 4)
    assert (whole.kind, whole.window) == ("overview", (0.0, 0.0, 1.0, 1.0))
    assert (zoom.kind, zoom.image, zoom.frame, zoom.sensor) == ("zoom", 0, 0, 1)
    assert zoom.window == pytest.approx((0.2, 0.4, 0.1, 0.2))
    assert np.array_equal(zoom.values, whole.values[200:300, 200:300])


def test_each_picture_has_its_own_places_and_all_keep_to_the_limit():
    places = [point(0.5, 0.5, image=1)]
    found = with_zooms(pictures((500, 500), (500, 500), (50, 50)), places, 100, 4)
    assert [(p.kind, p.image) for p in found[3:]] == [("zoom", 0)] * 4 + [("zoom", 1)]
    for count in range(1, 9):
        assert len(with_zooms(pictures(*[(500, 500)] * count), (), 100, 4)) <= MAX_PICTURES
    assert len(with_zooms(pictures(*[(500, 500)] * 8), (), 100, 4)) == 16


@pytest.mark.parametrize("most", [-1, 5])
def test_number_of_zooms(most):
    with pytest.raises(ModelError, match=f"{most} zooms"):
        with_zooms(pictures((500, 500)), (), 100, most)
