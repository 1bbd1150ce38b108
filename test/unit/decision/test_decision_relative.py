"""Relevance relative to the most relevant cell of the window."""

from __future__ import annotations

import numpy as np

from eo_nodes.decision.regions import relative


def test_relative_scales_to_the_highest_and_keeps_all_when_nothing_stands_out() -> None:
    grid = np.array([[0.02, 0.04], [np.nan, -1.0]])
    assert relative(grid).tolist() == [[0.5, 1.0], [0.0, 0.0]]
    assert relative(np.zeros((2, 3))).tolist() == [[1.0] * 3] * 2
    assert relative(np.full((2, 2), 0.05)).tolist() == [[1.0] * 2] * 2
