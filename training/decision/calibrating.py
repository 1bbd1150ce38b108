"""From what a head says to what comes: temperature, isotonic, and which of them is kept.

Fitted on a part of its own, whole scenes that the heads have not learnt from. Which is kept is
found by cross-fitting over scenes within that part.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

Curve = tuple[np.ndarray, np.ndarray]
FOLDS = 5
LEAST_MASS = 25  # rows a step of an isotonic curve stands on, at least


def temperature(raw: np.ndarray, y: np.ndarray, rounds: int = 50) -> tuple[float, float]:
    """(scale, shift) of the logits that fit y (N,) in [0, 1] best; Newton, scale >= 0.

    A temperature is one over the scale; the shift puts right a base rate that has moved.
    """
    z, w, aim = np.c_[raw, np.ones(len(raw))], np.zeros(2), np.array([1.0, 0.0])
    ridge = np.diag([1e-2, 1e-3])

    def loss(v: np.ndarray) -> float:
        s = z @ v
        return float((np.logaddexp(0, s) - y * s).sum() + (v - aim) @ ridge @ (v - aim) / 2)

    for _ in range(rounds):
        p = sigmoid(z @ w)
        slope = z.T @ (p - y) + ridge @ (w - aim)
        step = np.linalg.solve((z * (p * (1 - p) + 1e-9)[:, None]).T @ z + ridge, slope)
        # Newton overshoots where everything is certain: halve until it goes down.
        while loss(w - step) > loss(w) and np.abs(step).max() > 1e-9:
            step = step / 2
        w = w - step
    return max(float(w[0]), 0.0), float(w[1])


def isotonic(x: np.ndarray, y: np.ndarray, least: int = LEAST_MASS) -> Curve:
    """Knots (k,) of the non-decreasing curve nearest to y, linear between, flat outside.

    Steps are pooled until each stands on ``least`` rows, so that a few lucky answers do not say
    that something is certain. Source: pool adjacent violators, Ayer et al. 1955.
    """
    order = np.argsort(x, kind="stable")
    blocks: list[list[float]] = []  # sum of x, sum of y, rows
    for a, b in zip(x[order], y[order], strict=True):
        blocks.append([float(a), float(b), 1.0])
        while len(blocks) > 1 and (
            blocks[-2][1] * blocks[-1][2] >= blocks[-1][1] * blocks[-2][2]
            or blocks[-2][2] < least
        ):
            _pool(blocks)
    if len(blocks) > 1 and blocks[-1][2] < least:
        _pool(blocks)
    centres = np.array([b[0] / b[2] for b in blocks])
    return centres, np.maximum.accumulate(np.array([b[1] / b[2] for b in blocks]))


def _pool(blocks: list[list[float]]) -> None:
    last = blocks.pop()
    blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]


def on_curve(curve: Curve, x: np.ndarray) -> np.ndarray:
    """Values of a curve."""
    return np.interp(x, *curve)


def folds_of(scenes: Sequence[str]) -> np.ndarray:
    """(N,) number of the fold that a scene is in."""
    return np.array([zlib.crc32(f"calibrate:{s}".encode()) % FOLDS for s in scenes])


def choose(
    raw: np.ndarray, y: np.ndarray, scenes: Sequence[str], link: Callable[[np.ndarray], np.ndarray]
) -> dict:
    """Fit both ways; keep the one of least squared error on scenes left out.

    Args:
        raw: (N,) output of the head before its link. link: raw -> value, tanh for a gain.
    Returns:
        kind: ``temperature`` or ``isotonic``; scale, shift, and knots x, y of the curve on top
        (empty for temperature alone); loss: of both on scenes left out.
    """
    fold = folds_of(scenes)
    loss = {"temperature": 0.0, "isotonic": 0.0}
    for k in np.unique(fold):
        own, other = fold == k, fold != k
        if not other.any():
            continue
        fit = _fit(raw[other], y[other], link)
        for kind in loss:
            said = apply(raw[own], {**fit, "kind": kind}, link)
            loss[kind] += float(((said - y[own]) ** 2).sum()) / len(y)
    kept = min(loss, key=lambda kind: (round(loss[kind], 6), kind != "temperature"))
    return {**_fit(raw, y, link), "kind": kept, "loss": loss}


def _fit(raw: np.ndarray, y: np.ndarray, link: Callable[[np.ndarray], np.ndarray]) -> dict:
    scale, shift = (1.0, 0.0) if link is np.tanh else temperature(raw, y)
    x, values = isotonic(link(scale * raw + shift), y)
    return {"scale": scale, "shift": shift, "x": x, "y": values}


def apply(raw: np.ndarray, fit: dict, link: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Calibrated values of raw outputs."""
    value = link(fit["scale"] * raw + fit["shift"])
    return on_curve((fit["x"], fit["y"]), value) if fit["kind"] == "isotonic" else value


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), bounded."""
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))
