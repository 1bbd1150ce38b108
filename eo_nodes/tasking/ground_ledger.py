"""The ledger on the ground: what was asked, what came down, and the one final of each request.

The ground owns a request from the moment its pixels are complete here. What the satellite says
ahead of them is published as provisional, and stands when nothing better comes. A final from the
space ledger is adopted as it is. Whatever final comes first stands; anything later for the same
request is reported and not published, so the asker gets exactly one, also when the acknowledgement
of a delivery and a deadline on board crossed each other. Rows are durable before actions are
returned; a repeated action carries the same id and so is recognised.

Finer pixels may follow by themselves while the contact lasts. An answer that they could change is
published as provisional, and held until they are here, the satellite says that none follow, or the
contact is over. The answer that has seen them is the next version where it says something else or
is surer, else the one that was held is final as it is.

The model may want to see one region more before its answer counts: its answer is provisional
then and its notice says which region, in either order. The satellite is asked, once a request;
when the region is there the model answers again, and that is the final. When the satellite
refuses, or the contact that could bring the region is over, the provisional answer is.
"""

from __future__ import annotations

from dataclasses import replace

from eo_nodes.contracts.values import Answer, Event, Notice, Product, Step, Task

from .finals import (
    ASKED,
    FINER_RECEIVED,
    PROVISIONAL,
    RECEIVED,
    REGION_ASKED,
    REGION_RECEIVED,
    event,
    supersedes,
    task_refusal,
    with_steps,
)
from .ground_answers import notice_of, signed, wish_of
from .ground_rows import (
    CLOSED,
    DONE,
    KNOWN,
    NEVER_NS,
    OPEN,
    OWNED,
    REFUSED,
    WAITING,
    GroundLimits,
    GroundRow,
    GroundTask,
)
from .ports import Store

Action = Task | Product | Answer | Notice | Event
SOURCE = "ground_ledger"
_SILENT = "no word from the satellite in time"


