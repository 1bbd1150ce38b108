"""Publishers' folder layouts, built tiny, become packed sets that the library reads."""

import json

import cv2
import numpy as np
import pytest

from training.instruct import fetch_layout, layouts
from training.instruct.sources import Library

RNG = np.random.default_rng(8)


def _save(path, a):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), a[..., ::-1] if a.ndim == 3 else a)


def _tif(path, a):
    rasterio = pytest.importorskip("rasterio")
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", height=a.shape[1], width=a.shape[2],
                       count=a.shape[0], dtype=a.dtype) as f:
        f.write(a)


def _ids(name, many=2):
    splits = fetch_layout.splits_of(name)
    return [i for s in dict.fromkeys(splits.values()) for i in
            [k for k, v in splits.items() if v == s][:many]], splits


def _build(name, original, out) -> Library:
    meta, maker = layouts.MAKERS[name]
    assert fetch_layout.write(out, name, meta, maker(original)) > 0
    return Library(out)


def _picture(side):
    return RNG.integers(0, 255, (side, side, 3), np.uint8)


def test_eurosat_rgb_keeps_the_jpeg_bytes(tmp_path):
    ids, splits = _ids("eurosat_rgb")
    for i in ids:
        _save(tmp_path / "in" / "2750" / i.split("_")[0] / f"{i}.jpg", _picture(64))
    lib = _build("eurosat_rgb", tmp_path / "in", tmp_path / "out")
    (name,) = [i for i in ids if splits[i] == "test"][:1]
    sample = lib.sample("eurosat_rgb", name)
    path = tmp_path / "in" / "2750" / name.split("_")[0] / f"{name}.jpg"
    assert lib.raw("eurosat_rgb", sample.facts["image"]) == path.read_bytes()
    assert {s.split for p in ("train", "extra", "val", "test")
            for s in lib.samples("eurosat_rgb", p)} == {"train", "extra", "val", "test"}


def test_eurosat_ms_is_lossless(tmp_path):
    (name, *_), _ = _ids("eurosat_ms", 1)
    a = RNG.integers(0, 9000, (13, 64, 64)).astype(np.uint16)
    _tif(tmp_path / "in" / name.split("_")[0] / f"{name}.tif", a)
    lib = _build("eurosat_ms", tmp_path / "in", tmp_path / "out")
    got = lib.pixels(lib.sample("eurosat_ms", name))
    np.testing.assert_array_equal(got, np.moveaxis(a, 0, -1))


def test_aid_with_rsicd_captions(tmp_path):
    (name, *_), _ = _ids("aid_rsicd", 1)
    _save(tmp_path / "in" / "AID" / "Beach" / f"{name}.jpg", _picture(600))
    (tmp_path / "in" / "dataset_rsicd.json").write_text(json.dumps({"images": [
        {"filename": f"{name}.jpg", "sentences": [{"raw": "a beach ."}, {"raw": " "}]}]}))
    lib = _build("aid_rsicd", tmp_path / "in", tmp_path / "out")
    sample = lib.sample("aid_rsicd", name)
    assert sample.facts["captions"] == ["a beach."]
    assert lib.pixels(sample).shape == (128, 128, 3)


def test_ucm_labels_of_the_table(tmp_path):
    (name, *_), _ = _ids("ucm_multilabel", 1)
    label = name.rstrip("0123456789")
    _save(tmp_path / "in" / "UCMerced_LandUse" / "Images" / label / f"{name}.tif", _picture(256))
    table = tmp_path / "in" / "multilabels" / "LandUse_Multilabeled.txt"
    table.parent.mkdir()
    table.write_text(f"IMAGE\\LABEL\tairplane\tcars\ttrees\n{name}\t0\t1\t1\n")
    lib = _build("ucm_multilabel", tmp_path / "in", tmp_path / "out")
    assert lib.sample("ucm_multilabel", name).facts["objects"] == ["cars", "trees"]


