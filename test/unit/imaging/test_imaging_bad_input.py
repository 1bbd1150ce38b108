"""Bad files and messages: each ends in its named code or flag, and the next good input is read."""

import io
import struct
import tempfile
import tracemalloc
import zlib
from pathlib import Path

import cv2
import netCDF4
import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

from eo_nodes.contracts.errors import ImageError
from eo_nodes.imaging.readers import Limits, from_compressed, from_message, read_bytes, read_file
from eo_nodes.imaging.sensors import Band, Sensor

SEED = 20261121
LIMITS = Limits(max_pixels=4_000_000, max_bytes=64 << 20)
RGB = Sensor(
    name="rgb", modality="optical", dtype="uint8", valid_min=0, valid_max=255,
    bands=(Band("red"), Band("green"), Band("blue")),
)  # fmt: skip


def pixels(shape=(48, 64, 3), dtype=np.uint8):
    rng = np.random.default_rng(SEED)
    return rng.integers(0, 200, shape).astype(dtype)


def raster(values, driver="GTiff", place=True, **options):
    height, width, bands = values.shape
    if place:
        options |= {"crs": "EPSG:32630", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)}
    if driver == "JP2OpenJPEG":
        options |= {"QUALITY": "100", "REVERSIBLE": "YES"}
    with MemoryFile() as memory:
        with memory.open(driver=driver, height=height, width=width, count=bands,
                         dtype=values.dtype, **options) as target:  # fmt: skip
            target.write(np.moveaxis(values, -1, 0))
        return memory.read()


def png(values):
    return cv2.imencode(".png", values[..., ::-1])[1].tobytes()


def jpeg(values):
    return cv2.imencode(".jpg", values[..., ::-1])[1].tobytes()


def netcdf(values):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.nc"
        with netCDF4.Dataset(path, "w") as dataset:
            for name, size in zip(("y", "x", "band"), values.shape, strict=True):
                dataset.createDimension(name, size)
            image = dataset.createVariable("image", values.dtype, ("band", "y", "x"), zlib=True)
            image[:] = np.moveaxis(values, -1, 0)
        return path.read_bytes()


