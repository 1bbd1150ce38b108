"""Routing heads for a folder of the tests: fitted on noise of the right shape, in a second."""

import numpy as np

from eo_nodes.lvlm import load_model
from eo_nodes.lvlm.infer import overview_of
from eo_nodes.lvlm.manifest import golden_image
from eo_nodes.lvlm.tap_features import sizes_of
from training.decision.network import PLAN, Plan
from training.decision.questions import part_of
from training.decision.rows import Rows
from training.decision.train import fit_heads, write

QUICK = Plan(PLAN.directions, hidden=8, members=1, epochs=2)


def noise_rows(sizes, count=300, seed=0):
    """Rows whose answers are right half of the time, the ground's nine times in ten."""
    rng = np.random.default_rng(seed)
    features = tuple(rng.normal(0, 30, (count, sum(sizes.values()))) for _ in range(3))
    here, there = ((rng.random(count) < p).astype(float) for p in (0.5, 0.9))
    scene = np.array([f"set/{i % 60}" for i in range(count)])
    text = np.array(["x"] * count)
    return Rows(
        features=features, sizes=sizes, here=here, there=there, alike=(here == there).astype(float),
        tokens=np.tile([0, 3, 9], (count, 1)), macs=np.tile([100, 110, 130], (count, 1)),
        has_tap2=np.ones(count, bool), regular_macs=np.full(count, 900), kind=text, task=text,
        set=text, modality=text, scene=scene, part=np.array([part_of(s) for s in scene]))


def put_heads(folder):
    """Give a model folder heads; its manifest is sealed anew."""
    picture = overview_of(golden_image(96), ("red", "green", "blue"), "optical")
    session = load_model(folder, threads=1).start([picture], "What is it?")
    sizes = sizes_of(len(session.evidence), len(session.tap().features))
    rows = noise_rows(sizes)
    write(folder, fit_heads(rows, QUICK), rows, QUICK)
