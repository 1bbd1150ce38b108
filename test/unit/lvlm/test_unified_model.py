"""The runtime of our family on a tiny folder with random weights: what holds whatever they are."""

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.contracts.values import Scene
from eo_nodes.imaging.prepare import prepare_views, view_array
from eo_nodes.lvlm import ViewTensor, load_model, slis
from eo_nodes.lvlm.infer import ImageInput, answer, language_space, sizes_of
from eo_nodes.lvlm.places import places_of
from eo_nodes.lvlm.runtime import CancelFlag, Cancelled
from eo_nodes.lvlm.sight import alike, feed_of
from eo_nodes.lvlm.unified import MAX_VISUAL_TOKENS, UnifiedModel
from eo_nodes.lvlm.unified_pictures import pictures_of, pictures_of_images
from eo_nodes.lvlm.unified_scene import mask_logits
from eo_nodes.lvlm.visual_prompts import VisualPromptError, box, drawn, point
from eo_nodes.lvlm.zoom import with_zooms

TINY = Path(__file__).resolve().parents[2] / "data" / "lvlm" / "tiny_unified"
RGB, RADAR = ("red", "green", "blue"), ("VV", "VH")
MANY = ("443 nm", "VV", "865 nm", "1610 nm", "thermal")
WORDS = ("what", "image", "show", "where", "is", "find", "all", "ships", "how", "many", "yes", "a",
         "b", "1", "2", "?")


@pytest.fixture(scope="module")
def model():
    return load_model(TINY)


def image(seed=0, bands=RGB, shape=(60, 80), frames=1, modality="optical"):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (frames, *shape, len(bands)), np.uint8)
    return ImageInput(values, bands, modality)


def begin(model, images, prompt="what is this ?", places=(), max_tokens=16, cancel=None):
    return model.begin(pictures_of_images(images), prompt, places, max_tokens, cancel)


def ask(model, images, prompt="what is this ?", places=(), max_tokens=24, **more):
    return answer(model, images, prompt, places, clock_ns=lambda: 0, max_tokens=max_tokens, **more)


def logits(model, images, prompt="what is this ?", places=()):
    return begin(model, images, prompt, places).logits


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
    prompts = ("what is this ?", "find all the ships", "show c", "how many ?")
    said = [ask(model, [image(seed)], prompt).answer for seed in range(3) for prompt in prompts]
    segments = [part for text in said for part in slis.parse(text)]
    kinds = {part.kind for part in segments if not isinstance(part, str)}
    assert {"point", "poly", "mask"} <= kinds
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

    def endless(ids):
        mask = grammar(ids).copy()
        if mask.sum() > 1:
            mask[model.config.end_token] = False
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

    session._allowed = allowed
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


# -- views of the graph --------------------------------------------------------------------------


def views(values, bands=RGB, **more):
    """What the preprocess node makes of a scene, as the model nodes hand it on."""
    frames, height, width, _ = values.shape
    scene = Scene(id="s", frames=frames, height=height, width=width, bands=len(bands),
                  dtype=values.dtype.name, band_names=bands, modality="optical")
    window = more.pop("window", ())
    return [ViewTensor(view_array(view), view.band_names, "optical", view.window, view.kind)
            for view in prepare_views(values, scene, window, **more)]


def test_zooms_of_the_preprocess_node(model):
    big = image(7, shape=(300, 260)).values
    plain = model.start(views(big, overview_px=128), "find all the ships")
    zoomed = model.start(views(big, overview_px=128, zoom=True), "find all the ships")
    assert zoomed._scene.grid == plain._scene.grid == (4, 3)
    # Four zooms of four tokens each; regions come from all of them.
    assert zoomed._scene.visual.shape[1] >= plain._scene.visual.shape[1] + 8
    assert zoomed.tap().relevance.shape == plain.tap().relevance.shape
    assert zoomed.macs > 3 * plain.macs / 2
    found = zoomed._scene.regions[0]
    assert not np.array_equal(found.boxes, plain._scene.regions[0].boxes)
    zoomed.decode(40)
    slis.parse(zoomed.text)


def test_windows_of_views_count_from_the_overviews(model):
    big = image(7, shape=(300, 400)).values
    found = pictures_of(views(big, overview_px=64, zoom=True, window=(100, 50, 200, 200)))
    assert [p.kind for p in found] == ["overview", *["zoom"] * 4]
    assert [p.window for p in found[1:]] == [
        (0, 0, 0.5, 0.5), (0.5, 0, 0.5, 0.5), (0, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5)]


def test_zooms_of_two_dates_belong_to_their_dates(model):
    found = pictures_of(views(image(7, frames=2, shape=(200, 200)).values, overview_px=64,
                              zoom=True))
    assert [p.image for p in found] == [0, 1] + [0, 1] * 4
    session = model.start(views(image(7, frames=2, shape=(200, 200)).values, overview_px=64,
                                zoom=True), "what ?")
    assert session._scene.change is not None


@pytest.mark.parametrize(("window", "frames", "word"), [
    ((0, 0, 300, 100), 1, "outside its scene"), ((-5, 0, 50, 50), 1, "outside its scene"),
    ((0, 0, 0, 10), 1, "is empty"), ((0, 0, 50, 50), 2, "zoom into image 1")])
