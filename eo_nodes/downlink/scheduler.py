"""The durable queue of products on board, and which of them the link works on.

A product is queued when its row is durable. The most urgent are handed to the link (`Put`), at
most `transfers` at a time so that the link's own limits hold; urgent channels have slots of
their own. A fault puts a product back, a few times; delivery or giving up ends it. The queue is
bounded: the least urgent waiting product makes room or the newcomer is rejected (M7).
Every change is a `DownlinkReport`; `reports` states them all again for a node that missed some.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from eo_nodes.contracts.events import EVENTS
from eo_nodes.contracts.values import DownlinkReport, Event, Product, QueueEntry, QueueState

from .order import PIXELS, SPARE, URGENT, Key, is_late, key
from .ports import Store

# States of a row; a done row's report says how it ended.
WAITING = "waiting"
AT_LINK = "at_link"
SENDING = "sending"
DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Limits of the queue.

    Attributes:
        entries: products waiting or sending, of all channels.
        size_bytes: sum of their sizes.
        reserve: share of both that only urgent channels may use (M25).
        transfers: products at the link at once; urgent channels may use `urgent_transfers` more.
        tries: how often a product is handed to the link before it fails.
        finished: ended rows kept for restating and to recognise repeats.
    """

    entries: int = 2000
    size_bytes: int = 1 << 30
    reserve: float = 0.05
    transfers: int = 8
    urgent_transfers: int = 8
    tries: int = 5
    finished: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One product in the queue.

    Attributes:
        tries: times given to the link.
        report: last report given out.
    """

    product: Product
    state: str = WAITING
    tries: int = 0
    sent_bytes: int = 0
    report: DownlinkReport


@dataclass(frozen=True, slots=True)
class Put:
    """Action: give a product to the link, under its id as name. Harmless when it has it."""

    product: Product
    priority_key: Key


@dataclass(frozen=True, slots=True)
class Cancel:
    """Action: the link shall drop the transfer with this name."""

    product_id: str


Action = Put | Cancel | DownlinkReport | Event


class DownlinkScheduler:
    """The queue.

    Args:
        store: durable table, of this queue only.
        limits: see `QueueLimits`.
    Raises:
        StorageError: from any method that changes the queue; nothing has changed then.
    """

    def __init__(self, store: Store, limits: QueueLimits | None = None) -> None:
        self._limits = limits or QueueLimits()
        self._store = store
        self._table = store.table("downlink_queue", QueueRow)
        rows = dict(self._table.open_rows())
        self._rows = {name: row for name, row in rows.items() if row.state != DONE}
        self._finished = {name: row for name, row in rows.items() if row.state == DONE}
        self._ended: dict[str, None] = {}  # requests that nothing more may follow of by itself
        self.rejected = 0

    def on_product(self, product: Product, now_ns: int) -> list[Action]:
        """Queue a complete product; a repeat of a known id is answered with its report."""
        known = self.report(product.id)
        if known is not None:
            return [replace(known, stamp_ns=now_ns)]
        if product.kind == SPARE and product.request_id in self._ended:
            return [_report(product, "rejected", now_ns, "nobody waits for it")]
        with self._step():
            return self._queue(product, now_ns)

    def _queue(self, product: Product, now_ns: int) -> list[Action]:
        actions: list[Action] = []
        while not self._has_room(product):
            worst = self._least_urgent(now_ns)
            if worst is None or key(worst.product, now_ns) <= key(product, now_ns):
                self.rejected += 1
                report = _report(product, "rejected", now_ns, "queue is full")
                return [*actions, report, _full(product, now_ns)]
            self.rejected += 1
            why = "dropped for a more urgent product"
            actions += [self._finish(worst, "rejected", why, now_ns), _full(worst.product, now_ns)]
        report = _report(product, "queued", now_ns)
        self._save(QueueRow(product=product, report=report))
        return [*actions, report, *self._fill(now_ns)]

    def on_progress(self, product_id: str, sent_bytes: int, now_ns: int) -> list[Action]:
        """The link has sent some bytes of a product, counted once."""
        row = self._rows.get(product_id)
        if row is None or sent_bytes <= row.sent_bytes:
            return []
        if row.state == SENDING:
            # Progress is durable in the link; here it only informs.
            self._rows[product_id] = replace(row, sent_bytes=sent_bytes)
            return []
        report = replace(row.report, state="sending", stamp_ns=now_ns, first_byte_ns=now_ns)
        with self._step():
            self._save(replace(row, state=SENDING, sent_bytes=sent_bytes, report=report))
        return [report]

    def on_delivered(self, product_id: str, now_ns: int) -> list[Action]:
        """The other end has the whole product: Finished (complete) came."""
        row = self._rows.get(product_id)
        if row is None:
            return []
        with self._step():
            return [self._finish(row, "delivered", "", now_ns), *self._fill(now_ns)]

    def on_fault(self, product_id: str, reason: str, now_ns: int) -> list[Action]:
        """A transfer ended without delivery: queue it again, or give up after the last try."""
        row = self._rows.get(product_id)
        if row is None:
            return []
        fault = _event("TRANSFER_FAULT", now_ns, f"{row.product.kind} {product_id}: {reason}")
        with self._step():
            if row.tries >= self._limits.tries:
                report = self._finish(row, "failed", reason, now_ns)
            else:
                report = self._wait_again(row, reason, now_ns)
            return [fault, report, *self._fill(now_ns)]

    def withdraw(
        self, request_id: str, now_ns: int, *, kinds: Collection[str] = PIXELS
    ) -> list[Action]:
        """A request got its final: pixels of it that have not begun stay here.

        Args:
            kinds: of products, all of pixels by default.
        """
        actions: list[Action] = []
        if SPARE in kinds:
            self._ended[request_id] = None
            while len(self._ended) > self._limits.finished:
                del self._ended[next(iter(self._ended))]
        with self._step():
            for row in list(self._rows.values()):
                is_pixels = row.product.request_id == request_id and row.product.kind in kinds
                if is_pixels and row.state != SENDING:
                    if row.state == AT_LINK:
                        actions.append(Cancel(row.product.id))
                    actions.append(self._finish(row, "failed", "withdrawn", now_ns))
            return [*actions, *self._fill(now_ns)]

    def end_contact(self, now_ns: int) -> list[Action]:
        """The link is lost: what nobody asked for is of no use after its contact."""
        actions: list[Action] = []
        with self._step():
            for row in list(self._rows.values()):
                if row.product.kind == SPARE:
                    if row.state != WAITING:
                        actions.append(Cancel(row.product.id))
                    actions.append(self._finish(row, "failed", "the contact is over", now_ns))
        return actions

    def recover(self, at_link: Collection[str], now_ns: int) -> list[Action]:
        """After a start: hand over again what the link does not know, and state every report.

        Args:
            at_link: names of the transfers that the link holds after its own recovery.
        """
        self._table.prune(self._limits.finished)
        ended = self.end_contact(now_ns)
        with self._step():
            for row in list(self._rows.values()):
                if row.state in (AT_LINK, SENDING) and row.product.id not in at_link:
                    # A kill is not a fault of the transfer: it costs no try.
                    self._wait_again(replace(row, tries=row.tries - 1), "", now_ns)
            puts = self._fill(now_ns)
        return [*(a for a in ended if isinstance(a, Cancel)), *self.reports(now_ns), *puts]

    def reports(self, now_ns: int) -> list[DownlinkReport]:
        """Return the last report of every product in the queue and of those ended lately."""
        stated = (*self._finished.values(), *self._rows.values())
        return [replace(row.report, stamp_ns=now_ns) for row in stated]

    def queued_bytes(self) -> int:
        """Return the bytes still to send, of all that others have to wait for."""
        return _left_bytes(self._asked())

    def _asked(self) -> list[QueueRow]:
        return [row for row in self._rows.values() if row.product.kind != SPARE]

    def product_ids(self) -> frozenset[str]:
        """Return the products whose files are still needed."""
        return frozenset(self._rows)

    def report(self, product_id: str) -> DownlinkReport | None:
        """Last report of a product queued or delivered: its file must not be written again."""
        row = self._rows.get(product_id) or self._table.get(product_id)
        if row is None or (row.state == DONE and row.report.state != "delivered"):
            return None
        return row.report

    def queue_state(self, satellite: str, now_ns: int) -> QueueState:
        """Return what others have to wait for, most urgent first, at most 50 entries."""
        ranked = sorted(self._asked(), key=lambda row: key(row.product, now_ns))
        entries = tuple(
            QueueEntry(
                product_id=row.product.id,
                kind=row.product.kind,
                priority=row.product.priority,
                size_bytes=row.product.size_bytes,
                sent_bytes=row.sent_bytes,
                state="sending" if row.state == SENDING else "queued",
            )
            for row in ranked[:50]
        )
        return QueueState(
            satellite=satellite,
            stamp_ns=now_ns,
            queued_bytes=self.queued_bytes(),
            late_bytes=_left_bytes(row for row in ranked if is_late(row.product, now_ns)),
            total=len(ranked),
            entries=entries,
        )

    def _fill(self, now_ns: int) -> list[Action]:
        """Hand the most urgent waiting products to the link while it has slots.

        What nobody asked for takes none: one at a time goes where nothing else waits.
        """
        busy = [row.product.kind for row in self._rows.values() if row.state != WAITING]
        urgent, spare = sum(kind in URGENT for kind in busy), busy.count(SPARE)
        others = len(busy) - urgent - spare
        puts: list[Action] = []
        waiting = (row for row in self._rows.values() if row.state == WAITING)
        for row in sorted(waiting, key=lambda row: key(row.product, now_ns)):
            if row.product.kind in URGENT:
                if urgent + others >= self._limits.transfers + self._limits.urgent_transfers:
                    break
                urgent += 1
            elif row.product.kind == SPARE:
                if spare:
                    break
                spare += 1
            elif others >= self._limits.transfers:
                break
            else:
                others += 1
            self._save(replace(row, state=AT_LINK, tries=row.tries + 1))
            puts.append(Put(row.product, key(row.product, now_ns)))
        return puts

    def _has_room(self, product: Product) -> bool:
        share = 1.0 if product.kind in URGENT else 1.0 - self._limits.reserve
        held = sum(row.product.size_bytes for row in self._rows.values())
        return (
            len(self._rows) + 1 <= self._limits.entries * share
            and held + product.size_bytes <= self._limits.size_bytes * share
        )

    def _least_urgent(self, now_ns: int) -> QueueRow | None:
        waiting = (row for row in self._rows.values() if row.state == WAITING)
        return max(waiting, key=lambda row: key(row.product, now_ns), default=None)

    def _wait_again(self, row: QueueRow, reason: str, now_ns: int) -> DownlinkReport:
        report = replace(row.report, state="queued", stamp_ns=now_ns, reason=reason)
        self._save(replace(row, state=WAITING, sent_bytes=0, report=report))
        return report

    def _finish(self, row: QueueRow, state: str, reason: str, now_ns: int) -> DownlinkReport:
        last_ns = now_ns if state == "delivered" else 0
        report = replace(
            row.report,
            state=state,
            reason=reason,
            stamp_ns=now_ns,
            first_byte_ns=row.report.first_byte_ns or last_ns,
            last_byte_ns=last_ns,
        )
        self._save(replace(row, state=DONE, report=report))
        while len(self._finished) > self._limits.finished:
            name = next(iter(self._finished))
            self._table.put(name, self._finished.pop(name), is_open=False)
        return report

    def _save(self, row: QueueRow) -> None:
        # An ended row stays open for a while: its last report may not have been heard.
        self._table.put(row.product.id, row)
        self._rows.pop(row.product.id, None)
        self._finished.pop(row.product.id, None)
        (self._finished if row.state == DONE else self._rows)[row.product.id] = row

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Make the changes inside one commit; when it fails, forget them here too."""
        before = dict(self._rows), dict(self._finished)
        try:
            with self._store.transaction():
                yield
        except BaseException:
            self._rows, self._finished = before
            raise


def _left_bytes(queued: Iterable[QueueRow]) -> int:
    return sum(max(row.product.size_bytes - row.sent_bytes, 0) for row in queued)


def _report(product: Product, state: str, now_ns: int, reason: str = "") -> DownlinkReport:
    return DownlinkReport(
        product_id=product.id,
        request_id=product.request_id,
        kind=product.kind,
        stamp_ns=now_ns,
        state=state,
        reason=reason,
        size_bytes=product.size_bytes,
    )


def _event(kind: str, now_ns: int, text: str) -> Event:
    return Event(
        id=kind,
        severity=EVENTS[kind].severity,
        source="downlink",
        stamp_ns=now_ns,
        text=text[:1000],
        fields_json="{}",
    )


def _full(product: Product, now_ns: int) -> Event:
    return _event("STORE_FULL", now_ns, f"downlink queue is full: {product.kind} {product.id}")
