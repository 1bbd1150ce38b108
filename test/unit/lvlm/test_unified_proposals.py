"""Proposals of overview and zooms: which stay, where they lie, how they are read."""

import numpy as np
import pytest

from eo_nodes.lvlm.proposals import MOST, Proposals, iou, keep, merge

WHOLE = (0.0, 0.0, 1.0, 1.0)
RIGHT = (0.5, 0.0, 0.5, 1.0)


def proposals(*boxes, score=None, kinds=None):
    n = len(boxes)
    score = np.linspace(0.9, 0.5, n) if score is None else np.array(score)
    kinds = np.tile([1.0, 0.0], (n, 1)) if kinds is None else np.array(kinds)
    # ``look`` carries the index, so that a test can follow a proposal.
    return Proposals(score.astype(np.float32), np.array(boxes, np.float32).reshape(n, 4),
                     kinds.astype(np.float32).reshape(n, 2),
                     np.arange(n, dtype=np.float32)[:, None])


def test_overlap():
    one = np.array([0, 0, 0.5, 0.5], np.float32)
    others = np.array([[0, 0, 0.5, 0.5], [0.25, 0, 0.75, 0.5], [0.5, 0.5, 1, 1], [0, 0, 0, 0]],
                      np.float32)
    assert iou(one, others) == pytest.approx([1, 1 / 3, 0, 0])


def test_of_doubles_the_better_one_stays_in_reading_order():
    found = keep(proposals([0.6, 0.5, 0.8, 0.7], [0.1, 0.5, 0.3, 0.7], [0.11, 0.5, 0.3, 0.7],
                           [0.5, 0.1, 0.6, 0.2], score=[0.9, 0.3, 0.8, 0.2]))
    assert found.look.ravel().tolist() == [3, 2, 0]


def test_faint_ones_and_too_many_are_left_out():
    grid = [[x / 10, y / 10, x / 10 + 0.05, y / 10 + 0.05] for y in range(10) for x in range(10)]
    found = keep(proposals(*grid, score=np.linspace(0.9, 0.2, 100)))
    assert found.look.ravel().tolist() == list(range(MOST))
    assert len(keep(proposals(*grid, score=np.full(100, 0.149))).score) == 0
    assert keep(proposals(*grid), most=5).best(2).look.ravel().tolist() == [0, 1]
    assert len(keep(proposals(*grid), most=0).score) == 0


def test_nothing_stays_nothing():
    empty = proposals()
    assert len(keep(empty).score) == 0
    merged = merge([(empty, WHOLE), (empty, RIGHT)])
    assert merged.boxes.shape == (0, 4) and merged.kinds.shape == (0, 2)
    assert merged.counts().tolist() == [0, 0] and len(empty.best(3).score) == 0


def test_counts_are_of_sure_ones_by_their_best_kind():
    found = proposals([0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], score=[0.9, 0.31, 0.29],
                      kinds=[[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]])
    assert found.counts() == pytest.approx(np.log1p([2, 0]))


def test_zooms_come_back_to_the_scene():
    zoomed = merge([(proposals(), WHOLE), (proposals([0.2, 0.4, 0.6, 0.5]), (0.5, 0.25, 0.5, 0.5))])
    assert zoomed.boxes[0] == pytest.approx([0.6, 0.45, 0.8, 0.5])


def test_no_doubles_of_what_overview_and_zoom_both_see():
    overview = proposals([0.1, 0.4, 0.2, 0.5], [0.7, 0.4, 0.8, 0.5])
    zoom = proposals([0.4, 0.4, 0.6, 0.5])
    merged = keep(merge([(overview, WHOLE), (zoom, RIGHT)]))
    assert merged.boxes == pytest.approx(np.array([[0.1, 0.4, 0.2, 0.5], [0.7, 0.4, 0.8, 0.5]]))
    assert merged.score == pytest.approx([0.9, 0.9])          # the zoom's, not the overview's 0.5


def test_what_a_zoom_does_not_confirm_is_gone():
    overview = proposals([0.7, 0.4, 0.8, 0.5], [0.1, 0.1, 0.2, 0.2])
    merged = merge([(overview, WHOLE), (proposals(), RIGHT)])
    assert merged.look.ravel().tolist() == [1]


def test_what_the_edge_of_a_zoom_cuts_stays_the_overviews():
    overview = proposals([0.45, 0.4, 0.6, 0.5])               # centre inside, left edge outside
    zoom = proposals([0.0, 0.4, 0.2, 0.5])                    # its right part
    merged = merge([(overview, WHOLE), (zoom, RIGHT)])
    assert merged.boxes == pytest.approx(overview.boxes)


def test_an_edge_of_the_scene_cuts_nothing():
    zoom = proposals([0.9, 0.0, 1.0, 0.3])
    merged = merge([(proposals(), WHOLE), (zoom, RIGHT)])
    assert merged.boxes == pytest.approx(np.array([[0.95, 0, 1.0, 0.3]]))


def test_neighbouring_zooms_name_a_thing_once():
    # Half of it in each quarter: both zooms see a cut part, the overview sees it whole.
    left, right = (0.0, 0.0, 0.5, 1.0), RIGHT
    overview = proposals([0.45, 0.4, 0.55, 0.5])
    parts = [(overview, WHOLE), (proposals([0.9, 0.4, 1.0, 0.5]), left),
             (proposals([0.0, 0.4, 0.1, 0.5]), right)]
    assert keep(merge(parts)).boxes == pytest.approx(overview.boxes)
