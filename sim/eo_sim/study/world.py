"""The world of a replay: real orbits over real stations, and what each satellite's link carries.

Time is float seconds since the start of the study: a double holds a day to 1e-11 s, and the whole
replay is arithmetic on it. Orbits, passes and link budget are the cores that fly
(``eo_nodes.orbit``), the choice between competing passes too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.orbit import (
    Mission,
    Orbit,
    Pass,
    downlink_budget,
    find_passes,
    load_catalogue,
    load_mission,
    look,
)
from eo_nodes.orbit.assignment import Gaps, Interval, choose, fill

from .config import S_NS, WorldConfig

Float = NDArray[np.float64]
_SAMPLE_S = 10.0


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact of a satellite; rate at each sample, linear in between."""

    satellite: str
    station: str
    start_s: float
    end_s: float
    times_s: Float
    rates_bps: Float

    @property
    def capacity_bytes(self) -> float:
        """What it carries, frames included."""
        return float(np.trapezoid(self.rates_bps, self.times_s)) / 8


class Link:
    """What one satellite can have sent by a time: a curve without steps back.

    Attributes:
        times_s, sent_bytes, contact_s: knots of the curve: time, bytes that the link can have
            carried since the start, seconds of contact since the start.
        contacts: in order.
    """

    def __init__(self, contacts: Sequence[Contact], end_s: float) -> None:
        self.contacts = tuple(contacts)
        times, sent, active = [0.0], [0.0], [0.0]
        for contact in contacts:
            spans = np.diff(contact.times_s)
            mean_bps = (contact.rates_bps[1:] + contact.rates_bps[:-1]) / 2
            if contact.start_s > times[-1]:
                times.append(contact.start_s)
                sent.append(sent[-1])
                active.append(active[-1])
            for to_s, span_s, bps in zip(contact.times_s[1:], spans, mean_bps, strict=True):
                times.append(float(to_s))
                sent.append(sent[-1] + float(span_s * bps) / 8)
                active.append(active[-1] + float(span_s))
        if end_s > times[-1]:
            times.append(end_s)
            sent.append(sent[-1])
            active.append(active[-1])
        self.times_s, self.sent_bytes, self.contact_s = times, sent, active
        self.end_s = times[-1]

    def bytes_by(self, time_s: float) -> float:
        """Bytes that the link can have carried by a time."""
        i = bisect_right(self.times_s, time_s)
        if i == 0:
            return 0.0
        if i == len(self.times_s):
            return self.sent_bytes[-1]
        t0, t1 = self.times_s[i - 1], self.times_s[i]
        b0, b1 = self.sent_bytes[i - 1], self.sent_bytes[i]
        return b0 + (b1 - b0) * (time_s - t0) / (t1 - t0)

    def time_of(self, position_bytes: float) -> float:
        """First time by which so many bytes have been carried; infinite when never."""
        if position_bytes > self.sent_bytes[-1]:
            return float("inf")
        i = _first_at_least(self.sent_bytes, position_bytes)
        if i == 0:
            return self.times_s[0]
        b0, b1 = self.sent_bytes[i - 1], self.sent_bytes[i]
        t0, t1 = self.times_s[i - 1], self.times_s[i]
        return t0 + (t1 - t0) * (position_bytes - b0) / (b1 - b0)

    def times_of(self, positions_bytes: Float) -> Float:
        """As ``time_of`` for many."""
        sent, times = np.array(self.sent_bytes), np.array(self.times_s)
        i = np.clip(np.searchsorted(sent, positions_bytes, side="left"), 1, len(sent) - 1)
        span = sent[i] - sent[i - 1]
        part = np.where(span > 0, (positions_bytes - sent[i - 1]) / np.where(span > 0, span, 1), 0)
        found = times[i - 1] + (times[i] - times[i - 1]) * part
        return np.where(positions_bytes > sent[-1], np.inf, found)

    def contact_by(self, times_s: Float) -> Float:
        """Seconds of contact by each time."""
        return np.interp(times_s, self.times_s, self.contact_s)


def _first_at_least(values: Sequence[float], wanted: float) -> int:
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@dataclass(frozen=True, slots=True)
class World:
    """Links of all satellites under one rate rule.

    Attributes:
        links: by satellite. capture_s: captures fall into [0, capture_s).
        end_s: end of the window; what is not delivered by then is missed.
        facts: passes offered and taken, bytes, bound: for the table.
    """

    links: Mapping[str, Link]
    capture_s: float
    end_s: float
    facts: Mapping[str, Any]


