"""Read a data folder of packed sets into samples with native pixels; keep decoded ones in memory.

A set is `NAME/meta.json`, `NAME/index.jsonl`, `NAME/images.zip`. A third of each training split
is held back for routing heads (`is_held_for_routing`). Nothing here knows about tasks.
"""

import hashlib
import json
import re
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

HELD_SHARE = 1 / 3
RIGHT_ANGLES, FLIPS, MIRROR, NONE = tuple(range(8)), (0, 2, 4, 6), (0, 4), (0,)


@dataclass(frozen=True, slots=True)
class SetFacts:
    """modality: of the request; turns: dihedral turns that keep the physics (radar shadows and
    oblique views have a direction); scene: index field that names the cluster for intervals."""

    modality: str
    turns: tuple[int, ...] = RIGHT_ANGLES
    scene: str = "id"


SETS = {
    "eurosat_rgb": SetFacts("optical"),
    "eurosat_ms": SetFacts("multispectral"),
    "aid_rsicd": SetFacts("optical"),
    "ucm_multilabel": SetFacts("optical"),
    "mstar": SetFacts("sar", NONE),
    "opensarship": SetFacts("sar", FLIPS, "scene"),
    "hit_uav": SetFacts("thermal", MIRROR),
    "rsvqa_lr": SetFacts("optical"),
    "rsvqa_hr": SetFacts("optical"),
    "flood_s1": SetFacts("sar", FLIPS, "scene"),
    "s1s2_pairs": SetFacts("fusion", FLIPS, "scene"),
    "trees": SetFacts("optical", scene="site"),
    "change_pairs": SetFacts("temporal", scene="scene"),
    "objects_rgb": SetFacts("optical", scene="scene"),
    "sar_ships": SetFacts("sar", FLIPS, "picture"),
    "s2_ships": SetFacts("multispectral", scene="port"),
    "indian_pines": SetFacts("multispectral"),
    "aerial_video": SetFacts("video", scene="clip"),
}


