"""Rows of the ledger on the ground, and its limits.

A request is known once a word of it came down, owned once its pixels are here, and done with its
one final. While a region is asked for, or finer pixels may follow by themselves, its answer is
provisional, and it waits.
"""

from __future__ import annotations

from dataclasses import dataclass

from eo_nodes.contracts.values import Answer, Product, Step, Task

_S = 1_000_000_000
NEVER_NS = 2**63 - 1

# States of a request on the ground.
KNOWN = "known"  # a provisional answer came; the space ledger owns it
OWNED = "owned"  # its pixels are here; the model works
WAITING = "waiting"  # the model's answer is provisional; more pixels may come
DONE = "done"  # its final is published; given out again after a restart
CLOSED = "closed"

# States of a task on the ground, closed as above.
OPEN = "open"
REFUSED = "refused"  # given out again after a restart


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundLimits:
    """Limits of the ledger on the ground.

    Attributes:
        model_ns: silence of the model after which the provisional answer becomes final.
        lifetime_ns: end of a task without a deadline, from when it was accepted.
        silence_ns: how long after the end of a task a word from the satellite is awaited.
        latch_ns: how long a final is given out again after a restart.
        open_tasks: more are refused (M7).
        closed: closed rows kept, so that repeats are recognised.
    """

    model_ns: int = 600 * _S
    lifetime_ns: int = 48 * 3600 * _S
    silence_ns: int = 24 * 3600 * _S
    latch_ns: int = 3600 * _S
    open_tasks: int = 1000
    closed: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTask:
    """A task as accepted on the ground.

    Attributes:
        state: open while more finals may come, refused or closed.
        is_uplinked: the satellite has it.
        expires_ns: deadline, or end of its lifetime when it has none; after a refusal: end of
            the latch.
        finals: final answers published for it.
        refusal: ends it.
    """

    task: Task
    state: str = OPEN
    is_uplinked: bool = False
    expires_ns: int = 0
    finals: int = 0
    refusal: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundRow:
    """A request as the ground knows it.

    Attributes:
        request_id: given on board.
        task_id: of the task it belongs to.
        scene_id: of the scene it asks of.
        state: one of the states above.
        owner: space or ground.
        product: the pixels that came.
        missing: share of what is relevant that did not come with them, [0, 1].
        bytes_sent: of all files that came.
        provisional: what stands when nothing better comes: of the satellite, then of the model.
        wanted: region that the model wants, x y w h in scene pixels; empty: none.
        wait_until_ns: when the region has to be here.
        is_refined: it is here, in `product`; or finer pixels that were not asked for are.
        is_whole: the satellite says that nothing finer follows.
        final: what stands.
        expires_ns: when the satellite's silence, the model's, or the wait for a region, ends; after
            the final: end of the latch.
        steps: dated history.
    """

    request_id: str
    task_id: str = ""
    scene_id: str = ""
    state: str = KNOWN
    owner: str = "space"
    product: Product | None = None
    missing: float = 0.0
    bytes_sent: int = 0
    provisional: Answer | None = None
    wanted: tuple[int, ...] = ()
    wait_until_ns: int = 0
    is_refined: bool = False
    is_whole: bool = False
    final: Answer | None = None
    expires_ns: int = NEVER_NS
    steps: tuple[Step, ...] = ()

    def takes(self, kind: str) -> bool:
        """Whether more pixels are of use: the region asked for, or finer ones unasked."""
        if self.wanted:
            has_finer = self.product is not None and self.product.kind == "enhancement"
            return self.state == WAITING and (kind == "refinement" or not has_finer)
        return kind == "enhancement" and self.state in (OWNED, WAITING) and not self.is_refined
