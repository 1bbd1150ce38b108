"""Put the chances of the heat map's kinds on one scale; fitted on labelled pictures.

    python -m training.evaluation.kinds --data DIR --model FOLDER [--split held|val] [--write]

The network learned each kind from the sets that label it, so a chance of one kind is not that of
another: real crowns of trees have lower ones than boats have of being trees. Here every proposal of
whole pictures (overview and zooms, as the cues see them) is laid beside the labels, and for each
kind a logistic regression on the chances of all kinds says how often it is one, held near the
chances as they are.

A kind gets its regression where that sets right proposals clearly before others (`LEAST_GAIN`);
else its chances stay. Regressing every kind was tried and held fewer vehicles and bicycles on val:
slopes become steep, and what is rare gets chances near the noise of attention.

What counts: a proposal of a picture whose set labels the kind wherever it appears, right when it
overlaps an instance; and of any picture a proposal that overlaps an instance of another kind, which
is none of this. Sets that fill up scenes of the regions measurement (`mosaics`) are not looked at.
``held`` is the share of the training split that no network learns from; val stays to measure on.

Printed are the average precision of each kind as it is and with the fit, by folds over scenes. With
``--write`` the fit goes into ``calibration.json`` and the folder is sealed anew; answers stay.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eo_nodes.lvlm import load_model
from eo_nodes.lvlm.calibration import NAME, KindCalibration, logits
from eo_nodes.lvlm.manifest import read_manifest, seal
from eo_nodes.lvlm.unified_pictures import pictures_of
from training.confidence import logistic
from training.evaluation.mosaics import modality_in_scene
from training.evaluation.policies import views
from training.evaluation.sets import open_library
from training.instruct.sources import Library, Sample
from training.vision.plan import BOX_KINDS, DENSE, KINDS
from training.vision.targets import labelled_kinds

Array = np.ndarray
SAME_IOU = 0.3     # of a proposal and an instance; boxes of small things are seldom exact
LEAST = 0.01       # chance of a kind below which a proposal teaches it nothing
DECAY = 3.0
LEAST_GAIN = 20.0  # points of average precision, in folds that a fit did not see; chosen on val
FOLDS = 5
_UNKNOWN = np.nan


@dataclass(frozen=True, slots=True)
class Rows:
    """N proposals. chances: (N, K). is_one: (N, K) 1, 0 or NaN (unknown). fold: (N,) by scene."""

    chances: Array
    is_one: Array
    fold: Array

    def of(self, kind: int) -> Array:
        """(N,) which of them say something of a kind."""
        return ~np.isnan(self.is_one[:, kind]) & (self.chances[:, kind] >= LEAST)


def told(boxes: Array, true: Array, labels: Sequence[str | None], labelled: Array) -> Array:
    """(n, K) what is known of proposals: 1 of this kind, 0 not, NaN unknown.

    Args:
        boxes: (n, 4) x1 y1 x2 y2; true: (m, 4) likewise. labels: m kinds, None what is none.
        labelled: (K,) 1 for kinds that are labelled wherever they appear.
    """
    out = np.full((len(boxes), len(KINDS)), _UNKNOWN)
    out[:, labelled > 0] = 0
    low = np.maximum(boxes[:, None, :2], true[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], true[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    sizes = [(b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, true)]
    union = sizes[0][:, None] + sizes[1][None] - both
    is_same = both >= SAME_IOU * np.maximum(union, 1e-12)
    for j, label in enumerate(labels):
        if label is not None:
            out[is_same[:, j]] = np.nan_to_num(out[is_same[:, j]])
    for j, label in enumerate(labels):
        if label is not None:
            out[is_same[:, j], KINDS.index(label)] = 1
    return out


def pictures(library: Library, split: str) -> Iterator[Sample]:
    """Labelled pictures of val, or of the share of train that nothing learned from."""
    for name in DENSE:
        if name in library.names:
            found = library.samples(name, "val") if split == "val" else library.samples(
                name, "train", held=True)
            yield from found


def gather(model: Any, library: Library, split: str) -> Rows:
    """Look at the pictures and lay proposals beside labels."""
    chances, known, fold = [], [], []
    for sample in pictures(library, split):
        values = library.pixels(sample)
        values = values.astype(np.float32) if values.dtype == np.float16 else values
        height, width = values.shape[:2]
        seen = views(values[None], sample.bands, modality_in_scene(sample), model.input_size)
        scene = model.lay_out(pictures_of(seen), (), 8, 8, None)
        found = scene.regions[0].offered
        true = np.array(sample.facts["boxes"], np.float64).reshape(-1, 4)
        true[:, 2:] += true[:, :2]
        labels = [BOX_KINDS.get(label) for label in sample.facts["box_labels"]]
        boxes = found.boxes * np.array([width, height, width, height], np.float64)
        chances.append(found.kinds.astype(np.float64))
        known.append(told(boxes, true, labels, labelled_kinds(sample)))
        own = zlib.crc32(f"{sample.set_name}/{sample.scene}".encode()) % FOLDS
        fold.append(np.full(len(boxes), own))
    return Rows(np.concatenate(chances), np.concatenate(known), np.concatenate(fold))


def fit(rows: Rows, kinds: Sequence[str] = KINDS, left_out: int = -1) -> KindCalibration:
    """Of all proposals but those of a fold; other kinds, and those without instances, stay."""
    weights, bias = np.eye(len(KINDS)), np.zeros(len(KINDS))
    for k in map(KINDS.index, kinds):
        use = rows.of(k) & (rows.fold != left_out)
        y = rows.is_one[use, k]
        if y.any():
            weights[k], bias[k] = logistic(
                logits(rows.chances[use]), y, DECAY, toward=np.eye(len(KINDS))[k])
    return KindCalibration(KINDS, weights, bias)


def precision(score: Array, is_one: Array) -> float:
    """Average precision, per cent; NaN without any."""
    y = is_one[np.argsort(-score, kind="stable")]
    found = (np.cumsum(y) / np.arange(1, len(y) + 1))[y > 0]
    return 100 * float(found.mean()) if len(found) else float("nan")


def compared(rows: Rows) -> list[dict[str, Any]]:
    """Of each kind: n, right ones, average precision as it is and with fits without the fold."""
    honest = np.zeros_like(rows.chances)
    for left_out in np.unique(rows.fold):
        own = rows.fold == left_out
        honest[own] = fit(rows, left_out=int(left_out)).chances(rows.chances[own])
    out = []
    for k, kind in enumerate(KINDS):
        use = rows.of(k)
        y = rows.is_one[use, k]
        out.append({"kind": kind, "n": int(use.sum()), "right": int(y.sum()),
                    "before": precision(rows.chances[use, k], y),
                    "after": precision(honest[use, k], y)})
    return out


def gaining(table: Sequence[dict[str, Any]]) -> list[str]:
    """Kinds that get their regression."""
    return [row["kind"] for row in table if row["after"] - row["before"] >= LEAST_GAIN]


def write(folder: Path, found: KindCalibration, n: int, split: str) -> None:
    """Put the fit into ``calibration.json`` and seal the folder; its golden run stays valid."""
    old = read_manifest(folder)
    path = folder / NAME
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["kinds"] = {"names": list(found.names), "weights": found.weights.round(4).tolist(),
                    "bias": found.bias.round(4).tolist(), "n": n, "split": split}
    path.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    seal(folder, old.family, old.id, list(old.files), old.golden, old.bands)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    p = argparse.ArgumentParser(
        prog="python -m training.evaluation.kinds", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--split", choices=("held", "val"), default="held")
    p.add_argument("--write", action="store_true")
    a = p.parse_args(argv)
    model: Any = load_model(a.model, threads=1)
    if tuple(model.config.kinds) != KINDS:
        p.error(f"{a.model} proposes {', '.join(model.config.kinds)}, not {', '.join(KINDS)}")
    rows = gather(model, open_library(a.data), a.split)
    table = compared(rows)
    for row in table:
        print(f"{row['kind']:9} n {row['n']:6} right {row['right']:5} average precision "
              f"{row['before']:.1f} -> {row['after']:.1f} %")
    kinds = gaining(table)
    print(f"{len(rows.chances)} proposals of {a.split}; regressed: {', '.join(kinds) or 'none'}")
    if a.write:
        write(a.model, fit(rows, kinds), len(rows.chances), a.split)
        load_model(a.model, threads=1)
        print(f"{a.model}: written")


if __name__ == "__main__":
    main()
