"""Answers of the vision graph: numbers, lists, classes, the mixture with own words."""

from dataclasses import replace

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.choosing import ORDERS
from eo_nodes.lvlm.counting import Counts, plain
from eo_nodes.lvlm.proposals import Proposals, keep
from eo_nodes.lvlm.told import (
    Candidate,
    Classes,
    Speller,
    Told,
    boxes_of,
    candidates,
    choices,
    lists,
    size_of,
)

END, DIGIT = 9, {str(n): n for n in range(6)} | {"yes": 6, "no": 7, "sea": 8}
NONE = -1


def proposals(*rows):
    """(x, y, kind, score) of small boxes in [0, 1]; two kinds."""
    xy = np.array([r[:2] for r in rows], np.float32).reshape(-1, 2)
    kinds = np.array([[0.9, 0.2] if r[2] == 0 else [0.1, 0.8] for r in rows], np.float32)
    return Proposals(np.array([r[3] for r in rows], np.float32),
                     np.concatenate([xy - 0.02, xy + 0.02], 1), kinds.reshape(-1, 2),
                     np.zeros((len(rows), 1), np.float32))


def write(text):
    return [DIGIT[c] for c in (text if text.isdigit() else text.split())]


def told_of(scores, found):
    return Told(scores, found, len(scores))


def surely(*numbers):
    """`Counts` without a doubt, of kinds and of all."""
    return Counts(np.array([float(n > 0) for n in numbers]),
                  tuple(np.eye(1, n + 1, n)[0] for n in numbers))


def answers_of(numbers, groups=(), chances=(), labels=None):
    return candidates(surely(*numbers), groups, labels, np.array(chances, np.float32),
                      Speller(write, END))


def sure_of(choice, size):
    scores = np.full(size, -20.0, np.float32)
    scores[choice] = 0.0
    return scores


def logprobs_of(**chances):
    out = np.full(10, 1e-3)
    for token, chance in chances.items():
        out[int(token[1:])] = chance
    return np.log(out / out.sum())


def decoded(told, logprobs, steps=4):
    """Greedy tokens of a decoder that always says the same."""
    found = []
    while len(found) < steps and END not in found:
        mixed = told.mix(logprobs) if told.is_open else logprobs
        found.append(int(mixed.argmax()))
        if told.is_open:
            told.take(found[-1], float(logprobs[found[-1]]))
    return found


FOUND = proposals((0.2, 0.2, 0, 0.9), (0.8, 0.2, 0, 0.5), (0.3, 0.3, 1, 0.4), (0.5, 0.5, 1, 0.2))


@pytest.mark.parametrize(("asked", "said"), [
    (0, [2, END]), (1, [0, END]), (2, [2, END]), (3, [6, END]), (4, [7, END]), (5, [6, END]),
    (8, [8, END]), (9, [1, 3, END]),
    (10, [6, END]), (11, [7, END])])
def test_each_question_has_its_answer(asked, said):
    groups = [Classes(1, ("4", "sea")), Classes(4, ("13", "sea"))]
    chances = [1.0, 0.3, 0.7, 1.0, 0.6, 0.4, 0.8, 0.3]
    found = answers_of([2, 0, 2], groups, chances, Classes(6, ("dock", "sand")))
    size = size_of(2, 2, 2)
    assert max(c.asked for c in found) + 2 == size - 2 * len(ORDERS)
    told = Told(sure_of(asked, size), found, size)
    assert decoded(told, logprobs_of(t5=0.9)) == said
    assert not told.is_open, "the answer is whole"


def test_what_was_not_asked_leaves_the_decoder_alone():
    told = Told(sure_of(NONE, 9), answers_of([2, 0, 2]), 9)
    plain = logprobs_of(t5=0.7, t3=0.2)
    np.testing.assert_allclose(told.mix(plain), plain, atol=1e-4)
    told.take(5, float(plain[5]))
    assert not told.is_open


def test_the_mixture_by_hand_and_what_the_first_token_tells():
    found = [Candidate(0, (1, 2, END)), Candidate(1, (1, END)), Candidate(2, (3, END), 0.75),
             Candidate(2, (4, END), 0.25)]
    told = told_of(np.log(np.array([0.2, 0.1, 0.3, 0.4], np.float32)), found)
    plain = np.log(np.array([0, 0.5, 0, 0.25, 0.25, 0, 0, 0, 0, 0]) + 1e-12)
    mixed = np.exp(told.mix(plain))
    np.testing.assert_allclose(
        mixed[[1, 3, 4]], [0.3 + 0.2, 0.225 + 0.1, 0.075 + 0.1], atol=1e-6)
    told.take(1, float(plain[1]))
    plain = np.log(np.array([0, 0, 0, 0, 0.5, 0, 0, 0, 0, 0.5]) + 1e-12)
    mixed = np.exp(told.mix(plain))           # 0.2 : 0.1 : 0.4 * 0.5 are left
    np.testing.assert_allclose(mixed[[2, END, 4]], [0.4, 0.2 + 0.2, 0.2], atol=1e-6)


def test_a_name_that_two_groups_share_has_the_chance_of_both():
    groups = [Classes(0, ("sea", "4")), Classes(2, ("sea", "5"))]
    scores = np.log(np.array([1e-6] * 8 + [0.5, 0.4, 0.1], np.float32))
    told = told_of(scores, answers_of([2, 0, 2], groups, [0.4, 0.6, 0.9, 0.1]))
    mixed = np.exp(told.mix(logprobs_of(t1=0.99)))
    np.testing.assert_allclose(mixed[[8, 4, 5]], [0.2 + 0.36, 0.3, 0.04], atol=2e-3)


