"""Whatever the bytes: an image, a product, or a named error."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eo_nodes.contracts.errors import ImageError
from eo_nodes.contracts.values import Region
from eo_nodes.imaging import codecs
from eo_nodes.imaging.container import (
    ProductHeader,
    code_region,
    compose,
    read_container,
    write_container,
)
from eo_nodes.imaging.readers import Limits, from_message, read_bytes

LIMITS = Limits(max_pixels=100_000, max_bytes=1 << 20)
MAGICS = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"II*\0",
          b"\xff\x4f\xff\x51", b"\x93NUMPY", b"\x89HDF\r\n\x1a\n", b"CDF\x01", b""]  # fmt: skip
BLOCKS = st.sampled_from(["uint8", "uint16", "int16"]).flatmap(
    lambda dtype: hnp.arrays(dtype, st.tuples(st.integers(1, 3), st.integers(1, 20),
                                              st.integers(1, 20), st.integers(1, 5)))
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(MAGICS), st.binary(max_size=400))
def test_any_bytes_give_an_image_or_a_named_error(magic, tail):
    try:
        raw = read_bytes(magic + tail, None, LIMITS)
    except ImageError as error:
        assert error.code
    else:
        assert raw.values.ndim == 4


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["mono8", "bgr8", "16UC3", "32FC1", "16SC2", "8UC", "x"]),
       st.integers(0, 70_000), st.integers(0, 70_000), st.integers(0, 10_000),
       st.binary(max_size=200), st.booleans())  # fmt: skip
def test_any_message_gives_an_image_or_a_named_error(encoding, height, width, step, data, big):
    try:
        raw = from_message(encoding, height, width, step, data, big, limits=LIMITS)
    except ImageError as error:
        assert error.code
    else:
        assert raw.values.shape[:3] == (1, height, width)


@settings(max_examples=150, deadline=None)
@given(BLOCKS, st.sampled_from(codecs.CODECS), st.floats(0, 300))
def test_coding_keeps_its_bound(values, codec, bound):
    back = codecs.decode(codecs.encode(values, codec, max_error=bound))
    assert back.shape == values.shape and back.dtype == values.dtype
    assert np.abs(back.astype(int) - values.astype(int)).max() <= bound


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"", b"EOPC\x02\0\0\0"]), st.binary(max_size=300))
@example(b"EOPC\x02\0\0\0", b"\xff\xff\xff\xff\0\0\0\0")
def test_any_bytes_give_a_product_or_a_named_error(start, tail):
    with pytest.raises(ImageError):
        read_container(start + tail)


def small_product():
    frame = np.random.default_rng(2).integers(0, 4000, (1, 24, 24, 3), dtype=np.uint16)
    header = ProductHeader(request_id="r", window=(0, 0, 24, 24), dtype="uint16",
                           band_names=("a", "b", "c"))  # fmt: skip
    part = code_region(frame, Region(window=(4, 4, 12, 12), action="keep", scale=1.0))
    return write_container(header, codecs.encode(frame[:, ::4, ::4]), [part])


PRODUCT = small_product()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(PRODUCT) - 1), st.integers(1, 255)), min_size=1,
                max_size=6), st.integers(0, len(PRODUCT)))  # fmt: skip
def test_damaged_product_never_composes_to_other_pixels(flips, length):
    broken = bytearray(PRODUCT)
    for at, mask in flips:
        broken[at] ^= mask
    damaged = bytes(broken[:length])
    try:
        content = read_container(damaged)
    except ImageError:
        return
    # What is accepted must be what was sent: only the padding of the prefix carries no CRC.
    assert np.array_equal(compose(content), compose(read_container(PRODUCT)))
