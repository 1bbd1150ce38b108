"""Bands: what their names say, and what of their values reaches a network."""

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import spectrum
from eo_nodes.lvlm.spectrum import CODE_SIZE, MAX_BANDS, Band, codes, normalise, parse_band

# Names as sensors and sets of data give them: kind, centre and width in nm, or polarisation.
NAMES = {
    "red": ("optical", 665.0, 35.0), "green": ("optical", 560.0, 36.0),
    "blue": ("optical", 490.0, 65.0), "near infrared": ("optical", 842.0, 110.0),
    "B01 443nm": ("optical", 443.0, 21.0), "B04 665nm": ("optical", 665.0, 31.0),
    "B05 705nm": ("optical", 705.0, 15.0), "B08 842nm": ("optical", 842.0, 106.0),
    "B8A 865nm": ("optical", 865.0, 21.0), "B8A": ("optical", 865.0, 21.0),
    "B11": ("optical", 1614.0, 91.0), "b12": ("optical", 2202.0, 175.0),
    "B08 near infrared": ("optical", 842.0, 110.0), "red edge": ("optical", 705.0, 15.0),
    "red_edge": ("optical", 705.0, 15.0), "coastal aerosol": ("optical", 443.0, 20.0),
    "swir 2": ("optical", 2200.0, 180.0), "short-wave infrared": ("optical", 1610.0, 90.0),
    "cirrus": ("optical", 1375.0, 30.0), "pan": ("optical", 600.0, 300.0),
    "grey": ("optical", 600.0, 300.0), "412.3 nm": ("optical", 412.3, 10.0),
    "2.2 um": ("optical", 2200.0, 10.0), "thermal": ("thermal", 10_500.0, 3000.0),
    "thermal 10900 nm": ("thermal", 10_900.0, 1000.0), "11 µm": ("thermal", 11_000.0, 1000.0),
}


@pytest.mark.parametrize("name", NAMES)
def test_reflective_and_thermal_bands(name):
    band = parse_band(name)
    assert (band.kind, band.centre_nm, band.width_nm) == NAMES[name]
    assert (band.name, band.polarisation) == (name, "")


@pytest.mark.parametrize(("name", "kind", "polarisation"), [
    ("VV", "sar", "VV"), ("vh", "sar", "VH"), ("Sigma0_HH", "sar", ""), ("HV dB", "sar", "HV"),
    ("amplitude", "sar", ""), ("magnitude", "sar", ""), ("elevation", "elevation", ""),
    ("dem", "elevation", ""), ("height above ground", "elevation", "")])
def test_radar_and_elevation_have_no_wavelength(name, kind, polarisation):
    band = parse_band(name)
    assert (band.kind, band.polarisation, band.centre_nm) == (kind, polarisation, 0.0)


def test_all_bands_of_an_imaging_spectrometer():
    names = [f"{400 + 10.3 * i:.1f} nm" for i in range(200)]
    bands = spectrum.parse_bands(names)
    assert [b.centre_nm for b in bands] == pytest.approx(400 + 10.3 * np.arange(200), abs=0.1)
    found = codes(bands)
    assert found.shape == (200, CODE_SIZE) and found.dtype == np.float32
    assert len(np.unique(found.round(4), axis=0)) == 200
    values = np.random.default_rng(0).integers(0, 10_000, (5, 4, 200)).astype(np.uint16)
    assert normalise(values, bands).shape == (200, 5, 4)


@pytest.mark.parametrize("name", ["band 7", "", "ch_3", "B99", "nm", "5 nm", "ratio"])
def test_a_band_without_a_wavelength_is_refused_by_name(name):
    with pytest.raises(ModelError, match="has no wavelength") as refused:
        spectrum.parse_bands(["red", name])
    assert repr(name) in str(refused.value)


@pytest.mark.parametrize("count", [0, MAX_BANDS + 1])
def test_number_of_bands(count):
    with pytest.raises(ModelError, match=f"{count} bands"):
        spectrum.parse_bands(["red"] * count)


