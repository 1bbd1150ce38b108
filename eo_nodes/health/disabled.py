"""Nodes that the supervisor gave up, as it notes them in a file (M18).

What is known is kept across boots: safe mode ends by command, and a node that stays disabled
must not take the segment back into it at each start.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from eo_nodes.contracts.errors import ConfigError

from .ports import Store


@dataclass(frozen=True, slots=True)
class DisabledRow:
    """Durable state: fully qualified names that were reported."""

    nodes: tuple[str, ...] = ()


def read_note(text: str) -> tuple[str, ...]:
    """Read what the supervisor wrote: ``{"nodes": ["/sat1/tasking", ...]}``.

    Raises:
        ConfigError: the text is something else.
    """
    try:
        nodes = json.loads(text)["nodes"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"note of disabled nodes: {error!r:.100}") from error
    if not isinstance(nodes, list) or not all(isinstance(node, str) for node in nodes):
        raise ConfigError("note of disabled nodes: a list of names is needed")
    return tuple(nodes)


class DisabledNodes:
    """Which disabled nodes were reported already.

    Args:
        store: durable table.
    """

    def __init__(self, store: Store) -> None:
        self._table = store.table("disabled_nodes", DisabledRow)
        self._known = (self._table.get("nodes") or DisabledRow()).nodes

    def new(self, nodes: Iterable[str]) -> list[str]:
        """Return, in order, the names that were not reported yet."""
        return [node for node in nodes if node not in self._known]

    def keep(self, nodes: Iterable[str]) -> None:
        """Remember the present list as reported; names that are gone may come anew."""
        now = tuple(nodes)
        if now != self._known:
            self._table.put("nodes", DisabledRow(now))
            self._known = now
