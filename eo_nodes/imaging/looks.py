"""What is known of a window's pixels whatever is asked about them, kept for the next question.

Purpose: a scene gets many questions, and what planning its regions needs of pixels alone is the
same for all of them. Non-purpose: working it out (``rate``, ``coder``), pixels themselves.

A look is filled by whoever needs it first. The last used stay, as many as fit into a number of
bytes, one at least. One thread at a time.

Source: own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from .rate import Statistic

MOST_BYTES = 16 << 20
"""Of all looks: a window takes about one MB at most."""


@dataclass(slots=True)
class Look:
    """Of one window of one frame, coded with one error.

    Attributes:
        contrast: see ``coder.RegionCoder``; None while not known.
        statistics: by the spacing of their tiles.
        overviews: coded blocks of the whole window, by longest side and step.
    """

    contrast: float | None = None
    statistics: dict[tuple[int, int], Statistic] = field(default_factory=dict)
    overviews: dict[tuple[int, float], bytes] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """What it takes."""
        return (sum(map(len, self.overviews.values()))
                + sum(one.size_bytes for one in self.statistics.values()))


class Looks:
    """Looks by what they are of."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Keep so many bytes."""
        self._most_bytes = most_bytes
        self._known: OrderedDict[Hashable, Look] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, key: Hashable) -> Look:
        """The look of a key, an empty one where it is not known; the last used go last.

        Args:
            key: says which pixels, and how they are coded.
        """
        look = self._known.setdefault(key, Look())
        self._known.move_to_end(key)
        left = self._most_bytes
        for name, one in reversed(list(self._known.items())):
            left -= one.size_bytes
            if left < 0 and one is not look:
                del self._known[name]
        return look
