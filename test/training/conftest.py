"""Tiny packed sets, and what the vision stage makes of them. Torch is imported where it is used:
without it these tests are skipped, not broken."""

import json
import zipfile

import cv2
import numpy as np
import pytest

SETS = ["eurosat_ms", "eurosat_rgb", "flood_s1", "hit_uav", "objects_rgb"]
S2 = ["B01 443nm", "B02 490nm", "B03 560nm", "B04 665nm", "B05 705nm", "B06 740nm", "B07 783nm",
      "B08 842nm", "B09 945nm", "B10 1375nm", "B11 1610nm", "B12 2190nm", "B8A 865nm"]
RGB = {"bands": ["red", "green", "blue"], "nbands": 3}


def pack(folder, meta, rows):
    """rows: [(facts, picture, mask or None)]."""
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps(meta))
    lines = []
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for facts, picture, mask in rows:
            row = facts | {"image": facts["id"] + ".png"}
            members = [(row["image"], picture)]
            if mask is not None:
                row["mask"] = facts["id"] + "_m.png"
                members.append((row["mask"], mask))
            for name, a in members:
                archive.writestr(name, cv2.imencode(".png", a)[1].tobytes())
            lines.append(json.dumps(row) + "\n")
    (folder / "index.jsonl").write_text("".join(lines))


def splits(train=12, val=4):
    return [("train", i) for i in range(train)] + [("val", i) for i in range(val)]


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("sets"), np.random.default_rng(3)

    def classes(shape, dtype, top):
        return [({"id": f"{s}{i}", "split": s, "label": ("Forest", "River")[i % 2]},
                 rng.integers(0, top, shape).astype(dtype), None) for s, i in splits()]

    def boxes(shape, label, more):
        return [({"id": f"{s}{i}", "split": s, "boxes": [[4 + 3 * i, 8, 12, 10], [40, 40, 9, 9]],
                  "box_labels": [label] * 2} | more,
                 rng.integers(0, 255, shape, np.uint8), None) for s, i in splits()]

    pack(root / "eurosat_rgb", RGB, classes((32, 32, 3), np.uint8, 255))
    pack(root / "eurosat_ms", {"bands": S2, "nbands": 13},
         classes((13 * 32, 32), np.uint16, 3000))
    pack(root / "objects_rgb", RGB, boxes((96, 96, 3), "car", {"source": "simd", "scene": "s"}))
    pack(root / "hit_uav", {"bands": ["thermal"], "nbands": 1},
         boxes((64, 96), "Car", {"day_night": "day"}))
    flood = []
    for s, i in splits():
        mask = np.zeros((32, 32), np.uint8)
        mask[: 8 + i] = i % 2
        flood.append(({"id": f"{s}_{i}_0", "split": s, "label": ("dry", "water")[i % 2]},
                      rng.integers(60, 200, (64, 32)).astype(np.uint8), mask))
    pack(root / "flood_s1", {"bands": ["VV", "VH"], "nbands": 2,
                             "encoding": "uint8: dB = value*0.2 - 45"}, flood)
    return root


@pytest.fixture(scope="session")
def world(data, tmp_path_factory):
    from training.ablate_vision import World
    return World(data, SETS, tmp_path_factory.mktemp("texts") / "texts.npz", "tiny", 0.5)


@pytest.fixture(scope="session")
def words(tmp_path_factory):
    from training.decoder import tiny
    return tiny.write_words(tmp_path_factory.mktemp("words") / "words.json")


@pytest.fixture(scope="session")
def galileo_file(data):
    """Random weights in the carried file's layout."""
    import torch
    from safetensors.torch import save_file

    from training.vision import teacher_nets
    draw = torch.Generator().manual_seed(0)
    d, held = 128, {}

    def put(key, *shape):
        held[key] = (torch.randn(*shape, generator=draw) * 0.05).half()

    for group, members in teacher_nets.Galileo.GROUPS.items():
        put(f"space_time_embed.{group}.proj.weight", d, len(members), 8, 8)
        put(f"space_time_embed.{group}.proj.bias", d)
    put("s_t_channel_embed", 7, 32)
    put("pos_embed", 24, 32)
    for i in range(4):
        for name, *shape in (("norm1", d), ("norm2", d), ("attn.q", d, d), ("attn.k", d, d),
                             ("attn.v", d, d), ("attn.proj", d, d), ("mlp.fc1", 4 * d, d),
                             ("mlp.fc2", d, 4 * d)):
            put(f"blocks.{i}.{name}.weight", *shape)
            put(f"blocks.{i}.{name}.bias", shape[0])
    put("norm.weight", d)
    put("norm.bias", d)
    (data / "teachers").mkdir(exist_ok=True)
    facts = {"mean": json.dumps([0.0] * 13), "std": json.dumps([1000.0] * 13)}
    save_file(held, data / "teachers" / teacher_nets.Galileo.FILE, facts)
    return data
