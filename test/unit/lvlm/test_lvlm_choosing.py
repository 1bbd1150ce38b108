"""Which one is meant, by place, size and what else may be there."""

import numpy as np
import pytest

from eo_nodes.lvlm.choosing import ORDERS, meant, of_first
from eo_nodes.lvlm.counting import plain
from eo_nodes.lvlm.proposals import Proposals
from eo_nodes.lvlm.visual_prompts import box, point

RULE = plain(2)
# centre x, y, side, kind, score
ROWS = ((0.2, 0.5, 0.10, 0, 0.95), (0.9, 0.4, 0.04, 0, 0.95), (0.5, 0.9, 0.20, 0, 0.95),
        (0.45, 0.1, 0.06, 0, 0.95), (0.05, 0.5, 0.3, 1, 0.95))


def proposals(rows):
    x, y, side, kind, score = np.array(rows, np.float32).reshape(-1, 5).T
    return Proposals(score, np.stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2], 1),
                     np.stack([np.where(kind == k, score, 0.01) for k in (0, 1)], 1),
                     np.zeros((len(score), 1), np.float32))


@pytest.mark.parametrize(("order", "which"), [
    ("topmost", 3), ("bottommost", 2), ("leftmost", 0), ("rightmost", 1), ("largest", 2),
    ("smallest", 1), ("most central", 0)])
def test_the_first_in_each_order_is_meant(order, which):
    index, chances = meant(proposals(ROWS), RULE, 0, order)
    assert index.tolist() == [0, 1, 2, 3] and chances.sum() == pytest.approx(1)
    assert index[chances.argmax()] == which and chances.max() > 0.9


def test_nearest_is_to_the_point_of_the_prompt():
    found = proposals(ROWS)
    for place, which in ((point(0.95, 0.5), 1), (point(0.4, 0.2), 3)):
        index, chances = meant(found, RULE, 0, "nearest", [box(0, 0, 0.1, 0.1), place])
        assert index[chances.argmax()] == which
    assert not len(meant(found, RULE, 0, "nearest")[0]), "near to what?"


def test_a_faint_one_at_the_edge_takes_its_share_and_no_more():
    np.testing.assert_allclose(of_first(np.array([0.9, 0.25]), np.array([1.0, 0.0])),
                               [0.9 * 0.75, 0.25])
    faint = proposals([*ROWS, (0.98, 0.5, 0.04, 0, 0.2)])
    index, chances = meant(faint, RULE, 0, "rightmost")
    assert index[chances.argmax()] == 1 and 0.02 < chances[-1] < 0.4


def test_the_only_one_is_the_surest():
    found = proposals([(0.2, 0.5, 0.1, 0, 0.3), (0.6, 0.5, 0.1, 0, 0.45)])
    index, chances = meant(found, RULE, 0, "only")
    assert index[chances.argmax()] == 1 and chances[0] > 0.01
    found = proposals([(0.2, 0.5, 0.1, 0, 0.93), (0.6, 0.5, 0.1, 0, 0.999)])
    _, chances = meant(found, RULE, 0, "only")
    assert chances[1] > 0.99, "sure and surer are not the same"


def test_of_a_kind_that_is_not_there_none_is_meant():
    for found in (proposals(()), proposals(ROWS[:4])):
        for order in ORDERS:
            assert not len(meant(found, RULE, 1, order, [point(0.5, 0.5)])[0])
