"""The restart budget under any times of death and any reboots."""

from __future__ import annotations

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from eo_nodes.health.restart_budget import Disable, Restart, RestartBudget
from eo_nodes.store.ledger_store import LedgerStore

S = 1_000_000_000


@seed(3)
@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(st.tuples(st.integers(0, 900), st.booleans()), max_size=20))
def test_m18_never_more_than_three_restarts_in_ten_minutes(
    deaths: list[tuple[int, bool]],
) -> None:
    store = LedgerStore(":memory:")
    budget = RestartBudget(store, 0)
    boot_s = now_s = 0  # now_s never goes back; the monotonic clock starts at each boot
    granted: list[int] = []
    is_disabled = False
    for passed_s, is_reboot in deaths:
        now_s += passed_s
        if is_reboot:
            boot_s = now_s
            budget = RestartBudget(store, 0)
        got = budget.on_exit("model", (now_s - boot_s) * S)
        assert isinstance(got, Disable) or not is_disabled
        is_disabled = isinstance(got, Disable)
        if isinstance(got, Restart):
            granted.append(now_s)
    for start_s in granted:
        assert sum(start_s <= at_s < start_s + 600 for at_s in granted) <= 3
