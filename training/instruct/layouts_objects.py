"""Publishers' folder layouts of the sets with boxes; see `layouts`."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.instruct.fetch_layout import (
    Member,
    Row,
    encode,
    facts,
    half_size,
    read,
    splits_of,
)

Samples = Iterator[tuple[Row, list[Member]]]
Box = tuple[str, float, float, float, float]       # label, x, y, width, height in pixels


def clipped(boxes: list[Box], x: int, y: int, width: int, height: int, least: float) -> list[Box]:
    """Boxes in pixels of a window; one stays when at least ``least`` of its area is inside."""
    out = []
    for label, bx, by, bw, bh in boxes:
        x1, y1 = max(bx - x, 0), max(by - y, 0)
        x2, y2 = min(bx + bw - x, width), min(by + bh - y, height)
        if x2 > x1 and y2 > y1 and (x2 - x1) * (y2 - y1) >= least * bw * bh:
            out.append((label, x1, y1, x2 - x1, y2 - y1))
    return out


def _fields(boxes: list[Box], scale: float = 1.0) -> Row:
    return {"boxes": [[round(v * scale, 1) for v in b[1:]] for b in boxes],
            "box_labels": [b[0] for b in boxes]}


def _darknet(path: Path, names: list[str], width: int, height: int) -> list[Box]:
    """Lines ``class centre-x centre-y width height`` in units of the picture."""
    out = []
    for line in path.read_text().splitlines():
        if line.strip():
            n, cx, cy, w, h = (float(v) for v in line.split()[:5])
            out.append((names[int(n)], (cx - w / 2) * width, (cy - h / 2) * height, w * width,
                        h * height))
    return out


def _pictures(root: Path) -> dict[str, Path]:
    """Name without ending -> picture, anywhere below."""
    return {p.stem: p for p in sorted(root.rglob("*"))
            if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".tif", ".tiff")}


def trees(original: Path) -> Samples:
    """NeonTreeEvaluation: evaluation/RGB/NAME.tif (or anywhere below) and annotations/NAME.xml
    (VOC). The packed set took its boxes from a copy and lacks crowns that these have."""
    pictures = _pictures(original / "evaluation")
    notes = {p.stem: p for p in (original / "annotations").rglob("*.xml")}
    for name, split in splits_of("trees").items():
        if name not in pictures or name not in notes:
            continue
        picture = read(pictures[name])
        scale = 256 / max(picture.shape[:2])
        boxes = []
        for bounds in ElementTree.parse(notes[name]).iter("bndbox"):
            x1, y1, x2, y2 = (float(bounds.findtext(k, "0")) for k in
                              ("xmin", "ymin", "xmax", "ymax"))
            boxes.append(("tree", x1, y1, x2 - x1, y2 - y1))
        height, width = (round(v * scale) for v in picture.shape[:2])
        site = re.search(r"(?:^|_)([A-Z]{4})(?:_|$)", name)
        row = {"id": name, "split": split, "image": f"{name}.webp", **_fields(boxes, scale),
               "site": site[1] if site else ""}
        yield row, [(row["image"], encode(half_size(picture, width, height), "webp", 60))]


_SIMD = [
    "car", "truck", "van", "long-vehicle", "bus", "airliner", "propeller", "trainer", "chartered",
    "fighter", "other", "stair-truck", "pushback-truck", "helicopter", "boat",
]
_KHARUZHY = ["car", "truck", "bus", "minibus", "cyclist"]
_WIDE = 512


def _hrplanes(root: Path, name: str) -> tuple[np.ndarray, list[Box], str] | None:
    found = _find(root, name)
    if found is None:
        return None
    picture = read(found)
    boxes = _darknet(found.with_suffix(".txt"), ["aircraft"], *picture.shape[1::-1])
    place = re.sub(r"\d+", "", name).strip("_")
    return picture, boxes, place


def _find(root: Path, name: str) -> Path | None:
    return next((p for p in root.rglob(f"{name}.*")
                 if p.suffix.lower() in (".jpg", ".jpeg", ".png") and
                 p.with_suffix(".txt").is_file()), None)


def _simd(root: Path, name: str) -> tuple[np.ndarray, list[Box], str] | None:
    found = _find(root, name)
    if found is None:
        return None
    picture = read(found)
    return picture, _darknet(found.with_suffix(".txt"), _SIMD, *picture.shape[1::-1]), name


def _minsk(root: Path, name: str) -> tuple[np.ndarray, list[Box], str] | None:
    """One quarter of a frame: NAME_Q, quarters in reading order."""
    frame, quarter = name.rsplit("_", 1)
    found = _find(root, frame)
    if found is None:
        return None
    picture = read(found)
    height, width = (v // 2 for v in picture.shape[:2])
    y, x = int(quarter) // 2 * height, int(quarter) % 2 * width
    boxes = _darknet(found.with_suffix(".txt"), _KHARUZHY, *picture.shape[1::-1])
    flight = re.split(r"[-_]", frame)[1]
    return picture[y:y + height, x:x + width], clipped(boxes, x, y, width, height, 0.5), flight


def objects_rgb(original: Path) -> Samples:
    """hrplanes/ (HRPlanesV2), simd/ (SIMD) and minsk_uav/ (aerial-cars-dataset), each with
    NAME.jpg beside NAME.txt (Darknet), in any folders. HRPlanesV2 is taken as published: the packed
    set's training pictures came from an export with mirrored and turned copies."""
    makers = {"hrp": ("hrplanes", _hrplanes), "simd": ("simd", _simd),
              "minsk": ("minsk_uav", _minsk)}
    for name, split in splits_of("objects_rgb").items():
        prefix, own = name.split("_", 1)
        source, make = makers[prefix]
        made = make(original / source, own)
        if made is None:
            continue
        picture, boxes, scene = made
        scale = _WIDE / picture.shape[1]
        small = half_size(picture, _WIDE, round(picture.shape[0] * scale))
        row = {"id": name, "split": split, "image": f"{name}.webp", **_fields(boxes, scale),
               "source": source, "scene": scene}
        if source == "hrplanes":
            row["altered"] = False
        if boxes:
            yield row, [(row["image"], encode(small, "webp", 56))]


