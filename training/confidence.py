"""From what a tap shows to the chance that the answer is right: fitting and honest figures.

Logistic regression per stage, thresholds from a wanted precision; every figure comes from fits
that left the sample's group out.
"""

import numpy as np

from eo_nodes.lvlm.calibration import FEATURES
from eo_nodes.lvlm.chances import auroc, ece

TEMPERATURES = np.geomspace(0.5, 4.0, 22)
WANTED, HOPELESS = 0.85, 0.5


def features(tap):
    """(5,) of a `TapState`, scaled as `StageCalibration.confidence` does."""
    row = [min(float(getattr(tap, f)), 20.0) for f in FEATURES]
    row[FEATURES.index("tokens")] /= 10
    return row


def logistic(x, y, decay=1.0, rounds=50, toward=None):
    """Newton's method with weight decay, towards 0 by default; returns weights and bias."""
    z = np.c_[x, np.ones(len(x))]
    aim = np.zeros(z.shape[1]) if toward is None else np.r_[toward, 0.0]
    w = aim.copy()
    ridge = decay * np.eye(len(w))
    ridge[-1, -1] = 0
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(z @ w, -30, 30)))
        hessian = (z * (p * (1 - p) + 1e-6)[:, None]).T @ z + ridge
        w -= np.linalg.solve(hessian, z.T @ (p - y) + ridge @ (w - aim))
    return w[:-1], w[-1]


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


def cross_fitted(x, y, fold):
    """(N,) predictions, each from a fit without its fold. fold: (N,) number of each row's fold."""
    p = np.zeros(len(y))
    for k in np.unique(fold):
        w, b = logistic(x[fold != k], y[fold != k])
        p[fold == k] = 1 / (1 + np.exp(-np.clip(x[fold == k] @ w + b, -30, 30)))
    return p


def fit_stage(x, y, fold):
    """Entry of calibration.json for one stage, from features (N, 5), right or not, and folds."""
    weights, bias = logistic(x, y)
    honest = cross_fitted(x, y, fold)
    above, below = thresholds(honest, y)
    # Where all are right, or none, there is no order to speak of.
    order = auroc(honest, y > 0.5)
    return {"features": list(FEATURES), "weights": [round(v, 5) for v in weights.tolist()],
            "bias": round(float(bias), 5), "answer_above": round(above, 3),
            "offload_below": round(below, 3), "ece": round(ece(honest, y, bins=10), 4),
            "auroc": 0.5 if np.isnan(order) else round(order, 4), "n": len(y)}


def best_temperature(tempered, right):
    """Of (N, 22) mean log-probabilities at TEMPERATURES, the one whose exp is nearest the truth
    in cross-entropy."""
    chance = np.clip(np.exp(tempered), 1e-6, 1 - 1e-6)
    loss = -(right[:, None] * np.log(chance) + (1 - right)[:, None] * np.log(1 - chance)).mean(0)
    return float(TEMPERATURES[int(loss.argmin())])
