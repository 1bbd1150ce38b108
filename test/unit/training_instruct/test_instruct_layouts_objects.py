"""Publishers' folders of boxes and radar chips, built tiny, become packed sets."""

import json

import cv2
import numpy as np
import pytest

from training.instruct import fetch_layout, layouts, layouts_objects, layouts_radar
from training.instruct.sources import SETS, Library

RNG = np.random.default_rng(4)


def _save(path, a):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), a[..., ::-1] if a.ndim == 3 else a)


def _picture(height, width):
    return RNG.integers(0, 255, (height, width, 3), np.uint8)


def _build(name, original, out) -> Library:
    meta, maker = layouts.MAKERS[name]
    assert fetch_layout.write(out, name, meta, maker(original)) > 0
    return Library(out)


def _first(name, start=""):
    return next(i for i in fetch_layout.splits_of(name) if i.startswith(start))


def test_every_set_has_a_layout():
    assert set(layouts.MAKERS) == set(SETS)


def test_boxes_at_a_windows_edge():
    boxes = [("a", 0, 0, 10, 10), ("b", 45, 0, 10, 10), ("c", 49, 0, 10, 10)]
    found = layouts_objects.clipped(boxes, 5, 0, 45, 50, 0.5)
    assert found == [("a", 0, 0, 5, 10), ("b", 40, 0, 5, 10)]


def test_neon_crowns_are_scaled_with_their_picture(tmp_path):
    name = _first("trees", "2018_SJER")
    root = tmp_path / "in"
    _save(root / "evaluation" / "RGB" / f"{name}.tif", _picture(400, 400))
    note = root / "annotations" / f"{name}.xml"
    note.parent.mkdir()
    note.write_text("<annotation><object><name>Tree</name><bndbox><xmin>100</xmin><ymin>200</ymin>"
                    "<xmax>150</xmax><ymax>260</ymax></bndbox></object></annotation>")
    lib = _build("trees", root, tmp_path / "out")
    sample = lib.sample("trees", name)
    assert sample.facts["boxes"] == [[64.0, 128.0, 32.0, 38.4]]
    assert sample.facts["site"] == "SJER" and lib.pixels(sample).shape == (256, 256, 3)


