"""Which object of a kind is meant: the only one, the leftmost, the one nearest to a point.

Theory of operation: proposals are there with chances (``counting``). The leftmost ship is one that
is there while none further left is: of independent places, the product of its own chance and of
those that all before it in that order are false. So a faint proposal at the edge takes its share,
and no more. ``told`` offers the boxes with these chances; which order and kind is asked for, the
decoder says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from eo_nodes.lvlm.counting import Counting, odds_of, there
from eo_nodes.lvlm.proposals import Proposals
from eo_nodes.lvlm.visual_prompts import VisualPrompt

Double = NDArray[np.float64]
_Key = Callable[[Double, Double], Double]
_CENTRE = np.array([0.5, 0.5])


def _apart(centres: Double, place: Double) -> Double:
    return np.asarray(np.hypot(*(centres - place).T))


# What is smallest of centres (n, 2) and areas (n,) comes first; of "only" nothing does.
_KEYS: dict[str, _Key | None] = {
    "only": None,
    "topmost": lambda centres, areas: centres[:, 1],
    "bottommost": lambda centres, areas: -centres[:, 1],
    "leftmost": lambda centres, areas: centres[:, 0],
    "rightmost": lambda centres, areas: -centres[:, 0],
    "largest": lambda centres, areas: -areas,
    "smallest": lambda centres, areas: areas,
    "most central": lambda centres, areas: _apart(centres, _CENTRE),
    "nearest": None,
}
ORDERS = tuple(_KEYS)
"""In the order of ``told``'s scores. ``nearest``: to the point that is part of the prompt."""


def of_first(chances: Double, key: Double) -> Double:
    """(n,) chance of each to be there while none of smaller key is."""
    order = np.argsort(key, kind="stable")
    before = np.concatenate([[1.0], np.cumprod(1 - chances[order])[:-1]])
    out = np.empty(len(chances))
    out[order] = chances[order] * before
    return out


def meant(
    found: Proposals, rule: Counting, kind: int, order: str, places: Sequence[VisualPrompt] = ()
) -> tuple[NDArray[np.int64], Double]:
    """Indexes of the proposals that may be meant, and the chance of each; they sum to one.

    Args:
        found: kept proposals, the kinds as they compete. places: of the prompt, on this image.
    Returns:
        Nothing where none is of the kind, or there is no point to be near to.
    """
    none = np.zeros(0, np.int64), np.zeros(0)
    if not len(found.score):
        return none
    mine = np.flatnonzero(found.kinds.argmax(1) == kind)
    if not len(mine):
        return none
    chances = there(found.score[mine], rule, kind)
    boxes = found.boxes[mine].astype(np.float64)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    key = _KEYS[order]
    if order == "nearest":
        point = next((p for p in places if p.kind == "point"), None)
        if point is None:
            return none
        weights = of_first(chances, _apart(centres, np.array(point.xy[:2], np.float64)))
    elif key is None:
        odds = odds_of(found.score[mine], rule, kind)
        weights = np.exp(odds - odds.max())
    else:
        weights = of_first(chances, key(centres, (boxes[:, 2:] - boxes[:, :2]).prod(1)))
    total = weights.sum()
    return (mine, weights / total) if total > 0 else none
