"""One satellite of a replay: its computer, its coding cores, its downlink, and who still waits.

Theory of operation: requests are taken in order of capture; the policy is asked at each stage with
the satellite's own knowledge at that moment. Decisions come in order of time, so the queue is
advanced once along them. A request is held from its capture until nothing more can happen to it:
memory follows what waits, not what was ever asked.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .downlink import Downlink
from .policy import ANSWER, ANSWER_RANK, BOTH, END, OFFLOAD, PROCEED, Choice, Decide, View, proceed
from .replay import COLUMNS, Columns, Replay, outcomes
from .tables import Tables
from .trace import STATS
from .workload import Requests
from .world import Link

_ZERO = (0.0,) * (3 + len(STATS) + 1)
_GOES_ON = proceed()


class Rows:
    """Tables and scores as lists, which a loop reads faster; made once for all replays."""

    def __init__(self, tables: Tables) -> None:
        trace = tables.trace
        self.tables = tables
        self.compact, self.code = tables.compact_s.tolist(), tables.code_s.tolist()
        self.wire, self.answer = tables.wire.tolist(), tables.answer_wire.tolist()
        self.product = trace["level_bytes"].tolist()
        said = np.concatenate(
            [trace["scores"], trace["stats"], trace["novelty"][:, :, None]], axis=2)
        self.said = [[_ZERO, *map(tuple, rows)] for rows in said.tolist()]
        self.facts = list(zip(
            trace.flown_modality().tolist(), trace.names_of("question").tolist(),
            tables.deadline_s.tolist(), trace["priority"].tolist(), trace["raw_bytes"].tolist(),
            strict=True,
        ))  # fmt: skip
        self.to_end_s = tables.to_end_s.tolist()
        self.levels = {level.name: i for i, level in enumerate(trace.levels)}


@dataclass(frozen=True, slots=True)
class Asking:
    """A policy of one replay: who decides, from which stage on, and the order of its queue."""

    decide: Decide
    first_stage: int = 1
    is_lifo: bool = False


class Flight:
    """A satellite under way.

    Attributes:
        now_s: of its last decision; the window's end when it is over. waiting: see ``COLUMNS``.
    """

    def __init__(
        self, index: int, blocks: Iterable[Requests], link: Link, rows: Rows, asking: Asking,
        end_s: float,
    ) -> None:
        self.index, self.is_over, self.end_s = index, False, end_s
        self._blocks, self._link, self._rows, self._asking = iter(blocks), link, rows, asking
        self._down = Downlink(link, is_lifo=asking.is_lifo)
        self._cpu_s = 0.0
        self._cores = [0.0] * rows.tables.config.compute.coding_cores
        self._count = 0
        self._view = View()
        self._view.levels, self._view.to_end_s = rows.levels, rows.to_end_s
        self.waiting: Columns = _empty(0)
        self._new: list[Columns] = []

    @property
    def now_s(self) -> float:
        """Nothing will come down that is not down by then, but later."""
        return self._down.now_s

    def step(self) -> None:
        """Decide the next block of requests; after the last one fly on to the end."""
        some = next(self._blocks, None)
        if some is not None:
            self._new.append(self._decide_all(some))
            return
        self._down.advance(self.end_s)
        self.is_over = True

    # -- decisions -------------------------------------------------------------------------------

    def _decide_all(self, some: Requests) -> Columns:
        c = _empty(len(some))
        c["row"], c["capture_s"], c["onboard"] = some.row, some.capture_s, some.is_onboard
        c["number"] = np.arange(self._count, self._count + len(some))
        self._count += len(some)
        made = [self._decide_one(*one) for one in zip(
            some.row.tolist(), some.capture_s.tolist(), some.is_onboard.tolist(), strict=True)]
        names = ("start_s", "done_s", "answered_s", "stage", "level", "answer", "pixels")
        for name, values in zip(names, zip(*made, strict=True), strict=False):
            c[name] = np.array(values, COLUMNS[name][0])
        return c

    def _decide_one(
        self, row: int, capture_s: float, is_onboard: bool
    ) -> tuple[float, float, float, int, int, int, int]:
        down, rows = self._down, self._rows
        start, cost = max(capture_s, self._cpu_s), rows.compact[row]
        self._show(row, capture_s, is_onboard)
        choice, now, stage = self._ask(start, cost)
        action, answered, said, level, sent = choice.action, float("inf"), -1, -1, -1
        if action in (ANSWER, BOTH) or (action == PROCEED and stage == END):
            now = answered = start + cost[END - 1]
            if not is_onboard:
                said = down.add(now, rows.answer[row], ANSWER_RANK)
        self._cpu_s = done = now
        if action >= OFFLOAD:
            level = choice.level
            if (coding_s := rows.code[row][level]) > 0:
                done = max(self._cores[0], now) + coding_s
                heapq.heapreplace(self._cores, done)
            sent = down.add(
                done, rows.wire[row][level], choice.rank, choice.value, choice.deadline_s,
                rows.product[row][level])
        return start, done, answered, stage, level, said, sent

    def _show(self, row: int, capture_s: float, is_onboard: bool) -> None:
        view = self._view
        facts = self._rows.facts[row]
        view.modality, view.question, deadline, view.priority, view.raw_bytes = facts
        view.row, view.deadline_s, view.is_onboard = row, capture_s + deadline, is_onboard
        view.wire = self._rows.wire[row]

    def _ask(self, start: float, cost: list[float]) -> tuple[Choice, float, int]:
        view, down, decide = self._view, self._down, self._asking.decide
        stage, said = self._asking.first_stage, self._rows.said[view.row]
        while True:
            if stage == 2 and cost[1] >= cost[END - 1]:
                stage = END  # as in the graph: an answer that is complete by then is at its end
            now = start + cost[stage - 1] if stage else start
            (view.similar, view.correct, view.gain, view.mean_logprob, view.min_logprob,
             view.entropy, view.margin, view.novelty) = said[stage]  # fmt: skip
            view.stage, view.now_s, view.left_s = stage, now, view.deadline_s - now
            down.advance(now)
            choice = decide(view, down)
            if choice.action >= OFFLOAD and view.is_onboard:
                choice = _GOES_ON  # as in the graph: no answer of the ground's comes up
            if choice.action != PROCEED or stage == END:
                return choice, now, stage
            stage += 1

    # -- who waits -------------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether enough is new to look through all that waits: so the looking stays linear."""
        new = sum(len(c["row"]) for c in self._new)
        return self.is_over or 2 * new >= len(self.waiting["row"])

    def gather(self) -> None:
        """Put what is new to what waits, and say of each product when it came down."""
        if self._new:
            every = [self.waiting, *self._new]
            self.waiting = {name: np.concatenate([c[name] for c in every]) for name in COLUMNS}
            self._new = []
        down = self._down.drain()
        if not down:
            return
        table = np.array(down)
        numbers, starts, ends = table[:, 0].astype(np.int64), table[:, 1], table[:, 2]
        arrive = self._link.times_of(ends) + self._rows.tables.config.world.delay_s
        for kind in ("answer", "pixels"):
            # Numbers were given in order of requests: both lists of them rise.
            has = np.flatnonzero(self.waiting[kind] >= 0)
            if not len(has):
                continue
            own = self.waiting[kind][has]
            at = np.minimum(np.searchsorted(own, numbers), len(own) - 1)
            hit = own[at] == numbers
            mine = has[at[hit]]
            self.waiting[f"{kind}_start"][mine] = starts[hit]
            self.waiting[f"{kind}_end"][mine] = ends[hit]
            if kind == "pixels":
                self.waiting["arrive_s"][mine] = arrive[hit]

    def settle(self, served_until_s: float) -> Replay:
        """Take away those to whom nothing more can happen.

        Args:
            served_until_s: what reached the ground by then has its answer; inf: all are over.
        """
        c = self.waiting
        is_settled = np.ones(len(c["row"]), bool)
        is_end = served_until_s == float("inf")
        if not is_end:
            is_settled = (c["answer"] < 0) | (c["answer_end"] >= 0)
            is_settled &= (c["pixels"] < 0) | (c["arrive_s"] <= served_until_s)
        taken = {name: values[is_settled] for name, values in c.items()}
        self.waiting = {name: values[~is_settled] for name, values in c.items()}
        begun = self._down.begun() if is_end else (-1, 0.0)
        return outcomes(self.index, taken, begun, self._link, self._rows.tables, self.end_s)


def _empty(n: int) -> Columns:
    return {name: np.full(n, blank, dtype) for name, (dtype, blank) in COLUMNS.items()}
