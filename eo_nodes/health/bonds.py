"""Bonds: a node that was heard and then stays silent is lost, once a life (M35).

Silence is counted only while somebody listens: after a pause of the listener itself (starved,
stopped, a machine that slept) nobody is blamed for what could not be heard. Nodes that never
beat are not watched; that they do not come is the bring-up's finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Node = TypeVar("Node")

# Between two checks at most this much counts as listening.
ATTENTION_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Lost(Generic[Node]):
    """A node fell silent.

    Attributes:
        node: which.
        silence_ns: listened to in vain, at least its limit.
    """

    node: Node
    silence_ns: int


@dataclass(slots=True)
class _Life:
    incarnation: int
    silence_ns: int = 0
    is_lost: bool = False


class Bonds(Generic[Node]):
    """Bonds to a set of nodes.

    Args:
        limits_ns: node -> silence after which it is lost, > 0.
        now_ns: monotonic.
    """

    def __init__(self, limits_ns: Mapping[Node, int], now_ns: int) -> None:
        self._limits_ns = dict(limits_ns)
        self._lives: dict[Node, _Life] = {}
        self._checked_ns = now_ns

    def on_beat(self, node: Node, incarnation: int) -> None:
        """Take a beat; one of a life that was given up counts for nothing."""
        life = self._lives.get(node)
        if node not in self._limits_ns or (
            life is not None and life.is_lost and life.incarnation == incarnation
        ):
            return
        self._lives[node] = _Life(incarnation)

    def check(self, now_ns: int) -> list[Lost[Node]]:
        """Return the nodes lost since the last check; all beats that came are taken before."""
        listened_ns = min(now_ns - self._checked_ns, ATTENTION_NS)
        self._checked_ns = now_ns
        lost = []
        for node, life in self._lives.items():
            life.silence_ns += listened_ns
            if not life.is_lost and life.silence_ns >= self._limits_ns[node]:
                life.is_lost = True
                lost.append(Lost(node, life.silence_ns))
        return lost
