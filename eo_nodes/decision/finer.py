"""What may follow a product unasked: finer pixels of its regions, by value per byte.

Purpose: the next step of what was sent, within the bytes that a contact has left. Non-purpose:
whether there is time (``downlink``), regions that the ground asks for (``refine``).

Theory of operation: the cells, options and hulls of ``sending``, above what each cell came as in
place of an overview. A cell is coded anew, so it takes a step only where the whole of a finer one
is worth its bytes; nothing that came is ever covered by something coarser in any respect. What is
found must be able to change the answer: of the gain that asking the ground was expected to bring it
has to bring `least_change` at least.

Source: own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.values import Region

from .cutting import cut
from .product import Sent
from .regions import relative
from .sending import LEAST_SUM, Base, Cells, Coder, SendingConfig, offers_of
from .value import Floats, Ints, Shown, ladders, seen, within

_DROPPED: Base = (0.0, np.inf)


def finer(
    sent: Sent,
    relevance: NDArray[np.floating],
    window: Sequence[int],
    coder: Coder,
    *,
    value: float,
    least_change: float,
    budget_bytes: float,
    config: SendingConfig,
) -> tuple[Region, ...]:
    """Choose what follows a product.

    Args:
        sent: regions that tile the window, and the overview, as sent.
        relevance: (rows, columns) in [0, 1] over the window, as it was sent by.
        window: x, y, w, h in scene pixels. coder: of the window, without an overview.
        value: expected gain of asking the ground with all pixels, [0, 1].
        least_change: of it, what this must bring, [0, 1].
        budget_bytes: of the product file, head included.
    Returns:
        Regions to send, best first, none of them dropped; nothing where it is not worth while.
    Raises:
        ConfigError: relevance, window or configuration break their contract.
    """
    regions, base = sent
    map_ = relative(np.asarray(relevance, np.float32))
    places, shares, sizes = cut(
        map_, window, cell_px=config.cell_px, most=config.most, fine_px=config.fine_px,
        floor=config.floor,
    )  # fmt: skip
    options, _ = offers_of(coder, config)
    came = came_as(regions, places)
    told = {*map(tuple, came.tolist())} - {_DROPPED}
    pairs = list(dict.fromkeys(
        [*((o.scale, o.step) for o in options), *sorted(told), *([base] if base else [])]))
    found = coder.estimate(places, pairs)
    levels = seen(Shown(found.shown, found.fine, tuple(s for s, _ in pairs)), sizes,
                  config.needed_px)
    known = levels[:, pairs.index(base)] if base else np.zeros(len(places))
    for pair in told:
        rows = (came == pair).all(axis=1)
        known = np.where(rows, np.maximum(known, levels[:, pairs.index(pair)]), known)
    on_offer = np.array([(o.scale, o.step) for o in options])
    is_finer = (on_offer[:, 0] >= came[:, :1]) & (on_offer[:, 1] <= came[:, 1:])
    worth = np.where(is_finer, levels[:, : len(options)], 0.0)
    weights = shares / max(float(shares.sum()), LEAST_SUM)
    (ladder,) = ladders(found.bytes[:, : len(options)], worth, weights, known[None])
    cells = Cells(places, shares, options)

    def chosen(count: int) -> tuple[Region, ...]:
        made = cells.regions(ladder.choice(count, len(places)))
        return tuple(region for region in made if region.action != "drop")

    count, _ = within(
        np.append(0.0, ladder.bytes.cumsum()), budget_bytes,
        lambda n: coder.size(chosen(n), None), fixed=coder.head_size,
    )  # fmt: skip
    gain = value * float(ladder.gains[:count].sum())
    return chosen(count) if count and gain > 0 and gain >= least_change else ()


def came_as(regions: Sequence[Region], places: Ints) -> Floats:
    """(N, 2) scale and step that each cell came in; 0 and infinity where its region was dropped.

    A cell belongs to the region that its middle lies in; several may lie over each other, the
    last on top.

    Args:
        places: (N, 4) x, y, w, h.
    """
    x, y, w, h = places.T
    came = np.tile(np.array(_DROPPED), (len(places), 1))
    for region in regions:
        if region.action == "drop":
            continue
        left, top, width, height = region.window
        is_in = (2 * left <= 2 * x + w) & (2 * x + w < 2 * (left + width))
        is_in &= (2 * top <= 2 * y + h) & (2 * y + h < 2 * (top + height))
        came[is_in] = region.scale, float(region.codec.partition("/")[2] or 0)
    return came
