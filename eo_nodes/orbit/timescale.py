"""Integer ns since 1970 (UTC) to the times that sgp4 and skyfield want, and the packaged tables.

POSIX time has no leap second: a day is 86 400 s, and a leap second shares its label with the second
after it. None has been inserted since 2017 and none is announced, so UTC and POSIX agree here.
No wall clock is read, and nothing is downloaded: Earth orientation (finals2000A) and the planetary
ephemeris (DE421) come from the `skyfield-data` package. Its own path helper is not used, because
that compares file ages with the wall clock. Past the last row, some months ahead of the release,
skyfield extrapolates UT1-UTC; 0.1 s of it moves a station by 46 m at the equator.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skyfield.api import Loader

from .errors import OrbitError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

S_NS = 1_000_000_000
DAY_NS = 86_400 * S_NS
_JD_1970 = 2_440_587.5


@functools.lru_cache(maxsize=1)
def _loader() -> Any:
    import skyfield_data

    folder = Path(skyfield_data.__file__).parent / "data"
    for name in ("de421.bsp", "finals2000A.all"):
        if not (folder / name).is_file():
            # Checked first: skyfield would try to download what it does not find.
            raise OrbitError(f"the package skyfield-data lacks {name}")
    return Loader(str(folder), verbose=False)


@functools.lru_cache(maxsize=1)
def timescale() -> Any:
    """Give the shared skyfield `Timescale`, read once (about 60 ms)."""
    return _loader().timescale(builtin=False)


@functools.lru_cache(maxsize=1)
def ephemeris() -> Any:
    """Give the shared DE421 kernel (Sun and Earth, 1900 to 2053), opened once."""
    return _loader()("de421.bsp")


def utc_jd(t_ns: IntArray) -> tuple[FloatArray, FloatArray]:
    """Split UTC times into Julian date and day fraction, as sgp4 wants them.

    Args:
        t_ns: (N,) int64, ns since 1970 UTC.
    Returns:
        (N,) Julian date ending in .5, days; (N,) fraction in [0, 1), days; together exact to 10 ps.
    """
    days, rest_ns = np.divmod(t_ns, DAY_NS)
    return _JD_1970 + days, rest_ns / DAY_NS


def skyfield_time(t_ns: IntArray | int) -> Any:
    """Make a skyfield `Time` from UTC ns, scalar or array; exact to about 10 ps."""
    days, rest_ns = np.divmod(t_ns, DAY_NS)
    return timescale().utc(1970, 1, 1 + days, 0, 0, rest_ns / S_NS)
