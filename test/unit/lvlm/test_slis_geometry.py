"""Bins, floats and pixel grids."""

import math

import cv2
import numpy as np
import pytest

from eo_nodes.lvlm.slis import (
    BINS,
    Box,
    Mask,
    OrientedBox,
    Point,
    Polygon,
    SlisValueError,
    bounds,
    box_from,
    box_xyxy,
    clip_convex,
    coverage,
    fill,
    from_bin,
    mask_cells,
    mask_from,
    oriented_corners,
    oriented_from,
    outlines,
    point_from,
    point_xy,
    polygon_from,
    polygon_xy,
    resize_mask,
    to_bin,
    to_upper_bin,
)
from eo_nodes.lvlm.spatial_metrics import box_iou, oriented_iou, polygon_area


@pytest.mark.parametrize(("x", "expected"), [
    (0.0, 0), (1 / 512, 1), (0.5, 256), (511.99 / 512, 511), (1.0, 511), (-3.0, 0), (7.0, 511)])
def test_a_coordinate_lies_in_the_bin_below(x, expected):
    assert to_bin(x) == expected


@pytest.mark.parametrize(("x", "expected"), [
    (0.0, 0), (1 / 512, 0), (1.01 / 512, 1), (0.5, 255), (1.0, 511), (7.0, 511)])
def test_an_upper_edge_lies_in_the_last_bin_that_is_entered(x, expected):
    assert to_upper_bin(x) == expected


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf])
def test_coordinates_that_are_none_are_refused(x):
    for function in (to_bin, to_upper_bin):
        with pytest.raises(SlisValueError):
            function(x)


def test_a_coordinate_is_off_by_half_a_bin_at_most():
    x = np.linspace(0, 1, 5001)
    error = np.abs([from_bin(to_bin(v)) - v for v in x])
    assert error.max() <= 0.5 / BINS + 1e-12
    assert error.mean() == pytest.approx(0.25 / BINS, rel=0.02)


def test_every_bin_comes_back():
    assert [to_bin(from_bin(v)) for v in range(BINS)] == list(range(BINS))
    assert [to_upper_bin(from_bin(v)) for v in range(BINS)] == list(range(BINS))


def test_point():
    assert point_from(0.5, 0.25, image=2) == Point(256, 128, image=2)
    assert point_xy(Point(256, 128)) == (256.5 / 512, 128.5 / 512)


def test_box_edges_are_bin_centres():
    assert box_from(0, 0, 1, 1) == Box(0, 0, 511, 511)
    assert box_xyxy(Box(0, 10, 511, 20)) == (0.5 / 512, 10.5 / 512, 511.5 / 512, 20.5 / 512)


def test_a_box_within_one_bin_is_not_empty():
    tiny = box_from(0.5001, 0.5001, 0.5002, 0.5002)
    assert tiny == Box(256, 256, 256, 256)
    assert box_xyxy(tiny) == (0.5, 0.5, 257 / 512, 257 / 512)
    assert box_from(*box_xyxy(tiny)) == tiny
    assert box_from(0.5, 0.5, 0.5, 0.5) == tiny


def test_box_out_of_order_is_refused():
    with pytest.raises(SlisValueError, match="order"):
        box_from(0.5, 0, 0.4, 1)


# -- oriented boxes ------------------------------------------------------------------------------


def test_oriented_box_has_its_long_side_first():
    """4 x 2 upright, then the same lying the other way."""
    wide = oriented_from([(0.25, 0.25), (0.75, 0.25), (0.75, 0.5), (0.25, 0.5)])
    assert (wide.cx, wide.cy, wide.w, wide.h, wide.angle) == (256, 192, 256, 128, 0)
    tall = oriented_from([(0.25, 0.25), (0.5, 0.25), (0.5, 0.75), (0.25, 0.75)])
    assert (tall.cx, tall.cy, tall.w, tall.h, tall.angle) == (192, 256, 256, 128, 256)


def test_angle_runs_from_x_towards_y():
    """Along the falling diagonal of the picture: 45 degrees, a quarter of the half circle."""
    box = oriented_from([(0.2, 0.3), (0.3, 0.2), (0.8, 0.7), (0.7, 0.8)])
    assert abs(box.angle - 128) <= 1
    corners = oriented_corners(OrientedBox(256, 256, 200, 10, 128))
    along = corners[1] - corners[0]
    assert math.degrees(math.atan2(along[1], along[0])) == pytest.approx(45, abs=0.36)


