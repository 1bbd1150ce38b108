"""The scene expert: what of it is trained and stored, and how far it is trusted."""

import pytest

torch = pytest.importorskip("torch")

from training.decoder import tiny  # noqa: E402
from training.vision import train_expert  # noqa: E402
from training.vision.expert import STORED_DEPTHWISE, macs_per_cell  # noqa: E402
from training.vision.plan import PLAN  # noqa: E402

pytestmark = pytest.mark.training


def test_each_trained_tensor_has_a_rate_and_what_the_package_has_is_frozen():
    expert = tiny.expert_of(rank=12)
    groups = train_expert.optimizer_of(expert).param_groups
    trained = {id(p) for g in groups for p in g["params"]}
    assert trained == {id(p) for p in expert.parameters()} and all(g["params"] for g in groups)
    names = {n for n, _ in expert.named_parameters()}
    last, early = len(expert.blocks) - 1, STORED_DEPTHWISE - 1
    assert f"blocks.{last}.depthwise.weight" not in names
    assert f"blocks.{early}.depthwise.weight" in names
    assert {f"blocks.{last}.expand.{leaf}" for leaf in ("enter", "leave")} <= names
    assert sum(p.numel() for p in expert.parameters()) < 0.9e6 < sum(
        c.weights().numel() for b in expert.blocks for c in b.children())


def test_work_is_that_of_a_lite0_without_its_stem():
    # 385 million multiply-accumulates at 224 px, of which the stem has 11 and the classifier,
    # which is not here, 22.
    assert 49 * macs_per_cell(tiny.expert_of()) == pytest.approx(352e6, rel=0.03)


def test_the_expert_is_trusted_as_far_as_it_helps():
    draw = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 4, (200,), generator=draw)
    sure = 6.0 * torch.nn.functional.one_hot(truth, 4)
    noise = [3 * torch.randn(200, 4, generator=draw) for _ in range(2)]
    assert train_expert.trusted(sure, noise[0], truth) == 1.0
    assert train_expert.trusted(noise[0], sure, truth) == 0.0
    both = [sure / 3 + n for n in noise]
    assert 0 < train_expert.trusted(*both, truth) < 1, "where both err apart, a mixture"
    marks = torch.nn.functional.one_hot(truth, 4).float()
    assert train_expert.trusted(10 * marks - 5, noise[0], marks) == 1.0


def test_scores_by_hand():
    logits = {"class_a": torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]),
              "label_b": torch.tensor([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])}
    found = train_expert.score(logits, torch.tensor([0, 1, 1]), (
        "label_b", torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])), "a")
    assert found["accuracy"] == 66.7
    assert found["f1"] == 75.0, "one half for the first label, all of the second"


def test_the_plan_is_of_sets_that_have_classes():
    plan = train_expert.expert_plan()
    assert set(plan) <= set(PLAN) and all(p.group and p.px == PLAN[n].px for n, p in plan.items())