def make_world(
    config: WorldConfig, folder: Path, *, rate_mbps: float, satellites: Sequence[str] | None = None,
    hours: float | None = None, thinning: float = 1.0,
) -> World:
    """Compute passes, rates and the assignment.

    Args:
        folder: config/mission.
        rate_mbps: of every contact; 0: the link budget's.
        satellites, hours: instead of the configuration's.
        thinning: divides every rate; see config/study.yaml.
    Raises:
        ConfigError, OrbitError: a satellite, station or element set is missing.
    """
    mission = load_mission(folder)
    catalogue, _ = load_catalogue(folder / "elements")
    names = tuple(satellites or config.satellites)
    capture_s = (hours or config.hours) * 3600.0
    end_s = capture_s + config.drain_hours * 3600.0
    found: list[tuple[Contact, Interval]] = []
    for name in names:
        chosen = catalogue.select(mission.satellite(name).norad_id, config.start_ns)
        orbit = Orbit(chosen.elements, name)
        for one in _passes(orbit, mission, config, end_s):
            contact = _rated(orbit, mission, config, one, rate_mbps, thinning)
            if contact.end_s - contact.start_s >= config.min_contact_s:
                found.append((contact, Interval(
                    name, contact.station, round(contact.start_s * S_NS),
                    round(contact.end_s * S_NS), round(contact.capacity_bytes), len(found),
                )))  # fmt: skip
    offered = [interval for _, interval in found]
    gaps = Gaps(round(config.handover_s * S_NS), round(config.pause_min * 60 * S_NS))
    whole = choose(offered, gaps)
    taken = fill(offered, whole, gaps, round(config.min_contact_s * S_NS))
    links = {
        name: Link(
            [
                _cut(found[i.index][0], i.start_ns / S_NS, i.end_ns / S_NS)
                for i in taken
                if i.satellite == name
            ],
            end_s,
        )
        for name in names
    }
    carried = sum(link.sent_bytes[-1] for link in links.values())
    facts = {
        "assignment": "local ratio by LOS, at least 1/2 of the best whole passes; then filled up",
        "passes_offered": len(offered), "passes_taken": len(whole), "contacts": len(taken),
        "bytes_offered": sum(i.weight for i in offered), "bytes_taken": carried,
        "contact_s": {name: link.contact_s[-1] for name, link in links.items()},
        "rate_mbps": rate_mbps, "thinning": thinning,
    }  # fmt: skip
    return World(links, capture_s, end_s, facts)


def _passes(orbit: Orbit, mission: Mission, config: WorldConfig, end_s: float) -> list[Pass]:
    satellite = mission.satellite(orbit.name)
    able = [
        mission.station(name)
        for name in config.stations
        if downlink_budget(satellite, mission.station(name)) is not None
    ]
    return find_passes(orbit, able, config.start_ns, config.start_ns + round(end_s * S_NS))


def _rated(
    orbit: Orbit, mission: Mission, config: WorldConfig, one: Pass, rate_mbps: float,
    thinning: float,
) -> Contact:
    start_s = (one.aos_ns - config.start_ns) / S_NS
    end_s = (one.los_ns - config.start_ns) / S_NS
    spare_s = max(end_s - start_s - config.contact_cap_s, 0.0)
    start_s, end_s = start_s + spare_s / 2, end_s - spare_s / 2
    if rate_mbps > 0:
        times_s = np.array([start_s, end_s])
        rates = np.full(2, rate_mbps * 1e6)
    else:
        count = max(2, round((end_s - start_s) / _SAMPLE_S) + 1)
        times_s = np.linspace(start_s, end_s, count)
        station = mission.station(one.station)
        budget = downlink_budget(mission.satellite(orbit.name), station)
        assert budget is not None  # such stations were left out
        times_ns = config.start_ns + np.rint(times_s * S_NS).astype(np.int64)
        seen = look(orbit, station, times_ns)
        rates = budget.rate_bps(seen.range_m, seen.elevation_deg)
    return Contact(orbit.name, one.station, start_s, end_s, times_s, rates / thinning)


def _cut(contact: Contact, start_s: float, end_s: float) -> Contact:
    inside = (contact.times_s > start_s) & (contact.times_s < end_s)
    times_s = np.concatenate([[start_s], contact.times_s[inside], [end_s]])
    rates = np.interp(times_s, contact.times_s, contact.rates_bps)
    return Contact(contact.satellite, contact.station, start_s, end_s, times_s, rates)
