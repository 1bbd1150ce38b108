"""The heads of one tap in numpy: a linear projection, then a few small networks side by side.

Small on purpose: some ten thousand questions, features of a thousand numbers. Each block of the
features is whitened to its strongest directions; members differ in their seed, and their outputs
are averaged before the link functions. Seeded, single-threaded in effect, no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

TARGETS = ("correct", "alike", "gain")
Arrays = dict[str, np.ndarray]
WORDED = 0.995
"""Share of prompts that count as worded in a known way."""
_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class Plan:
    """How heads are trained.

    Attributes:
        directions: kept of each block at most; ``facts`` are all kept. Fewer where rows are few.
        hidden: units of a member. members: networks. epochs: at most; the best on inner scenes
            is kept. batch: rows. rate: of Adam, falling to nothing. decay: of weights.
        drop: share of inputs left out while training. drop_prompt: share of rows that go without
            their prompt, so that a head can do without one that is worded in a new way.
    """

    directions: Mapping[str, int]
    hidden: int = 48
    members: int = 4
    epochs: int = 60
    batch: int = 128
    rate: float = 3e-3
    decay: float = 3e-2
    drop: float = 0.2
    drop_prompt: float = 0.2
    seed: int = 0


PLAN = Plan({"prompt": 24, "evidence": 24, "hidden": 32})


def fit_projection(x: np.ndarray, sizes: Mapping[str, int], plan: Plan) -> Arrays:
    """Mean (F,) and one matrix a block, ``project.NAME`` (size, directions), to unit variance.

    ``limit`` (1,): what the directions may leave over of a prompt; of one that is worded in a new
    way they leave more, and it is taken for the mean prompt.
    """
    found: Arrays = {"mean": x.mean(0)}
    begin = 0
    for name, size in sizes.items():
        part = x[:, begin : begin + size] - found["mean"][begin : begin + size]
        begin += size
        if name == "facts":
            spread = part.std(0)
            found[f"project.{name}"] = np.diag(1 / np.where(spread > _EPS, spread, np.inf))
            continue
        most = min(plan.directions.get(name, 0), size, max(1, len(x) // 8))
        found[f"project.{name}"] = _directions(part, most) if size else np.zeros((0, 0))
        if name == "prompt":
            over = left_over(part, part @ found[f"project.{name}"], found[f"project.{name}"])
            found["limit"] = np.array([float(np.quantile(over, WORDED)) * 1.001 + 1e-3])
    return found


def left_over(block: np.ndarray, whitened: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(N,) square of what the directions do not say of a block."""
    norms = np.maximum((matrix**2).sum(0), _EPS)
    return np.maximum((block**2).sum(1) - (whitened**2 / norms).sum(1), 0)


def _directions(part: np.ndarray, most: int) -> np.ndarray:
    """(size, k) strongest directions, scaled to unit variance; constant ones left out."""
    _, spread, axes = np.linalg.svd(part, full_matrices=False)
    spread = spread / np.sqrt(max(1, len(part) - 1))
    keep = min(most, int((spread > 1e-4 * max(float(spread[:1].sum()), _EPS)).sum()))
    if not keep or not spread[0] > _EPS:
        return np.zeros((part.shape[1], 0))
    # The sign of an axis is free: the largest entry is positive, so that a fit is reproducible.
    sign = np.sign(axes[np.arange(keep), np.abs(axes[:keep]).argmax(1)])
    return (axes[:keep] * sign[:, None]).T / spread[:keep]


def project(x: np.ndarray, parts: Arrays, sizes: Mapping[str, int]) -> tuple[np.ndarray,
                                                                           np.ndarray]:
    """(N, Z) whitened and clipped inputs, (N, 2) how unfamiliar they are.

    Unfamiliar: mean square of the whitened directions of evidence and hidden state, and of what
    the directions leave over, in units of the mean.
    """
    centred = x - parts["mean"]
    z, inside, outside, begin = [], [], [], 0
    for name, size in sizes.items():
        block, matrix = centred[:, begin : begin + size], parts[f"project.{name}"]
        begin += size
        whitened = block @ matrix
        if name == "prompt":
            known = left_over(block, whitened, matrix) <= parts["limit"]
            whitened = whitened * known[:, None]
        z.append(whitened)
        if name in ("evidence", "hidden") and matrix.shape[1]:
            inside.append((whitened**2).mean(1))
            outside.append(left_over(block, whitened, matrix))
    clipped = np.clip(np.concatenate(z, 1), -6, 6)
    far = [np.sum(v, 0) if v else np.zeros(len(x)) for v in (inside, outside)]
    return clipped, np.stack(far, 1)


