"""Compute jobs of a node: one at a time, handed over when they are done in orbital time.

In free mode a job runs in one worker thread, so that the executor goes on with messages. In
lock-step it runs at once, and simulated time passes by its duration before the result counts.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from eo_nodes.contracts.values import Compute

from .durations import Durations

if TYPE_CHECKING:
    from .base import EoNode


class Jobs:
    """The jobs of one node.

    Args:
        node: publishes durations and keeps time.
    """

    def __init__(self, node: EoNode) -> None:
        self._node = node
        self._waiting: deque[tuple[str, str, Any, Any, Any]] = deque()
        self._spare: deque[tuple[str, str, Any, Any, Any]] = deque()
        self._is_running = False
        self._pool: ThreadPoolExecutor | None = None
        self._done: deque[Callable[[], None]] = deque()
        self._durations = Durations(
            mode=node.param("compute_mode"),
            file=node.param("compute_file"),
            fixed_ns=int(node.param("compute_fixed_ms") * 1e6),
        )

    @property
    def pending(self) -> int:
        """Jobs waiting or running."""
        return len(self._waiting) + len(self._spare) + self._is_running

    def put(
        self,
        job: str,
        key: str,
        work: Callable[[], Any],
        then: Callable[[Any], None],
        failed: Callable[[Exception], None],
        *,
        is_spare: bool,
    ) -> None:
        """Queue a job; see `EoNode.compute`."""
        (self._spare if is_spare else self._waiting).append((job, key, work, then, failed))
        self._start()

    def close(self) -> None:
        """Forget what waits; what runs is not waited for."""
        self._waiting.clear()
        self._spare.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _start(self) -> None:
        if self._is_running or not (self._waiting or self._spare):
            return
        self._is_running = True
        job, key, work, then, failed = (self._waiting or self._spare).popleft()
        node = self._node

        def run() -> tuple[Callable[[], None], int]:
            start = time.perf_counter_ns()
            try:
                result = work()
                outcome = lambda: then(result)  # noqa: E731 - the branch decides which call
            except Exception as error:  # handed to the node's own `failed`
                fault = error
                outcome = lambda: failed(fault)  # noqa: E731
            return outcome, time.perf_counter_ns() - start

        def finish(outcome: Callable[[], None], duration_ns: int) -> None:
            self._is_running = False
            node.guarded(outcome, f"job {job}")  # first: somebody waits for what comes of it
            node.publish(
                "compute",
                Compute(node=node.get_name(), job=job, key=key, duration_ns=duration_ns),
            )
            self._start()

        if node.lockstep:
            outcome, measured_ns = run()
            duration_ns = self._durations.of(node.get_name(), job, key, measured_ns)
            node.at(node.now_ns() + duration_ns, lambda: finish(outcome, duration_ns))
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix=node.get_name())

        def work_and_return() -> None:
            outcome, measured_ns = run()
            self._done.append(lambda: finish(outcome, measured_ns))
            node.wake(self._run_done)

        self._pool.submit(work_and_return)

    def _run_done(self) -> None:
        while self._done:
            self._node.guarded(self._done.popleft(), "job")
        self._node.settle()
