"""Figures of one replay, added up block by block: accuracy, latency, bytes, energy, misses.

An answer counts when its last byte is in the asker's hands. Accuracy is the mean quality (0 to 1)
over all requests; one without an answer counts 0. For a latency a missed request counts with the
end of the window, which understates it for every policy alike. Requests that are used on board are
the same for every policy and stand apart: no figure but energy and contact use holds them.

Sums, those of each scene among them, and histograms have a fixed size, whatever the number of
requests. Percentiles come from bins
that are half a per cent wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .replay import GROUND, MISSED, ONBOARD, PARTS, Replay
from .tables import Tables
from .trace import SIZES
from .world import World

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]
_EDGES_S = np.concatenate([[0.0], np.geomspace(0.1, 1e7, 4001)])
_ENERGIES = ("onboard", "radio", "ground")


def quality_within(replay: Replay, minutes: float) -> Float:
    """(N,) quality of the newest answer in hand so long after capture; 0 where there is none."""
    by = replay.capture_s + minutes * 60.0
    first = np.where(replay.first_s <= by, replay.first_quality, 0.0)
    return np.asarray(np.where(replay.final_s <= by, replay.final_quality, first))


def latency_s(replay: Replay) -> Float:
    """(N,) capture to final answer; to the end of the window where there is none."""
    final = np.where(np.isfinite(replay.final_s), replay.final_s, replay.end_s)
    return np.asarray(final - replay.capture_s)


def misses(replay: Replay, tables: Tables) -> Mask:
    """(N,) no answer at all by the request's own deadline."""
    return np.asarray(replay.first_s > replay.capture_s + tables.deadline_s[replay.row])


class Histogram:
    """Durations in bins of half a per cent, from 0.1 s to a third of a year."""

    def __init__(self) -> None:
        self.counts = np.zeros(len(_EDGES_S) - 1, np.int64)

    def add(self, values_s: Float) -> None:
        """Count some; what is outside goes into the outermost bins."""
        at = np.searchsorted(_EDGES_S, values_s, side="right") - 1
        self.counts += np.bincount(
            np.clip(at, 0, len(self.counts) - 1), minlength=len(self.counts))

    def percentile(self, share: float) -> float:
        """Duration that so many per cent do not exceed; NaN of none."""
        below = np.concatenate([[0], np.cumsum(self.counts)])
        if not below[-1]:
            return float("nan")
        wanted = share / 100 * below[-1]
        place = int(np.clip(np.searchsorted(below, wanted, side="left") - 1, 0,
                            len(self.counts) - 1))
        part = (wanted - below[place]) / max(self.counts[place], 1)
        low, high = _EDGES_S[place : place + 2]
        return float(low + (high - low) * min(max(part, 0.0), 1.0))


class _Consumer:
    """Sums over the requests of one kind of consumer."""

    def __init__(self, measures: Sequence[str]) -> None:
        self.n = self.answered = self.missed = 0
        self.sums = dict.fromkeys((*measures, "latency_s", "first_s"), 0.0)
        self.parts = np.zeros(len(PARTS))
        self.latencies = Histogram()

    def add(self, replay: Replay, mine: Mask, values: Mapping[str, Float], late: Mask) -> None:
        self.n += int(mine.sum())
        self.missed += int(late[mine].sum())
        for name in self.sums:
            self.sums[name] += float(values[name][mine].sum())
        self.latencies.add(values["latency_s"][mine])
        answered = mine & (replay.origin != MISSED)
        self.answered += int(answered.sum())
        self.parts += replay.parts_s[answered].sum(axis=0)

    def mean(self, name: str) -> float:
        return self.sums[name] / self.n if self.n else float("nan")

    def latency(self) -> dict[str, Any]:
        parts = self.parts / max(self.answered, 1)
        return {
            "mean": self.mean("latency_s"), "first_mean": self.mean("first_s"),
            **{f"p{share}": self.latencies.percentile(share) for share in (50, 95, 99)},
            "parts": {name: float(value) for name, value in zip(PARTS, parts, strict=True)},
        }  # fmt: skip


