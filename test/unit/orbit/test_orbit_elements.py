"""Element files: what is read, what is refused and how, and which set is chosen for a time."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from sgp4.exporter import export_omm
from sgp4.io import fix_checksum

from eo_nodes.orbit import (
    Catalogue,
    NoElementsError,
    Orbit,
    PropagationError,
    load_catalogue,
    parse_omm,
    parse_tle,
    read_file,
)

S_NS = 1_000_000_000
DAY_NS = 86_400 * S_NS
NAME = "SENTINEL-2A"
LINE1 = "1 40697U 15028A   26274.29857647 -.00000002  00000+0  15863-4 0  9990"
LINE2 = "2 40697  98.5653 347.6046 0001070  85.9280 274.2026 14.30818852588907"
OTHER = (
    "LANDSAT 8\n"
    "1 39084U 13008A   26282.90944219  .00000228  00000+0  60785-4 0  9995\n"
    "2 39084  98.2190 351.6114 0001302  94.7208 265.4139 14.57110728714606\n"
)


def test_two_lines_give_name_number_and_epoch() -> None:
    found = parse_tle(f"# a comment\n0 {NAME}\r\n{LINE1}\r\n{LINE2}\r\n", "a.tle")

    assert not found.errors
    (one,) = found.sets
    assert (one.name, one.norad_id, one.source) == (NAME, 40697, "a.tle")
    expected = datetime(2026, 10, 1, 7, 9, 57, 7008, tzinfo=timezone.utc).timestamp()
    assert one.epoch_ns / S_NS == pytest.approx(expected, abs=1e-4)


def test_a_set_without_a_name_is_called_by_its_number() -> None:
    assert parse_tle(f"{LINE1}\n{LINE2}\n", "a.tle").sets[0].name == "40697"


def test_omm_and_two_lines_of_one_set_propagate_alike() -> None:
    (two_lines,) = parse_tle(f"{NAME}\n{LINE1}\n{LINE2}\n", "a.tle").sets
    message = export_omm(two_lines.satrec, NAME)
    (omm,) = parse_omm(json.dumps([message]), "a.json").sets
    times_ns = two_lines.epoch_ns + np.arange(0, DAY_NS, 3600 * S_NS)

    apart_m = np.linalg.norm(
        Orbit(two_lines).itrf(times_ns)[0] - Orbit(omm).itrf(times_ns)[0], axis=1
    )

    assert (omm.name, omm.norad_id) == (NAME, 40697)
    # The exporter cuts the epoch to 1 us, which is 8 mm of flight.
    assert abs(omm.epoch_ns - two_lines.epoch_ns) <= 1000
    assert apart_m.max() < 0.1


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (f"X\n{LINE1[:-1]}1\n{LINE2}\n", "checksum of line 1"),
        (f"X\n{LINE1}\n{LINE2.replace('98.5653', '98.5663')}\n", "checksum of line 2"),
        (f"X\n{LINE1[:60]}\n{LINE2}\n", "60 ASCII characters"),
        (f"X\n{LINE1}\n{fix_checksum(LINE2.replace('40697', '40698', 1))}\n", "line 2 of 40698"),
        (f"X\n{LINE2}\n", "not a pair"),
        (
            f"X\n{fix_checksum(LINE1.replace('26274.29857647', '26xxx.29857647'))}\n{LINE2}\n",
            "columns",
        ),
        (f"X\n{LINE1}\n{fix_checksum(LINE2.replace('14.30818852', '00.00000000'))}\n", "SGP4"),
    ],
)
def test_a_bad_set_is_named_and_the_others_are_used(broken: str, reason: str) -> None:
    found = parse_tle(broken + OTHER, "mixed.tle")

    assert [one.name for one in found.sets] == ["LANDSAT 8"]
    (error,) = found.errors
    assert error.source == "mixed.tle"
    assert error.line in (2, 3)
    assert reason in error.reason


def test_a_file_that_ends_after_line_1_is_an_error() -> None:
    found = parse_tle(OTHER + f"{NAME}\n{LINE1}\n", "cut.tle")

    assert len(found.sets) == 1
    assert [str(e) for e in found.errors] == ["cut.tle:5: the file ends after line 1"]


def test_bad_messages_are_named_and_the_others_are_used() -> None:
    good = export_omm(parse_tle(OTHER, "a").sets[0].satrec, "LANDSAT 8")
    lacking = {key: value for key, value in good.items() if key != "BSTAR"}
    text = json.dumps(
        [lacking, good, 7, {**good, "ECCENTRICITY": 1.5}, {**good, "EPOCH": "yesterday"}]
    )

    found = parse_omm(text, "mixed.json")

    assert [one.name for one in found.sets] == ["LANDSAT 8"]
    assert [error.line for error in found.errors] == [1, 3, 4, 5]
    assert "BSTAR" in found.errors[0].reason
    assert "SGP4 refuses" in found.errors[2].reason


def test_an_epoch_without_fraction_and_with_zone_is_read() -> None:
    message = export_omm(parse_tle(OTHER, "a").sets[0].satrec, "LANDSAT 8")
    (one,) = parse_omm(json.dumps({**message, "EPOCH": "2026-10-09T21:49:36Z"}), "a.json").sets

    assert one.epoch_ns == 1_791_582_576 * S_NS


@pytest.mark.parametrize("text", ["", "{", "3", '"x"', "null"])
def test_what_is_no_list_of_messages_gives_an_error_and_no_set(text: str) -> None:
    found = parse_omm(text, "a.json")
    assert not found.sets
    assert len(found.errors) == 1


def test_an_unreadable_file_is_an_error_value(tmp_path: Path) -> None:
    (tmp_path / "binary.tle").write_bytes(b"\xff\xfe\x00\x01")
    assert "cannot be read" in read_file(tmp_path / "binary.tle").errors[0].reason
    assert "cannot be read" in read_file(tmp_path / "absent.tle").errors[0].reason


def test_the_newest_set_that_is_not_after_the_time_wins(catalogue: Catalogue) -> None:
    # Sentinel-2A has epochs 2026-08-27, 2026-10-01 (both .tle) and 2026-10-04 (.json).
    days = ((2026, 9, 1), (2026, 10, 3), (2026, 10, 6), (2027, 1, 1), (2026, 1, 1))
    day = {m: round(datetime(*m, tzinfo=timezone.utc).timestamp()) * S_NS for m in days}

    early = catalogue.select(40697, day[2026, 9, 1])
    middle = catalogue.select(40697, day[2026, 10, 3])
    late = catalogue.select(40697, day[2026, 10, 6])

    assert early.elements.source == "2026-08-28.tle"
    assert middle.elements.source == "2026-10-10.tle"
    assert late.elements.source == "2026-10-04.json"
    assert late.age_days == pytest.approx(1.065, abs=0.001)
    assert not late.is_stale

    old = catalogue.select(40697, day[2027, 1, 1])
    assert old.is_stale
    assert old.age_days == pytest.approx(88.065, abs=0.001)

    before_all = catalogue.select(40697, day[2026, 1, 1])
    assert before_all.elements.source == "2026-08-28.tle"
    assert before_all.age_days < -200
    assert before_all.is_stale


def test_newer_sets_drop_in_beside_the_old_ones(tmp_path: Path) -> None:
    (tmp_path / "2026-10-10.tle").write_text(OTHER, encoding="utf-8")
    (tmp_path / "2026-10-01.tle").write_text(f"{NAME}\n{LINE1}\n{LINE2}\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("no elements", encoding="utf-8")
    found, errors = load_catalogue(tmp_path)
    assert found.norad_ids() == (39084, 40697)
    assert not errors

    newer = fix_checksum(LINE1.replace("26274.29857647", "26275.29857647"))
    (tmp_path / "2026-10-02.tle").write_text(f"{NAME}\n{newer}\n{LINE2}\n", encoding="utf-8")
    found, _ = load_catalogue(tmp_path)

    later = found.select(40697, 1_791_000_000 * S_NS)
    assert later.elements.source == "2026-10-02.tle"


def test_of_two_sets_with_one_epoch_the_later_added_counts() -> None:
    known = Catalogue(parse_tle(f"{NAME}\n{LINE1}\n{LINE2}\n", "filed.tle").sets)
    known.add(parse_tle(f"{NAME}\n{LINE1}\n{LINE2}\n", "uplink").sets)
    assert known.select(40697, 1_791_000_000 * S_NS).elements.source == "uplink"


def test_an_unknown_satellite_is_a_named_error() -> None:
    with pytest.raises(NoElementsError, match="12345"):
        Catalogue().select(12345, 0)


def test_a_decayed_orbit_is_a_named_error_with_its_time() -> None:
    text = (Path(__file__).resolve().parents[2] / "data" / "orbit" / "iss.tle").read_text("utf-8")
    (iss,) = parse_tle(text, "iss.tle").sets
    times_ns = iss.epoch_ns + np.array([0, 4000, 8000]) * DAY_NS

    with pytest.raises(PropagationError) as caught:
        Orbit(iss).itrf(times_ns)

    assert caught.value.satellite == "ISS (ZARYA)"
    assert caught.value.t_ns in times_ns[1:]
