"""camera_ingest: images from topics and from a watched folder become scenes.

Pixels go to the frame store; the graph carries handles. A bad image is an event and, when it
came as a file, lies in the quarantine folder; the next one is served.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage

from eo_nodes.contracts.errors import ImageError, StorageError
from eo_nodes.contracts.values import Scene
from eo_nodes.graph.paths import project_file
from eo_nodes.imaging.netcdf_child import through_child
from eo_nodes.imaging.readers import (
    Limits,
    RawImage,
    from_compressed,
    from_message,
    read_file,
)
from eo_nodes.imaging.scenes import scene_of
from eo_nodes.imaging.sensors import Sensor, load_sensors, sensor_for_file
from eo_nodes.store.boots import open_ids
from eo_nodes.store.frame_store import FrameStore
from eo_nodes.store.ledger_store import LedgerStore

from .base import EoNode
from .folders import state_folder
from .parameters import Parameter
from .runner import main_of

_PREVIEW_PX = 256
_NETCDF_TIMEOUT_S = 20.0


class CameraIngest(EoNode):
    """Ingest of one segment."""

    PARAMETERS = (
        Parameter("watch_dir", "", "folder watched for image files; empty: <state>/inbox"),
        Parameter("watch_s", 30.0, "period of looking into the folder, orbital s", 0.1, 3600.0),
        Parameter("frame_store_mb", 512, "limit of the frame store, MB", 1, 1_000_000),
    )

    def __init__(self, name: str = "camera_ingest", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Load the sensors, open the stores."""
        folder = Path(state_folder(self))
        text = Path(project_file("config/mission/sensors.yaml")).read_text(encoding="utf-8")
        self._sensors = load_sensors(text)
        self._records = LedgerStore(folder / "camera.db")
        self._ids = open_ids(self._records, "camera")
        self._frames = FrameStore(folder / "frames", self.param("frame_store_mb") << 20)
        self._frames.sweep()
        self._inbox = Path(self.param("watch_dir") or folder / "inbox")
        self._quarantine = folder / "quarantine"
        for path in (self._inbox, self._quarantine):
            path.mkdir(parents=True, exist_ok=True)
        self._half_seen: dict[str, tuple[int, int]] = {}
        self.speak("scene", "preview")
        self.listen("image", self._on_image)
        self.listen("image/compressed", self._on_compressed)

    def activate(self) -> None:
        """Look into the folder from now on; a file in hand at a kill is suspect: quarantined."""
        for path in self._inbox.glob(".taken-*"):
            name = path.name.removeprefix(".taken-")
            shutil.move(path, self._quarantine / f"unfinished__{name}")
            self.emit("BAD_IMAGE", f"{name[:120]}: in hand when the node died", code="unfinished")
        # Half a second off the full seconds that scenarios use: a file that appears in the very
        # moment of a look would be seen or not by chance.
        self.after(0.5, self._watch)

    def cleanup(self) -> None:
        """Close the store of ids."""
        self._records.close()

    # -- inputs ------------------------------------------------------------------------------

    def _stamp(self, header: Any) -> int:
        stamp_ns = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        if self.simulated:
            self._advance(stamp_ns)
        return stamp_ns or self.now_ns()

    def _sensor(self, frame_id: str) -> tuple[Sensor, str]:
        """Sensor and place from a frame id: ``sensor`` or ``sensor/place``."""
        name, _, place = frame_id.partition("/")
        if name not in self._sensors:
            raise ImageError("unknown_sensor", f"{name[:80]!r} is not in sensors.yaml")
        return self._sensors[name], place[:128]

    def _on_image(self, message: Any) -> None:
        capture_ns = self._stamp(message.header)

        def read() -> tuple[RawImage, Sensor, str]:
            sensor, place = self._sensor(message.header.frame_id)
            raw = from_message(
                message.encoding,
                message.height,
                message.width,
                message.step,
                bytes(message.data),
                bool(message.is_bigendian),
                sensor=sensor,
            )
            return raw, sensor, place

        self._ingest(read, capture_ns, message.header.frame_id)

    def _on_compressed(self, message: Any) -> None:
        capture_ns = self._stamp(message.header)

        def read() -> tuple[RawImage, Sensor, str]:
            sensor, place = self._sensor(message.header.frame_id)
            return from_compressed(bytes(message.data), sensor), sensor, place

        self._ingest(read, capture_ns, message.header.frame_id)

    def _watch(self) -> None:
        self.after(self.param("watch_s"), self._watch)
        for path in sorted(self._inbox.iterdir()):
            if path.name.startswith(".") or path.suffix in (".part", ".tmp") or path.is_dir():
                continue
            about = path.stat()
            state = (about.st_size, about.st_mtime_ns)
            if not self.simulated and self._half_seen.get(path.name) != state:
                self._half_seen[path.name] = state  # may still be written: wait until it stays
                continue
            self._half_seen.pop(path.name, None)
            self._ingest_file(path)

    def _ingest_file(self, path: Path) -> None:
        taken = path.parent / f".taken-{path.name}"
        os.replace(path, taken)  # taken once, also when we are killed in the middle

        def read() -> tuple[RawImage, Sensor, str]:
            sensor = sensor_for_file(self._sensors, path.name)
            if sensor is None:
                raise ImageError("unknown_sensor", f"{path.name[:80]!r}: expected SENSOR__name")
            place = path.stem.partition("__")[2]
            raw = read_file(taken, sensor, netcdf=through_child(_decode_netcdf, Limits()))
            return raw, sensor, place[:128]

        self._ingest(read, self.now_ns(), path.name, taken)

    # -- scenes ------------------------------------------------------------------------------

    def _ingest(self, read: Any, capture_ns: int, source: str, file: Path | None = None) -> None:
        scene_id = self._ids.new("scn", capture_ns)

        def work() -> tuple[Scene, bytes, tuple[str, ...]]:
            raw, sensor, place = read()
            scene = scene_of(
                raw, sensor, scene_id=scene_id, stamp_ns=capture_ns, frame_key=scene_id, place=place
            )
            handle = self._frames.put(scene_id, raw.values)
            return scene, preview_jpeg(raw.values), handle.evicted

        def then(result: tuple[Scene, bytes, tuple[str, ...]]) -> None:
            scene, jpeg, evicted = result
            if file is not None:
                file.unlink(missing_ok=True)
            for key in evicted:
                self.emit("FRAME_EVICTED", key)
            self.publish("scene", replace(scene, capture_ns=capture_ns))
            preview = CompressedImage(format="jpeg")
            preview.header.frame_id = scene.id
            preview.data = jpeg
            self.publish("preview", preview)
            self.emit("SCENE_CAPTURED", f"{scene.sensor} {scene.place}".strip(), scene=scene.id)

        def failed(error: Exception) -> None:
            if file is not None:
                shutil.move(file, self._quarantine / f"{scene_id}__{source[-120:]}")
            if isinstance(error, ImageError):
                self.emit("BAD_IMAGE", f"{source[:120]}: {error}", code=error.code)
            elif isinstance(error, StorageError):
                self.emit("STORE_FULL", f"{source[:120]}: {error}")
            else:
                raise error

        self.compute("ingest", source[:120], work, then, failed)


def _decode_netcdf(arguments: list[str], data: bytes) -> bytes:
    """Run the decoder in a child: damaged HDF5 can loop for ever."""
    command = [sys.executable, "-m", "eo_nodes.imaging.netcdf_child", *arguments]
    return subprocess.run(
        command, input=data, capture_output=True, timeout=_NETCDF_TIMEOUT_S, check=True
    ).stdout


def preview_jpeg(values: np.ndarray) -> bytes:
    """Thumbnail of the first frame: (F, H, W, C) to JPEG, 2..98 % stretched, RGB or grey."""
    frame = values[0]
    bands = [3, 2, 1] if frame.shape[2] >= 12 else [0, 1, 2] if frame.shape[2] >= 3 else [0]
    scale = min(1.0, _PREVIEW_PX / max(frame.shape[:2]))
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    picture = np.stack(
        [
            cv2.resize(frame[..., b].astype(np.float32), size, interpolation=cv2.INTER_AREA)
            for b in bands
        ],
        axis=-1,
    )
    low, high = np.percentile(picture, (2, 98))
    picture = np.clip((picture - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


main = main_of(CameraIngest)

if __name__ == "__main__":
    main()