class Tally:
    """What a replay comes to; ``add`` is its sink."""

    def __init__(self, tables: Tables, world: World, deadlines_min: Sequence[float]) -> None:
        self._tables, self._world = tables, world
        self._minutes = tuple(deadlines_min)
        trace = tables.trace
        self._measures = ("final", *(f"{m:g}" for m in self._minutes))
        self._groups = {"size": list(SIZES), "modality": list(trace.names["modalities"])}
        scenes = len(trace.names["scenes"])
        self._by_group = {
            column: np.zeros((1 + len(self._measures), len(names) * scenes))
            for column, names in self._groups.items()
        }
        self._reference = next(i for i, x in enumerate(trace.levels) if x.kind == "lossless")
        self._ground, self._aboard = _Consumer(self._measures), _Consumer(self._measures)
        self._scenes = {
            name: np.zeros(scenes)
            for name in ("n", *self._measures, "latency_s", "bytes", "missed", "offloaded", "there")
        }
        self._origins, self._stopped = np.zeros(3), np.zeros(4)
        self._down = self._up = self._sent = 0.0
        self._joules = dict.fromkeys(_ENERGIES, 0.0)

    def add(self, replay: Replay) -> None:
        """Take outcomes of some requests."""
        trace = self._tables.trace
        first = np.where(np.isfinite(replay.first_s), replay.first_s, replay.end_s)
        values = {
            "final": replay.final_quality, "latency_s": latency_s(replay),
            "first_s": first - replay.capture_s, "bytes": replay.down_bytes,
            **{f"{m:g}": quality_within(replay, m) for m in self._minutes},
            "offloaded": (replay.level >= 0).astype(np.float64),
            "there": trace["regular_quality"][replay.row, self._reference],
        }  # fmt: skip
        late, aboard = misses(replay, self._tables), replay.is_onboard
        values["missed"] = late.astype(np.float64)
        mine = ~aboard
        self._ground.add(replay, mine, values, late)
        self._aboard.add(replay, aboard, values, late)
        scene = trace["scene"][replay.row][mine]
        for column, table in self._by_group.items():
            codes = trace[column][replay.row][mine].astype(np.int64)
            place = codes * len(trace.names["scenes"]) + scene
            np.add.at(table[0], place, 1.0)
            for at, name in enumerate(self._measures, 1):
                np.add.at(table[at], place, values[name][mine])
        for name, sums in self._scenes.items():
            weights = None if name == "n" else values[name][mine]
            sums += np.bincount(scene, weights, minlength=len(sums))
        sent = mine & (replay.level >= 0)
        self._sent += float(sent.sum())
        self._origins += np.bincount(replay.origin[mine], minlength=3)
        self._stopped += np.bincount(replay.stage[sent], minlength=4)
        self._down += float(replay.down_bytes.sum())
        self._up += float(replay.up_bytes[mine].sum())
        for name in _ENERGIES:
            self._joules[name] += float(getattr(replay, f"{name}_j").sum())

    def mean(self, name: str) -> float:
        """Mean over requests from the ground of ``final``, of a deadline, or of ``latency_s``."""
        return self._ground.mean(name)

    @property
    def bytes_each(self) -> float:
        """Bytes down a request from the ground."""
        return self._down / max(self._ground.n, 1)

    @property
    def offloaded(self) -> float:
        """Share of requests from the ground whose pixels were sent or queued."""
        return self._sent / max(self._ground.n, 1)

    def sums(self) -> dict[str, Float]:
        """Sums over the scenes of the trace, of requests from the ground.

        Returns:
            ``n``, ``final``, one key a deadline, ``latency_s``, ``bytes``, ``missed``,
            ``offloaded``, and ``there``, the quality of the regular model on lossless pixels
            whether they came down or not. Of a group those up to the deadlines, as ``n sar``.
            Each (scenes,).
        """
        found = dict(self._scenes)
        for name, table in self._group_tables():
            keys = ("n", *self._measures)
            found |= {f"{k} {name}": v for k, v in zip(keys, table, strict=True)}
        return found

    def _group_tables(self) -> Iterator[tuple[str, Float]]:
        """Groups that have requests: name, (1 + measures, scenes) of counts and sums."""
        for column, names in self._groups.items():
            table = self._by_group[column]
            for at, name in enumerate(names):
                mine = table.reshape(len(table), len(names), -1)[:, at]
                if mine[0].any():
                    yield name, mine

    def summary(self) -> dict[str, Any]:
        """All figures as plain numbers; times s, sizes bytes, energy Wh."""
        ground, aboard = self._ground, self._aboard
        n = max(ground.n, 1)
        capacity = sum(link.sent_bytes[-1] for link in self._world.links.values())
        accuracy = {"all": {name: ground.mean(name) for name in self._measures}}
        for name, table in self._group_tables():
            sums = table.sum(axis=1)
            means = (sums[1:] / sums[0]).tolist()
            accuracy[name] = dict(zip(self._measures, means, strict=True))
        compute = self._tables.config.compute
        idle_j = (
            compute.onboard_idle_w * self._world.end_s * len(self._world.links)
            / self._tables.thinning
        )  # fmt: skip
        answers = max(ground.answered + aboard.answered, 1)
        wh = {k: v / answers / 3600 for k, v in (self._joules | {"idle": idle_j}).items()}
        found: dict[str, Any] = {
            "n": ground.n, "accuracy": accuracy, "latency_s": ground.latency(),
            "deadline_misses": ground.missed / n, "never_answered": self._origins[MISSED] / n,
            "offloaded": self.offloaded,
            "origin": {"onboard": self._origins[ONBOARD] / n, "ground": self._origins[GROUND] / n},
            "stopped_at": {str(k): v / n for k, v in enumerate(self._stopped.tolist())},
            "down_bytes": self._down, "down_bytes_each": self.bytes_each,
            "up_bytes": self._up, "up_bytes_each": self._up / n, "wh_per_answer": wh,
            "contact_use": self._down / capacity if capacity else 0.0,
        }  # fmt: skip
        if aboard.n:
            found["onboard"] = {
                "n": aboard.n, "accuracy": {k: aboard.mean(k) for k in self._measures},
                "latency_s": aboard.latency(), "deadline_misses": aboard.missed / aboard.n,
            }  # fmt: skip
        return found
