"""Heartbeats, restart budget, modes, limits."""

from __future__ import annotations

import math

import pytest

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.events import EVENTS
from eo_nodes.contracts.values import Heartbeat
from eo_nodes.health.heartbeats import EVENT_OF_LEVEL, Finding, HeartbeatMonitor
from eo_nodes.health.limits import Limit, LimitChecker
from eo_nodes.health.modes import (
    BOOTS_FAILED,
    COMMAND_NOMINAL,
    COMMAND_SAFE,
    LIMIT_FIRED,
    NODE_DISABLED,
    ModeKeeper,
)
from eo_nodes.health.restart_budget import Disable, Restart, RestartBudget
from eo_nodes.store.ledger_store import LedgerStore

S = 1_000_000_000


@pytest.fixture
def store() -> LedgerStore:
    return LedgerStore(":memory:")


def _beat(node: str, work: int, *, pending: int = 0, incarnation: int = 1) -> Heartbeat:
    return Heartbeat(node=node, work=work, pending=pending, incarnation=incarnation)


def _monitor() -> HeartbeatMonitor:
    return HeartbeatMonitor(["model", "link"], 2 * S, 5 * S, 60 * S, 0)


def test_m17_late_is_a_warning_and_lost_an_error_each_said_once() -> None:
    monitor = _monitor()
    monitor.on_heartbeat(_beat("link", 1), 4 * S)
    assert monitor.check(4 * S) == [Finding("model", "late", 4 * S)]
    assert monitor.check(4 * S) == []
    assert monitor.check(5 * S) == [Finding("model", "lost", 5 * S)]
    monitor.on_heartbeat(_beat("model", 1), 6 * S)
    findings = monitor.check(6 * S)
    assert findings == [Finding("link", "late", 2 * S), Finding("model", "alive", 0)]
    assert monitor.levels() == {"model": "alive", "link": "late"}


def test_m17_a_node_that_beats_but_does_none_of_its_jobs_is_late() -> None:
    monitor = _monitor()
    for second in range(62):
        monitor.on_heartbeat(_beat("model", 7, pending=3), second * S)
        monitor.on_heartbeat(_beat("link", 7, pending=0), second * S)
    assert monitor.check(61 * S) == [Finding("model", "late", 0)]


def test_a_beat_of_an_earlier_incarnation_counts_for_nothing() -> None:
    monitor = _monitor()
    monitor.on_heartbeat(_beat("model", 1, incarnation=2), 1 * S)
    monitor.on_heartbeat(_beat("model", 99, incarnation=1), 4 * S)
    assert Finding("model", "late", 3 * S) in monitor.check(4 * S)


def test_a_node_stopped_on_purpose_is_not_missed_and_a_new_one_is_watched() -> None:
    monitor = _monitor()
    monitor.forget("model")
    monitor.forget("link")
    monitor.on_heartbeat(_beat("new", 1), 10 * S)
    assert monitor.check(13 * S) == [Finding("new", "late", 3 * S)]


def test_every_level_has_its_event() -> None:
    assert all(name in EVENTS for name in EVENT_OF_LEVEL.values())


def test_m18_f12_three_restarts_with_growing_delays_then_disabled(store: LedgerStore) -> None:
    budget = RestartBudget(store, 0)
    got = [budget.on_exit("model", n * S) for n in range(5)]
    assert got == [
        Restart("model", 1 * S, 1),
        Restart("model", 2 * S, 2),
        Restart("model", 4 * S, 3),
        Disable("model"),
        Disable("model"),
    ]
    assert budget.disabled() == {"model"}
    assert budget.on_exit("link", 5 * S) == Restart("link", 1 * S, 1)


def test_m18_a_restart_older_than_the_window_no_longer_counts(store: LedgerStore) -> None:
    budget = RestartBudget(store, 0)
    for n in range(3):
        budget.on_exit("model", n * S)
    assert budget.on_exit("model", 601 * S) == Restart("model", 2 * S, 2)


