"""Bad input of every kind, made from seeds: files, pictures on topics, tasks.

Each table goes from a name to how the thing is made; what must come of it stands in the tests.
"""

import struct
import zlib

import cv2
import numpy as np
import rasterio
from rasterio.io import MemoryFile

from eo_nodes.contracts.values import Task

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


GOOD = Task(
    id="task-good", prompt="How many ships?", consumer="ground", max_answers=1, modality="sar"
)
BAD_TASKS = {
    "empty prompt": {"prompt": ""},
    "prompt of 100 kB": {"prompt": "x" * 100_000},
    "area off the globe": {"area": (200.0, 0.0, 201.0, 0.0, 201.0, 1.0)},
    "area of NaN": {"area": (float("nan"), 0.0, 1.0, 0.0, 1.0, 1.0)},
    "deadline in the past": {"deadline_ns": 1_000_000_000},
    "unknown modality": {"modality": "lidar"},
    "unknown consumer": {"consumer": "moon"},
    "negative deadline": {"deadline_ns": -1},
    "no answers wanted": {"max_answers": 0},
}
