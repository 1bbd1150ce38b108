"""Spatial metrics against cases worked out by hand."""

import math

import cv2
import numpy as np
import pytest

from eo_nodes.lvlm.spatial_metrics import (
    Detections,
    MaskOverlap,
    MetricError,
    box_iou,
    class_ious,
    clip_convex,
    confusion,
    detections,
    grounding_ious,
    mask_iou,
    mask_overlap,
    match,
    mean_iou,
    oriented_iou,
    point_in_box,
    polygon_area,
    precision_at,
)


def square(cx, cy, side, deg=0.0, height=None):
    """Corners of a rectangle around a centre, turned by an angle."""
    w, h = side / 2, (side if height is None else height) / 2
    turn = math.radians(deg)
    cos, sin = math.cos(turn), math.sin(turn)
    return [[cx + x * cos - y * sin, cy + x * sin + y * cos]
            for x, y in ((-w, -h), (w, -h), (w, h), (-w, h))]


# -- upright boxes -------------------------------------------------------------------------------


def test_iou_of_normalised_boxes_has_no_plus_one_term():
    """Quarter of overlap: 1/16 of 7/16. With "+1" on normalised corners it would read 0.53."""
    iou = box_iou([[0.0, 0.0, 0.5, 0.5]], [[0.25, 0.25, 0.75, 0.75]])
    assert iou[0, 0] == pytest.approx(1 / 7)


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (512, 0), (640, 17), (1 / 3, 0.2)])
def test_iou_is_the_same_in_every_unit(scale, offset):
    a, b = np.array([[1.0, 2, 5, 8]]), np.array([[3.0, 4, 6, 9]])
    # common 2 x 4 = 8, areas 24 and 15, union 31
    assert box_iou(a * scale + offset, b * scale + offset)[0, 0] == pytest.approx(8 / 31)


@pytest.mark.parametrize(("a", "b", "expected"), [
    ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
    ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),          # half-open: touching is not overlapping
    ((0, 0, 10, 10), (9, 0, 19, 10), 10 / 190),      # one column of pixels
    ((0, 0, 10, 10), (2, 3, 4, 5), 4 / 100),         # inside
    ((0, 0, 10, 10), (20, 20, 30, 30), 0.0),
    ((5, 5, 5, 9), (0, 0, 10, 10), 0.0),             # empty
    ((5, 5, 5, 5), (5, 5, 5, 5), 0.0),
])
def test_iou_by_hand(a, b, expected):
    assert box_iou([a], [b])[0, 0] == pytest.approx(expected)
    assert box_iou([b], [a])[0, 0] == pytest.approx(expected)


def test_inclusive_pixel_boxes_become_half_open_by_adding_one():
    """Pixels 0..9 and 5..14 share 5 of 15 columns; without the conversion it would be 4 of 14."""
    a, b = np.array([[0, 0, 9, 9]]), np.array([[5, 0, 14, 9]])
    one_more = np.array([0, 0, 1, 1])
    assert box_iou(a + one_more, b + one_more)[0, 0] == pytest.approx(5 / 15)


def test_iou_is_a_table_of_all_pairs():
    table = box_iou([[0, 0, 2, 2], [0, 0, 1, 1]], [[0, 0, 1, 1], [1, 1, 3, 3], [5, 5, 6, 6]])
    np.testing.assert_allclose(table, [[1 / 4, 1 / 7, 0], [1, 0, 0]])
    assert box_iou([], [[0, 0, 1, 1]]).shape == (0, 1)


@pytest.mark.parametrize("boxes", [
    [[2, 0, 1, 1]], [[0, 0, math.nan, 1]], [[0, 0, math.inf, 1]], [[0, 0, 1]], [0, 0, 1, 1]])
def test_boxes_that_are_none_are_refused(boxes):
    with pytest.raises(MetricError):
        box_iou(boxes, [[0, 0, 1, 1]])


# -- oriented boxes ------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b", "expected"), [
    (square(0, 0, 2), square(0, 0, 2), 1.0),
    (square(0, 0, 2), square(1, 1, 2), 1 / 7),
    (square(0, 0, 2), square(2, 0, 2), 0.0),
    (square(0, 0, 2), square(0, 0, 2, 90), 1.0),
    # A square on its tip in one of equal side: an octagon of 8 (sqrt 2 - 1).
    (square(0, 0, 2), square(0, 0, 2, 45), 8 * (2**0.5 - 1) / (8 - 8 * (2**0.5 - 1))),
    # A cross of two bars 4 x 1: common 1, union 7.
    (square(0, 0, 4, 0, 1), square(0, 0, 4, 90, 1), 1 / 7),
    # The tip square |x| + |y| <= 1 inside the square of side 2: 2 of 4.
    (square(0, 0, 2), square(0, 0, 2**0.5, 45), 1 / 2),
    (square(0, 0, 2), square(5, 0, 2, 30), 0.0),
])
def test_oriented_iou_by_hand(a, b, expected):
    assert oriented_iou([a], [b])[0, 0] == pytest.approx(expected, abs=1e-12)
    assert oriented_iou([a[::-1]], [b])[0, 0] == pytest.approx(expected, abs=1e-12)