@pytest.mark.parametrize("size", [(1, 1), (640, 320), (100, 900)])
def test_oriented_box_stays_a_rectangle_in_any_image(size):
    """Right angles and lengths hold in pixels, not in normalised units."""
    corners = oriented_corners(OrientedBox(256, 256, 150, 60, 77), size) * size
    sides = np.diff(np.concatenate([corners, corners[:1]]), axis=0)
    lengths = np.hypot(*sides.T) / max(size)
    np.testing.assert_allclose(lengths, np.array([150.5, 60.5, 150.5, 60.5]) / 512)
    np.testing.assert_allclose([sides[i] @ sides[i - 1] for i in range(4)], 0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (640, 320)])
def test_oriented_box_survives_quantising(size):
    rng = np.random.default_rng(5)
    for cx, cy, w, h, turn in rng.uniform([0.3, 0.3, 0.1, 0.05, 0], [0.7, 0.7, 0.3, 0.09, 180],
                                          (50, 5)):
        longer = max(size)
        rect = ((cx * size[0], cy * size[1]), (w * longer, h * longer), turn)
        quad = cv2.boxPoints(rect) / size
        back = oriented_corners(oriented_from(quad, size), size)
        assert oriented_iou([quad], [back])[0, 0] > 0.9


def test_oriented_box_needs_points_and_an_image():
    with pytest.raises(SlisValueError):
        oriented_from([(0, 0), (1, 1)])
    with pytest.raises(SlisValueError):
        oriented_from([(0, 0), (1, 1), (math.nan, 0)])
    with pytest.raises(SlisValueError):
        oriented_corners(OrientedBox(1, 1, 1, 1, 1), (0, 5))


# -- polygons ------------------------------------------------------------------------------------


def test_polygon_drops_vertices_that_fall_together():
    xy = [0.1, 0.1, 0.1001, 0.1001, 0.9, 0.1, 0.5, 0.9, 0.1, 0.1]
    assert polygon_from(xy) == Polygon(((51, 51), (460, 51), (256, 460)))
    tiny = polygon_from([0.1, 0.1, 0.1001, 0.1, 0.1, 0.1001])
    assert len(tiny.vertices) == 3


@pytest.mark.parametrize("xy", [[0.1] * 4, [0.1] * 7, [math.nan] * 6, []])
def test_outlines_that_are_none_are_refused(xy):
    with pytest.raises(SlisValueError):
        polygon_from(xy)


def test_fill_by_hand():
    """A square on cell borders covers its cells and no other."""
    cells = fill([(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)], 4, 4)
    expected = np.zeros((4, 4), bool)
    expected[1:3, 1:3] = True
    np.testing.assert_array_equal(cells, expected)


def test_coverage_is_the_share_of_a_cell():
    shares = coverage([(0, 0), (1, 0), (0, 1)], 2, 2)
    np.testing.assert_allclose(shares, [[1, 0.5], [0.5, 0]], atol=1e-12)
    sliver = coverage([(0.05, 0.1), (0.2, 0.1), (0.2, 0.9), (0.05, 0.9)], 1, 4)
    np.testing.assert_allclose(sliver, [[0.6 * 6 / 8, 0, 0, 0]], atol=1e-12)
    assert coverage([(-9, -9), (9, -9), (9, 9), (-9, 9)], 3, 5).min() == 1
    assert coverage([(2, 2), (3, 2), (3, 3)], 3, 5).max() == 0


def test_outlines_far_outside_keep_their_shape():
    """A band across the view whose vertices lie 5,000 views away."""
    far = 5000.0
    band = [(-far, -far + 0.4), (far, far + 0.4), (far, far + 0.6), (-far, -far + 0.6)]
    near = [(-0.4, 0.0), (1.4, 1.8), (1.4, 2.0), (-0.4, 0.2)]
    np.testing.assert_allclose(coverage(band, 16, 16), coverage(near, 16, 16), atol=1e-6)


def test_a_thin_outline_does_not_vanish():
    assert coverage([(0.5, 0.5), (0.5001, 0.5), (0.5, 0.5001)], 8, 8).sum() > 0


@pytest.mark.parametrize(("xy", "rows"), [
    ([(0, 0), (1, 1)], 4), ([(0, 0), (1, 1), (math.nan, 0)], 4), ([(0, 0), (1, 1), (0, 1)], 0),
    ([(0, 0), (1, 1), (0, 1)], 4096)])
def test_coverage_refuses_what_it_cannot_draw(xy, rows):
    with pytest.raises(SlisValueError):
        coverage(xy, rows, 4)


def test_coverage_agrees_with_the_area():
    rng = np.random.default_rng(7)
    for _ in range(40):
        turns = np.sort(rng.uniform(0, 2 * np.pi, 9))
        radii = rng.uniform(0.1, 0.45, 9)
        xy = 0.5 + np.stack([np.cos(turns), np.sin(turns)], axis=1) * radii[:, None]
        for rows, cols in ((8, 8), (100, 37), (512, 512)):
            area = coverage(xy, rows, cols).mean()
            assert area == pytest.approx(polygon_area(xy), abs=2e-3)


