"""What is pointed at, and masks that are answered: the runtime of our family on a tiny folder."""

import numpy as np
import pytest
from unified_asks import RADAR, ask, begin, image, logits

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import slis
from eo_nodes.lvlm.unified_pictures import pictures_of_images
from eo_nodes.lvlm.unified_scene import mask_logits
from eo_nodes.lvlm.visual_prompts import VisualPromptError, box, drawn, point
from eo_nodes.lvlm.zoom import with_zooms

# -- places --------------------------------------------------------------------------------------


def test_visual_prompts_change_what_the_model_sees(model):
    images = [image()]
    seen = [logits(model, images, places=places) for places in (
        (), [point(0.2, 0.2)], [point(0.9, 0.9)], [box(0.1, 0.1, 0.4, 0.4)],
        [drawn(np.eye(6))], [point(0.2, 0.2), point(0.9, 0.9)])]
    for i, one in enumerate(seen):
        assert all(np.abs(one - other).max() > 1e-3 for other in seen[:i])


def test_a_place_belongs_to_its_image(model):
    images = [image(1), image(2)]
    first, second = (logits(model, images, places=[box(0.1, 0.1, 0.4, 0.4, image=i)])
                     for i in (0, 1))
    assert np.abs(first - second).max() > 1e-3


def test_a_drawn_mask_reaches_the_model_as_it_was_drawn(model):
    rows = np.zeros((40, 40), bool)
    rows[::4] = True                                        # in text it is a box, as the other is
    striped, filled = (as_given([image()], "what is this ?", [drawn(cells)])
                       for cells in (rows, np.ones((37, 40))))
    assert "<mask" not in striped[0] and np.array_equal(slis.mask_cells(striped[1][0].mask), rows)
    looks = [begin(model, [image()], "what is this ?", places).logits
             for _, places in (striped, filled)]
    assert np.abs(looks[0] - looks[1]).max() > 1e-3


def as_given(images, prompt, places):
    """(prompt, places) as a model gets them."""
    seen = []

    class Spy:
        def answer(self, images, prompt, places, *, max_tokens, zooms=0):
            seen.append((prompt, places))
            return "", 0.0, 1

    ask(Spy(), images, prompt, places)
    return seen[0]


def test_a_place_on_an_image_that_is_not_there(model):
    with pytest.raises(ModelError, match="on image 1, the last one is 0"):
        ask(model, [image()], "what is <point @1 5 5> ?")
    with pytest.raises(ModelError, match="on image 3, the last one is 2"):
        begin(model, [image(frames=3)], places=[point(0.5, 0.5, image=3)])
    ask(model, [image(frames=3)], "what is <point @2 5 5> ?", max_tokens=2)    # a frame is one


def test_more_places_than_a_request_may_have(model):
    ask(model, [image()], "what ?", [point(0.05 * i, 0.5) for i in range(8)], max_tokens=2)
    with pytest.raises(VisualPromptError):
        ask(model, [image()], "what ?", [point(0.05 * i, 0.5) for i in range(17)])


# -- masks ---------------------------------------------------------------------------------------


def forced(model, images, tokens, max_tokens=16):
    """A session that decodes exactly these tokens, and then the end."""
    session = begin(model, images, max_tokens=max_tokens)
    grammar, tokens = session._allowed, [*tokens, model.config.end_token]

    def allowed(ids):
        mask = np.zeros(model.config.vocabulary, bool)
        mask[tokens[min(len(ids), len(tokens) - 1)]] = True
        assert (mask & grammar(ids)).any(), "the grammar forbids what the test forces"
        return mask

    session._allowed, session._pointer = allowed, None       # which would mix proposals in
    session.decode(max_tokens)
    return session


