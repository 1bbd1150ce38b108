"""Fields of sensor_msgs/Image to arrays: every encoding, row padding, byte order."""

import cv2
import numpy as np
import pytest

from eo_nodes.imaging.readers import from_compressed, from_message

CASES = [
    ("mono8", "u1", 1), ("mono16", "u2", 1), ("rgb8", "u1", 3), ("8UC1", "u1", 1),
    ("8UC5", "u1", 5), ("16UC13", "u2", 13), ("16SC2", "i2", 2), ("32FC2", "f4", 2),
    ("rgb16", "u2", 3), ("32FC", "f4", 1),
]  # fmt: skip


@pytest.mark.parametrize(("encoding", "code", "channels"), CASES)
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 6])
def test_message_gives_the_samples_back(encoding, code, channels, big_endian, padding):
    values = np.random.default_rng(5).integers(-50, 50, (7, 9, channels))
    values = (values if code in ("i2", "f4") else abs(values)).astype(code)
    sent = values.astype(values.dtype.newbyteorder(">" if big_endian else "<"))
    rows = [row.tobytes() + bytes(padding) for row in sent]
    step = len(rows[0])
    raw = from_message(encoding, 7, 9, step, b"".join(rows), big_endian)
    assert raw.values.dtype == values.dtype
    assert np.array_equal(raw.values[0], values)


def test_last_row_may_lack_its_padding():
    data = bytes(range(3)) + b"xx" + bytes(range(3, 6))
    raw = from_message("mono8", 2, 3, 5, data)
    assert raw.values.ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_bgr_becomes_rgb_and_alpha_is_dropped():
    assert from_message("bgr8", 1, 1, 3, bytes([1, 2, 3])).values.ravel().tolist() == [3, 2, 1]
    assert from_message("bgra8", 1, 1, 4, bytes([1, 2, 3, 9])).values.ravel().tolist() == [3, 2, 1]
    assert from_message("rgba8", 1, 1, 4, bytes([1, 2, 3, 9])).values.ravel().tolist() == [1, 2, 3]


def test_compressed_png_and_jpeg_are_rgb():
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[..., 0] = 200  # red
    for suffix in (".png", ".jpg"):
        data = cv2.imencode(suffix, picture[..., ::-1])[1].tobytes()
        raw = from_compressed(data)
        assert raw.values.shape == (1, 32, 32, 3)
        assert abs(int(raw.values[0, 16, 16, 0]) - 200) < 4 and raw.values[0, 16, 16, 2] < 4
