"""Finds when a satellite stands above the elevation mask of ground stations.

Theory of operation: position and velocity are computed once for all stations on a time grid. The
sine of the elevation and its time derivative follow by one product per station. Every sign change
of the derivative is refined to the time of an extremum; grid times and extrema together cut the
window into monotone pieces, so each sign change of (sin elevation - sin mask) between neighbours
is exactly one AOS or LOS, however short the pass. All roots of all stations are refined at once.
Elevation is geometric: no light time, no refraction, as skyfield's `altaz` without weather.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import OrbitError
from .mission import Station
from .propagation import Orbit
from .station_frame import StationFrame
from .timescale import S_NS, FloatArray, IntArray

# 30 s: a low orbit moves 2 deg; between two samples the elevation has at most one extremum.
_STEP_NS = 30 * S_NS
# Times are rounded to 1 ms, far above the refinement error (below 0.1 ms) and far below what any
# element set predicts, so that another search window gives the same integers.
_ROUND_NS = 1_000_000
_ROOT_NS = 2_000.0
_MAX_ITERATIONS = 60

_Rate = Callable[[IntArray, npt.NDArray[np.intp]], FloatArray]


@dataclass(frozen=True, slots=True)
class Pass:
    """One stay above the mask of one station, within the searched window.

    Attributes:
        satellite, station: names.
        aos_ns, los_ns: first and last time at or above the mask, UTC ns since 1970.
        tca_ns: time of the highest elevation in [aos_ns, los_ns].
        max_elevation_deg: elevation then, geometric, rounded to 1e-6 deg.
        is_cut_at_start: already above the mask at the start of the window; aos_ns is that start.
        is_cut_at_end: still above the mask at the end of the window; los_ns is that end.
    """

    satellite: str
    station: str
    aos_ns: int
    tca_ns: int
    los_ns: int
    max_elevation_deg: float
    is_cut_at_start: bool = False
    is_cut_at_end: bool = False


def find_passes(
    orbit: Orbit, stations: Sequence[Station], start_ns: int, end_ns: int
) -> list[Pass]:
    """Find every pass of one satellite over some stations in a window.

    Args:
        orbit: the satellite.
        stations: any number, each with its own mask; may be empty.
        start_ns, end_ns: UTC ns since 1970, start_ns < end_ns.
    Returns:
        Passes by AOS, then station name; those under way at an end of the window are cut to it.
    Raises:
        OrbitError: start_ns >= end_ns.  PropagationError: SGP4 refuses a time of the window.
    """
    if start_ns >= end_ns:
        raise OrbitError(f"the window from {start_ns} to {end_ns} ns is empty")
    if not stations:
        return []
    frames = [StationFrame(station) for station in stations]
    grid_ns = _grid(start_ns, end_ns)
    r_m, v_m_s = orbit.itrf(grid_ns)
    rates = np.stack([frame.sin_elevation_rate(r_m, v_m_s) for frame in frames])
    where, at = np.nonzero(np.signbit(rates[:, :-1]) != np.signbit(rates[:, 1:]))
    extrema_ns = _roots(
        lambda t, which: _evaluate(orbit, frames, t, which, of_rate=True),
        where, grid_ns[at], grid_ns[at + 1],
    )  # fmt: skip
    heights = np.stack([frame.sin_elevation(r_m) for frame in frames])
    peaks = _evaluate(orbit, frames, extrema_ns, where, of_rate=False)
    passes: list[Pass] = []
    knots: list[tuple[IntArray, FloatArray]] = []
    for k, frame in enumerate(frames):
        times = np.concatenate([grid_ns, extrema_ns[where == k]])
        order = np.argsort(times, kind="stable")
        margin = np.concatenate([heights[k], peaks[where == k]])[order] - frame.sin_mask
        knots.append((times[order], margin))
    crossing = [np.flatnonzero((m[:-1] >= 0) != (m[1:] >= 0)) for _, m in knots]
    which = np.repeat(np.arange(len(frames)), [c.size for c in crossing])
    masks = np.array([frame.sin_mask for frame in frames])
    roots_ns = _roots(
        lambda t, w: _evaluate(orbit, frames, t, w, of_rate=False) - masks[w],
        which,
        np.concatenate([t[c] for (t, _), c in zip(knots, crossing, strict=True)]),
        np.concatenate([t[c + 1] for (t, _), c in zip(knots, crossing, strict=True)]),
    )
    for k, frame in enumerate(frames):
        passes.extend(_assemble(orbit.name, frame, *knots[k], roots_ns[which == k]))
    return sorted(passes, key=lambda p: (p.aos_ns, p.station))


def find_passes_of_all(
    orbits: Sequence[Orbit], stations: Sequence[Station], start_ns: int, end_ns: int
) -> dict[str, list[Pass]]:
    """Find the passes of several satellites, by satellite name; cost is linear in satellites."""
    return {orbit.name: find_passes(orbit, stations, start_ns, end_ns) for orbit in orbits}


def _grid(start_ns: int, end_ns: int) -> IntArray:
    # Inner samples sit on multiples of the step, so overlapping windows refine the same brackets.
    first = start_ns // _STEP_NS + 1
    inner = np.arange(first, -(-end_ns // _STEP_NS), dtype=np.int64) * _STEP_NS
    return np.concatenate([[start_ns], inner, [end_ns]]).astype(np.int64)


def _evaluate(
    orbit: Orbit,
    frames: Sequence[StationFrame],
    t_ns: IntArray,
    which: npt.NDArray[np.intp],
    *,
    of_rate: bool,
) -> FloatArray:
    if t_ns.size == 0:
        return np.empty(0)
    r_m, v_m_s = orbit.itrf(t_ns)
    values = np.empty(t_ns.size)
    for k in np.unique(which):
        rows = which == k
        frame = frames[k]
        values[rows] = (
            frame.sin_elevation_rate(r_m[rows], v_m_s[rows])
            if of_rate
            else frame.sin_elevation(r_m[rows])
        )
    return values


def _roots(
    value: _Rate, which: npt.NDArray[np.intp], low_ns: IntArray, high_ns: IntArray
) -> IntArray:
    """Refine brackets with a sign change to times, all at once, by the Illinois method.

    Args:
        value: gives the function at (t_ns, which), both (N,).
        which: (N,) station index of each bracket.
        low_ns, high_ns: (N,) ends with values of unlike sign.
    Returns:
        (N,) int64 times, rounded to 1 ms.
    Source: Dowell and Jarratt 1971.
    """
    if low_ns.size == 0:
        return np.empty(0, np.int64)
    origin_ns = low_ns
    a = np.zeros(low_ns.size)
    b = (high_ns - low_ns).astype(np.float64)
    fa, fb = value(low_ns, which), value(high_ns, which)
    middle = b / 2
    done = np.zeros(low_ns.size, dtype=bool)
    for _ in range(_MAX_ITERATIONS):
        spread = fb - fa
        flat = spread == 0
        guess = np.where(flat, (a + b) / 2, b - fb * (b - a) / np.where(flat, 1.0, spread))
        # A root that is done stays: it must not depend on which others are refined with it.
        guess = np.where(done, middle, guess)
        done |= (np.abs(guess - middle) < _ROOT_NS) | (b - a < _ROOT_NS)
        middle = guess
        if done.all():
            break
        todo = ~done
        fm = fb.copy()
        fm[todo] = value((origin_ns + np.rint(middle).astype(np.int64))[todo], which[todo])
        replaces_a = np.signbit(fm) == np.signbit(fa)
        # Illinois: the end that stays gets half its value, or it would stay for ever.
        fb = np.where(replaces_a, fb / 2, fm)
        fa = np.where(replaces_a, fm, fa / 2)
        a = np.where(replaces_a, middle, a)
        b = np.where(replaces_a, b, middle)
    nearest = np.rint((origin_ns + np.rint(middle).astype(np.int64)) / _ROUND_NS)
    return nearest.astype(np.int64) * _ROUND_NS


def _assemble(
    satellite: str, frame: StationFrame, times_ns: IntArray, margin: FloatArray, roots_ns: IntArray
) -> list[Pass]:
    start_ns, end_ns = int(times_ns[0]), int(times_ns[-1])
    edges = [int(t) for t in roots_ns]
    cut_start, cut_end = bool(margin[0] >= 0), bool(margin[-1] >= 0)
    if cut_start:
        edges.insert(0, start_ns)
    if cut_end:
        edges.append(end_ns)
    passes = []
    for aos_ns, los_ns in zip(edges[::2], edges[1::2], strict=True):
        inside = np.flatnonzero((times_ns >= aos_ns) & (times_ns <= los_ns))
        if aos_ns >= los_ns or inside.size == 0:
            continue  # a touch of the mask, shorter than the rounding
        best = int(inside[np.argmax(margin[inside])])
        elevation_deg = math.degrees(math.asin(min(1.0, margin[best] + frame.sin_mask)))
        passes.append(
            Pass(
                satellite=satellite,
                station=frame.name,
                aos_ns=aos_ns,
                tca_ns=int(times_ns[best]),
                los_ns=los_ns,
                max_elevation_deg=round(elevation_deg, 6),
                is_cut_at_start=cut_start and aos_ns == start_ns,
                is_cut_at_end=cut_end and los_ns == end_ns,
            )
        )
    return passes
