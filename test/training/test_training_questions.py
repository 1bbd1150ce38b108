"""What training may see, how questions are balanced, how answers are scored."""

import random
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.training

from training.questions import QuestionMaker, exam  # noqa: E402  (after the skip)
from training.samples import HELD_SHARE, Sample, is_held_for_routing  # noqa: E402
from training.scoring import bleu4, cider, score, wilson  # noqa: E402


def thermal(i, cars):
    boxes = [("Car", [0, 0, 2, 2])] * cars
    return Sample("hit_uav", f"{i}", np.zeros((1, 8, 8, 1), np.uint8), ("t",), "thermal",
                  {"day_night": "day" if i % 3 else "night"}, None, boxes)


def test_routing_share_is_fixed_and_near_its_size():
    ids = [f"eurosat_rgb/Forest_{i}" for i in range(4000)]
    held = [i for i in ids if is_held_for_routing(i)]
    assert abs(len(held) / 4000 - HELD_SHARE) < 0.03
    assert is_held_for_routing("eurosat_rgb/Forest_7") == is_held_for_routing(
        "eurosat_rgb/Forest_7")


def test_exam_keeps_yes_and_no_in_balance():
    samples = [thermal(i, cars=0 if i % 5 == 0 else 2) for i in range(50)]
    asked = Counter(q.answer for _, q in exam(samples)["presence_vehicle"])
    assert asked == {"yes": 10, "no": 10}


def test_training_questions_are_balanced_too():
    samples = [thermal(i, cars=0 if i % 5 == 0 else 2) for i in range(50)]
    maker, rng = QuestionMaker(samples), random.Random(0)
    asked = Counter(q.answer for _ in range(40) for s in samples for q in maker.ask(s, rng)
                    if q.focus == "vehicle" and q.kind == "presence")
    assert 0.4 < asked["yes"] / sum(asked.values()) < 0.6


def test_count_error_and_exact_match():
    pairs = list(exam([thermal(0, 3), thermal(1, 5)])["count_vehicle"])
    result = score(pairs, ["3", "no"])
    assert (result.right, result.n, result.error) == (1, 2, 2.5)


def test_caption_metrics_rank_candidates():
    refs = [["a red house near a road"], ["many boats in a harbor"]]
    good = [r[0] for r in refs]
    assert cider(good, refs) == pytest.approx(10) and bleu4(good, refs) == pytest.approx(100)
    assert cider(good[::-1], refs) < 1 and bleu4(good[::-1], refs) < 1


def test_interval_holds_the_share():
    low, high = wilson(90, 100)
    assert low == pytest.approx(82.56, abs=0.1) and high == pytest.approx(94.48, abs=0.1)
