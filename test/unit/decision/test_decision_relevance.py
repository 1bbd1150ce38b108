"""Cues of relevance on one fine grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.decision.relevance import (
    Cues,
    RelevanceConfig,
    marks,
    on_grid,
    relevance_of,
    standing_out,
)

CONFIG = RelevanceConfig(
    attention=0.5, marks=1.0, language=0.5, sharpness=1.0, margin=0.0, grid=16)
SHIP = np.array([[0.5, 0.25, 0.52, 0.27]])


def test_a_small_proposal_stands_out_where_attention_is_coarse() -> None:
    cues = Cues(np.full((2, 2), 0.2), SHIP, np.array([0.9]))
    found = relevance_of(cues, 320, 320, CONFIG)
    assert found.shape == (16, 16)
    assert np.argwhere(found > 0.5).tolist() == [[4, 8]]
    assert found[4, 8] == pytest.approx(1 - 0.9 * 0.1)
    assert found[0, 0] == pytest.approx(0.1)


def test_another_kind_leaves_attention_alone() -> None:
    cues = Cues(np.array([[0.2, 0.8]]), SHIP, np.array([0.0]))
    assert set(relevance_of(cues, 100, 100, CONFIG).ravel().round(6)) == {0.1, 0.4}


def test_fine_cells_are_whole_parts_of_the_cells_of_attention() -> None:
    attention = np.arange(15.0).reshape(3, 5) / 15
    found = relevance_of(Cues(attention), 300, 500, CONFIG)
    assert found.shape == (9, 15)
    assert np.allclose(found, 0.5 * np.kron(attention, np.ones((3, 3))))


def test_without_any_cue_everything_counts() -> None:
    assert (relevance_of(Cues(), 64, 128, CONFIG) == 1).all()
    assert relevance_of(Cues(), 64, 128, CONFIG).shape == (8, 16)


def test_sharpness_sets_what_is_likely_apart_from_what_hardly_is() -> None:
    cues = Cues(np.full((2, 2), 0.2), SHIP, np.array([0.9]))
    plain = relevance_of(cues, 320, 320, CONFIG)
    sharp = relevance_of(cues, 320, 320, replace(CONFIG, sharpness=2.0))
    assert np.allclose(sharp, plain**2)
    assert (relevance_of(Cues(), 64, 128, replace(CONFIG, sharpness=3.0)) == 1).all()


def test_values_without_sense_are_no_chances() -> None:
    bad = np.array([[np.nan, np.inf], [-3.0, 0.5]])
    assert on_grid(bad, 2, 2).tolist() == [[0.0, 1.0], [0.0, 0.5]]
    boxes = np.array([[np.nan, 0, 1, 1], [0.5, 0.5, 0.4, 0.6], [0.9, 0.9, 7.0, 7.0]])
    found = marks(boxes, np.array([1.0, 1.0, np.nan]), 4, 4)
    assert not found.any()
    assert relevance_of(Cues(bad, boxes, np.ones(3), bad), 10, 10, CONFIG).max() <= 1


def test_language_counts_what_stands_out_whatever_the_level() -> None:
    cells = np.full((4, 4), 0.2)
    cells[1, 2] = 0.3
    found = standing_out(cells)
    assert found.argmax() == 6 and found[1, 2] > 0.8 and found[0, 0] == 0
    assert not standing_out(np.full((3, 3), 0.4)).any()


def test_weights_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError):
        RelevanceConfig(attention=1.5)
    with pytest.raises(ConfigError):
        RelevanceConfig(sharpness=0.5)
    with pytest.raises(ConfigError):
        marks(np.zeros((2, 4)), np.zeros(1), 2, 2)
