"""Elevation, range and Doppler at one time for some microseconds: what a channel asks per frame.

A pass is propagated once on a coarse grid in the station's frame; between nodes the position is the
cubic Hermite polynomial of positions and velocities. With nodes 10 s apart the position error of a
low orbit is below 1 mm (h^4 n^4 r / 384 with n = 1.1e-3 rad/s).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .errors import OrbitError, OutOfTableError
from .geometry import C_M_S
from .mission import Station
from .propagation import Orbit
from .station_frame import StationFrame
from .timescale import S_NS

_STEP_NS = 10 * S_NS


@dataclass(frozen=True, slots=True)
class LookPoint:
    """A satellite as a station sees it at one time.

    Attributes:
        elevation_deg: [-90, 90].  azimuth_deg: [0, 360).  range_m: > 0.
        range_rate_m_s: positive when the satellite recedes.  light_time_s: range over c.
    """

    elevation_deg: float
    azimuth_deg: float
    range_m: float
    range_rate_m_s: float
    light_time_s: float

    def doppler_hz(self, carrier_hz: float) -> float:
        """Shift of a carrier seen by the station, Hz, positive when approaching (first order)."""
        return -self.range_rate_m_s / C_M_S * carrier_hz


class LookTable:
    """One satellite seen from one station over one window.

    Attributes:
        start_ns, end_ns: first and last time it answers, UTC ns since 1970.
    """

    def __init__(self, orbit: Orbit, station: Station, start_ns: int, end_ns: int) -> None:
        if start_ns >= end_ns:
            raise OrbitError(f"the window from {start_ns} to {end_ns} ns is empty")
        frame = StationFrame(station)
        count = -(-(end_ns - start_ns) // _STEP_NS) + 1
        r_m, v_m_s = orbit.itrf(start_ns + np.arange(count, dtype=np.int64) * _STEP_NS)
        step_s = _STEP_NS / S_NS
        self.start_ns = start_ns
        self.end_ns = end_ns
        # Plain tuples: indexing a float out of an array costs more than the whole evaluation.
        self._r = [tuple(row) for row in ((r_m - frame.r_itrf_m) @ frame.enu.T).tolist()]
        self._v = [tuple(row) for row in (v_m_s @ frame.enu.T * step_s).tolist()]

    def at(self, t_ns: int) -> LookPoint:
        """Look at one time of the window.

        Raises:
            OutOfTableError: the time is outside [start_ns, end_ns].
        """
        if not self.start_ns <= t_ns <= self.end_ns:
            raise OutOfTableError(f"{t_ns} ns is outside {self.start_ns} to {self.end_ns} ns")
        i, rest_ns = divmod(t_ns - self.start_ns, _STEP_NS)
        if i == len(self._r) - 1:
            i, rest_ns = i - 1, _STEP_NS
        u = rest_ns / _STEP_NS
        # Hermite basis and its derivative in u; velocities are already per step.
        w = 1.0 - u
        h0, h1 = (1.0 + 2.0 * u) * w * w, u * u * (3.0 - 2.0 * u)
        g0, g1 = u * w * w, -u * u * w
        dh = 6.0 * u * w
        dg0, dg1 = w * (1.0 - 3.0 * u), u * (3.0 * u - 2.0)
        ra, rb, va, vb = self._r[i], self._r[i + 1], self._v[i], self._v[i + 1]
        east, north, up = (h0 * ra[k] + h1 * rb[k] + g0 * va[k] + g1 * vb[k] for k in (0, 1, 2))
        v_east, v_north, v_up = (
            dh * (rb[k] - ra[k]) + dg0 * va[k] + dg1 * vb[k] for k in (0, 1, 2)
        )
        range_m = math.sqrt(east * east + north * north + up * up)
        along = (east * v_east + north * v_north + up * v_up) / range_m
        return LookPoint(
            elevation_deg=math.degrees(math.asin(up / range_m)),
            azimuth_deg=math.degrees(math.atan2(east, north)) % 360.0,
            range_m=range_m,
            range_rate_m_s=along * S_NS / _STEP_NS,
            light_time_s=range_m / C_M_S,
        )
