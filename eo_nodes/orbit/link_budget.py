"""The rate that a radio link carries at a range and an elevation, in either direction.

    C/N0 [dBHz] = EIRP - L_fs - L_gas - L_rain - L_point - L_pol + G/T - k
    a rung of the ladder holds when C/N0 >= R_s + Es/N0 + L_impl + margin

| term | unit | meaning | source |
|---|---|---|---|
| EIRP | dBW | transmitter power + antenna gain - line loss | satellites.yaml, stations.yaml |
| L_fs | dB | free-space loss, 20 log10(4 pi d f / c) | ITU-R P.525-4, eq. 3 |
| L_gas | dB | clear-air zenith loss / sin(elevation), from 5 deg up | ITU-R P.676-13, annex 2 |
| L_rain | dB | fixed provision for the site's climate and band | stations.yaml |
| L_point, L_pol | dB | mispointing; polarisation mismatch | satellites.yaml |
| G/T | dB/K | receiving antenna gain over system noise temperature | as EIRP |
| k | dBW/K/Hz | Boltzmann's constant, -228.599 | CODATA 2018 |
| R_s | dBHz | 10 log10 of the symbol rate | ladder |
| Es/N0 | dB | need of the modulation and code; Eb/N0 = Es/N0 - 10 log10(bits per symbol) | ladder |
| L_impl | dB | real demodulator against theory | satellites.yaml |
| margin | dB | kept free | satellites.yaml |

The satellite's antenna gain is one figure (an isoflux or hemispherical antenna): no pattern yet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .geometry import C_M_S
from .mission import Carrier, ModCod, Satellite, Station
from .timescale import FloatArray

BOLTZMANN_DBW_K_HZ = 10.0 * math.log10(1.380649e-23)
# Below 5 deg the cosecant overstates the path, and no mask lies there except by configuration.
_LOWEST_SLANT_SIN = math.sin(math.radians(5.0))


@dataclass(frozen=True, slots=True)
class LinkBudget:
    """One direction of one satellite-station link.

    Attributes:
        carrier: frequency, losses and ladder.
        eirp_dbw: of the transmitting side.
        g_over_t_db_k: of the receiving side.
        gas_zenith_db, rain_margin_db: of the station's site in the carrier's band.
    """

    carrier: Carrier
    eirp_dbw: float
    g_over_t_db_k: float
    gas_zenith_db: float
    rain_margin_db: float

    @property
    def _fixed_db(self) -> float:
        """What depends on neither range nor elevation."""
        return (
            self.eirp_dbw + self.g_over_t_db_k - BOLTZMANN_DBW_K_HZ - self.rain_margin_db
            - self.carrier.pointing_loss_db - self.carrier.polarisation_loss_db
        )  # fmt: skip

    def c_n0_dbhz(self, range_m: npt.ArrayLike, elevation_deg: npt.ArrayLike) -> FloatArray:
        """Carrier over noise density, dBHz.

        Args:
            range_m: (N,) or scalar, > 0.  elevation_deg: (N,) or scalar, degrees.
        Returns:
            (N,) float64; scalars count as length 1.
        """
        slant = np.maximum(np.sin(np.radians(elevation_deg)), _LOWEST_SLANT_SIN)
        loss_db = free_space_loss_db(range_m, self.carrier.frequency_hz)
        return np.atleast_1d(self._fixed_db - loss_db - self.gas_zenith_db / slant)

    def required_dbhz(self, rung: ModCod) -> float:
        """C/N0 at which a rung holds, losses and margin included, dBHz."""
        return (
            10.0 * math.log10(rung.symbol_rate_sps) + rung.es_n0_db
            + self.carrier.implementation_loss_db + self.carrier.margin_db
        )  # fmt: skip

    def rung(self, range_m: float, elevation_deg: float) -> ModCod | None:
        """The fastest rung that holds, or None when not even the slowest does; about 5 us."""
        slant = max(math.sin(math.radians(elevation_deg)), _LOWEST_SLANT_SIN)
        wave_number = 4.0 * math.pi * self.carrier.frequency_hz / C_M_S
        loss_db = 20.0 * math.log10(range_m * wave_number) + self.gas_zenith_db / slant
        c_n0 = self._fixed_db - loss_db
        holding = [r for r in self.carrier.ladder if self.required_dbhz(r) <= c_n0]
        return max(holding, key=lambda r: r.rate_bps) if holding else None

    def rate_at(self, range_m: float, elevation_deg: float) -> float:
        """Information rate at one range and elevation, bit/s; the quick way for a channel."""
        rung = self.rung(range_m, elevation_deg)
        return 0.0 if rung is None else rung.rate_bps

    def rate_bps(self, range_m: npt.ArrayLike, elevation_deg: npt.ArrayLike) -> FloatArray:
        """Information rate at ranges and elevations.

        Args:
            range_m: (N,) or scalar, > 0.  elevation_deg: (N,) or scalar, degrees.
        Returns:
            (N,) float64, bit/s, 0 where no rung holds; scalars count as length 1.
        """
        c_n0 = self.c_n0_dbhz(range_m, elevation_deg)
        best = np.zeros_like(c_n0)
        for rung in self.carrier.ladder:
            best = np.where(c_n0 >= self.required_dbhz(rung), np.maximum(best, rung.rate_bps), best)
        return best


def free_space_loss_db(range_m: npt.ArrayLike, frequency_hz: float) -> FloatArray:
    """Free-space basic transmission loss, dB. Source: ITU-R P.525-4, eq. 3."""
    wave_number = 4.0 * math.pi * frequency_hz / C_M_S
    return np.asarray(20.0 * np.log10(np.asarray(range_m) * wave_number), dtype=np.float64)


def downlink_budget(satellite: Satellite, station: Station) -> LinkBudget | None:
    """Satellite to station; None when the station cannot receive that band."""
    carrier = satellite.radio.downlink
    antenna = station.antennas.get(carrier.band)
    if antenna is None or antenna.g_over_t_db_k is None:
        return None
    return _budget(carrier, satellite.radio.eirp_dbw, antenna.g_over_t_db_k, station)


def uplink_budget(satellite: Satellite, station: Station) -> LinkBudget | None:
    """Station to satellite; None when the station cannot transmit in that band."""
    carrier = satellite.radio.uplink
    antenna = station.antennas.get(carrier.band)
    if antenna is None or antenna.eirp_dbw is None:
        return None
    return _budget(carrier, antenna.eirp_dbw, satellite.radio.g_over_t_db_k, station)


def _budget(
    carrier: Carrier, eirp_dbw: float, g_over_t_db_k: float, station: Station
) -> LinkBudget:
    return LinkBudget(
        carrier=carrier,
        eirp_dbw=eirp_dbw,
        g_over_t_db_k=g_over_t_db_k,
        gas_zenith_db=station.gas_zenith_db[carrier.band],
        rain_margin_db=station.rain_margin_db[carrier.band],
    )
