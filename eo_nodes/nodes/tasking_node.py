"""tasking: the ledger on board behind its topics.

Each request ends in one `final`; a complete answer whose pixels go down as well goes ahead of them
as `provisional`, for askers on the ground.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ContractError
from eo_nodes.contracts.values import Answer, Event, Request, Scene, Task
from eo_nodes.store.frame_store import FrameStore
from eo_nodes.store.ledger_store import LedgerStore
from eo_nodes.tasking.ledger import LedgerLimits, SpaceLedger
from eo_nodes.tasking.rows import Enhance, Pin, Refine, Unpin

from .base import EoNode
from .folders import state_folder
from .parameters import Parameter
from .runner import main_of
from .wakeups import Wakeup


class Tasking(EoNode):
    """Tasks, scenes and requests of one satellite."""

    PARAMETERS = (
        Parameter("in_flight", 4, "requests in the pipeline at once", 1, 1000),
        Parameter("progress_s", 300.0, "silence after which a request is issued again, s", 1, 1e6),
        Parameter("timeouts", 2, "how often it is issued again", 0, 100),
        Parameter("lifetime_h", 48.0, "life of a task without a deadline, h", 0.01, 10_000.0),
        Parameter("frame_store_mb", 512, "limit of the frame store, MB", 1, 1_000_000),
    )

    def __init__(self, name: str = "tasking", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Open ledger and frame store."""
        folder = Path(state_folder(self))
        self._store = LedgerStore(
            folder / "ledger.db",
            on_quarantine=lambda row: self.emit("INTERNAL_ERROR", f"ledger row damaged: {row}"),
        )
        self._frames = FrameStore(folder / "frames", self.param("frame_store_mb") << 20)
        self._ledger = SpaceLedger(
            self._store,
            LedgerLimits(
                in_flight=self.param("in_flight"),
                progress_ns=round(self.param("progress_s") * 1e9),
                timeouts=self.param("timeouts"),
                lifetime_ns=round(self.param("lifetime_h") * 3600e9),
            ),
        )
        self._timer: Wakeup | None = None
        self.speak("request", "refine", "enhance", "provisional", "final")
        for topic, handler in {
            "verdict": self._ledger.on_verdict,
            "answer": self._ledger.on_answer,
            "downlink_report": self._ledger.on_report,
            "notice": self._ledger.on_notice,
        }.items():
            self.listen(topic, lambda value, h=handler: self._apply(h(value, self.now_ns())))

        self.listen("scene", self._on_scene)
        self.listen("task", self._on_task, refuse=self._on_bad_task)
        self.listen("event", self._on_event)

    def activate(self) -> None:
        """Take up again what a kill interrupted."""
        self._frames.restore_pins(self._ledger.pins())
        self._apply(self._ledger.recover(self.now_ns()))

    def cleanup(self) -> None:
        """Close the ledger."""
        self._store.close()

    def _on_scene(self, scene: Scene) -> None:
        actions = self._ledger.on_scene(scene, self.now_ns())
        # The newest frame is the last that the store would evict: its pins may follow.
        self._apply(sorted(actions, key=lambda action: isinstance(action, Pin)))

    def _on_task(self, task: Task) -> None:
        self._apply(self._ledger.on_task(task, self.now_ns()))

    def _on_bad_task(self, task: Task, error: ContractError) -> None:
        if error.field != "id":
            self._apply(self._ledger.refuse(task, str(error)[:300], self.now_ns()))

    def _on_event(self, event: Event) -> None:
        if event.id == "FRAME_EVICTED":
            self._apply(self._ledger.forget_frame(event.text, self.now_ns()))

    def _apply(self, actions: Iterable[Any]) -> None:
        for action in actions:
            if isinstance(action, Pin):
                self._frames.pin(action.frame_key, action.request_id)
            elif isinstance(action, Unpin):
                self._frames.unpin(action.frame_key, action.request_id)
            elif isinstance(action, Request):
                self.publish("request", action)
            elif isinstance(action, Refine):
                self.publish("refine", action.request)
            elif isinstance(action, Enhance):
                self.publish("enhance", action.request)
            elif isinstance(action, Answer):
                is_provisional = action.status == Answer.PROVISIONAL
                self.publish("provisional" if is_provisional else "final", action)
            elif isinstance(action, Event):
                self.publish("event", replace(action, source=self.get_name()))
        self._ledger.sync()  # after the requests: the medium works while they are prepared
        wake_ns = self._ledger.next_wake_ns()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_ns:
            self._timer = self.at(wake_ns, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._apply(self._ledger.on_time(self.now_ns()))


main = main_of(Tasking)

if __name__ == "__main__":
    main()
