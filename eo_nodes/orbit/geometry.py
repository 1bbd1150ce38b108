"""What a station sees of a satellite, where the satellite is, and whether the Sun lights it.

Everything takes scalar or array times (UTC ns since 1970) and gives float64 arrays of the same
length (a scalar counts as length 1). Elevation, azimuth and range are geometric; the light time is
given apart. The cheap path for one time at a time is look_table.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from skyfield.api import EarthSatellite, wgs84

from .mission import Station
from .propagation import Orbit
from .station_frame import StationFrame
from .timescale import FloatArray, IntArray, ephemeris, skyfield_time, timescale

C_M_S = 299_792_458.0


@dataclass(frozen=True, slots=True)
class Look:
    """A satellite as a station sees it; all fields (N,) float64.

    Attributes:
        elevation_deg: above the local horizon, [-90, 90].
        azimuth_deg: from north over east, [0, 360).
        range_m: straight distance.
        range_rate_m_s: its change, positive when the satellite recedes.
        light_time_s: range over the speed of light.
    """

    elevation_deg: FloatArray
    azimuth_deg: FloatArray
    range_m: FloatArray
    range_rate_m_s: FloatArray
    light_time_s: FloatArray

    def doppler_hz(self, carrier_hz: float) -> FloatArray:
        """Shift of a carrier seen by the station, Hz, positive when approaching (first order)."""
        return -self.range_rate_m_s / C_M_S * carrier_hz


@dataclass(frozen=True, slots=True)
class Subpoint:
    """The point below a satellite on the WGS-84 ellipsoid; all fields (N,) float64.

    Attributes:
        lat_deg, lon_deg: geodetic, [-90, 90] and [-180, 180].
        alt_m: of the satellite above the ellipsoid.
    """

    lat_deg: FloatArray
    lon_deg: FloatArray
    alt_m: FloatArray


def look(orbit: Orbit, station: Station, t_ns: npt.ArrayLike) -> Look:
    """See a satellite from a station.

    Raises:
        PropagationError: SGP4 refuses a time.
    """
    frame = StationFrame(station)
    r_m, v_m_s = orbit.itrf(t_ns)
    d_enu = (r_m - frame.r_itrf_m) @ frame.enu.T
    range_m = np.linalg.norm(d_enu, axis=1)
    rate_m_s = np.einsum("ij,ij->i", d_enu, v_m_s @ frame.enu.T) / range_m
    return Look(
        elevation_deg=np.degrees(np.arcsin(d_enu[:, 2] / range_m)),
        azimuth_deg=np.degrees(np.arctan2(d_enu[:, 0], d_enu[:, 1])) % 360.0,
        range_m=range_m,
        range_rate_m_s=rate_m_s,
        light_time_s=range_m / C_M_S,
    )


def subpoint(orbit: Orbit, t_ns: npt.ArrayLike) -> Subpoint:
    """Find the point below a satellite."""
    times_ns = np.atleast_1d(np.asarray(t_ns, dtype=np.int64))
    orbit.itrf(times_ns)  # raises where SGP4 refuses, which skyfield turns into NaN
    place = wgs84.geographic_position_of(_skyfield_satellite(orbit).at(skyfield_time(times_ns)))
    return Subpoint(place.latitude.degrees, place.longitude.degrees, place.elevation.m)


def ground_track(
    orbit: Orbit, start_ns: int, end_ns: int, step_ns: int
) -> tuple[IntArray, Subpoint]:
    """Sample the subpoint from start to end (both included when the step divides the window).

    Longitude jumps by 360 deg at the antimeridian; a map has to cut the line there.
    """
    times_ns = np.arange(start_ns, end_ns + 1, step_ns, dtype=np.int64)
    return times_ns, subpoint(orbit, times_ns)


def is_sunlit(orbit: Orbit, t_ns: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Tell whether the Sun lights the satellite, (N,) bool.

    The Earth is a sphere of its equatorial radius and the Sun a point, so the change is up to some
    10 s off in a low orbit. Source: skyfield `is_sunlit` with DE421.
    """
    times_ns = np.atleast_1d(np.asarray(t_ns, dtype=np.int64))
    orbit.itrf(times_ns)
    return np.asarray(
        _skyfield_satellite(orbit).at(skyfield_time(times_ns)).is_sunlit(ephemeris()), dtype=bool
    )


def _skyfield_satellite(orbit: Orbit) -> Any:
    return EarthSatellite.from_satrec(orbit.elements.satrec, timescale())
