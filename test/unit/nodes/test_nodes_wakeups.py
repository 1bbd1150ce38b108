"""Planned calls: order, cancelling, and that cancelled ones do not pile up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eo_nodes.nodes.wakeups import Wakeups


def _take_all(wakeups: Wakeups, now_ns: int) -> None:
    while (call := wakeups.take_due(now_ns)) is not None:
        call()


def test_due_calls_come_in_order_of_time_and_then_of_asking():
    wakeups, done = Wakeups(), []
    for due_ns, name in ((30, "c"), (10, "a"), (20, "b"), (10, "a2")):
        wakeups.add(due_ns, lambda name=name: done.append(name))
    _take_all(wakeups, 20)
    assert done == ["a", "a2", "b"]
    assert wakeups.next_ns() == 30


def test_a_cancelled_call_does_not_happen_and_is_not_next():
    wakeups, done = Wakeups(), []
    wakeups.add(10, lambda: done.append("a")).cancel()
    wakeups.add(20, lambda: done.append("b"))
    assert wakeups.next_ns() == 20
    _take_all(wakeups, 100)
    assert done == ["b"]
    assert wakeups.next_ns() == 0


def test_a_deadline_set_anew_a_thousand_times_holds_few_entries():
    wakeups = Wakeups()
    wakeups.add(1, lambda: None)
    last = wakeups.add(10**15, lambda: None)
    for k in range(1000):
        last.cancel()
        last = wakeups.add(10**15 + k, lambda: None)
    assert len(wakeups._heap) <= 65


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=200))
def test_pruning_loses_no_call(plan):
    wakeups, done = Wakeups(), []
    for number, (due_ns, is_cancelled) in enumerate(plan):
        wakeup = wakeups.add(due_ns, lambda number=number: done.append(number))
        if is_cancelled:
            wakeup.cancel()
    _take_all(wakeups, 50)
    wanted = sorted((due, n) for n, (due, gone) in enumerate(plan) if not gone)
    assert done == [n for _, n in wanted]