def npy(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def code_of(data, sensor=RGB, limits=LIMITS):
    with pytest.raises(ImageError) as caught:
        read_bytes(data, sensor, limits)
    return caught.value.code


MAKERS = {
    "tiff": lambda v: raster(v, compress="deflate"),
    "jp2": lambda v: raster(v, "JP2OpenJPEG"),
    "png": png,
    "jpeg": jpeg,
    "npy": npy,
    "netcdf": netcdf,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_good_file_is_read(kind):
    raw = read_bytes(MAKERS[kind](pixels()), RGB, LIMITS)
    assert raw.values.shape == (1, 48, 64, 3)
    if kind != "jpeg":
        assert np.array_equal(raw.values[0], pixels())


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_truncated_file_is_named(kind, share):
    data = MAKERS[kind](pixels())
    assert code_of(data[: max(1, int(len(data) * share))]) in ("truncated", "corrupt")


@pytest.mark.parametrize("kind", ["png", "jp2", "jpeg", "npy", "tiff"])
def test_file_cut_in_its_pixels_is_called_truncated(kind):
    data = MAKERS[kind](pixels())
    assert code_of(data[: len(data) * 4 // 5]) == "truncated"


def test_uncompressed_tiff_cut_in_its_strips_is_called_truncated():
    data = raster(pixels())
    assert code_of(data[: len(data) * 4 // 5]) == "truncated"


@pytest.mark.parametrize("kind", MAKERS)
def test_flipped_bits_end_in_a_code_or_in_an_image(kind):
    data = MAKERS[kind](pixels())
    rng = np.random.default_rng(SEED)
    refused = 0
    for _ in range(60):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 4):
            broken[at] ^= 1 << int(rng.integers(8))
        try:
            raw = read_bytes(bytes(broken), RGB, LIMITS)
        except ImageError as error:
            assert error.code.islower()
            refused += 1
        else:
            assert raw.values.shape[3] == 3
    # Every PNG chunk carries a CRC: no flip may pass. The other formats have no such check.
    assert kind != "png" or refused == 60


def test_flipped_bits_in_a_compressed_tiff_strip_are_seen():
    data = bytearray(MAKERS["tiff"](pixels((256, 256, 3))))
    data[len(data) // 2] ^= 0x10
    assert code_of(bytes(data)) == "corrupt"


@pytest.mark.parametrize("data", [b"", b"\x89P", b"GIF89a" + bytes(40), bytes(100)])
def test_no_image_at_all(data):
    expected = {b"": "empty", b"\x89P": "truncated"}.get(data, "unknown_format")
    assert code_of(data) == expected


def png_header(height, width):
    def chunk(kind, body):
        return (struct.pack(">I", len(body)) + kind + body
                + struct.pack(">I", zlib.crc32(kind + body)))  # fmt: skip

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IEND", b"")


def tiff_header(height, width):
    """A TIFF that claims a size; sparse, so a reader would allocate all of it."""
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", height=height, width=width, count=3, dtype="uint8",
                         sparse_ok=True, tiled=True):  # fmt: skip
            pass
        return memory.read()


def jp2_header(height, width):
    data = bytearray(MAKERS["jp2"](pixels()))
    at = data.index(b"\xff\x4f\xff\x51")
    struct.pack_into(">II", data, at + 8, width, height)
    return bytes(data)


def npy_header(height, width):
    stream = io.BytesIO()
    facts = {"descr": "|u1", "fortran_order": False, "shape": (height, width, 3)}
    np.lib.format.write_array_header_1_0(stream, facts)
    return stream.getvalue()


def jpeg_header(height, width):
    data = bytearray(jpeg(pixels()))
    at = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, height, width)
    return bytes(data)


@pytest.mark.parametrize("make", [png_header, tiff_header, jp2_header, npy_header, jpeg_header])
def test_huge_header_is_refused_before_decoding(make):
    data = make(20_000, 20_000)
    tracemalloc.start()
    assert code_of(data) == "too_large"
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(("height", "width"), [(0, 10), (10, 0)])
def test_zero_size_is_named(height, width):
    assert code_of(png_header(height, width)) == "empty"
    assert code_of(jp2_header(height, width)) == "empty"
    assert code_of(npy(np.zeros((height, width, 3), np.uint8))) == "empty"


@pytest.mark.parametrize("kind", ["tiff", "jp2", "npy", "netcdf"])
def test_wrong_band_count_is_named(kind):
    assert code_of(MAKERS[kind](pixels((48, 64, 4)))) == "wrong_band_count"


@pytest.mark.parametrize("kind", ["tiff", "jp2", "npy", "netcdf", "png"])
def test_wrong_dtype_is_named(kind):
    assert code_of(MAKERS[kind](pixels(dtype=np.uint16))) == "wrong_dtype"


def test_dtype_that_no_scene_has_is_named():
    assert code_of(npy(pixels().astype(np.float64)), None) == "wrong_dtype"
    assert code_of(npy(np.array([[object()]])), None) == "wrong_dtype"


def test_nan_is_replaced_and_flagged_and_all_nan_is_refused():
    sensor = Sensor(name="sar", modality="sar", dtype="float32", bands=(Band("VV"),),
                    valid_min=-100, valid_max=100)  # fmt: skip
    values = np.full((20, 20, 1), -10, np.float32)
    values[3:5, :, 0] = np.nan
    raw = read_bytes(raster(values), sensor, LIMITS)
    assert "nan_replaced" in raw.flags
    assert np.isfinite(raw.values).all()
    assert code_of(raster(np.full_like(values, np.nan)), sensor) == "no_valid_pixels"


def test_saturated_and_missing_pixels_are_flagged():
    values = pixels()
    values[:10] = 255
    assert read_bytes(raster(values), RGB, LIMITS).flags == ("saturated",)
    raw = read_bytes(raster(pixels(), nodata=7), RGB, LIMITS)
    assert raw.flags == ("nodata",)
    assert code_of(raster(np.full((8, 8, 3), 7, np.uint8), nodata=7)) == "no_valid_pixels"


@pytest.mark.parametrize("driver", ["GTiff", "JP2OpenJPEG"])
def test_missing_georeference_is_flagged(driver):
    raw = read_bytes(raster(pixels(), driver, place=False), RGB, LIMITS)
    assert raw.flags == ("no_georeference",)
    assert raw.crs == "" and raw.footprint == () and raw.geotransform == ()


def test_file_that_is_not_there_and_file_too_big(tmp_path):
    with pytest.raises(ImageError) as caught:
        read_file(tmp_path / "none.tif")
    assert caught.value.code == "unreadable"
    path = tmp_path / "big.png"
    path.write_bytes(png(pixels()))
    with pytest.raises(ImageError) as caught:
        read_file(path, RGB, Limits(max_file_bytes=100))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (("rgb8", 4, 5, 14, bytes(60)), "bad_step"),
        (("rgb8", 4, 5, 15, bytes(59)), "truncated"),
        (("rgb8", 0, 5, 15, b""), "empty"),
        (("yuv422", 4, 5, 15, bytes(60)), "unknown_encoding"),
        (("64FC1", 4, 5, 40, bytes(160)), "unknown_encoding"),
        (("mono8", 20_000, 20_000, 20_000, b""), "too_large"),
        (("mono8", 4, 5, 5, bytes(20)), "wrong_band_count"),
        (("16UC3", 4, 5, 30, bytes(120)), "wrong_dtype"),
    ],
)
def test_bad_message_is_named(fields, code):
    with pytest.raises(ImageError) as caught:
        from_message(*fields, sensor=RGB, limits=LIMITS)
    assert caught.value.code == code


def test_good_input_is_served_after_each_bad_one():
    good = MAKERS["tiff"](pixels())
    bad = [b"", bytes(50), tiff_header(20_000, 20_000), good[: len(good) // 2],
           *(make(pixels())[:200] for make in MAKERS.values())]  # fmt: skip
    for data in bad:
        with pytest.raises(ImageError):
            from_compressed(data, RGB, LIMITS)
        assert np.array_equal(read_bytes(good, RGB, LIMITS).values[0], pixels())
