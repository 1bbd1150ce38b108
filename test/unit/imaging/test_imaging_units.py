"""Values that can hardly be in the unit that they are read in."""

from pathlib import Path

import numpy as np
import pytest

from eo_nodes.imaging.sensors import load_sensors
from eo_nodes.imaging.units import doubt

ROOT = Path(__file__).parents[3]
SENSORS = load_sensors((ROOT / "config/mission/sensors.yaml").read_text()).values()


def image(low, high, bands=1, dtype=np.float32, shape=(40, 60)):
    values = np.linspace(low, high, shape[0] * shape[1] * bands)
    return values.astype(dtype).reshape(1, *shape, bands)


@pytest.mark.parametrize(("values", "names", "modality", "said"), [
    (image(1, 255, 2, np.uint8), ("VV", "VH"), "sar", "8-bit rendering; stored samples of s1_iw"),
    (image(1, 255, 1, np.uint8), ("vh",), "sar", "0.2 x value -45"),
    (image(-900, 900, 4, np.int16), ("HH", "HV", "VH", "VV"), "sar", "amplitude; stored samples"),
    (image(0, 2047, 1, np.uint16), ("panchromatic",), "optical", "worldview_pan"),
    (image(0, 0.9, 2), ("VV", "VH"), "sar", "decibel, but no value is below 0"),
    (image(0, 9000, 3), ("red", "green", "blue"), "optical", "values reach 8910"),
    (image(-10, 30), ("thermal",), "thermal", "kelvin"),
])
def test_what_speaks_against_a_unit_is_said(values, names, modality, said):
    assert said in doubt(values, names, modality, SENSORS)


@pytest.mark.parametrize(("values", "names", "modality"), [
    (image(0, 255, 3, np.uint8), ("red", "green", "blue"), "optical"),
    (image(0, 9000, 4, np.uint16), ("B04 665nm", "B03 560nm", "B02 490nm", "B08 842nm"),
     "multispectral"),
    (image(0, 255, 1, np.uint8), ("amplitude",), "sar"),
    (image(0, 5000, 2, np.uint16), ("VV", "VH"), "sar"),
    (image(-30, 5, 2), ("VV", "VH"), "sar"),
    (image(0, 1.3, 3), ("red", "green", "blue"), "optical"),
    (image(260, 320), ("thermal",), "thermal"),
    (image(0, 3000), ("elevation",), "elevation"),
    (image(0, 0, 2), ("VV", "VH"), "sar"),
])
def test_values_in_their_unit_raise_no_doubt(values, names, modality):
    assert doubt(values, names, modality, SENSORS) == ""


def test_values_that_are_not_finite_say_nothing():
    assert doubt(np.full((1, 4, 4, 1), np.nan, np.float32), ("VV",), "sar", SENSORS) == ""
    mixed = image(-20, -5)
    mixed[0, 0] = np.inf
    assert doubt(mixed, ("VV",), "sar", SENSORS) == ""
