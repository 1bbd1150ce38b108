"""The order of the downlink: channel, then priority, deadline and value per byte."""

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
}
URGENT = ("event", "answer")
PIXELS = ("overview", "regions", "refinement")
_NO_DEADLINE_NS = 2**63 - 1

Key = tuple[int | float | str, ...]


def key(product: Product, now_ns: int) -> Key:
    """Return the sort key of a product; the smallest goes first.

    Args:
        product: validated; its kind is one of `CHANNELS`.
        now_ns: orbital time; within its channel a product past its deadline goes last.
    """
    is_late = 0 < product.deadline_ns <= now_ns
    return (
        CHANNELS[product.kind],
        int(is_late),
        -product.priority,
        product.deadline_ns or _NO_DEADLINE_NS,
        -product.value / max(product.size_bytes, 1),
        product.id,
    )
