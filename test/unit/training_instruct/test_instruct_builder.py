"""The builder over labelled sets: determinism, balance, geometry, grammar, held share."""

import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from eo_nodes.lvlm import slis, spectrum, visual_prompts
from training.instruct import records, spatial, views
from training.instruct.builder import library, load_images, load_mask, stream
from training.instruct.sources import apparent_reflectance, is_held_for_routing
from training.instruct.tasks import caption, temporal, vqa
from training.instruct.tasks.grounding import superlatives
from training.instruct.views import Thing, View


@pytest.fixture(scope="module")
def made(data):
    return list(stream(data, "train", 3, 0, held=None))


def test_same_seed_gives_the_same_instructions(data, made):
    again = list(stream(data, "train", 3, 0, held=None))
    assert [i.to_json() for i in again] == [i.to_json() for i in made]
    other = list(stream(data, "train", 3, 1, held=None))
    assert [i.prompt for i in other] != [i.prompt for i in made]


def test_json_round_trip(made):
    for i in made:
        assert records.from_json(i.to_json()) == i


def test_every_task_group_is_made(made):
    assert {i.task for i in made} >= set(records.TASKS) - {"caption"}
    assert any(i.task == "caption" for i in made)


def test_all_spatial_text_is_canonical_and_readable(made):
    for i in made:
        for text in (i.prompt, i.answer):
            assert slis.serialise(slis.parse(text)) == text, i.id
        visual_prompts.parse_prompt(i.prompt)
        for bands in set(i.bands):
            spectrum.parse_bands(bands)


def test_yes_and_no_are_equally_many_in_each_group_and_wording(made):
    by_group = defaultdict(Counter)
    for i in made:
        if i.answer in ("yes", "no"):
            by_group[i.group][i.answer] += 1
    assert len(by_group) > 8
    for group, answers in by_group.items():
        assert answers["yes"] == answers["no"], group


def test_natural_frequencies_when_asked_for(data):
    natural = list(stream(data, "train", 3, 0, held=None, sets=["rsvqa_lr"],
                          natural=("rsvqa_lr",)))
    answers = Counter(i.answer for i in natural if i.kind == "rsvqa_presence")
    assert answers == {"yes": 16, "no": 8}


def test_images_and_masks_fit_their_bands_and_each_other(data, made):
    for i in made[::7]:
        images = load_images(i, data)
        assert 1 <= len(images) <= records.MOST_IMAGES
        for (values, bands, sensor, frame), ref in zip(images, i.images, strict=True):
            assert values.shape[2] == len(bands)
            assert 0 <= sensor <= 3
            assert frame == ref.frame
            assert ref.modality in records.MODALITIES
        if i.targets.mask:
            mask = load_mask(i.targets.mask, data)
            shown = [v for (v, *_), r in zip(images, i.images, strict=True)
                     if r == i.targets.mask.image]
            assert mask.shape == shown[0].shape[:2]
            assert set(np.unique(mask)) <= {0, 1, 255}
            assert (mask == 1).any() == (i.answer != "none")


def test_decibels_and_reflectances_are_native(data):
    lib = library(data)
    flood = lib.pixels(lib.samples("flood_s1", "train")[0])
    assert -45 <= flood.min() < flood.max() <= 6
    # a radiance of 60 W/(m2 um sr) at 550 nm is about an eighth of the sun's
    value = apparent_reflectance(np.array([[[4000]]], np.uint16), np.array([550.0]))
    assert 1000 < value[0, 0, 0] < 1400


def test_a_third_is_held_and_never_streamed(data):
    held = {i.images[0].id for i in stream(data, "train", 3, 0, held=True)}
    free = {i.images[0].id for i in stream(data, "train", 3, 0, held=False)}
    assert held and free and not held & free
    samples = [s for n in library(data).names for s in library(data).samples(n, "train", False)]
    assert free <= {s.id for s in samples} | {f"{c}_extra_{n}" for c in (
        "Forest", "River", "Residential", "Pasture") for n in range(8)}
    assert not held & {s.id for s in samples}
    share = np.mean([is_held_for_routing(f"set/{n}") for n in range(4000)])
    assert 0.30 < share < 0.37