def start(width: int, plan: Plan, rng: np.random.Generator) -> Arrays:
    """Weights of one member."""
    return {"in": rng.normal(0, (2 / width) ** 0.5, (width, plan.hidden)),
            "in_bias": np.zeros(plan.hidden),
            "out": rng.normal(0, 0.1 / plan.hidden**0.5, (plan.hidden, len(TARGETS))),
            "out_bias": np.zeros(len(TARGETS))}


def forward(z: np.ndarray, w: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) raw outputs and (N, H) hidden units."""
    h = np.maximum(z @ w["in"] + w["in_bias"], 0)
    return h @ w["out"] + w["out_bias"], h


def outputs(z: np.ndarray, members: list[Arrays]) -> np.ndarray:
    """(N, 3) mean raw output of the members: logits of the chances, inverse tanh of the gain."""
    return np.mean([forward(z, w)[0] for w in members], axis=0)


def linked(raw: np.ndarray) -> np.ndarray:
    """(N, 3) chances in [0, 1] and a gain in [-1, 1]."""
    chance = 1 / (1 + np.exp(-np.clip(raw[:, :2], -30, 30)))
    return np.concatenate([chance, np.tanh(raw[:, 2:])], 1)


def loss_of(raw: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(3,) cross-entropy of the chances, squared error of the gain."""
    p = np.clip(linked(raw), -1 + _EPS, 1 - _EPS)
    chance = np.clip(p[:, :2], _EPS, 1)
    cross = -(y[:, :2] * np.log(chance) + (1 - y[:, :2]) * np.log(1 - chance))
    return np.append(cross.mean(0), ((p[:, 2] - y[:, 2]) ** 2).mean())


def gradient(z: np.ndarray, y: np.ndarray, w: Arrays, decay: float) -> Arrays:
    """Of the summed losses, weights decaying."""
    raw, h = forward(z, w)
    p = linked(raw)
    d = p - y
    d[:, 2] *= 2 * (1 - p[:, 2] ** 2)
    d /= len(z)
    dh = (d @ w["out"].T) * (h > 0)
    return {"in": z.T @ dh + decay * w["in"], "in_bias": dh.sum(0),
            "out": h.T @ d + decay * w["out"], "out_bias": d.sum(0)}


def train_member(
    z: np.ndarray, y: np.ndarray, inner: np.ndarray, plan: Plan, seed: int,
    prompt: slice = slice(0, 0),
) -> Arrays:
    """One member by Adam; the state of the epoch that is best on the ``inner`` rows is kept.

    prompt: columns of the prompt. inner: (N,) bool of rows kept out, whole scenes; none: the last
    epoch is kept.
    """
    rng = np.random.default_rng(seed)
    w = start(z.shape[1], plan, rng)
    first = {k: np.zeros_like(v) for k, v in w.items()}
    second = {k: np.zeros_like(v) for k, v in w.items()}
    rows = np.flatnonzero(~inner)
    best, best_loss, step = dict(w), np.inf, 0
    for epoch in range(plan.epochs):
        rate = plan.rate * 0.5 * (1 + np.cos(np.pi * epoch / plan.epochs))
        order = rng.permutation(rows)
        for begin in range(0, len(order), plan.batch):
            part = order[begin : begin + plan.batch]
            kept = rng.random((len(part), z.shape[1])) >= plan.drop
            shown = z[part] * kept / (1 - plan.drop)
            shown[rng.random(len(part)) < plan.drop_prompt, prompt] = 0
            g = gradient(shown, y[part], w, plan.decay)
            step += 1
            for k in w:
                first[k] = 0.9 * first[k] + 0.1 * g[k]
                second[k] = 0.999 * second[k] + 0.001 * g[k] ** 2
                size = np.sqrt(second[k] / (1 - 0.999**step)) + 1e-8
                w[k] = w[k] - rate * first[k] / (1 - 0.9**step) / size
        loss = float(loss_of(forward(z[inner], w)[0], y[inner]).sum()) if inner.any() else -epoch
        if loss < best_loss:
            best, best_loss = dict(w), loss
    return best
