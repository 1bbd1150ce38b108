"""Figures of chances by hand."""

from __future__ import annotations

import numpy as np
import pytest

from eo_nodes.lvlm.chances import auroc, brier, ece

RIGHT = np.array([0.0, 1.0, 0.0, 1.0])


def test_calibration_error_over_bins_of_equal_mass():
    assert ece(np.full(4, 0.5), RIGHT, 1) == 0
    assert ece(RIGHT, RIGHT, 4) == 0
    assert ece(1 - RIGHT, RIGHT, 4) == 1
    # Two bins of two: 0.2, 0.4 with one right (0.2 off), 0.8, 1.0 both right (0.1).
    found = ece([1.0, 0.2, 0.8, 0.4], [1, 0, 1, 1], bins=2)
    assert found == pytest.approx((2 * 0.2 + 2 * 0.1) / 4)
    assert ece([0.3], [1], bins=15) == pytest.approx(0.7)
    assert np.isnan(ece([], []))


def test_auroc_counts_ties_half():
    # Of 2 x 2 pairs: 0.9 beats both, 0.4 beats 0.1 and ties with 0.4: 3.5 of 4.
    assert auroc([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0]) == pytest.approx(3.5 / 4)
    assert auroc([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1]) == pytest.approx(0.875)
    assert auroc([0.1, 0.9, 0.2, 0.8], RIGHT > 0.5) == 1
    assert auroc([0.9, 0.1, 0.2, 0.8], RIGHT > 0.5) == 0.25
    assert auroc(np.zeros(4), [1, 0, 0, 0]) == 0.5
    assert auroc([0.1, 0.2, 0.9], [True, True, False]) == 0
    assert np.isnan(auroc([0.5, 0.9], [1, 1])) and np.isnan(auroc([0.5, 0.9], [False, False]))


def test_brier_is_the_mean_squared_distance():
    assert brier(np.full(4, 0.5), RIGHT) == 0.25
    assert brier([0.9, 0.2], [1, 0]) == pytest.approx((0.01 + 0.04) / 2)