@pytest.mark.parametrize("wrong", [
    {"kind": "sonar"}, {"kind": "sar", "polarisation": "XX"}, {"kind": "optical"},
    {"kind": "thermal", "centre_nm": 11_000.0}, {"kind": "optical", "centre_nm": float("nan"),
                                                 "width_nm": 10.0}])
def test_bands_made_wrong_are_refused(wrong):
    with pytest.raises(ModelError, match="band 'x'"):
        Band("x", **wrong)


def test_near_wavelengths_have_nearer_codes_than_far_ones():
    near, red, far = codes(spectrum.parse_bands(["655 nm", "665 nm", "2200 nm"]))
    assert np.linalg.norm(near - red) < 0.3 * np.linalg.norm(far - red)


def test_polarisations_and_kinds_have_codes_of_their_own():
    names = ["VV", "VH", "HH", "HV", "amplitude", "elevation", "thermal", "red"]
    assert len(np.unique(codes(spectrum.parse_bands(names)), axis=0)) == len(names)


# -- values --------------------------------------------------------------------------------------


def level(value, name, dtype):
    """[0, 1] of one value, undone from the network's scale."""
    values = np.full((1, 1, 1), value, dtype)
    return float(normalise(values, [parse_band(name)])[0, 0, 0] * 0.502 + 0.498)


@pytest.mark.parametrize(("value", "name", "dtype", "expected"), [
    (0, "red", np.uint8, 0.0), (255, "VV", np.uint8, 1.0), (51, "red", np.uint8, 0.2),
    (1500, "B04 665nm", np.uint16, 0.5), (0.15, "red", np.float32, 0.5),
    (-200, "red", np.int16, 0.0), (2400, "red", np.uint16, 0.8),
    (-12.5, "VV", np.float32, 0.5), (-18.5, "VH", np.float32, 0.5), (0.0, "VV", np.float32, 1.0),
    (290.0, "thermal", np.float32, 0.5), (400.0, "thermal", np.float32, 1.0)])
def test_ranges_by_kind_and_dtype(value, name, dtype, expected):
    assert level(value, name, dtype) == pytest.approx(expected, abs=2e-3)


def test_bright_snow_keeps_some_contrast():
    assert 0.8 < level(4000, "red", np.uint16) < level(6000, "red", np.uint16) < 1.0


@pytest.mark.parametrize(("bad", "expected"), [(np.nan, 0), (np.inf, 1), (-np.inf, 0)])
def test_values_that_are_not_finite(bad, expected):
    assert level(bad, "red", np.float32) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("name", ["elevation", "amplitude", "thermal"])
def test_stretched_bands_ignore_holes_and_empty_ones_are_dark(name):
    dtype = np.float32 if name == "elevation" else np.uint16
    band = [parse_band(name)]
    ramp = np.linspace(100, 3000, 400).reshape(20, 20, 1).astype(dtype)
    plain = normalise(ramp, band)
    assert plain.min() < -0.95 and plain.max() > 0.95
    if dtype == np.float32:
        holed = ramp.copy()
        holed[0, 0] = np.nan
        assert normalise(holed, band)[0, 5, 5] == pytest.approx(plain[0, 5, 5], abs=0.02)
        nothing = normalise(np.full((3, 3, 1), np.nan, dtype), band)
        assert np.isfinite(nothing).all() and nothing.max() < -0.95


@pytest.mark.parametrize(("values", "word"), [
    (np.zeros((4, 4)), "expected"), (np.zeros((0, 4, 1), np.uint8), "expected"),
    (np.zeros((4, 4, 1), np.float64), "dtype float64"), (np.zeros((4, 4, 1), bool), "dtype bool"),
    (np.zeros((4, 4, 2), np.uint8), "1 band names for 2")])
def test_arrays_that_are_refused(values, word):
    with pytest.raises(ModelError, match=word):
        normalise(values, [parse_band("red")])
