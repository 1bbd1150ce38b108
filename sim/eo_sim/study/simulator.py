"""Replay one policy over one world: captures, on-board computing, downlink, ground, answers.

Theory of operation: a satellite has one computer, first come first served, cores beside it that
choose and code regions, and one downlink (``downlink``). Requests are taken in order of capture;
the policy is asked at each stage with the satellite's own knowledge at that moment. Decisions of
one satellite come in order of time, so its queue is advanced once along them. What reaches the
ground is served there by all servers, first come first served, over all satellites. Everything
after the decisions is array arithmetic.

Conservation: each request gets one final answer, from on board or from the ground, or is a stated
miss; a provisional answer whose pixels never come is final.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .downlink import Downlink
from .policy import (
    ANSWER,
    ANSWER_RANK,
    BOTH,
    END,
    OFFLOAD,
    PROCEED,
    Choice,
    Decide,
    View,
    proceed,
)
from .tables import Tables
from .trace import STATS
from .workload import Requests
from .world import Link, World

Float = NDArray[np.float64]
Int = NDArray[np.int64]
ONBOARD, GROUND, MISSED = 0, 1, 2
PARTS = ("compute", "queue", "wait", "transmit", "ground")
_ZERO = (0.0,) * (3 + len(STATS) + 1)
_GOES_ON = proceed()


@dataclass(frozen=True, eq=False)
class Replay:
    """What became of every request, over all satellites; arrays of N.

    Attributes:
        row: of the trace. satellite, scene: numbers. is_onboard: consumer.
        origin: of the final answer: ONBOARD, GROUND or MISSED. level: sent, -1 where nothing.
        stage: at which the policy decided, 0 to 3.
        capture_s, first_s, final_s: of capture, of the first and of the final answer; inf: none.
        first_quality, final_quality: 0 to 1; 0 where missed.
        parts_s: (N, 5) of the final answer's latency, as PARTS; their sum is final_s - capture_s.
        down_bytes, up_bytes: of the request that went over the link; what never did counts nothing.
        onboard_j, radio_j, ground_j: energy.
        world: facts of the world. sent_bytes, capacity_bytes: of all links.
        end_s: of the window.
    """

    row: Int
    satellite: Int
    scene: Int
    is_onboard: NDArray[np.bool_]
    origin: Int
    level: Int
    stage: Int
    capture_s: Float
    first_s: Float
    final_s: Float
    first_quality: Float
    final_quality: Float
    parts_s: Float
    down_bytes: Float
    up_bytes: Float
    onboard_j: Float
    radio_j: Float
    ground_j: Float
    sent_bytes: float
    capacity_bytes: float
    end_s: float

    def __len__(self) -> int:
        return len(self.row)


@dataclass(slots=True)
class _Log:
    """Per request of one satellite, in order."""

    start_s: list[float]
    done_s: list[float]
    stage: list[int]
    level: list[int]
    answer: list[int]
    pixels: list[int]
    answered_s: list[float]


class Replayer:
    """Tables as lists, made once for all replays of a trace."""

    def __init__(self, tables: Tables) -> None:
        trace = tables.trace
        self.tables, self.trace = tables, trace
        self._compact = tables.compact_s.tolist()
        self._code = tables.code_s.tolist()
        self._wire = tables.wire.tolist()
        self._answer = tables.answer_wire.tolist()
        said = np.concatenate(
            [trace["scores"], trace["stats"], trace["novelty"][:, :, None]], axis=2)
        self._said = [[_ZERO, *map(tuple, rows)] for rows in said.tolist()]
        self._facts = list(zip(
            trace.names_of("modality").tolist(), trace.names_of("question").tolist(),
            tables.deadline_s.tolist(), trace["priority"].tolist(), trace["raw_bytes"].tolist(),
            strict=True,
        ))  # fmt: skip
        self._names = {level.name: i for i, level in enumerate(trace.levels)}

    def run(
        self, requests: Sequence[Requests], world: World, decide: Decide, *,
        first_stage: int = 1, is_lifo: bool = False,
    ) -> Replay:
        """Replay all satellites; deterministic.

        Args:
            decide: a policy. first_stage: at which it is asked first.
            is_lifo: the newest product of a rank goes first.
        """
        parts = []
        for index, some in enumerate(requests):
            link = world.links[some.satellite]
            down = Downlink(link, is_lifo=is_lifo)
            log = self._decide_all(some, down, decide, first_stage)
            down.advance(world.end_s)
            parts.append(self._outcome(index, some, log, down, link, world.end_s))
        return self._join(parts, requests, world)

    # -- decisions -------------------------------------------------------------------------------

    def _decide_all(
        self, some: Requests, down: Downlink, decide: Decide, first_stage: int
    ) -> _Log:
        n = len(some)
        log = _Log([0.0] * n, [0.0] * n, [0] * n, [-1] * n, [-1] * n, [-1] * n,
                   [float("inf")] * n)  # fmt: skip
        view = View()
        view.levels, view.to_end_s = self._names, self.tables.to_end_s.tolist()
        cpu_s = 0.0
        self._cores = [0.0] * self.tables.config.compute.coding_cores
        rows, captures = some.row.tolist(), some.capture_s.tolist()
        consumers = some.is_onboard.tolist()
        for i, row in enumerate(rows):
            start = max(captures[i], cpu_s)
            cost = self._compact[row]
            self._show(view, row, captures[i], consumers[i])
            choice, now, stage = self._ask(view, down, decide, first_stage, start, cost)
            action = choice.action
            if action in (ANSWER, BOTH) or (action == PROCEED and stage == END):
                now = start + cost[END - 1]
                log.answered_s[i] = now
                if not consumers[i]:
                    log.answer[i] = down.add(now, self._answer[row], ANSWER_RANK)
            done = now
            if action >= OFFLOAD:
                done = self._offload(log, i, row, choice, now, down)
            log.start_s[i], log.done_s[i], log.stage[i] = start, done, stage
            cpu_s = now
        return log

    def _show(self, view: View, row: int, capture_s: float, is_onboard: bool) -> None:
        view.modality, view.question, deadline, view.priority, view.raw_bytes = self._facts[row]
        view.row, view.deadline_s, view.is_onboard = row, capture_s + deadline, is_onboard
        view.wire = self._wire[row]

    def _ask(
        self, view: View, down: Downlink, decide: Decide, stage: int, start: float,
        cost: list[float],
    ) -> tuple[Choice, float, int]:
        said = self._said[view.row]
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

    def _offload(
        self, log: _Log, i: int, row: int, choice: Choice, now: float, down: Downlink
    ) -> float:
        level = choice.level
        cost = self._code[row][level]
        if cost > 0:
            now = max(self._cores[0], now) + cost
            heapq.heapreplace(self._cores, now)
        log.pixels[i], log.level[i] = down.add(now, self._wire[row][level], choice.rank), level
        return now

    # -- what came of them -----------------------------------------------------------------------

    def _outcome(
        self, index: int, some: Requests, log: _Log, down: Downlink, link: Link, end_s: float
    ) -> dict[str, NDArray[np.generic]]:
        delay = self.tables.config.world.delay_s
        starts, ends = np.array([*down.starts, -1.0]), np.array([*down.ends, -1.0])
        sizes = np.array([*sent_of(down), 0.0])
        end_times = np.where(ends >= 0, link.times_of(ends) + delay, np.inf)
        active_start, active_end = (
            link.contact_by(link.times_of(np.maximum(x, 0))) for x in (starts, ends)
        )
        answer, pixels = (np.array(x, np.int64) for x in (log.answer, log.pixels))
        arrive = np.where(pixels >= 0, end_times[pixels], np.inf)
        alone = np.array(log.answered_s)
        first = np.where(some.is_onboard, alone, np.where(answer >= 0, end_times[answer], np.inf))
        first = np.where(first <= end_s, first, np.inf)
        done = np.array(log.done_s)
        by_ground = np.isfinite(arrive)
        carried = np.where(by_ground, pixels, answer)
        ready = np.where(by_ground, done, np.minimum(alone, done))
        at_ready = link.contact_by(ready)
        queued = np.clip(active_start[carried] - at_ready, 0, None)
        sending = np.clip(
            active_end[carried] - np.maximum(active_start[carried], at_ready), 0, None
        )
        uses_link = by_ground | (answer >= 0)
        down_bytes = (
            np.where(answer >= 0, sizes[answer], 0) + np.where(pixels >= 0, sizes[pixels], 0)
        )  # fmt: skip
        return {
            "satellite": np.full(len(some), index), "level": np.array(log.level, np.int64),
            "stage": np.array(log.stage, np.int64), "first_s": first, "arrive_s": arrive,
            "start_s": np.array(log.start_s), "ready_s": ready,
            "queued_s": np.where(uses_link, queued, 0),
            "sending_s": np.where(uses_link, sending, 0),
            "down_bytes": down_bytes,
            "answered": np.isfinite(alone), "sent": np.array([sizes.sum()]),
        }  # fmt: skip

    def _join(
        self, parts: Sequence[dict[str, NDArray[np.generic]]], requests: Sequence[Requests],
        world: World,
    ) -> Replay:
        every = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        row = np.concatenate([some.row for some in requests])
        capture = np.concatenate([some.capture_s for some in requests])
        onboard = np.concatenate([some.is_onboard for some in requests])
        scene = np.concatenate([some.scene for some in requests])
        level: Int = every["level"].astype(np.int64)
        service = self.tables.regular_s[row, level]
        finish, ground_wait = _serve(
            every["arrive_s"].astype(np.float64), service, self.tables.config.compute.ground_servers
        )
        answered = np.where(finish <= world.end_s, finish, np.inf)
        first: Float = every["first_s"].astype(np.float64)
        by_ground = np.isfinite(answered)
        origin = np.where(by_ground, GROUND, np.where(np.isfinite(first), ONBOARD, MISSED))
        final = np.where(by_ground, answered, first)
        first = np.minimum(first, final)
        compact, regular = self._quality(row, level)
        final_quality = np.where(by_ground, regular, np.where(np.isfinite(final), compact, 0.0))
        first_quality = np.where(first < final, compact, final_quality)
        parts_s = _parts(every, capture, final, origin, np.where(by_ground, ground_wait, 0.0))
        return Replay(
            row=row, satellite=every["satellite"].astype(np.int64), scene=scene,
            is_onboard=onboard, origin=origin.astype(np.int64), level=level,
            stage=every["stage"].astype(np.int64), capture_s=capture, first_s=first,
            final_s=final, first_quality=first_quality, final_quality=final_quality,
            parts_s=parts_s, down_bytes=every["down_bytes"].astype(np.float64),
            up_bytes=self._up_bytes(every),
            sent_bytes=float(every["sent"].astype(np.float64).sum()),
            capacity_bytes=sum(link.sent_bytes[-1] for link in world.links.values()),
            end_s=world.end_s, **self._energy(every, row, level, answered, world),
        )  # fmt: skip

    def _quality(self, row: Int, level: Int) -> tuple[Float, Float]:
        regular = self.trace["regular_quality"][row, level].astype(np.float64)
        return self.trace["compact_quality"][row].astype(np.float64), regular

    def _up_bytes(self, every: dict[str, NDArray[np.generic]]) -> Float:
        world = self.tables.config.world
        frames = np.ceil(every["down_bytes"].astype(np.float64) / world.frame_bytes)
        return np.asarray(world.task_bytes + frames * world.ack_bytes_per_frame)

    def _energy(
        self, every: dict[str, NDArray[np.generic]], row: Int, level: Int, answered: Float,
        world: World,
    ) -> dict[str, Float]:
        tables, stage = self.tables, every["stage"].astype(np.int64)
        to_end = every["answered"].astype(bool) | (stage == END)
        until = np.where(to_end, END - 1, stage - 1)
        compute_j = np.where(until >= 0, tables.compact_j[row, until], 0.0)
        code_j = np.where(level >= 0, tables.code_j[row, level], 0.0)
        contact_s = sum(link.contact_s[-1] for link in world.links.values())
        carried = sum(link.sent_bytes[-1] for link in world.links.values())
        rate = carried / contact_s * tables.thinning if contact_s else 1.0
        sending_s = every["down_bytes"].astype(np.float64) / rate
        return {
            "onboard_j": compute_j + code_j,
            "radio_j": sending_s * tables.config.compute.transmitter_w,
            "ground_j": np.where(np.isfinite(answered), tables.regular_j[row, level], 0.0),
        }


def sent_of(down: Downlink) -> list[float]:
    """Bytes of each product that went over the link: all, the begun part of the last, or none."""
    return [
        size if end >= 0 else size - down.left_bytes if start >= 0 else 0.0
        for size, start, end in zip(down.sizes, down.starts, down.ends, strict=True)
    ]


def _serve(arrive_s: Float, service_s: Float, servers: int) -> tuple[Float, Float]:
    """First come first served by equal servers: (finish, time from arrival to finish)."""
    finish = np.full(len(arrive_s), np.inf)
    order = np.argsort(arrive_s, kind="stable")
    order = order[np.isfinite(arrive_s[order])]
    free = [0.0] * servers
    times, costs = arrive_s[order].tolist(), service_s[order].tolist()
    done = []
    for time, cost in zip(times, costs, strict=True):
        end = max(free[0], time) + cost
        heapq.heapreplace(free, end)
        done.append(end)
    finish[order] = done
    return finish, np.where(np.isfinite(finish), finish - np.where(
        np.isfinite(arrive_s), arrive_s, 0.0), 0.0)  # fmt: skip


def _parts(
    every: dict[str, NDArray[np.generic]], capture: Float, final: Float, origin: Int,
    ground: Float,
) -> Float:
    """(N, 5) as PARTS; waiting for a contact is what the others leave of the whole."""
    start, ready = every["start_s"].astype(np.float64), every["ready_s"].astype(np.float64)
    compute = np.clip(np.minimum(ready, final) - start, 0, None)
    queue = (start - capture) + every["queued_s"].astype(np.float64)
    sending = every["sending_s"].astype(np.float64)
    rest = final - capture - compute - queue - sending - ground
    table = np.stack([compute, queue, rest, sending, ground], axis=1)
    return np.where((origin == MISSED)[:, None], np.nan, table)

