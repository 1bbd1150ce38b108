"""Routing heads for a folder of the tests: fitted in a second, on what nobody asked."""

from dataclasses import replace

import numpy as np

from eo_nodes.lvlm import load_model
from eo_nodes.lvlm.infer import overview_of
from eo_nodes.lvlm.manifest import golden_image
from eo_nodes.lvlm.tap_features import features_of, sizes_of
from training.decision.network import PLAN, Plan
from training.decision.questions import part_of
from training.decision.rows import Rows
from training.decision.train import fit_heads, write

QUICK = Plan(PLAN.directions, hidden=8, members=1, epochs=2)
LONGER = replace(QUICK, epochs=40, hidden=16)


def made_rows(features, sizes, chance):
    """Rows whose answers are right by chance, the ground's nine times in ten.

    Args:
        features: of each tap (n, F). chance: (n,) that an answer on board is right.
    """
    count = len(chance)
    rng = np.random.default_rng(0)
    here, there = ((rng.random(count) < p).astype(float) for p in (chance, 0.9))
    scene = np.array([f"set/{i % 60}" for i in range(count)])
    text = np.array(["x"] * count)
    return Rows(
        features=features, sizes=sizes, here=here, there=there, alike=(here == there).astype(float),
        tokens=np.tile([0, 3, 9], (count, 1)), macs=np.tile([100, 110, 130], (count, 1)),
        has_tap2=np.ones(count, bool), regular_macs=np.full(count, 900), kind=text, task=text,
        set=text, modality=text, scene=scene, part=np.array([part_of(s) for s in scene]))


def noise_rows(sizes, count=300, seed=0):
    """Rows of noise; right half of the time."""
    rng = np.random.default_rng(seed)
    features = tuple(rng.normal(0, 30, (count, sum(sizes.values()))) for _ in range(3))
    return made_rows(features, sizes, np.full(count, 0.5))


def rows_near(taps, sizes, count=300, seed=0):
    """Rows that lie around those of some questions, each right by a chance of its own.

    Args:
        taps: (questions, 3, F).
    """
    rng = np.random.default_rng(seed)
    at = np.arange(count) % len(taps)
    near = taps[at] + rng.normal(0, 0.02, (count, *taps.shape[1:])) * taps.std(0)
    chance = np.linspace(0.02, 0.99, len(taps))[rng.permutation(len(taps))]
    return made_rows(tuple(near.transpose(1, 0, 2)), sizes, chance[at])


def put_heads(folder):
    """Give a model folder heads; its manifest is sealed anew."""
    picture = overview_of(golden_image(96), ("red", "green", "blue"), "optical")
    session = load_model(folder, threads=1).start([picture], "What is it?")
    sizes = sizes_of(len(session.evidence), len(session.tap().features))
    rows = noise_rows(sizes)
    write(folder, fit_heads(rows, QUICK), rows, QUICK)


def put_heads_near(folder, asked, limits):
    """Give a model folder heads that know some questions and tell them apart.

    Args:
        asked: views and prompt of each. limits: tokens, see ``study.limits``.
    """
    model = load_model(folder, threads=1)
    taps, sizes = [], {}
    for views, prompt in asked:
        session = model.start(views, prompt, max_tokens=limits.compact_tokens)
        own = []
        for tokens in (0, limits.tap2_tokens, limits.compact_tokens):
            if tokens:
                session.decode(tokens)
            state = session.tap()
            own.append(features_of(state, prompt, session.text, session.evidence))
        sizes = sizes_of(len(session.evidence), len(state.features))
        taps.append(own)
    rows = rows_near(np.array(taps, float), sizes)
    write(folder, fit_heads(rows, LONGER), rows, LONGER)
