"""NetCDF through a child process: same image, same codes, and a child that never ends is named."""

import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from eo_nodes.contracts.errors import ImageError
from eo_nodes.imaging.netcdf_child import pack, through_child
from eo_nodes.imaging.readers import Limits, read_file

ROOT = Path(__file__).parents[3]
LIMITS = Limits(max_pixels=100_000)


def in_process(arguments, data):
    assert arguments == [str(LIMITS.max_pixels), str(LIMITS.max_bytes)]
    return pack(data, LIMITS)


def made(folder, shape=(2, 3, 20, 30)):
    path = folder / "made.nc"
    with netCDF4.Dataset(path, "w") as target:
        for name, size in zip(("time", "band", "y", "x"), shape, strict=True):
            target.createDimension(name, size)
        image = target.createVariable("image", np.int16, ("time", "band", "y", "x"))
        image[:] = np.arange(np.prod(shape)).reshape(shape) % 999
        for name, size in (("y", shape[2]), ("x", shape[3])):
            axis = target.createVariable(name, "f8", (name,))
            axis.units = "degrees"
            axis[:] = 40 + 0.01 * np.arange(size)
    return path


def test_child_gives_the_same_image(tmp_path):
    path = made(tmp_path)
    direct = read_file(path, None, LIMITS)
    other = read_file(path, None, LIMITS, netcdf=through_child(in_process, LIMITS))
    assert np.array_equal(direct.values, other.values)
    assert (direct.crs, direct.footprint, direct.gsd_m) == ("EPSG:4326", other.footprint,
                                                            other.gsd_m)  # fmt: skip
    assert direct.values.shape == (2, 20, 30, 3)


def test_real_child_reads_and_refuses(tmp_path):
    def run(arguments, data):
        command = [sys.executable, "-m", "eo_nodes.imaging.netcdf_child", *arguments]
        return subprocess.run(command, input=data, capture_output=True, timeout=60, check=True,
                              cwd=ROOT).stdout  # fmt: skip

    path = made(tmp_path)
    raw = read_file(path, None, LIMITS, netcdf=through_child(run, LIMITS))
    assert raw.values.dtype == np.int16 and raw.values[0, 0, 1, 0] == 1


def test_codes_come_through(tmp_path):
    path = made(tmp_path, (1, 1, 400, 400))
    with pytest.raises(ImageError) as caught:
        read_file(path, None, LIMITS, netcdf=through_child(in_process, LIMITS))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("fault", [TimeoutError, OSError, subprocess.SubprocessError])
def test_child_that_hangs_or_dies_is_named(tmp_path, fault):
    def run(arguments, data):
        raise fault

    with pytest.raises(ImageError) as caught:
        read_file(made(tmp_path), None, LIMITS, netcdf=through_child(run, LIMITS))
    assert caught.value.code == "corrupt"


@pytest.mark.parametrize("answer", [b"", b"\x05\0\0\0abc", b"\x02\0\0\0{}", b"\xff" * 40])
def test_child_that_talks_nonsense_is_named(tmp_path, answer):
    decoder = through_child(lambda arguments, data: answer, LIMITS)
    with pytest.raises(ImageError) as caught:
        read_file(made(tmp_path), None, LIMITS, netcdf=decoder)
    assert caught.value.code == "corrupt"
