"""What became of requests: outcomes of a part of a replay, and the arithmetic that makes them.

Conservation: each request gets one final answer, from on board or from the ground, or is a stated
miss; a provisional answer whose pixels never come is final.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .policy import END
from .tables import Tables
from .world import Link

Float = NDArray[np.float64]
Int = NDArray[np.int64]
ONBOARD, GROUND, MISSED = 0, 1, 2
PARTS = ("compute", "queue", "wait", "transmit", "ground")
# What is known of a request while it waits; -1 (numbers, positions) and inf (times): not yet.
COLUMNS: Mapping[str, tuple[str, float]] = {
    "number": ("int64", 0), "row": ("int64", 0), "capture_s": ("float64", 0),
    "onboard": ("bool", 0), "start_s": ("float64", 0), "done_s": ("float64", 0),
    "answered_s": ("float64", np.inf), "stage": ("int64", 0), "level": ("int64", -1),
    "answer": ("int64", -1), "answer_start": ("float64", -1), "answer_end": ("float64", -1),
    "pixels": ("int64", -1), "pixels_start": ("float64", -1), "pixels_end": ("float64", -1),
    "arrive_s": ("float64", np.inf), "finish_s": ("float64", np.inf),
}  # fmt: skip
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Replay:
    """Outcomes of some requests of one satellite; arrays of N.

    Attributes:
        satellite: its number. number: of the request, in order of capture. row: of the trace.
        is_onboard: consumer.
        origin: of the final answer: ONBOARD, GROUND or MISSED. level: sent, -1 where nothing.
        stage: at which the policy decided, 0 to 3.
        capture_s, first_s, final_s: of capture, of the first and of the final answer; inf: none.
        first_quality, final_quality: 0 to 1; 0 where missed.
        parts_s: (N, 5) of the final answer's latency, as PARTS; their sum is final_s - capture_s.
        down_bytes, up_bytes: of the request that went over the link; what never did counts nothing.
        onboard_j, radio_j, ground_j: energy.
        end_s: of the window.
    """

    satellite: int
    number: Int
    row: Int
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
    end_s: float

    def __len__(self) -> int:
        return len(self.row)


def outcomes(
    satellite: int, c: Columns, begun: tuple[int, float], link: Link, tables: Tables, end_s: float
) -> Replay:
    """Outcomes of requests that nothing more will happen to before ``end_s``.

    Args:
        c: as ``COLUMNS``. begun: number of the product that the end of the window cut, and how
            many of its bytes are down.
    """
    world, trace = tables.config.world, tables.trace
    row, level, stage = (c[name] for name in ("row", "level", "stage"))
    capture, start, done, alone = (
        c[name] for name in ("capture_s", "start_s", "done_s", "answered_s"))
    onboard, has_answer = c["onboard"], c["answer"] >= 0
    answer_end = c["answer_end"]
    came = np.where(answer_end >= 0, link.times_of(np.maximum(answer_end, 0)) + world.delay_s,
                    np.inf)  # fmt: skip
    first = np.where(onboard, alone, np.where(has_answer, came, np.inf))
    first = np.where(first <= end_s, first, np.inf)
    finish, arrive = c["finish_s"], c["arrive_s"]
    answered = np.where(finish <= end_s, finish, np.inf)
    by_ground = np.isfinite(answered)
    origin = np.where(by_ground, GROUND, np.where(np.isfinite(first), ONBOARD, MISSED))
    final = np.where(by_ground, answered, first)
    first = np.minimum(first, final)
    here = trace["compact_quality"][row].astype(np.float64)
    there = trace["regular_quality"][row, level].astype(np.float64)
    final_quality = np.where(by_ground, there, np.where(np.isfinite(final), here, 0.0))
    down_bytes = _down_bytes(c, begun, tables)
    # Parts of the latency, by what brought the final answer.
    ready = np.where(by_ground, done, np.minimum(alone, done))
    at_ready = link.contact_by(ready)
    begin, close = (
        link.contact_by(link.times_of(np.maximum(np.where(
            by_ground, c[f"pixels_{edge}"], c[f"answer_{edge}"]), 0)))
        for edge in ("start", "end")
    )  # fmt: skip
    uses_link = by_ground | has_answer
    queued = np.where(uses_link, np.clip(begin - at_ready, 0, None), 0)
    sending = np.where(uses_link, np.clip(close - np.maximum(begin, at_ready), 0, None), 0)
    compute = np.clip(np.minimum(ready, final) - start, 0, None)
    served = np.where(by_ground, finish - np.where(by_ground, arrive, 0.0), 0.0)
    queue = start - capture + queued
    wait = final - capture - compute - queue - sending - served
    parts_s = np.stack([compute, queue, wait, sending, served], axis=1)
    to_end = np.isfinite(alone) | (stage == END)
    until = np.where(to_end, END - 1, stage - 1)
    frames = np.ceil(down_bytes / world.frame_bytes)
    return Replay(
        satellite=satellite, number=c["number"], row=row, is_onboard=onboard,
        origin=origin.astype(np.int64), level=level, stage=stage, capture_s=capture,
        first_s=first, final_s=final,
        first_quality=np.where(first < final, here, final_quality), final_quality=final_quality,
        parts_s=np.where((origin == MISSED)[:, None], np.nan, parts_s),
        down_bytes=down_bytes, up_bytes=world.task_bytes + frames * world.ack_bytes_per_frame,
        onboard_j=np.where(until >= 0, tables.compact_j[row, until], 0.0)
        + np.where(level >= 0, tables.code_j[row, level], 0.0),
        radio_j=down_bytes / _mean_rate(link, tables) * tables.config.compute.transmitter_w,
        ground_j=np.where(by_ground, tables.regular_j[row, level], 0.0), end_s=end_s,
    )  # fmt: skip


def _down_bytes(c: Columns, begun: tuple[int, float], tables: Tables) -> Float:
    """(N,) bytes that went over the link: of whole products, and the begun part of one."""
    row, level = c["row"], c["level"]
    sizes = {"answer": tables.answer_wire[row], "pixels": tables.wire[row, level]}
    total = np.zeros(len(row))
    for kind, size in sizes.items():
        total += np.where(c[f"{kind}_end"] >= 0, size, 0.0)
        total += np.where((c[kind] == begun[0]) & (begun[0] >= 0), begun[1], 0.0)
    return total


def _mean_rate(link: Link, tables: Tables) -> float:
    """Bytes a second of contact, of the link that is not thinned."""
    contact_s = link.contact_s[-1]
    return link.sent_bytes[-1] / contact_s * tables.thinning if contact_s else 1.0
