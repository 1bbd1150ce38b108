"""The queue under any order of events and restarts; the bucket under any steps."""

from __future__ import annotations

from typing import Any

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from eo_nodes.contracts.values import DownlinkReport, Product
from eo_nodes.downlink.budget import RateBudget
from eo_nodes.downlink.order import CHANNELS, PIXELS, SPARE, URGENT, key, place, within
from eo_nodes.downlink.scheduler import Cancel, DownlinkScheduler, Put, QueueLimits
from eo_nodes.store.ledger_store import LedgerStore

S = 1_000_000_000
LIMITS = QueueLimits(
    entries=8, size_bytes=2000, reserve=0.25, transfers=2, urgent_transfers=1, tries=2
)
STEPS = ("product", "product", "progress", "deliver", "fault", "withdraw", "restart")
WITHDRAWN = (PIXELS, (*PIXELS, "answer"))  # of a request that ended, of one with a final here


@seed(7)
@settings(max_examples=60, deadline=None, database=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(STEPS),
            st.integers(0, 11),
            st.sampled_from(sorted(CHANNELS)),
            st.integers(0, 500),
        ),
        max_size=50,
    )
)
def test_m07_every_product_ends_once_and_the_bounds_hold(
    steps: list[tuple[str, int, str, int]],
) -> None:
    store = LedgerStore(":memory:")
    queue = DownlinkScheduler(store, LIMITS)
    at_link: dict[str, Product] = {}
    open_ids: set[str] = set()
    delivered: set[str] = set()
    now_ns = 0

    def act(actions: list[Any]) -> None:
        for action in actions:
            if isinstance(action, Put):
                assert action.product.id not in at_link, "handed over twice"
                at_link[action.product.id] = action.product
            elif isinstance(action, Cancel):
                at_link.pop(action.product_id)
            elif isinstance(action, DownlinkReport):
                if action.state in ("queued", "sending"):
                    assert action.product_id not in delivered
                    open_ids.add(action.product_id)
                else:
                    open_ids.discard(action.product_id)
                if action.state == "delivered":
                    delivered.add(action.product_id)

    for step, number, kind, size in steps:
        now_ns += S
        name = f"{kind}-{number}"
        if step == "product":
            product = Product(
                id=name, request_id=f"req-{number % 3}", kind=kind, path="/p", size_bytes=size
            )
            act(queue.on_product(product, now_ns))
        elif step == "withdraw":
            act(queue.withdraw(f"req-{number % 3}", now_ns, kinds=WITHDRAWN[number % 2]))
        elif step == "restart":
            queue = DownlinkScheduler(store, LIMITS)
            act(queue.recover(set(at_link), now_ns))
        elif at_link:
            chosen = sorted(at_link)[number % len(at_link)]
            if step == "progress":
                act(queue.on_progress(chosen, size, now_ns))
            elif step == "deliver":
                del at_link[chosen]
                act(queue.on_delivered(chosen, now_ns))
            else:
                del at_link[chosen]
                act(queue.on_fault(chosen, "limit", now_ns))
        assert queue.product_ids() == open_ids
        assert len(open_ids) <= LIMITS.entries
        asked = [p.kind for p in at_link.values() if p.kind != SPARE]
        assert len(at_link) - len(asked) <= 1
        assert len(asked) <= LIMITS.transfers + LIMITS.urgent_transfers
        assert sum(kind not in URGENT for kind in asked) <= 2
        ranked = queue.queue_state("sat1", now_ns).entries
        assert sum(entry.size_bytes for entry in ranked) <= LIMITS.size_bytes
        if any(e.kind in URGENT and e.product_id not in at_link for e in ranked):
            assert len(asked) == LIMITS.transfers + LIMITS.urgent_transfers, "an answer waits"
        for known in open_ids | delivered:
            assert queue.report(known) is not None


@seed(8)
@settings(max_examples=100, deadline=None, database=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 10**9)), max_size=40),
)
def test_the_bucket_gives_exactly_the_integral_of_the_rate(steps: list[tuple[int, int]]) -> None:
    budget = RateBudget(10**10, 1)
    budget.advance(0, 0)
    now_ns, bit_ns, spent = 0, 0, 0
    for passed_ns, rate_bps in steps:
        now_ns += passed_ns
        bit_ns += passed_ns * rate_bps
        spent += budget.advance(now_ns, rate_bps)
        budget.spend(budget.available_bytes)
    assert spent == bit_ns // (8 * S)


@seed(9)
@settings(max_examples=100, deadline=None, database=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**9), st.booleans()), max_size=40),
    st.integers(0, 10**10),
    st.integers(1, 10**6),
)
def test_no_silence_releases_more_than_the_burst_and_a_frame(
    steps: list[tuple[int, int, bool]], burst_ns: int, least: int
) -> None:
    budget = RateBudget(burst_ns, least)
    now_ns = 0
    for passed_ns, rate_bps, sends in steps:
        now_ns += passed_ns
        ready = budget.advance(now_ns, rate_bps)
        if passed_ns:
            assert ready <= rate_bps * burst_ns // (8 * S) + least
        if sends:
            budget.spend(max(ready, 0))


@seed(10)
@settings(max_examples=100, deadline=None, database=None)
@given(
    st.lists(
        st.builds(
            Product,
            id=st.uuids().map(str),
            kind=st.sampled_from(sorted(CHANNELS)),
            priority=st.integers(0, 7),
            deadline_ns=st.sampled_from((0, 1 * S, 5 * S, 9 * S)),
            value=st.floats(0, 1),
            is_late=st.booleans(),
            path=st.just("/p"),
            size_bytes=st.integers(1, 10**6),
        ),
        max_size=20,
    )
)
def test_channel_then_lateness_then_priority_and_so_on(products: list[Product]) -> None:
    now_ns = 5 * S
    ranked = sorted(products, key=lambda p: key(p, now_ns))
    late = {p.id: p.is_late or p.deadline_ns in (1 * S, 5 * S) for p in products}
    order = [(CHANNELS[p.kind], late[p.id], -p.priority) for p in ranked]
    assert order == sorted(order)
    for product in products:
        coarse = place(product.kind, is_late=late[product.id], priority=product.priority)
        fine = within(product.value, product.size_bytes, product.deadline_ns)
        assert key(product, now_ns) == (*coarse, *fine, product.id)
