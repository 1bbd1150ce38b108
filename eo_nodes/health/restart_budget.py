"""Restart budget: a few restarts in a window, growing delays, then the node is disabled (M18).

The count is on disk before a restart is granted, so a node that takes the whole segment down
with it still runs out of restarts. The monotonic clock starts anew at each boot, so restarts of
earlier boots count as if they had happened at the start of this one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .ports import Store

_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartLimits:
    """The budget of each node.

    Attributes:
        restarts: granted within the window.
        window_ns: how long a restart counts.
        delays_ns: before the first, second, ... restart in a window; the last repeats.
    """

    restarts: int = 3
    window_ns: int = 600 * _S
    delays_ns: tuple[int, ...] = (1 * _S, 2 * _S, 4 * _S)


@dataclass(frozen=True, slots=True)
class RestartRow:
    """Restarts of a node that count, monotonic, and whether it is disabled."""

    at_ns: tuple[int, ...] = ()
    is_disabled: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the node again after the delay."""

    node: str
    delay_ns: int
    number: int


@dataclass(frozen=True, slots=True)
class Disable:
    """The budget is used up: leave the node down and enter safe mode."""

    node: str


class RestartBudget:
    """Budgets of all nodes.

    Args:
        store: durable table.
        now_ns: monotonic, at the start of this boot.
        limits: see `RestartLimits`.
    """

    def __init__(self, store: Store, now_ns: int, limits: RestartLimits | None = None) -> None:
        self._limits = limits or RestartLimits()
        self._table = store.table("restart_budget", RestartRow)
        self._rows = {
            node: replace(row, at_ns=(now_ns,) * len(row.at_ns))
            for node, row in self._table.open_rows()
        }

    def on_exit(self, node: str, now_ns: int) -> Restart | Disable:
        """Decide about a node that died or hung.

        Raises:
            StorageError: the count is not durable; no restart is granted.
        """
        row = self._rows.get(node, RestartRow())
        recent = tuple(t for t in row.at_ns if now_ns - t < self._limits.window_ns)
        if row.is_disabled or len(recent) >= self._limits.restarts:
            self._save(node, replace(row, is_disabled=True))
            return Disable(node)
        delays = self._limits.delays_ns
        self._save(node, RestartRow(at_ns=(*recent, now_ns)))
        return Restart(node, delays[min(len(recent), len(delays) - 1)], len(recent) + 1)

    def enable(self, node: str) -> None:
        """By command, after a repair: a full budget again."""
        self._save(node, RestartRow())

    def disabled(self) -> frozenset[str]:
        """Return the nodes that stay down."""
        return frozenset(node for node, row in self._rows.items() if row.is_disabled)

    def _save(self, node: str, row: RestartRow) -> None:
        self._table.put(node, row)
        self._rows[node] = row
