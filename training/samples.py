"""Read the data folder into samples with native pixels; decide what training may see.

The folder holds `NAME/meta.json`, `NAME/index.jsonl`, `NAME/images.zip` a set.
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

# set -> modality, as eo_nodes.lvlm.bands names them
SETS = {
    "eurosat_rgb": "optical", "eurosat_ms": "multispectral", "aid_rsicd": "optical",
    "ucm_multilabel": "optical", "objects_rgb": "optical", "rsvqa_lr": "optical",
    "rsvqa_hr": "optical", "mstar": "sar", "flood_s1": "sar", "hit_uav": "thermal",
    "change_pairs": "temporal",
}
HELD_SHARE = 0.30


def is_held_for_routing(sample_id: str) -> bool:
    """Whether a training sample (``set/id``) is kept from both models for later routing heads."""
    digest = hashlib.sha256(f"routing:{sample_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < HELD_SHARE


@dataclass(slots=True)
class Sample:
    """One picture or pair. values: (F, H, W, C) native dtype; facts: the index line."""

    set_name: str
    id: str
    values: np.ndarray
    bands: tuple[str, ...]
    modality: str
    facts: dict
    mask: np.ndarray | None = None
    boxes: list = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{self.set_name}/{self.id}"


def _decode(data: bytes, bands: int) -> np.ndarray:
    a = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if a.ndim == 3:
        a = a[..., 2::-1]
    if bands in (1, 3):
        if a.ndim == 3 and bands == 1:
            a = a[..., :1]
        return np.ascontiguousarray(a if a.ndim == 3 else np.repeat(a[..., None], bands, -1))
    if a.ndim == 3:
        a = a[..., 0]
    return np.ascontiguousarray(np.moveaxis(a.reshape(bands, -1, a.shape[1]), 0, -1))


def load(data: Path, name: str, split: str, held: bool | None = None) -> list[Sample]:
    """Samples of one split. held: None for all, False without, True only the routing share."""
    folder = data / name
    meta = json.loads((folder / "meta.json").read_text())
    bands = tuple(meta["bands"])
    samples = []
    with zipfile.ZipFile(folder / "images.zip") as archive:
        for line in (folder / "index.jsonl").read_text().splitlines():
            row = json.loads(line)
            if row["split"] != split:
                continue
            if held is not None and is_held_for_routing(f"{name}/{row['id']}") != held:
                continue
            frames = [_decode(archive.read(row[k]), len(bands)) for k in ("image", "image2")
                      if k in row]
            values = np.stack(frames)
            if name == "flood_s1":
                values = values.astype(np.float32) * 0.2 - 45
            mask = None
            if "mask" in row:
                mask = cv2.imdecode(np.frombuffer(archive.read(row["mask"]), np.uint8), 0)
            samples.append(Sample(name, row["id"], values, bands, SETS[name], row, mask,
                                  list(zip(row.get("box_labels", []), row.get("boxes", []),
                                           strict=True))))
    return samples


def training_samples(data: Path) -> list[Sample]:
    """Everything both models may learn from."""
    out = []
    for name in SETS:
        out += load(data, name, "train", held=False)
    return out + load(data, "eurosat_rgb", "extra", held=False)