def is_held_for_routing(sample_id: str) -> bool:
    """Whether a training sample (``set/id``) is kept from both models for later routing heads."""
    digest = hashlib.sha256(f"routing:{sample_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < HELD_SHARE


def held_unit(name: str, row: dict) -> str:
    """What is held back as one: a sample, but a whole clip of a video."""
    return f"{name}/{row['clip'] if name == 'aerial_video' else row['id']}"


@dataclass(frozen=True, slots=True)
class Sample:
    """A line of a set's index. facts: that line; bands, bands2: names of the first and second
    image; gsd_m: metres a pixel or None; scene: cluster for intervals."""

    set_name: str
    id: str
    split: str
    facts: dict
    bands: tuple[str, ...]
    bands2: tuple[str, ...]
    gsd_m: float | None
    scene: str

    @property
    def key(self) -> str:
        return f"{self.set_name}/{self.id}"


def decode(data: bytes) -> np.ndarray:
    """Image file -> (H, W) or (H, W, 3) RGB, 8 or 16 bit."""
    a = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if a is None:
        raise ValueError("not an image")
    return a if a.ndim == 2 else np.ascontiguousarray(a[..., 2::-1])


def unstack(a: np.ndarray, bands: int) -> np.ndarray:
    """Image as stored -> (H, W, bands); several bands lie one below the other in a grey image."""
    if bands == 3 and a.ndim == 3:
        return a
    if a.ndim == 3:
        a = a[..., 0]
    if bands == 1:
        return a[..., None]
    return np.ascontiguousarray(np.moveaxis(a.reshape(bands, -1, a.shape[1]), 0, -1))


def apparent_reflectance(dn: np.ndarray, centres_nm: np.ndarray) -> np.ndarray:
    """Indian Pines numbers -> top-of-atmosphere reflectance x 10000, uint16.

    The publisher states radiance = (number - 1000) / 500 in uW / (cm2 nm sr), ten times that in
    W / (m2 um sr). The sun is a black body of 5772 K at 1 au, 30 degrees from the zenith (the
    flight was near noon in June, 40 degrees north; the exact angle is not stated).
    """
    um = centres_nm / 1000
    planck = 1.191043e8 / um**5 / np.expm1(14387.77 / (um * 5772))     # W / (m2 um sr)
    sun = planck * np.pi * (6.957e8 / 1.495979e11) ** 2                # W / (m2 um)
    radiance = (dn.astype(np.float32) - 1000) / 500 * 10
    reflectance = np.pi * radiance / (sun * np.cos(np.radians(30)))
    return (reflectance.clip(0, 6) * 10000).astype(np.uint16)


def _gsd(name: str, meta: dict, row: dict) -> float | None:
    published = {"levir_cd": 0.5, "dsifn": 2.0, "sardinia_optical_optical": 30.0}
    if name == "change_pairs":
        return published.get(row["source"])
    return 2.9 if row.get("source") == "hrplanes" else meta.get("gsd_m")


def _scene(name: str, row: dict) -> str:
    if name == "flood_s1":
        return row["id"].rsplit("_", 1)[0]
    if name == "s1s2_pairs":
        return row["id"].split("_")[0]
    return str(row.get(SETS[name].scene, row["id"]))


def _bands(name: str, meta: dict, row: dict) -> tuple[tuple[str, ...], tuple[str, ...]]:
    first = tuple(meta["bands"])
    second = tuple(meta.get("bands2", first))
    if name == "s1s2_pairs":
        second = ("VH",)
    if name == "mstar":
        first = second = ("HH",)          # X band magnitude, HH
    if name == "sar_ships":
        first = second = ("amplitude",)
    if name == "change_pairs":            # the set repeats grey radar three times: undone here
        radar, rgb = ("amplitude",), ("red", "green", "blue")
        first = radar if "sar_" in row["source"] else rgb
        second = radar if row["source"].endswith("_sar") else rgb
    return first, second


class Library:
    """The sets of one folder: indexes read at once, images decoded when asked for and kept.

    Args:
        data: the folder.
        cache_bytes: decoded pixels kept in memory at most, oldest dropped first.
    """

    def __init__(self, data: Path, cache_bytes: int = 3 << 30) -> None:
        self.data = Path(data)
        self.names = [n for n in SETS if (self.data / n / "index.jsonl").is_file()]
        if not self.names:
            raise FileNotFoundError(f"no known set in {data}")
        self._samples: dict[str, dict[str, Sample]] = {}
        self._by_split: dict[tuple[str, str], list[Sample]] = {}
        self._metas: dict[str, dict] = {}
        self._archives: dict[str, zipfile.ZipFile] = {}
        self._cache: OrderedDict[tuple[str, str, str], np.ndarray] = OrderedDict()
        self._cache_bytes, self._held_bytes = cache_bytes, 0
        for name in self.names:
            self._read(name)

    def _read(self, name: str) -> None:
        meta = json.loads((self.data / name / "meta.json").read_text(encoding="utf-8"))
        self._metas[name] = meta
        self._samples[name] = {}
        for line in (self.data / name / "index.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            first, second = _bands(name, meta, row)
            sample = Sample(name, row["id"], row["split"], row, first, second,
                            _gsd(name, meta, row), _scene(name, row))
            self._samples[name][sample.id] = sample
            self._by_split.setdefault((name, sample.split), []).append(sample)

    def meta(self, name: str) -> dict:
        return self._metas[name]

    def sample(self, name: str, sample_id: str) -> Sample:
        return self._samples[name][sample_id]

    def samples(self, name: str, split: str, held: bool | None = None) -> list[Sample]:
        """Samples of a split. held, for train and extra: None all, False what models learn
        from, True what is kept for routing heads; other splits are never held back."""
        chosen = self._by_split.get((name, split), [])
        if held is None or split not in ("train", "extra"):
            return chosen
        return [s for s in chosen if is_held_for_routing(held_unit(name, s.facts)) == held]

    def raw(self, name: str, member: str) -> bytes:
        """Bytes of an archive member."""
        if name not in self._archives:
            self._archives[name] = zipfile.ZipFile(self.data / name / "images.zip")
        return self._archives[name].read(member)

    def pixels(self, s: Sample, member: str = "image") -> np.ndarray:
        """(H, W, C), native values: decibel for sets that store it coded, reflectance x 10000
        for Sentinel-2 sets, else what the file holds. Read only."""
        key = (s.set_name, s.id, member)
        if key not in self._cache:
            a = decode(self.raw(s.set_name, s.facts[member]))
            names = s.bands2 if member == "image2" else s.bands
            a = unstack(a, len(names))
            self._put(key, self._to_native(s.set_name, a))
        self._cache.move_to_end(key)
        return self._cache[key]

    def _to_native(self, name: str, a: np.ndarray) -> np.ndarray:
        coded = re.search(r"dB = value\*([\d.]+) - ([\d.]+)", self._metas[name].get("encoding", ""))
        if coded:
            return (a * np.float32(coded[1]) - np.float32(coded[2])).astype(np.float16)
        if name == "indian_pines":
            return apparent_reflectance(a, np.array(self._metas[name]["wavelengths_nm"]))
        if name == "s2_ships":
            return ((a.astype(np.float32) / 255) ** 2 * 10000).astype(np.uint16)
        return a

    def mask(self, s: Sample) -> np.ndarray:
        """(H, W) uint8 as stored. Read only."""
        key = (s.set_name, s.id, "mask")
        if key not in self._cache:
            self._put(key, decode(self.raw(s.set_name, s.facts["mask"])))
        self._cache.move_to_end(key)
        return self._cache[key]

    def _put(self, key: tuple[str, str, str], a: np.ndarray) -> None:
        a.setflags(write=False)
        self._cache[key] = a
        self._held_bytes += a.nbytes
        while self._held_bytes > self._cache_bytes and len(self._cache) > 1:
            self._held_bytes -= self._cache.popitem(last=False)[1].nbytes
