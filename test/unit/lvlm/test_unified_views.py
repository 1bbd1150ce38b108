"""Views of the graph and zooming in: the runtime of our family on a tiny folder."""

import numpy as np
import pytest
from unified_asks import RADAR, RGB, TINY, ask, image, logits

from eo_nodes.contracts.errors import ModelError
from eo_nodes.contracts.values import Scene
from eo_nodes.imaging.prepare import prepare_views, view_array
from eo_nodes.lvlm import ViewTensor, load_model, slis
from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.lvlm.sight import alike, feed_of
from eo_nodes.lvlm.unified import UnifiedModel
from eo_nodes.lvlm.unified_pictures import pictures_of, pictures_of_images
from eo_nodes.lvlm.visual_prompts import point
from eo_nodes.lvlm.zoom import with_zooms


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
    whole = load_model(TINY.parent / "hf_qwen2_vl")
    with pytest.raises(ModelError, match="no zooms"):
        ask(whole, [image()], zooms=1)
