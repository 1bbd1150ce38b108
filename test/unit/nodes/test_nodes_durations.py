"""How long jobs last in lock-step: as measured, fixed, or as in an earlier run."""

import json

import pytest

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.nodes.durations import Durations

MEASURED_NS = 123


def recorded(tmp_path, *rows):
    path = tmp_path / "durations.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


ROW = {"node": "n", "job": "decode", "key": "req-1/1", "duration_ns": 777}


def test_measured_job_lasts_as_measured():
    durations = Durations(mode="measured", file="", fixed_ns=5)
    assert durations.of("n", "decode", "k", MEASURED_NS) == MEASURED_NS


def test_fixed_job_lasts_the_same_whatever_was_measured():
    durations = Durations(mode="fixed", file="", fixed_ns=5)
    assert {durations.of("n", "j", "k", measured) for measured in (1, 10**9)} == {5}


@pytest.mark.parametrize("mode", ["measured", "fixed"])
def test_no_job_takes_no_time(mode):
    """A result at the same time as its cause would be handed over out of order."""
    assert Durations(mode=mode, file="", fixed_ns=0).of("n", "j", "k", 0) == 1


def test_recorded_job_lasts_as_recorded_and_others_as_measured(tmp_path):
    durations = Durations(mode="file", file=recorded(tmp_path, ROW), fixed_ns=5)
    assert durations.of("n", "decode", "req-1/1", MEASURED_NS) == 777
    for other in (("x", "decode", "req-1/1"), ("n", "x", "req-1/1"), ("n", "decode", "x")):
        assert durations.of(*other, MEASURED_NS) == MEASURED_NS


def test_last_record_of_a_job_counts(tmp_path):
    path = recorded(tmp_path, ROW, {**ROW, "duration_ns": 9})
    assert Durations(mode="file", file=path, fixed_ns=5).of("n", "decode", "req-1/1", 1) == 9


@pytest.mark.parametrize(
    "bad",
    [
        [7],
        [[]],
        [{}],
        [{**ROW, "duration_ns": "long"}],
        [{**ROW, "duration_ns": None}],
        [{**ROW, "duration_ns": float("inf")}],
        [{**ROW, "key": []}],
    ],
    ids=str,
)
def test_bad_record_is_a_config_error(tmp_path, bad):
    with pytest.raises(ConfigError, match="compute_file"):
        Durations(mode="file", file=recorded(tmp_path, *bad), fixed_ns=5)


def test_absent_or_torn_record_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError):
        Durations(mode="file", file=str(tmp_path / "absent"), fixed_ns=5)
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(json.dumps(ROW).encode()[:20] + b"\xff")
    with pytest.raises(ConfigError):
        Durations(mode="file", file=str(torn), fixed_ns=5)


def test_unknown_mode_is_a_config_error():
    with pytest.raises(ConfigError, match="compute_mode"):
        Durations(mode="guessed", file="", fixed_ns=5)
