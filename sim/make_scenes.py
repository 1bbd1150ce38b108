"""Make the demo's scenes, mosaics, questions and hash lists from the data folder.

    python -m sim.make_scenes --data DIR

Deterministic: the same data give the same files. Pixels are cut and laid out, never resampled and
never coded with loss; JPEG files are copied as they are.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from numpy.typing import NDArray

from eo_nodes.imaging.readers import read_file
from eo_nodes.imaging.sensors import Sensor, load_sensors
from sim import chips, demo_questions, scene_files
from sim.scene_table import (
    COPERNICUS,
    CROPS,
    FLOOD_CHIP,
    FLOOD_GRID,
    FLOOD_PLACE_FROM,
    MOSAICS,
    Crop,
    Mosaic,
)

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "sim" / "assets"
SEED = 20261121
LIMIT_BYTES = 8_000_000


class Maker:
    """Collects what goes into the tables while files are written."""

    def __init__(self, data: Path, sensors: dict[str, Sensor]) -> None:
        self.data, self.sensors = data, sensors
        self.rows: list[dict[str, Any]] = []
        self.tiles: dict[str, list[demo_questions.Tile]] = defaultdict(list)
        self.hashes: dict[str, list[str]] = {}

    def crop(self, spec: Crop) -> None:
        """Cut one scene."""
        path = self._path(spec.name, spec.sensor, spec.kind)
        if spec.kind == "jpg":
            shutil.copyfile(self.data / "scenes" / spec.sources[0], path)
        else:
            values, place = self._cut(spec)
            scene_files.write(path, values, self.sensors[spec.sensor], place)
        self._row(spec.name, path, "scene", spec.sensor, place=spec.place, date=spec.date,
                  source=spec.source, licence=spec.licence, note=spec.note)  # fmt: skip

    def _cut(self, spec: Crop) -> tuple[NDArray[Any], scene_files.Place | None]:
        sensor = self.sensors[spec.sensor]
        dates, place = [], None
        for name in spec.sources:
            with rasterio.open(self.data / "scenes" / name) as source:
                x, y, w, h = spec.window or (0, 0, source.width, source.height)
                block = source.read(window=rasterio.windows.Window(x, y, w, h))
                if source.crs is not None and place is None:
                    shift = source.transform * rasterio.Affine.translation(x, y)
                    place = scene_files.Place(source.crs, shift)
            dates.append(block if spec.bands is None else block[list(spec.bands)])
        stack = np.concatenate(dates)
        frames = stack.reshape(sensor.frames, len(sensor.bands), *stack.shape[1:])
        return np.moveaxis(frames, 1, -1), place

    def mosaic(self, spec: Mosaic, rng: random.Random) -> None:
        """Lay out chips of a test split."""
        rows = [r for r in chips.index(self.data, spec.dataset) if r["split"] == "test"]
        if spec.keep is not None:
            rows = [r for r in rows if r[spec.keep[0]] in spec.keep[1]]
        chosen = list(chips.read_chips(self.data, spec.dataset, _balanced(rows, spec, rng)))
        self._lay(spec.name, spec.sensor, spec.kind, chosen, spec.columns, None)
        self._row(spec.name, self._path(spec.name, spec.sensor, spec.kind), "mosaic", spec.sensor,
                  place=f"mosaic {spec.name}", date="various", source=spec.source,
                  licence=spec.licence,
                  note=f"{len(chosen)} chips of the test split, from different places")  # fmt: skip

    def flood(self) -> None:
        """Put the tiles of the flood chip back to their scene; names end in row and column."""
        rows = [r for r in chips.index(self.data, "flood_s1") if r["id"].startswith(FLOOD_CHIP)]
        rows.sort(key=lambda r: r["id"])
        if len(rows) != FLOOD_GRID**2 or {r["split"] for r in rows} != {"test"}:
            raise ValueError("the flood chip is not complete in the test split")
        with rasterio.open(self.data / "scenes" / FLOOD_PLACE_FROM) as source:
            place = scene_files.Place(source.crs, source.transform)
        tiles = list(chips.read_chips(self.data, "flood_s1", rows))
        name, sensor = "segura_flood_s1", "s1_iw_grd"
        self._lay(name, sensor, "tif", tiles, FLOOD_GRID, place)
        self._row(name, self._path(name, sensor, "tif"), "scene", sensor,
                  place="Segura flood plain, Spain", date="2019-09", source="Sen1Floods11 sample",
                  licence=f"not stated; {COPERNICUS}",
                  note="64 tiles of the test split put back to their chip")  # fmt: skip

    def _lay(self, name: str, sensor: str, kind: str, chosen: list[chips.Chip], columns: int,
             place: scene_files.Place | None) -> None:  # fmt: skip
        height, width, bands = chosen[0].frames[0].shape
        frames, rows = len(chosen[0].frames), -(-len(chosen) // columns)
        shape = (frames, rows * height, columns * width, bands)
        values = np.zeros(shape, chosen[0].frames[0].dtype)
        for number, chip in enumerate(chosen):
            y, x = (number // columns) * height, (number % columns) * width
            for frame, pixels in enumerate(chip.frames):
                values[frame, y : y + height, x : x + width] = pixels
            window = (x, y, width, height)
            self.tiles[name].append(demo_questions.Tile(name, chip.sample, window, chip.facts))
            self.hashes[chip.sample] = [chips.pixel_hash(pixels) for pixels in chip.frames]
        scene_files.write(self._path(name, sensor, kind), values, self.sensors[sensor], place)

    def _path(self, name: str, sensor: str, kind: str) -> Path:
        return ASSETS / "scenes" / f"{sensor}__{name}.{kind}"

    def _row(self, name: str, path: Path, kind: str, sensor_name: str, **texts: str) -> None:
        sensor = self.sensors[sensor_name]
        raw = read_file(path, sensor)  # what the camera node will see
        frames, height, width, bands = raw.values.shape
        corner = [round(v, 5) for v in raw.footprint[:2]]
        self.rows.append({
            "name": name, "file": f"scenes/{path.name}", "kind": kind, "sensor": sensor_name,
            "modality": sensor.modality, **texts, "frames": frames, "height": height,
            "width": width, "bands": [b.name for b in sensor.bands][:bands],
            "wavelength_um": [b.wavelength_um for b in sensor.bands], "gsd_m": sensor.gsd_m,
            "stored_dtype": sensor.dtype, "raw_bytes": raw.stored_bytes,
            "upper_left_lon_lat": corner, "flags": list(raw.flags),
            "stands_in_for": sensor.stands_in_for, "file_bytes": path.stat().st_size,
        })  # fmt: skip

    def question_rows(self, rng: random.Random) -> list[dict[str, Any]]:
        """Questions as plain rows."""
        scenes = {row["name"]: row for row in self.rows}
        drawn = demo_questions.draw(self.tiles, rng)
        return [{
            "id": f"q{number:02d}", "prompt": q.prompt, "answer": q.answer, "type": q.type,
            "modality": scenes[q.tile.scene]["modality"], "scene": q.tile.scene,
            "file": scenes[q.tile.scene]["file"], "place": scenes[q.tile.scene]["place"],
            "window": list(q.tile.window), "sample": q.tile.sample,
        } for number, q in enumerate(drawn, 1)]  # fmt: skip


def _balanced(rows: list[dict[str, Any]], spec: Mosaic, rng: random.Random) -> list[dict[str, Any]]:
    """Draw rows x columns lines, going round the values of ``spec.per``, in a mixed order."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[str(row[spec.per])].append(row)
    for key in sorted(groups):
        rng.shuffle(groups[key])
    keys = sorted(groups)
    rng.shuffle(keys)
    chosen: list[dict[str, Any]] = []
    while len(chosen) < spec.rows * spec.columns:
        chosen += [groups[key].pop() for key in keys if groups[key]]
    chosen = chosen[: spec.rows * spec.columns]
    rng.shuffle(chosen)
    return chosen