def test_three_sources_of_objects(tmp_path):
    root = tmp_path / "in"
    ids = [_first("objects_rgb", p) for p in ("hrp_", "simd_", "minsk_")]
    plane, sea, street = (i.split("_", 1)[1] for i in ids)
    _save(root / "hrplanes" / "images" / f"{plane}.jpg", _picture(270, 480))
    (root / "hrplanes" / "images" / f"{plane}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    _save(root / "simd" / f"{sea}.jpg", _picture(768, 1024))
    (root / "simd" / f"{sea}.txt").write_text("14 0.25 0.25 0.1 0.1\n3 0.5 0.5 0.1 0.1\n")
    frame, quarter = street.rsplit("_", 1)
    row, col = divmod(int(quarter), 2)
    _save(root / "minsk_uav" / f"{frame}.jpg", _picture(1080, 1920))
    (root / "minsk_uav" / f"{frame}.txt").write_text(
        f"2 {0.25 + 0.5 * col} {0.25 + 0.5 * row} 0.1 0.1\n0 {0.25 + 0.5 * col} 0.99 0.1 0.9\n")
    lib = _build("objects_rgb", root, tmp_path / "out")
    facts = [lib.sample("objects_rgb", i).facts for i in ids]
    assert [f["box_labels"] for f in facts] == [["aircraft"], ["boat", "long-vehicle"], ["bus"]]
    assert facts[0]["boxes"] == [[192.0, 72.0, 128.0, 144.0]] and facts[0]["altered"] is False
    assert facts[1]["boxes"][0] == [102.4, 76.8, 51.2, 38.4]
    assert facts[2]["boxes"] == [[204.8, 115.2, 102.4, 57.6]]
    assert lib.pixels(lib.sample("objects_rgb", ids[2])).shape == (288, 512, 3)
    assert [f["source"] for f in facts] == ["hrplanes", "simd", "minsk_uav"]


def test_hrsid_pictures_become_nine_tiles(tmp_path):
    picture = _first("sar_ships", "P0004").rsplit("_", 1)[0]
    root = tmp_path / "in"
    _save(root / "JPEGImages" / f"{picture}.jpg", RNG.integers(0, 90, (800, 800), np.uint8))
    (root / "annotations").mkdir()
    notes = {"images": [{"id": 3, "file_name": f"{picture}.jpg"}],
             "annotations": [{"image_id": 3, "bbox": [300, 540, 40, 20]},
                             {"image_id": 3, "bbox": [255, 100, 20, 10]}]}
    for part in ("train2017", "train_test2017"):
        (root / "annotations" / f"{part}.json").write_text(json.dumps(notes))
    lib = _build("sar_ships", root, tmp_path / "out")
    found = {s.id[-2:]: s.facts for s in lib.samples("sar_ships", "test")}
    assert len(found) == 9 and found["21"]["boxes"] == [[34.0, 7.0, 40.0, 20.0]]
    # A ship on the border of two tiles is in both where 40 % of it is.
    assert found["00"]["boxes"] == [[255.0, 100.0, 12.0, 10.0]]
    assert found["01"]["boxes"] == [[0, 100.0, 9.0, 10.0]]
    assert found["11"]["label"] == "no ship" and found["21"]["label"] == "ship"


def test_video_windows_come_with_the_splits(tmp_path):
    root = tmp_path / "in"
    prefix, first, x, y, frames = fetch_layout.facts("aerial_video_windows")["street1"]
    for n in range(2):
        _save(root / f"{prefix}{first + n}.png", _picture(377, 1284))
        centre = (x + 100) / 1284, (y + 50) / 377
        (root / f"{prefix}{first + n}.txt").write_text(
            f"3 {centre[0]} {centre[1]} {20 / 1284} {10 / 377}\n")
    lib = _build("aerial_video", root, tmp_path / "out")
    clip = [s for s in lib.samples("aerial_video", "test") if s.facts["clip"] == "street1"]
    assert [s.id for s in clip] == ["street1_00", "street1_01"]
    assert clip[1].facts["boxes"] == [[90.0, 45.0, 20.0, 10.0]]
    assert clip[1].facts["box_labels"] == ["minibus"] and clip[1].facts["frames"] == frames == 20
    assert lib.pixels(clip[0]).shape == (320, 320, 3)


def _phoenix(label, serial, magnitude):
    head = (f"[PhoenixHeaderVer01.05]\nPhoenixHeaderLength= 00300\nNumberOfColumns= "
            f"{magnitude.shape[1]}\nNumberOfRows= {magnitude.shape[0]}\nTargetType= {label}\n"
            f"TargetSerNum= {serial}\n[EndofPhoenixHeader]\n").encode()
    values = magnitude.astype(">f4").tobytes()
    return head + b" " * (300 - len(head)) + values + values


def test_mstar_phoenix_files(tmp_path):
    root = tmp_path / "in" / "TARGETS"
    magnitude = np.zeros((128, 130), np.float32)
    magnitude[60:70, 60:70] = 2.5
    files = {"TRAIN/17_DEG/T72/SN_132/HB03333.015": ("t72_tank", "132"),
             "TRAIN/17_DEG/T72/SN_812/HB03333.016": ("t72_tank", "812"),
             "TRAIN/17_DEG/ZSU_23_4/HB1.026": ("zsu23-4", "d08"),
             "TEST/15_DEG/BRDM_2/HB2.001": ("brdm_2", "E-71"),
             "TEST/15_DEG/SLICEY/HB2.002": ("slicey", "1")}
    for path, (label, serial) in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(_phoenix(label, serial, magnitude))
    lib = _build("mstar", tmp_path / "in", tmp_path / "out")
    found = {s.id: s for split in ("train", "val", "test") for s in lib.samples("mstar", split)}
    assert {s.facts["label"] for s in found.values()} == {"T72", "ZSU234", "BRDM2"}
    assert len(found) == 3
    sample = found["15deg_BRDM2_HB2_001"]
    picture = lib.pixels(sample)[..., 0]
    assert sample.split == "test" and picture.shape == (96, 96)
    assert picture[45:52, 45:52].min() > 230 and picture[:30].max() < 25


def test_damaged_phoenix_files_are_refused():
    whole = _phoenix("t72", "132", np.ones((8, 8), np.float32))
    with pytest.raises(ValueError, match="no Phoenix header"):
        layouts_radar.phoenix(b"JFIF" + whole[40:100])
    with pytest.raises(ValueError, match="expected 8 x 8"):
        layouts_radar.phoenix(whole[:-300])


@pytest.mark.parametrize("side", [53, 64, 85])
def test_chips_are_cut_or_padded_about_their_middle(side):
    a = np.zeros((side, side), np.uint8)
    a[side // 2, side // 2] = 200
    out = layouts_radar.centred(a, 64, 7)
    assert out.shape == (64, 64) and abs(np.argwhere(out == 200)[0] - 32).max() <= 1
    assert (out == 7).any() == (side < 64)


def test_opensarship_scenes(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    name = _first("opensarship", "20150823T221233")
    scene, x, y = name.rsplit("_", 2)
    folder = tmp_path / "in" / f"S1A_IW_GRDH_1SDV_{scene}_20150823T221258_007396_00A2CA_54D0"
    (folder / "Patch_Cal").mkdir(parents=True)
    chip = np.full((2, 53, 53), 0.001, np.float32)
    chip[1] = 0.01                                  # -20 dB
    with rasterio.open(folder / "Patch_Cal" / f"Tug_x{x}_y{y}.tif", "w", driver="GTiff",
                       height=53, width=53, count=2, dtype="float32") as f:
        f.write(chip)
    (folder / "Ship.xml").write_text(
        f"<ShipList><ship><SARShipInformation><Center_x>{x}</Center_x><Center_y>{y}</Center_y>"
        "<Incidence>31.795</Incidence><Center_longitude>1.19e+02</Center_longitude>"
        "<Center_latitude>3.9e+01</Center_latitude></SARShipInformation><AISShipInformation>"
        "<Length>190</Length><Width>0</Width></AISShipInformation></ship></ShipList>")
    lib = _build("opensarship", tmp_path / "in", tmp_path / "out")
    sample = lib.sample("opensarship", name)
    np.testing.assert_allclose(lib.pixels(sample).astype(float), -20, atol=0.11)
    assert (sample.facts["label"], sample.facts["ship_type"]) == ("Other", "Tug")
    assert sample.facts["length_m"] == 190.0 and "width_m" not in sample.facts
    assert sample.facts["chip"] == [53, 53] and sample.facts["lon"] == 119.0