def test_m18_f12_the_budget_survives_a_reboot_that_sets_the_monotonic_clock_back(
    store: LedgerStore,
) -> None:
    budget = RestartBudget(store, 5000 * S)
    for n in range(3):
        budget.on_exit("model", (5000 + n) * S)
    assert RestartBudget(store, 3 * S).on_exit("model", 4 * S) == Disable("model")
    again = RestartBudget(store, 3 * S)
    assert again.disabled() == {"model"}
    assert again.on_exit("model", 9000 * S) == Disable("model"), "only a command enables it"
    again.enable("model")
    assert again.on_exit("model", 9000 * S) == Restart("model", 1 * S, 1)


def test_m18_no_restart_is_granted_that_is_not_on_disk(store: LedgerStore) -> None:
    budget = RestartBudget(store, 0)
    store.close()
    with pytest.raises(StorageError):
        budget.on_exit("model", 0)


def test_m19_safe_mode_ends_by_command_only(store: LedgerStore) -> None:
    modes = ModeKeeper(store)
    entered = modes.on_trigger(NODE_DISABLED, "model disabled", 1)
    assert entered is not None and (entered.mode, entered.reason) == ("safe", "model disabled")
    for trigger in (NODE_DISABLED, BOOTS_FAILED, LIMIT_FIRED, COMMAND_SAFE):
        assert modes.on_trigger(trigger, "again", 2) is None
    assert ModeKeeper(store).on_boot(3).mode == "safe", "a reboot does not end it"
    left = modes.on_trigger(COMMAND_NOMINAL, "operator", 4)
    assert left is not None and left.mode == "nominal"
    assert modes.on_trigger(COMMAND_NOMINAL, "operator", 5) is None


def test_m19_three_failed_boots_start_in_safe_mode(store: LedgerStore) -> None:
    assert [ModeKeeper(store).on_boot(n).mode for n in range(4)] == ["nominal"] * 3 + ["safe"]
    assert ModeKeeper(store).mode(9).reason == "3 boots failed in a row"


def test_m19_a_boot_that_succeeds_clears_the_count(store: LedgerStore) -> None:
    for n in range(2):
        ModeKeeper(store).on_boot(n)
    keeper = ModeKeeper(store)
    keeper.on_boot(2)
    keeper.on_boot_done()
    assert [ModeKeeper(store).on_boot(n).mode for n in range(3)] == ["nominal"] * 3


def _limits() -> LimitChecker:
    return LimitChecker((Limit(name="rss_mb", low=0, high=100, in_a_row=3, stale_ns=10 * S),), 0)


def test_m20_a_limit_fires_once_after_n_in_a_row() -> None:
    limits = _limits()
    got = [limits.on_sample("rss_mb", v, 0) for v in (101, 101, 50, 101, math.nan, 101, 101)]
    fired = [one for one in got if one is not None]
    assert got.index(fired[0]) == 5 and len(fired) == 1
    assert fired[0].is_armed and fired[0].reason == "101 is outside 0 to 100, 3 in a row"


def test_m20_a_fired_limit_is_passive_until_armed() -> None:
    limits = _limits()
    for _ in range(3):
        limits.on_sample("rss_mb", 101, 0)
    limits.on_sample("rss_mb", 5, 0)
    again = [limits.on_sample("rss_mb", 101, 0) for _ in range(3)]
    assert again[2] is not None and not again[2].is_armed
    limits.arm("rss_mb")
    armed = [limits.on_sample("rss_mb", 101, 0) for _ in range(3)]
    assert armed[2] is not None and armed[2].is_armed


def test_m20_a_number_that_stops_coming_fires_once() -> None:
    limits = _limits()
    assert limits.check(9 * S) == []
    (fired,) = limits.check(10 * S)
    assert fired.reason == "no sample for 10000 ms"
    assert limits.check(11 * S) == []
    limits.on_sample("rss_mb", 1, 12 * S)
    assert len(limits.check(30 * S)) == 1


def test_m20_a_disabled_limit_is_silent() -> None:
    limits = _limits()
    limits.disable("rss_mb")
    assert [limits.on_sample("rss_mb", 101, 0) for _ in range(5)] == [None] * 5
    assert limits.check(99 * S) == []
    assert limits.state("rss_mb") == "disabled"
    assert limits.on_sample("unknown", 1, 0) is None
