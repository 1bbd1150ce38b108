"""Stage 5: fit temperature and the per-tap logistic regressions on the val split.

    python -m training.calibrate --data DIR --model models/compact
"""

import argparse
import json
from pathlib import Path

import numpy as np

from eo_nodes.lvlm.calibration import FEATURES
from eo_nodes.lvlm.model import LvlmModel
from training.export import write_manifest
from training.questions import exam
from training.samples import SETS, load
from training.scoring import Sighted, sit, thin

STAGES = {1: 0, 2: 2, 3: 24}          # stage -> tokens decoded when the tap is taken
TEMPERATURES = np.geomspace(0.5, 4.0, 22)
WANTED, HOPELESS = 0.85, 0.5


def features(tap):
    row = [min(float(getattr(tap, f)), 20.0) for f in FEATURES]
    row[FEATURES.index("tokens")] /= 10
    return row


def collect(model, data, per_task):
    """Rows of tap features per stage, mean log-probability per temperature, right or not."""
    rows, tempered, right, sighted = {s: [] for s in STAGES}, [], [], Sighted(model)
    for name in SETS:
        for task, pairs in exam(load(data, name, "val")).items():
            if task == "caption":
                continue
            pairs = thin(pairs, per_task)
            for i, session in sit(sighted, pairs):
                sums = np.zeros(len(TEMPERATURES))
                steps = 0
                rows[1].append(features(session.tap()))
                while not session.is_finished:
                    ranked = [session._log_softmax(t).max() for t in TEMPERATURES]
                    session.decode(1)
                    sums += ranked
                    steps += 1
                    if steps == STAGES[2]:
                        rows[2].append(features(session.tap()))
                if steps < STAGES[2]:
                    rows[2].append(features(session.tap()))
                rows[3].append(features(session.tap()))
                tempered.append(sums / steps)
                right.append(session.text == pairs[i][1].answer)
    return ({s: np.array(v) for s, v in rows.items()}, np.array(tempered),
            np.array(right, dtype=float))


def logistic(x, y, decay=1.0, rounds=50):
    """Newton's method with weight decay; returns weights and bias."""
    z = np.c_[x, np.ones(len(x))]
    w = np.zeros(z.shape[1])
    ridge = decay * np.eye(len(w))
    ridge[-1, -1] = 0
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(z @ w, -30, 30)))
        hessian = (z * (p * (1 - p) + 1e-6)[:, None]).T @ z + ridge
        w -= np.linalg.solve(hessian, z.T @ (p - y) + ridge @ w)
    return w[:-1], w[-1]


def ece(p, y, bins=10):
    """Expected calibration error, bins of equal width."""
    place = np.minimum((p * bins).astype(int), bins - 1)
    return float(sum(abs(p[place == b].mean() - y[place == b].mean()) * (place == b).mean()
                     for b in range(bins) if (place == b).any()))


def thresholds(p, y):
    """Lowest threshold above which WANTED are right; highest below which HOPELESS are not."""
    order = np.argsort(-p)
    share = np.cumsum(y[order]) / np.arange(1, len(y) + 1)
    good = np.nonzero(share >= WANTED)[0]
    above = float(p[order][good[-1]]) if len(good) else 1.0
    back = np.cumsum(y[order[::-1]]) / np.arange(1, len(y) + 1)
    bad = np.nonzero(back <= HOPELESS)[0]
    below = float(p[order[::-1]][bad[-1]]) if len(bad) else 0.0
    return above, min(below, above)


def cross_fitted(x, y, folds=5):
    """Predictions for each row from a fit that left its fold out, for an honest ECE."""
    fold, p = np.arange(len(y)) % folds, np.zeros(len(y))
    for k in range(folds):
        w, b = logistic(x[fold != k], y[fold != k])
        p[fold == k] = 1 / (1 + np.exp(-(x[fold == k] @ w + b)))
    return p


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--per-task", type=int, default=150, help="answers a task, drawn with a seed")
    a = p.parse_args()
    model = LvlmModel(a.model, "", threads=1, providers=["CPUExecutionProvider"])
    rows, tempered, right = collect(model, a.data, a.per_task)
    chance = np.clip(np.exp(tempered), 1e-6, 1 - 1e-6)
    loss = -(right[:, None] * np.log(chance) + (1 - right)[:, None] * np.log(1 - chance)).mean(0)
    best = int(loss.argmin())
    mix = np.random.default_rng(0).permutation(len(right))
    stages = {}
    for stage, x in rows.items():
        x, y = x[mix], right[mix]
        weights, bias = logistic(x, y)
        honest = cross_fitted(x, y)
        above, below = thresholds(honest, y)
        stages[str(stage)] = {
            "features": list(FEATURES), "weights": [round(v, 5) for v in weights.tolist()],
            "bias": round(float(bias), 5), "answer_above": round(above, 3),
            "offload_below": round(below, 3), "ece": round(ece(honest, y), 4), "n": len(y)}
    (a.model / "calibration.json").write_text(json.dumps({"stages": stages}, indent=1) + "\n")
    config = json.loads((a.model / "config.json").read_text())
    config["temperature"] = round(float(TEMPERATURES[best]), 3)
    (a.model / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    write_manifest(a.model, config["id"])
    print("right", right.mean(), "temperature", config["temperature"], "ece of confidence",
          ece(chance[:, best], right), json.dumps(stages))


if __name__ == "__main__":
    main()
