"""Pictures to inputs of the vision graph: sizes, cells, places, tags."""

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import sight
from eo_nodes.lvlm.sight import (
    Picture,
    alike,
    feed_of,
    geometry_of,
    input_shape,
    pooling,
    resize,
    tags_of,
    together,
)

RGB = ("red", "green", "blue")


def picture(height=64, width=96, bands=RGB, **more):
    values = np.random.default_rng(3).integers(0, 256, (height, width, len(bands)), np.uint8)
    return Picture(values, bands, "optical", **more)


@pytest.mark.parametrize(("size", "expected"), [
    ((600, 600), (256, 256)), ((64, 64), (128, 128)), ((600, 300), (256, 128)),
    ((24, 24), (96, 96)), ((1, 1), (96, 96)), ((10, 80), (32, 160)), ((4000, 500), (256, 32))])
def test_sizes_are_whole_cells(size, expected):
    assert input_shape(*size, 256, 2.0) == expected


def test_tiny_tiles_are_enlarged_beyond_the_usual():
    assert max(input_shape(24, 20, 256, 1.0)) == sight.LEAST_PX


@pytest.mark.parametrize(("rows", "cols", "most"), [(8, 8, 3), (7, 5, 3), (2, 9, 3), (8, 6, 2)])
def test_pooling_is_adaptive_average_pooling(rows, cols, most):
    cells = np.random.default_rng(0).normal(size=(rows, cols, 5)).astype(np.float32)
    matrix, (r, c) = pooling(rows, cols, most)
    assert (r, c) == (min(rows, most), min(cols, most)) and matrix.shape == (r * c, rows * cols)
    found = (matrix @ cells.reshape(rows * cols, 5)).reshape(r, c, 5)
    for i in range(r):
        for j in range(c):
            part = cells[i * rows // r:int(np.ceil((i + 1) * rows / r)),
                         j * cols // c:int(np.ceil((j + 1) * cols / c))]
            assert found[i, j] == pytest.approx(part.mean((0, 1)), abs=1e-6)


@pytest.mark.parametrize("most", [None, 4, 9])
def test_few_cells_stay_as_they_are(most):
    matrix, grid = pooling(4, 3, most)
    assert grid == (4, 3) and np.array_equal(matrix, np.eye(12))


def test_cells_of_a_window_know_their_place_in_the_scene():
    whole = geometry_of(4, 8, (0, 0, 1, 1)).reshape(4, 8, 4)
    part = geometry_of(2, 4, (0.5, 0.5, 0.5, 0.5)).reshape(2, 4, 4)
    # The lower right quarter, at the same fineness, is the overview's lower right cells.
    assert part == pytest.approx(whole[2:, 4:])
    assert whole[0, 0] == pytest.approx([1 / 16, 1 / 8, 1 / 8, 1 / 4])


def test_tags_are_clamped_to_their_tables():
    assert tags_of("zoom", 1, 2, "sar").tolist() == [[1, 1, 2, 1]]
    assert tags_of("overview", 99, 99, "no such").tolist() == [[0, 3, 7, 0]]
    assert tags_of("overview", 0, 0, "video").dtype == np.int64


def test_a_feed_fits_together():
    feed = feed_of(picture(90, 150, kind="zoom", window=(0.25, 0, 0.5, 0.5), sensor=1), 128, 2.0, 2)
    assert feed.pixels.shape == (1, 3, 64, 128) and feed.pixels.dtype == np.float32
    assert feed.codes.shape[0] == 3 and feed.grid == (2, 2)
    assert feed.geometry.shape == (1, 4, 4) and feed.pool.shape == (4, 8)
    assert feed.pool.sum(1) == pytest.approx(1)
    assert feed.geometry[0, :, 0] == pytest.approx([0.375, 0.625] * 2)
    assert feed.tags.tolist() == [[1, 1, 0, 0]]


def test_a_second_network_gets_the_same_picture_smaller():
    one = picture(90, 150)
    assert feed_of(one, 128, 2.0, None).coarse is None
    feeds = [feed_of(one, 128, 2.0, None, (96, 1.5)), feed_of(one, 128, 2.0, None, (160, 2.0))]
    assert [f.coarse.shape for f in feeds] == [(1, 3, 64, 96), (1, 3, 96, 160)]
    expected = feed_of(one, 96, 1.5, None).pixels
    np.testing.assert_array_equal(feeds[0].coarse, expected)
    assert feeds[0].grid == (2, 4), "tokens are those of the first network"
    assert alike([feeds[0], feeds[0], feeds[1]], 4) == [[0, 1], [2]]
    assert together(feeds[:1] * 3).coarse.shape == (3, 3, 64, 96)


@pytest.mark.parametrize("bands", [1, 4, 5, 9, 200])
def test_resizing_takes_any_number_of_bands(bands):
    values = np.random.default_rng(1).normal(size=(40, 30, bands)).astype(np.float32)
    out = resize(values, (20, 15))
    assert out.shape == (20, 15, bands)
    assert out == pytest.approx(values.reshape(20, 2, 15, 2, bands).mean((1, 3)), abs=1e-5)
    assert resize(values, (80, 60)).shape == (80, 60, bands)


@pytest.mark.parametrize(("wrong", "word"), [
    ({"kind": "detail"}, "view kind 'detail'"), ({"window": (0, 0, 0, 1)}, "is empty"),
    ({"height": 300, "width": 30}, "too narrow"), ({"bands": ("red", "ch 2")}, "'ch 2'")])
def test_pictures_that_are_refused(wrong, word):
    with pytest.raises(ModelError, match=word):
        feed_of(picture(**wrong), 128, 2.0, None)


def test_modality_and_rank_are_checked():
    with pytest.raises(ModelError, match="modality 'sonar'"):
        feed_of(Picture(np.zeros((40, 40, 3), np.uint8), RGB, "sonar"), 128, 2.0, None)
    with pytest.raises(ModelError, match="expected"):
        feed_of(Picture(np.zeros((1, 40, 40, 3), np.uint8), RGB, "optical"), 128, 2.0, None)
