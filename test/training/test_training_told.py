"""How far the vision graph is believed, which lists are told, and mirrored looks."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from eo_nodes.lvlm import spectrum  # noqa: E402
from training.decoder import choosing, listing, told  # noqa: E402
from training.decoder.asked import Things  # noqa: E402
from training.decoder.asked_layer import Asked  # noqa: E402
from training.vision.dual import MIRRORS, looked, mirrored  # noqa: E402

HEADS = (("class_eurosat", 2), ("label_objects", 2))
THINGS = Things.of(HEADS, {"label_objects": ["dock", "sand"]})


def case(told_, own, asked=1.0):
    return told.Case(0, asked, own, told_, told_ > 0.5)


def test_trust_is_the_likeliest_share():
    # Right in seven of ten; the decoder never knows: the share is that of the right ones.
    some = [case(1.0, 0.001)] * 7 + [case(0.0, 0.999)] * 3
    assert told.trusted(some) == pytest.approx(0.7, abs=0.02)
    assert told.trusted([case(1.0, 0.3)] * 9) == pytest.approx(0.99)
    assert told.trusted([case(0.0, 0.6)] * 9) == 0
    assert told.trusted([case(1.0, 0.1)] * (told.LEAST - 1)) == 0, "too few"


def test_what_is_hardly_recognised_earns_its_trust_all_the_same():
    known, hardly = ([case(1.0, 0.2, asked)] * 6 + [case(0.0, 0.6, asked)] * 6
                     for asked in (1.0, 0.5))
    assert told.trusted(hardly) > told.trusted(known)


def test_everything_but_boxes_is_weighed_once():
    weighed = told.weighed_of(THINGS)
    places = [p for _, some in weighed for p in some]
    lists = set(range(14, 20))
    assert sorted(places) == sorted(set(range(THINGS.first_choice)) - lists)
    named = dict(weighed)
    assert named["how many: any"] == [6] and named["is there: aircraft"] == [7]
    assert named["class of eurosat"] == [20] and named["labels"] == [21, 22]


def test_a_layer_learns_what_is_asked_for_and_trust_takes_the_rest():
    torch.manual_seed(0)
    layer, places = Asked(8, 6, HEADS), torch.arange(60) % 5
    given = torch.nn.functional.one_hot(places, 16).float() + 0.1 * torch.randn(60, 16)
    assert told.fit(layer, given, places) == 1.0
    layer.trust[1] = 0.25
    said = layer(given[:5, :8], given[:5, None, 8:] / 10).exp().detach()
    assert torch.allclose(said.sum(-1), torch.ones(5), atol=1e-4)
    assert said[0, 0] > 0.8 and said[1, 1] == pytest.approx(0.25, abs=0.05)
    assert said[1, -1] == pytest.approx(0.75, abs=0.1), "the decoder's own words"
    silent = Asked(8, 6, HEADS)(given[:, :8], given[:, None, 8:])
    assert (silent.argmax(-1) == THINGS.size - 1).all()


def rows(decoder, *told_):
    return np.array([decoder, *told_, *[told_[-1]] * (len(listing.LIMITS) - len(told_))], float)


def test_lists_are_told_where_val_says_they_are_better():
    said = []
    looks = [listing.Listed("a", 0, rows((1, 1, 1), (2, 0, 0), (1, 0, 1))),
             listing.Listed("a", 1, rows((2, 0, 0), (2, 0, 0))),
             listing.Listed("b", 1, rows((0, 0, 0), (0, 3, 0), (0, 0, 0)))]
    found = listing.chosen(looks, 3, lambda text, **_: said.append(text))
    assert found == (listing.LIMITS[0], 0.0, 0.0), "no better, and none asked"
    assert len(said) == 2 and "50.0" in said[0] and "100.0" in said[0]


def test_a_folder_that_tells_nothing_lists_nothing(tmp_path):
    assert listing.fit(SimpleNamespace(tells=False), tmp_path) == ()


def test_choices_are_told_where_the_vision_graph_is_right_more_often():
    said = []
    looks = [choosing.Chosen("a", 3, own=False, told=True), choosing.Chosen("a", 3, True, True),
             choosing.Chosen("b", 3, False, False), choosing.Chosen("b", 0, True, True)]
    found = choosing.chosen(looks, lambda text, **_: said.append(text))
    assert found == (False, False, False, True) + (False,) * 5, "as good is not better"
    assert len(said) == 2 and "decoder 25.0" in said[1] and "vision graph 50.0" in said[1]
    assert choosing.fit(SimpleNamespace(tells=False), "") == ()
    true = (0, 0, 10, 10)
    assert choosing.is_right([(1, 0, 10, 10)], true) and not choosing.is_right([], true)
    assert not choosing.is_right([true, true], true), "one was asked for"


class Marked:
    """Finds the brightest place and says how far it lies from its cell's corner."""

    def __call__(self, x, codes):
        heat = x[:, :1]
        shape = torch.zeros(len(x), 4, *x.shape[2:])
        shape[:, 0], shape[:, 1], shape[:, 2] = 0.25, -0.1, heat[:, 0]
        return {"heat": heat + 0.5 * codes.sum(), "shape": shape, "cells": x}


@pytest.mark.parametrize("looks", MIRRORS)
def test_what_is_found_in_mirrored_pictures_comes_back_in_place(looks):
    x, codes = torch.rand(2, 3, 4, 6), torch.zeros(3, spectrum.CODE_SIZE)
    found = looked(Marked(), x, codes, looks)
    assert torch.allclose(found["heat"], x[:, :1]), "the same place in every look"
    assert torch.allclose(found["shape"][:, 2], x[:, 0])
    # What leans to one side in every look leans to none.
    turned = {side: sum(side in m for m in looks) / len(looks) for side in (2, 3)}
    for channel, (lean, side) in enumerate([(0.25, 3), (-0.1, 2)]):
        expected = torch.full((2, 4, 6), lean * (1 - 2 * turned[side]))
        assert torch.allclose(found["shape"][:, channel], expected, atol=1e-6)
    assert found["cells"] is x, "the rest is of the picture as it is"


def test_mirrored_twice_is_the_picture():
    x = torch.rand(1, 2, 3, 4)
    for sides in {m for looks in MIRRORS for m in looks}:
        assert torch.equal(mirrored(mirrored(x, sides), sides), x)


def test_help_names_the_options(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["told", "--help"])
    with pytest.raises(SystemExit):
        told.main()
    assert "--packs" in capsys.readouterr().out
