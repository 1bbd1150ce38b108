"""Fit and check the byte estimates of regions (``eo_nodes.imaging.rate``) on training chips.

    python -m training.evaluation.rates --data DIR [--chips 12] [--split train|val]

Each chip is coded exactly and at four steps, at full, half and quarter size; two numbers for exact
coding and two for lossy are found by least squares of relative errors. Printed beside them: how far
the estimates of this version lie from the coded bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eo_nodes.imaging import codecs, rate
from eo_nodes.imaging.prepare import resize
from training.evaluation.sets import open_library
from training.instruct.sources import Library

SETS = ("objects_rgb", "hit_uav", "trees", "s2_ships", "sar_ships", "eurosat_ms", "aid_rsicd")
STEPS = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4)
SCALES = (1.0, 0.5, 0.25)
_MOST_PX = 256


def rows_of(pixels: np.ndarray) -> list[tuple[float, float, float, float]]:
    """(step, log units, samples, coded bytes without head) of one chip (1, H, W, C)."""
    low, high = np.percentile(pixels, (1, 99))
    contrast = float(high - low)
    unit = 1.0 if pixels.dtype.kind in "iu" else max(contrast / 65_535, 1e-9)
    known = rate.statistic(pixels, unit=unit)
    height, width = pixels.shape[1:3]
    out = []
    for scale in SCALES:
        block = resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
        for share in STEPS:
            step = share * contrast
            if share and not step:
                continue
            told = rate.units(known, [(0, 0, width, height)], [(scale, step)])
            coded = len(codecs.encode(block, wavelet_step=step))
            rest = coded - rate.head_bytes(pixels.shape[3])
            out.append((share, float(told.logs[0, 0]), float(told.samples[0, 0]), rest))
    return out


def fitted(rows: np.ndarray) -> tuple[float, float]:
    """Bytes per log unit and per sample that come nearest to the coded bytes, >= 0."""
    logs, samples, coded = rows[:, 1], rows[:, 2], np.maximum(rows[:, 3], 100.0)
    x, *_ = np.linalg.lstsq(np.stack([logs, samples], 1) / coded[:, None], np.ones(len(rows)),
                            rcond=None)
    if x[1] < 0:
        ratio = logs / coded
        return float(ratio.sum() / (ratio**2).sum()), 0.0
    return float(x[0]), float(x[1])


def chips(library: Library, name: str, split: str, most: int) -> list[np.ndarray]:
    """Some pixels (1, H, W, C) of a set."""
    found = []
    samples = library.samples(name, split)
    for sample in samples[:: max(1, len(samples) // most)][:most]:
        pixels = library.pixels(sample)[:_MOST_PX, :_MOST_PX]
        found.append(pixels.astype(np.float32) if pixels.dtype == np.float16 else pixels)
    return [np.ascontiguousarray(p)[None] for p in found]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    p = argparse.ArgumentParser(prog="python -m training.evaluation.rates", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--chips", type=int, default=12, help="of each set")
    p.add_argument("--split", choices=("train", "val"), default="train")
    a = p.parse_args(argv)
    library = open_library(a.data)
    found = {name: np.array([row for chip in chips(library, name, a.split, a.chips)
                             for row in rows_of(chip)])
             for name in SETS if name in library.names}
    every = np.concatenate(list(found.values()))
    for title, is_kind in (("exact", every[:, 0] == 0), ("lossy", every[:, 0] > 0)):
        now = rate.BYTES_EXACT if title == "exact" else rate.BYTES_LOSSY
        print(f"{title}: fitted {fitted(every[is_kind])}, in use {now}")
        for name, rows in (*found.items(), ("all", every)):
            own = rows[(rows[:, 0] == 0) == (title == "exact")]
            told = now[0] * own[:, 1] + now[1] * own[:, 2]
            away = np.abs(np.log2(np.maximum(told, 1) / np.maximum(own[:, 3], 1)))
            half, most = np.quantile(2**away - 1, (0.5, 0.9))
            print(f"  {name:12} half within {100 * half:.0f} %, nine tenths within "
                  f"{100 * most:.0f} %, {len(own)} blocks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