def test_seg_becomes_a_mask_of_the_pixel_maps_grid(model):
    seg = model.config.spatial.markers["seg"]
    session = forced(model, [image(3)], [seg])
    mask, = slis.parse(session.text)
    cells = session.mask(0)
    assert (mask.rows, mask.cols) == cells.shape == session._scene.maps[0].shape[2:] == (24, 32)
    assert np.array_equal(slis.mask_cells(mask), cells)
    with pytest.raises(ModelError, match="no mask 1"):
        session.mask(1)


def test_a_seg_at_the_very_end_of_the_tokens_is_filled(model):
    seg = model.config.spatial.markers["seg"]
    session = forced(model, [image(3)], [seg, seg, seg], max_tokens=3)
    assert session.is_finished and len(session.token_ids) == 3
    assert [part.kind for part in slis.parse(session.text) if part != " "] == ["mask"] * 3
    session.decode(4)
    assert len(session._queries) == 3


def test_seg_on_another_image_and_on_the_change(model):
    c = model.config.spatial
    radar = image(2, RADAR, (40, 40), modality="sar")
    session = forced(model, [image(1), radar], [c.markers["seg"], c.images + 1])
    mask, = slis.parse(session.text)
    assert mask.image == 1 and (mask.rows, mask.cols) == session._scene.maps[1].shape[2:]
    dates = forced(model, [image(1), image(2)], [c.markers["seg"]])
    expected = np.einsum("d,dhw->hw", dates._queries[0], dates._scene.change[0])
    assert np.array_equal(dates.mask(0), expected + model.config.query_bias > 0)


def test_masks_are_finer_where_zooms_see_more(model):
    big = image(4, shape=(256, 256))
    pictures = pictures_of_images([big])
    session = model.begin(with_zooms(pictures, (), 128, 4), "what is this ?", (), 8, None)
    query = np.random.default_rng(0).normal(size=model.config.depth).astype(np.float32)
    found = mask_logits(session._scene, 0, query)
    assert found.shape == (64, 64)                     # 128 px of input a quarter: twice as fine
    zoom, window = session._scene.closer[0][3]
    assert window == (0.5, 0.5, 0.5, 0.5)
    assert found[32:, 32:] == pytest.approx(np.einsum("d,dhw->hw", query, zoom[0]), abs=1e-4)
    whole = model.begin(pictures, "what is this ?", (), 8, None)._scene
    assert mask_logits(whole, 0, query).shape == (32, 32)
    one = model.begin(with_zooms(pictures, [point(0.9, 0.9)], 128, 4), "what ?", (), 8, None)
    part = mask_logits(one._scene, 0, query)
    assert part.shape == (64, 64)
    # Elsewhere the overview's values stand, each in four cells.
    assert np.array_equal(part[:32:2, :32:2], mask_logits(whole, 0, query)[:16, :16])


# -- values that come again ----------------------------------------------------------------------


def test_an_answer_ends_where_it_repeats_a_value(model):
    c = model.config.spatial
    first, second = ([c.markers["box"], *(c.locations + v for v in place)]
                     for place in ((10, 10, 60, 60), (100, 10, 160, 60)))
    session = forced(model, [image(3)], [*first, *second, *first, *second], max_tokens=64)
    assert session.is_finished and session.token_ids == [*first, *second, *first]
    assert session.text == "<box 10 10 60 60> <box 100 10 160 60>"
    # What was decoded counts, with the probability that it was chosen with; no end was forced.
    assert session.tap().stage == 3 and session.tap().tokens == len(session.token_logprobs) == 15
    assert session.decode(4) == 0


def test_the_same_box_on_another_image_is_no_repeat(model):
    c = model.config.spatial
    place = [c.locations + v for v in (10, 10, 60, 60)]
    tokens = [c.markers["box"], *place, c.markers["box"], c.images + 1, *place]
    session = forced(model, [image(1), image(2)], tokens, max_tokens=64)
    assert session.token_ids == [*tokens, model.config.end_token]
    assert session.text == "<box 10 10 60 60> <box @1 10 10 60 60>"
