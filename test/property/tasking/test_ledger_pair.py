"""Both ledgers through loss, repeats, reordering, faults and kills: one final per request.

A small world plays everything between and around the ledgers. Messages inside a segment may be
lost, repeated and reordered; the link between the segments repeats and reorders but loses
nothing for good (CFDP class 2 from durable rows). Some offloaded requests have a complete answer,
which goes ahead of the pixels; some answers of the ground are held for finer pixels. Either ledger
may be killed between steps, or inside a step before its commit, and then comes back from its rows.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.values import (
    Answer,
    DownlinkReport,
    Notice,
    Product,
    Request,
    Scene,
    Task,
    Verdict,
)
from eo_nodes.store.ledger_store import LedgerStore
from eo_nodes.tasking.finals import answer_product_id
from eo_nodes.tasking.ground_ledger import GroundLedger
from eo_nodes.tasking.ground_rows import GroundLimits
from eo_nodes.tasking.ledger import LedgerLimits, SpaceLedger
from eo_nodes.tasking.rows import Enhance, Pin, Refine, Unpin

S = 1_000_000_000
SPACE = LedgerLimits(
    in_flight=2,
    progress_ns=60 * S,
    timeouts=2,
    lifetime_ns=2000 * S,
    hold_ns=20_000 * S,
)
GROUND = GroundLimits(
    model_ns=100 * S, lifetime_ns=2000 * S, silence_ns=50_000 * S, latch_ns=90_000 * S
)


class World:
    """Two ledgers, the nodes around them and the link, all driven by one random source."""

    def __init__(self, random_source: random.Random, trouble: float) -> None:
        self.random = random_source
        self.trouble = trouble
        self.now_ns = 1_000 * S
        self.fail_next = False
        self.stores = {"space": self._store(), "ground": self._store()}
        self.space = SpaceLedger(self.stores["space"], SPACE)
        self.ground = GroundLedger(self.stores["ground"], GROUND)
        self.inbox: list[tuple[str, Any]] = []
        self.kills = 0
        self.requests: set[str] = set()
        self.asked: set[str] = set()
        self.tasks: set[str] = set()
        self.finals: dict[str, set[str]] = {}
        self.ahead: set[str] = set()  # offloaded with a complete answer
        self.too_late: set[str] = set()  # of these, those that time overtook
        self.provisional: dict[str, set[str]] = {}  # as published on the ground
        self.held: dict[str, set[str]] = {}  # provisional answers of the ground
        self.versions: dict[str, int] = {}
        self.pins: set[tuple[str, str]] = set()
        self.queue: dict[str, tuple[str, Any]] = {}  # the scheduler's durable rows
        self.product_states: dict[str, DownlinkReport] = {}

    def _store(self) -> LedgerStore:
        return LedgerStore(":memory:")

    def is_trouble(self) -> bool:
        return self.random.random() < self.trouble

    def send(self, where: str, message: Any, *, loss: bool = True) -> None:
        """Post a message; inside a segment it may get lost, everywhere it may repeat."""
        if loss and self.is_trouble():
            return
        for _ in range(2 if self.is_trouble() else 1):
            self.inbox.append((where, message))

    def step(self) -> None:
        """Deliver one message, in any order, or kill a ledger, or let time pass."""
        if self.is_trouble() and self.random.random() < 0.3:
            self.kill(self.random.choice(("space", "ground")))
        elif self.inbox and self.random.random() < 0.9:
            place = self.random.randrange(len(self.inbox)) if self.is_trouble() else 0
            self.deliver(*self.inbox.pop(place))
        else:
            self.now_ns += self.random.randrange(1, 40) * S
            self.tick()

    def tick(self) -> None:
        self.act_space(self.space.on_time(self.now_ns))
        self.act_ground(self.ground.on_time(self.now_ns))

    def kill(self, which: str) -> None:
        self.kills += 1
        if which == "space":
            self.space = SpaceLedger(self.stores["space"], SPACE)
            self.pins = {(key, r) for key, held in self.space.pins().items() for r in held}
            self.requests.update(request_id for _, request_id in self.pins)
            self.act_space(self.space.recover(self.now_ns))
            # The scheduler states its reports again when tasking comes back.
            for report in self.product_states.values():
                self.inbox.append(("space", report))
        else:
            self.ground = GroundLedger(self.stores["ground"], GROUND)
            self.act_ground(self.ground.recover(self.now_ns))

    def deliver(self, where: str, message: Any) -> None:
        getattr(self, f"to_{where}")(message)

    def to_space(self, message: Any) -> None:
        handlers = {
            Task: self.space.on_task,
            Scene: self.space.on_scene,
            Answer: self.space.on_answer,
            Verdict: self.space.on_verdict,
            DownlinkReport: self.space.on_report,
            Notice: self.space.on_notice,
        }
        handler = handlers[type(message)]
        if isinstance(message, Task):
            self.ground.on_uplinked(message.id)
        is_durable = isinstance(message, Task | Notice | DownlinkReport)
        self.handle("space", handler, message, is_durable=is_durable)

    def handle(self, which: str, handler: Any, message: Any, *, is_durable: bool) -> None:
        """Give a message to a ledger, which may die before or after its commit.

        Args:
            is_durable: where it came from states it again after a restart.
        """
        act = self.act_space if which == "space" else self.act_ground
        fate = self.random.random() if self.is_trouble() else 1.0
        if fate < 0.2:
            database = self.stores[which].database
            execute, database.execute = database.execute, _failing(database.execute)
            with suppress(StorageError):
                handler(message, self.now_ns)
            database.execute = execute
            if is_durable:
                self.inbox.append((which, message))
            self.kill(which)
        elif fate < 0.4:
            handler(message, self.now_ns)  # committed, its actions never given out
            self.kill(which)
        else:
            act(handler(message, self.now_ns))

    def to_ground(self, message: Any) -> None:
        if isinstance(message, Product):
            handler: Any = self.ground.on_product_received
            if message.kind == "refinement":
                handler = partial(self.ground.on_region_received, received_bytes=5)
                if not message.size_bytes:
                    handler = self.refuse_region
            elif message.kind == "enhancement":
                handler = partial(self.ground.on_region_received, received_bytes=5)
                if not message.size_bytes:
                    handler = self.nothing_finer
            self.handle("ground", handler, message, is_durable=True)
        else:
            is_ahead = message.status == Answer.PROVISIONAL
            if is_ahead and message.request_id in self.finals:
                self.too_late.add(message.request_id)
            take = self.ground.on_provisional if is_ahead else self.ground.on_final_from_space
            self.handle("ground", take, message, is_durable=True)

    def refuse_region(self, product: Product, now_ns: int) -> list[Any]:
        return self.ground.on_region_refused(product.request_id, now_ns)

    def nothing_finer(self, product: Product, now_ns: int) -> list[Any]:
        return self.ground.on_nothing_finer(product.request_id, now_ns)

    def to_ground_answer(self, message: Answer) -> None:
        until_ns = self.now_ns + 60 * S
        handler = partial(self.ground.on_model_answer, hold_until_ns=until_ns)
        self.handle("ground", handler, message, is_durable=False)

    def to_ground_wish(self, message: Notice) -> None:
        until_ns = self.now_ns + 700 * S
        handler = partial(self.ground.on_region_wanted, until_ns=until_ns)
        self.handle("ground", handler, message, is_durable=False)

    def to_pipeline(self, request: Request) -> None:
        """Preprocess, model and confidence on board; the request decides the outcome."""
        answer = Answer(
            id=f"{request.id}-model",
            request_id=request.id,
            task_id=request.task_id,
            scene_id=request.scene_id,
            status=Answer.PROVISIONAL,
            text="two ships",
            origin="onboard",
            stage=3 - int(request.id[-5], 16) % 2,
        )
        kind = int(request.id[-4:], 16) % 4
        if kind == 3:
            if self.random.random() < 0.5:
                refused = replace(answer, status=Answer.REFUSED, text="", reason="frame is gone")
                self.send("space", refused)
            return
        decision = Verdict.ANSWER if kind == 0 else Verdict.OFFLOAD
        verdict = Verdict(
            request_id=request.id, attempt=request.attempt, stage=answer.stage, decision=decision
        )
        for message in (answer, verdict) if self.is_trouble() else (verdict, answer):
            self.send("space", message)
        if decision == Verdict.OFFLOAD:
            if answer.stage == 3:
                self.ahead.add(request.id)
            product = Product(
                id=f"prd-{request.id}",
                request_id=request.id,
                task_id=request.task_id,
                scene_id=request.scene_id,
                kind="regions",
                path="/p",
                size_bytes=10,
                deadline_ns=request.deadline_ns,
            )
            self.send("scheduler", product)

    def to_refining(self, request: Request) -> None:
        """Preprocess cuts the region, or has the frame no more."""
        product = Product(
            id=f"prd-{request.id}-refinement",
            request_id=request.id,
            task_id=request.task_id,
            scene_id=request.scene_id,
            kind="refinement",
            path="/q",
            size_bytes=5 * (int(request.id[-1], 16) % 3),
            deadline_ns=request.deadline_ns,
        )
        self.send("scheduler", product)

    def to_enhancing(self, request: Request) -> None:
        """Preprocess has finer pixels, has none, or does not say."""
        size = int(request.id[-3], 16) % 3
        if size < 2:
            self.send("scheduler", Product(
                id=f"prd-{request.id}-enhancement", request_id=request.id, kind="enhancement",
                task_id=request.task_id, scene_id=request.scene_id, path="/f",
                size_bytes=5 * size, deadline_ns=request.deadline_ns,
            ))  # fmt: skip

    def to_scheduler(self, message: Any) -> None:
        """A durable queue: takes a product or an answer once and reports its way."""
        product_id = message.id if isinstance(message, Product) else answer_product_id(message)
        if product_id in self.queue:
            self.send("space", self.product_states[product_id])
            return
        self.queue[product_id] = ("", message)
        self.report(product_id, message, "queued")
        self.inbox.append(("link", (product_id, message)))

    def report(self, product_id: str, message: Any, state: str) -> None:
        report = DownlinkReport(
            product_id=product_id,
            request_id=message.request_id,
            kind=message.kind if isinstance(message, Product) else "answer",
            state=state,
            reason="limit" if state == "failed" else "",
        )
        self.product_states[product_id] = report
        self.send("space", report)

    def to_link(self, sent: tuple[str, Any]) -> None:
        product_id, message = sent
        self.report(product_id, message, "sending")
        may_fail = isinstance(message, Product) or message.status == Answer.PROVISIONAL
        if may_fail and self.is_trouble() and self.random.random() < 0.3:
            self.report(product_id, message, "failed")
            del self.queue[product_id]
            return
        self.send("ground", message, loss=False)
        self.report(product_id, message, "delivered")

    def to_ground_model(self, product: Product) -> None:
        answer = Answer(
            id="m",
            request_id=product.request_id,
            task_id=product.task_id,
            status=Answer.FINAL,
            text="three ships",
            origin="ground",
            version=1 if product.kind == "regions" else 2,
        )
        if product.kind == "regions" and int(product.request_id[-6], 16) % 2:
            self.asked.add(product.request_id)
            wish = Notice(kind="region", request_id=product.request_id, window=(1, 1, 4, 4))
            self.send("ground_wish", wish)
            answer = replace(answer, status=Answer.PROVISIONAL)
        self.send("ground_answer", answer)

    def act_space(self, actions: list[Any]) -> None:
        for action in actions:
            if isinstance(action, Refine):
                key = action.request.id
                assert (self.frame_of(action.request), key) in self.pins, "refined without a pin"
                assert action.request.window == (1, 1, 4, 4)
                self.send("refining", action.request)
            elif isinstance(action, Enhance):
                self.send("enhancing", action.request)
            elif isinstance(action, Request):
                self.requests.add(action.id)
                assert (self.frame_of(action), action.id) in self.pins, "issued without a pin"
                self.send("pipeline", action)
            elif isinstance(action, Answer):
                self.send("scheduler", action)
            elif isinstance(action, Pin):
                self.requests.add(action.request_id)
                self.pins.add((action.frame_key, action.request_id))
            elif isinstance(action, Unpin):
                self.pins.discard((action.frame_key, action.request_id))

    def frame_of(self, request: Request) -> str:
        return f"frame-{request.scene_id}"

    def act_ground(self, actions: list[Any]) -> None:
        for action in actions:
            if isinstance(action, Task):
                self.send("space", action, loss=False)
            elif isinstance(action, Product):
                self.send("ground_model", action)
            elif isinstance(action, Notice):
                if action.request_id:
                    self.send("space", action, loss=False)
            elif isinstance(action, Answer):
                subject = action.request_id or action.task_id
                assert action.version >= self.versions.get(subject, 0), "a version went back"
                self.versions[subject] = action.version
                if action.status == Answer.PROVISIONAL:
                    assert subject not in self.finals, "provisional, and a final stands"
                    assert action.steps[-1].name == "provisional"
                    if action.origin == "ground":
                        self.held.setdefault(subject, set()).add(action.id)
                        continue
                    self.provisional.setdefault(subject, set()).add(action.id)
                    continue
                self.finals.setdefault(subject, set()).add(action.id)


def _failing(execute: Any) -> Any:
    def run(sql: str, values: Any = ()) -> Any:
        if sql == "COMMIT":
            raise StorageError("killed")
        return execute(sql, values)

    return run


def _task(n: int, rng: random.Random, now_ns: int) -> Task:
    return Task(
        id=f"task-{n}",
        asked_ns=now_ns,
        asker="console",
        prompt="how many ships?",
        modality=rng.choice(("optical", "sar", "")),
        deadline_ns=rng.choice((0, now_ns + rng.randrange(1, 2000) * S)),
        priority=rng.randrange(8),
        consumer="ground",
        max_answers=rng.choice((1, 2)),
    )


def _scene(n: int, rng: random.Random, now_ns: int) -> Scene:
    return Scene(
        id=f"scene-{n}",
        capture_ns=now_ns,
        sensor="cam",
        modality=rng.choice(("optical", "sar")),
        frame_key=f"frame-scene-{n}",
        frames=1,
        height=10,
        width=10,
        bands=3,
        dtype="uint8",
        sha256="0" * 64,
    )


@seed(20261121)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
@given(
    world_seed=st.integers(0, 2**32 - 1),
    trouble=st.sampled_from((0.0, 0.1, 0.3)),
    tasks=st.integers(1, 5),
    scenes=st.integers(0, 4),
)
def test_every_request_ends_in_exactly_one_final(
    world_seed: int, trouble: float, tasks: int, scenes: int
) -> None:
    rng = random.Random(world_seed)
    world = World(rng, trouble)
    given_tasks = [_task(n, rng, world.now_ns) for n in range(tasks)]
    starts: list[Any] = [*given_tasks, *(_scene(n, rng, world.now_ns) for n in range(scenes))]
    rng.shuffle(starts)
    for start in starts:
        if isinstance(start, Task):
            world.act_ground(world.ground.on_task(start, world.now_ns))
        else:
            world.inbox.append(("space", start))
        for _ in range(rng.randrange(20)):
            world.step()
    for _ in range(150):
        world.step()

    # Then: the trouble ends, everything durable arrives, time passes all limits.
    world.trouble = 0.0
    for which in ("space", "ground"):
        world.kill(which)
    for _ in range(120):
        while world.inbox:
            world.deliver(*world.inbox.pop(0))
        world.now_ns += 100 * S
        world.tick()
    assert not world.inbox

    assert set(world.provisional) <= world.ahead
    if not trouble:
        said = set(world.provisional) | world.too_late
        assert said == world.ahead, "an answer did not go ahead of its pixels"
    for request_id in world.requests:
        assert len(world.provisional.get(request_id, ())) <= 1
        assert len(world.held.get(request_id, ())) <= 1
        got = world.finals.get(request_id, set())
        assert len(got) == 1, f"{request_id} has {len(got)} finals, seed {world_seed}"
    for task in given_tasks:
        row = world.ground.task(task.id)
        assert row is not None
        assert row.finals or row.refusal is not None, f"{task.id} was lost, seed {world_seed}"
        assert not (row.finals and row.refusal), f"{task.id} both, seed {world_seed}"
    assert not world.pins, f"frames stay pinned: {world.pins}"
    assert world.space.open_requests() == ()
