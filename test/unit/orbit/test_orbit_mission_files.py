"""The mission files that are shipped, and what a wrong one says."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.orbit import Mission, Orbit, load_catalogue, load_mission, read_file
from eo_nodes.orbit.mission import parse_satellites, parse_stations

FOLDER = Path(__file__).resolve().parents[3] / "config" / "mission"
DAY_NS = 86_400_000_000_000
SATELLITES = yaml.safe_load((FOLDER / "satellites.yaml").read_text("utf-8"))
STATIONS = yaml.safe_load((FOLDER / "stations.yaml").read_text("utf-8"))


def test_enough_satellites_and_stations_and_each_has_elements(mission: Mission) -> None:
    catalogue, errors = load_catalogue(FOLDER / "elements")
    assert not errors
    assert len(mission.satellites) >= 6
    assert len(mission.stations) >= 12
    for satellite in mission.satellites.values():
        assert satellite.norad_id in catalogue.norad_ids(), satellite.name
    assert len({s.radio.name for s in mission.satellites.values()}) == 3


def test_stations_lie_on_every_continent_and_are_sourced(mission: Mission) -> None:
    stations = mission.stations.values()
    assert sum(s.lat_deg > 60 for s in stations) >= 4
    assert sum(s.lat_deg < -60 for s in stations) >= 2
    assert sum(abs(s.lat_deg) < 30 for s in stations) >= 3
    assert len({(round(s.lat_deg), round(s.lon_deg)) for s in stations}) == len(stations)
    assert all(len(s.source) > 10 and s.operator for s in stations)


def test_element_sets_of_one_satellite_predict_each_other() -> None:
    """An element set that was made up or mistyped would be thousands of km off."""
    sets = [one for path in sorted((FOLDER / "elements").iterdir()) for one in read_file(path).sets]
    pairs = 0
    for first in sets:
        for second in sets:
            days = (second.epoch_ns - first.epoch_ns) / DAY_NS
            if first.norad_id == second.norad_id and days > 0:
                before, _ = Orbit(first).itrf(second.epoch_ns)
                after, _ = Orbit(second).itrf(second.epoch_ns)
                apart_km = float(np.linalg.norm(before - after)) / 1000
                # Drag and manoeuvres grow with the square of time: 0.2 km/day^2 is generous.
                assert apart_km < 2 + 0.2 * days**2, (first.name, days, apart_km)
                pairs += 1
    assert pairs >= 10


def test_every_element_file_says_its_origin() -> None:
    for path in (FOLDER / "elements").iterdir():
        head = "".join(path.read_text("utf-8").splitlines()[:2])
        assert "CelesTrak" in head or "# Origin: " in head, path.name


def wrong(tree: Any, path: str, value: Any) -> Any:
    """A copy of a tree with one key set; None takes the key away."""
    changed = copy.deepcopy(tree)
    *parents, last = path.split("/")
    place = changed
    for key in parents:
        place = place[int(key)] if key.isdigit() else place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("stations/svalbard/lat_deg", 91, r"stations.svalbard.lat_deg: 91 is outside -90 to 90"),
        ("stations/svalbard/lat_deg", float("nan"), r"lat_deg: nan is outside"),
        ("stations/svalbard/lat_deg", "78 N", r"lat_deg: '78 N' is no number"),
        ("stations/svalbard/lat_deg", True, r"lat_deg: True is no number"),
        ("stations/svalbard/mask_deg", None, r"stations.svalbard: lacks mask_deg"),
        ("stations/svalbard/colour", "red", r"stations.svalbard: unknown key colour"),
        ("stations/svalbard/antenna", "huge", r"stations.svalbard.antenna: 'huge' is none of"),
        ("stations/svalbard/weather", "dry", r"stations.svalbard.weather: 'dry' is none of"),
        ("stations/svalbard/title", " ", r"stations.svalbard.title: is no text"),
        ("antennas/dish_11m/k", {}, r"antennas.dish_11m: unknown key k"),
        ("antennas/dish_11m/x/g_over_t_db_k", 99, r"antennas.dish_11m.x.g_over_t_db_k: 99"),
        ("weather/polar/gas_zenith_db/x", None, r"weather.polar.gas_zenith_db: lacks x"),
        ("stations", {}, r"stations is no mapping with entries"),
        ("satellites", {"a": 1}, r"stations.yaml: unknown key satellites"),
    ],
)
def test_a_wrong_station_file_names_the_key(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_stations(wrong(STATIONS, path, value), "stations.yaml")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("satellites/terra/norad_id", 0, r"satellites.terra.norad_id: 0 is outside"),
        ("satellites/terra/radio", "laser", r"satellites.terra.radio: 'laser' is none of"),
        ("satellites/terra/orbit", 1, r"satellites.terra: unknown key orbit"),
        ("radios/cubesat_s_band/downlink/tx_power_w", 0, r"downlink.tx_power_w: 0 is outside"),
        ("radios/cubesat_s_band/downlink/band", "q", r"downlink.band: 'q' is none of s, x"),
        ("radios/cubesat_s_band/downlink/ladder", [], r"downlink.ladder: is no list"),
        ("radios/cubesat_s_band/uplink/margin_db", -1, r"uplink.margin_db: -1 is outside"),
        ("radios/cubesat_s_band/uplink/ladder/0/rate", 1, r"ladder\[0\]: unknown key rate"),
        ("radios/cubesat_s_band/crosslink", {}, r"cubesat_s_band: unknown key crosslink"),
    ],
)
def test_a_wrong_satellite_file_names_the_key(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_satellites(wrong(SATELLITES, path, value), "satellites.yaml")


def test_absent_and_broken_files_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"satellites.yaml: cannot be read"):
        load_mission(tmp_path)
    (tmp_path / "satellites.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"satellites.yaml: cannot be read"):
        load_mission(tmp_path)
    (tmp_path / "satellites.yaml").write_text("- a\n- b\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"satellites.yaml: is no mapping"):
        load_mission(tmp_path)


def test_an_unknown_name_lists_the_known_ones(mission: Mission) -> None:
    with pytest.raises(ConfigError, match=r"station: 'moon' is none of svalbard, "):
        mission.station("moon")
    with pytest.raises(ConfigError, match=r"satellite: 'moon' is none of sentinel_2a, "):
        mission.satellite("moon")
