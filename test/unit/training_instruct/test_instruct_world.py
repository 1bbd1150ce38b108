"""The procedural world: determinism, disjoint splits, physics of the sensors, truth of answers."""

import numpy as np
import pytest

from eo_nodes.lvlm import slis, spectrum, visual_prompts
from training.instruct.builder import load_images, load_mask
from training.instruct.world import materials, scene, sensors
from training.instruct.world.asking import cover_shares, layer_mask
from training.instruct.world.dates import season
from training.instruct.world.materials import INDEX
from training.instruct.world.motion import course
from training.instruct.world.objects import Item
from training.instruct.world.scene import event_of, scene_at
from training.instruct.world.sensors import render
from training.instruct.world.stream import keys, stream


@pytest.fixture(scope="module")
def made():
    return list(stream("train", 1, 0, 30))


def _with(episode, wanted):
    return next(k for k in (f"train-{episode}-{n}" for n in range(300)) if wanted(k))


def test_same_seed_same_questions_and_pixels(made):
    again = list(stream("train", 1, 0, 30))
    assert [i.to_json() for i in again] == [i.to_json() for i in made]
    before = render("train-still-5", "s2")[0].copy()
    scene.scene_at.cache_clear()
    scene._first.cache_clear()
    sensors.drawn.cache_clear()
    np.testing.assert_array_equal(before, render("train-still-5", "s2")[0])


def test_splits_share_no_scene_and_no_nuisance_range():
    assert not set(keys("train", 0, 0, 50)) & set(keys("test", 0, 0, 50))
    assert keys("test", 0, 0, 50) == keys("test", 9, 4, 50)
    train, test = scene.RANGES["train"], scene.RANGES["test"]
    for name in ("sun_deg", "haze", "noise", "bright", "wind_db", "scale"):
        a, b = getattr(train, name), getattr(test, name)
        assert a[1] <= b[0] or b[1] <= a[0], name


@pytest.mark.parametrize("name", [*sensors.SENSORS, "nm:443,1610"])
def test_every_sensor_renders_what_the_models_read(name):
    values, bands = render("train-still-1", name)
    assert values.ndim == 3 and values.shape[2] == len(bands)
    assert np.isfinite(values.astype(np.float32)).all()
    out = spectrum.normalise(values, spectrum.parse_bands(bands))
    assert out.shape[0] == len(bands)


def test_leaves_have_a_red_edge_and_water_is_dark_in_the_infrared():
    table = materials.reflectances((665.0, 842.0), 180)
    red, nir = table[INDEX["grass"]]
    assert nir > 4 * red
    assert table[INDEX["water"]][1] < 0.01


def test_crops_are_green_in_their_own_season():
    assert materials.greenness("winter crop", 135) > 0.9 > 0.3 > materials.greenness(
        "summer crop", 135)
    assert materials.greenness("summer crop", 220) > 0.9
    assert materials.greenness("winter crop", 220) < 0.2


def test_radar_sees_ships_bright_and_water_dark():
    key = _with("still", lambda k: scene_at(k).kind == "coast" and len(scene_at(k).seen(1.0)) > 2)
    vv = render(key, "sar")[0][..., 0]
    d = sensors.drawn(key)
    assert vv[d.number > 0].mean() > vv[layer_mask(key, 0, "cover:water")].mean() + 8


def test_speckle_has_gamma_statistics():
    flat = 10 ** (sensors.speckle_db(np.random.default_rng(0), 400, 400, 5) / 10)
    assert flat.mean() == pytest.approx(1, abs=0.02)
    assert flat.var() == pytest.approx(1 / 5, rel=0.05)


def test_thermal_tells_day_from_night():
    day = materials.brightness_k(True)
    night = materials.brightness_k(False)
    assert day[INDEX["pavement"]] > day[INDEX["water"]] + 10
    assert night[INDEX["water"]] > night[INDEX["grass"]] + 4


def test_text_is_canonical_and_pictures_load(made):
    for i in made:
        for text in (i.prompt, i.answer):
            assert slis.serialise(slis.parse(text)) == text, i.id
        visual_prompts.parse_prompt(i.prompt)
        assert len(i.images) <= 8
    for i in made[::40]:
        for (values, bands, _, _), ref in zip(load_images(i), i.images, strict=True):
            assert values.shape[2] == len(bands)
            assert ref.set == "world"
    for i in [i for i in made if i.targets.mask][::10]:
        assert (load_mask(i.targets.mask) == 1).any(), i.id


def test_masks_of_items_lie_in_their_boxes(made):
    checked = 0
    for i in made:
        if i.kind == "phrase" and i.targets.mask.image.member != "hyper":
            ys, xs = np.nonzero(load_mask(i.targets.mask))
            box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            best = min(np.abs(np.array(b[1:]) * 256 - box).max() for b in i.targets.boxes)
            assert best <= 2, i.id
            checked += 1
    assert checked > 3


def test_events_change_the_ground_where_they_say():
    key = _with("change", lambda k: (e := event_of(k)) and e.kind == "flood")
    before, after = (layer_mask(key, t, "cover:water") for t in (0, 1))
    area = event_of(key).area
    assert not (before & area).any()
    assert (after & area).sum() > 0.95 * area.sum()
    assert cover_shares(key, 1)["water"] > cover_shares(key, 0)["water"]


def test_new_buildings_are_as_many_as_the_caption_says():
    key = _with("change", lambda k: (e := event_of(k)) and e.kind == "new buildings")
    event = event_of(key)
    more = len(scene_at(key, 1).items) - len(scene_at(key, 0).items)
    assert more == len(event.added)
    assert event.caption.startswith(f"{more} new building")


@pytest.mark.parametrize(("angle", "name"), [
    (0.0, "east"), (np.pi / 2, "south"), (np.pi, "west"), (-np.pi / 2, "north")])
def test_course_names_follow_the_screen(angle, name):
    assert course(Item("car", 0, 0, 0, 9, 4, angle)) == name


@pytest.mark.parametrize(("day", "name"), [
    (15, "winter"), (105, "spring"), (196, "summer"), (288, "autumn"), (360, "winter")])
def test_seasons(day, name):
    assert season(day) == name


def test_oriented_box_holds_the_outline():
    item = Item("ship", 0, 128, 100, 40, 10, 0.7)
    value = slis.oriented_from(item.corners() / 256)
    corners = slis.oriented_corners(value) * 256
    assert np.abs(np.sort(corners[:, 0]) - np.sort(item.corners()[:, 0])).max() < 1.5
