"""A data folder in the packed format, made of tiny random pictures."""

import json
import zipfile

import cv2
import numpy as np
import pytest

PINES = ["unlabelled", "alfalfa", "corn-notill", "corn-mintill", "corn", "grass-pasture"]


def _png(a: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", a[..., ::-1] if a.ndim == 3 else a)
    assert done
    return data.tobytes()


def pack(folder, meta: dict, rows: list[dict], members: dict[str, np.ndarray]) -> None:
    """Write one set."""
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps(meta))
    (folder / "index.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for name, a in members.items():
            archive.writestr(name, _png(a))


RGB = {"bands": ["red", "green", "blue"], "gsd_m": 10.0}


def _classes(root, rng) -> None:
    rows, members = [], {}
    for split, many in (("train", 40), ("extra", 8), ("val", 4), ("test", 12)):
        for n in range(many):
            label = ("Forest", "River", "Residential", "Pasture")[n % 4]
            name = f"{label}_{split}_{n}"
            rows.append({"id": name, "split": split, "image": name + ".png", "label": label})
            members[name + ".png"] = rng.integers(0, 255, (16, 16, 3), np.uint8)
    pack(root / "eurosat_rgb", RGB, rows, members)


def _objects(root, rng) -> None:
    rows, members = [], {}
    for split, many in (("train", 30), ("test", 10)):
        for n in range(many):
            boxes = [[float(rng.integers(0, 80)), float(rng.integers(0, 60)), 8.0, 6.0]
                     for _ in range(n % 5 + 1)]
            name = f"{split}{n}"
            source, labels = ("hrplanes", ["aircraft"]) if n % 2 else ("simd", ["car", "van"])
            rows.append({"id": name, "split": split, "image": name + ".png", "boxes": boxes,
                         "box_labels": [labels[k % len(labels)] for k in range(len(boxes))],
                         "source": source, "scene": f"S{n % 3}"})
            members[name + ".png"] = rng.integers(0, 255, (72, 96, 3), np.uint8)
    pack(root / "objects_rgb", RGB, rows, members)


def _flood(root, rng) -> None:
    rows, members = [], {}
    for n in range(12):
        mask = np.zeros((32, 32), np.uint8)
        if n % 2:
            mask[4 + n:24, 4:20] = 1
        name = f"chip_{n % 3}_{n:02}"
        rows.append({"id": name, "split": "train", "image": name + ".png",
                     "mask": name + "_m.png", "label": "water" if n % 2 else "dry"})
        members[name + ".png"] = rng.integers(50, 200, (64, 32), np.uint8)
        members[name + "_m.png"] = mask
    meta = {"bands": ["VV", "VH"], "nbands": 2, "encoding": "uint8: dB = value*0.2 - 45"}
    pack(root / "flood_s1", meta, rows, members)


def _change(root, rng) -> None:
    rows, members = [], {}
    for n in range(12):
        mask = np.zeros((32, 32), np.uint8)
        if n % 2:
            mask[2:14, 18:30] = 255
        name = f"pair{n}"
        rows.append({"id": name, "split": "train", "image": name + "_a.png",
                     "image2": name + "_b.png", "mask": name + "_m.png", "scene": "s",
                     "label": "changed" if n % 2 else "unchanged", "source": "levir_cd"})
        members[name + "_a.png"] = rng.integers(0, 255, (32, 32, 3), np.uint8)
        members[name + "_b.png"] = rng.integers(0, 255, (32, 32, 3), np.uint8)
        members[name + "_m.png"] = mask
    pack(root / "change_pairs", RGB, rows, members)


def _pairs(root, rng) -> None:
    rows, members = [], {}
    for n in range(9):
        rows.append({"id": f"a_{n}", "split": "train", "image": f"{n}o.png",
                     "image2": f"{n}r.png", "region": "west"})
        members[f"{n}o.png"] = rng.integers(0, 255, (24, 24, 3), np.uint8)
        members[f"{n}r.png"] = rng.integers(0, 255, (24, 24), np.uint8)
    pack(root / "s1s2_pairs", {**RGB, "bands2": ["S1 C-band VH amplitude"]}, rows, members)


def _video(root, rng) -> None:
    """One car that stands, one that moves by 6 pixels a frame."""
    rows, members = [], {}
    for clip in ("a", "b", "c"):
        for n in range(20):
            name = f"{clip}_{n:02}"
            rows.append({"id": name, "split": "train", "image": name + ".png", "clip": clip,
                         "frame": n, "frames": 20, "box_labels": ["car", "bus"],
                         "boxes": [[10, 10, 20, 10], [4 + 6 * n, 60, 24, 10]]})
            members[name + ".png"] = rng.integers(0, 255, (160, 160, 3), np.uint8)
    pack(root / "aerial_video", RGB, rows, members)


def _questions(root, rng) -> None:
    rows, members = [], {}
    for n in range(12):
        qa = [{"q": "Is there a road?", "a": ("yes", "no")[n % 3 == 0], "type": "presence"},
              {"q": "Is a road present in the image?", "a": ("yes", "no")[n % 3 == 0],
               "type": "presence"},
              {"q": "What is the number of roads?", "a": str(n * 40), "type": "count"}]
        rows.append({"id": f"q{n}", "split": "train", "image": f"{n}.png", "qa": qa})
        members[f"{n}.png"] = rng.integers(0, 255, (32, 32, 3), np.uint8)
    pack(root / "rsvqa_lr", RGB, rows, members)


def _pines(root, rng) -> None:
    rows, members = [], {}
    for n in range(6):
        mask = np.zeros((12, 12), np.uint8)
        mask[:6], mask[6:, 3:] = 1 + n % 3, 2 + n % 4
        rows.append({"id": f"r{n}", "split": "train", "image": f"{n}.png", "mask": f"{n}m.png",
                     "classes": []})
        members[f"{n}.png"] = rng.integers(1000, 8000, (48, 12)).astype(np.uint16)
        members[f"{n}m.png"] = mask
    meta = {"bands": ["450 nm", "550 nm", "650 nm", "850 nm"], "nbands": 4, "classes": PINES,
            "wavelengths_nm": [450, 550, 650, 850]}
    pack(root / "indian_pines", meta, rows, members)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Folder with nine tiny sets."""
    root, rng = tmp_path_factory.mktemp("packed"), np.random.default_rng(5)
    for make in (_classes, _objects, _flood, _change, _pairs, _video, _questions, _pines):
        make(root, rng)
    return root
