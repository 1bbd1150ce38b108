"""The scenes in the box: readable, within size, described, and never seen by any training."""

import functools
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import yaml

from eo_nodes.contracts.values import validate
from eo_nodes.imaging.readers import read_file
from eo_nodes.imaging.scenes import scene_of
from eo_nodes.imaging.sensors import load_sensors, sensor_for_file
from sim.chips import HASH_BYTES, pixel_hash

ROOT = Path(__file__).parents[3]
ASSETS = ROOT / "sim" / "assets"
SENSORS = load_sensors((ROOT / "config/mission/sensors.yaml").read_text(encoding="utf-8"))
SCENES = {
    row["name"]: row
    for row in yaml.safe_load((ASSETS / "scenes.yaml").read_text(encoding="utf-8"))["scenes"]
}
QUESTIONS = yaml.safe_load(
    (ROOT / "config/scenarios/demo_questions.yaml").read_text(encoding="utf-8")
)["questions"]


def training_hashes():
    data = (ROOT / "test/data/imaging/training_hashes.bin").read_bytes()
    return {data[i : i + HASH_BYTES].hex() for i in range(0, len(data), HASH_BYTES)}


@functools.cache
def stored(file):
    return read_file(ASSETS / file).values


def asked_frames(question):
    """Stored pixels of a question's window, one array a date, before any scaling."""
    sensor = SENSORS[SCENES[question["scene"]]["sensor"]]
    x, y, w, h = question["window"]
    values = stored(question["file"])[:, y : y + h, x : x + w]
    return [values[frame, ..., : len(sensor.bands)] for frame in range(values.shape[0])]


@pytest.mark.parametrize("name", SCENES)
def test_scene_is_read_as_its_row_says(name):
    row = SCENES[name]
    sensor = sensor_for_file(SENSORS, Path(row["file"]).name)
    assert sensor is SENSORS[row["sensor"]]
    raw = read_file(ASSETS / row["file"], sensor)
    frames, height, width, bands = raw.values.shape
    assert (frames, height, width) == (row["frames"], row["height"], row["width"])
    assert bands == len(row["bands"]) == len(row["wavelength_um"])
    assert raw.stored_bytes == row["raw_bytes"]
    assert list(raw.flags) == row["flags"]
    validate(scene_of(raw, sensor, scene_id="scn-1", stamp_ns=1, frame_key="k"))


def test_at_least_ten_real_scenes_over_five_modalities_within_8_mb():
    scenes = [row for row in SCENES.values() if row["kind"] == "scene"]
    assert len(scenes) >= 10
    assert {"optical", "multispectral", "sar", "thermal", "temporal"} <= {
        row["modality"] for row in scenes
    }
    assert any(len(row["bands"]) == 13 for row in scenes)
    assert sum(p.stat().st_size for p in ASSETS.rglob("*") if p.is_file()) <= 8_000_000
    suffixes = {Path(row["file"]).suffix for row in SCENES.values()}
    assert {".tif", ".jp2", ".png", ".npy", ".nc", ".jpg"} <= suffixes


def test_every_scene_says_where_it_comes_from():
    for row in SCENES.values():
        assert row["source"] and row["licence"] and row["date"] and row["place"], row["name"]
    assert all(row["stands_in_for"] for row in SCENES.values() if row["sensor"].startswith("uav"))


def test_files_in_the_folder_and_rows_are_the_same():
    on_disk = {f"scenes/{path.name}" for path in (ASSETS / "scenes").iterdir()}
    assert on_disk == {row["file"] for row in SCENES.values()}


def test_no_chip_of_the_demo_was_seen_in_training():
    seen = training_hashes()
    assert len(seen) > 20_000
    chips = json.loads((ASSETS / "hashes.json").read_text(encoding="utf-8"))
    shared = [sample for sample, hashes in chips.items() if seen.intersection(hashes)]
    assert len(chips) > 150 and shared == []


def test_asked_pixels_are_the_pixels_of_the_named_test_chip():
    chips = json.loads((ASSETS / "hashes.json").read_text(encoding="utf-8"))
    for question in QUESTIONS:
        found = [pixel_hash(frame) for frame in asked_frames(question)]
        assert found == chips[question["sample"]], question["id"]


def test_at_least_36_questions_over_five_modalities_without_a_shortcut():
    assert len(QUESTIONS) >= 36
    assert len({q["id"] for q in QUESTIONS}) == len(QUESTIONS)
    assert len({q["modality"] for q in QUESTIONS}) >= 5
    answers = defaultdict(Counter)
    for q in QUESTIONS:
        assert q["modality"] == SCENES[q["scene"]]["modality"]
        assert q["place"] == SCENES[q["scene"]]["place"]
        answers[q["type"]][q["answer"]] += 1
    assert set(answers) == {"class", "count", "presence", "yesno"}
    wordings = defaultdict(list)
    for q in QUESTIONS:
        if q["type"] in ("presence", "yesno"):
            wordings[q["modality"], q["prompt"]].append(q["answer"])
    for prompt, given in wordings.items():  # the words alone tell nothing
        assert given.count("yes") == given.count("no") == len(given) / 2, prompt
    for kind in ("class", "count"):
        assert max(answers[kind].values()) <= 0.3 * answers[kind].total()


def test_georeferenced_scene_lies_where_its_card_says():
    raw = read_file(ASSETS / SCENES["segura_flood_s1"]["file"], SENSORS["s1_iw_grd"])
    lons, lats = np.array(raw.footprint).reshape(-1, 2).T
    assert raw.crs == "EPSG:4326"
    assert -0.783 < lons.min() < lons.max() < -0.735 and 38.08 < lats.min() < lats.max() < 38.13
    assert abs(raw.gsd_m - 10) < 0.1
    netcdf = read_file(ASSETS / SCENES["ucayali_landsat"]["file"], SENSORS["landsat_composites"])
    assert -75 < netcdf.footprint[0] < -74 and -9 < netcdf.footprint[1] < -8