def test_flood_tiles_in_decibels(tmp_path):
    name = next(i for i in fetch_layout.splits_of("flood_s1") if i.endswith("_23"))
    chip = name.rsplit("_", 1)[0]
    db = np.full((2, 512, 512), -20, np.float32)
    db[1] = -27
    label = np.zeros((1, 512, 512), np.int16)
    label[0, 128:192, 192:256] = 1             # the tile of row 2, column 3
    label[0, 128, 192] = -1
    _tif(tmp_path / "in" / "HandLabeled" / "S1Hand" / f"{chip}_S1Hand.tif", db)
    _tif(tmp_path / "in" / "HandLabeled" / "LabelHand" / f"{chip}_LabelHand.tif", label)
    lib = _build("flood_s1", tmp_path / "in", tmp_path / "out")
    sample = lib.sample("flood_s1", name)
    values = lib.pixels(sample).astype(np.float32)
    np.testing.assert_allclose(values[0, 0], (-20, -27), atol=0.1)
    assert sample.facts["label"] == "water"
    assert lib.mask(sample)[0, 0] == 255 and lib.mask(sample)[5, 5] == 1


def test_hit_uav_boxes_are_halved(tmp_path):
    (name, *_), _ = _ids("hit_uav", 1)
    root = tmp_path / "in" / "normal_json"
    _save(root / "val" / f"{name}.jpg", RNG.integers(0, 255, (512, 640), np.uint8))
    for part in ("train", "val", "test"):
        here = part == "val"
        notes = {"categories": [{"id": 1, "name": "Car"}],
                 "images": [{"filename": f"{name}.jpg", "id": 4}] if here else [],
                 "annotation": [{"image_id": 4, "category_id": 1, "bbox": [10, 20, 30, 40]}]
                 if here else []}
        path = root / "annotations" / f"{part}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(notes))
    lib = _build("hit_uav", tmp_path / "in", tmp_path / "out")
    sample = lib.sample("hit_uav", name)
    assert sample.facts["boxes"] == [[5, 10, 15, 20]]
    assert lib.pixels(sample).shape == (256, 320, 1)


def test_optical_and_radar_tiles_are_cut_at_one_place(tmp_path):
    name = next(i for i in fetch_layout.splits_of("s1s2_pairs") if i.endswith("_12"))
    chip = name.split("_")[0]
    optical = np.zeros((1024, 1024, 3), np.uint8)
    optical[128:256, 256:384] = 200            # row 1, column 2
    _save(tmp_path / "in" / "dataset" / "opt" / f"{chip}.png", optical)
    _save(tmp_path / "in" / "dataset" / "sar" / f"{chip}.png", optical[..., 0])
    lib = _build("s1s2_pairs", tmp_path / "in", tmp_path / "out")
    sample = lib.sample("s1s2_pairs", name)
    assert lib.pixels(sample).min() > 190
    assert lib.pixels(sample, "image2").shape == (128, 128, 1)
    assert lib.pixels(sample, "image2").min() > 190


def test_ships_half_inside_a_tile_keep_their_box(tmp_path):
    name = next(i for i in fetch_layout.splits_of("s2_ships") if i.split("_")[1:] == ["0", "196"])
    port = name.split("_")[0]
    places = [i.split("_")[1:] for i in fetch_layout.splits_of("s2_ships")
              if i.startswith(f"{port}_")]
    height, width = (max(int(p[k]) for p in places) + 256 for k in (0, 1))
    root = tmp_path / "in" / "sen2ships" / port
    for b in ("B02", "B03", "B04", "B08"):
        _tif(root / f"2022_L2A_{b}_(Raw).tiff", np.full((1, height, width), 16384, np.uint16))
    (root / f"{port}_coco.json").write_text(json.dumps({"annotations": [
        {"bbox": [200, 10, 20, 10]}, {"bbox": [190, 50, 20, 10]}, {"bbox": [180, 90, 20, 10]}]}))
    lib = _build("s2_ships", tmp_path / "in", tmp_path / "out")
    sample = lib.sample("s2_ships", name)
    assert sample.facts["boxes"] == [[4, 10, 20, 10], [0, 50, 14, 10]]
    assert abs(int(lib.pixels(sample)[9, 9, 0]) - 2500) < 60      # a quarter of full scale


