"""Figures of one replay: accuracy within deadlines, latency and its parts, bytes, energy, misses.

An answer counts when its last byte is in the asker's hands. Accuracy is the mean quality (0 to 1)
over all requests; one without an answer counts 0. For a latency a missed request counts with the
end of the window, which understates it for every policy alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .simulator import GROUND, MISSED, ONBOARD, PARTS, Replay
from .tables import Tables
from .trace import SIZES

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]


def quality_within(replay: Replay, minutes: float) -> Float:
    """(N,) quality of the newest answer in hand so long after capture; 0 where there is none."""
    by = replay.capture_s + minutes * 60.0
    first = np.where(replay.first_s <= by, replay.first_quality, 0.0)
    return np.asarray(np.where(replay.final_s <= by, replay.final_quality, first))


def latency_s(replay: Replay) -> Float:
    """(N,) capture to final answer; to the end of the window where there is none."""
    final = np.where(np.isfinite(replay.final_s), replay.final_s, replay.end_s)
    return np.asarray(final - replay.capture_s)


def misses(replay: Replay, tables: Tables) -> Mask:
    """(N,) no answer at all by the request's own deadline."""
    return np.asarray(replay.first_s > replay.capture_s + tables.deadline_s[replay.row])


def _accuracies(replay: Replay, mask: Mask, deadlines_min: tuple[float, ...]) -> dict[str, float]:
    found = {"final": float(replay.final_quality[mask].mean())}
    for minutes in deadlines_min:
        found[f"{minutes:g}"] = float(quality_within(replay, minutes)[mask].mean())
    return found


def _latency(replay: Replay, mask: Mask) -> dict[str, Any]:
    total = latency_s(replay)[mask]
    p50, p95, p99 = np.percentile(total, (50, 95, 99))
    answered = mask & (replay.origin != MISSED)
    parts = replay.parts_s[answered].mean(axis=0) if answered.any() else np.zeros(len(PARTS))
    return {
        "mean": float(total.mean()), "p50": float(p50), "p95": float(p95), "p99": float(p99),
        "first_mean": float(np.where(np.isfinite(replay.first_s), replay.first_s, replay.end_s)[
            mask].mean() - replay.capture_s[mask].mean()),
        "parts": {name: float(value) for name, value in zip(PARTS, parts, strict=True)},
    }  # fmt: skip


def summary(replay: Replay, tables: Tables, deadlines_min: tuple[float, ...]) -> dict[str, Any]:
    """All figures of a replay as plain numbers; times s, sizes bytes, energy Wh."""
    trace = tables.trace
    everyone = np.ones(len(replay), bool)
    sizes, modality = trace["size"][replay.row], trace.names_of("modality")[replay.row]
    accuracy: dict[str, Any] = {"all": _accuracies(replay, everyone, deadlines_min)}
    for code, name in enumerate(SIZES):
        if (mask := sizes == code).any():
            accuracy[name] = _accuracies(replay, mask, deadlines_min)
    for name in np.unique(modality):
        accuracy[str(name)] = _accuracies(replay, modality == name, deadlines_min)
    idle_j = (
        tables.config.compute.onboard_idle_w * replay.end_s * len(np.unique(replay.satellite))
        / tables.thinning
    )  # fmt: skip
    answered = max(int((replay.origin != MISSED).sum()), 1)
    energy = {
        "onboard": replay.onboard_j.sum(), "radio": replay.radio_j.sum(),
        "ground": replay.ground_j.sum(), "idle": idle_j,
    }  # fmt: skip
    found: dict[str, Any] = {
        "n": len(replay),
        "accuracy": accuracy,
        "latency_s": _latency(replay, everyone),
        "deadline_misses": float(misses(replay, tables).mean()),
        "never_answered": float((replay.origin == MISSED).mean()),
        "offloaded": float((replay.level >= 0)[~replay.is_onboard].mean()),
        "origin": {
            "onboard": float((replay.origin == ONBOARD).mean()),
            "ground": float((replay.origin == GROUND).mean()),
        },
        "stopped_at": {
            str(stage): float(((replay.stage == stage) & (replay.level >= 0)).mean())
            for stage in range(4)
        },
        "down_bytes": float(replay.down_bytes.sum()),
        "down_bytes_each": float(replay.down_bytes.mean()),
        "up_bytes": float(replay.up_bytes.sum()),
        "up_bytes_each": float(replay.up_bytes.mean()),
        "wh_per_answer": {k: float(v) / answered / 3600 for k, v in energy.items()},
        "contact_use": replay.sent_bytes / replay.capacity_bytes if replay.capacity_bytes else 0.0,
        "consumers": {},
    }
    for name, mask in (("ground", ~replay.is_onboard), ("onboard", replay.is_onboard)):
        if mask.any():
            found["consumers"][name] = {
                "n": int(mask.sum()),
                "accuracy": _accuracies(replay, mask, deadlines_min),
                "latency_s": _latency(replay, mask),
                "deadline_misses": float(misses(replay, tables)[mask].mean()),
            }
    return found


def cluster_sums(
    replay: Replay, tables: Tables, deadlines_min: tuple[float, ...]
) -> dict[str, Float]:
    """Sums over the scenes of the trace, of requests whose asker is on the ground.

    Returns:
        ``n``, ``final``, one key a deadline, ``latency_s``, ``bytes``: each (scenes,).
    """
    scene = tables.trace["scene"][replay.row]
    count = len(tables.trace.names["scenes"])
    mine = ~replay.is_onboard

    def total(values: Float) -> Float:
        sums = np.bincount(scene[mine], weights=values[mine], minlength=count)
        return sums.astype(np.float64)

    found = {
        "n": total(np.ones(len(replay))), "final": total(replay.final_quality),
        "latency_s": total(latency_s(replay)), "bytes": total(replay.down_bytes),
    }  # fmt: skip
    return found | {f"{m:g}": total(quality_within(replay, m)) for m in deadlines_min}