def test_numbers_and_presence_have_the_chances_that_were_counted():
    counts = Counts(np.array([0.7, 0.0, 0.7]), (
        np.array([0.3, 0.5, 0.197, 0.003]), np.ones(1), np.array([0.3, 0.5, 0.2])))
    found = candidates(counts, (), None, np.zeros(0, np.float32), Speller(write, END))
    assert [(c.ids[0], c.chance) for c in found if c.asked == 0] == [(0, 0.3), (1, 0.5), (2, 0.197)]
    mixed = np.exp(told_of(sure_of(0, 9), found).mix(logprobs_of(t9=0.9)))
    assert mixed[[0, 1, 2]] == pytest.approx([0.3, 0.5, 0.2], abs=3e-3)
    mixed = np.exp(told_of(sure_of(3, 9), found).mix(logprobs_of(t9=0.9)))
    assert mixed[[6, 7]] == pytest.approx([0.7, 0.3], abs=1e-3)
    mixed = np.exp(told_of(sure_of(4, 9), found).mix(logprobs_of(t9=0.9)))
    assert mixed[[6, 7]] == pytest.approx([0.0, 1.0], abs=1e-3)


def test_a_class_without_any_chance_is_not_said():
    told = told_of(sure_of(8, 10), answers_of([2, 0, 2], [Classes(0, ("sea", "4"))], [0.0, 1.0]))
    assert decoded(told, logprobs_of(t5=0.9)) == [4, END]


def test_what_the_grammar_forbids_stays_forbidden():
    scores = sure_of(0, 9)
    scores[-1] = -5.0
    told = told_of(scores, answers_of([2, 0, 2]))
    plain = logprobs_of(t5=0.9)
    plain[2] = -np.inf
    mixed = told.mix(plain)
    assert mixed[2] == -np.inf and int(mixed.argmax()) == 5


@pytest.mark.parametrize(("size", "value"), [(26, 0.0), (28, 0.0), (27, np.nan), (27, np.inf)])
def test_scores_that_cannot_be_are_refused(size, value):
    scores = sure_of(0, size)
    scores[0] = value
    with pytest.raises(ModelError, match=r"asked: \d+ scores for 27 things"):
        Told(scores, answers_of([2, 0, 2]), size_of(2, 0, 0))


def spelled(text):
    """Lists as tokens: 3 opens a box, its first field follows; "none" is 0."""
    return [t for box in text.split("<box")[1:] for t in (3, int(box.split()[0]) % 10)] or [0]


def test_boxes_of_a_kind_are_listed_as_they_are_kept():
    kept = keep(replace(FOUND, score=FOUND.kinds.max(1)))
    assert boxes_of(kept, 0, 0.3).count("<box") == 2 and boxes_of(kept, 0, 0.95) == "none"
    first, last = boxes_of(kept, 0, 0.3).replace(">", "").split("<box")[1:]
    assert [round(int(v) / 5.12) for v in first.split()] == [18, 18, 22, 22]
    assert [round(int(v) / 5.12) for v in last.split()] == [78, 18, 82, 22]
    assert boxes_of(proposals(), 1, 0.3) == "none"


def test_a_list_is_told_where_its_kind_has_a_limit_and_the_middle_one_wins():
    found = proposals((0.1, 0.1, 0, 0.9), (0.3, 0.1, 0, 0.55), (0.5, 0.1, 0, 0.4))
    told = lists(found, [0.5, 0.0], Speller(spelled, END))
    assert [c.asked for c in told] == [6, 6, 6] and sum(c.chance for c in told) == 1
    assert [len(c.ids) for c in told] == [5, 7, 3], "as it is, a little laxer, a little stricter"
    scores = sure_of(6, 9)
    assert decoded(told_of(scores, told), logprobs_of(t9=0.9), 8) == [*told[0].ids]
    # Nothing is told of the other kind: what its weight is worth, the decoder may say.
    other = told_of(sure_of(7, 9), told)
    plain = logprobs_of(t5=0.7, t3=0.2)
    np.testing.assert_allclose(other.mix(plain), plain, atol=1e-4)


def test_an_answer_is_spelled_once():
    calls = []
    spell = Speller(lambda text: [calls.append(text) or 1], END)
    assert spell("sea") == spell("sea") == (1, END) and calls == ["sea"]


def test_the_one_that_is_meant_is_told_where_it_may_be_asked_for():
    kept = keep(replace(FOUND, score=FOUND.kinds.max(1)))
    size = size_of(2, 0, 0)
    scores = sure_of(size - 1 - 2 * len(ORDERS) + 2 * ORDERS.index("rightmost"), size)
    told = [True] * len(ORDERS)
    texts = []

    def written(text):
        texts.append(text)
        return [len(texts)]

    found = choices(kept, plain(2), told, (), scores, Speller(written, END))
    assert sum(c.chance for c in found) == pytest.approx(1) and len(texts) == 2
    best = max(found, key=lambda c: c.chance)
    assert texts[best.ids[0] - 1] == boxes_of(kept.take([1]), 0, 0.1), "the one on the right"
    assert {c.asked for c in found} == {int(scores.argmax())}, "no other is worth spelling"
    told[ORDERS.index("rightmost")] = False
    assert not choices(kept, plain(2), told, (), scores, Speller(written, END))
    assert not choices(kept, plain(2), (), (), scores, Speller(written, END))