def test_indian_pines_tiles(tmp_path):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "Indian_pines_corrected.npy",
            np.full((145, 145, 200), 3000, np.uint16))
    truth = np.zeros((145, 145), np.uint8)
    truth[:30, :30] = 2
    np.save(tmp_path / "in" / "Indian_pines_gt.npy", truth)
    lib = _build("indian_pines", tmp_path / "in", tmp_path / "out")
    sample = lib.sample("indian_pines", "r0c0")
    assert sample.facts["classes"] == ["corn-notill"]
    assert lib.pixels(sample).shape == (24, 24, 200)
    assert sum(len(lib.samples("indian_pines", s)) for s in ("train", "val", "test")) == 36


def test_rsvqa_questions_go_to_their_picture(tmp_path):
    root = tmp_path / "in"
    _save(root / "Images_LR" / "7.tif", _picture(256))
    for split in ("train", "val", "test"):
        here = split == "val"
        parts = {"questions": [{"id": 1, "img_id": 7, "type": "count", "active": True,
                                "question": "How many roads are there?"}],
                 "answers": [{"id": 5, "question_id": 1, "answer": "12", "active": True}],
                 "images": [{"id": 7, "active": True}]}
        for part, entries in parts.items():
            (root / f"LR_split_{split}_{part}.json").write_text(
                json.dumps({part: entries if here else []}))
    lib = _build("rsvqa_lr", root, tmp_path / "out")
    (sample,) = lib.samples("rsvqa_lr", "val")
    assert sample.facts["qa"] == [{"q": "How many roads are there?", "a": "12", "type": "count"}]


def test_levir_is_cut_into_tiles(tmp_path):
    root = tmp_path / "in" / "train"
    mask = np.zeros((128, 128), np.uint8)
    mask[:64, :64] = 255
    for kind, a in (("A", _picture(128)), ("B", _picture(128)), ("label", mask)):
        _save(root / kind / "train_1.png", a)
    lib = _build("change_pairs", tmp_path / "in", tmp_path / "out")
    labels = {s.id[-4:]: s.facts["label"] for s in lib.samples("change_pairs", "train")}
    assert labels == {"0000": "changed", "0001": "unchanged", "0100": "unchanged",
                      "0101": "unchanged"}


def test_wrong_folder_is_refused(tmp_path):
    meta, maker = layouts.MAKERS["eurosat_rgb"]
    with pytest.raises(ValueError, match="publisher's layout"):
        fetch_layout.write(tmp_path / "out", "eurosat_rgb", meta, maker(tmp_path))


def test_the_command_says_what_it_wants_and_leaves_nothing_behind(tmp_path, capsys):
    out = tmp_path / "out"
    for original, said in ((tmp_path, "no sample found"), (tmp_path / "none", "is no folder")):
        assert fetch_layout.main(["mstar", str(original), "--out", str(out)]) == 1
        told = capsys.readouterr().err
        assert said in told and "expected: 17_DEG/... and 15_DEG/..." in told
    assert not out.exists() or list(out.iterdir()) == []


def test_a_failure_in_the_middle_leaves_no_set(tmp_path):
    def samples():
        yield {"id": "a", "split": "train", "image": "a.png"}, [("a.png", b"x")]
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fetch_layout.write(tmp_path, "s", {}, samples())
    assert list(tmp_path.iterdir()) == []
    row = {"id": "a", "split": "train", "image": "a.png"}
    assert fetch_layout.write(tmp_path, "s", {}, iter([(row, [("a.png", b"x")])])) == 1
    with pytest.raises(FileExistsError, match="there already"):
        fetch_layout.write(tmp_path, "s", {}, iter([]))
    assert [p.name for p in tmp_path.iterdir()] == ["s"]
