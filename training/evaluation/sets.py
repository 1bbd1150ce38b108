"""Read one split of one set of the data folder, sample by sample, with physical values.

A set is `NAME/meta.json`, `NAME/index.jsonl`, `NAME/images.zip`; training/README.md says how
the folder is built. Non-purpose: training samples (they need targets and balance).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.lvlm.infer import ImageInput

# set -> (modality as eo_nodes.lvlm.bands names it, field that names what hangs together)
SETS = {
    "eurosat_rgb": ("optical", "id"),
    "eurosat_ms": ("multispectral", "id"),
    "aid_rsicd": ("optical", "id"),
    "mstar": ("sar", "id"),
    "opensarship": ("sar", "scene"),
    "hit_uav": ("thermal", "id"),
    "rsvqa_lr": ("optical", "id"),
    "rsvqa_hr": ("optical", "id"),
    "flood_s1": ("sar", "chip"),
    "s1s2_pairs": ("optical", "id"),
    "trees": ("optical", "id"),
    "change_pairs": ("optical", "scene"),
    "objects_rgb": ("optical", "id"),
    "ucm_multilabel": ("optical", "id"),
    "sar_ships": ("sar", "picture"),
    "s2_ships": ("multispectral", "port"),
    "indian_pines": ("multispectral", "id"),
    "aerial_video": ("optical", "clip"),
}
# Second images whose bands differ from the first: a band name that says what it is.
_SECOND = {"s1s2_pairs": ("sar", ("VH amplitude",))}


@dataclass(slots=True)
class Sample:
    """One picture or pair.

    Attributes:
        images: one, or two for pairs (before and after; optical and SAR).
        facts: the index line. cluster: samples of one cluster are not independent.
        mask: (H, W) uint8 as stored, or None. boxes: (label, (x1, y1, x2, y2) in pixels).
    """

    set_name: str
    id: str
    images: tuple[ImageInput, ...]
    facts: dict
    cluster: str
    mask: np.ndarray | None = None
    boxes: list[tuple[str, tuple[float, float, float, float]]] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the first image, pixels."""
        return self.images[0].values.shape[1:3]


def _decode(data: bytes) -> np.ndarray:
    a = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return a if a.ndim == 2 else np.ascontiguousarray(a[..., 2::-1])


def _unstack(a: np.ndarray, bands: int) -> np.ndarray:
    """Grey or RGB, or bands that lie one below the other -> (H, W, C)."""
    if bands == 3:
        return a if a.ndim == 3 else np.repeat(a[..., None], 3, -1)
    a = a[..., 0] if a.ndim == 3 else a  # WebP has no grey mode
    return np.ascontiguousarray(np.moveaxis(a.reshape(bands, -1, a.shape[1]), 0, -1))


def _physical(name: str, a: np.ndarray) -> np.ndarray:
    """Undo the storage coding of a set: decibel or reflectance; others stay as they are."""
    if name == "flood_s1":
        return (a.astype(np.float32) * 0.2 - 45).astype(np.float32)
    if name == "opensarship":
        return (a.astype(np.float32) * 0.2 - 30).astype(np.float32)
    if name == "s2_ships":
        return ((a.astype(np.float32) / 255) ** 2).astype(np.float32)
    return a


def _cluster(name: str, row: dict) -> str:
    key = SETS[name][1]
    # A flood tile is named CHIP_NUMBER; the tiles of a chip hang together.
    return row["id"].rsplit("_", 1)[0] if key == "chip" else str(row[key])


def meta(data: Path, name: str) -> dict:
    """Facts that hold for a whole set."""
    return json.loads((data / name / "meta.json").read_text(encoding="utf-8"))


def rows(data: Path, name: str, split: str) -> list[dict]:
    """Index lines of one split, in the order of the file.

    Raises:
        ConfigError: the folder holds no such set.
    """
    try:
        text = (data / name / "index.jsonl").read_text(encoding="utf-8")
    except OSError as fault:
        raise ConfigError(f"{data}: no set {name}: {fault.strerror}") from fault
    return [row for row in map(json.loads, text.splitlines()) if row["split"] == split]


def load(data: Path, name: str, split: str, only: set[str] | None = None) -> Iterator[Sample]:
    """Yield samples as stored; ``only``: ids to decode, None for all."""
    facts, modality = meta(data, name), SETS[name][0]
    bands = tuple(facts["bands"])
    chosen = [r for r in rows(data, name, split) if only is None or r["id"] in only]
    with zipfile.ZipFile(data / name / "images.zip") as archive:
        for row in chosen:
            images = []
            for key in ("image", "image2"):
                if key in row:
                    kind, names = modality, bands
                    if key == "image2":
                        kind, names = _SECOND.get(name, (modality, bands))
                    values = _unstack(_decode(archive.read(row[key])), len(names))
                    images.append(ImageInput(_physical(name, values)[None], names, kind))
            mask = _decode(archive.read(row["mask"])) if "mask" in row else None
            boxes = [
                (label, (x, y, x + w, y + h))
                for label, (x, y, w, h) in zip(
                    row.get("box_labels", []), row.get("boxes", []), strict=True
                )
            ]
            yield Sample(name, row["id"], tuple(images), row, _cluster(name, row), mask, boxes)
