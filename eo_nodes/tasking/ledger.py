"""The ledger on board: every task and request, durable, until its one final is delivered.

Values in, actions out. An action is a value to publish (`Request`, `Refine`, `Enhance`, `Answer`,
`Event`) or a `Pin` or `Unpin` for the frame store. An answer is final, or provisional and goes
ahead of pixels (`ahead`). Rows are kept before actions are returned.
Repeats are recognised by id and by the table in `rows`; whatever is lost between nodes is given
out again by `on_time` (no progress) or `recover` (after a kill).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from eo_nodes.contracts.ids import request_id
from eo_nodes.contracts.values import (
    Answer,
    DownlinkReport,
    Notice,
    Request,
    Scene,
    Step,
    Task,
    Verdict,
)
from eo_nodes.contracts.windows import Window

from . import ahead, finals, refining, rows
from .matching import match, seen_for
from .ports import Store
from .rows import Enhance, Pin, RequestRow, TaskRow
from .space_work import Action, SpaceState, Work

_S = 1_000_000_000
_ITEM_BYTES = {"uint8": 1, "uint16": 2, "int16": 2, "float32": 4}
_PIXEL_PRODUCTS = ("overview", "regions")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLimits:
    """Limits of the ledger on board.

    Attributes:
        in_flight: requests that the pipeline holds at once; views are dropped past their QoS.
        progress_ns: silence after which a request in the pipeline is issued again.
        timeouts: how often that is done before it ends degraded or refused.
        lifetime_ns: end of a task without a deadline, from when it was accepted.
        hold_ns: how long a request waits for the ground after delivery, or for a transfer
            that was under way at the deadline.
        open_tasks: more are refused (M7).
        scenes: scenes remembered for tasks that come later.
        closed: closed rows kept, so that repeats are recognised.
    """

    in_flight: int = 4
    progress_ns: int = 300 * _S
    timeouts: int = 2
    lifetime_ns: int = 48 * 3600 * _S
    hold_ns: int = 48 * 3600 * _S
    open_tasks: int = 1000
    scenes: int = 256
    closed: int = 10_000


class SpaceLedger:
    """State of all tasks and requests on board.

    Args:
        store: durable tables, of this ledger only.
        limits: see `LedgerLimits`.
    Raises:
        StorageError: from any method; nothing of that step has happened then.
    """

    def __init__(self, store: Store, limits: LedgerLimits | None = None) -> None:
        self._limits = limits or LedgerLimits()
        self._state = SpaceState(store)

    def on_task(self, task: Task, now_ns: int) -> list[Action]:
        """Accept a validated task, match it with the scenes known, newest first, or refuse it."""
        known = self._state.task_table.get(task.id)
        if known is not None:
            return self._repeat(known, task, now_ns)
        if 0 < task.deadline_ns <= now_ns:
            return self.refuse(task, "deadline is in the past", now_ns)
        if len(self._state.tasks) >= self._limits.open_tasks:
            return self.refuse(task, "too many open tasks", now_ns)
        work = Work(self._state, now_ns)
        expires_ns = task.deadline_ns or now_ns + self._limits.lifetime_ns
        work.tasks[task.id] = TaskRow(task=task, expires_ns=expires_ns)
        work.say("TASK_ACCEPTED", "task accepted", task_id=task.id)
        scenes = sorted(self._state.scenes.values(), key=lambda s: (-s.capture_ns, s.id))
        for scene in scenes:
            self._match(work, task.id, scene)
        self._issue(work)
        return work.done()

    def refuse(self, task: Task, reason: str, now_ns: int) -> list[Action]:
        """Refuse a task, also one that broke its contract; the asker can read the reason.

        Args:
            task: its id must fit an id's rules; the rest may be bad.
        """
        known = self._state.task_table.get(task.id)
        if known is not None:
            return self._repeat(known, task, now_ns)
        work = Work(self._state, now_ns)
        kept = replace(task, prompt=task.prompt[:2000], asker=task.asker[:128], area=())
        self._refuse(work, TaskRow(task=kept), reason)
        return work.done()

    def _repeat(self, known: TaskRow, task: Task, now_ns: int) -> list[Action]:
        work = Work(self._state, now_ns)
        if known.refusal is not None and known.state != rows.CLOSED:
            work.actions.append(known.refusal)
        elif replace(known.task, stamp_ns=0) != replace(task, stamp_ns=0):
            work.say("COMMAND_REJECTED", "id belongs to another task", task_id=task.id)
        return work.done()

    def _refuse(self, work: Work, row: TaskRow, reason: str) -> None:
        refusal = finals.task_refusal(row.task, reason, "onboard", work.now_ns)
        work.tasks[row.task.id] = replace(
            row, state=rows.REFUSED, refusal=refusal, touched_ns=work.now_ns
        )
        work.actions.append(refusal)
        work.say("TASK_REFUSED", reason, task_id=row.task.id)

    def on_scene(self, scene: Scene, now_ns: int) -> list[Action]:
        """Match a captured scene with the open tasks; remember it for later ones."""
        if scene.id in self._state.scenes or self._state.scene_table.get(scene.id):
            return []
        work = Work(self._state, now_ns)
        work.scenes[scene.id] = scene
        for old in sorted(self._state.scenes)[: len(self._state.scenes) - self._limits.scenes + 1]:
            work.scenes[old] = None
        for task_id in sorted(self._state.tasks):
            self._match(work, task_id, scene)
        self._issue(work)
        return work.done()

    def forget_frame(self, frame_key: str, now_ns: int) -> list[Action]:
        """A frame left the store: later tasks no longer match its scene."""
        work = Work(self._state, now_ns)
        for scene in self._state.scenes.values():
            if scene.frame_key == frame_key:
                work.scenes[scene.id] = None
        return work.done()

    def _match(self, work: Work, task_id: str, scene: Scene) -> None:
        row = work.tasks.get(task_id) or self._state.tasks[task_id]
        if row.state != rows.OPEN or row.matched >= row.task.max_answers:
            return
        found = match(row.task, scene, work.now_ns)
        key = request_id(task_id, scene.id, scene.capture_ns)
        if found.window is None or self._state.request_table.get(key) is not None:
            return
        matched = row.matched + 1
        is_full = matched >= row.task.max_answers
        state = rows.CLOSED if is_full else rows.OPEN
        work.tasks[task_id] = replace(row, matched=matched, state=state)
        work.put(_new_row(row, scene, key, found.window, work.now_ns))
        work.actions.append(Pin(scene.frame_key, key))

    def _issue(self, work: Work) -> None:
        """Fill the pipeline: most urgent, then earliest deadline, then oldest capture."""
        open_rows = work.open_requests()
        free = self._limits.in_flight - sum(row.state in rows.IN_FLIGHT for row in open_rows)
        waiting = sorted((row for row in open_rows if row.state == rows.MATCHED), key=_urgency)
        for row in waiting[: max(free, 0)]:
            work.issue(row)

    def on_answer(self, answer: Answer, now_ns: int) -> list[Action]:
        """Take what the model on board said; provisional until its verdict is there.

        An answer with status REFUSED (frame gone, model failed) ends an undecided request.
        """
        work = Work(self._state, now_ns)
        row = work.request(answer.request_id)
        if row is None or row.state not in rows.OWNED_ON_BOARD or answer.origin != "onboard":
            return []
        if answer.status == Answer.REFUSED:
            if row.state in rows.UNDECIDED:
                work.conclude(row, answer.reason or "no answer", label=f"degraded: {answer.reason}")
        elif row.provisional is None or (answer.stage, answer.text) != (
            row.provisional.stage,
            row.provisional.text,
        ):
            if row.provisional is not None and answer.stage < row.provisional.stage:
                return []
            row = replace(
                row, provisional=answer, versions=row.versions + 1, touched_ns=work.now_ns
            )
            self._conclude_if_answered(work, work.put(row))
            ahead.send(work, row)
        self._issue(work)
        return work.done()

    def on_verdict(self, verdict: Verdict, now_ns: int) -> list[Action]:
        """Take a decision. The first of ANSWER and OFFLOAD counts, whatever its attempt."""
        work = Work(self._state, now_ns)
        row = work.request(verdict.request_id)
        if row is None or row.state not in rows.IN_FLIGHT:
            return []
        if verdict.decision == Verdict.CONTINUE:
            self._state.touch(replace(row, touched_ns=now_ns))
            return []
        is_answer = verdict.decision == Verdict.ANSWER
        moved = work.move(row, rows.ACCEPT if is_answer else rows.OFFLOAD)
        if moved is None:
            return []
        if verdict.is_late and not is_answer:  # asked for although its deadline is lost
            moved = replace(moved, expires_ns=now_ns + self._limits.lifetime_ns)
        moved = work.step(replace(moved, stage=verdict.stage), finals.DECIDED)
        self._conclude_if_answered(work, moved)
        ahead.send(work, moved)
        self._issue(work)
        return work.done()

    def _conclude_if_answered(self, work: Work, row: RequestRow) -> None:
        given = row.provisional
        # The text of an earlier tap is not what the verdict was about.
        if row.state == rows.ACCEPTED and given is not None and given.stage >= row.stage:
            work.conclude(row, "", label=given.reason)

    def on_report(self, report: DownlinkReport, now_ns: int) -> list[Action]:
        """Follow a product on the link; delivery of pixels hands the request to the ground."""
        work = Work(self._state, now_ns)
        if report.kind == "answer":
            self._follow_answer(work, report)
        elif report.kind in _PIXEL_PRODUCTS:
            row = work.request(report.request_id)
            if row is not None:
                self._follow_product(work, row, report)
                ahead.send(work, work.request(row.request.id) or row)
        elif report.kind == "refinement":
            refining.follow(work, report)
        self._issue(work)
        return work.done()

    def _follow_product(self, work: Work, row: RequestRow, report: DownlinkReport) -> None:
        others = tuple(p for p in row.products if p != report.product_id)
        if report.state == "delivered":
            if work.move(row, rows.PRODUCT_DELIVERED) is not None:
                row = work.step(work.requests[row.request.id], finals.RECEIVED, report.last_byte_ns)
                work.put(replace(row, owner="ground", products=others))
                if row.request.consumer != "onboard":
                    work.actions.append(Enhance(row.request))
        elif report.state in ("failed", "rejected"):
            row = work.put(replace(row, products=others))
            if not others and row.state in (rows.ISSUED, rows.OFFLOADED, rows.QUEUED, rows.SENDING):
                why = f"not delivered: {report.reason}"
                work.conclude(row, why, label=f"degraded: {why}")
        else:
            is_queued = report.state == "queued"
            moved = work.move(row, rows.PRODUCT_QUEUED if is_queued else rows.PRODUCT_SENDING)
            row = moved or row
            if row.state in (rows.QUEUED, rows.SENDING) and report.product_id not in row.products:
                row = work.put(replace(row, products=(*others, report.product_id)))
            if moved is not None:
                stamp_ns = 0 if is_queued else report.first_byte_ns
                work.step(row, finals.QUEUED if is_queued else finals.SENT, stamp_ns)

    def _follow_answer(self, work: Work, report: DownlinkReport) -> None:
        row = work.request(report.request_id)
        if row is None:
            self._follow_refusal(work, report)
            return
        if row.final is None:
            ahead.follow(work, row, report)
            return
        if finals.answer_product_id(row.final) != report.product_id:
            return
        if report.state == "delivered":
            work.close(row, rows.FINAL_DELIVERED)
        elif report.state in ("failed", "rejected"):
            work.move(row, rows.FINAL_FAILED)
        else:
            work.move(row, rows.FINAL_QUEUED)

    def _follow_refusal(self, work: Work, report: DownlinkReport) -> None:
        for task_id, row in self._state.tasks.items():
            if row.refusal is None or finals.answer_product_id(row.refusal) != report.product_id:
                continue
            state = {"delivered": rows.CLOSED, "failed": rows.REFUSED, "rejected": rows.REFUSED}
            target = state.get(report.state, rows.REFUSAL_QUEUED)
            if target != row.state:
                work.tasks[task_id] = replace(row, state=target, touched_ns=work.now_ns)
            return

    def on_notice(self, notice: Notice, now_ns: int) -> list[Action]:
        """The ground has the final answer: close; or it wants a region: have it made."""
        work = Work(self._state, now_ns)
        row = work.request(notice.request_id)
        if notice.kind == "region":
            refining.want(work, row or self.request(notice.request_id), notice)
        elif row is not None:
            work.close(row, rows.GROUND_FINAL)
        self._issue(work)
        return work.done()

    def on_time(self, now_ns: int) -> list[Action]:
        """Act on deadlines and on silence; harmless at any time."""
        work = Work(self._state, now_ns)
        for task_id, task in list(self._state.tasks.items()):
            if self._task_wake_ns(task) > now_ns:
                continue
            if task.state == rows.REFUSED and task.refusal is not None:
                work.tasks[task_id] = replace(task, touched_ns=now_ns)
                work.actions.append(task.refusal)
            elif task.matched:
                work.tasks[task_id] = replace(task, state=rows.CLOSED)
            else:
                self._refuse(work, task, "no scene matched before the deadline")
        for row in list(self._state.requests.values()):
            if self._request_wake_ns(row) <= now_ns:
                self._overdue(work, row)
        self._issue(work)
        return work.done()

    def _overdue(self, work: Work, row: RequestRow) -> None:
        if row.state == rows.GROUND:
            work.close(row, rows.HOLD_OVER)
        elif row.state == rows.REFINING:
            refining.overdue(work, row, self._limits.timeouts)
        elif row.state == rows.ANSWERED:
            work.put(replace(row, touched_ns=work.now_ns))
            work.actions += [row.final] if row.final else []
        elif self._expiry_ns(row) <= work.now_ns:
            work.say("REQUEST_EXPIRED", "no answer by its deadline", request_id=row.request.id)
            work.conclude(row, "no answer by its deadline", label="degraded: deadline")
        elif row.state not in rows.IN_FLIGHT:
            ahead.send(work, row)
        elif row.timeouts < self._limits.timeouts:
            row = ahead.send(work, row)
            work.issue(replace(row, timeouts=row.timeouts + 1))
        else:
            why = "no decision on board"
            work.say("INFERENCE_FAILED", why, request_id=row.request.id, attempts=row.timeouts + 1)
            work.conclude(row, why, label=f"degraded: {why}")

    def next_wake_ns(self) -> int | None:
        """Return when `on_time` has something to do, None when nothing is open."""
        times = [self._task_wake_ns(task) for task in self._state.tasks.values()]
        times += [self._request_wake_ns(row) for row in self._state.requests.values()]
        return min((t for t in times if t < rows.NEVER_NS), default=None)

    def _task_wake_ns(self, row: TaskRow) -> int:
        if row.state == rows.OPEN:
            return row.expires_ns
        return (
            row.touched_ns + self._limits.progress_ns
            if row.state == rows.REFUSED
            else (rows.NEVER_NS)
        )

    def _request_wake_ns(self, row: RequestRow) -> int:
        silence_ns = row.touched_ns + self._limits.progress_ns
        if row.state in rows.IN_FLIGHT or row.state == rows.REFINING or ahead.is_owed(row):
            return min(self._expiry_ns(row), silence_ns)
        if row.state in rows.OWNED_ON_BOARD:
            return self._expiry_ns(row)
        if row.state == rows.GROUND:
            return row.touched_ns + self._limits.hold_ns
        return silence_ns if row.state == rows.ANSWERED else rows.NEVER_NS

    def _expiry_ns(self, row: RequestRow) -> int:
        # With bytes under way the ground may hold the product already and own the request:
        # only the end of the transfer tells, and a final of ours could not overtake it anyway.
        if row.state == rows.SENDING and row.request.consumer == "ground":
            return row.expires_ns + self._limits.hold_ns
        return row.expires_ns

    def recover(self, now_ns: int) -> list[Action]:
        """After a start: pins again, pipeline again, answers not yet queued again."""
        work = Work(self._state, now_ns)
        for row in list(self._state.requests.values()):
            if row.state in (*rows.OWNED_ON_BOARD, *rows.OWNED_BY_GROUND):
                work.actions.append(Pin(row.frame_key, row.request.id))
            row = ahead.send(work, row)
            if row.state in rows.IN_FLIGHT:
                work.issue(row)
            elif row.state == rows.REFINING:
                refining.issue(work, row)
            elif row.final is not None:
                work.actions.append(row.final)
        work.actions += [t.refusal for t in self._state.tasks.values() if t.refusal is not None]
        self._issue(work)
        self._state.prune(self._limits.closed)
        return work.done()

    def sync(self) -> None:
        """Bring the rows of requests just given out to the medium; call it when they are out.

        Raises:
            StorageError: the next call tries again.
        """
        self._state.sync()

    def pins(self) -> dict[str, frozenset[str]]:
        """Return the frames needed and the requests that need them, to restore after a kill."""
        wanted: dict[str, frozenset[str]] = {}
        for row in self._state.requests.values():
            if row.state in (*rows.OWNED_ON_BOARD, *rows.OWNED_BY_GROUND):
                wanted[row.frame_key] = wanted.get(row.frame_key, frozenset()) | {row.request.id}
        return wanted

    def open_requests(self) -> tuple[RequestRow, ...]:
        """Return the rows of all open requests, for displays and tests."""
        return tuple(self._state.requests.values())

    def open_tasks(self) -> tuple[TaskRow, ...]:
        """Return the rows of all open tasks, for displays and tests."""
        return tuple(self._state.tasks.values())

    def request(self, key: str) -> RequestRow | None:
        """Return the row of a request, open or closed."""
        return self._state.request_table.get(key)


def _urgency(row: RequestRow) -> tuple[int, int, int, str]:
    request = row.request
    return (-request.priority, row.expires_ns, request.capture_ns, request.id)


def _new_row(row: TaskRow, scene: Scene, key: str, window: Window, now_ns: int) -> RequestRow:
    task = row.task
    window, places = seen_for(task, scene, window)
    request = Request(
        id=key,
        task_id=task.id,
        scene_id=scene.id,
        scene=scene,
        stamp_ns=now_ns,
        capture_ns=scene.capture_ns,
        prompt=task.prompt,
        modality=scene.modality,
        window=window,
        zoom=task.zoom,
        visual_prompts=places,
        deadline_ns=task.deadline_ns,
        priority=task.priority,
        consumer=task.consumer,
        attempt=0,
    )
    pixels = scene.frames * window[2] * window[3] * scene.bands
    return RequestRow(
        request=request,
        frame_key=scene.frame_key,
        asker=task.asker,
        raw_bytes=pixels * _ITEM_BYTES.get(scene.dtype, 1),
        expires_ns=row.expires_ns,
        touched_ns=now_ns,
        steps=finals.with_steps(
            (),
            Step(name=finals.ASKED, stamp_ns=task.asked_ns),
            Step(name=finals.CAPTURED, stamp_ns=scene.capture_ns),
            Step(name=finals.MATCHED, stamp_ns=now_ns),
        ),
    )
