"""Metrics of the evaluation against cases worked out by hand."""

import math

import numpy as np
import pytest

from training.evaluation import intervals, metrics
from training.evaluation.metrics import ACCURACY, F1, IOU, MACRO_F1, MAE


def test_accuracy_is_a_share_in_per_cent():
    sums = sum(metrics.right(x) for x in (True, True, True, False))
    assert ACCURACY.value(sums) == 75.0


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # First: Wilson's classic 81 of 263 (Newcombe 1998, table 1); then the ends.
    [(81, 263, 25.53, 36.62), (0, 20, 0.0, 16.11), (20, 20, 83.89, 100.0)],
)
def test_wilson_interval(hits, n, low, high):
    found = intervals.wilson(hits, n)
    assert found == pytest.approx((low, high), abs=0.01)


def test_mean_absolute_error():
    assert MAE.value(metrics.error(3, 5) + metrics.error(7, 6)) == 1.5


def test_macro_f1_by_hand():
    # Class 0: 1 hit, 1 wrong: 2/3. Class 1: 1 hit, 1 missed: 2/3. Class 2 never occurs: 0.
    first = metrics.label_counts([True, False, False], [True, True, False])
    second = metrics.label_counts([True, True, False], [False, True, False])
    assert MACRO_F1.value(first + second) == pytest.approx(100 * (2 / 3 + 2 / 3 + 0) / 3)


def test_boxes_match_one_to_one_and_best_overlap_first():
    true = [(0, 0, 10, 10), (20, 20, 30, 30)]
    # Two on the first object: one hit, one wrong. The second overlaps by 1/3 only: missed.
    found = [(0, 0, 10, 10), (1, 0, 11, 10), (25, 20, 35, 30)]
    assert metrics.match_boxes(found, true, 0.5).tolist() == [1, 2, 1]
    assert F1.value(metrics.match_boxes(found, true, 0.5)) == pytest.approx(100 * 2 / 5)
    assert metrics.match_boxes(found, true, 0.3).tolist() == [2, 1, 0]


def test_boxes_have_no_extra_pixel():
    # With +1 pixel terms these 1 x 2 boxes would overlap by 4/8 instead of 1/3.
    assert metrics.match_boxes([(0, 0, 1, 2)], [(0, 1, 1, 3)], 0.34).tolist() == [0, 1, 1]
    assert metrics.match_boxes([(0, 0, 1, 2)], [(0, 1, 1, 3)], 0.33).tolist() == [1, 0, 0]


def test_nothing_to_find_and_nothing_found_is_right():
    assert F1.value(metrics.match_boxes([], [], 0.5)) == 100.0
    assert F1.value(metrics.match_boxes([(0, 0, 1, 1)], [], 0.5)) == 0.0


def test_masks_are_pooled_over_pixels_with_a_label():
    true = np.array([[1, 1, 0, 0]], bool)
    valid = np.array([[1, 1, 1, 0]], bool)
    one = metrics.mask_overlap(np.array([[0, 1, 1, 1]], bool), true, valid)
    assert one.tolist() == [1, 3]
    two = metrics.mask_overlap(np.ones((1, 4), bool), np.ones((1, 4), bool))
    # Pooled: 5 of 7 pixels; the mean of the two ratios would be 67 %.
    assert IOU.value(one + two) == pytest.approx(100 * 5 / 7)


def test_recall_counts_ties_against_the_model():
    scores = np.array([0.9, 0.5, 0.5, 0.1])
    assert metrics.recall_hit(scores, 0, 1)
    assert not metrics.recall_hit(scores, 1, 2) and metrics.recall_hit(scores, 1, 3)


def test_cider_of_a_perfect_and_a_foreign_caption():
    references = [["a river in a forest"], ["planes at an airport"], ["a sandy beach here"]]
    perfect = metrics.cider_each([r[0] for r in references], references)
    assert perfect == pytest.approx([10.0] * 3)
    foreign = metrics.cider_each(["roof tiles", "x y z", "q"], references)
    assert foreign == pytest.approx([0.0] * 3)


def test_cider_of_one_shared_word_by_hand():
    # Two documents, df 1 everywhere, idf ln 2. Unigrams (1/2, 1/2) . (1/2, 1/2) share one of
    # two: cosine 1/2; no bigram is shared; 3- and 4-grams do not exist. 10 * (1/2) / 4.
    each = metrics.cider_each(["red roof", "none"], [["red barn"], ["green field"]])
    assert each[0] == pytest.approx(1.25)


def test_cider_forgets_words_that_all_references_have():
    each = metrics.cider_each(["the", "x"], [["the boat"], ["the tree"]])
    assert each[0] == 0.0


def test_bleu4_by_hand():
    assert metrics.bleu4(["a b c d e"], [["a b c d e"]]) == pytest.approx(100.0)
    # Precisions 4/5, 3/4, 2/3, 1/2, equal length.
    found = metrics.bleu4(["a b c d x"], [["a b c d e"]])
    assert found == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # Four of five words: brevity penalty exp(1 - 5/4).
    assert metrics.bleu4(["a b c d"], [["a b c d e"]]) == pytest.approx(100 * math.exp(-0.25))


def test_cluster_sums_keep_the_total():
    sums = intervals.cluster_sums(np.array([[1.0, 1], [0, 1], [1, 1]]), ["a", "b", "a"])
    assert sums.tolist() == [[2, 2], [0, 1]]


def test_clusters_widen_the_interval():
    # 10 scenes of 20 tiles each, all right or all wrong: 10 things were seen, not 200.
    hits = np.repeat([1, 1, 1, 1, 1, 0, 0, 0, 0, 0], 20)
    vectors = np.stack([hits, np.ones(200)], -1)
    by_scene = intervals.cluster_sums(vectors, [i // 20 for i in range(200)])
    low, high = intervals.bootstrap(ACCURACY, by_scene)
    alone_low, alone_high = intervals.bootstrap(ACCURACY, vectors)
    assert (low, high) == pytest.approx((20, 80), abs=11)
    assert alone_high - alone_low < 15 < high - low


def test_bootstrap_of_a_share_agrees_with_wilson():
    vectors = np.stack([np.arange(400) < 300, np.ones(400)], -1).astype(float)
    assert intervals.bootstrap(ACCURACY, vectors) == pytest.approx(
        intervals.wilson(300, 400), abs=1.0
    )


def test_paired_difference_is_sharper_than_two_intervals():
    rng = np.random.default_rng(0)
    second = rng.random(300) < 0.6
    first = second | (rng.random(300) < 0.15)  # never worse on any item

    def vectors(hits):
        return np.stack([hits, np.ones(300)], -1).astype(float)

    mean, low, high = intervals.paired_mean_difference(
        [(ACCURACY, vectors(first), vectors(second))]
    )
    assert mean == pytest.approx(100 * (first.mean() - second.mean()))
    assert 0 < low < mean < high < 2 * mean


def test_share_right_where_exactly_one_is():
    share, n = intervals.share_right_on_disagreement([1, 1, 0, 0, 1], [1, 0, 1, 0, 0])
    assert (n, share) == (3, pytest.approx(200 / 3))