def main() -> None:
    """Write sim/assets, config/scenarios/demo_questions.yaml and the training hashes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--keep-hashes", action="store_true",
                        help="leave the list of training hashes as it is")  # fmt: skip
    options = parser.parse_args()
    sensors = load_sensors((ROOT / "config/mission/sensors.yaml").read_text(encoding="utf-8"))
    folder = ASSETS / "scenes"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    maker = Maker(options.data, sensors)
    for crop in CROPS:
        maker.crop(crop)
    maker.flood()
    for mosaic in MOSAICS:
        maker.mosaic(mosaic, random.Random(f"{SEED} {mosaic.name}"))
    questions = maker.question_rows(random.Random(f"{SEED} questions"))
    scene_files.write_tables(ASSETS, maker.rows)
    text = "# Made by sim.make_scenes; truth from labels of test splits. Windows: x y w h.\n"
    text += yaml.safe_dump({"questions": questions}, sort_keys=False, width=100)
    (ROOT / "config/scenarios/demo_questions.yaml").write_text(text, encoding="utf-8")
    hashes = json.dumps(maker.hashes, indent=0, sort_keys=True) + "\n"
    (ASSETS / "hashes.json").write_text(hashes, encoding="utf-8")
    if not options.keep_hashes:
        known = chips.training_hashes(options.data)
        target = ROOT / "test/data/imaging/training_hashes.bin"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bytes.fromhex("".join(known)))
    total = sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file())
    if total > LIMIT_BYTES:
        raise SystemExit(f"{total} bytes in sim/assets, limit {LIMIT_BYTES}")


if __name__ == "__main__":
    main()