_TILES, _TILE_PX = (0, 266, 533), 267


def sar_ships(original: Path) -> Samples:
    """HRSID: JPEGImages/NAME.jpg of 800 pixels and annotations/*.json (COCO). Boxes are the
    published ones, where the packed set has those of masks; tiles RC of 267 pixels are the same."""
    boxes_of: dict[str, list[Box]] = {}
    for path in sorted((original / "annotations").glob("*.json")):
        notes = json.loads(path.read_text())
        names = {i["id"]: Path(i["file_name"]).stem for i in notes["images"]}
        # The parts and the whole list the same pictures: the last file read counts.
        boxes_of.update({n: [] for n in names.values()})
        for a in notes["annotations"]:
            boxes_of[names[a["image_id"]]].append(("ship", *map(float, a["bbox"])))
    last: tuple[str, np.ndarray] | None = None
    for name, split in splits_of("sar_ships").items():
        picture, place = name.rsplit("_", 1)
        path = original / "JPEGImages" / f"{picture}.jpg"
        if not path.is_file() or picture not in boxes_of:
            continue
        if last is None or last[0] != picture:
            grey = read(path)
            last = picture, grey if grey.ndim == 2 else grey[..., 0]
        y, x = (_TILES[int(v)] for v in place)
        boxes = clipped(boxes_of[picture], x, y, _TILE_PX, _TILE_PX, 0.4)
        row = {"id": name, "split": split, "image": f"{name}.webp",
               "label": "ship" if boxes else "no ship", **_fields(boxes),
               "scene": picture.split("_")[0], "picture": picture}
        tile = last[1][y:y + _TILE_PX, x:x + _TILE_PX]
        yield row, [(row["image"], encode(np.ascontiguousarray(tile), "webp", 66))]


_CLIP_PX = 320


def aerial_video(original: Path) -> Samples:
    """aerial-cars-dataset: MOS*.png and MunichStreet02-MOS*.png of KIT AIS, each beside its .txt
    (Darknet). Windows of the clips come with the split list."""
    windows = facts("aerial_video_windows")
    found = _pictures(original)
    for name, split in splits_of("aerial_video").items():
        clip, frame = name.rsplit("_", 1)
        prefix, first, x, y, frames = windows[clip]
        path = found.get(f"{prefix}{first + int(frame)}")
        if path is None:
            continue
        picture = read(path)
        every = _darknet(path.with_suffix(".txt"), _KHARUZHY, *picture.shape[1::-1])
        boxes = clipped(every, x, y, _CLIP_PX, _CLIP_PX, 0.4)
        row = {"id": name, "split": split, "image": f"{name}.webp", "clip": clip,
               "frame": int(frame), "frames": frames, **_fields(boxes),
               "sequence": clip.rstrip("0123456789")}
        tile = np.ascontiguousarray(picture[y:y + _CLIP_PX, x:x + _CLIP_PX])
        yield row, [(row["image"], encode(tile, "webp", 64))]


_RGB = ["red", "green", "blue"]
MAKERS = {
    "trees": ({"modality": "optical RGB (airborne, NEON)", "gsd_m": 0.15625, "bands": _RGB}, trees),
    "objects_rgb": ({"modality": "optical RGB (satellite, aerial, UAV)", "gsd_m": None,
                     "bands": _RGB}, objects_rgb),
    "sar_ships": ({"modality": "SAR (spaceborne, C or X band, 8-bit amplitude)", "grey": True,
                   "gsd_m": None, "bands": ["amplitude"]}, sar_ships),
    "aerial_video": ({"modality": "optical RGB image sequence (airborne, nadir)", "gsd_m": None,
                      "bands": _RGB}, aerial_video),
}
