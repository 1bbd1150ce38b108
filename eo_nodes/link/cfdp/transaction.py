"""What both class 2 machines share: owed directives, timers that freeze, faults and suspension.

A machine does not queue packed PDUs. It remembers *which* directives it owes and builds each at
the moment there is room on the link, from the state of that moment. So a repeated request costs
nothing, and nothing stale is sent after a silence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING

from eo_nodes.contracts.errors import StorageError
from eo_nodes.link.cfdp.timers import VisibleTimer
from eo_nodes.link.indications import (
    Condition,
    FaultHandler,
    Indication,
    TransactionId,
    TransferFault,
    TransferStatus,
)

if TYPE_CHECKING:
    from eo_nodes.link.cfdp.pdus import Route
    from eo_nodes.link.config import CfdpConfig
    from eo_nodes.link.counters import LinkCounters
    from eo_nodes.link.ports import Filestore, Record, TransferStore


class Owed(str, Enum):
    """A directive that a machine has to send."""

    METADATA = "metadata"
    EOF = "eof"
    PROMPT = "prompt"
    ACK_FINISHED = "ack_finished"
    ACK_EOF = "ack_eof"
    NAK = "nak"
    FINISHED = "finished"


# Answers to the peer go out even when our side is suspended: a repeated EOF is acknowledged in
# every state (M2). What we start ourselves waits.
ANSWERS = frozenset({Owed.ACK_EOF, Owed.ACK_FINISHED})


class Context:
    """What the machines of one entity share.

    Attributes:
        receive_root: folder for received files.
        is_visible: the peer can hear us.
        peer_heard_ns: when any PDU of the peer came last.
        wake_ns: no timer of any machine is due before this; None: no timer runs.
        margin_ns: added to answer timeouts: the time that frames in flight take at this rate.
        owing: machines with owed directives, in the order in which they asked.
        is_order_stale: a machine became ready or changed its place in the order.
    """

    def __init__(
        self,
        config: CfdpConfig,
        filestore: Filestore,
        store: TransferStore,
        counters: LinkCounters,
        receive_root: str,
    ) -> None:
        self.config = config
        self.filestore = filestore
        self.store = store
        self.counters = counters
        self.receive_root = receive_root
        self.is_visible = False
        self.peer_heard_ns = 0
        self.wake_ns: int | None = None
        self.margin_ns = 0
        self.owing: dict[Transaction, None] = {}
        self.is_order_stale = True
        self.indications: list[Indication] = []

    def note_wake(self, deadline_ns: int) -> None:
        """Lower the next wake to ``deadline_ns``."""
        if self.wake_ns is None or deadline_ns < self.wake_ns:
            self.wake_ns = deadline_ns

    def save(self, key: str, record: Record) -> bool:
        """Save progress; a store that cannot is counted, the transfer goes on in memory."""
        try:
            self.store.save(key, record)
        except StorageError:
            self.counters.faults["transfer_store"] += 1
            return False
        return True

    def delete(self, key: str) -> None:
        """Delete a record; failure is counted, the record is closed again after the restart."""
        try:
            self.store.delete(key)
        except StorageError:
            self.counters.faults["transfer_store"] += 1


class Transaction(ABC):
    """One transaction at one end."""

    def __init__(self, context: Context, route: Route, key: str) -> None:
        self._context = context
        self.route = route
        self.key = key
        self.name = ""
        self.is_suspended = False
        self._owed: dict[Owed, None] = {}
        self._ack_timer = VisibleTimer()
        self._nak_timer = VisibleTimer()
        self._inactivity_timer = VisibleTimer()
        self._tries = 0
        self._heard_ns = 0

    @property
    def transaction(self) -> TransactionId:
        """Name of the transaction."""
        return self.route.transaction

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """True when the machine has ended and may be forgotten."""

    @property
    @abstractmethod
    def status(self) -> TransferStatus:
        """Return the row of the transfer queue."""

    @abstractmethod
    def to_record(self) -> Record:
        """Return what a restart needs."""

    @abstractmethod
    def next_directive(self, now_ns: int, max_pdu_bytes: int) -> bytes | None:
        """Return the next owed directive, packed; None when nothing may be sent."""

    @abstractmethod
    def tick(self, now_ns: int) -> None:
        """Act on timers that are due."""

    @abstractmethod
    def cancel(self, condition: Condition, now_ns: int) -> None:
        """End the transaction and tell the peer why."""

    @abstractmethod
    def abandon(self, condition: Condition) -> None:
        """End the transaction without a word to the peer."""

    @abstractmethod
    def _on_thaw(self, now_ns: int) -> None:
        """Owe what the peer must hear first after a silence."""

    def suspend(self, now_ns: int) -> None:
        """Send nothing of our own and stop the timers; PDUs that arrive still count (M5)."""
        if not self.is_suspended:
            self.is_suspended = True
            self.freeze(now_ns)
            self.save()
            self._context.is_order_stale = True

    def resume(self, now_ns: int) -> None:
        """Undo ``suspend``; sends the NAK, EOF or Finished owed."""
        if self.is_suspended:
            self.is_suspended = False
            self.save()
            self._context.is_order_stale = True
            if self._context.is_visible:
                self.thaw(now_ns)

    def freeze(self, now_ns: int) -> None:
        """LOS or suspension: timers keep what remains."""
        for timer in self._timers:
            timer.freeze(now_ns)

    def thaw(self, now_ns: int) -> None:
        """AOS or resumption: timers run on, and the peer hears what we owe."""
        if self.is_suspended:
            return
        self._heard_ns = now_ns
        for timer in self._timers:
            timer.thaw(now_ns)
            if timer.deadline_ns is not None:
                self._context.note_wake(timer.deadline_ns)
        self._on_thaw(now_ns)
        if self._owed:
            self._context.owing[self] = None

    def next_deadline_ns(self) -> int | None:
        """Return when ``tick`` has to be called next."""
        deadlines = [t.deadline_ns for t in self._timers if t.deadline_ns is not None]
        return min(deadlines, default=None)

    def save(self) -> None:
        """Bring the progress to the store."""
        self._context.save(self.key, self.to_record())

    @property
    def _timers(self) -> tuple[VisibleTimer, VisibleTimer, VisibleTimer]:
        return (self._ack_timer, self._nak_timer, self._inactivity_timer)

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.stop()

    def _start(self, timer: VisibleTimer, now_ns: int, duration_ns: int) -> None:
        timer.start(now_ns, duration_ns)
        if self.is_suspended or not self._context.is_visible:
            timer.freeze(now_ns)
        else:
            self._context.note_wake(now_ns + duration_ns)

    def _owe(self, directive: Owed) -> None:
        self._owed[directive] = None
        self._context.owing[self] = None

    def _sendable(self) -> Owed | None:
        for directive in self._owed:
            if not self.is_suspended or directive in ANSWERS:
                return directive
        return None

    def _count_try(self, now_ns: int) -> None:
        self._tries += 1
        config = self._context.config
        self._start(self._ack_timer, now_ns, config.ack_timeout_ns + self._context.margin_ns)

    def _is_try_limit_reached(self) -> bool:
        return self._tries >= self._context.config.ack_limit

    def _fault(self, condition: Condition, now_ns: int, detail: str = "") -> FaultHandler:
        handler = self._context.config.handler(condition)
        self._context.counters.faults[condition.value] += 1
        self._context.indications.append(
            TransferFault(self.transaction, condition, handler, detail)
        )
        if handler is FaultHandler.CANCEL:
            self.cancel(condition, now_ns)
        elif handler is FaultHandler.SUSPEND:
            self.suspend(now_ns)
        elif handler is FaultHandler.ABANDON:
            self.abandon(condition)
        return handler
