"""Numbers copied from proposals: what is counted, and the mixture with the decoder's own words."""

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.proposals import Proposals
from eo_nodes.lvlm.tally import Tally, answers, numbers, size_of
from eo_nodes.lvlm.visual_prompts import box, point

END, DIGIT = 9, {str(n): n for n in range(6)} | {"yes": 6, "no": 7}
NONE = -1


def proposals(*rows):
    """(x, y, kind, score) of small boxes in [0, 1]; two kinds."""
    xy = np.array([r[:2] for r in rows], np.float32).reshape(-1, 2)
    kinds = np.array([[0.9, 0.2] if r[2] == 0 else [0.1, 0.8] for r in rows], np.float32)
    return Proposals(np.array([r[3] for r in rows], np.float32),
                     np.concatenate([xy - 0.02, xy + 0.02], 1), kinds.reshape(-1, 2),
                     np.zeros((len(rows), 1), np.float32))


def write(text):
    return [DIGIT[c] for c in (text if text.isdigit() else [text])]


def sure_of(choice, size):
    scores = np.full(size, -20.0, np.float32)
    scores[choice] = 0.0
    return scores


def logprobs_of(**chances):
    out = np.full(10, 1e-3)
    for token, chance in chances.items():
        out[int(token[1:])] = chance
    return np.log(out / out.sum())


def decoded(tally, logprobs, steps=4):
    """Greedy tokens of a decoder that always says the same."""
    found = []
    while len(found) < steps and END not in found:
        mixed = tally.mix(logprobs) if tally.is_open else logprobs
        found.append(int(mixed.argmax()))
        if tally.is_open:
            tally.take(found[-1], float(logprobs[found[-1]]))
    return found


FOUND = proposals((0.2, 0.2, 0, 0.9), (0.8, 0.2, 0, 0.5), (0.3, 0.3, 1, 0.4), (0.5, 0.5, 1, 0.2))


def test_what_is_sure_enough_counts_by_its_best_kind():
    assert numbers(FOUND).tolist() == [2, 1, 3]
    assert numbers(proposals()).tolist() == [0, 0, 0]


def test_an_area_that_is_pointed_at_holds_what_has_its_centre_in_it():
    left = box(0, 0, 0.5, 1)
    assert numbers(FOUND, [left]).tolist() == [1, 1, 2]
    assert numbers(FOUND, [point(0.8, 0.2), left]).tolist() == [1, 1, 2]
    assert numbers(FOUND, [point(0.8, 0.2)]).tolist() == [2, 1, 3]


@pytest.mark.parametrize(("asked", "said"), [
    (0, [2, END]), (1, [0, END]), (2, [2, END]), (3, [6, END]), (4, [7, END]), (5, [6, END])])
def test_each_question_has_its_answer(asked, said):
    candidates = answers([2, 0, 2], write, END)
    assert len(candidates) + 1 == size_of(2)
    tally = Tally(sure_of(asked, 7), candidates)
    assert decoded(tally, logprobs_of(t5=0.9)) == said
    assert not tally.is_open, "the answer is whole"


def test_what_was_not_asked_leaves_the_decoder_alone():
    tally = Tally(sure_of(NONE, 7), answers([2, 0, 2], write, END))
    plain = logprobs_of(t5=0.7, t3=0.2)
    np.testing.assert_allclose(tally.mix(plain), plain, atol=1e-4)
    tally.take(5, float(plain[5]))
    assert not tally.is_open


def test_the_mixture_by_hand_and_what_the_first_token_tells():
    candidates = [[1, 2, END], [1, END], [3, END]]
    tally = Tally(np.log(np.array([0.2, 0.1, 0.3, 0.4], np.float32)), candidates)
    plain = np.log(np.array([0, 0.5, 0, 0.25, 0.25, 0, 0, 0, 0, 0]) + 1e-12)
    mixed = np.exp(tally.mix(plain))
    np.testing.assert_allclose(mixed[[1, 3, 4]], [0.3 + 0.2, 0.3 + 0.1, 0.1], atol=1e-6)
    tally.take(1, float(plain[1]))
    plain = np.log(np.array([0, 0, 0, 0, 0.5, 0, 0, 0, 0, 0.5]) + 1e-12)
    mixed = np.exp(tally.mix(plain))           # 0.2 : 0.1 : 0.4 * 0.5 are left
    np.testing.assert_allclose(mixed[[2, END, 4]], [0.4, 0.2 + 0.2, 0.2], atol=1e-6)


def test_what_the_grammar_forbids_stays_forbidden():
    scores = sure_of(0, 7)
    scores[-1] = -5.0
    tally = Tally(scores, answers([2, 0, 2], write, END))
    plain = logprobs_of(t5=0.9)
    plain[2] = -np.inf
    mixed = tally.mix(plain)
    assert mixed[2] == -np.inf and int(mixed.argmax()) == 5


@pytest.mark.parametrize(("size", "value"), [(6, 0.0), (8, 0.0), (7, np.nan), (7, np.inf)])
def test_scores_that_cannot_be_are_refused(size, value):
    scores = sure_of(0, size)
    scores[0] = value
    with pytest.raises(ModelError, match=r"tally: \d scores for 6 answers"):
        Tally(scores, answers([2, 0, 2], write, END))
