"""ground_station: the ground end of the link, and the ground's ledger.

What the satellite says ahead of its pixels is published as `provisional`, and what the model says
while finer pixels may follow that could change it; the one `final` follows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import (
    ContractError,
    EoError,
    ImageError,
    ProtocolError,
    StorageError,
)
from eo_nodes.contracts.values import (
    Answer,
    Command,
    ContactPlan,
    Event,
    Notice,
    Product,
    QueueState,
    Step,
    Task,
    validate,
)
from eo_nodes.decision.refine import hold_until_ns, missing_share, wait_until_ns
from eo_nodes.imaging.container import (
    ContainerContent,
    join,
    overview_scale,
    read_container,
    write_container,
)
from eo_nodes.link.indications import (
    FileReceived,
    PacketReceived,
    TransferFault,
    TransferFinished,
)
from eo_nodes.link.packets import Apid
from eo_nodes.store import codec
from eo_nodes.store.product_store import ProductStore
from eo_nodes.tasking.ground_ledger import GroundLedger
from eo_nodes.tasking.ground_rows import GroundLimits

from .link_node import LINK_PARAMETERS, LinkNode
from .parameters import Parameter
from .runner import main_of
from .wakeups import Wakeup

_UP_CHANNELS = {"command": 0, "task": 1, "notice": 2}


class GroundStation(LinkNode):
    """Ground end."""

    IS_SPACE = False
    PARAMETERS = (
        *LINK_PARAMETERS,
        Parameter("model_timeout_s", 600.0, "silence of the ground model, orbital s", 1.0, 1e6),
        Parameter(
            "refinements", 1, "a request's, that the satellite sends by itself, as it has it", 0, 1
        ),
        Parameter(
            "least_change",
            0.02,
            "chance of another answer that these must offer: wrong, and what is missing",
            0.0,
            1.0,
        ),
    )

    def __init__(self, name: str = "ground_station", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Open link and ledger."""
        super().configure()
        self._uplinks = ProductStore(Path(self.folder) / "uplink")
        self._joined = ProductStore(Path(self.folder) / "joined")
        self._plan: ContactPlan | None = None
        limits = GroundLimits(model_ns=round(self.param("model_timeout_s") * 1e9))
        self._ledger = GroundLedger(self.store, limits)
        self._timer: Wakeup | None = None
        self.speak("product", "provisional", "final", "queue")
        self.listen("task", self._on_task, refuse=self._on_bad_task)
        self.listen("command", self._on_command)
        self.listen("answer", self._on_answer)
        self.listen("notice", self._on_notice)
        self.listen("contact_plan", self._on_plan)

    def activate(self) -> None:
        """Go on with what a kill interrupted."""
        self._apply(self._ledger.recover(self.now_ns()))

    # -- from consoles and the model ----------------------------------------------------------

    def _on_task(self, task: Task) -> None:
        self._apply(self._ledger.on_task(task, self.now_ns()))

    def _on_bad_task(self, task: Task, error: ContractError) -> None:
        # Without an id nobody could tell what is refused; and a bad repeat must not refuse the
        # good task that it repeats.
        known = self._ledger.task(task.id) if error.field != "id" else None
        if error.field != "id" and (known is None or known.refusal is not None):
            self._apply(self._ledger.refuse(task, str(error)[:300], self.now_ns()))

    def _on_command(self, command: Command) -> None:
        self._uplink("command", command.id, command)

    def _on_answer(self, answer: Answer) -> None:
        now_ns, until_ns = self.now_ns(), 0
        row = self._ledger.request(answer.request_id)
        if row is not None and row.product is not None and self.param("refinements"):
            until_ns = hold_until_ns(
                row.missing,
                max(answer.confidence, default=1.0),
                self._plan,
                now_ns,
                deadline_ns=row.product.deadline_ns,
                least_change=self.param("least_change"),
            )
        self._apply(self._ledger.on_model_answer(answer, now_ns, hold_until_ns=until_ns))

    def _on_plan(self, plan: ContactPlan) -> None:
        self._plan = plan

    def _on_notice(self, notice: Notice) -> None:
        if notice.kind != "region":
            return
        now_ns = self.now_ns()
        row = self._ledger.request(notice.request_id)
        deadline_ns = row.product.deadline_ns if row is not None and row.product else 0
        until_ns = wait_until_ns(self._plan, now_ns, deadline_ns)
        self._apply(self._ledger.on_region_wanted(notice, now_ns, until_ns=until_ns))

    def _apply(self, actions: Iterable[Any]) -> None:
        for action in actions:
            if isinstance(action, Task):
                self._uplink("task", action.id, action)
            elif isinstance(action, Notice):
                self._uplink(
                    "notice", f"{action.kind}-{action.answer_id or action.request_id}", action
                )
            elif isinstance(action, Product):
                self.publish("product", action)
            elif isinstance(action, Answer):
                is_provisional = action.status == Answer.PROVISIONAL
                self.publish("provisional" if is_provisional else "final", action)
            elif isinstance(action, Event):
                self.publish("event", action)
        wake_ns = self._ledger.next_wake_ns()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_ns is not None:
            self._timer = self.at(wake_ns, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._apply(self._ledger.on_time(self.now_ns()))

    # -- uplink ------------------------------------------------------------------------------

    def _uplink(self, kind: str, name: str, value: Any) -> None:
        full = f"{kind}/{name}"
        if any(status.name == full for status in self.endpoint.queue()):
            return
        file = self._uplinks.write(full, codec.encode(value).encode(), urgent=True)
        try:
            self.endpoint.put(
                file.path, full, (_UP_CHANNELS[kind], full), {"kind": kind}, self.now_ns()
            )
        except (ProtocolError, StorageError) as error:
            self.emit("TRANSFER_FAULT", f"uplink of {full}: {error}")
            return
        self.wrote()

    # -- downlink ----------------------------------------------------------------------------

    def on_indication(self, indication: Any) -> None:
        """Files and packets from the satellite, and the fate of what went up."""
        if isinstance(indication, FileReceived):
            try:
                self._on_file(indication)
            except (EoError, OSError, ValueError, KeyError, TypeError) as error:
                self.emit("INPUT_FAILED", f"file {indication.name}: {error}")
        elif isinstance(indication, PacketReceived):
            self._on_packet(indication)
        elif isinstance(indication, TransferFault):
            self.emit("TRANSFER_FAULT", f"{indication.transaction}: {indication.condition.value}")
        elif isinstance(indication, TransferFinished):
            kind, _, name = indication.name.partition("/")
            if kind not in _UP_CHANNELS:
                return  # the satellite took back a file that was on its way down
            if indication.is_complete:
                if kind == "task":
                    self._ledger.on_uplinked(name)
                self._uplinks.delete(indication.name)
            else:
                self.emit("TRANSFER_FAULT", f"uplink of {indication.name} did not finish")
                self._apply(self._ledger.owed_uplinks(self.now_ns()))

    def _on_file(self, file: FileReceived) -> None:
        facts = json.loads(file.metadata or b"{}")
        now_ns = self.now_ns()
        if facts["kind"] == "answer":
            answer = codec.decode(Answer, Path(file.path).read_text(encoding="utf-8"))
            validate(answer)
            is_provisional = answer.status == Answer.PROVISIONAL
            ledger = self._ledger
            take = ledger.on_provisional if is_provisional else ledger.on_final_from_space
            self._apply(take(answer, now_ns, bytes_sent=file.size_bytes))
            return
        product = Product(
            id=file.name,
            request_id=str(facts["request"]),
            task_id=str(facts["task"]),
            scene_id=str(facts["scene"]),
            kind=str(facts["kind"]),
            path=file.path,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            priority=int(facts["priority"]),
            deadline_ns=int(facts["deadline_ns"]),
            raw_bytes=int(facts["raw_bytes"]),
        )
        validate(product)
        steps: tuple[Step, ...] = ()
        missing = 0.0
        try:
            content = read_container(Path(file.path).read_bytes())
            overview = overview_scale(content)
        except ImageError as error:
            self.emit("BAD_IMAGE", f"product {file.name}: {error}", code=error.code)
        else:
            if product.kind in ("refinement", "enhancement"):
                self._on_refinement(product, content)
                return
            regions = (part.region for part in content.regions)
            missing = missing_share(regions, overview)
            steps = tuple(Step(name=name, stamp_ns=ns) for name, ns in content.header.steps)
        self._apply(
            self._ledger.on_product_received(product, now_ns, steps=steps, missing=missing)
        )

    def _on_refinement(self, product: Product, refinement: ContainerContent) -> None:
        """A region asked for, or finer ones unasked: the model gets them with what it has seen."""
        now_ns, ledger = self.now_ns(), self._ledger
        if not any(part.data for part in refinement.regions):
            is_asked = product.kind == "refinement"
            refuse = ledger.on_region_refused if is_asked else ledger.on_nothing_finer
            self._apply(refuse(product.request_id, now_ns))
            return
        row = ledger.request(product.request_id)
        received_bytes = product.size_bytes
        if row is not None and row.takes(product.kind) and row.product is not None:
            whole = join(read_container(Path(row.product.path).read_bytes()), refinement)
            data = write_container(whole.header, whole.overview, whole.regions)
            file = self._joined.write(product.id, data)
            product = replace(
                product, path=file.path, size_bytes=file.size_bytes, sha256=file.sha256
            )
        self._apply(ledger.on_region_received(product, now_ns, received_bytes=received_bytes))

    def _on_packet(self, packet: PacketReceived) -> None:
        kinds: dict[int, tuple[str, Any]] = {
            Apid.EVENT: ("event", Event),
            Apid.HOUSEKEEPING: ("queue", QueueState),
        }
        if packet.apid not in kinds:
            return
        topic, cls = kinds[packet.apid]
        try:
            value = codec.decode(cls, packet.data.decode())
            validate(value)
        except (StorageError, ContractError, UnicodeError) as error:
            self.emit("FRAME_REJECTED", f"packet of APID {packet.apid:#x}: {error}")
            return
        self.publish(topic, value)


main = main_of(GroundStation)

if __name__ == "__main__":
    main()
