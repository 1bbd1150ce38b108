"""The local frame of a ground station on the WGS-84 ellipsoid, and elevation seen from it."""

from __future__ import annotations

import math

import numpy as np
from skyfield.api import wgs84

from .mission import Station
from .timescale import FloatArray


class StationFrame:
    """East, north and up of one station in the Earth-fixed frame.

    Attributes:
        name: of the station.
        r_itrf_m: (3,) float64, position.
        enu: (3, 3) float64, rows are the unit vectors east, north, up.
        sin_mask: sine of the elevation mask.
    """

    def __init__(self, station: Station) -> None:
        lat, lon = math.radians(station.lat_deg), math.radians(station.lon_deg)
        place = wgs84.latlon(station.lat_deg, station.lon_deg, elevation_m=station.alt_m)
        self.name = station.name
        self.r_itrf_m: FloatArray = np.array(place.itrs_xyz.m, dtype=np.float64)
        east = (-math.sin(lon), math.cos(lon), 0.0)
        north = (-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat))
        up = (math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat))
        self.enu: FloatArray = np.array([east, north, up])
        self.sin_mask = math.sin(math.radians(station.mask_deg))

    def sin_elevation(self, r_itrf_m: FloatArray) -> FloatArray:
        """Sine of the geometric elevation, (N,), of positions (N, 3)."""
        d = r_itrf_m - self.r_itrf_m
        sine: FloatArray = (d @ self.enu[2]) / np.sqrt(np.einsum("ij,ij->i", d, d))
        return sine

    def sin_elevation_rate(self, r_itrf_m: FloatArray, v_itrf_m_s: FloatArray) -> FloatArray:
        """Time derivative of `sin_elevation`, (N,) 1/s, of positions and velocities (N, 3)."""
        d = r_itrf_m - self.r_itrf_m
        range_m = np.sqrt(np.einsum("ij,ij->i", d, d))
        range_rate_m_s = np.einsum("ij,ij->i", d, v_itrf_m_s) / range_m
        height_m, climb_m_s = d @ self.enu[2], v_itrf_m_s @ self.enu[2]
        rate: FloatArray = (climb_m_s - height_m * range_rate_m_s / range_m) / range_m
        return rate
