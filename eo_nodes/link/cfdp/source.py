"""Sending side of one class 2 transaction (CCSDS 727.0-B-5 sections 4.6.1, 4.7). No I/O of its own.

Theory of operation. File data goes out once in order, then EOF. What the destination NAKs is kept
in a range map (so a repeated NAK asks for nothing twice) and goes before new data; when the map has
emptied after EOF, Prompt(NAK) asks the destination at once for what is still missing, instead of
waiting for its timer. Finished ends the transaction in every state. The record in the store lives
until the ACK of Finished leaves: a kill before that makes the destination repeat it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from eo_nodes.link.cfdp.pdus import (
    Ack,
    FileDataEncoder,
    Finished,
    KeepAlive,
    Nak,
    Route,
    encode_ack,
    encode_eof,
    encode_metadata,
    encode_prompt,
)
from eo_nodes.link.cfdp.ranges import RangeMap
from eo_nodes.link.cfdp.states import SOURCE_TABLE, SourceEvent, SourceState
from eo_nodes.link.cfdp.transaction import Context, Owed, Transaction
from eo_nodes.link.errors import FilestoreError
from eo_nodes.link.indications import Condition, TransferFinished, TransferStatus

if TYPE_CHECKING:
    from eo_nodes.link.ports import Json, Record

PriorityKey = tuple[int | float | str, ...]
OrderKey = tuple[tuple[int, int | float | str], ...]
_WAITING = (SourceState.AWAIT_EOF_ACK, SourceState.AWAIT_FINISHED)
_ACTIVE = (SourceState.SENDING, *_WAITING)


def order_key(priority_key: PriorityKey, sequence: int) -> OrderKey:
    """Return a key that orders any mix of numbers and strings, older transactions first."""
    mixed = tuple((1, part) if isinstance(part, str) else (0, part) for part in priority_key)
    return (*mixed, (-1, sequence))


class CfdpSource(Transaction):
    """One file on its way out.

    Attributes:
        state: see ``SOURCE_TABLE``.
        path: file to send, complete when it was put (M8).
        size_bytes, checksum: as they were when it was put; CRC-32 of the whole file.
        priority_key: smaller goes first.
    """

    def __init__(
        self,
        context: Context,
        route: Route,
        *,
        path: str,
        name: str,
        size_bytes: int,
        checksum: int,
        metadata: bytes,
        priority_key: PriorityKey,
        since_ns: int,
    ) -> None:
        super().__init__(context, route, f"src:{route.transaction.sequence}")
        self.name = name
        self.path = path
        self.size_bytes = size_bytes
        self.checksum = checksum
        self.priority_key = priority_key
        self._since_ns = since_ns
        self.state = SourceState.QUEUED
        self._metadata = metadata
        self._encoder = FileDataEncoder(route)
        self._repeat = RangeMap()
        self._sent_bytes = 0
        self._saved_bytes = 0
        self._furthest_bytes = 0
        self._condition = Condition.NO_ERROR
        self._is_complete = False

    @classmethod
    def from_record(cls, context: Context, route: Route, record: Record) -> CfdpSource:
        """Rebuild after a restart: at most one checkpoint is sent again (M6).

        Raises:
            KeyError, ValueError, TypeError: the record is not one of ours.
        """
        source = cls(
            context,
            route,
            path=str(record["path"]),
            name=str(record["name"]),
            size_bytes=int(cast("int", record["size_bytes"])),
            checksum=int(cast("int", record["checksum"])),
            metadata=bytes.fromhex(str(record["metadata"])),
            priority_key=tuple(cast("list[int | float | str]", record["priority_key"])),
            since_ns=int(cast("int", record["since_ns"])),
        )
        source.is_suspended = bool(record["is_suspended"])
        source._sent_bytes = int(cast("int", record["sent_bytes"]))
        source._saved_bytes = source._furthest_bytes = source._sent_bytes
        source._condition = Condition(str(record["condition"]))
        if source._condition is not Condition.NO_ERROR:
            source.state = SourceState.CANCELLING
            source._owe(Owed.EOF)
        elif source._sent_bytes >= source.size_bytes > 0:
            source.state = SourceState.AWAIT_EOF_ACK
            source._owe(Owed.EOF)
        elif source._sent_bytes:
            source.state = SourceState.SENDING
        return source

    def to_record(self) -> Record:
        """Return what a restart needs."""
        return {
            "source": self.transaction.source_id,
            "sequence": self.transaction.sequence,
            "destination": self.route.destination_id,
            "path": self.path,
            "name": self.name,
            "size_bytes": self.size_bytes,
            "checksum": self.checksum,
            "metadata": self._metadata.hex(),
            "priority_key": cast("list[Json]", list(self.priority_key)),
            "since_ns": self._since_ns,
            "is_suspended": self.is_suspended,
            "sent_bytes": self._sent_bytes,
            "condition": self._condition.value,
        }

    @property
    def is_closed(self) -> bool:
        """True when the machine has ended."""
        return self.state is SourceState.CLOSED

    @property
    def status(self) -> TransferStatus:
        """Return the row of the transfer queue."""
        return TransferStatus(
            self.transaction,
            True,
            self.name,
            self._sent_bytes,
            self.size_bytes,
            self.state.value,
            self.is_suspended,
            self.priority_key,
            self._since_ns,
        )

    def wants_data(self) -> bool:
        """True when ``next_file_data`` has something to send."""
        if self.is_suspended:
            return False
        if self.state is SourceState.SENDING or self.state is SourceState.QUEUED:
            return True
        return bool(self._repeat) and self.state in _WAITING

    def next_file_data(self, now_ns: int, max_pdu_bytes: int) -> bytes | None:
        """Return the next PDU of the file: metadata first, then repeats, then new data."""
        if self.state is SourceState.QUEUED:
            self._apply(SourceEvent.START)
            if self.size_bytes == 0:
                self._all_sent()
            return encode_metadata(self.route, self.size_bytes, self.name, self._metadata)
        limit = max_pdu_bytes - self._encoder.overhead_bytes
        gap = self._repeat.first()
        if gap is not None:
            start, end = gap[0], min(gap[1], gap[0] + limit)
            self._repeat.remove(start, end)
        else:
            start, end = self._sent_bytes, min(self.size_bytes, self._sent_bytes + limit)
        data = self._read(start, end, now_ns)
        if data is None:
            return None
        counters = self._context.counters
        counters.file_bytes_sent += len(data)
        counters.file_bytes_repeated += max(0, min(end, self._furthest_bytes) - start)
        self._furthest_bytes = max(self._furthest_bytes, end)
        if gap is None:
            self._advance(end)
        elif not self._repeat and self.state in _WAITING:
            self._owe(Owed.PROMPT)
        return self._encoder.encode(start, data)

    def _advance(self, end: int) -> None:
        self._sent_bytes = end
        if end >= self.size_bytes:
            self._all_sent()
        elif end - self._saved_bytes >= self._context.config.checkpoint_bytes:
            self._saved_bytes = end
            self.save()

    def _all_sent(self) -> None:
        self._apply(SourceEvent.ALL_SENT)
        self._tries = 0
        self._owe(Owed.EOF)

    def _read(self, start: int, end: int, now_ns: int) -> bytes | None:
        try:
            data = self._context.filestore.read(self.path, start, end - start)
        except FilestoreError as error:
            self._fault(Condition.FILESTORE_REJECTION, now_ns, str(error))
            return None
        if len(data) != end - start:
            self._fault(Condition.FILE_SIZE_ERROR, now_ns, "file shrank after it was put")
            return None
        return data

    def next_directive(self, now_ns: int, max_pdu_bytes: int) -> bytes | None:
        """Return the next owed directive, packed."""
        owed = self._sendable()
        if owed is None:
            return None
        del self._owed[owed]
        if owed is Owed.METADATA:
            return encode_metadata(self.route, self.size_bytes, self.name, self._metadata)
        if owed is Owed.PROMPT:
            return encode_prompt(self.route)
        if owed is Owed.EOF:
            self._count_try(now_ns)
            size_bytes = self._sent_bytes if self._is_cancelled else self.size_bytes
            checksum = 0 if self._is_cancelled else self.checksum
            return encode_eof(self.route, self._condition, checksum, size_bytes)
        pdu = encode_ack(
            self.route, is_of_eof=False, condition=self._condition, is_terminated=True
        )
        self._apply(SourceEvent.ACK_SENT)
        self._close()
        return pdu

    @property
    def _is_cancelled(self) -> bool:
        return self.state is SourceState.CANCELLING

    def receive(self, pdu: Finished | Nak | Ack | KeepAlive, now_ns: int) -> None:
        """Take a PDU of the destination."""
        self._heard_ns = now_ns
        if isinstance(pdu, Nak):
            self._receive_nak(pdu)
        elif isinstance(pdu, Finished):
            self._receive_finished(pdu)
        elif isinstance(pdu, Ack) and pdu.is_of_eof and pdu.condition is self._condition:
            # An ACK of the first EOF that comes after the cancellation acknowledges nothing.
            self._receive_eof_ack(now_ns)

    def _receive_eof_ack(self, now_ns: int) -> None:
        if not self._apply(SourceEvent.EOF_ACKED):
            return
        self._ack_timer.stop()
        self._tries = 0
        if self.is_closed:
            self._finish(self._condition)
            self._close()
        else:
            self._start(self._inactivity_timer, now_ns, self._context.config.inactivity_ns)

    def _receive_nak(self, pdu: Nak) -> None:
        if self.state not in _ACTIVE:
            return
        for start, end in pdu.requests:
            if start == 0 and end == 0:
                self._owe(Owed.METADATA)
            elif 0 <= start < end:
                # Beyond what was sent nothing is repeated: it comes anyway.
                self._repeat.add(start, min(end, self._sent_bytes))
        self._context.is_order_stale = True

    def _receive_finished(self, pdu: Finished) -> None:
        was_finished = self.state is SourceState.FINISHED
        if not was_finished and not self._apply(SourceEvent.FINISHED):
            return
        self._stop_timers()
        self._owed.clear()
        self._owe(Owed.ACK_FINISHED)
        if was_finished:
            return
        self._is_complete = pdu.is_complete and pdu.condition is Condition.NO_ERROR
        self._condition = pdu.condition
        self._repeat = RangeMap()
        self._context.is_order_stale = True
        self._finish(pdu.condition)

    def tick(self, now_ns: int) -> None:
        """Repeat an EOF that was not acknowledged; report silence after it was."""
        if self._ack_timer.is_expired(now_ns):
            self._ack_timer.stop()
            if self._is_try_limit_reached():
                self._tries = 0
                if self._is_cancelled:  # nobody is there to hear of it
                    self.abandon(self._condition)
                    return
                self._fault(Condition.POSITIVE_ACK_LIMIT, now_ns)
            if self.state in (SourceState.AWAIT_EOF_ACK, SourceState.CANCELLING):
                self._owe(Owed.EOF)
        if self._inactivity_timer.is_expired(now_ns):
            self._check_inactivity(now_ns)

    def _check_inactivity(self, now_ns: int) -> None:
        inactivity_ns = self._context.config.inactivity_ns
        silent_ns = now_ns - self._heard_ns
        self._inactivity_timer.stop()
        if silent_ns < inactivity_ns:
            self._start(self._inactivity_timer, now_ns, inactivity_ns - silent_ns)
            return
        self._heard_ns = now_ns
        self._fault(Condition.INACTIVITY, now_ns)
        if self.state is SourceState.AWAIT_FINISHED:
            # A repeated EOF makes any destination say where it stands (M2).
            self._owe(Owed.EOF)
            self._start(self._inactivity_timer, now_ns, inactivity_ns)

    def cancel(self, condition: Condition, now_ns: int) -> None:
        """Tell the destination to discard; CLOSED at once when it never heard of the file."""
        if not self._apply(SourceEvent.CANCEL):
            return
        self._condition = condition
        self._repeat = RangeMap()
        self._stop_timers()
        self._owed.clear()
        self._tries = 0
        self.is_suspended = False
        if self.is_closed:
            self._finish(condition)
            self._close()
        else:
            self.save()
            self._owe(Owed.EOF)

    def abandon(self, condition: Condition) -> None:
        """End without a word."""
        if self._apply(SourceEvent.ABANDON):
            self._condition = condition
            self._finish(condition)
            self._close()

    def _on_thaw(self, now_ns: int) -> None:
        waiting = self.state in (*_WAITING, SourceState.CANCELLING)
        if waiting and not self._repeat:
            self._owe(Owed.EOF)

    def _apply(self, event: SourceEvent) -> bool:
        state = SOURCE_TABLE.get((self.state, event))
        if state is None:
            return False
        self.state = state
        self._context.is_order_stale = True
        return True

    def _finish(self, condition: Condition) -> None:
        counters = self._context.counters
        if self._is_complete:
            counters.transfers_completed += 1
        else:
            counters.transfers_failed += 1
        self._context.indications.append(
            TransferFinished(self.transaction, self.name, self._is_complete, condition)
        )

    def _close(self) -> None:
        self._stop_timers()
        self._owed.clear()
        if self._is_complete and self._context.config.is_source_deleted:
            try:
                self._context.filestore.remove(self.path)
            except FilestoreError:
                self._context.counters.faults["source_not_deleted"] += 1
        self._context.delete(self.key)
