"""Places in scene pixels become bins of the window that is asked about."""

import numpy as np
import pytest

from eo_nodes.contracts.errors import EoError
from eo_nodes.lvlm import slis
from eo_nodes.lvlm.question import plain_words, question_about
from eo_nodes.lvlm.visual_prompts import VisualPromptError, parse_prompt

WINDOW = (100, 40, 200, 100)


def test_each_kind_is_said_in_the_windows_bins():
    # Half, a quarter, a fifth of the way across and down.
    text = question_about(WINDOW, "what is it ?", [
        ("point", (200.0, 65.0), ""), ("box", (100.0, 40.0, 300.0, 90.0), ""),
        ("polygon", (140.0, 60.0, 300.0, 60.0, 300.0, 140.0), "")])
    assert text == ("what is it ? <point 256 128> <box 0 0 511 255> "
                    "<poly 102 102 511 102 511 511>")


def test_labels_say_where_in_the_text_a_place_stands():
    text = question_about(WINDOW, "is A larger than B ?", [
        ("box", (100.0, 40.0, 200.0, 90.0), "B"), ("point", (100.0, 40.0), "A")])
    assert text == "is A <point 0 0> larger than B <box 0 0 255 255> ?"


def test_a_prompt_without_places_stays_as_it_is():
    assert question_about(WINDOW, "how many ships ?", []) == "how many ships ?"
    assert question_about(WINDOW, "at <point 3 4> ?", []) == "at <point 3 4> ?"


def test_what_reaches_beyond_the_window_is_cut():
    assert question_about(WINDOW, "x", [("box", (0.0, 0.0, 200.0, 90.0), "")]) == (
        "x <box 0 0 255 255>")
    cut = question_about(WINDOW, "x", [("polygon", (0.0, 0.0, 900.0, 0.0, 900.0, 90.0,
                                                    0.0, 90.0), "")])
    (place,) = parse_prompt(cut)[1]
    xy = np.array(place.xy).reshape(-1, 2)
    assert xy.min(0) == pytest.approx([0, 0], abs=0.002)
    assert xy.max(0) == pytest.approx([1, 0.5], abs=0.002)


@pytest.mark.parametrize("place", [
    ("point", (99.0, 60.0), "the ship"), ("box", (0.0, 0.0, 100.0, 90.0), ""),
    ("box", (300.0, 0.0, 310.0, 90.0), ""), ("polygon", (0.0, 0.0, 90.0, 0.0, 90.0, 90.0), ""),
    ("polygon", (0.0, 0.0, 100.0, 0.0, 100.0, 90.0), "")])
def test_a_place_outside_is_named(place):
    with pytest.raises(VisualPromptError, match=r"place 2, .* outside the window") as caught:
        question_about(WINDOW, "x", [("point", (150.0, 60.0), ""), place])
    assert place[2] in str(caught.value)


@pytest.mark.parametrize("place", [
    ("point", (150.0, 60.0, 1.0), ""), ("point", (150.0, 60.0, 170.0, 80.0), ""),
    ("box", (150.0, 60.0), ""), ("box", (170.0, 60.0, 150.0, 80.0), ""), ("circle", (150.0, 60.0),
    ""), ("polygon", (150.0, 60.0, 170.0, 80.0), ""), ("point", (float("nan"), 60.0), ""),
    ("point", (150.0, 60.0), "x" * 65)])
def test_what_is_no_place_is_refused(place):
    with pytest.raises(VisualPromptError):
        question_about(WINDOW, "x", [place])


def test_malformed_values_and_long_texts_are_refused():
    with pytest.raises(slis.SlisSyntaxError):
        question_about(WINDOW, "what is <box 1 2 3> ?", [])
    with pytest.raises(EoError, match="at most 2000"):
        question_about(WINDOW, "x" * 1995, [("point", (150.0, 60.0), "")])
    with pytest.raises(VisualPromptError, match="17 in one"):
        question_about(WINDOW, "x", [("point", (150.0, 60.0), "")] * 17)


@pytest.mark.parametrize("seed", range(40))
def test_every_place_comes_back_where_it_was(seed):
    rng = np.random.default_rng(seed)
    window = (*rng.integers(0, 500, 2).tolist(), *rng.integers(8, 900, 2).tolist())
    x, y, w, h = window
    low = rng.uniform(0, 0.6, 2)
    high = low + rng.uniform(0.1, 0.4, 2)
    places = [("point", (x + low[0] * w, y + low[1] * h), ""),
              ("box", (x + low[0] * w, y + low[1] * h, x + high[0] * w, y + high[1] * h), "")]
    point, box = parse_prompt(question_about(window, "what ?", places))[1]
    assert point.xy == pytest.approx(low, abs=1 / 512)
    assert box.xy == pytest.approx((*low, *high), abs=1 / 512)


def test_words_alone_for_models_that_know_no_places():
    assert plain_words("is A <point 0 0> larger than B <box 0 0 255 255> ?") == (
        "is A larger than B ?")
    assert plain_words("<point 0 0>") == "<point 0 0>"
    assert plain_words("how many ?") == "how many ?"
    assert plain_words("is <box 1> a  tag ?") == "is <box 1> a  tag ?"