def test_oriented_iou_agrees_with_upright_boxes():
    rng = np.random.default_rng(3)
    low = rng.random((6, 2))
    boxes = np.concatenate([low, low + rng.random((6, 2))], axis=1)
    quads = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    np.testing.assert_allclose(oriented_iou(quads, quads), box_iou(boxes, boxes), atol=1e-12)


def test_oriented_iou_agrees_with_a_second_implementation():
    """cv2 works in float32, hence the tolerance."""
    rng = np.random.default_rng(4)
    for _ in range(200):
        rects = [((float(x), float(y)), (float(w), float(h)), float(turn)) for x, y, w, h, turn
                 in rng.uniform([0, 0, 2, 2, 0], [10, 10, 9, 9, 180], (2, 5))]
        found, points = cv2.rotatedRectangleIntersection(*rects)
        common = cv2.contourArea(cv2.convexHull(points)) if found else 0.0
        areas = [w * h for _, (w, h), _ in rects]
        quads = [cv2.boxPoints(rect) for rect in rects]
        iou = oriented_iou(quads[:1], quads[1:])[0, 0]
        assert iou == pytest.approx(common / (sum(areas) - common), abs=2e-4)


def test_an_affine_change_of_unit_leaves_the_oriented_iou():
    a, b = np.array([square(3, 3, 4, 20)]), np.array([square(4, 3, 4, 70, 2)])
    scaled = oriented_iou(a / (512, 256), b / (512, 256))[0, 0]
    assert scaled == pytest.approx(oriented_iou(a, b)[0, 0], rel=1e-9)


def test_clipping_and_area():
    triangle = np.array([[0.0, 0], [4, 0], [0, 4]])
    assert polygon_area(triangle) == 8
    assert polygon_area(triangle[::-1]) == 8
    part = clip_convex(triangle, np.array([[0.0, 0], [2, 0], [2, 2], [0, 2]]))
    assert polygon_area(part) == pytest.approx(4)
    assert len(clip_convex(triangle, triangle + 10)) == 0


def test_corners_that_are_none_are_refused():
    with pytest.raises(MetricError, match="4, 2"):
        oriented_iou([[0, 0, 1, 1]], [[0, 0, 1, 1]])
    with pytest.raises(MetricError, match="finite"):
        oriented_iou([[[0, 0], [1, 0], [1, math.nan], [0, 1]]], [square(0, 0, 1)])


# -- detection -----------------------------------------------------------------------------------


def test_a_truth_is_matched_once():
    """Two predictions on one object: one hit, one too many, and the other object missed."""
    found = detections([[0.9, 0.0], [0.8, 0.0]], 0.5, scores=[0.3, 0.7])
    assert found == Detections(hits=1, extra=1, missed=1)
    assert match([[0.9, 0.0], [0.8, 0.0]], 0.5, scores=[0.3, 0.7]) == [(1, 0)]


def test_the_surest_prediction_chooses_first():
    table = [[0.6, 0.55], [0.9, 0.0]]
    assert match(table, 0.5, scores=[0.9, 0.1]) == [(0, 0)]
    assert match(table, 0.5, scores=[0.1, 0.9]) == [(1, 0), (0, 1)]
    assert match(table, 0.5) == [(1, 0), (0, 1)]        # without scores: largest overlap


def test_the_threshold_itself_is_a_match():
    assert match([[0.5]], 0.5) == [(0, 0)]
    assert match([[0.5 - 1e-9]], 0.5) == []


def test_classes_keep_pairs_apart():
    same = np.array([[False, True]])
    assert match([[0.9, 0.6]], 0.5, same_class=same) == [(0, 1)]
    assert detections([[0.9]], 0.5, same_class=[[False]]) == Detections(0, 1, 1)


def test_precision_recall_and_f1_by_hand():
    """Ten objects, eight predictions, six of them right: P 6/8, R 6/10, F1 12/18."""
    counts = Detections(hits=6, extra=2, missed=4)
    assert (counts.precision, counts.recall) == (0.75, 0.6)
    assert counts.f1 == pytest.approx(2 / 3)
    p, r = counts.precision, counts.recall
    assert counts.f1 == pytest.approx(2 * p * r / (p + r))


