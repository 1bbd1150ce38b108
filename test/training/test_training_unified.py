"""The exported family against its networks: the runtime's tokens and logits are torch's."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from gguf_writer import tiny_llama  # noqa: E402

from eo_nodes.lvlm import pointer, spectrum, told  # noqa: E402
from eo_nodes.lvlm.choosing import ORDERS, meant  # noqa: E402
from eo_nodes.lvlm.counting import count, plain  # noqa: E402
from eo_nodes.lvlm.infer import ImageInput  # noqa: E402
from eo_nodes.lvlm.proposals import Proposals, keep  # noqa: E402
from eo_nodes.lvlm.sight import feed_of  # noqa: E402
from eo_nodes.lvlm.unified_pictures import pictures_of_images  # noqa: E402
from eo_nodes.lvlm.visual_prompts import parse_prompt  # noqa: E402
from eo_nodes.lvlm.zoom import with_zooms  # noqa: E402
from training.decoder import choosing, pointing, tiny  # noqa: E402
from training.decoder.examples import Visual  # noqa: E402
from training.decoder.llama_export import Source  # noqa: E402
from training.decoder.perception import Seen, candidates  # noqa: E402
from training.instruct.records import ImageRef  # noqa: E402
from training.vision.dual import SENSORS, DualNetwork, sensor_of  # noqa: E402
from training.vision.expert import exported_convs  # noqa: E402
from training.vision.network import VisionNetwork, chances_of  # noqa: E402

pytestmark = pytest.mark.training
TOLERANCE = 1e-3        # of logits up to 40


@pytest.fixture(scope="module", params=["compact", "regular"])
def tiny_model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unified")
    if request.param == "compact":
        return tiny.write(folder)
    tiny_llama(folder / "tiny.gguf")
    source = Source(folder / "tiny.gguf", "none", "1", "tiny.gguf")
    return tiny.write_ladder(folder / "model", source)[:4]


def images_of(*bands, shape=(70, 90), modality="optical"):
    rng = np.random.default_rng(11)      # no two proposals within a rounding of each other
    return [ImageInput(rng.integers(0, 255, (1, *shape, len(b)), np.uint8), b, modality)
            for b in bands]


def found_by_torch(network, pictures, most_cells=None):
    """What the network finds in pictures of one size, fed as the runtime feeds them."""
    coarse = (tiny.COARSE_SIZE, 1.5) if isinstance(network, DualNetwork) else None
    feeds = [feed_of(p, tiny.INPUT_SIZE, 2.0, most_cells, coarse) for p in pictures]
    given = [[f.pixels for f in feeds]] + ([[f.coarse for f in feeds]] if coarse else [])
    x, *small = (torch.from_numpy(np.concatenate(values)) for values in given)
    return network(x, torch.from_numpy(feeds[0].codes), *small)


def seen_by_torch(network, decoder, picture, is_raw=False):
    """What training keeps of a picture, at the full size of the pixel map.

    is_raw: with all candidates, as the runtime merges them; training merges the best 24 of a view.
    """
    with torch.no_grad():
        found = found_by_torch(network, [picture])
        chances = chances_of(network.logits(found, tiny.HEADS), tiny.HEADS)
        score, boxes, kinds, look = candidates(found["heat"], found["shape"], found["pixel"])
        kept = Proposals(*(v[0].numpy() for v in (score, boxes, kinds, look)))
        kept = kept if is_raw else keep(kept)
    parts = found.get("parts", (found,))
    return Seen(tuple(p["cells"][0] for p in parts), chances[0], network.meaning(found)[0],
                network.totals(found)[0],
                torch.from_numpy(kept.counts()), *map(torch.from_numpy, (
                    kept.boxes, kept.look, kept.kinds, kept.score)),
                tuple(p["pixel"][0] for p in parts))


def torch_logits(network, decoder, words, images, prompt, zooms=0):
    """Logits after the prompt, by the code that training uses."""
    text, places = parse_prompt(prompt)
    pictures = pictures_of_images(images)
    closer = [(p.window, seen_by_torch(network, decoder, p, is_raw=True)) for p in with_zooms(
        pictures, places, tiny.INPUT_SIZE, zooms) if p.kind == "zoom"]
    found = [seen_by_torch(network, decoder, p, is_raw=bool(zooms)) for p in pictures]
    refs = [ImageRef("x", "x", sensor=p.sensor, frame=p.frame, modality=p.modality)
            for p in pictures]
    pair = None
    if len(found) == 2 and pictures[0].frame != pictures[1].frame:
        with torch.no_grad():
            change = network.compare(*(f.all_pixels[None] for f in found))
        pair = {"pooled": torch.cat([change.mean((2, 3)), change.amax((2, 3))], 1)[0]}
    with torch.no_grad():
        visual, *_ = Visual(decoder.projector, [n for _, n in tiny.HEADS]).tokens(
            found, pair, places, refs, "optical", closer)
        ids = torch.tensor([words.prompt(text)])
        mask = torch.ones(1, visual.shape[1], dtype=torch.bool)
        _, hidden = decoder(visual, mask, ids, torch.arange(ids.shape[1])[None],
                            torch.ones_like(ids))
        return decoder.logits(hidden[0, -1]).numpy()


RGB, RADAR = ("red", "green", "blue"), ("VH",)
ODD = ("443 nm", "VV", "865 nm", "1610 nm", "thermal")


@pytest.mark.parametrize("bands", [[RGB], [ODD], [RGB, RGB], [RGB, RADAR], [RGB, RADAR, RADAR]])
@pytest.mark.parametrize("prompt", ["what is this ?", "what is <box 40 60 200 260> ?",
                                    "is <point 5 500> in <poly 9 9 400 20 300 300> ?"])
def test_logits_after_the_prompt_equal_torch(tiny_model, bands, prompt):
    model, network, decoder, words = tiny_model
    images = images_of(*bands)
    text, places = parse_prompt(prompt)
    session = model.begin(pictures_of_images(images), text, places, 20, None)
    expected = torch_logits(network, decoder, words, images, prompt)
    assert np.abs(session.logits - expected).max() < TOLERANCE
    assert len(np.unique(expected.round(3))) > 20


@pytest.mark.parametrize("prompt", ["what is this ?", "what is <box 40 60 200 260> ?"])
def test_logits_with_zooms_equal_torch(tiny_model, prompt):
    model, network, decoder, words = tiny_model
    images = images_of(RGB, shape=(150, 210))
    text, places = parse_prompt(prompt)
    pictures = with_zooms(pictures_of_images(images), places, tiny.INPUT_SIZE, 4)
    assert len(pictures) == (2 if places else 5)
    session = model.begin(pictures, text, places, 20, None)
    expected = torch_logits(network, decoder, words, images, prompt, 4)
    assert np.abs(session.logits - expected).max() < TOLERANCE
    without = torch_logits(network, decoder, words, images, prompt)
    assert np.abs(without - expected).max() > 10 * TOLERANCE


def test_where_a_place_is_pointed_at_equals_torch(tiny_model):
    model, network, decoder, words = tiny_model
    images = images_of(RGB)
    session = model.begin(pictures_of_images(images), "what is this ?", (), 20, None)
    (row, boxes), = session.scene.offered
    found = [seen_by_torch(network, decoder, p) for p in pictures_of_images(images)]
    with torch.no_grad():
        visual, _, offered = Visual(decoder.projector, [n for _, n in tiny.HEADS]).tokens(
            found, None, (), [ImageRef("x", "x")], "optical")
        ids = torch.tensor([words.prompt("what is this ?")])
        mask = torch.ones(1, visual.shape[1], dtype=torch.bool)
        seen, hidden = decoder(visual, mask, ids, torch.arange(ids.shape[1])[None],
                               torch.ones_like(ids))
        held = decoder.held(seen[0, row:row + len(boxes)])
        for taken in ([], [2], [0, 3]):
            expected = pointing.scores(decoder.aim(hidden[0, -1]), held, taken).log_softmax(0)
            ours = pointer.scores(session._aim, session._pointer._offers[0].held,
                                  taken[-1] if taken else -1, taken)
            there = np.setdiff1d(np.arange(len(ours)), taken)
            assert np.abs(ours[there] - expected.numpy()[there]).max() < TOLERANCE
            assert np.isneginf(ours[taken]).all()
    assert offered[0][0] == row and len(boxes) > 4
    np.testing.assert_allclose(offered[0][1].numpy(), boxes, atol=1e-5)


def test_which_proposal_a_place_is(tiny_model):
    words = tiny_model[3]
    boxes = torch.tensor([[0.1, 0.1, 0.3, 0.3], [0.12, 0.1, 0.32, 0.3], [0.6, 0.6, 0.9, 0.8]])
    said = words.answer("<box 51 51 153 153> then <point 384 358> and <box @1 300 0 320 9>")
    places = pointing.places(said, words.slis.ids)
    assert [(kind, image) for _, kind, image, _ in places] == [
        ("box", 0), ("point", 0), ("box", 1)]
    assert all(said[n + 1] - words.slis.ids.locations == f[0] for n, _, _, f in places)
    found = [pointing.target(kind, fields, boxes) for _, kind, _, fields in places]
    assert found == [0, 2, 3]
    assert pointing.target("box", places[0][3], boxes, [0]) == 1
    assert pointing.target("box", places[0][3], boxes, [0, 1]) == 3
    assert pointing.target("box", places[0][3], boxes[:0]) == 0


@pytest.mark.parametrize("bands", [RGB, RADAR, ODD])
def test_signatures_equal_torch(tiny_model, bands):
    model, network, _, _ = tiny_model
    picture = pictures_of_images(images_of(bands, shape=(70, 130)))[0]
    with torch.no_grad():
        pixel = found_by_torch(network, [picture])["pixel"]
        expected = network.signature(pixel)[0].numpy()
    found = model.signature_of(picture)
    assert pixel.shape[2] != pixel.shape[3]
    assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("bands", [RGB, ODD])
def test_several_pictures_in_one_run_equal_torch(tiny_model, bands):
    model, network, _, _ = tiny_model
    pictures = [pictures_of_images(images_of(bands, shape=(70, 90)))[0]]
    pictures += [replace(p, values=p.values[::-1].copy(), window=(0.5, 0, 0.5, 1), kind="zoom")
                 for p in pictures]
    seen = model.look_closer(pictures, 2, tiny.INPUT_SIZE, None)
    with torch.no_grad():
        found = found_by_torch(network, pictures, 2)
    for i, (_, one) in enumerate(seen):
        assert np.abs(one.pixel[0] - found["pixel"][i].numpy()).max() < TOLERANCE
        assert one.cells.shape[:2] == (1, 4)
    assert np.abs(seen[0][1].cells - seen[1][1].cells).max() > TOLERANCE


@torch.no_grad()
def test_two_networks_say_their_mean_in_the_fine_grid():
    words = SimpleNamespace(tokens=["a"] * 30, end=2, slis=SimpleNamespace(
        ids=SimpleNamespace(end=40, markers=dict.fromkeys(("point", "box", "seg", "poly"), 35))))
    fine, coarse = (tiny.networks(words, seed)[0] for seed in (1, 2))
    for network, sides in ((fine, (1.0, 0.5)), (coarse, (0.3, 0.7))):
        network.shape.weight.zero_()
        network.shape.bias[:] = torch.tensor([0.1, 0.2, *sides])
    draw = torch.Generator().manual_seed(1)
    x, small = (torch.randn(2, 3, 32 * rows, 32 * cols, generator=draw)
                for rows, cols in ((4, 6), (2, 2)))
    codes = torch.from_numpy(spectrum.codes(spectrum.parse_bands(RGB)))
    shifts = torch.randn(len(SENSORS), 2, generator=draw)
    found = DualNetwork(fine, coarse, 0.5, shifts)(x, codes, small)
    without = DualNetwork(fine, coarse, 0.5)(x, codes, small)
    own = shifts[SENSORS.index("optical")]
    assert torch.allclose(found["heat"] - without["heat"],
                          own[:, None, None].expand(2, 2, 32, 48), atol=1e-5)
    one, other = fine(x, codes), coarse(small, codes)
    assert torch.allclose(without["heat"].mean(), (one["heat"].mean() + other["heat"].mean()) / 2,
                          atol=1e-4)
    # The coarse map has a third of the columns and half of the rows: its steps are as much larger.
    expected = [0.1, 0.2, (1.0 + 0.3 + np.log(3)) / 2, (0.5 + 0.7 + np.log(2)) / 2]
    assert torch.allclose(found["shape"].mean((0, 2, 3)), torch.tensor(expected).float(), atol=1e-5)
    both = DualNetwork(fine, coarse, 0.5)
    for heads, mine, theirs in zip(tiny.HEADS, fine.logits(one, tiny.HEADS),
                                   coarse.logits(other, tiny.HEADS), strict=True):
        assert torch.allclose(both.logits(found, [heads])[0], (mine + theirs) / 2, atol=1e-5)
    assert torch.allclose(both.totals(found), (fine.totals(one) + coarse.totals(other)) / 2)
    layout = both.signature(found["pixel"])
    assert torch.allclose(layout.norm(dim=1), torch.ones(2), atol=1e-5)
    assert torch.allclose(layout[0] @ layout[1], (
        fine.signature(one["pixel"]).prod(0).sum()
        + coarse.signature(found["pixel"][:, 16:]).prod(0).sum()) / 2, atol=1e-5)
    with pytest.raises(ValueError, match="different heads"):
        DualNetwork(fine, VisionNetwork(replace(tiny.VISION, heads=(("class_a", 9),)), False), 0.5)


@pytest.mark.parametrize(("bands", "sensor"), [
    (RGB, "optical"), (("B02 490nm", "B03 560nm", "B04 665nm", "B08 842nm"), "multispectral"),
    (("VV", "VH"), "sar"), (("thermal",), "thermal"), (("elevation",), "optical")])
def test_a_sensor_is_told_by_its_bands(bands, sensor):
    shares = sensor_of(torch.from_numpy(spectrum.codes(spectrum.parse_bands(bands))))
    assert shares.tolist() == [float(name == sensor) for name in SENSORS]


@torch.no_grad()
def test_an_expert_has_its_share_of_each_head():
    words = SimpleNamespace(tokens=["a"] * 30, end=2, slis=SimpleNamespace(
        ids=SimpleNamespace(end=40, markers=dict.fromkeys(("point", "box", "seg", "poly"), 35))))
    fine, coarse = (tiny.networks(words, seed)[0] for seed in (1, 2))
    x, small = torch.randn(2, 3, 128, 128), torch.randn(2, 3, 64, 64)
    codes = torch.from_numpy(spectrum.codes(spectrum.parse_bands(RGB)))
    one = fine.logits(fine(x, codes), tiny.HEADS)
    other = coarse.logits(coarse(small, codes), tiny.HEADS)
    expert, (first, second) = tiny.expert_of(), [n for n, _ in tiny.HEADS]
    told = expert(small, codes, coarse.backbone.stem)
    both = DualNetwork(fine, coarse, 0.5, None, expert, {first: 0.75})
    said = both.logits(both(x, codes, small), tiny.HEADS)
    assert torch.allclose(said[0], 0.75 * told[first] + 0.25 * other[0], atol=1e-5)
    assert torch.allclose(said[1], (one[1] + other[1]) / 2, atol=1e-5)
    kept = {k for k in both.state_dict() if k.startswith("fine.pooled")}
    assert kept == {f"fine.pooled.{second}.{leaf}" for leaf in ("weight", "bias")}
    both.trust = {second: 0.5}
    said = both.logits(both(x, codes, small), tiny.HEADS)
    assert torch.allclose(said[1], 0.5 * told[second] + 0.25 * (one[1] + other[1]), atol=1e-5)


@torch.no_grad()
def test_an_experts_graph_has_the_weights_that_it_trained():
    words = SimpleNamespace(tokens=["a"] * 30, end=2, slis=SimpleNamespace(
        ids=SimpleNamespace(end=40, markers=dict.fromkeys(("point", "box", "seg", "poly"), 35))))
    coarse, *_ = tiny.networks(words, 2)
    expert, holder = tiny.expert_of(), torch.nn.Module()
    for module in expert.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
    holder.expert = expert
    x = torch.randn(2, 3, 64, 96)
    codes = torch.from_numpy(spectrum.codes(spectrum.parse_bands(RGB)))
    before = expert(x, codes, coarse.backbone.stem)
    with exported_convs(holder):
        stored = {n: v.numel() for n, v in expert.named_parameters() if not n.endswith(".base")}
        after = expert(x, codes, coarse.backbone.stem)
    for head in before:
        assert torch.allclose(before[head], after[head], atol=0.02 * before[head].abs().max())
    assert sum(stored.values()) < 0.6e6, "what the package has is not stored again"


def test_work_counts_both_networks_and_zooms_keep_their_ratio(tiny_model):
    model, network, _, _ = tiny_model
    images = pictures_of_images(images_of(RGB, shape=(260, 260)))
    session = model.begin(images, "what is this ?", (), 8, None)
    c = model.config
    own = 16 * c.vision_macs_per_cell
    beside = 9 * c.coarse.vision_macs_per_cell if c.coarse else 0
    assert session.scene.macs == own + beside
    assert (c.coarse is not None) == isinstance(network, DualNetwork)
    zooms = [p for p in with_zooms(images, (), tiny.INPUT_SIZE, 4) if p.kind == "zoom"]
    (feed, _), *_ = model.look_closer(zooms, 2, 2 * tiny.INPUT_SIZE, None)
    assert feed.pixels.shape[2:] == (256, 256)
    if c.coarse:
        assert feed.coarse.shape[2:] == (192, 192)


def test_what_the_vision_graph_tells_is_copied_where_it_is_asked_for(tiny_model):
    model, _, decoder, _ = tiny_model
    session = model.begin(pictures_of_images(images_of(RGB)), "is this a ship ?", (), 8, None)
    size = told.size_of(2, 1, 0)
    assert session._scores.shape == (size,)
    assert session._scores.argmax() == size - 1, "silent until it is trained"
    state, words = torch.from_numpy(session._prompt_hidden), list(session._prompt_ids)
    logits = decoder.asks(state, words)
    chances = torch.cat([logits.softmax(-1)[:-1] * decoder.asked.trust, torch.zeros(1)])
    chances[-1] = 1 - chances.sum()
    torch.testing.assert_close(
        torch.from_numpy(session._scores).exp(), chances, atol=1e-5, rtol=1e-3)
    assert count(session.scene.regions[0], plain(2)).presence[2] > 0.95
    scores = np.full(size, -30.0, np.float32)
    scores[5] = 0.0                                     # whether there is any
    session._told = told.Told(scores, session._answers((), scores), size)
    session.decode(8)
    assert session.text == "yes" and session.confidence > 0.9
    two = model.begin(pictures_of_images(images_of(RGB, RGB)), "is this a ship ?", (), 8, None)
    assert two._told is None, "of several pictures none is meant"


def test_classes_are_told_with_the_chances_of_their_head(tiny_model):
    model, *_ = tiny_model
    assert [(g.at, g.names) for g in model.config.classes] == [(0, ("a", "b", "c"))]
    session = model.begin(pictures_of_images(images_of(RGB)), "what is this ?", (), 8, None)
    chances = session.scene.seen[0][1].chances[0, :3]
    size = told.size_of(2, 1, 0)
    scores = np.full(size, -30.0, np.float32)
    scores[8] = 0.0
    session._told = told.Told(scores, session._answers((), scores), size)
    session.decode(8)
    assert session.text == "abc"[int(chances.argmax())]
    assert sum(session._logprobs) == pytest.approx(float(np.log(chances.max())), abs=1e-3)


def test_the_one_that_is_meant_is_told(tiny_model, monkeypatch):
    model, *_ = tiny_model
    monkeypatch.setattr(model, "config", replace(model.config, choosing=(True,) * len(ORDERS)))
    session = model.begin(pictures_of_images(images_of(RGB)), "the largest ship ?", (), 8, None)
    found = session.scene.regions[0]
    kind = int(np.bincount(found.kinds.argmax(1)).argmax())
    scores = np.full(model.config.asked_size, -30.0, np.float32)
    scores[len(scores) - 1 - 2 * len(ORDERS) + 2 * ORDERS.index("largest") + kind] = 0.0
    session._told = told.Told(scores, session._answers((), scores), len(scores))
    session.decode(8)
    index, chances = meant(found, plain(2), kind, "largest")
    assert session.text == told.boxes_of(found.take([int(index[chances.argmax()])]), kind, 0.0)
    np.testing.assert_allclose(sum(session._logprobs), np.log(chances.max()), atol=0.05)


def test_a_choice_is_judged_beside_the_decoders_own(tiny_model, monkeypatch):
    model, *_ = tiny_model
    (image,) = images_of(RGB)
    monkeypatch.setattr(choosing, "load_images", lambda *_: [(image.values[0], image.bands, None)])
    found = model.begin(pictures_of_images([image]), "the largest ship ?", (), 8,
                        None).scene.regions[0]
    kind = int(np.bincount(found.kinds.argmax(1)).argmax())
    index, chances = meant(found, plain(2), kind, "largest")
    right = told.boxes_of(found.take([int(index[chances.argmax()])]), kind, 0.0)
    order = ORDERS.index("largest")
    for answer, is_right in ((right, True), ("<box 0 0 1 1>", False)):
        one = SimpleNamespace(prompt="the largest ship ?", answer=answer, set="a",
                              modality=image.modality)
        judged = choosing.look(model, one, order, kind, Path())
        assert (judged.set, judged.order, judged.told) == ("a", order, is_right)
    assert not judged.own


def test_a_list_that_is_told_is_written_out_though_places_are_copied(tiny_model, monkeypatch):
    model, *_ = tiny_model
    session = model.begin(pictures_of_images(images_of(RGB)), "find all the ships", (), 90, None)
    found = session.scene.regions[0]
    kind = int(np.bincount(found.kinds.argmax(1)).argmax())
    own = np.sort(found.score[found.kinds.argmax(1) == kind])[::-1]
    assert len(own) > 3, "enough to choose from"
    limit = float(own[2:4].mean())                      # three of them
    monkeypatch.setattr(model, "config", replace(model.config, listing=(limit, limit)))
    size = told.size_of(2, 1, 0)
    scores = np.full(size, -30.0, np.float32)
    scores[6 + kind] = 0.0
    session._told = told.Told(scores, session._answers((), scores), size)
    session.decode(90)
    assert session.text == told.boxes_of(found, kind, limit) and session.text.count("<box") == 3
    assert session._pointer is not None, "the decoder would have copied them by itself"


def test_greedy_tokens_equal_torch_without_a_cache(tiny_model):
    model, network, decoder, words = tiny_model
    images = images_of(RGB)
    session = model.begin(pictures_of_images(images), "find all the ships", (), 24, None)
    session._pointer = session._told = None    # what they copy is tested by itself
    session.decode(24)
    allowed = [session._allowed(session.token_ids[:n]) for n in range(len(session.token_ids))]
    found = [seen_by_torch(network, decoder, p) for p in pictures_of_images(images)]
    refs = [ImageRef("x", "x")]
    with torch.no_grad():
        visual, *_ = Visual(decoder.projector, [n for _, n in tiny.HEADS]).tokens(
            found, None, (), refs, "optical")
        ids = words.prompt("find all the ships")
        start = len(ids)
        for n, token in enumerate(session.token_ids):
            row = torch.tensor([ids])
            mask = torch.ones(1, visual.shape[1], dtype=torch.bool)
            _, hidden = decoder(visual, mask, row, torch.arange(len(ids))[None],
                                torch.ones_like(row))
            logits = decoder.logits(hidden[0, -1]).numpy()
            logits[~allowed[n]] = -np.inf
            assert int(logits.argmax()) == token
            ids.append(token)
    assert len(ids) > start + 1


def test_a_picture_without_proposals_has_its_summary_alone(tiny_model):
    model, _, decoder, _ = tiny_model
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    inputs = {i.name: np.zeros([0 if d == "regions" else d for d in i.shape], types[i.type])
              for i in model._scene.get_inputs()}
    tokens = model.write_scene(inputs, None)
    assert tokens.shape == (1, decoder.projector.summary_tokens, decoder.config.width)


def test_bands_with_their_wavelengths_in_any_order_give_the_same(tiny_model):
    model, *_ = tiny_model
    image = images_of(ODD)[0]
    order = [3, 0, 4, 2, 1]
    other = ImageInput(image.values[..., order], tuple(image.bands[i] for i in order), "optical")
    first, second = (model.begin(pictures_of_images([i]), "what is this ?", (), 8, None).logits
                     for i in (image, other))
    assert np.abs(first - second).max() < TOLERANCE
    wrong = ImageInput(image.values[..., order], image.bands, "optical")
    third = model.begin(pictures_of_images([wrong]), "what is this ?", (), 8, None).logits
    assert np.abs(first - third).max() > 100 * TOLERANCE