def test_test_split_is_shown_whole_and_unturned(data):
    for i in stream(data, "test", 0, 0):
        assert all(r.window is None and r.turn == 0 for r in i.images)


@pytest.mark.parametrize("turn", range(8))
def test_boxes_turn_with_the_pixels(turn):
    a = np.zeros((40, 60), np.uint8)
    a[4:10, 12:30] = 1
    turned = views.turn_array(a, turn)
    x1, y1, x2, y2 = views.turn_box((12 / 60, 4 / 40, 30 / 60, 10 / 40), turn)
    h, w = turned.shape
    cut = turned[round(y1 * h):round(y2 * h), round(x1 * w):round(x2 * w)]
    assert cut.all() and cut.sum() == a.sum()


def test_window_keeps_objects_that_are_half_inside(data):
    lib = library(data)
    sample = next(s for s in lib.samples("objects_rgb", "train") if len(s.facts["boxes"]) == 1)
    x, y, w, h = (int(v) for v in sample.facts["boxes"][0])
    inside = View(lib, sample, (x, y, 32, 32)).things()
    assert len(inside) == 1
    np.testing.assert_allclose(inside[0].box, (0, 0, w / 32, h / 32), atol=1e-4)
    assert not View(lib, sample, (x + w - 2, y, 20, 20)).things()


def test_count_with_and_without_a_region_differ(made):
    pairs = defaultdict(dict)
    for i in made:
        if i.targets.pair:
            pairs[i.targets.pair][i.kind] = i
    assert len(pairs) > 5
    for p in pairs.values():
        assert int(p["count_in"].answer) < int(p["count_whole"].answer)
        assert "<" in p["count_in"].prompt and "<" not in p["count_whole"].prompt


def test_sentences_that_people_agree_on_are_shown_more_often():
    counts = Counter({("Beach", "a beach."): 16, ("Beach", "some sand."): 1})
    first = Counter(caption._order(["a beach.", "some sand."], "Beach", counts,
                                   random.Random(n))[0] for n in range(2000))
    assert 0.76 < first["a beach."] / 2000 < 0.84          # weights 4 and 1


def test_superlatives_need_a_clear_first():
    near = [Thing("car", "car", (0.1, y, 0.2, y + 0.05)) for y in (0.10, 0.12, 0.8)]
    words = {w[0]: t for w, t in superlatives(near)}
    assert "northernmost" not in words
    assert words["southernmost"] is near[2]


def test_moving_and_parked_vehicles(made):
    asked = [i for i in made if i.kind == "moving"]
    assert asked
    for i in asked:
        first, last = i.images[0].time, i.images[-1].time
        if 6 * (last - first) > 2 * 24 and i.images[0].window is None:
            assert i.answer == "1"


def test_tracks_follow_the_moving_vehicle():
    frames = {n: [Thing("car", "car", (0.1 + 0.02 * n, 0.4, 0.2 + 0.02 * n, 0.5))]
              for n in range(10)}
    found = temporal.tracks(frames)
    assert len(found) == 1
    assert found[0].moved(0, 9) is True


@pytest.mark.parametrize(("n", "name"), [
    (0, "0"), (1, "between 0 and 10"), (10, "between 0 and 10"), (11, "between 10 and 100"),
    (101, "between 100 and 1000"), (1001, "more than 1000")])
def test_count_ranges_of_the_publishers(n, name):
    assert vqa.count_range(n) == name
    assert vqa.area_range(n) == {
        "0": "0m2", "between 0 and 10": "between 0m2 and 10m2", "between 10 and 100":
        "between 10m2 and 100m2", "between 100 and 1000": "between 100m2 and 1000m2",
        "more than 1000": "more than 1000m2"}[name]


def test_outline_covers_its_mask():
    mask = np.zeros((64, 64), bool)
    mask[10:40, 20:50] = True
    (value,) = slis.parse(spatial.outline(mask))
    filled = slis.fill(slis.polygon_xy(value), 64, 64)
    assert (filled & mask).sum() / (filled | mask).sum() > 0.9
