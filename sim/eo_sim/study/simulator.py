"""Replay one policy over one world: captures, on-board computing, downlink, ground, answers.

Theory of operation: satellites (``flight``) decide block after block, always the one that is
furthest behind. What reached the ground before all of them is served there by all servers, first
come first served. Requests that are settled leave as blocks of outcomes (``replay``), so a replay
holds what waits and no more.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .flight import Asking, Flight, Rows
from .replay import Replay
from .tables import Tables
from .workload import Requests
from .world import World

Sink = Callable[[Replay], None]


class Replayer:
    """Tables as lists, made once for all replays of a trace."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._rows = Rows(tables)

    def run(
        self, requests: Sequence[tuple[str, Iterable[Requests]]], world: World, asking: Asking,
        sink: Sink,
    ) -> None:
        """Replay all satellites; deterministic.

        Args:
            requests: of each satellite its name, and blocks in order of capture.
            sink: takes outcomes of settled requests, each request once.
        """
        flights = [
            Flight(index, blocks, world.links[name], self._rows, asking, world.end_s)
            for index, (name, blocks) in enumerate(requests)
        ]
        ground = _Ground(self.tables)
        while under_way := [one for one in flights if not one.is_over]:
            flight = min(under_way, key=lambda one: one.now_s)
            flight.step()
            if flight.is_due:
                until_s = ground.serve(flights)
                for one in flights:
                    if len(block := one.settle(until_s)):
                        sink(block)


class _Ground:
    """Equal servers, first come first served over all satellites."""

    def __init__(self, tables: Tables) -> None:
        self._service = tables.regular_s
        self._delay_s = tables.config.world.delay_s
        self._free = [0.0] * tables.config.compute.ground_servers

    def serve(self, flights: Sequence[Flight]) -> float:
        """Serve what has arrived before anything else can; the time until which that is."""
        until_s = float("inf")
        for one in flights:
            one.gather()
            if not one.is_over:
                until_s = min(until_s, one.now_s + self._delay_s)
        found = []
        for one in flights:
            c = one.waiting
            came = (c["arrive_s"] <= until_s) & (c["arrive_s"] < np.inf)
            mine = np.flatnonzero(came & (c["finish_s"] == np.inf))
            costs = self._service[c["row"][mine], c["level"][mine]]
            found.append(np.stack(
                [c["arrive_s"][mine], np.full(len(mine), one.index), mine, costs], axis=1))
        table = np.concatenate(found)
        order = np.lexsort((table[:, 2], table[:, 1], table[:, 0]))
        finish = np.empty(len(table))
        for place, arrive_s, cost_s in zip(
            order.tolist(), table[order, 0].tolist(), table[order, 3].tolist(), strict=True
        ):
            end_s = max(self._free[0], arrive_s) + cost_s
            heapq.heapreplace(self._free, end_s)
            finish[place] = end_s
        for one in flights:
            mine = table[:, 1] == one.index
            one.waiting["finish_s"][table[mine, 2].astype(np.int64)] = finish[mine]
        return until_s