def test_zooms_that_are_refused(model, window, frames, word):
    whole = ViewTensor(image(shape=(100, 100)).values, RGB, "optical", (0, 0, 100, 100), "overview")
    zoom = ViewTensor(image(frames=frames, shape=(50, 50)).values, RGB, "optical", window, "zoom")
    with pytest.raises(ModelError, match=word):
        model.start([whole, zoom], "what ?")
    with pytest.raises(ModelError, match="no overview"):
        model.start([zoom], "what ?")


def test_zooms_of_one_size_are_one_run_and_the_same_as_one_by_one(model, monkeypatch):
    big = image(7, shape=(250, 260))
    runs = []
    whole = UnifiedModel.see
    monkeypatch.setattr(UnifiedModel, "see", lambda self, feed, cancel=None: (
        runs.append(feed.pixels.shape[0]), whole(self, feed, cancel))[1])
    found = []
    for takes_many in (True, False):
        monkeypatch.setattr(model, "_takes_many", takes_many)
        found.append(begin_zoomed(model, big))
    assert runs == [1, 4, 1, 1, 1, 1, 1]
    assert found[0]._scene.visual == pytest.approx(found[1]._scene.visual, abs=1e-5)
    assert found[0].logits == pytest.approx(found[1].logits, abs=1e-4)
    assert found[0].macs == found[1].macs


def begin_zoomed(model, one):
    return model.begin(with_zooms(pictures_of_images([one]), (), 128, 4), "what ?", (), 8, None)


def test_pictures_of_other_sizes_or_bands_are_runs_of_their_own():
    feeds = [feed_of(pictures_of_images([image(shape=shape, bands=bands)])[0], 128, 2.0, None)
             for shape, bands in (((60, 80), RGB), ((80, 60), RGB), ((60, 80), RGB),
                                  ((60, 80), RADAR), ((60, 80), RGB), ((60, 80), RGB))]
    assert alike(feeds, 3) == [[0, 2, 4], [5], [1], [3]]


def test_tap_1_may_call_for_zooms(model):
    all_views = views(image(7, shape=(250, 260)).values[0:1], overview_px=128, zoom=True)
    flat = [v for v in all_views if v.kind == "overview"]
    prompt = "what is at <box 9 9 200 200> ?"
    session = model.start(flat, prompt, max_tokens=24)
    before = session.tap()
    zoomed = model.zoom_in(session, all_views)
    after = zoomed.tap()
    assert (after.stage, after.tokens) == (1, 0) and after.relevance.shape == before.relevance.shape
    assert np.abs(after.features - before.features).max() > 1e-3
    # What was spent before counts; the overview is not seen twice.
    per_cell = model.config.vision_macs_per_cell
    at_once = model.start(all_views, prompt, max_tokens=24)
    assert session._scene.macs == 16 * per_cell
    assert zoomed._scene.macs == 4 * 9 * per_cell        # 96 of 128 pixels a side
    assert at_once._scene.macs == (16 + 4 * 16) * per_cell
    assert session.macs < zoomed.macs
    zoomed.decode(24)
    slis.parse(zoomed.text)
    # The first session stands where it stood.
    assert session.tap() == before or np.array_equal(session.tap().features, before.features)


def test_zooms_come_before_the_first_token_and_fit_their_overviews(model):
    all_views = views(image(7, shape=(250, 260)).values[0:1], overview_px=128, zoom=True)
    session = model.start(all_views[:1], "what ?", max_tokens=8)
    with pytest.raises(ModelError, match="other overviews"):
        model.zoom_in(session, [*all_views[:1], *all_views])
    session.decode(1)
    with pytest.raises(ModelError, match="before the first token"):
        model.zoom_in(session, all_views)


# -- zooming in by one call ----------------------------------------------------------------------


def test_zooming_in_is_one_call(model):
    big, small = image(4, shape=(256, 256)), image(4, shape=(100, 128))
    for places in ((), (point(0.9, 0.9),)):
        plain = ask(model, [big], places=places)
        assert ask(model, [big], places=places, zooms=0) == plain
        assert ask(model, [big], places=places, zooms=4).confidence != plain.confidence
    assert ask(model, [small], zooms=4) == ask(model, [small])     # nothing to gain
    with pytest.raises(ModelError, match="5 zooms"):
        ask(model, [big], zooms=5)


def test_zooms_show_what_the_overview_loses(model):
    # Stripes of one pixel are grey to an overview of half the size.
    stripes, grey = np.zeros((1, 256, 256, 3), np.uint8), np.full((1, 256, 256, 3), 127, np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = 102, 152
    images = [[ImageInput(v, RGB, "optical")] for v in (stripes, grey)]
    lost = [logits(model, i) for i in images]
    seen = [model.begin(with_zooms(pictures_of_images(i), (), 128, 4), "what is this ?", (), 8,
                        None).logits for i in images]
    assert np.abs(lost[0] - lost[1]).max() < 0.1 * np.abs(seen[0] - seen[1]).max()


def test_models_that_see_whole_images_take_no_zooms():
    old = load_model(TINY.parent / "tiny")
    with pytest.raises(ModelError, match="no zooms"):
        ask(old, [image()], zooms=1)
