"""Right means: the same words and numbers as the label, however they are written."""

import pytest

from eo_sim.truth_match import is_right, normalise


@pytest.mark.parametrize(
    ("answer", "truth"),
    [
        ("Yes.", "yes"),
        ("two", "2"),
        ("2 ", "two"),
        ("A river", "river"),
        ("The airport!", "airport"),
        ("none", "0"),
        ("ZERO", "0"),
        ("baseball-field", "baseball field"),
    ],
)
def test_same_answer_in_other_words_is_right(answer, truth):
    assert is_right(answer, truth) is True


@pytest.mark.parametrize(
    ("answer", "truth"),
    [
        ("", "yes"),
        ("no", "yes"),
        ("no", "0"),
        ("21", "2"),
        ("2 or 3", "2"),
        ("yes no", "yes"),
        ("river bank", "river"),
        ("not a river", "river"),
    ],
)
def test_other_answer_is_wrong_without_partial_credit(answer, truth):
    assert is_right(answer, truth) is False


@pytest.mark.parametrize("truth", ["", "  "])
def test_unknown_truth_is_neither_right_nor_wrong(truth):
    assert is_right("yes", truth) is None


def test_answer_of_articles_only_is_not_right_by_being_empty():
    assert is_right("the", "airport") is False
    assert normalise("The a an") == ""
