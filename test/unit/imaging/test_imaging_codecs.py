"""Coding of regions: exact where it must be, bounded where it may not, refused where it cannot."""

import numpy as np
import pytest

from eo_nodes.contracts.errors import ImageError
from eo_nodes.imaging import codecs

SHAPES = [(1, 1, 1, 1), (1, 1, 1, 5), (2, 6, 1, 3), (2, 5, 7, 3), (1, 64, 64, 13), (1, 33, 65, 2)]


def block(shape, dtype):
    rng = np.random.default_rng(9)
    if dtype == "float32":
        return rng.normal(-12, 6, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("codec", codecs.CODECS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_integers_come_back_exactly(codec, dtype, shape):
    values = block(shape, dtype)
    back = codecs.decode(codecs.encode(values, codec))
    assert back.dtype == values.dtype
    assert np.array_equal(back, values)


@pytest.mark.parametrize("codec", codecs.CODECS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("bound", [1, 2.5, 40])
def test_error_stays_within_the_bound(codec, dtype, bound):
    values = block((1, 40, 50, 3), dtype)
    back = codecs.decode(codecs.encode(values, codec, max_error=bound))
    assert np.abs(back.astype(float) - values.astype(float)).max() <= bound + 1e-5


def test_floats_are_kept_to_a_65535th_of_their_range():
    values = block((1, 64, 64, 2), "float32")
    back = codecs.decode(codecs.encode(values))
    span = float(values.max() - values.min())
    assert np.abs(back - values).max() <= span / 131070 + 1e-5


def test_floats_of_a_scaled_sensor_cost_no_more_than_its_bytes():
    smooth = np.cumsum(np.random.default_rng(4).integers(-3, 4, (1, 64, 64, 2)), axis=2) % 200
    stored = (smooth + 20).astype(np.uint8)
    physical = stored.astype(np.float32) * np.float32(0.2) + np.float32(-45)
    blob = codecs.encode(physical)
    assert np.abs(codecs.decode(blob) - physical).max() < 1e-5
    assert len(blob) <= len(codecs.encode(stored)) * 1.01


def test_constant_blocks_survive():
    for dtype, value in (("uint16", 65535), ("int16", -32768), ("float32", -25.5)):
        values = np.full((1, 9, 9, 2), value, dtype)
        assert np.array_equal(codecs.decode(codecs.encode(values)), values)


def test_lossy_is_smaller_than_lossless_on_a_smooth_scene():
    y, x = np.mgrid[0:128, 0:128]
    noise = np.random.default_rng(3).normal(0, 30, (128, 128))
    values = (2000 + 500 * np.sin(x / 9) * np.cos(y / 7) + noise).astype(np.uint16)
    values = values[None, ..., None]
    exact, bounded = len(codecs.encode(values)), len(codecs.encode(values, max_error=40))
    assert bounded < exact / 2 < values.nbytes / 2


@pytest.mark.parametrize(
    ("values", "codec", "code"),
    [
        (np.zeros((4, 4), np.uint8), "htj2k", "wrong_layout"),
        (np.zeros((1, 0, 4, 1), np.uint8), "htj2k", "wrong_layout"),
        (np.zeros((1, 4, 4, 1), np.float64), "htj2k", "wrong_dtype"),
        (np.full((1, 4, 4, 1), np.nan, np.float32), "htj2k", "not_finite"),
        (np.zeros((1, 4, 4, 1), np.uint8), "gif", "unknown_codec"),
    ],
)
def test_what_cannot_be_coded_is_named(values, codec, code):
    with pytest.raises(ImageError) as caught:
        codecs.encode(values, codec)
    assert caught.value.code == code


@pytest.mark.parametrize("codec", [c for c in codecs.CODECS if c != "jpeg2000_layers"])
def test_cut_blocks_are_refused(codec):
    blob = codecs.encode(block((1, 32, 32, 3), "uint16"), codec)
    for length in (0, 10, codecs.HEAD_BYTES, len(blob) // 2, len(blob) - 1):
        with pytest.raises(ImageError):
            codecs.decode(blob[:length])


def test_block_that_claims_more_than_allowed_is_refused():
    blob = bytearray(codecs.encode(block((1, 8, 8, 1), "uint8"), "raw"))
    blob[6:10] = b"\xff\xff\xff\xff"  # height and width
    with pytest.raises(ImageError) as caught:
        codecs.decode(bytes(blob), max_samples=1 << 20)
    assert caught.value.code == "too_large"


def picture(bands=3, dtype="uint8", side=96):
    """Smooth ground with sharp blocks; bands alike."""
    rng = np.random.default_rng(21)
    ground = np.cumsum(np.cumsum(rng.normal(0, 1, (side, side)), 0), 1)
    ground = (ground - ground.min()) / np.ptp(ground) * 180
    ground[20:30, 40:60] += 60
    noise = rng.normal(0, 2, (side, side, bands))
    scale = 1 if dtype == "uint8" else 37
    return ((ground[..., None] + noise) * scale).clip(0, 255 * scale).astype(dtype)[None]


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (3, "uint8"), (4, "uint16"),
                                              (2, "float32"), (13, "uint16")])  # fmt: skip
def test_a_wavelet_step_buys_bytes_for_error_and_keeps_bands_and_depth(bands, dtype):
    values = picture(bands, dtype)
    exact = len(codecs.encode(values))
    unit = 1 if dtype == "uint8" else 37
    sizes, errors = [], []
    for step in (2, 8, 32):
        blob = codecs.encode(values, wavelet_step=step * unit)
        back = codecs.decode(blob)
        assert back.dtype == values.dtype and back.shape == values.shape
        sizes.append(len(blob))
        errors.append(float(np.sqrt(np.mean((back.astype(float) - values) ** 2))) / unit)
    assert exact > sizes[0] > sizes[1] > sizes[2]
    assert errors[0] < errors[1] < errors[2] < 12


def test_samples_at_the_ends_of_their_range_do_not_wrap_around():
    values = np.zeros((1, 64, 64, 3), np.uint8)
    values[:, 20:40, 20:40] = 255
    for step in (8, 40, 100):
        back = codecs.decode(codecs.encode(values, wavelet_step=step)).astype(int)
        assert np.abs(back - values)[:, 26:34, 26:34].max() < 128
        assert back[:, :10].max() < 128


def test_bands_that_go_together_cost_less_together():
    values = picture(3)
    apart = sum(len(codecs.encode(values[..., i : i + 1])) for i in range(3))
    assert len(codecs.encode(values)) < 0.95 * apart
    assert np.array_equal(codecs.decode(codecs.encode(values)), values)


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (3, "uint8"), (5, "uint16")])
def test_layers_cut_short_give_a_coarser_picture(bands, dtype):
    values = picture(bands, dtype)
    blob = codecs.encode(values, "jpeg2000_layers")
    errors = [
        float(np.mean((codecs.decode(blob[: int(len(blob) * part)]).astype(float) - values) ** 2))
        for part in (0.12, 0.2, 0.35, 0.5, 0.7, 0.9, 1)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == 0
    assert errors[1] < 0.05 * values.astype(float).var()


def test_layers_cut_anywhere_decode_or_are_refused():
    blob = codecs.encode(picture(2, side=24), "jpeg2000_layers")
    for length in range(0, len(blob), 7):
        try:
            assert codecs.decode(blob[:length]).shape == (1, 24, 24, 2)
        except ImageError as error:
            assert error.code in ("truncated", "corrupt", "empty")


def test_only_htj2k_has_an_irreversible_form():
    with pytest.raises(ImageError):
        codecs.encode(picture(), "png", wavelet_step=4)
