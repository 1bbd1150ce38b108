"""Views to vision inputs: shapes, geometry, order."""

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.views import ViewTensor, input_shape, prepare

RGB = ("red", "green", "blue")


def view(height=64, width=96, frames=1, kind="overview", window=(0, 0, 96, 64), bands=RGB,
         modality="optical"):
    values = np.zeros((frames, height, width, len(bands)), np.uint8)
    return ViewTensor(values, bands, modality, window, kind)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(64, 64, (128, 128)), (128, 128, (224, 224)), (360, 512, (160, 224)), (8, 8, (32, 32)),
     (4000, 4000, (224, 224))])
def test_input_shape_is_bounded_and_a_multiple_of_32(height, width, expected):
    assert input_shape(height, width, 224, 2.0) == expected


def test_cells_of_a_zoom_lie_in_the_units_of_the_overview():
    zoom = view(32, 48, kind="zoom", window=(48, 32, 48, 32))
    item = prepare([view(), zoom], 96, 1.0)[1]
    assert (item.rows, item.cols) == (1, 2)
    np.testing.assert_allclose(
        item.geometry[0], [[0.625, 0.75, 0.25, 0.5], [0.875, 0.75, 0.25, 0.5]])


def test_order_is_view_frame_composite_and_one_overview_is_marked():
    bands = ("B04", "B03", "B02", "B08")
    inputs = prepare([view(frames=2, bands=bands, modality="multispectral")], 96, 1.0)
    assert [i.tags[0].tolist() for i in inputs] == [
        [0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1]]
    assert [i.is_overview for i in inputs] == [True, False, False, False]


@pytest.mark.parametrize(
    ("views", "reason"),
    [([], "overview"), ([view(kind="zoom")], "overview"), ([view(frames=5)], "5 frames"),
     ([view(4, 400)], "narrow"), ([view(window=(0, 0, 0, 4))], "empty"),
     ([view(), view(kind="detail")], "detail"), ([view(modality="sonar")], "sonar")])
def test_wrong_views_are_refused(views, reason):
    with pytest.raises(ModelError, match=reason):
        prepare(views, 96, 1.0)
