"""Poisoned files and pictures: a named event, a quarantine, and the next good one is a scene."""

import shutil
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

DOMAIN = 100
SEED = 20261121


def pixels(*shape, dtype=np.uint8):
    return np.random.default_rng(SEED).integers(0, 200, shape).astype(dtype)


def raster(values, driver="GTiff"):
    height, width, bands = values.shape
    options = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    with MemoryFile() as memory:
        with memory.open(driver=driver, height=height, width=width, count=bands,
                         dtype=values.dtype, crs="EPSG:32630",
                         transform=rasterio.Affine(10, 0, 5e5, 0, -10, 4e6),
                         **options) as target:  # fmt: skip
            target.write(np.moveaxis(values, -1, 0))
        return memory.read()


def png(values):
    return cv2.imencode(".png", values[..., ::-1])[1].tobytes()


def png_header(width, height):
    """PNG that says a size and holds next to nothing."""

    def part(name, content):
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = part(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + data + part(b"IEND", b"")


def cut(data, share=0.6):
    return data[: int(len(data) * share)]


def flipped(data):
    broken = bytearray(data)
    for position in range(len(data) // 3, len(data), 97):
        broken[position] ^= 0x55
    return bytes(broken)


RGB = pixels(64, 48, 3)
# File name -> (bytes, codes that name the fault).
POISON = {
    "rgb_camera__cut.tif": (cut(raster(RGB)), {"truncated", "corrupt"}),
    "rgb_camera__cut.jp2": (cut(raster(RGB, "JP2OpenJPEG")), {"truncated", "corrupt"}),
    "rgb_camera__cut.png": (cut(png(RGB)), {"truncated", "corrupt"}),
    "rgb_camera__flipped.png": (flipped(png(RGB)), {"truncated", "corrupt"}),
    "rgb_camera__empty.tif": (b"", {"empty", "truncated"}),
    "rgb_camera__noise.nc": (bytes(range(256)) * 9, {"unknown_format", "corrupt"}),
    "rgb_camera__one_band.tif": (raster(RGB[..., :1]), {"wrong_band_count"}),
    "s2_msi__eight_bit.tif": (raster(pixels(32, 32, 13)), {"wrong_dtype"}),
    "rgb_camera__huge.png": (png_header(20_000, 20_000), {"too_large"}),
    "rgb_camera__no_size.png": (png_header(0, 0), {"empty"}),
    "toaster__x.tif": (raster(RGB), {"unknown_sensor"}),
    "no_sensor_at_all.tif": (raster(RGB), {"unknown_sensor"}),
}


@pytest.fixture
def bench(bench_of):
    made = bench_of(DOMAIN)
    for topic in ("event", "scene"):
        made.hear(topic)
    return made


@pytest.fixture
def camera(bench):
    from eo_nodes.nodes.camera_ingest_node import CameraIngest

    return bench.start(CameraIngest, watch_s=0.1)


def put(folder, name, data):
    """As a good citizen does: complete under another name, then renamed."""
    part = folder / f".{name}.part"
    part.write_bytes(data)
    part.replace(folder / name)


def test_m32_every_poisoned_file_is_named_and_quarantined_and_good_ones_are_served(
    bench, camera, tmp_path
):
    inbox, quarantine = tmp_path / "test" / "inbox", tmp_path / "test" / "quarantine"
    for name, (data, _) in POISON.items():
        put(inbox, name, data)
    put(inbox, "s2_rgb__good.tif", raster(RGB))
    scene = bench.only("scene", "place", "good")
    assert (scene.height, scene.width, scene.bands) == (64, 48, 3)
    for name, (_, codes) in POISON.items():
        event = bench.event("BAD_IMAGE", name[:120])
        assert any(f'"code": "{code}"' in event.fields_json for code in codes), (name, event)
    kept = {path.name.partition("__")[2]: path.read_bytes() for path in quarantine.iterdir()}
    assert kept == {name: data for name, (data, _) in POISON.items()}
    assert [path.name for path in inbox.iterdir()] == []
    assert len(bench.heard["scene"]) == 1
    assert camera.is_active
    assert not [event for event in bench.heard["event"] if event.id == "INTERNAL_ERROR"]


def test_m32_nan_and_saturated_pixels_become_flags_or_a_refusal_never_a_failure(
    bench, camera, tmp_path
):
    inbox = tmp_path / "test" / "inbox"
    dem = pixels(32, 32, 1, dtype=np.float32)
    dem[:8] = np.nan
    put(inbox, "aster_dem__holes.tif", raster(dem))
    bright = np.full((32, 32, 3), 255, np.uint8)
    put(inbox, "rgb_camera__bright.png", png(bright))  # no georeference either
    done = bench.until(
        lambda: (
            len(bench.heard["scene"]) + sum(e.id == "BAD_IMAGE" for e in bench.heard["event"]) >= 2
        ),
        "both files",
    )
    assert done
    flags = {scene.place: set(scene.flags) for scene in bench.heard["scene"]}
    assert {"saturated", "no_georeference"} <= flags["bright"]
    assert camera.is_active
    assert not [event for event in bench.heard["event"] if event.id == "INTERNAL_ERROR"]


def image(frame_id="rgb_camera/port", values=RGB, **changes):
    from sensor_msgs.msg import Image

    height, width, bands = values.shape
    message = Image(
        height=height, width=width, step=width * bands, encoding=f"8UC{bands}",
        data=values.tobytes(),
    )  # fmt: skip
    message.header.frame_id = frame_id
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def compressed(data, frame_id="rgb_camera/port"):
    from sensor_msgs.msg import CompressedImage

    message = CompressedImage(format="png", data=data)
    message.header.frame_id = frame_id
    return message


BAD_PICTURES = {
    "unknown sensor": ("image", lambda: image("toaster/port")),
    "no sensor": ("image", lambda: image("")),
    "zero size": ("image", lambda: image(height=0, width=0, step=0, data=b"")),
    "fewer bytes than said": ("image", lambda: image(data=bytes(100))),
    "more rows than bytes": ("image", lambda: image(height=20_000, width=20_000)),
    "step too short": ("image", lambda: image(step=3)),
    "wrong bands": ("image", lambda: image(values=pixels(8, 8, 1))),
    "wrong type": ("image", lambda: image(encoding="32FC3")),
    "unknown encoding": ("image", lambda: image(encoding="bayer_grbg8")),
    "largest numbers": ("image", lambda: image(height=2**32 - 1, width=2**32 - 1)),
    "torn png": ("image/compressed", lambda: compressed(cut(png(RGB)))),
    "no bytes": ("image/compressed", lambda: compressed(b"")),
    "noise": ("image/compressed", lambda: compressed(bytes(range(256)))),
    "huge header": ("image/compressed", lambda: compressed(png_header(20_000, 20_000))),
    "toaster png": ("image/compressed", lambda: compressed(png(RGB), "toaster")),
}


def test_m32_every_bad_picture_on_a_topic_is_named_and_the_next_good_one_is_a_scene(bench, camera):
    for name, (topic, make) in BAD_PICTURES.items():
        start = len(bench.heard["event"])
        bench.say(topic, make())
        bench.until(
            lambda start=start: [e for e in bench.heard["event"][start:] if e.id == "BAD_IMAGE"],
            f"BAD_IMAGE for {name}",
        )
    assert bench.heard["scene"] == []
    bench.say("image", image())
    scene = bench.only("scene", "place", "port")
    assert (scene.sensor, scene.height, scene.width) == ("rgb_camera", 64, 48)
    bench.say("image/compressed", compressed(png(RGB), "rgb_camera/quay"))
    again = bench.only("scene", "place", "quay")
    assert again.sha256 == scene.sha256, "the same pixels by either way"
    assert camera.is_active
    assert not [event for event in bench.heard["event"] if event.id == "INTERNAL_ERROR"]


def test_m24_file_in_hand_at_a_kill_is_quarantined_at_the_next_start(bench, tmp_path):
    from eo_nodes.nodes.camera_ingest_node import CameraIngest

    inbox = tmp_path / "test" / "inbox"
    inbox.mkdir(parents=True)
    (inbox / ".taken-rgb_camera__deadly.tif").write_bytes(raster(RGB))
    bench.start(CameraIngest, watch_s=0.1)
    bench.event("BAD_IMAGE", "unfinished")
    kept = [path.name for path in (tmp_path / "test" / "quarantine").iterdir()]
    assert kept == ["unfinished__rgb_camera__deadly.tif"]


def test_real_scene_of_the_box_becomes_a_scene_and_a_preview(bench, camera, tmp_path):
    bench.hear("preview")
    box = Path(__file__).parents[2] / "sim" / "assets" / "scenes"
    name = "s2_msi__land_s2_13band.jp2"
    part = tmp_path / "copy"
    shutil.copy(box / name, part)
    part.replace(tmp_path / "test" / "inbox" / name)
    scene = bench.only("scene", "place", "land_s2_13band")
    assert (scene.modality, scene.bands, scene.dtype) == ("multispectral", 13, "uint16")
    preview = bench.until(lambda: bench.heard["preview"], "preview")[0]
    shown = cv2.imdecode(np.frombuffer(bytes(preview.data), np.uint8), cv2.IMREAD_COLOR)
    assert preview.header.frame_id == scene.id and max(shown.shape) <= 256
