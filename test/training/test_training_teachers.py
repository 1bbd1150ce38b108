"""Teachers, projectors, the order of the sets, merging: each by hand or on tiny packed sets."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from eo_nodes.lvlm.spectrum import codes, normalise, parse_bands  # noqa: E402
from training import ablate_vision  # noqa: E402
from training.ablate_vision import ARMS  # noqa: E402
from training.vision import distil, merge, teachers  # noqa: E402
from training.vision.curriculum import TwoStages, is_physics  # noqa: E402
from training.vision.losses import total  # noqa: E402

pytestmark = pytest.mark.training
S2 = ["B01 443nm", "B02 490nm", "B03 560nm", "B04 665nm", "B05 705nm", "B06 740nm", "B07 783nm",
      "B08 842nm", "B09 945nm", "B10 1375nm", "B11 1610nm", "B12 2190nm", "B8A 865nm"]


@pytest.fixture(scope="module")
def network(world):
    return ablate_vision.network_of(ARMS["full"], world, 0)


def installed(name):
    try:
        return teachers.TEACHERS[name]()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("names", "shown"), [
    (["thermal"], [0, 0, 0]),
    (["blue", "green", "red", "nir"], [2, 1, 0]),
    (["red", "green", "blue"], [0, 1, 2]),
    (S2, [3, 2, 1]),
])
def test_picture_teachers_see_one_band_thrice_or_the_visible_ones(names, shown):
    assert teachers.three_channels(parse_bands(names)) == shown


def test_picture_teachers_see_one_radar_band_repeated():
    picked = {tuple(teachers.three_channels(parse_bands(["VV", "VH"]), seed)) for seed in range(9)}
    assert picked == {(0, 0, 0), (1, 1, 1)}


def test_other_bands_are_drawn_without_repeating_longest_first():
    bands = parse_bands(["842 nm", "945 nm", "1610 nm", "2190 nm"])
    picked = [teachers.three_channels(bands, seed) for seed in range(9)]
    assert all(p == sorted(set(p), reverse=True) and len(p) == 3 for p in picked)
    assert len({tuple(p) for p in picked}) > 1


def test_reflectance_undoes_the_scale_of_the_network_input():
    values = np.array([0, 500, 2000, 2399, 2500, 3200], np.uint16).reshape(1, 6, 1)
    x = torch.from_numpy(normalise(values, parse_bands(["red"])))
    assert teachers.reflectance(x).flatten().tolist() == pytest.approx(
        values.flatten().tolist(), abs=2)


def test_galileo_sees_whole_band_groups_of_sentinel_only(galileo_file, world):
    teacher = teachers.load(["galileo"], galileo_file)[0]
    seen = {}
    source = world.source(0)
    source.drops_bands = False
    for name in source.names:
        batch = source.batch(0, name)
        seen[name] = set(teacher.groups(batch)), teacher(batch)
    assert seen["hit_uav"] == (set(), None)
    assert seen["objects_rgb"] == (set(), None)
    assert seen["flood_s1"][0] == {"S1"}
    assert seen["eurosat_rgb"][0] == {"S2_RGB"}
    assert seen["eurosat_ms"][0] == {"S2_RGB", "S2_Red_Edge", "S2_NIR_10m", "S2_NIR_20m",
                                     "S2_SWIR"}
    batch = source.batch(0, "eurosat_ms")
    assert teacher(batch).shape[1:] == (128, batch["x"].shape[2] // 16, batch["x"].shape[3] // 16)


@pytest.mark.parametrize("name", ["lite2", "vit", "sar2sar"])
def test_teacher_maps_lie_on_the_grid_of_the_pupil(name, world, network):
    teacher = installed(name).eval()
    batch = world.source(0).batch(1, "flood_s1")
    with torch.no_grad():
        said, found = teacher(batch), network(batch["x"], batch["codes"])
    own = found["pixel"] if teacher.stride == 4 else found["maps"][2]
    assert said.shape == (len(own), teacher.dim, *own.shape[2:])
    assert said.std() > 0


def test_despeckler_has_nothing_to_say_of_optical_pictures(world):
    assert installed("sar2sar")(world.source(0).batch(0, "eurosat_rgb")) is None


def test_projector_is_a_plain_norm_at_first_and_conditioned_by_wavelength_once_it_is_not():
    torch.manual_seed(0)
    p, x = distil.Projector(6, 4), torch.randn(3, 5, 6)
    red, thermal = (torch.from_numpy(codes(parse_bands([n]))) for n in ("red", "thermal"))
    plain = torch.nn.functional.layer_norm(x, (6,))
    assert torch.equal(p.conditioned(x, red), plain)
    torch.nn.init.normal_(p.condition[2].weight, std=0.5)
    assert not torch.allclose(p.conditioned(x, red), p.conditioned(x, thermal))
    gamma, beta = p.condition(red[0]).chunk(2)
    assert torch.allclose(p.conditioned(x, red), plain + gamma * plain + beta, atol=1e-6)


def test_projector_sees_the_mean_code_so_order_of_bands_does_not_matter():
    p = distil.Projector(6, 4)
    torch.nn.init.normal_(p.condition[2].weight, std=0.5)
    band_codes = torch.from_numpy(codes(parse_bands(S2)))
    x = torch.randn(2, 6)
    assert torch.allclose(p(x, band_codes), p(x, band_codes.flip(0)), atol=1e-5)


def test_distance_by_hand():
    said, wanted = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    # SmoothL1: (0.5 + 1.5) / 2; MSE: (1 + 4) / 2; cosine 0
    assert distil.distance(said, wanted).item() == pytest.approx(1.0 + 2.5 + 1.0)
    assert distil.distance(wanted, wanted).item() == pytest.approx(0.0, abs=1e-6)


def test_distillation_trains_projectors_and_pupil_but_no_teacher(galileo_file, world, network):
    d = distil.Distillation.of(["galileo", "minilm"], galileo_file, network)
    batch = world.source(0).batch(0, "eurosat_ms") | {"class_head": "class_eurosat"}
    losses = total(network, batch, d)
    assert {"maka_galileo", "maka_minilm"} < losses.keys()
    network.zero_grad()
    (losses["maka_galileo"] + losses["maka_minilm"]).backward()
    assert all(p.grad is not None for p in d.projectors.parameters())
    assert network.backbone.blocks[0].project.conv.weight.grad.abs().sum() > 0
    assert all(k.startswith("projectors.") for k in d.state_dict())
    assert not any(p.requires_grad for t in d._teachers.values() for p in t.parameters())
    network.zero_grad()


def test_without_teachers_the_losses_are_as_before(world, network):
    batch = world.source(0).batch(0, "flood_s1")
    assert not any(k.startswith("maka") for k in total(network, batch))


# -- curriculum ------------------------------------------------------------

def test_two_stages_give_every_set_its_share_of_one_stage():
    names, odds, steps = ["aid_rsicd", "mstar", "hit_uav", "trees"], [4, 2, 1, 3], 10_000
    order = TwoStages(names, odds, steps)
    seen = np.mean([order(s) for s in range(steps)], 0)
    assert seen == pytest.approx(np.array(odds) / 10, abs=1e-3)
    late = [is_physics(n) for n in names]
    assert order(0)[late].sum() == 0
    assert order(steps - 1)[late].sum() == pytest.approx(0.75)


def test_two_stages_need_both():
    with pytest.raises(ValueError, match="both stages"):
        TwoStages(["trees", "aid_rsicd"], [1, 1], 10)


def test_a_source_follows_its_order_and_is_unchanged_without_one(world):
    plain, staged = world.source(0), world.source(0)
    staged.odds_at = TwoStages(staged.names, staged.odds, 1000)
    assert {staged.batch(s)["name"] for s in range(12)} <= {"eurosat_rgb", "objects_rgb"}
    assert [plain.batch(s)["name"] for s in range(3)] == [
        str(np.random.default_rng([0, s]).choice(plain.names, p=plain.odds)) for s in range(3)]


# -- merging ------------------------------------------------------------

def test_linear_merge_by_hand():
    a = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)}
    b = {"w": torch.tensor([3.0, -2.0]), "n": torch.tensor(7)}
    out = merge.linear(a, b, 0.25)
    assert out["w"].tolist() == [1.5, 1.0]
    assert out["n"].item() == 3
    with pytest.raises(ValueError, match="different networks"):
        merge.linear(a, {"w": b["w"]}, 0.5)


def test_progressive_merge_takes_what_helps_and_leaves_out_what_does_not():
    start = {"w": torch.zeros(2)}
    good, bad = {"w": torch.tensor([4.0, 0.0])}, {"w": torch.tensor([0.0, -9.0])}

    def score(state):                # best at (2, 0)
        return -((state["w"] - torch.tensor([2.0, 0.0])) ** 2).sum().item()

    merged, steps = merge.progressive(start, {"good": good, "bad": bad}, score)
    assert merged["w"].tolist() == [2.0, 0.0]
    assert [(s.name, s.share) for s in steps] == [("good", 0.5), ("bad", 0.0)]
    assert start["w"].tolist() == [0.0, 0.0]


def test_groups_are_modalities():
    names = ["hit_uav", "flood_s1", "objects_rgb", "eurosat_rgb", "eurosat_ms"]
    assert merge.groups_of(names) == {
        "multispectral": ["eurosat_ms"], "optical": ["eurosat_rgb", "objects_rgb"],
        "sar": ["flood_s1"], "thermal": ["hit_uav"]}
