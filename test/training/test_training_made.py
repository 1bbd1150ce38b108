"""Batches of the procedural world: pure, from training scenes, pictures and targets aligned."""

import json
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from training.instruct.sources import is_held_for_routing  # noqa: E402
from training.instruct.world.asking import COVERS  # noqa: E402
from training.instruct.world.scene import RANGES, SIZE, scene_at  # noqa: E402
from training.vision import made, train  # noqa: E402
from training.vision.batches import WORLD_NAME, BatchSource  # noqa: E402
from training.vision.losses import total  # noqa: E402
from training.vision.network import VisionConfig, VisionNetwork  # noqa: E402
from training.vision.plan import KINDS, PLAN, WORLD, SetPlan  # noqa: E402
from training.vision.validate import validate_made  # noqa: E402

pytestmark = pytest.mark.training
SMALL = SetPlan(WORLD.share, 128, 3, zoom=WORLD.zoom)


class Texts:
    """Vectors of the announced texts; others are a KeyError, as with the real table."""

    def __init__(self):
        names = sorted(set(made.made_texts()))
        vectors = np.random.default_rng(0).standard_normal((len(names), 384)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.held = dict(zip(names, vectors, strict=True))

    def __call__(self, texts):
        return np.stack([self.held[t] for t in texts])


@pytest.fixture
def scenes(monkeypatch):
    monkeypatch.setattr(made, "WORLD", SMALL)
    return made.MadeScenes(Texts(), seed=4)


def same(a, b):
    return a.keys() == b.keys() and all(
        torch.equal(v, b[k]) if torch.is_tensor(v) else v == b[k] for k, v in a.items())


def test_a_batch_depends_on_seed_and_step_alone(scenes):
    first = scenes.batch(7)
    scenes.batch(8)
    assert same(first, scenes.batch(7))
    assert first["samples"] != scenes.batch(8)["samples"]
    assert first["samples"] != made.MadeScenes(scenes.texts, seed=5).batch(7)["samples"]


def test_scenes_are_of_training_and_not_held_for_routing():
    rng = np.random.default_rng(0)
    keys = [made.draw_shot(rng, "rgb", is_change=i % 4 == 0)[0] for i in range(60)]
    assert all(k.startswith("train-") for k in keys)
    assert not any(is_held_for_routing(f"world/{k}") for k in keys)
    assert {k.split("-")[1] for k in keys} == set(made.EPISODES)
    low, high = RANGES["test"].sun_deg
    assert not any(low <= scene_at(k).sun_deg <= high for k in keys)


@pytest.mark.parametrize("sensor", ["rgb", "s2", "nm:443,560,865,1610", "hyper", "sar", "thermal",
                                    "thermal_k"])
def test_shapes_and_the_losses_that_learn_from_them(scenes, sensor):
    batch = scenes.batch(3, sensor, is_change=False)
    n, channels, height, width = batch["x"].shape
    assert n == 3 and height % 32 == 0 and width % 32 == 0
    assert len(batch["codes"]) == len(batch["bands"]) == channels
    queries = len(batch["mask_text"])
    assert batch["mask"].shape == batch["mask_known"].shape == (n, queries, height // 4,
                                                                width // 4)
    assert queries > 0 and len(set(batch["mask_names"])) == queries
    covers = [i for i, t in enumerate(batch["mask_names"])
              if any(t in made.WORDINGS[c] for c in COVERS)]
    assert batch["mask"][:, covers].sum(1).max() <= 1 if covers else sensor.startswith("thermal")
    network = VisionNetwork(VisionConfig("tiny", KINDS, ((made.DAY, 1),), depth=16, match=4),
                            pretrained=False)
    losses = total(network, batch)
    assert all(torch.isfinite(v) for v in losses.values())
    wanted = {"mask", "region", "cell", "text"} | (
        set() if sensor == "hyper" else {"heat", "shape", "counts"}) | (
        {"labels"} if sensor == "thermal_k" else set())
    assert losses.keys() == wanted


def test_pairs_are_compared_and_learn_the_change(scenes):
    batch = next(b for step in range(9)
                 if (b := scenes.batch(step, "rgb", is_change=True))["mask"].mean() > 0.005)
    assert batch["x"].shape == batch["x2"].shape and batch["mask"].shape[1] == 1
    network = VisionNetwork(VisionConfig("tiny", KINDS, (), depth=16, match=4), pretrained=False)
    losses = total(network, batch)
    assert losses.keys() == {"mask", "region"}
    losses["mask"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0
               for n, p in network.named_parameters() if n.startswith("pair."))
    moved = (batch["x"] - batch["x2"]).abs().mean(1)
    difference = torch.nn.functional.avg_pool2d(moved[:, None], 4)[:, 0]
    where = batch["mask"][:, 0] > 0
    assert difference[where].mean() > 1.5 * difference[~where].mean()


def test_masks_boxes_and_pixels_lie_on_each_other(scenes):
    """Radar: things shine on their masks, centres lie on them, water is dark."""
    bright, dark, on, centres = [], [], 0, 0
    for step in range(10):
        batch = scenes.batch(step, "sar", is_change=False)
        layers = made.layers_of("sar")
        names = {next(w for w in layers if t in made.WORDINGS[w]): i
                 for i, t in enumerate(batch["mask_names"])}
        level = torch.nn.functional.avg_pool2d(batch["x"].mean(1), 4)
        things = batch["mask"][:, [names["ship"], names["vehicle"], names["aircraft"]]].sum(1) > 0
        bright.append(level[things])
        if "water" in names:
            dark.append(level[batch["mask"][:, names["water"]] > 0])
        near = torch.nn.functional.max_pool2d(things.float(), 3, 1, 1)
        on += (near * batch["at"]).sum().item()
        centres += batch["at"].sum().item()
        assert torch.equal((batch["heat"] >= 0.999).any(1), batch["at"] > 0)
    assert centres > 20 and on > 0.95 * centres
    assert torch.cat(bright).mean() > torch.cat(dark).mean() + 0.5


def test_below_clouds_nothing_is_known(scenes):
    key = next(k for n in range(99) if scene_at(k := f"train-still-{n}").clouds is not None)
    rng = np.random.default_rng(0)
    batch = scenes.make([(key, 0)] * 2, "rgb", rng, training=False)
    clouds = batch["mask_names"].index(made.CLOUDS)
    assert batch["known"].sum() == 0 and batch["mask"][:, clouds].sum() > 0
    others = [i for i in range(len(batch["mask_names"])) if i != clouds]
    assert (batch["mask_known"][:, others].amax(1) * batch["mask"][:, clouds]).sum() == 0
    seen = scenes.make([(key, 0)] * 2, "sar", rng, training=False)
    assert seen["known"].sum() > 0 and made.CLOUDS not in seen["mask_names"]
    assert batch["x"].shape[2] == min(SIZE, SMALL.px)


class Knowing:
    """Says what the targets say, or that nothing is anywhere."""

    def __init__(self, knows):
        self.knows, self.batch = knows, None

    def see(self, batch):
        self.batch = batch
        return batch

    def __call__(self, x, codes):
        if "heat" not in self.batch:
            return {"pixel": x}
        heat = torch.where((self.batch["heat"] >= 0.999) & self.knows, 9.0, -9.0)
        return {"pixel": x, "heat": heat, "shape": self.batch["shape"]}

    def compare(self, first, second):
        return first

    def mask(self, pixel, text):
        return (self.batch["mask"] - 0.5) * (1 if self.knows else 0)


def test_val_scores_go_from_nothing_to_all(scenes, monkeypatch):
    monkeypatch.setattr(made, "VAL_SCENES", 4)
    batches = list(scenes.val_batches())
    assert all(s.startswith("world/val-") for b in batches for s in b["samples"])
    reports = []
    for knows in (True, False):
        network = Knowing(knows)
        monkeypatch.setattr(scenes, "val_batches", lambda n=network: map(n.see, batches))
        reports.append(validate_made(network, scenes))
    assert {"world_rgb.f1", "world_rgb.cover_iou", "world_sar.thing_iou", "world_thermal_k.f1",
            "world_rgb.change_iou"} <= reports[0].keys()
    assert set(reports[0].values()) == {100.0} and set(reports[1].values()) == {0.0}


def test_a_training_with_the_world_scores_it_and_says_so(world, data, tmp_path, monkeypatch):
    monkeypatch.setattr(train.schedule, "keep_pages", lambda: None)
    monkeypatch.setattr(train, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(made, "WORLD", SMALL)
    monkeypatch.setattr(made, "VAL_SCENES", 2)
    monkeypatch.setattr(train, "build", lambda model, library: (
        VisionNetwork(world.config, pretrained=False), world.vocabulary))
    monkeypatch.setattr(sys, "argv", [
        "train", "--model", "compact", "--data", str(data), "--minutes", "0.03", "--sets",
        "hit_uav", "--world-share", "40"])
    train.main()
    folder = tmp_path / "vision" / "compact"
    scores = json.loads((folder / "val.jsonl").read_text())["scores"]
    assert {"hit_uav.f1", "world_rgb.f1", "world_sar.change_iou"} <= scores.keys()
    state = train.schedule.restore(folder / "vision.pt")
    assert state["world_share"] == 40 and state["steps"] > 0


def test_the_world_is_a_set_only_where_it_is_given(world, scenes):
    plain, mixed = (BatchSource(world.library, world.vocabulary, world.texts, 0, world=w)
                    for w in (None, scenes))
    assert WORLD_NAME not in plain.names and mixed.names == [*plain.names, WORLD_NAME]
    assert mixed.odds[-1] == pytest.approx(scenes.share / (scenes.share + sum(
        PLAN[n].share for n in plain.names)))
    assert mixed.batch(0, WORLD_NAME)["name"] == WORLD_NAME
    drawn = [mixed.batch(s)["name"] for s in range(60)]
    assert WORLD_NAME in drawn and len(set(drawn)) > 2
