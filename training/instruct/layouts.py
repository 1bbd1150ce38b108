"""The publishers' folder layouts, one function a set: ORIGINAL -> (index row, members).

Sizes, codings and splits follow the cards of the sets; where an original differs from the copy
that was packed, the function says how.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from training.instruct import layouts_objects, layouts_radar
from training.instruct.fetch_layout import (
    Member,
    Row,
    encode,
    facts,
    half_size,
    read,
    read_bands,
    splits_of,
    stacked,
)

Samples = Iterator[tuple[Row, list[Member]]]
TILE = 64


def eurosat_rgb(original: Path) -> Samples:
    """EuroSAT.zip: CLASS/CLASS_NUMBER.jpg (in a folder `2750` or not). JPEG bytes are kept; those
    of the split `extra` are coded again as WebP, quality 90."""
    root = original / "2750" if (original / "2750").is_dir() else original
    for name, split in splits_of("eurosat_rgb").items():
        label = name.split("_")[0]
        path = root / label / f"{name}.jpg"
        if not path.is_file():
            continue
        extra = split == "extra"
        member = f"{name}.webp" if extra else f"{name}.jpg"
        data = encode(read(path), "webp", 90) if extra else path.read_bytes()
        yield {"id": name, "split": split, "image": member, "label": label}, [(member, data)]


def eurosat_ms(original: Path) -> Samples:
    """EuroSATallBands.zip: CLASS/CLASS_NUMBER.tif with 13 bands, B8A last. The coordinates of the
    packed set are left out: no task uses them."""
    paths = {p.stem: p for p in original.rglob("*.tif")}
    for name, split in splits_of("eurosat_ms").items():
        if name in paths:
            a = np.moveaxis(read_bands(paths[name]), 0, -1).astype(np.uint16)
            row = {"id": name, "split": split, "image": f"{name}.jp2",
                   "label": name.split("_")[0]}
            yield row, [(f"{name}.jp2", encode(stacked(a), "jp2"))]


def aid_rsicd(original: Path) -> Samples:
    """AID/CLASS/class_NUMBER.jpg (600 pixels) beside dataset_rsicd.json (publisher's captions:
    images[].filename, images[].sentences[].raw). The packed set came from a copy of 150 pixels,
    so its pictures went through one more reduction than these."""
    captions = {Path(i["filename"]).stem: [s["raw"] for s in i["sentences"]]
                for i in json.loads((original / "dataset_rsicd.json").read_text())["images"]}
    paths = {p.stem.lower(): p for p in (original / "AID").rglob("*.jpg")}
    for name, split in splits_of("aid_rsicd").items():
        if name not in paths or name not in captions:
            continue
        texts = [" ".join(c.split()).replace(" .", ".") for c in captions[name] if c.strip()]
        row = {"id": name, "split": split, "image": f"{name}.webp",
               "label": paths[name].parent.name, "captions": texts}
        small = half_size(read(paths[name]), 128, 128)
        yield row, [(f"{name}.webp", encode(small, "webp", 72))]


def ucm_multilabel(original: Path) -> Samples:
    """UCMerced_LandUse/Images/CLASS/CLASSNN.tif beside multilabels/LandUse_Multilabeled.txt: a
    tab-separated table, the first row names the 17 labels. Without the captions of 70 test
    pictures, which come from another publisher."""
    table = [line.rstrip().split("\t") for line in
             (original / "multilabels" / "LandUse_Multilabeled.txt").read_text().splitlines()]
    head = table[0][1:]
    objects = {r[0]: [o for o, v in zip(head, r[1:], strict=False) if v.strip() == "1"]
               for r in table[1:] if len(r) > 1}
    for name, split in splits_of("ucm_multilabel").items():
        label = name.rstrip("0123456789")
        path = original / "UCMerced_LandUse" / "Images" / label / f"{name}.tif"
        if not path.is_file() or name not in objects:
            continue
        row = {"id": name, "split": split, "image": f"{name}.webp", "label": label,
               "objects": objects[name]}
        yield row, [(f"{name}.webp", encode(half_size(read(path), 160, 160), "webp", 70))]


def _grid_place(name: str) -> tuple[str, int, int]:
    """"CHIP_RC" -> chip, row and column of its tile."""
    chip, place = name.rsplit("_", 1)
    return chip, int(place[0]), int(place[1])


def flood_s1(original: Path) -> Samples:
    """HandLabeled/S1Hand/CHIP_S1Hand.tif and HandLabeled/LabelHand/CHIP_LabelHand.tif of
    Sen1Floods11 v1.1: VV and VH in dB, labels -1, 0, 1."""
    root = original / "HandLabeled" if (original / "HandLabeled").is_dir() else original
    chips: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, split in splits_of("flood_s1").items():
        chip, r, c = _grid_place(name)
        path = root / "S1Hand" / f"{chip}_S1Hand.tif"
        if not path.is_file():
            continue
        if chip not in chips:
            chips = {chip: (read_bands(path),
                            read_bands(root / "LabelHand" / f"{chip}_LabelHand.tif")[0])}
        cut = np.s_[r * TILE:(r + 1) * TILE, c * TILE:(c + 1) * TILE]
        db = np.moveaxis(chips[chip][0], 0, -1)[cut]
        label = chips[chip][1][cut]
        code = np.where(np.isfinite(db), np.round((db + 45) / 0.2).clip(1, 255), 0)
        mask = np.where(label < 0, 255, label).astype(np.uint8)
        share = float((mask == 1).sum() / max(1, (mask != 255).sum()))
        row = {"id": name, "split": split, "image": f"{name}.png", "mask": f"{name}_m.png",
               "label": "water" if share >= 0.01 else "dry", "water_fraction": round(share, 4),
               "country": chip.split("_")[0]}
        yield row, [(f"{name}.png", encode(stacked(np.nan_to_num(code).astype(np.uint8)), "png")),
                    (f"{name}_m.png", encode(mask, "png"))]


def hit_uav(original: Path) -> Samples:
    """normal_json/{train,val,test}/NAME.jpg and normal_json/annotations/{train,val,test}.json
    (COCO); the official parts are merged and split anew by frame number."""
    root = original / "normal_json" if (original / "normal_json").is_dir() else original
    found: dict[str, tuple[Path, list, list]] = {}
    for part in ("train", "val", "test"):
        notes = json.loads((root / "annotations" / f"{part}.json").read_text())
        kinds = {c["id"]: c["name"] for c in notes["categories"]}
        names = {i["id"]: i.get("filename", i.get("file_name")) for i in notes["images"]}
        for n in names.values():
            found[Path(n).stem] = (root / part / n, [], [])
        for a in notes.get("annotation", notes.get("annotations", [])):
            _, boxes, labels = found[Path(names[a["image_id"]]).stem]
            boxes.append([v / 2 for v in a["bbox"]])
            labels.append(kinds[a["category_id"]])
    for name, split in splits_of("hit_uav").items():
        if name not in found or not found[name][0].is_file():
            continue
        path, boxes, labels = found[name]
        day, altitude, view, _, frame = name.split("_")
        grey = read(path)
        grey = half_size(grey if grey.ndim == 2 else grey[..., 0], 320, 256)
        row = {"id": name, "split": split, "image": f"{name}.webp", "boxes": boxes,
               "box_labels": labels, "day_night": "day" if day == "1" else "night",
               "altitude_m": int(altitude), "view_deg": int(view), "frame": int(frame)}
        yield row, [(f"{name}.webp", encode(grey, "webp", 60))]


def s1s2_pairs(original: Path) -> Samples:
    """dataset/opt/NNN.png and dataset/sar/NNN.png of 1024 pixels; tile RC of 128 pixels. Region and
    candidates come with the split list; dates and coordinates are left out."""
    root = original / "dataset" if (original / "dataset").is_dir() else original
    region = {"train": "los_angeles_west", "val": "los_angeles_east", "test": "texas_west"}
    candidates = facts("s1s2_pairs_candidates")
    last: tuple[str, np.ndarray, np.ndarray] | None = None
    for name, split in splits_of("s1s2_pairs").items():
        chip, r, c = _grid_place(name)
        optical, radar = (root / kind / f"{chip}.png" for kind in ("opt", "sar"))
        if not (optical.is_file() and radar.is_file()):
            continue
        if last is None or last[0] != chip:
            grey = read(radar)
            last = chip, read(optical), grey if grey.ndim == 2 else grey[..., 0]
        cut = np.s_[r * 128:(r + 1) * 128, c * 128:(c + 1) * 128]
        row = {"id": name, "split": split, "image": f"{name}_s2.webp",
               "image2": f"{name}_s1.webp", "region": region[split]}
        if name in candidates:
            row["candidates"] = candidates[name]
        yield row, [(f"{name}_s2.webp", encode(last[1][cut], "webp", 75)),
                    (f"{name}_s1.webp", encode(last[2][cut], "webp", 60))]


def s2_ships(original: Path) -> Samples:
    """sen2ships/PORT/*_{B02,B03,B04,B08}_(Raw).tiff, 16 bit, and PORT_coco.json in the port's
    folder or its `annotations`."""
    root = original / "sen2ships" if (original / "sen2ships").is_dir() else original
    ports: dict[str, tuple[np.ndarray, list]] = {}
    for name, split in splits_of("s2_ships").items():
        port, y, x = name.split("_")
        if port not in ports:
            notes = next(iter((root / port).rglob("*coco.json")), None)
            files = [next(iter((root / port).glob(f"*_{b}_(Raw).tiff")), None)
                     for b in ("B02", "B03", "B04", "B08")]
            if notes is None or None in files:
                continue
            bands = np.stack([read_bands(f)[0] for f in files], -1).astype(np.float32)
            ports = {port: (np.round(255 * np.sqrt(bands / 65535)).astype(np.uint8),
                            [a["bbox"] for a in json.loads(notes.read_text())["annotations"]])}
        image, ships = ports[port]
        x0, y0 = int(x), int(y)
        boxes = []
        for bx, by, bw, bh in ships:
            x1, y1 = max(bx - x0, 0), max(by - y0, 0)
            x2, y2 = min(bx + bw - x0, 256), min(by + bh - y0, 256)
            if x2 > x1 and y2 > y1 and (x2 - x1) * (y2 - y1) >= 0.5 * bw * bh:
                boxes.append([round(v, 1) for v in (x1, y1, x2 - x1, y2 - y1)])
        row = {"id": name, "split": split, "image": f"{name}.webp", "port": port, "boxes": boxes,
               "box_labels": ["ship"] * len(boxes), "label": "ship" if boxes else "no ship"}
        tile = image[y0:y0 + 256, x0:x0 + 256]
        if tile.shape[:2] != (256, 256):
            raise ValueError(f"{port}: the picture is too small for tile {name}")
        yield row, [(f"{name}.webp", encode(stacked(tile), "webp", 72))]


def indian_pines(original: Path) -> Samples:
    """Indian_pines_corrected.npy (145, 145, 200) and Indian_pines_gt.npy, as packed by tensorly.
    Coded as PNG, lossless like the JPEG 2000 of the packed set."""
    cube = np.load(original / "Indian_pines_corrected.npy").astype(np.uint16)
    truth = np.load(original / "Indian_pines_gt.npy").astype(np.uint8)
    names = facts("indian_pines_classes")
    for name, split in splits_of("indian_pines").items():
        r, c = (24 * int(v) for v in name[1:].split("c"))
        mask = truth[r:r + 24, c:c + 24]
        row = {"id": name, "split": split, "image": f"{name}.png", "mask": f"{name}_m.png",
               "row0": r, "col0": c, "classes": [names[i] for i in np.unique(mask) if i]}
        yield row, [(f"{name}.png", encode(stacked(cube[r:r + 24, c:c + 24]), "png")),
                    (f"{name}_m.png", encode(mask, "png"))]


def _rsvqa(original: Path, prefix: str, images: str, size: int) -> Samples:
    """PREFIX_split_{train,val,test}_{questions,answers,images}.json and IMAGES/NUMBER.tif of the
    publishers: their whole set with their splits, where the packed one holds the 50 pictures of
    the project page split by place."""
    for split in ("train", "val", "test"):
        parts = {p: json.loads((original / f"{prefix}_split_{split}_{p}.json").read_text())[p]
                 for p in ("questions", "answers", "images")}
        answers = {a["question_id"]: a["answer"] for a in parts["answers"] if a.get("active", True)}
        asked: dict[int, list[dict]] = {}
        for q in parts["questions"]:
            if q.get("active", True) and q["id"] in answers:
                asked.setdefault(q["img_id"], []).append(
                    {"q": q["question"], "a": str(answers[q["id"]]), "type": q["type"]})
        for i in parts["images"]:
            path = original / images / f"{i['id']}.tif"
            if not i.get("active", True) or not path.is_file():
                continue
            name = f"{i['id']:05}"
            picture = read(path)
            if picture.shape[:2] != (size, size):
                raise ValueError(f"{path} is {picture.shape}, expected {size} pixels")
            row = {"id": name, "split": split, "image": f"{name}.webp",
                   "qa": asked.get(i["id"], [])}
            yield row, [(f"{name}.webp", encode(picture, "webp", 88 if size == 256 else 78))]


def rsvqa_lr(original: Path) -> Samples:
    """LR_split_*.json and Images_LR; see `_rsvqa`."""
    return _rsvqa(original, "LR", "Images_LR", 256)


def rsvqa_hr(original: Path) -> Samples:
    """USGS_split_*.json and Data; see `_rsvqa`."""
    return _rsvqa(original, "USGS", "Data", 512)


def change_pairs(original: Path) -> Samples:
    """LEVIR-CD: {train,val,test}/{A,B,label}/NAME.png of 1024 pixels, cut into tiles of 64. The
    packed set holds small samples of four sources; this is all of one of them."""
    for split in ("train", "val", "test"):
        for path in sorted((original / split / "A").glob("*.png")):
            before, after = read(path), read(original / split / "B" / path.name)
            mask = cv2.threshold(cv2.cvtColor(m, cv2.COLOR_RGB2GRAY) if (
                m := read(original / split / "label" / path.name)).ndim == 3 else m,
                127, 255, cv2.THRESH_BINARY)[1]
            for y in range(0, mask.shape[0], TILE):
                for x in range(0, mask.shape[1], TILE):
                    cut = np.s_[y:y + TILE, x:x + TILE]
                    share = float((mask[cut] > 0).mean())
                    name = f"levir_cd_{path.stem}_{y // TILE:02}{x // TILE:02}"
                    row = {"id": name, "split": split, "image": f"{name}_a.webp",
                           "image2": f"{name}_b.webp", "mask": f"{name}_m.png",
                           "label": "changed" if share >= 0.01 else "unchanged",
                           "changed_fraction": round(share, 4), "source": "levir_cd",
                           "scene": path.stem}
                    yield row, [(row["image"], encode(before[cut], "webp", 85)),
                                (row["image2"], encode(after[cut], "webp", 85)),
                                (row["mask"], encode(mask[cut], "png"))]


_RGB = ["red", "green", "blue"]
_S2 = ["B01 443nm", "B02 490nm", "B03 560nm", "B04 665nm", "B05 705nm", "B06 740nm", "B07 783nm",
       "B08 842nm", "B09 945nm", "B10 1375nm", "B11 1610nm", "B12 2190nm", "B8A 865nm"]


def _pines_meta() -> dict:
    centres = facts("indian_pines_wavelengths_nm")
    return {"modality": "hyperspectral (AVIRIS)", "gsd_m": 20, "nbands": len(centres),
            "bands": [f"{c:.2f} nm" for c in centres], "wavelengths_nm": centres,
            "classes": facts("indian_pines_classes")}


MAKERS = {
    "eurosat_rgb": ({"modality": "optical RGB", "gsd_m": 10.0, "bands": [
        "B04 red 665nm", "B03 green 560nm", "B02 blue 490nm"]}, eurosat_rgb),
    "eurosat_ms": ({"modality": "multispectral optical", "gsd_m": 10.0, "bands": _S2,
                    "nbands": 13}, eurosat_ms),
    "aid_rsicd": ({"modality": "optical RGB", "gsd_m": None, "bands": _RGB}, aid_rsicd),
    "ucm_multilabel": ({"modality": "optical RGB (aerial)", "gsd_m": 0.488, "bands": _RGB},
                       ucm_multilabel),
    "flood_s1": ({"modality": "SAR backscatter", "gsd_m": 10.0, "bands": ["VV", "VH"],
                  "nbands": 2, "encoding": "uint8: dB = value*0.2 - 45; 0 = no data"}, flood_s1),
    "hit_uav": ({"modality": "thermal infrared", "grey": True, "gsd_m": None,
                 "bands": ["thermal"]}, hit_uav),
    "s1s2_pairs": ({"modality": "optical RGB + SAR amplitude", "gsd_m": 10.0, "bands": [
        "S2 B04 665nm", "S2 B03 560nm", "S2 B02 490nm"], "bands2": ["S1 C-band VH amplitude"]},
        s1s2_pairs),
    "s2_ships": ({"modality": "Sentinel-2 L2A, 8-bit square root of reflectance", "grey": True,
                  "nbands": 4, "gsd_m": 10, "bands": ["B02 blue", "B03 green", "B04 red",
                                                      "B08 near infrared"]}, s2_ships),
    "indian_pines": (_pines_meta(), indian_pines),
    "rsvqa_lr": ({"modality": "optical RGB (Sentinel-2)", "gsd_m": 10.0, "bands": _RGB}, rsvqa_lr),
    "rsvqa_hr": ({"modality": "optical RGB (USGS)", "gsd_m": 0.1524, "bands": _RGB}, rsvqa_hr),
    "change_pairs": ({"modality": "bi-temporal pair", "gsd_m": None, "bands": _RGB}, change_pairs),
    **layouts_objects.MAKERS,
    **layouts_radar.MAKERS,
}
