"""The vector that routing heads take: layout, bounds, and what it must not hang on."""

import numpy as np
import pytest

from eo_nodes.lvlm.proposals import Proposals
from eo_nodes.lvlm.runtime_greedy import TapState
from eo_nodes.lvlm.tap_features import (
    BEST_SCORES,
    FACTS,
    PROMPT_SIZE,
    evidence_of,
    facts_of,
    features_of,
    prompt_code,
    sizes_of,
)


def state(**change):
    fields = {
        "stage": 2, "features": np.arange(4, dtype=np.float32), "tokens": 3, "mean_logprob": -0.5,
        "min_logprob": -2.0, "entropy_mean": 0.7, "first_token_margin": 0.4,
        "relevance": np.array([[0.1, 0.9], [0.2, 0.0]], np.float32), **change,
    }  # fmt: skip
    return TapState(**fields)


def proposals(*scores):
    n = len(scores)
    return Proposals(np.array(scores, np.float32), np.zeros((n, 4), np.float32),
                     np.ones((n, 3), np.float32), np.zeros((n, 2), np.float32))


def test_blocks_lie_one_behind_the_other():
    evidence = np.array([7.0, 8.0], np.float32)
    vector = features_of(state(), "How many ships?", "4 ships", evidence)
    sizes = sizes_of(2, 4)
    assert vector.shape == (sum(sizes.values()),) and vector.dtype == np.float32
    assert vector[len(FACTS) + PROMPT_SIZE :].tolist() == [7.0, 8.0, 0.0, 1.0, 2.0, 3.0]


def test_facts_by_name():
    facts = dict(zip(FACTS, facts_of(state(), "Is it <box 1 2 3 4>?", "19 <box 1 2 3 4>"),
                     strict=True))
    assert facts["mean_logprob"] == -0.5 and facts["tokens"] == pytest.approx(0.3)
    assert facts["relevance_max"] == pytest.approx(0.9)
    assert facts["relevance_share"] == pytest.approx(0.25)
    assert facts["prompt_places"] == 1 and facts["answer_values"] == 1
    assert facts["answer_number"] == 0.0
    said = dict(zip(FACTS, facts_of(state(), "How many?", "19 ships"), strict=True))
    assert said["answer_number"] == pytest.approx(np.log1p(19) / 5)


@pytest.mark.parametrize(
    "change",
    [{"relevance": np.zeros((0, 0), np.float32)}, {"relevance": np.zeros((3, 3), np.float32)},
     {"mean_logprob": -np.inf, "min_logprob": -1e9}, {"entropy_mean": np.nan},
     {"features": np.array([np.inf, -np.inf, np.nan, 1e9], np.float32)}],
)  # fmt: skip
def test_always_finite(change):
    vector = features_of(state(**change), "p", "", np.zeros(0, np.float32))
    assert np.isfinite(vector).all()


def test_prompt_code_is_of_unit_length_and_hangs_on_words_not_numbers():
    code = prompt_code("How many ships are there?")
    assert np.linalg.norm(code) == pytest.approx(1.0)
    np.testing.assert_array_equal(code, prompt_code("how many  SHIPS are there?"))
    np.testing.assert_array_equal(prompt_code("what is at <point 1 2>"),
                                  prompt_code("what is at <point 400 17>"))
    other = prompt_code("Is there water in the tile?")
    assert float(code @ other) < 0.5 < float(code @ prompt_code("How many cars are there?"))
    assert np.isfinite(prompt_code("?")).all() and np.isfinite(prompt_code("   ")).all()


def test_evidence_of_images():
    one, two = np.array([[0.2, 0.8]], np.float32), np.array([[0.6, 0.4]], np.float32)
    total = np.zeros((1, 3), np.float32)
    vector = evidence_of([one, two], [total, total + 2], [proposals(0.9, 0.2), proposals()])
    assert vector.shape == (2 + 2 * 3 + BEST_SCORES + 3,)
    assert vector[:2] == pytest.approx([0.4, 0.6])
    assert vector[2:5] == pytest.approx([1, 1, 1])
    assert vector[5] == pytest.approx(np.log(2) / 2)
    assert vector[8:10] == pytest.approx([0.9, 0.2]) and (vector[10:14] == 0).all()
    assert vector[-3:] == pytest.approx([2 / 24, 0.5, 0.8])