@pytest.mark.parametrize(("counts", "expected"), [
    (Detections(0, 0, 0), (1, 1, 1)), (Detections(0, 0, 3), (0, 0, 0)),
    (Detections(0, 3, 0), (0, 1, 0)), (Detections(2, 0, 0), (1, 1, 1))])
def test_edges_of_detection(counts, expected):
    assert (counts.precision, counts.recall, counts.f1) == expected


def test_counts_of_a_set_are_added_before_the_ratio():
    """Micro F1: 1 of 1 and 0 of 9 give 2/11, not the mean of 1 and 0."""
    assert (Detections(1, 0, 0) + Detections(0, 0, 9)).f1 == pytest.approx(2 / 11)


def test_images_without_predictions_or_objects():
    assert detections(np.zeros((0, 3)), 0.5, scores=[]) == Detections(0, 0, 3)
    assert detections(np.zeros((2, 0)), 0.5, scores=[1, 2]) == Detections(0, 2, 0)
    assert detections(np.zeros((2, 0)), 0.5) == Detections(0, 2, 0)


@pytest.mark.parametrize(("ious", "threshold", "scores"), [
    ([[0.5]], 0.0, None), ([[0.5]], 1.5, None), ([0.5], 0.5, None), ([[0.5]], 0.5, [1, 2]),
    ([[0.5]], 0.5, [math.nan])])
def test_matching_refuses_what_does_not_fit(ious, threshold, scores):
    with pytest.raises(MetricError):
        match(ious, threshold, scores)


# -- grounding -----------------------------------------------------------------------------------


def test_p_at_half_by_hand():
    """Overlaps 1, 1/7, 1/2, and one phrase without a box: P@0.5 = 2/4."""
    truth = [(0, 0, 2, 2)] * 4
    said = [(0, 0, 2, 2), (1, 1, 3, 3), (0, 0, 2, 1), None]
    ious = grounding_ious(said, truth)
    np.testing.assert_allclose(ious, [1, 1 / 7, 0.5, 0])
    assert precision_at(ious) == 0.5
    assert precision_at(ious, 0.7) == 0.25
    assert precision_at(ious, 0.1) == 0.75
    assert math.isnan(precision_at([]))


def test_each_phrase_needs_an_entry():
    with pytest.raises(MetricError, match="1 predictions for 2"):
        grounding_ious([None], [(0, 0, 1, 1)] * 2)


def test_a_point_on_the_upper_edge_lies_outside():
    boxes = [(0, 0, 10, 10)] * 4
    assert point_in_box([(0, 0), (9.9, 5), (10, 5), (5, 10)], boxes) == 0.5
    with pytest.raises(MetricError):
        point_in_box([(0, 0)], boxes)


# -- masks ---------------------------------------------------------------------------------------


def test_mask_iou_by_hand():
    a = np.array([[1, 1, 0], [1, 0, 0]])
    b = np.array([[0, 1, 1], [1, 0, 0]])
    assert mask_iou(a, b) == 2 / 4
    assert mask_iou(a, a) == 1
    assert mask_iou(a, 1 - a) == 0
    assert mask_iou(a * 0, b * 0) == 1
    assert mask_iou(a * 0, b) == 0


def test_cells_without_data_do_not_count():
    a, b = np.array([[1, 1, 0]]), np.array([[1, 0, 1]])
    assert mask_overlap(a, b, valid=[[1, 1, 0]]) == MaskOverlap(1, 2)
    with pytest.raises(MetricError):
        mask_overlap(a, b, valid=[[1, 1]])


def test_cumulative_iou_weighs_by_area():
    """(1 + 90) / (2 + 100), while the mean over images is 0.7."""
    both = MaskOverlap(1, 2) + MaskOverlap(90, 100)
    assert both.iou == 91 / 102


def test_masks_of_different_shape_are_refused():
    with pytest.raises(MetricError):
        mask_iou(np.zeros((2, 3)), np.zeros((3, 2)))


def test_mean_iou_by_hand():
    """Class 0: 2 of 3; class 1: 1 of 2; class 2 neither there nor said; 255 is not scored."""
    truth = np.array([0, 0, 1, 1, 255])
    said = np.array([0, 0, 0, 1, 2])
    table = confusion(said, truth, 3)
    np.testing.assert_array_equal(table, [[2, 0, 0], [1, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(class_ious(table), [2 / 3, 1 / 2, np.nan])
    assert mean_iou(table) == pytest.approx(7 / 12)
    assert math.isnan(mean_iou(np.zeros((2, 2))))


def test_confusion_refuses_classes_and_shapes_that_do_not_fit():
    with pytest.raises(MetricError):
        confusion([3], [0], 3)
    with pytest.raises(MetricError):
        confusion([0, 0], [0], 3)
