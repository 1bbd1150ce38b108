"""The replay's queue sends in the order of the queue that flies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from eo_nodes.contracts.values import Product
from eo_nodes.downlink.order import is_late, key, place
from eo_sim.study.downlink import Downlink
from eo_sim.study.policy import ANSWER_RANK, REFINE_RANK
from eo_sim.study.world import Contact, Link

S = 1_000_000_000
# 1000 bytes a second, from 100 s to 160 s and from 300 s to 400 s.
SPANS = ((100.0, 160.0), (300.0, 400.0))
LINK = Link(
    [Contact("sat", "st", a, b, np.array([a, b]), np.full(2, 8000.0)) for a, b in SPANS], 2000.0
)


def _now_ns(sent_bytes: int) -> int:
    """When the transmitter, having sent so much, can send more."""
    return (100 if sent_bytes < 60_000 else 240) * S + sent_bytes * S // 1000


def _flown(products: list[Product]) -> list[str]:
    """One product at a time, the smallest key of that moment first, while there is contact."""
    left, sent, order = list(products), 0, []
    while left and sent < 160_000:
        first = min(left, key=lambda p: key(p, _now_ns(sent)))
        left.remove(first)
        sent += first.size_bytes
        if sent <= 160_000:
            order.append(first.id)
    return order


PRODUCTS = st.lists(
    st.builds(
        Product,
        kind=st.sampled_from(("answer", "regions", "regions", "regions")),
        priority=st.integers(0, 2),
        deadline_ns=st.sampled_from((0, 50 * S, 120 * S, 160 * S, 200 * S, 310 * S, 900 * S)),
        value=st.sampled_from((0.0, 0.25, 0.5, 1.0)),
        is_late=st.booleans(),
        path=st.just("/p"),
        size_bytes=st.sampled_from((500, 4_000, 20_000, 33_000)),
    ),
    max_size=12,
)


@seed(20261121)
@settings(max_examples=300, deadline=None, database=None)
@given(PRODUCTS)
def test_the_order_is_that_of_flight(drawn: list[Product]) -> None:
    products = [replace(one, id=f"{n:02}") for n, one in enumerate(drawn)]
    down = Downlink(LINK)
    for one in products:
        rank = place(one.kind, is_late=one.is_late, priority=one.priority)
        down.add(0.0, one.size_bytes, rank, one.value, one.deadline_ns / S)
    mine = place("regions", priority=1)
    before = sum(p.size_bytes for p in products
                 if place(p.kind, is_late=p.is_late, priority=p.priority) <= mine)  # fmt: skip
    assert down.ahead_bytes(mine) == before
    assert down.queued_bytes() == sum(p.size_bytes for p in products if not p.is_late)
    assert down.ahead_of(mine) == (
        down.ahead_bytes(ANSWER_RANK), before, down.ahead_bytes(REFINE_RANK), down.queued_bytes())
    down.advance(2000.0)
    came = down.drain()
    assert [f"{number:02}" for number, _, _ in came] == _flown(products)
    for number, start, _ in came:
        if is_late(products[number], _now_ns(round(start))):
            later = [n for n, at, _ in came if at > start]
            assert all(
                is_late(products[n], _now_ns(round(start))) for n in later
                if products[n].kind == products[number].kind
            ), "a late one went before one that was in time"


def test_what_is_begun_is_not_overtaken_and_newest_first_is_another_order() -> None:
    down = Downlink(LINK, is_lifo=True)
    for size in (1000, 2000, 3000):
        down.add(0.0, size, place("regions"))
    down.advance(101.0)
    down.add(101.0, 10, place("answer"))
    down.advance(2000.0)
    assert [number for number, _, _ in down.drain()] == [2, 3, 1, 0]
