"""A fitted tap, as training sees it: fitting, scores of many rows at once, to and from the files.

Mirrors ``eo_nodes.decision.heads``, which scores one row at a time in flight; a test holds both to
each other.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eo_nodes.contracts.errors import ConfigError
from training.decision.calibrating import apply, choose, sigmoid
from training.decision.network import (
    TARGETS,
    Arrays,
    Plan,
    fit_projection,
    outputs,
    project,
    train_member,
)
from training.decision.rows import STAGES, Rows

NUMBERS, FACTS = "heads.npz", "decision.json"
FAMILIAR = 0.99
"""Share of the calibrate part that counts as familiar."""
_PARTS = ("in", "in_bias", "out", "out_bias")


def targets_of(rows: Rows) -> np.ndarray:
    """(N, 3) right, alike, gain."""
    return np.stack([rows.right, rows.alike, rows.gain], 1)


def link_of(target: str) -> Callable[[np.ndarray], np.ndarray]:
    """Link function of a target."""
    return np.tanh if target == "gain" else sigmoid


@dataclass(frozen=True, slots=True)
class StageHead:
    """One tap.

    Attributes:
        sizes: length of each block of the features. parts: of the projection.
        members: weights of the networks. calibration: of each target, see `choose`.
        far: the two limits of what is familiar.
    """

    stage: int
    sizes: Mapping[str, int]
    parts: Arrays
    members: tuple[Arrays, ...]
    calibration: dict[str, dict]
    far: tuple[float, float]

    def raw(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) outputs before calibration, (N, 2) distances."""
        z, far = project(rows.features[self.stage - 1], self.parts, self.sizes)
        return outputs(z, list(self.members)), far

    def scores(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) calibrated targets, (N,) distance in units of the limit."""
        raw, far = self.raw(rows)
        said = [np.clip(apply(raw[:, i], self.calibration[t], link_of(t)),
                        -1.0 if t == "gain" else 0.0, 1.0) for i, t in enumerate(TARGETS)]
        return np.stack(said, 1), (far / self.far).max(1)

    def numbers(self) -> Arrays:
        """Arrays for the file."""
        at = f"s{self.stage}."
        found = {f"{at}{k}": v for k, v in self.parts.items()}
        for k, w in enumerate(self.members):
            found |= {f"{at}m{k}.{n}": v for n, v in w.items()}
        for t, fit in self.calibration.items():
            found |= {f"{at}{t}.x": fit["x"], f"{at}{t}.y": fit["y"]}
        return {k: np.asarray(v, np.float64 if k.endswith((".x", ".y")) else np.float32)
                for k, v in found.items()}

    def facts(self) -> dict:
        """Entry of ``decision.json``."""
        return {"calibration": {
            t: {"kind": f["kind"], "scale": f["scale"], "shift": f["shift"],
                "loss": {k: round(v, 5) for k, v in f["loss"].items()}}
            for t, f in self.calibration.items()}, "far": list(self.far)}


def fit_stage(stage: int, fit: Rows, calibrate: Rows, plan: Plan) -> StageHead:
    """Fit the projection and the members on ``fit``, all else on ``calibrate``."""
    plan = replace(plan, seed=plan.seed + 100 * stage)
    x, y = fit.features[stage - 1], targets_of(fit)
    parts = _as_stored(fit_projection(x, fit.sizes, plan))
    z, _ = project(x, parts, fit.sizes)
    inner = np.array([zlib.crc32(f"inner:{s}".encode()) % 10 == 0 for s in fit.scene])
    first = parts["project.facts"].shape[1]
    prompt = slice(first, first + parts["project.prompt"].shape[1])
    members = tuple(_as_stored(train_member(z, y, inner, plan, plan.seed + k, prompt))
                    for k in range(plan.members))
    bare = StageHead(stage, fit.sizes, parts, members, {}, (1.0, 1.0))
    raw, far = bare.raw(calibrate)
    truth = targets_of(calibrate)
    calibration = {t: choose(raw[:, i], truth[:, i], calibrate.scene, link_of(t))
                   for i, t in enumerate(TARGETS)}
    inside, outside = (max(float(v), 1e-9) for v in np.quantile(far, FAMILIAR, axis=0))
    return replace(bare, calibration=calibration, far=(inside, outside))


def _as_stored(arrays: Arrays) -> Arrays:
    """Rounded as the file rounds them, so that what is measured is what flies."""
    return {k: v.astype(np.float32).astype(float) for k, v in arrays.items()}


def restored(folder: Path) -> dict[int, StageHead]:
    """Heads of a model folder.

    Raises:
        ConfigError: it has none.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        with np.load(folder / NUMBERS, allow_pickle=False) as stored:
            numbers = {k: np.asarray(stored[k], float) for k in stored.files}
    except OSError as fault:
        raise ConfigError(f"{folder} has no heads: {fault.strerror}; train first") from fault
    found = {}
    for stage in STAGES:
        at, entry = f"s{stage}.", facts["stages"][str(stage)]
        parts = {k.removeprefix(at): v for k, v in numbers.items()
                 if k.startswith((f"{at}project.", f"{at}mean", f"{at}limit"))}
        members = tuple({n: numbers[f"{at}m{k}.{n}"] for n in _PARTS}
                        for k in range(facts["members"]))
        links = {t: {**entry["calibration"][t], "x": numbers[f"{at}{t}.x"],
                     "y": numbers[f"{at}{t}.y"]} for t in TARGETS}
        found[stage] = StageHead(stage, facts["sizes"], parts, members, links,
                                 tuple(entry["far"]))
    return found
