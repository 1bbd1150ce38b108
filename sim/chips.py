"""Read chips of the data sets and give each a hash of its decoded pixels."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 8
TRAINING_SPLITS = ("train", "val", "extra")


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """One sample. frames: (H, W, C) each, as stored, one a date; facts: its index line."""

    dataset: str
    frames: tuple[NDArray[Any], ...]
    facts: dict[str, Any]

    @property
    def sample(self) -> str:
        return f"{self.dataset}/{self.facts['id']}"


def pixel_hash(pixels: NDArray[Any]) -> str:
    """First bytes, in hex, of the SHA-256 over shape, dtype and samples (H, W, C)."""
    little = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    head = f"{little.shape}{little.dtype.str}".encode()
    return hashlib.sha256(head + little.tobytes()).hexdigest()[: 2 * HASH_BYTES]


def datasets(data: Path) -> list[str]:
    """Names of the data sets in a folder."""
    return sorted(path.parent.name for path in data.glob("*/index.jsonl"))


def index(data: Path, dataset: str) -> list[dict[str, Any]]:
    """Index lines of a data set, in file order."""
    lines = (data / dataset / "index.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def read_chips(data: Path, dataset: str, rows: list[dict[str, Any]]) -> Iterator[Chip]:
    """Decode the pictures of the given index lines."""
    facts = json.loads((data / dataset / "meta.json").read_text(encoding="utf-8"))
    with zipfile.ZipFile(data / dataset / "images.zip") as archive:
        for row in rows:
            members = [row[key] for key in ("image", "image2") if key in row]
            frames = tuple(_decode(archive.read(name), facts) for name in members)
            yield Chip(dataset, frames, row)


def _decode(content: bytes, facts: dict[str, Any]) -> NDArray[Any]:
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("a picture of the data set does not decode")
    if facts.get("grey") and pixels.ndim == 3:
        pixels = pixels[..., 0]  # WebP has no grey mode
    if facts.get("nbands"):  # bands lie one below the other
        stack = pixels.reshape(facts["nbands"], -1, pixels.shape[1])
        return np.ascontiguousarray(np.moveaxis(stack, 0, -1))
    if pixels.ndim == 2:
        return pixels[..., None]
    return np.ascontiguousarray(pixels[..., 2::-1])


def training_hashes(data: Path) -> list[str]:
    """Hashes of every frame of every train, val and extra sample, sorted, each once."""
    found: set[str] = set()
    for dataset in datasets(data):
        rows = [row for row in index(data, dataset) if row["split"] in TRAINING_SPLITS]
        for chip in read_chips(data, dataset, rows):
            found.update(pixel_hash(frame) for frame in chip.frames)
    return sorted(found)
