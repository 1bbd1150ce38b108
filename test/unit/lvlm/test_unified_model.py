"""The runtime of our family on a tiny folder with random weights: what holds whatever they are."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from unified_asks import RADAR, RGB, ask, begin, image, logits

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import slis
from eo_nodes.lvlm.infer import ImageInput, language_space, sizes_of
from eo_nodes.lvlm.places import places_of
from eo_nodes.lvlm.runtime import CancelFlag, Cancelled
from eo_nodes.lvlm.unified import MAX_VISUAL_TOKENS
from eo_nodes.lvlm.unified_pictures import pictures_of_images

MANY = ("443 nm", "VV", "865 nm", "1610 nm", "thermal")
WORDS = ("what", "image", "show", "where", "is", "find", "all", "ships", "how", "many", "yes", "a",
         "b", "1", "2", "?")


# -- vectors -------------------------------------------------------------------------------------


def test_signatures_are_unit_vectors_of_the_layout(model):
    ramp = np.tile(np.arange(96, dtype=np.uint8)[:, None, None], (1, 96, 3))
    pictures = [ImageInput(v[None], RGB, "optical") for v in (ramp, ramp[::-1], ramp // 2 + 9)]
    one, turned, dim = (model.signature_of(pictures_of_images([p])[0]) for p in pictures)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    # Two pictures of one layout are nearer than a picture and itself upside down.
    assert one @ dim > one @ turned + 0.1


def test_a_folder_without_signatures_answers_and_says_so_when_asked(model, monkeypatch):
    picture = pictures_of_images([image()])[0]
    old = SimpleNamespace(get_outputs=lambda: [SimpleNamespace(name="cells")])
    monkeypatch.setattr(model, "_vision", old)
    with pytest.raises(ModelError, match="no output signature"):
        model.signature_of(picture)


# -- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(16))
def test_answers_are_well_formed_whatever_is_asked(model, seed):
    rng = np.random.default_rng(seed)
    prompt = " ".join(rng.choice(WORDS, 6))
    images = [image(seed + i, shape=tuple(rng.integers(20, 130, 2)))
              for i in range(rng.integers(1, 4))]
    limit = int(rng.integers(1, 40))
    said = ask(model, images, prompt, max_tokens=limit)
    assert 1 <= said.tokens <= limit and 0 <= said.confidence <= 1
    places = places_of(said.answer, sizes_of(images))          # parses, and no image is unknown
    assert all(place["kind"] != "seg" for place in places)
    assert slis.serialise(slis.parse(said.answer)) == said.answer


def test_the_tiny_model_says_places_and_words(model):
    # Otherwise the tests here would show nothing.
    prompts = ("what is this ?", "find all the ships", "show c", "how many ?", "where is it ?",
               "which box ?", "is it a b ?", "show all c and ships")
    said = [ask(model, [image(seed)], prompt).answer for prompt in prompts for seed in range(4)]
    segments = [part for text in said for part in slis.parse(text)]
    kinds = {part.kind for part in segments if not isinstance(part, str)}
    assert {"box", "point", "poly", "mask"} <= kinds
    assert any(isinstance(part, str) and part.strip() for part in segments)
    assert len(set(said)) > 6


@pytest.mark.parametrize("seed", range(4))
def test_the_text_is_well_formed_at_every_pause(model, seed):
    session = begin(model, [image(seed)], "find all the ships", max_tokens=40)
    texts = [session.text]
    while session.decode(1):
        texts.append(session.text)
        slis.parse(session.text)
    assert texts[0] == "" and (len(texts) < 4 or len(set(texts)) > 1)


def test_greedy_decoding_repeats_itself(model):
    first, second = (begin(model, [image()], "find all the ships", max_tokens=40) for _ in "ab")
    first.decode(40)
    while second.decode(3):
        pass
    assert first.token_ids == second.token_ids and first.text == second.text
    assert first.token_logprobs == second.token_logprobs


@pytest.mark.parametrize("wanted", [1, 2, 90, 5000])
def test_the_longest_answer_keeps_to_the_positions(model, wanted):
    prompt = "what " * 20
    session = begin(model, [image()], prompt, max_tokens=wanted)
    grammar = session._allowed

    def endless(ids):                           # text alone: a value said twice is an end as well
        mask = grammar(ids).copy()
        mask[[model.config.end_token, *model.config.spatial.markers.values()]] = False
        return mask

    session._allowed = endless
    session.decode(wanted)
    room = model.config.positions - 22
    assert len(session.token_ids) == min(wanted, room) and session.is_finished
    assert session.decode(5) == 0


def test_prompts_that_are_refused(model):
    for prompt, word in ((" ", "empty"), ("what " * 90, "at most"), ("x" * 2001, "2001 char")):
        with pytest.raises(ModelError, match=word):
            begin(model, [image()], prompt)
    with pytest.raises(ModelError, match="max_tokens is 0"):
        begin(model, [image()], max_tokens=0)


# -- images --------------------------------------------------------------------------------------


def test_bands_in_any_order_and_number_give_the_same(model):
    one = image(5, MANY)
    order = [3, 0, 4, 2, 1]
    other = ImageInput(one.values[..., order], tuple(MANY[i] for i in order), one.modality)
    # Weights are int8 and the tiny layers amplify rounding; a real difference is far larger.
    assert np.abs(logits(model, [one]) - logits(model, [other])).max() < 5e-3
    wrong = ImageInput(one.values[..., order], MANY, one.modality)
    assert np.abs(logits(model, [one]) - logits(model, [wrong])).max() > 0.1


@pytest.mark.parametrize("kept", [(0,), (1,), (0, 2, 3), (4, 1)])
def test_dropped_bands_are_no_obstacle(model, kept):
    one = image(5, MANY)
    part = ImageInput(one.values[..., list(kept)], tuple(MANY[i] for i in kept), one.modality)
    found = logits(model, [part])
    assert np.isfinite(found).all() and np.abs(found - logits(model, [one])).max() > 0.01


def test_two_hundred_bands(model):
    bands = tuple(f"{400 + 10 * i} nm" for i in range(200))
    said = ask(model, [image(1, bands, (24, 24), modality="multispectral")])
    assert said.tokens >= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_native_types(model, dtype):
    values = np.random.default_rng(2).integers(0, 200, (1, 40, 50, 3)).astype(dtype)
    if dtype == np.float32:
        values[0, :3] = np.nan
    assert np.isfinite(logits(model, [ImageInput(values, RGB, "optical")])).all()


def test_a_band_without_a_wavelength_is_refused(model):
    with pytest.raises(ModelError, match="'channel 9' has no wavelength"):
        ask(model, [image(0, ("red", "channel 9"))])


def test_several_sensors_see_each_other(model):
    optical, radar = image(1), image(2, RADAR, modality="sar")
    pair, other = logits(model, [optical, radar]), logits(
        model, [optical, image(3, RADAR, modality="sar")])
    assert np.abs(pair - other).max() > 0.01
    scene = begin(model, [optical, radar])._scene
    assert len(scene.maps) == 2 and scene.change is None


def test_two_dates_are_compared_in_their_order(model):
    first, last = image(1), image(2)
    session = begin(model, [first, last])
    assert session._scene.change is not None
    assert np.abs(session.logits - logits(model, [last, first])).max() > 0.01
    joined = ImageInput(np.concatenate([first.values, last.values]), RGB, "temporal")
    assert begin(model, [joined])._scene.change is not None


def test_eight_frames_and_no_more(model):
    said = ask(model, [image(0, frames=8, modality="video")])
    assert said.tokens >= 1
    scene = begin(model, [image(0, frames=8, modality="video")])._scene
    assert len(scene.maps) == 8 and scene.visual.shape[1] < MAX_VISUAL_TOKENS
    with pytest.raises(ModelError, match="9 images"):
        ask(model, [image(0, frames=9, modality="video")])


def test_the_order_of_frames_matters(model):
    frames = image(0, frames=4, modality="video")
    turned = ImageInput(frames.values[::-1], RGB, "video")
    assert np.abs(logits(model, [frames]) - logits(model, [turned])).max() > 0.01


# -- taps, language space, cancelling ------------------------------------------------------------


def test_taps(model):
    session = begin(model, [image()], "find all the ships", max_tokens=12)
    first = session.tap()
    assert (first.stage, first.tokens) == (1, 0) and first.features.shape == (model.config.width,)
    assert first.relevance.shape == (3, 4)
    assert first.relevance.min() >= 0 and first.relevance.max() <= 1
    session.decode(1)
    assert session.tap().stage in (2, 3)
    session.decode(12)
    last = session.tap()
    assert last.stage == 3 and last.tokens == len(session.token_ids)
    assert last.min_logprob <= last.mean_logprob <= 0 and last.entropy_mean >= 0
    assert 0 <= model.calibration[3].confidence(last) <= 1
    assert session.macs > begin(model, [image()]).macs > 0


def test_images_lie_in_the_language_space(model):
    space = language_space(model)
    vectors = [space.embed_image(i.values, i.bands, i.modality)
               for i in (image(1), image(2, RADAR, modality="sar"), image(3, frames=3))]
    assert all(v.shape == (384,) and v.dtype == np.float32 for v in vectors)
    assert [float(np.linalg.norm(v)) for v in vectors] == pytest.approx([1, 1, 1], abs=1e-5)
    again = space.embed_image(image(1).values[0], RGB, "optical")
    assert np.array_equal(again, vectors[0])


def test_a_cancelled_request_ends(model):
    cancel = CancelFlag()
    cancel.set()
    with pytest.raises(Cancelled):
        begin(model, [image()], cancel=cancel)
    cancel = CancelFlag()
    session = begin(model, [image()], "find all the ships", max_tokens=60, cancel=cancel)
    session.decode(2)
    threading.Thread(target=cancel.set).start()
    session.decode(60)
    threading.Event().wait(0.01)
    assert session.is_cancelled or session.is_finished
    assert session.decode(5) == 0
    slis.parse(session.text)
