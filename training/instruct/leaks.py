"""No test image in training: python -m training.instruct.leaks --data DIR

Two pictures are the same when their decoded pixels are (SHA-256), and near-duplicates when their
256-bit difference hashes are at most 26 bits apart and 32 x 32 thumbnails correlate above 0.95:
the test with which the sets were split. Also under quarter turns and mirroring, which training
applies, for the exact test.
"""

import argparse
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training.instruct.builder import library
from training.instruct.sources import Library
from training.instruct.views import turn_array

NEAR_BITS = 26
NEAR_CORRELATION = 0.95
FLAT = 2.0              # grey levels of deviation: open water and the like have no identity


@dataclass(frozen=True, slots=True)
class Print:
    """What identifies a picture. exact: digests of its eight turns; bits: (256,) bool; thumb:
    (1024,) float32, mean 0, length 1; is_flat: without enough contrast for a near test."""

    name: str
    exact: frozenset[str]
    bits: np.ndarray
    thumb: np.ndarray
    is_flat: bool


def fingerprint(name: str, values: np.ndarray, turns: Iterable[int] = (0,)) -> Print:
    """Print of (H, W, C) pixels; `turns` adds digests of turned copies."""
    grey = values.astype(np.float32).mean(-1)
    low, high = np.quantile(grey, (0.01, 0.99))
    level = np.clip((grey - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    small = cv2.resize(level, (17, 16), interpolation=cv2.INTER_AREA).astype(np.int16)
    thumb = cv2.resize(level, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    thumb -= thumb.mean()
    exact = frozenset(
        hashlib.sha256(repr(t.shape).encode() + np.ascontiguousarray(t).tobytes()).hexdigest()
        for t in (turn_array(values, k) for k in turns))
    spread = float(grey.std()) if values.dtype == np.uint8 else 255.0
    return Print(name, exact, (small[:, 1:] > small[:, :-1]).ravel(),
                 thumb / max(float(np.linalg.norm(thumb)), 1e-6), spread < FLAT)


def find(train: list[Print], test: list[Print]) -> list[tuple[str, str, str]]:
    """(training name, test name, "same" or "near") of every leak."""
    found = []
    by_digest = {d: p.name for p in test for d in p.exact}
    found += [(p.name, by_digest[d], "same") for p in train for d in p.exact if d in by_digest]
    a = [p for p in train if not p.is_flat]
    b = [p for p in test if not p.is_flat]
    if a and b:
        bits_b = np.stack([p.bits for p in b]).astype(np.float32)
        thumb_b = np.stack([p.thumb for p in b])
        for at in range(0, len(a), 512):
            part = a[at:at + 512]
            bits = np.stack([p.bits for p in part]).astype(np.float32)
            apart = bits.sum(1)[:, None] + bits_b.sum(1) - 2 * bits @ bits_b.T
            alike = np.stack([p.thumb for p in part]) @ thumb_b.T
            for i, j in np.argwhere((apart <= NEAR_BITS) & (alike > NEAR_CORRELATION)):
                found.append((part[i].name, b[j].name, "near"))
    same = {f[:2] for f in found if f[2] == "same"}
    return [f for f in found if f[2] == "same" or f[:2] not in same]


def prints_of(lib: Library, name: str, splits: Iterable[str], turns: Iterable[int] = (0,)
              ) -> list[Print]:
    """Prints of all pictures of some splits of a set; both pictures of a pair."""
    out = []
    for split in splits:
        for s in lib.samples(name, split):
            for member in ("image", "image2"):
                if member in s.facts:
                    label = f"{s.key}/{split}/{member}"
                    out.append(fingerprint(label, lib.pixels(s, member), turns))
    return out


def leaks(lib: Library, names: Iterable[str] | None = None) -> list[tuple[str, str, str]]:
    """Leaks between training (train, extra) and exams (val, test) of each set."""
    found = []
    for name in names or lib.names:
        turned = range(8) if len(lib.samples(name, "train")) < 20_000 else (0,)
        found += find(prints_of(lib, name, ("train", "extra")),
                      prints_of(lib, name, ("val", "test"), turned))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of packed sets")
    lib = library(parser.parse_args().data)
    total = 0
    for name in lib.names:
        found = leaks(lib, [name])
        total += len(found)
        print(f"{name:16} {len(found)} leaks")
        for train, test, how in found[:10]:
            print(f"    {how}: {train} and {test}")
    raise SystemExit(1 if total else 0)


if __name__ == "__main__":
    main()
