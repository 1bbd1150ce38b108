"""Loads the mission's satellites and stations (YAML) into checked, frozen values.

Not here: element sets (elements.py) and what is computed from these values. An unknown key, a
missing one or a value out of range is a ConfigError that names file and key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ConfigError

from .config_keys import Keys, pick, read_yaml

BANDS = ("s", "x")


@dataclass(frozen=True, slots=True)
class ModCod:
    """One rung of a radio's ladder of modulation and coding.

    Attributes:
        name: e.g. "QPSK 1/2".
        symbol_rate_sps: symbols per second, > 0.
        efficiency: information bits per symbol after coding, > 0.
        es_n0_db: symbol energy over noise density that the demodulator needs, dB.
    """

    name: str
    symbol_rate_sps: float
    efficiency: float
    es_n0_db: float

    @property
    def rate_bps(self) -> float:
        """Information bits per second."""
        return self.symbol_rate_sps * self.efficiency

    @property
    def eb_n0_db(self) -> float:
        """Energy per information bit over noise density that is needed, dB."""
        return self.es_n0_db - 10.0 * math.log10(self.efficiency)


@dataclass(frozen=True, slots=True)
class Carrier:
    """One direction of a radio link, as far as it does not depend on the station.

    Attributes:
        band: "s" or "x": which antenna and weather figures of the station count.
        frequency_hz: carrier.
        pointing_loss_db, polarisation_loss_db: >= 0.
        implementation_loss_db: demodulator against theory, >= 0.
        margin_db: kept free, >= 0.
        ladder: rungs by rate, slowest first, at least one.
    """

    band: str
    frequency_hz: float
    pointing_loss_db: float
    polarisation_loss_db: float
    implementation_loss_db: float
    margin_db: float
    ladder: tuple[ModCod, ...]


@dataclass(frozen=True, slots=True)
class Radio:
    """A satellite's radio profile.

    Attributes:
        name: of the profile.
        downlink, uplink: carriers.
        eirp_dbw: transmitter power plus antenna gain minus line loss, dBW.
        g_over_t_db_k: figure of merit of the command receiver, dB/K.
    """

    name: str
    downlink: Carrier
    uplink: Carrier
    eirp_dbw: float
    g_over_t_db_k: float


@dataclass(frozen=True, slots=True)
class Satellite:
    """A satellite of the mission.

    Attributes:
        name: how topics, plans and logs call it.
        norad_id: catalogue number that finds its element sets.
        title: for people.
        radio: its profile.
    """

    name: str
    norad_id: int
    title: str
    radio: Radio


@dataclass(frozen=True, slots=True)
class Antenna:
    """What a station's antenna does in one band.

    Attributes:
        g_over_t_db_k: receiving figure of merit, dB/K; None where it cannot receive.
        eirp_dbw: transmitted power, dBW; None where it cannot transmit.
    """

    g_over_t_db_k: float | None
    eirp_dbw: float | None


@dataclass(frozen=True, slots=True)
class Station:
    """A ground station.

    Attributes:
        name: how plans and logs call it.
        title, operator, source: for people; source says where the coordinates are from.
        lat_deg, lon_deg: geodetic, WGS-84, [-90, 90] and [-180, 180].
        alt_m: above the ellipsoid, -500 to 6000 (that of the site, to some tens of m).
        mask_deg: lowest elevation at which a contact is planned, [0, 90).
        antennas: by band.
        gas_zenith_db: clear-air loss straight up, by band, dB.
        rain_margin_db: rain loss that is provided for, by band, dB.
    """

    name: str
    title: str
    operator: str
    source: str
    lat_deg: float
    lon_deg: float
    alt_m: float
    mask_deg: float
    antennas: Mapping[str, Antenna]
    gas_zenith_db: Mapping[str, float]
    rain_margin_db: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Mission:
    """Every satellite and station, by name, in the order of the files."""

    satellites: Mapping[str, Satellite]
    stations: Mapping[str, Station]

    def satellite(self, name: str) -> Satellite:
        """Look a satellite up; ConfigError names the known ones."""
        return pick(self.satellites, name, "satellite")

    def station(self, name: str) -> Station:
        """Look a station up; ConfigError names the known ones."""
        return pick(self.stations, name, "station")


def load_mission(folder: Path) -> Mission:
    """Read satellites.yaml and stations.yaml of a mission folder.

    Raises:
        ConfigError: a file is absent or no YAML, or a key is unknown, missing or out of range.
    """
    return Mission(
        satellites=parse_satellites(read_yaml(folder / "satellites.yaml"), "satellites.yaml"),
        stations=parse_stations(read_yaml(folder / "stations.yaml"), "stations.yaml"),
    )


def parse_satellites(tree: Any, where: str) -> dict[str, Satellite]:
    """Check the tree of satellites.yaml: `radios` (profiles) and `satellites` that name one."""
    top = Keys(tree, where)
    radios = {
        name: _radio(name, Keys(value, f"{where}: radios.{name}"))
        for name, value in top.table("radios").items()
    }
    satellites = {}
    for name, value in top.table("satellites").items():
        keys = Keys(value, f"{where}: satellites.{name}")
        satellites[name] = Satellite(
            name=name,
            norad_id=int(keys.number("norad_id", 1, 339_999)),
            title=keys.text("title"),
            radio=pick(radios, keys.text("radio"), f"{keys.where}.radio"),
        )
        keys.done()
    top.done()
    return satellites


def parse_stations(tree: Any, where: str) -> dict[str, Station]:
    """Check the tree of stations.yaml: `antennas`, `weather`, and `stations` that name them."""
    top = Keys(tree, where)
    antennas = {
        name: _antenna(Keys(value, f"{where}: antennas.{name}"))
        for name, value in top.table("antennas").items()
    }
    weather = {
        name: _weather(Keys(value, f"{where}: weather.{name}"))
        for name, value in top.table("weather").items()
    }
    stations = {}
    for name, value in top.table("stations").items():
        keys = Keys(value, f"{where}: stations.{name}")
        gas, rain = pick(weather, keys.text("weather"), f"{keys.where}.weather")
        stations[name] = Station(
            name=name,
            title=keys.text("title"),
            operator=keys.text("operator"),
            source=keys.text("source"),
            lat_deg=keys.number("lat_deg", -90, 90),
            lon_deg=keys.number("lon_deg", -180, 180),
            alt_m=keys.number("alt_m", -500, 6000),
            mask_deg=keys.number("mask_deg", 0, 89),
            antennas=pick(antennas, keys.text("antenna"), f"{keys.where}.antenna"),
            gas_zenith_db=gas,
            rain_margin_db=rain,
        )
        keys.done()
    top.done()
    return stations


def _radio(name: str, keys: Keys) -> Radio:
    down, up = keys.child("downlink"), keys.child("uplink")
    radio = Radio(
        name=name,
        eirp_dbw=(
            10.0 * math.log10(down.number("tx_power_w", 1e-3, 1e3))
            + down.number("antenna_gain_dbi", -20, 60)
            - down.number("line_loss_db", 0, 20)
        ),
        g_over_t_db_k=up.number("g_over_t_db_k", -60, 30),
        downlink=_carrier(down),
        uplink=_carrier(up),
    )
    for one in (keys, down, up):
        one.done()
    return radio


def _carrier(keys: Keys) -> Carrier:
    band = keys.text("band")
    if band not in BANDS:
        raise ConfigError(f"{keys.where}.band: {band!r} is none of {', '.join(BANDS)}")
    rungs = []
    for index, value in enumerate(keys.items("ladder")):
        rung = Keys(value, f"{keys.where}.ladder[{index}]")
        rungs.append(
            ModCod(
                name=rung.text("name"),
                symbol_rate_sps=rung.number("symbol_rate_sps", 1, 1e10),
                efficiency=rung.number("efficiency", 1e-3, 16),
                es_n0_db=rung.number("es_n0_db", -30, 60),
            )
        )
        rung.done()
    return Carrier(
        band=band,
        frequency_hz=keys.number("frequency_hz", 1e8, 1e11),
        pointing_loss_db=keys.number("pointing_loss_db", 0, 30),
        polarisation_loss_db=keys.number("polarisation_loss_db", 0, 30),
        implementation_loss_db=keys.number("implementation_loss_db", 0, 30),
        margin_db=keys.number("margin_db", 0, 30),
        ladder=tuple(sorted(rungs, key=lambda rung: rung.rate_bps)),
    )


def _antenna(keys: Keys) -> dict[str, Antenna]:
    bands = {}
    for band in BANDS:
        if keys.has(band):
            one = keys.child(band)
            bands[band] = Antenna(
                g_over_t_db_k=one.optional_number("g_over_t_db_k", -20, 60),
                eirp_dbw=one.optional_number("eirp_dbw", -20, 100),
            )
            one.done()
    keys.done()
    return bands


def _weather(keys: Keys) -> tuple[dict[str, float], dict[str, float]]:
    gas, rain = keys.child("gas_zenith_db"), keys.child("rain_margin_db")
    read = (
        {band: gas.number(band, 0, 10) for band in BANDS},
        {band: rain.number(band, 0, 40) for band in BANDS},
    )
    for one in (gas, rain, keys):
        one.done()
    return read
