"""Stage 2: run the tuned trunk once over every training picture and keep its token grids.

    python -m training.cache_features --model compact --data DIR [--variants 2]

Variant 0 is the plain picture; later ones are altered (brightness, turned, or overview with four
zooms for pictures with small objects). Output: training/checkpoints/MODEL/features_K.pt;
delete them after the trunk has changed.
"""

import argparse
import time
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import torch

from eo_nodes.lvlm.views import ViewTensor, VisionInput, prepare
from training import schedule
from training.graphs import export_trunk, store_weights_as_int8
from training.recipe import RECIPES
from training.samples import Sample, load, training_samples
from training.trunks import Trunk
from training.tune_trunk import dense_target

ZOOMED = ("objects_rgb", "hit_uav")


def views_of(sample: Sample, zooms: int) -> list[ViewTensor]:
    """Overview, and a ``zooms`` x ``zooms`` mosaic of zoom views when zooms > 1."""
    height, width = sample.values.shape[1:3]
    whole = ViewTensor(sample.values, sample.bands, sample.modality, (0, 0, width, height),
                       "overview")
    views = [whole]
    if zooms > 1:
        ys = np.linspace(0, height, zooms + 1).astype(int)
        xs = np.linspace(0, width, zooms + 1).astype(int)
        for y0, y1 in pairwise(ys):
            for x0, x1 in pairwise(xs):
                views.append(ViewTensor(sample.values[:, y0:y1, x0:x1], sample.bands,
                                        sample.modality,
                                        (int(x0), int(y0), int(x1 - x0), int(y1 - y0)), "zoom"))
    return views


def is_zoomed(sample: Sample) -> bool:
    """A third of the pictures with small objects is also seen as overview and four zooms."""
    return sample.set_name in ZOOMED and zlib.crc32(sample.key.encode()) % 3 == 0


def altered(sample: Sample, rng: np.random.Generator) -> Sample:
    """Brightness, and for class pictures turns and cuts; boxes and masks stay valid."""
    values = sample.values
    if sample.set_name == "mstar":
        y, x = rng.integers(0, 9, 2)
        values = values[:, y:y + 88, x:x + 88]
    elif not sample.boxes and sample.mask is None and "qa" not in sample.facts:
        h, w = (int(n * rng.uniform(0.8, 1.0)) for n in values.shape[1:3])
        y, x = rng.integers(values.shape[1] - h + 1), rng.integers(values.shape[2] - w + 1)
        values = np.rot90(values[:, y:y + h, x:x + w], rng.integers(4), axes=(1, 2))
    if values.dtype == np.uint8:
        shift = values * rng.uniform(0.85, 1.15) + rng.uniform(-12, 12)
        values = np.clip(shift, 0, 255).astype(np.uint8)
    return replace(sample, values=np.ascontiguousarray(values))


def mask_target(sample: Sample, rows: int, cols: int) -> np.ndarray:
    """(rows, cols) in {0, 1}: cells of which at least 5 % are water or changed."""
    wanted = sample.mask == (1 if sample.set_name == "flood_s1" else 255)
    share = cv2.resize(wanted.astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA)
    return (share >= 0.05).astype(np.float32)


def fast_trunk(trunk: Trunk, path: Path, threads: int):
    """The trunk under onnxruntime (twice torch's speed on a CPU) with the weights it will ship."""
    path.parent.mkdir(parents=True, exist_ok=True)
    export_trunk(trunk, path)
    store_weights_as_int8(path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"pixels": x})[0])


def run_trunk(trunk, inputs: list[VisionInput]) -> list[torch.Tensor]:
    """Features (rows, cols, D) float16 of each input; equal shapes run as one batch."""
    out: list = [None] * len(inputs)
    shapes = {}
    for i, item in enumerate(inputs):
        shapes.setdefault(item.pixels.shape, []).append(i)
    for places in shapes.values():
        for start in range(0, len(places), 8):
            part = places[start:start + 8]
            y = trunk(np.concatenate([inputs[i].pixels for i in part])).half()
            for i, grid in zip(part, y, strict=True):
                out[i] = grid.clone()
    return out


def extract(trunk, samples, recipe, zooms_of):
    """[{key, grids, geometry, tags, dense, mask}] in the order of ``samples``."""
    records, block = [], []
    for start in range(0, len(samples), 64):
        block = samples[start:start + 64]
        prepared = [prepare(views_of(s, zooms_of(s)), recipe.input_size, recipe.upscale)
                    for s in block]
        grids = run_trunk(trunk, [i for p in prepared for i in p])
        for s, inputs in zip(block, prepared, strict=True):
            mine, grids = grids[:len(inputs)], grids[len(inputs):]
            first = next(i for i in inputs if i.is_overview)
            record = {"key": s.key, "grids": mine,
                      "geometry": [torch.from_numpy(i.geometry[0]) for i in inputs],
                      "tags": torch.from_numpy(np.concatenate([i.tags for i in inputs]))}
            if s.boxes:
                record["dense"] = torch.from_numpy(dense_target(s, first.rows, first.cols))
            if s.mask is not None:
                record["mask"] = torch.from_numpy(mask_target(s, first.rows, first.cols))
            records.append(record)
    return records


def tuned_trunk(recipe) -> Trunk:
    trunk = Trunk(recipe.trunk)
    trunk.load_state_dict(schedule.restore(recipe.folder / "trunk.pt")["trunk"])
    return trunk.eval()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", choices=RECIPES, required=True)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--variants", type=int, default=2)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--once", nargs="*", default=[], help="sets of which only variant 0 is made")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    cv2.setNumThreads(1)
    recipe = RECIPES[a.model]
    trunk = fast_trunk(tuned_trunk(recipe), recipe.folder / "trunk.onnx", a.threads)
    samples, start = training_samples(a.data), time.monotonic()
    for k in range(a.variants):
        if (recipe.folder / f"features_{k}.pt").exists():
            continue
        rng = np.random.default_rng(k)
        again = [i for i, s in enumerate(samples) if k == 0 or s.set_name not in a.once]
        shown = [samples[i] if k == 0 else altered(samples[i], rng) for i in again]
        fresh = extract(trunk, shown, recipe, lambda s, k=k: 2 if k and is_zoomed(s) else 1)
        records = [None] * len(samples)       # None: as in variant 0
        for i, record in zip(again, fresh, strict=True):
            records[i] = record
        schedule.save(recipe.folder / f"features_{k}.pt", {"records": records})
        print(f"variant {k}: {len(fresh)} pictures, {time.monotonic() - start:.0f} s", flush=True)
    val = [s for n in ("eurosat_rgb", "aid_rsicd", "mstar", "ucm_multilabel", "objects_rgb",
                       "hit_uav", "eurosat_ms", "flood_s1", "change_pairs", "rsvqa_lr",
                       "rsvqa_hr") for s in load(a.data, n, "val")]
    schedule.save(recipe.folder / "features_val.pt",
                  {"records": extract(trunk, val, recipe, lambda s: 1)})
    print(f"done, {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
