"""The link budget against a case worked by hand, its ladder, and the two radio profiles."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eo_nodes.orbit import LinkBudget, Mission, downlink_budget, free_space_loss_db, uplink_budget
from eo_nodes.orbit.mission import Antenna, Carrier, ModCod

# By hand: 8 GHz, 1000 km, 30 deg.
#   free space: 92.45 + 20 log10(8) + 20 log10(1000) = 92.45 + 18.06 + 60.00 = 170.51 dB
#   C/N0 = 3 + 30 + 228.60 - 170.51 - 0.05 / sin 30 - 1 - 0.5 - 0.3 = 89.19 dBHz
#   a rung of 10 Msps needs 70 + Es/N0 + 2 + 3 = 75 + Es/N0 dBHz, so Es/N0 up to 14.19 dB holds
CARRIER = Carrier(
    band="x",
    frequency_hz=8.0e9,
    pointing_loss_db=0.5,
    polarisation_loss_db=0.3,
    implementation_loss_db=2.0,
    margin_db=3.0,
    ladder=(
        ModCod("slow", 10e6, 0.5, -2.0),
        ModCod("holds", 10e6, 2.0, 14.0),
        ModCod("too fast", 10e6, 3.0, 14.4),
    ),
)
BUDGET = LinkBudget(CARRIER, 3.0, 30.0, 0.05, 1.0)


def test_free_space_loss_is_that_of_the_textbook() -> None:
    assert float(free_space_loss_db(1.0e6, 8.0e9)) == pytest.approx(170.51, abs=0.01)
    # Twice the range costs 6.02 dB.
    apart = np.diff(free_space_loss_db([1.0e6, 2.0e6], 8.0e9))
    assert apart == pytest.approx([6.0206], abs=1e-4)


def test_the_case_worked_by_hand() -> None:
    assert BUDGET.c_n0_dbhz(1.0e6, 30.0) == pytest.approx([89.19], abs=0.01)
    assert BUDGET.required_dbhz(CARRIER.ladder[1]) == pytest.approx(89.0)
    assert BUDGET.required_dbhz(CARRIER.ladder[2]) == pytest.approx(89.4)

    rung = BUDGET.rung(1.0e6, 30.0)

    assert rung is not None
    assert rung.name == "holds"
    assert BUDGET.rate_bps(1.0e6, 30.0) == pytest.approx([20e6])
    assert BUDGET.rate_at(1.0e6, 30.0) == 20e6


def test_a_rung_ends_where_its_margin_ends() -> None:
    # 0.19 dB are left at 1000 km: that is 1000 km * 10 ** (0.19 / 20) = 1022 km.
    assert BUDGET.rate_at(1.021e6, 30.0) == 20e6
    assert BUDGET.rate_at(1.024e6, 30.0) == 5e6
    assert BUDGET.rate_at(40.0e6, 30.0) == 0.0
    assert BUDGET.rung(40.0e6, 30.0) is None


def test_air_costs_more_at_low_elevation_and_no_more_below_5_deg() -> None:
    zenith, low, lower = BUDGET.c_n0_dbhz([1e6, 1e6, 1e6], [90.0, 5.0, 1.0])
    assert zenith - low == pytest.approx(0.05 / math.sin(math.radians(5.0)) - 0.05, abs=1e-9)
    assert lower == low


def test_one_at_a_time_and_many_at_once_agree(mission: Mission) -> None:
    budget = downlink_budget(mission.satellite("landsat_8"), mission.station("maspalomas"))
    assert budget is not None
    ranges_m, elevations_deg = np.linspace(7e5, 3e6, 200), np.linspace(90.0, 0.0, 200)
    many = budget.rate_bps(ranges_m, elevations_deg)

    assert [
        budget.rate_at(r, e)
        for r, e in zip(ranges_m.tolist(), elevations_deg.tolist(), strict=True)
    ] == many.tolist()
    assert len(set(many)) >= 5


def test_needed_energy_per_bit_follows_from_that_per_symbol(mission: Mission) -> None:
    (rung,) = {r.eb_n0_db for r in mission.satellite("hotsat_1").radio.downlink.ladder}
    assert rung == pytest.approx(2.6, abs=0.05)  # CCSDS 130.1-G-3, BER 1e-6
    qpsk_half = next(
        r for r in mission.satellite("terra").radio.downlink.ladder if r.name == "QPSK 1/2"
    )
    assert qpsk_half.eb_n0_db == pytest.approx(1.05, abs=0.01)  # ETSI EN 302 307-1, table 13


@pytest.mark.parametrize(
    ("satellite", "station", "low_bps", "high_bps"),
    [
        ("hotsat_1", "santa_maria", (100e3, 150e3), (1.0e6, 1.1e6)),  # 4 m, S-band
        ("sentinel_2a", "neustrelitz", (20e6, 30e6), (50e6, 65e6)),  # 7 m, X-band
        ("sentinel_2a", "kiruna", (35e6, 50e6), (55e6, 65e6)),  # 11 m, X-band
    ],
)
def test_profiles_give_the_rates_of_their_class(
    mission: Mission,
    satellite: str,
    station: str,
    low_bps: tuple[float, float],
    high_bps: tuple[float, float],
) -> None:
    sat, site = mission.satellite(satellite), mission.station(station)
    down, up = downlink_budget(sat, site), uplink_budget(sat, site)
    assert down is not None
    assert up is not None
    altitude_m = 500e3 if satellite == "hotsat_1" else 786e3
    # Slant range at 5 deg over a sphere of 6371 km.
    s = math.sin(math.radians(5.0))
    far_m = math.sqrt((6371e3 + altitude_m) ** 2 - (6371e3**2) * (1 - s * s)) - 6371e3 * s

    assert low_bps[0] <= down.rate_at(far_m, 5.0) <= low_bps[1]
    assert high_bps[0] <= down.rate_at(altitude_m, 90.0) <= high_bps[1]
    # The uplink is narrow and holds over the whole pass.
    assert 0 < up.rate_at(far_m, 5.0) <= down.rate_at(altitude_m, 90.0) / 20


def test_a_station_without_the_band_gives_no_budget(mission: Mission) -> None:
    from dataclasses import replace

    sat, site = mission.satellite("sentinel_2a"), mission.station("kiruna")
    receive_only = replace(site, antennas={"s": Antenna(20.0, None), "x": Antenna(30.0, None)})
    s_band_only = replace(site, antennas={"s": site.antennas["s"]})

    assert uplink_budget(sat, receive_only) is None
    assert downlink_budget(sat, receive_only) is not None
    assert downlink_budget(sat, s_band_only) is None
