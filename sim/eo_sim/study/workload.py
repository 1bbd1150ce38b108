"""What is captured and asked: study scenes of real chips, with all questions on each chip.

A study scene is a mosaic of chips of one sensor, up to a stated number of pixels; there are no
other pixels in it, so no byte is counted that does not exist. Load comes from the number of scenes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .config import WorkloadConfig
from .errors import StudyError
from .trace import Trace

Int = NDArray[np.int64]
_PROBED = 200
# Requests drawn at a time.
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Requests:
    """Some requests of one satellite in order of capture.

    Attributes:
        row: of the trace. capture_s: of its scene, seconds since the start.
        is_onboard: the answer is used on board.
    """

    row: Int
    capture_s: NDArray[np.float64]
    is_onboard: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.row)


class _Sensor:
    """Chips of one set, each with its rows."""

    def __init__(self, trace: Trace, rows: Int) -> None:
        order = rows[np.argsort(trace["chip"][rows], kind="stable")]
        chips, starts = np.unique(trace["chip"][order], return_index=True)
        self.rows = np.split(order, starts[1:])
        self.pixels = np.array([int(trace["asked_px"][part].max()) for part in self.rows])
        self.count = len(chips)
        self._mean_px = self.pixels.mean()

    def scene(
        self, most_px: int, random: np.random.Generator, thinning: float = 1.0
    ) -> list[Int]:
        """Rows of each chip of one mosaic, of which one chip in ``thinning`` is kept."""
        if thinning > 1.0:
            # Which chips a mosaic holds is a draw: so is which of them are kept.
            kept = random.binomial(self.fitting(most_px), 1 / thinning)
            return [self.rows[i] for i in random.permutation(self.count)[:kept]] if kept else []
        order = random.permutation(self.count)
        total = np.cumsum(self.pixels[order])
        fits = max(1, int(np.searchsorted(total, most_px, side="right")))
        return [self.rows[i] for i in order[:fits]]

    def fitting(self, most_px: int) -> int:
        """How many of its chips a mosaic holds, on average."""
        return max(1, min(self.count, int(most_px / self._mean_px)))


@dataclass(frozen=True, slots=True)
class Load:
    """How much is captured.

    Attributes:
        name: in the table. raw_over_capacity: see config/study.yaml.
        scenes_a_day: study scenes a satellite and day, of which one in ``thinning`` is replayed.
        requests_a_day, raw_bytes_a_day: what they ask and hold, expected.
    """

    name: str
    raw_over_capacity: float
    scenes_a_day: float
    requests_a_day: float
    raw_bytes_a_day: float
    thinning: float


def make_load(
    trace: Trace, split: str, name: str, config: WorkloadConfig, capacity_bytes_a_day: float
) -> Load:
    """Find how many scenes make a load, by a draw of some.

    Args:
        capacity_bytes_a_day: what the contacts of a satellite carry at the reference rate.
    """
    sensors, weights = _sensors(trace, split)
    random = np.random.default_rng([config.seed, 999])
    picked = random.choice(len(sensors), _PROBED, p=weights)
    raw, count = 0.0, 0
    for sensor in picked:
        chips = sensors[sensor].scene(config.scene_px, random)
        raw += float(sum(trace["raw_bytes"][rows].sum() for rows in chips))
        count += sum(map(len, chips))
    ratio = config.loads[name]
    scenes = ratio * capacity_bytes_a_day / (raw / _PROBED)
    requests = scenes * count / _PROBED
    return Load(name, ratio, scenes, requests, scenes * raw / _PROBED,
                max(1.0, requests / config.replayed_a_day))  # fmt: skip


def _sensors(trace: Trace, split: str) -> tuple[list[_Sensor], NDArray[np.float64]]:
    """Sensors of a split, and how often a scene is of each: by its number of chips."""
    rows = trace.rows(split)
    if not len(rows):
        raise StudyError(f"the trace has no request of split {split}")
    sets = trace["set"][rows]
    sensors = [_Sensor(trace, rows[sets == code]) for code in np.unique(sets)]
    weights = np.array([sensor.count for sensor in sensors], float)
    return sensors, weights / weights.sum()


def make_requests(
    trace: Trace, split: str, satellites: Sequence[str], config: WorkloadConfig,
    *, scenes_a_day: float, hours: float, thinning: float = 1.0,
) -> list[tuple[str, list[Requests]]]:
    """Draw the captures of each satellite, kept for many replays; as ``captures``."""
    return [
        (name, list(captures(
            trace, split, index, config, scenes_a_day=scenes_a_day, hours=hours, thinning=thinning
        )))
        for index, name in enumerate(satellites)
    ]  # fmt: skip


def captures(
    trace: Trace, split: str, satellite: int, config: WorkloadConfig,
    *, scenes_a_day: float, hours: float, thinning: float = 1.0,
) -> Iterator[Requests]:
    """Draw a satellite's captures block by block; the same seed gives the same ones.

    Args:
        split: val or test; chips of the other one never appear.
        scenes_a_day: study scenes a day. thinning: one chip in so many is kept.
        hours: captures fall evenly, with a jitter, into these.
    Raises:
        StudyError: the trace has no request of the split.
    """
    sensors, weights = _sensors(trace, split)
    count = max(1, round(scenes_a_day * hours / 24))
    step_s = hours * 3600 / count
    random = np.random.default_rng([config.seed, satellite])
    held: list[tuple[Int, float]] = []
    size = 0
    for scene in range(count):
        sensor = sensors[int(random.choice(len(sensors), p=weights))]
        capture_s = (scene + random.uniform()) * step_s
        for rows in sensor.scene(config.scene_px, random, thinning):
            held.append((rows, capture_s))
            size += len(rows)
        if size >= _BLOCK:
            yield _block(held, config, random)
            held, size = [], 0
    if held:
        yield _block(held, config, random)


def _block(
    held: Sequence[tuple[Int, float]], config: WorkloadConfig, random: np.random.Generator
) -> Requests:
    lengths = [len(rows) for rows, _ in held]
    row = np.concatenate([rows for rows, _ in held])
    return Requests(
        row=row, capture_s=np.repeat([time_s for _, time_s in held], lengths),
        is_onboard=random.uniform(size=len(row)) < config.onboard_share,
    )  # fmt: skip
