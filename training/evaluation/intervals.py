"""Intervals: Wilson for independent answers, bootstrap over clusters for all else; paired too."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from training.evaluation.metrics import Metric

RESAMPLES = 2000


def wilson(hits: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share, in per cent. Source: Wilson 1927."""
    p, d = hits / n, 1 + z * z / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, 100 * (centre - half) / d), min(100.0, 100 * (centre + half) / d)


def cluster_sums(vectors: np.ndarray, clusters: Sequence[Hashable]) -> np.ndarray:
    """Sum the rows of (N, k) by cluster: (clusters, k), in order of first appearance."""
    places = {c: i for i, c in enumerate(dict.fromkeys(clusters))}
    sums = np.zeros((len(places), vectors.shape[1]))
    np.add.at(sums, [places[c] for c in clusters], vectors)
    return sums


def draws(count: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, count) how often each of ``count`` clusters is drawn; each row sums to count."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)


def bootstrap(
    metric: Metric, sums: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of a metric over clusters.

    Args:
        sums: (clusters, k) as ``cluster_sums`` gives them.
    """
    values = [metric.value(row) for row in draws(len(sums), resamples, seed) @ sums]
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)


def paired_mean_difference(
    cells: Sequence[tuple[Metric, np.ndarray, np.ndarray]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Mean over cells of (first model - second model), with its 95 % interval.

    Both models are scored on the same draw of clusters, cell by cell.

    Args:
        cells: (metric, sums of the first model, sums of the second), each sums (clusters, k).
    Returns:
        (difference, low, high) in the metrics' unit.
    """
    point = [m.value(a.sum(0)) - m.value(b.sum(0)) for m, a, b in cells]
    drawn = np.zeros((len(cells), resamples))
    for i, (metric, a, b) in enumerate(cells):
        weights = draws(len(a), resamples, seed + i)
        drawn[i] = [metric.value(x) - metric.value(y)
                    for x, y in zip(weights @ a, weights @ b, strict=True)]
    low, high = np.nanquantile(np.nanmean(drawn, axis=0), (0.025, 0.975))
    return float(np.mean(point)), float(low), float(high)


def share_right_on_disagreement(first: Sequence[bool], second: Sequence[bool]):
    """(share in per cent, n): how often the first is right where exactly one of both is."""
    differ = [a for a, b in zip(first, second, strict=True) if bool(a) != bool(b)]
    return (100.0 * sum(differ) / len(differ) if differ else float("nan")), len(differ)
