"""The rule from native bands to composites."""

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.bands import MODALITIES, find_band, to_composites

S2 = ("B01 443nm", "B02 490nm", "B03 560nm", "B04 665nm", "B05 705nm", "B06 740nm", "B07 783nm",
      "B08 842nm", "B09 945nm", "B10 1375nm", "B11 1610nm", "B12 2190nm", "B8A 865nm")


def test_uint8_rgb_is_divided_by_255():
    values = np.array([[[0, 51, 255]]], np.uint8)
    out = to_composites(values, ("red", "green", "blue"), "optical")
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[[[0.0, 0.2, 1.0]]]], atol=1e-6)


def test_band_order_is_taken_from_the_names():
    values = np.array([[[10, 20, 30]]], np.uint8)
    out = to_composites(values, ("B02 490nm", "B03 560nm", "B04 665nm"), "optical")
    np.testing.assert_allclose(out[0, 0, 0] * 255, [30, 20, 10], atol=1e-4)


def test_sentinel_2_gives_true_colour_and_infrared():
    values = np.zeros((2, 3, 13), np.uint16)
    values[..., 3], values[..., 7], values[..., 10] = 2755, 4000, 2000    # B04, B08, B11
    out = to_composites(values, S2, "multispectral")
    assert out.shape == (2, 2, 3, 3)
    np.testing.assert_allclose(out[0, 0, 0], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(out[1, 0, 0], [0.5, 1.0, 2755 / 4000], atol=1e-6)


def test_red_edge_is_not_red():
    assert find_band(("red edge 705nm", "red"), "red") == 1


def test_sar_decibel_range():
    values = np.array([[[-25.0, -32.0], [0.0, -5.0]]], np.float32)
    out = to_composites(values, ("VV", "VH"), "sar")
    np.testing.assert_allclose(out[0, 0, :, :2], [[0, 0], [1, 1]], atol=1e-6)
    np.testing.assert_allclose(out[0, 0, :, 2], [7 / 15, 5 / 15], atol=1e-6)


def test_thermal_kelvin_range():
    out = to_composites(np.array([[[250.0], [290.0], [400.0]]], np.float32), ("t",), "thermal")
    np.testing.assert_allclose(out[0, 0, :, 0], [0, 0.5, 1])


def test_not_finite_values_are_bounded():
    values = np.array([[[np.nan, np.inf, -np.inf]]], np.float32)
    out = to_composites(values, ("red", "green", "blue"), "optical")
    np.testing.assert_array_equal(out[0, 0, 0], [0, 1, 0])


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("bands", [("grey",), ("VV", "VH"), ("red", "green", "blue"), S2])
def test_every_modality_and_dtype_stays_in_range(modality, dtype, bands):
    rng = np.random.default_rng(3)
    values = (rng.uniform(-40, 20_000, (5, 7, len(bands)))).astype(dtype)
    out = to_composites(values, bands, modality)
    assert out.shape[1:] == (5, 7, 3)
    assert out.min() >= 0 and out.max() <= 1 and np.isfinite(out).all()


@pytest.mark.parametrize(
    ("shape", "dtype", "bands", "modality", "reason"),
    [((4, 4), np.uint8, ("a",), "optical", "shape"),
     ((0, 4, 1), np.uint8, ("a",), "optical", "zeros"),
     ((4, 4, 1), np.float64, ("a",), "optical", "dtype"),
     ((4, 4, 2), np.uint8, ("a",), "optical", "1 band names for 2"),
     ((4, 4, 1), np.uint8, ("a",), "sonar", "sonar")])
def test_wrong_input_is_refused(shape, dtype, bands, modality, reason):
    with pytest.raises(ModelError, match=reason):
        to_composites(np.zeros(shape, dtype), bands, modality)
