"""Token costs, and coarser forms that fit a budget."""

import numpy as np
import pytest

from eo_nodes.lvlm.slis import (
    Mask,
    SlisValueError,
    fill,
    mask_cells,
    mask_within,
    resize_mask,
    simplified,
    token_cost,
)
from eo_nodes.lvlm.spatial_metrics import mask_iou

TURNS = np.linspace(0, 2 * np.pi, 200, endpoint=False)
CIRCLE = 0.5 + 0.3 * np.stack([np.cos(TURNS), np.sin(TURNS)], axis=1)


def test_a_mask_that_fits_stays_as_it_is():
    cells = np.array([[0, 1, 1], [1, 0, 0]])
    assert mask_within(cells, 8) == Mask(2, 3, (1, 3, 2))


@pytest.mark.parametrize(("tokens", "least"), [(24, 0.75), (48, 0.87), (128, 0.95)])
def test_more_tokens_keep_more_of_a_shape(tokens, least):
    cells = fill(CIRCLE, 200, 100)
    value = mask_within(cells, tokens)
    assert token_cost(value) <= tokens
    assert value.rows == pytest.approx(2 * value.cols, abs=1)
    assert mask_iou(resize_mask(mask_cells(value), 200, 100), cells) > least


def test_the_worst_mask_fits_the_smallest_budget():
    board = np.indices((64, 64)).sum(axis=0) % 2
    for tokens in range(6, 40):
        assert token_cost(mask_within(board, tokens)) <= tokens
    assert token_cost(mask_within(board, 7, image=3)) <= 7


def test_a_small_object_does_not_vanish():
    cells = np.zeros((500, 500))
    cells[250, 100] = 1
    assert mask_cells(mask_within(cells, 12)).sum() >= 1
    assert mask_cells(mask_within(cells * 0, 12)).sum() == 0


@pytest.mark.parametrize(("shape", "tokens", "image"), [
    ((4,), 9, 0), ((0, 4), 9, 0), ((4, 4), 5, 0), ((4, 4), 6, 1)])
def test_what_no_mask_can_hold_is_refused(shape, tokens, image):
    with pytest.raises(SlisValueError):
        mask_within(np.ones(shape), tokens, image)


@pytest.mark.parametrize("vertices", [3, 6, 12, 64])
def test_an_outline_is_simplified_to_its_limit(vertices):
    """At least nine tenths of the largest polygon of so many vertices inside the circle."""
    best = vertices * np.sin(2 * np.pi / vertices) / (2 * np.pi)
    line = simplified(CIRCLE, vertices)
    assert len(line) == vertices
    assert mask_iou(fill(line, 256, 256), fill(CIRCLE, 256, 256)) > 0.9 * best


def test_a_short_outline_is_left_alone():
    np.testing.assert_array_equal(simplified(CIRCLE[::50], 4), CIRCLE[::50])
    with pytest.raises(SlisValueError, match="2 vertices"):
        simplified(CIRCLE, 2)
