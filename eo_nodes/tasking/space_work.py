"""One step of the space ledger: rows read, changed, committed together, then acted upon.

Nothing of a step is visible before its rows are committed, so a kill at any point leaves either
the state before the step, and its input comes again, or the state after it, and `recover`
gives out its actions again.

A power loss stops the model and the link along with the ledger. So a step that only asks for
computing need not wait for the medium: its requests go out first, and `SpaceState.sync` follows
before the next message is taken. An answer never goes out before its rows are on the medium.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from eo_nodes.contracts.values import Answer, Event, Request, Scene, Step

from . import rows
from .finals import FINAL, event, final_on_board, refusal_on_board, with_steps
from .ports import Store
from .rows import Enhance, Pin, Refine, RequestRow, TaskRow, Unpin

Action = Request | Refine | Enhance | Answer | Event | Pin | Unpin
SOURCE = "tasking"


class SpaceState:
    """Open rows in memory, all rows on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.task_table = store.table("tasks", TaskRow)
        self.request_table = store.table("requests", RequestRow)
        self.scene_table = store.table("scenes", Scene)
        self.tasks = dict(self.task_table.open_rows())
        self.requests = dict(self.request_table.open_rows())
        self.scenes = dict(self.scene_table.open_rows())

    def prune(self, keep: int) -> None:
        """Forget all but the last `keep` closed tasks and requests."""
        self.task_table.prune(keep)
        self.request_table.prune(keep)

    def sync(self) -> None:
        """Bring all commits to the medium."""
        self._store.sync()

    def touch(self, row: RequestRow) -> None:
        """Keep the time of its last progress in memory: a restart issues the request again."""
        self.requests[row.request.id] = row

    def commit(self, work: Work) -> None:
        """Write the rows of a step in one commit, then make them visible.

        Raises:
            StorageError: nothing was changed.
        """
        if work.tasks or work.requests or work.scenes:
            with self._store.transaction(durable=not work.only_asks):
                for task_id, task in work.tasks.items():
                    self.task_table.put(task_id, task, is_open=task.state != rows.CLOSED)
                for request_id, request in work.requests.items():
                    self.request_table.put(
                        request_id, request, is_open=request.state != rows.CLOSED
                    )
                for scene_id, scene in work.scenes.items():
                    if scene is None:
                        self.scene_table.delete(scene_id)
                    else:
                        self.scene_table.put(scene_id, scene)
        _apply(self.tasks, work.tasks)
        _apply(self.requests, work.requests)
        for scene_id, scene in work.scenes.items():
            if scene is None:
                self.scenes.pop(scene_id, None)
            else:
                self.scenes[scene_id] = scene


def _apply(open_rows: dict[str, Any], changed: dict[str, Any]) -> None:
    for key, row in changed.items():
        if row.state == rows.CLOSED:
            open_rows.pop(key, None)
        else:
            open_rows[key] = row


@dataclass(slots=True)
class Work:
    """What one step reads, changes and gives out."""

    state: SpaceState
    now_ns: int
    tasks: dict[str, TaskRow] = field(default_factory=dict)
    requests: dict[str, RequestRow] = field(default_factory=dict)
    scenes: dict[str, Scene | None] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)

    def request(self, request_id: str) -> RequestRow | None:
        """Return an open request as this step left it."""
        return self.requests.get(request_id) or self.state.requests.get(request_id)

    @property
    def only_asks(self) -> bool:
        """Whether it gives out requests for the pipeline and no answer."""
        kinds = {type(action) for action in self.actions}
        return Request in kinds and Answer not in kinds

    def open_requests(self) -> list[RequestRow]:
        """Return all open requests as this step left them."""
        merged = {**self.state.requests, **self.requests}
        return [row for row in merged.values() if row.state != rows.CLOSED]

    def put(self, row: RequestRow) -> RequestRow:
        """Change a request."""
        self.requests[row.request.id] = row
        return row

    def move(self, row: RequestRow, trigger: str) -> RequestRow | None:
        """Follow the table; None when it does not list the trigger in this state."""
        target = rows.TRANSITIONS.get((row.state, trigger))
        if target is None:
            return None
        return self.put(replace(row, state=target, touched_ns=self.now_ns))

    def step(self, row: RequestRow, name: str, stamp_ns: int = 0) -> RequestRow:
        """Date a step in the life of a request."""
        dated = Step(name=name, stamp_ns=stamp_ns or self.now_ns)
        return self.put(replace(row, steps=with_steps(row.steps, dated)))

    def issue(self, row: RequestRow) -> None:
        """Give a request to the pipeline, first or again."""
        moved = self.move(row, rows.ISSUE)
        if moved is None:
            return
        request = replace(moved.request, attempt=moved.request.attempt + 1, stamp_ns=self.now_ns)
        self.step(replace(moved, request=request, stage=0), "issued")
        self.actions.append(request)

    def conclude(self, row: RequestRow, reason: str, *, label: str = "") -> None:
        """Write the one final of the owner on board: the model's text, else a refusal.

        Args:
            reason: of a refusal.
            label: put on the model's text when it was not accepted by a verdict.
        """
        moved = self.move(row, rows.FINALISE)
        if moved is None:
            return
        if moved.provisional is not None:
            final = final_on_board(moved, label, self.now_ns)
        else:
            final = refusal_on_board(moved, reason, self.now_ns)
        self.put(
            replace(
                moved,
                final=final,
                versions=final.version,
                products=(),
                steps=with_steps(moved.steps, Step(name=FINAL, stamp_ns=self.now_ns)),
            )
        )
        self.actions += [final, Unpin(moved.frame_key, moved.request.id)]

    def close(self, row: RequestRow, trigger: str) -> None:
        """End a request for good; its frame is released."""
        if self.move(row, trigger) is not None:
            self.actions.append(Unpin(row.frame_key, row.request.id))

    def say(self, kind: str, text: str, **fields: str | int) -> None:
        """Add an event."""
        self.actions.append(event(kind, SOURCE, self.now_ns, text, **fields))

    def done(self) -> list[Action]:
        """Commit and return the actions, in order."""
        self.state.commit(self)
        return self.actions