class GroundLedger:
    """State of all tasks and requests on the ground.

    Actions are values: `Task` (uplink it), `Product` (give it to the model), `Answer` (to publish:
    a final, a refusal, or what the satellite says for now), `Notice` (uplink it), `Event`.

    Args:
        store: durable tables, of this ledger only.
        limits: see `GroundLimits`.
    Raises:
        StorageError: from any method; nothing of that step has happened then.
    """

    def __init__(self, store: Store, limits: GroundLimits | None = None) -> None:
        self._limits = limits or GroundLimits()
        self._store = store
        self._task_table = store.table("ground_tasks", GroundTask)
        self._row_table = store.table("ground_requests", GroundRow)
        self._tasks = dict(self._task_table.open_rows())
        self._rows = dict(self._row_table.open_rows())

    def on_task(self, task: Task, now_ns: int) -> list[Action]:
        """Accept a validated task from a console: uplink it; or refuse it."""
        known = self._task_table.get(task.id)
        if known is not None:
            if known.refusal is not None:
                return [known.refusal]
            return [] if known.is_uplinked or known.state != OPEN else [known.task]
        if 0 < task.deadline_ns <= now_ns:
            return self.refuse(task, "deadline is in the past", now_ns)
        if len(self._tasks) >= self._limits.open_tasks:
            return self.refuse(task, "too many open tasks", now_ns)
        expires_ns = task.deadline_ns or now_ns + self._limits.lifetime_ns
        self._commit(GroundTask(task=task, expires_ns=expires_ns))
        return [event("TASK_ACCEPTED", SOURCE, now_ns, "task accepted", task_id=task.id), task]

    def refuse(self, task: Task, reason: str, now_ns: int) -> list[Action]:
        """Refuse a task, also one that broke its contract; the asker can read the reason."""
        known = self._task_table.get(task.id)
        if known is not None and (known.refusal is not None or known.finals):
            return [known.refusal] if known.refusal is not None else []
        kept = replace(task, prompt=task.prompt[:2000], asker=task.asker[:128], area=())
        refusal = task_refusal(kept, reason, "ground", now_ns)
        self._commit(self._refused(known or GroundTask(task=kept), refusal, now_ns))
        return [refusal, event("TASK_REFUSED", SOURCE, now_ns, reason, task_id=task.id)]

    def on_uplinked(self, task_id: str) -> None:
        """The satellite has a task; it is not uplinked again."""
        known = self._tasks.get(task_id)
        if known is not None and not known.is_uplinked:
            self._commit(replace(known, is_uplinked=True))

    def on_provisional(self, answer: Answer, now_ns: int, *, bytes_sent: int = 0) -> list[Action]:
        """What the satellite would say came ahead of its pixels: publish it once, and keep it.

        It is the final when nothing better comes. Nothing is said where a final stands, or where
        the model on the ground has given its own.
        """
        row = self._row(answer.request_id, answer.task_id, answer.scene_id)
        task, given = self._task_table.get(row.task_id), row.provisional
        if answer.origin != "onboard" or not answer.request_id or row.state not in (KNOWN, OWNED):
            return []
        if given is not None and (given.origin == "ground" or given.version >= answer.version):
            return []
        if task is not None and task.refusal is not None:
            return []
        asked = [Step(name=ASKED, stamp_ns=task.task.asked_ns)] if task is not None else []
        steps = with_steps(answer.steps, *asked, Step(name=PROVISIONAL, stamp_ns=now_ns))
        answer = replace(answer, bytes_sent=bytes_sent, steps=steps)
        if row.state == KNOWN:
            silence_ns = now_ns + self._limits.silence_ns
            if task is not None and task.state == OPEN:
                silence_ns = self._task_wake_ns(task)
            row = replace(row, expires_ns=silence_ns)
        row = replace(
            row,
            provisional=answer,
            bytes_sent=row.bytes_sent + bytes_sent,
            steps=with_steps(row.steps, *steps),
        )
        self._commit(None, row)
        return [answer]

    def on_product_received(
        self,
        product: Product,
        now_ns: int,
        *,
        steps: tuple[Step, ...] = (),
        missing: float = 0.0,
    ) -> list[Action]:
        """Pixels of a request are complete and verified here: the ground owns it now.

        Args:
            product: kind regions or overview; its path is on this machine.
            missing: share of what is relevant that did not come with it, [0, 1].
            steps: dated history that came along or was seen by the link.
        Returns:
            The product for the model, or, with a final there already, the notice of it.
        """
        row = self._row(product.request_id, product.task_id, product.scene_id)
        task = self._task_table.get(row.task_id)
        if row.final is not None:
            return [notice_of(row.final, now_ns)]
        if task is not None and task.refusal is not None:
            return [replace(notice_of(task.refusal, now_ns), request_id=product.request_id)]
        if row.state == WAITING or row.is_refined:
            return []  # a repeat: the model has seen it
        is_new = row.product is None or row.product.id != product.id
        expires_ns = self._model_end_ns(product, now_ns)
        row = replace(
            row,
            state=OWNED,
            owner="ground",
            product=product,
            missing=missing,
            bytes_sent=row.bytes_sent + (product.size_bytes if is_new else 0),
            expires_ns=expires_ns if row.state == KNOWN else row.expires_ns,
            steps=with_steps(
                (*row.steps, *steps),
                *([Step(name=RECEIVED, stamp_ns=now_ns)] if row.state == KNOWN else []),
            ),
        )
        self._commit(None, row)
        return [product]

    def on_model_answer(
        self, answer: Answer, now_ns: int, *, hold_until_ns: int = 0
    ) -> list[Action]:
        """The model on the ground answered a request that the ground owns: that is the final.

        An answer with status PROVISIONAL waits for the region that the model's notice names.
        One with status REFUSED is no opinion: the provisional answer becomes final.

        Args:
            hold_until_ns: while finer pixels may follow that could change it; 0: none.
        """
        row = self._rows.get(answer.request_id)
        if row is None or row.state != OWNED or answer.origin != "ground":
            return []
        if answer.status == Answer.REFUSED:
            return self._degrade(row, f"ground model: {answer.reason}", now_ns)
        if answer.status == Answer.FINAL:
            is_first = answer.version <= 1 and not row.wanted and not row.is_whole
            if is_first and hold_until_ns > now_ns:
                return self._hold(row, answer, now_ns, hold_until_ns)
            return self._conclude_refined(row, answer, now_ns)
        if row.is_refined:
            return []  # an answer to the product without the region, late
        if row.provisional is not None:
            answer = replace(answer, version=max(answer.version, row.provisional.version))
        return self._ask(replace(row, provisional=answer), now_ns)

    def _hold(self, row: GroundRow, answer: Answer, now_ns: int, until_ns: int) -> list[Action]:
        """Publish the first answer as provisional; with the finer pixels here the next follows."""
        given = row.provisional
        if given is not None and given.origin == "ground":
            return []  # a repeat
        task = self._task_table.get(row.task_id)
        said = signed(row, task, answer, Answer.PROVISIONAL, now_ns)
        row = replace(row, provisional=said, steps=said.steps)
        if not row.is_refined:
            row = replace(row, state=WAITING, expires_ns=until_ns)
        self._commit(None, row)
        return [said]

    def on_region_wanted(self, notice: Notice, now_ns: int, *, until_ns: int) -> list[Action]:
        """The model wants a region too before its answer counts: ask the satellite, once.

        Args:
            notice: of the model; its window is in scene pixels.
            until_ns: when the region has to be here, e.g. LOS of the contact to come.
        """
        row = self._rows.get(notice.request_id)
        if row is None or row.state != OWNED or row.wanted or row.is_refined:
            return []
        row = replace(row, wanted=notice.window, wait_until_ns=until_ns)
        return self._ask(row, now_ns)

    def _ask(self, row: GroundRow, now_ns: int) -> list[Action]:
        """Ask for the region when both the answer and the notice of the model are here."""
        given = row.provisional
        if not row.wanted or given is None or given.origin != "ground":
            self._commit(None, row)
            return []
        asked = Step(name=REGION_ASKED, stamp_ns=now_ns)
        row = replace(
            row,
            state=WAITING,
            expires_ns=max(row.wait_until_ns, now_ns),
            steps=with_steps(row.steps, asked),
        )
        self._commit(None, row)
        said = event("REGION_ASKED", SOURCE, now_ns, given.text, request_id=row.request_id)
        return [wish_of(row, now_ns), said]

    def on_region_received(
        self, product: Product, now_ns: int, *, received_bytes: int
    ) -> list[Action]:
        """The region asked for is here, or finer pixels that nobody asked for.

        Args:
            product: kind refinement or enhancement; holds what came before and the new pixels.
            received_bytes: of the file that came alone.
        Returns:
            The product for the model, or, with a final there already, the notice of it.
        """
        row = self._rows.get(product.request_id) or self._row_table.get(product.request_id)
        if row is not None and row.final is not None:
            return [notice_of(row.final, now_ns)]
        if row is None or not row.takes(product.kind):
            return []
        name = REGION_RECEIVED if row.wanted else FINER_RECEIVED
        row = replace(row, product=product, bytes_sent=row.bytes_sent + received_bytes)
        if row.wanted and product.kind != "refinement":
            self._commit(None, row)  # the model gets them with the region
            return []
        row = replace(
            row,
            state=OWNED,
            is_refined=True,
            expires_ns=self._model_end_ns(product, now_ns),
            steps=with_steps(row.steps, Step(name=name, stamp_ns=now_ns)),
        )
        self._commit(None, row)
        return [product]

    def on_region_refused(self, request_id: str, now_ns: int) -> list[Action]:
        """The satellite has the region no more: the answer without it is final."""
        row = self._rows.get(request_id)
        if row is None or row.state != WAITING:
            return []
        return self._without_region(row, "REGION_REFUSED", "it is not on board any more", now_ns)

    def on_nothing_finer(self, request_id: str, now_ns: int) -> list[Action]:
        """The satellite sends no finer pixels: an answer held for them is final."""
        row = self._rows.get(request_id)
        if row is None or row.wanted or not row.takes("enhancement"):
            return []
        if row.state == WAITING:
            return self._conclude(row, row.provisional or Answer(), "", now_ns)
        self._commit(None, replace(row, is_whole=True))
        return []

    def on_final_from_space(
        self, answer: Answer, now_ns: int, *, bytes_sent: int = 0
    ) -> list[Action]:
        """A final or refusal of the space ledger came down: adopt and publish it once."""
        task = self._task_table.get(answer.task_id)
        if answer.request_id == "":
            return self._adopt_refusal(answer, task, now_ns)
        row = self._row(answer.request_id, answer.task_id, answer.scene_id)
        stands = row.final or (task.refusal if task is not None else None)
        if stands is not None:
            return [] if stands.id == answer.id else [self._superseded(answer, stands, now_ns)]
        dated = replace(
            answer,
            bytes_sent=answer.bytes_sent or row.bytes_sent + bytes_sent,
            steps=with_steps((*row.steps, *answer.steps), Step(name=RECEIVED, stamp_ns=now_ns)),
        )
        return self._publish(row, dated, now_ns)

    def on_time(self, now_ns: int) -> list[Action]:
        """Act on silence of the model and of the satellite; harmless at any time."""
        actions: list[Action] = []
        for row in list(self._rows.values()):
            if row.expires_ns > now_ns:
                continue
            if row.state == KNOWN:
                actions += self._degrade(row, _SILENT, now_ns)
            elif row.state == OWNED:
                actions += self._degrade(row, "ground model gave no answer in time", now_ns)
            elif row.state == WAITING:
                if not row.wanted:  # nothing finer came in this contact
                    actions += self._conclude(row, row.provisional or Answer(), "", now_ns)
                    continue
                why = "it did not come in time"
                actions += self._without_region(row, "REGION_GIVEN_UP", why, now_ns)
            elif row.state == DONE:
                self._commit(None, replace(row, state=CLOSED))
        for task in list(self._tasks.values()):
            if self._task_wake_ns(task) > now_ns:
                continue
            has_rows = any(row.task_id == task.task.id for row in self._rows.values())
            if task.state == REFUSED or task.finals or has_rows:
                if (left := self._tasks.get(task.task.id)) is not None:
                    self._commit(replace(left, state=CLOSED))
            else:
                actions += self.refuse(task.task, _SILENT, now_ns)
        return actions

    def next_wake_ns(self) -> int | None:
        """Return when `on_time` has something to do, None when nothing is open."""
        times = [row.expires_ns for row in self._rows.values()]
        times += [self._task_wake_ns(task) for task in self._tasks.values()]
        return min((t for t in times if t < NEVER_NS), default=None)

    def owed_uplinks(self, now_ns: int) -> list[Action]:
        """Return tasks not yet up and notices of wishes and late finals, after an uplink failed."""
        tasks = [t for t in self._tasks.values() if t.refusal is None and not t.is_uplinked]
        wanting = [row for row in self._rows.values() if row.state == WAITING and row.wanted]
        wishes = [wish_of(row, now_ns) for row in wanting]
        finals = [row.final for row in self._rows.values() if row.final is not None]
        return [*(t.task for t in tasks), *wishes, *(notice_of(final, now_ns) for final in finals)]

    def recover(self, now_ns: int) -> list[Action]:
        """After a start: uplink, model, finals and notices again, with the ids they had."""
        actions: list[Action] = [t.refusal for t in self._tasks.values() if t.refusal is not None]
        for row in self._rows.values():
            if row.state == OWNED and row.product is not None:
                actions.append(row.product)
            if row.final is not None:
                actions.append(row.final)
            elif row.provisional is not None and _is_published(row.provisional):
                actions.append(row.provisional)
        actions += self.owed_uplinks(now_ns)
        self._task_table.prune(self._limits.closed)
        self._row_table.prune(self._limits.closed)
        return actions

    def request(self, request_id: str) -> GroundRow | None:
        """Return the row of a request, open or closed."""
        return self._row_table.get(request_id)

    def task(self, task_id: str) -> GroundTask | None:
        """Return the row of a task, open or closed."""
        return self._task_table.get(task_id)

    def _task_wake_ns(self, row: GroundTask) -> int:
        return row.expires_ns + (self._limits.silence_ns if row.state == OPEN else 0)

    def _refused(self, task: GroundTask, refusal: Answer, now_ns: int) -> GroundTask:
        expires_ns = now_ns + self._limits.latch_ns
        return replace(task, state=REFUSED, refusal=refusal, expires_ns=expires_ns)

    def _row(self, request_id: str, task_id: str, scene_id: str) -> GroundRow:
        known = self._rows.get(request_id) or self._row_table.get(request_id)
        return known or GroundRow(request_id=request_id, task_id=task_id, scene_id=scene_id)

    def _commit(self, task: GroundTask | None, row: GroundRow | None = None) -> None:
        with self._store.transaction():
            if task is not None:
                self._task_table.put(task.task.id, task, is_open=task.state != CLOSED)
            if row is not None:
                self._row_table.put(row.request_id, row, is_open=row.state != CLOSED)
        if task is not None and task.state != CLOSED:
            self._tasks[task.task.id] = task
        elif task is not None:
            self._tasks.pop(task.task.id, None)
        if row is not None and row.state != CLOSED:
            self._rows[row.request_id] = row
        elif row is not None:
            self._rows.pop(row.request_id, None)

    def _model_end_ns(self, product: Product, now_ns: int) -> int:
        expires_ns = now_ns + self._limits.model_ns
        if product.deadline_ns:
            expires_ns = max(now_ns, min(expires_ns, product.deadline_ns))
        return expires_ns

    def _conclude_refined(self, row: GroundRow, answer: Answer, now_ns: int) -> list[Action]:
        given = row.provisional
        if not row.is_refined or given is None or (given.origin != "ground" and not row.wanted):
            return self._conclude(row, answer, "", now_ns)
        if not row.wanted and answer.version <= 1:
            return []  # a repeat of the one that is held
        stands = answer
        if not row.wanted:
            later = replace(answer, version=given.version)
            stands = later if supersedes(answer, given) else given
        fields = {"request_id": row.request_id, "before": given.text, "after": answer.text}
        text = "answer changed" if given.text != answer.text else "answer confirmed"
        kind = "REGION_REFINED" if row.wanted else "ANSWER_REFINED"
        actions = self._conclude(row, stands, "", now_ns)
        return [*actions, event(kind, SOURCE, now_ns, text, **fields)]

    def _without_region(self, row: GroundRow, kind: str, why: str, now_ns: int) -> list[Action]:
        given = row.provisional or Answer(status=Answer.REFUSED)
        actions = self._conclude(row, given, f"without the region asked for: {why}", now_ns)
        return [*actions, event(kind, SOURCE, now_ns, why, request_id=row.request_id)]

    def _degrade(self, row: GroundRow, reason: str, now_ns: int) -> list[Action]:
        if row.provisional is not None and row.provisional.text:
            return self._conclude(row, row.provisional, f"degraded: {reason}", now_ns)
        return self._conclude(row, Answer(status=Answer.REFUSED), reason, now_ns)

    def _conclude(self, row: GroundRow, given: Answer, reason: str, now_ns: int) -> list[Action]:
        task = self._task_table.get(row.task_id)
        status = Answer.REFUSED if given.status == Answer.REFUSED else Answer.FINAL
        final = signed(row, task, given, status, now_ns, reason=reason)
        return self._publish(row, final, now_ns)

    def _publish(self, row: GroundRow, final: Answer, now_ns: int) -> list[Action]:
        task = self._tasks.get(row.task_id)
        if task is not None:
            finals = task.finals + 1
            is_done = finals >= task.task.max_answers
            task = replace(task, finals=finals, state=CLOSED if is_done else task.state)
        asked = [Step(name=ASKED, stamp_ns=task.task.asked_ns)] if task is not None else []
        final = replace(final, steps=with_steps(final.steps, *asked))
        done = replace(
            row, state=DONE, final=final, product=None, expires_ns=now_ns + self._limits.latch_ns
        )
        self._commit(task, done)
        return [final, notice_of(final, now_ns)]

    def _adopt_refusal(self, answer: Answer, task: GroundTask | None, now_ns: int) -> list[Action]:
        if task is not None and (task.refusal is not None or task.finals):
            return []
        known = task or GroundTask(task=Task(id=answer.task_id, prompt=answer.prompt))
        steps = with_steps(answer.steps, Step(name=RECEIVED, stamp_ns=now_ns))
        refusal = replace(answer, steps=steps)
        self._commit(self._refused(known, refusal, now_ns))
        return [
            refusal,
            event("TASK_REFUSED", SOURCE, now_ns, answer.reason, task_id=known.task.id),
        ]

    def _superseded(self, answer: Answer, stands: Answer, now_ns: int) -> Event:
        text = "a second final came and was not published"
        return event("BAD_MESSAGE", SOURCE, now_ns, text, answer_id=answer.id, stands=stands.id)


def _is_published(answer: Answer) -> bool:
    return any(step.name == PROVISIONAL for step in answer.steps)