def test_an_outline_that_crosses_itself_is_even_odd():
    """A square with a bridge to an inner square is a frame."""
    square = [(0, 0), (1, 0), (1, 1), (0, 1)]
    inner = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]
    shares = coverage([*square, square[0], inner[0], *inner[1:], inner[0]], 4, 4)
    expected = np.ones((4, 4))
    expected[1:3, 1:3] = 0
    np.testing.assert_allclose(shares, expected, atol=1e-9)


def test_clipping_keeps_a_concave_area():
    """An L of three unit squares, cut at half its height: 2 x 0.5 is left."""
    corner = np.array([(0.0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)])
    window = np.array([(-1.0, -1), (3, -1), (3, 0.5), (-1, 0.5)])
    assert polygon_area(clip_convex(corner, window)) == pytest.approx(1.0)


def test_bounds():
    assert bounds([0.1, 0.9, 0.5, 0.2, 0.3, 0.4]) == (0.1, 0.2, 0.5, 0.9)


# -- masks ---------------------------------------------------------------------------------------


def test_mask_by_hand():
    cells = np.array([[0, 1, 1], [1, 0, 0]])
    assert mask_from(cells) == Mask(2, 3, (1, 3, 2))
    assert mask_from(cells[:, 1:], image=1) == Mask(2, 2, (0, 2, 2), image=1)
    np.testing.assert_array_equal(mask_cells(Mask(2, 3, (1, 3, 2))), cells != 0)


@pytest.mark.parametrize(("length", "runs"), [
    (511, (511,)), (512, (511, 0, 1)), (1022, (511, 0, 511)), (1023, (511, 0, 511, 0, 1))])
def test_long_runs_are_split(length, runs):
    cells = np.zeros((1, 511), bool) if length == 511 else np.zeros((length // 2, 2), bool)
    if length % 2 and length > 511:
        cells = np.zeros((length // 3, 3), bool)
    assert mask_from(cells).runs == runs
    assert mask_from(~cells).runs == (0, *runs)


def test_masks_of_wrong_shape_are_refused():
    for shape in ((0, 4), (4,), (512, 4), (2, 2, 2)):
        with pytest.raises(SlisValueError):
            mask_from(np.zeros(shape))


def test_resizing_a_mask_keeps_halves():
    cells = np.kron(np.array([[1, 0], [0, 1]]), np.ones((4, 4)))
    np.testing.assert_array_equal(resize_mask(cells, 2, 2), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(resize_mask([[1, 0], [0, 1]], 8, 8), cells)
    assert resize_mask([[1, 0], [0, 0]], 1, 1).item() is False
    assert resize_mask([[1, 1], [0, 0]], 1, 1).item() is True


def test_outlines_of_a_mask_run_along_its_cells():
    cells = np.zeros((64, 64))
    cells[16:32, 8:40] = 1
    cells[50:54, 50:54] = 1
    found = outlines(cells, image=3)
    assert [polygon.image for polygon in found] == [3, 3]
    x0, y0, x1, y1 = bounds(polygon_xy(found[0]))
    np.testing.assert_allclose((x0, y0, x1, y1), (8 / 64, 16 / 64, 40 / 64, 32 / 64), atol=0.005)
    drawn = fill(polygon_xy(found[0]), 64, 64) | fill(polygon_xy(found[1]), 64, 64)
    np.testing.assert_array_equal(drawn, cells != 0)


def test_a_ragged_outline_keeps_within_the_limit_of_vertices():
    rng = np.random.default_rng(6)
    cells = cv2.GaussianBlur(rng.random((511, 511)), (0, 0), 2) > 0.5
    assert all(len(polygon.vertices) <= 256 for polygon in outlines(cells, tolerance=0.1))


@pytest.mark.parametrize(("side_px", "mean"), [(4, 0.79), (8, 0.885), (16, 0.94), (32, 0.97)])
def test_what_512_bins_cost_a_box(side_px, mean):
    """Mean overlap of boxes in a 512-pixel image with what is left of them; table of docs/slis.md.

    Sides vary by a quarter; no box of 4 pixels or more falls below one half.
    """
    rng = np.random.default_rng(8)
    side = side_px / 512
    low = rng.uniform(0, 1 - 1.25 * side, (1500, 2))
    boxes = np.concatenate([low, low + side * rng.uniform(0.8, 1.25, (1500, 2))], axis=1)
    back = np.array([box_xyxy(box_from(*box)) for box in boxes])
    ious = np.array([box_iou([a], [b])[0, 0] for a, b in zip(boxes, back, strict=True)])
    assert ious.mean() == pytest.approx(mean, abs=0.006)
    assert ious.min() > 0.5
