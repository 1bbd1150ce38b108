"""The order of the downlink: channel, late ones last, then priority, deadline, value per byte.

The study's queue is sorted by the same two functions, `place` and `within`.
"""

from __future__ import annotations

from eo_nodes.contracts.values import Product

# Most urgent first; the numbers are the first part of every key.
CHANNELS = {
    "event": 0,
    "answer": 1,
    "overview": 2,
    "regions": 3,
    "refinement": 4,
    "housekeeping": 5,
    "catalogue": 6,
    "enhancement": 7,
}
URGENT = ("event", "answer")
SPARE = "enhancement"
"""What nobody asked for: behind all else, in nobody's way, of no use after its contact."""
PIXELS = ("overview", "regions", "refinement", SPARE)
NO_DEADLINE_NS = 2**63 - 1

Key = tuple[int | float | str, ...]
Place = tuple[int, int, int]


def place(kind: str, *, is_late: bool = False, priority: int = 0) -> Place:
    """Return the coarse part of a key: channel, lateness, priority. Equal places share a queue.

    Args:
        kind: one of `CHANNELS`.
        is_late: past its deadline, or made when no contact could meet it: last of its channel.
        priority: 0 to 7.
    """
    return CHANNELS[kind], int(is_late), -priority


def within(value: float, size_bytes: float, deadline_ns: int = 0) -> tuple[int, float]:
    """Return the order among products of one place: the earliest deadline, then value per byte."""
    return deadline_ns or NO_DEADLINE_NS, -value / max(size_bytes, 1)


def is_late(product: Product, now_ns: int) -> bool:
    """Whether a product goes last in its channel: made late, or past its deadline by now."""
    return product.is_late or 0 < product.deadline_ns <= now_ns


def key(product: Product, now_ns: int) -> Key:
    """Return the sort key of a product; the smallest goes first.

    Args:
        product: validated; its kind is one of `CHANNELS`.
        now_ns: orbital time.
    """
    return (
        *place(product.kind, is_late=is_late(product, now_ns), priority=product.priority),
        *within(product.value, product.size_bytes, product.deadline_ns),
        product.id,
    )
