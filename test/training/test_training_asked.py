"""What an instruction asks for, among the things that the vision graph may tell."""

from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

from eo_nodes.lvlm.choosing import ORDERS
from training.decoder.asked import Things, asked_for, classes_of
from training.vision.plan import KINDS

pytestmark = pytest.mark.training
HEADS = (("class_eurosat", 2), ("label_day", 1), ("class_ucm", 3), ("label_objects", 2))
THINGS = Things.of(HEADS, {"label_objects": ["dock", "sand"]})
ELSE = THINGS.size - 1


@pytest.mark.parametrize(("name", "kind", "images", "place"), [
    ("count.count.vehicle", "count", 1, 1), ("count.count.vehicle.w@3", "count", 1, 1),
    ("count.count_in.boat.in", "count_in", 1, 2), ("vqa.presence.tree.w", "presence", 1, 11),
    ("count.count.object", "count", 1, 6), ("vqa.presence.object", "presence", 1, 13),
    ("count.count.car", "count", 1, 1), ("count.detect.vehicle", "detect", 1, 15),
    ("count.count.truck", "count", 1, ELSE), ("count.detect.car", "detect", 1, 15),
    ("count.detect.object", "detect", 1, ELSE),
    ("count.detect_count.ship", "detect_count", 1, ELSE),
    ("count.count.vehicle", "count", 2, ELSE), ("caption.caption", "caption", 1, ELSE)])
def test_what_an_instruction_asks_for(name, kind, images, place):
    one = SimpleNamespace(id=f"set/a:1:{name}", set="hit_uav", kind=kind, images=(None,) * images)
    assert asked_for(one, THINGS) == place
    one.set = "ucm_multilabel"
    assert asked_for(one, THINGS) == ELSE, "its labels are no boxes"


def test_a_class_is_asked_for_in_its_group():
    one = SimpleNamespace(id="a:1:classification.class", set="ucm_multilabel", kind="class",
                          images=(None,))
    assert THINGS.groups == ("eurosat", "ucm") and asked_for(one, THINGS) == 21
    one.set = "eurosat_ms"
    assert asked_for(one, THINGS) == 20
    one.set = "mstar"
    assert asked_for(one, THINGS) == ELSE, "these heads have no such group"
    one.kind, one.id = "presence", "a:1:vqa.presence.sand@2"
    assert asked_for(one, THINGS) == ELSE, "another set's labels"
    one.set = "ucm_multilabel"
    assert asked_for(one, THINGS) == 23
    found, labels = classes_of(
        (("label_day", 1), ("class_eurosat", 2), ("label_objects", 2)),
        {"class_eurosat": ["SeaLake", "Forest"], "label_objects": ["dock", "sand"]})
    assert [(g.at, g.names) for g in found] == [(1, ("sea or lake", "forest"))]
    assert (labels.at, labels.names) == (3, ("dock", "sand"))


@pytest.mark.parametrize(("name", "kind", "prompt", "order", "of"), [
    ("grounding.box_superlative.ship.0", "box_superlative", "Find the westernmost vessel.",
     "leftmost", "ship"),
    ("grounding.box_superlative.car.1", "box_superlative", "Where is the most central lorry?",
     "most central", "vehicle"),
    ("grounding.box_nearest.person.0", "box_nearest", "the person nearest to <point 1 2>",
     "nearest", "person"),
    ("grounding.box_only.boat.0@1", "box_only", "Mark the boat.", "only", "ship"),
    ("grounding.box_superlative.object.0", "box_superlative", "the lowest object", None, None),
    ("grounding.box_relation.ship.0", "box_relation", "the ship nearest to the dock", None, None),
    ("grounding.point.ship", "point", "Point at the lowest ship.", None, None)])
def test_which_one_an_instruction_means(name, kind, prompt, order, of):
    one = SimpleNamespace(id=f"set/a:1:{name}", set="s2_ships", kind=kind, images=(None,),
                          prompt=prompt)
    wanted = ELSE
    if order:
        wanted = THINGS.first_choice + ORDERS.index(order) * len(KINDS) + KINDS.index(of)
    assert asked_for(one, THINGS) == wanted
    one.set = "indian_pines"
    assert asked_for(one, THINGS) == ELSE, "it labels no objects"
