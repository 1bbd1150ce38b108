"""Limit checks on numbers: range, staleness, so many in a row, fire once (M20).

A check that fired turns passive: it goes on counting but acts no more until it is armed again,
so that an action cannot repeat itself for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

ACTIVE = "active"
PASSIVE = "passive"
DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One row of the table.

    Attributes:
        name: of the number watched, unit in it, e.g. ``rss_mb``.
        low: smallest good value.
        high: largest good value.
        in_a_row: bad samples before it fires, >= 1.
        stale_ns: without a sample for so long it fires, too; 0 for never.
    """

    name: str
    low: float
    high: float
    in_a_row: int = 3
    stale_ns: int = 0


@dataclass(frozen=True, slots=True)
class Fired:
    """A limit fired.

    Attributes:
        name: of the limit.
        reason: one line for people.
        is_armed: True when its action shall be taken, False when it is passive.
    """

    name: str
    reason: str
    is_armed: bool


@dataclass(slots=True)
class _Watch:
    limit: Limit
    state: str
    sampled_ns: int
    bad: int = 0
    is_stale: bool = False


class LimitChecker:
    """All limits of a segment.

    Args:
        limits: names are unique.
        now_ns: monotonic; staleness counts from here.
    """

    def __init__(self, limits: tuple[Limit, ...], now_ns: int) -> None:
        self._watches = {limit.name: _Watch(limit, ACTIVE, now_ns) for limit in limits}

    def on_sample(self, name: str, value: float, now_ns: int) -> Fired | None:
        """Take a sample; NaN is bad. Names without a limit are ignored."""
        watch = self._watches.get(name)
        if watch is None or watch.state == DISABLED:
            return None
        watch.sampled_ns, watch.is_stale = now_ns, False
        if watch.limit.low <= value <= watch.limit.high:
            watch.bad = 0
            return None
        watch.bad += 1
        if watch.bad != watch.limit.in_a_row:
            return None
        span = f"{watch.limit.low:g} to {watch.limit.high:g}"
        return self._fire(watch, f"{value:g} is outside {span}, {watch.bad} in a row")

    def check(self, now_ns: int) -> list[Fired]:
        """Find numbers that stopped coming."""
        fired = []
        for watch in self._watches.values():
            age_ns = now_ns - watch.sampled_ns
            if watch.state == DISABLED or watch.is_stale or not 0 < watch.limit.stale_ns <= age_ns:
                continue
            watch.is_stale = True
            fired.append(self._fire(watch, f"no sample for {age_ns // 1_000_000} ms"))
        return fired

    def arm(self, name: str) -> None:
        """Let a limit act again, by command; its count starts anew."""
        watch = self._watches[name]
        watch.state, watch.bad, watch.is_stale = ACTIVE, 0, False

    def disable(self, name: str) -> None:
        """Take a limit out, by command."""
        self._watches[name].state = DISABLED

    def state(self, name: str) -> str:
        """Return active, passive or disabled."""
        return self._watches[name].state

    def _fire(self, watch: _Watch, reason: str) -> Fired:
        is_armed = watch.state == ACTIVE
        watch.state = PASSIVE
        return Fired(watch.limit.name, reason, is_armed)
