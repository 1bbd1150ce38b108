"""downlink_scheduler: the space end of the link, and the durable queue of what goes down."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ContractError, ProtocolError, StorageError
from eo_nodes.contracts.values import (
    Answer,
    Command,
    ContactPlan,
    DownlinkReport,
    Event,
    Notice,
    Product,
    Task,
    validate,
)
from eo_nodes.downlink.budget import byte_budget
from eo_nodes.downlink.order import PIXELS, SPARE
from eo_nodes.downlink.scheduler import Cancel, DownlinkScheduler, Put
from eo_nodes.link.indications import FileReceived, TransferFault, TransferFinished
from eo_nodes.link.packets import Apid
from eo_nodes.store import codec
from eo_nodes.store.product_store import ProductStore
from eo_nodes.tasking.finals import answer_product_id

from .link_node import LINK_PARAMETERS, LinkNode
from .parameters import Parameter
from .runner import main_of

_UPLINKED: dict[str, Any] = {"task": Task, "command": Command, "notice": Notice}


class DownlinkSchedulerNode(LinkNode):
    """Space end."""

    PARAMETERS = (
        *LINK_PARAMETERS,
        Parameter("product_store_mb", 256, "limit of the product store, MB", 1, 1_000_000),
        Parameter("event_severity", 2, "events from this severity on go down", 0, 4),
    )

    def __init__(self, name: str = "downlink_scheduler", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Open link, queue and products."""
        super().configure()
        folder = Path(self.folder)
        self._products = ProductStore(folder / "products", self.param("product_store_mb") << 20)
        self._queue = DownlinkScheduler(self.store)
        self._plan = ContactPlan()
        self._budget_shown: tuple[Any, ...] = ()
        self.speak("downlink_report", "byte_budget", "queue", "task", "command", "notice")
        self.listen("product", self._on_product)
        self.listen("provisional", self._on_answer)
        self.listen("final", self._on_answer)
        self.listen("contact_plan", self._on_plan)
        self.listen("event", self._on_event)

    def activate(self) -> None:
        """Go on with what a kill interrupted."""
        names = [status.name for status in self.endpoint.queue() if status.is_outgoing]
        self._apply(self._queue.recover(names, self.now_ns()))

    # -- what goes down ----------------------------------------------------------------------

    def _on_product(self, product: Product) -> None:
        self._apply(self._queue.on_product(product, self.now_ns()))

    def _on_answer(self, answer: Answer) -> None:
        """Queue what the owner says; a final takes back what has not begun of its request."""
        product_id = answer_product_id(answer)
        known = self._queue.report(product_id)
        if known is not None:  # a repeat: the link may be sending the file
            self.publish("downlink_report", known)
            return
        file = self._products.write(product_id, codec.answer_file(answer), urgent=True)
        product = Product(
            id=product_id,
            request_id=answer.request_id,
            task_id=answer.task_id,
            scene_id=answer.scene_id,
            kind="answer",
            path=file.path,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            raw_bytes=answer.raw_bytes,
        )
        if answer.request_id and answer.status != Answer.PROVISIONAL:
            self._apply(
                self._queue.withdraw(
                    answer.request_id, self.now_ns(), kinds=(*PIXELS, "answer")
                )
            )
        self._apply(self._queue.on_product(product, self.now_ns()))

    def _on_event(self, event: Event) -> None:
        if event.id == "NODE_ACTIVE" and event.source == "tasking":
            # It may have missed reports while it was down.
            for report in self._queue.reports(self.now_ns()):
                self.publish("downlink_report", report)
        if event.severity >= self.param("event_severity"):
            data = codec.encode(event).encode()
            if len(data) <= self.endpoint.max_packet_bytes:
                self.endpoint.send_packet(Apid.EVENT, data, self.now_ns())
                self.wrote()

    def _on_plan(self, plan: ContactPlan) -> None:
        self._plan = plan

    def on_link_change(self) -> None:
        """A new link state: housekeeping goes down, the budget changes."""
        if not self.link_state.locked:
            self._apply(self._queue.end_contact(self.now_ns()))
        else:
            state = self._queue.queue_state(self.link_state.satellite, self.now_ns())
            data = codec.encode(state).encode()
            if len(data) > self.endpoint.max_packet_bytes:
                few = json.loads(data)
                few["entries"] = few["entries"][:4]
                data = json.dumps(few, separators=(",", ":")).encode()
            self.endpoint.send_packet(Apid.HOUSEKEEPING, data, self.now_ns())
            self.wrote()

    def on_progress(self) -> None:
        """Frames were sent: tell how far each product is."""
        for status in self.endpoint.queue():
            if status.is_outgoing and status.progress_bytes:
                self._apply(
                    self._queue.on_progress(status.name, status.progress_bytes, self.now_ns())
                )

    def _apply(self, actions: Iterable[Any]) -> None:
        for action in actions:
            if isinstance(action, Put):
                self._put(action)
            elif isinstance(action, Cancel):
                for status in self.endpoint.queue():
                    if status.is_outgoing and status.name == action.product_id:
                        self.endpoint.cancel(status.transaction, self.now_ns())
            elif isinstance(action, DownlinkReport):
                self.publish("downlink_report", action)
                if action.state in ("delivered", "failed", "rejected"):
                    self._products.delete(action.product_id)
                elif action.state == "queued":
                    self.emit("PRODUCT_QUEUED", action.kind, product=action.product_id)
                if action.state == "delivered":
                    self.emit("PRODUCT_DELIVERED", action.kind, product=action.product_id)
            elif isinstance(action, Event):
                self.publish("event", action)
        self.wrote()

    def settle(self) -> None:
        """Tell the budget once a callback, not once a change."""
        if self.is_active:
            self._show_budget()
        super().settle()

    def _put(self, action: Put) -> None:
        product = action.product
        metadata: dict[str, Any] = {
            "kind": product.kind,
            "request": product.request_id,
            "task": product.task_id,
            "scene": product.scene_id,
            "priority": product.priority,
            "deadline_ns": product.deadline_ns,
            "raw_bytes": product.raw_bytes,
        }
        try:
            self.endpoint.put(
                product.path, product.id, action.priority_key, metadata, self.now_ns()
            )
        except (ProtocolError, StorageError) as error:
            self._apply(self._queue.on_fault(product.id, str(error), self.now_ns()))

    def _show_budget(self) -> None:
        now_ns = self.now_ns()
        budget = byte_budget(self._plan, self.link_state, self._queue.queued_bytes(), now_ns)
        shown = (budget.contact_id, budget.queued_bytes, budget.capacity_bytes)
        if shown == self._budget_shown:
            return
        self._budget_shown = shown
        self.publish("byte_budget", budget)
        satellite = self._plan.satellite or self.link_state.satellite
        self.publish("queue", self._queue.queue_state(satellite, now_ns))

    # -- what comes up, and the fate of what went down ----------------------------------------

    def on_indication(self, indication: Any) -> None:
        """Deliveries, faults, and files from the ground."""
        now_ns = self.now_ns()
        if isinstance(indication, TransferFinished):
            if indication.is_complete:
                self._apply(self._queue.on_delivered(indication.name, now_ns))
            else:
                reason = indication.condition.value
                self._apply(self._queue.on_fault(indication.name, reason, now_ns))
        elif isinstance(indication, TransferFault):
            self.emit("TRANSFER_FAULT", f"{indication.transaction}: {indication.condition.value}")
        elif isinstance(indication, FileReceived):
            self._on_uplinked(indication)

    def _on_uplinked(self, file: FileReceived) -> None:
        try:
            kind = str(json.loads(file.metadata or b"{}")["kind"])
            value = codec.decode(_UPLINKED[kind], Path(file.path).read_text(encoding="utf-8"))
            validate(value)
        except (KeyError, TypeError, ValueError, StorageError, ContractError, OSError) as error:
            self.emit("COMMAND_REJECTED", f"uplinked file {file.name}: {error}")
            return
        if isinstance(value, Notice):
            # With a final it waits for nothing more, with a wish for that region alone.
            kinds = (SPARE, "refinement") if value.kind == "final" else (SPARE,)
            self._apply(self._queue.withdraw(value.request_id, self.now_ns(), kinds=kinds))
        self.publish(kind, value)
        os.unlink(file.path)


main = main_of(DownlinkSchedulerNode)

if __name__ == "__main__":
    main()
