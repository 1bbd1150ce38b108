"""What was collected, as arrays: both models' journals joined by question."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.lvlm.journal import whole_records
from eo_nodes.lvlm.tap_features import FACTS, sizes_of
from training.decision.collect import unpacked
from training.decision.questions import alike, part_of

STAGES = (1, 2, 3)
RIGHT_FROM = 0.5
"""Quality from which an answer counts as right, as ``eo_nodes.decision.heads`` has it."""
LENGTHS = (("1-3", 1, 3), ("4-7", 4, 7), ("8-15", 8, 15), ("16+", 16, 10**9))


@dataclass(slots=True)
class Rows:
    """N questions that both models answered.

    Attributes:
        features: of each stage (N, F). sizes: length of each block of F.
        here, there: (N,) quality of the answer on board and on the ground. alike: (N,) similarity.
        tokens, macs: (N, 3) at the taps. has_tap2: (N,) whether an answer outlasts the second tap.
        regular_macs: (N,). kind, task, set, modality, scene, part: (N,) str.
    """

    features: tuple[np.ndarray, np.ndarray, np.ndarray]
    sizes: dict[str, int]
    here: np.ndarray
    there: np.ndarray
    alike: np.ndarray
    tokens: np.ndarray
    macs: np.ndarray
    has_tap2: np.ndarray
    regular_macs: np.ndarray
    kind: np.ndarray
    task: np.ndarray
    set: np.ndarray
    modality: np.ndarray
    scene: np.ndarray
    part: np.ndarray

    def __len__(self) -> int:
        return len(self.here)

    @property
    def right(self) -> np.ndarray:
        """(N,) 1 where the answer on board is right."""
        return (self.here >= RIGHT_FROM).astype(float)

    @property
    def ground_right(self) -> np.ndarray:
        """(N,) 1 where the ground's answer is right."""
        return (self.there >= RIGHT_FROM).astype(float)

    @property
    def gain(self) -> np.ndarray:
        """(N,) in [-1, 1]: what asking the ground adds to the chance of a right answer."""
        return self.ground_right - self.right

    def where(self, mask: np.ndarray) -> Rows:
        """Rows of a mask or of indexes."""
        values = {f: getattr(self, f) for f in self.__dataclass_fields__}
        return Rows(**{f: v if f == "sizes" else tuple(x[mask] for x in v) if f == "features"
                       else v[mask] for f, v in values.items()})

    def stage_mask(self, stage: int) -> np.ndarray:
        """(N,) whether a row is at this tap: at the second only answers not complete there."""
        return self.has_tap2 if stage == 2 else np.ones(len(self), bool)

    def stage(self, stage: int) -> Rows:
        """Rows that are at this tap."""
        return self.where(self.stage_mask(stage))


def read(path: Path) -> list[dict]:
    """Records of a journal, the last of each key.

    Raises:
        ConfigError: no such file.
    """
    try:
        records, _ = whole_records(path.read_bytes())
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror}; collect first") from fault
    return list({r["key"]: r for r in records}.values())


def join(compact: Iterable[dict], regular: Iterable[dict]) -> Rows:
    """Questions that both answered; what the compact model refused has no taps and is left out.

    Raises:
        ConfigError: none is left, or features of several lengths.
    """
    there = {r["key"]: r for r in regular}
    pairs = [(r, there[r["key"]]) for r in compact
             if not r["error"] and r["key"] in there and there[r["key"]]["prompt"] == r["prompt"]]
    if not pairs:
        raise ConfigError("no question that both models answered")
    own, far = [p[0] for p in pairs], [p[1] for p in pairs]
    facts = len(FACTS)
    seen = [unpacked(r["seen"]) for r in own]
    taps = [[unpacked(t) for t in r["taps"]] for r in own]
    if len({(len(s), len(t[0])) for s, t in zip(seen, taps, strict=True)}) != 1:
        raise ConfigError("features of several lengths: journals of different models")
    features = tuple(
        np.stack([np.concatenate([t[k][:facts], s, t[k][facts:]])
                  for s, t in zip(seen, taps, strict=True)]) for k in range(3))

    def texts(name: str) -> np.ndarray:
        return np.array([r[name] for r in own])

    scenes = texts("scene")
    return Rows(
        features=features, sizes=sizes_of(own[0]["evidence"], len(taps[0][0]) - facts),
        here=np.array([r["quality"] for r in own]), there=np.array([r["quality"] for r in far]),
        alike=np.array([alike(a["text"], b["text"]) for a, b in pairs]),
        tokens=np.array([r["tokens"] for r in own]), macs=np.array([r["macs"] for r in own]),
        has_tap2=np.array([r["has_tap2"] for r in own]),
        regular_macs=np.array([r.get("macs", [0])[-1] for r in far]),
        kind=texts("kind"), task=texts("task"), set=texts("set"), modality=texts("modality"),
        scene=scenes, part=np.array([part_of(s) for s in scenes]),
    )
