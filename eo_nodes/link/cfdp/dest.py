"""Receiving side of one class 2 transaction (CCSDS 727.0-B-5 sections 4.6.1, 4.6.4). No I/O.

Theory of operation. Octets go into a part file wherever they belong; a merged range map says what
is held. Gaps are asked for after EOF (deferred NAK), at Prompt(NAK), and whenever the peer becomes
visible again; a NAK waits one reorder window for segments that are merely late. The file is
complete only when no gap is left, the size is equal, and CRC-32 of the bytes *on disk* is EOF's;
there is one path to completion, so no order of arrival avoids the check (M3). Then the part file is
renamed, ``FileReceived`` is told, and Finished repeats until acknowledged.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Final, cast

from eo_nodes.link.cfdp.names import PART_FOLDER, name_fault
from eo_nodes.link.cfdp.pdus import (
    Ack,
    Eof,
    Metadata,
    Prompt,
    Route,
    encode_ack,
    encode_finished,
    encode_nak,
    nak_requests_per_pdu,
)
from eo_nodes.link.cfdp.ranges import RangeMap
from eo_nodes.link.cfdp.states import DEST_TABLE, DestEvent, DestState
from eo_nodes.link.cfdp.transaction import Context, Owed, Transaction
from eo_nodes.link.errors import FilestoreError
from eo_nodes.link.indications import (
    Condition,
    FaultHandler,
    FileReceived,
    TransferFinished,
    TransferStatus,
)

if TYPE_CHECKING:
    from eo_nodes.link.ports import Json, Record

# A peer that sends every other octet must not fill our memory; what is beyond is asked for again.
_MAX_RANGES: Final = 65_536
_SLICE_BYTES: Final = 65_536
_OPEN = (DestState.RECEIVING, DestState.AWAIT_DATA)


class CfdpDest(Transaction):
    """One file on its way in.

    Attributes:
        state: see ``DEST_TABLE``.
        part: path of the part file, named after the transaction, so no two share one (M1).
        is_delivered: the file lies under its final name.
    """

    def __init__(self, context: Context, route: Route, now_ns: int) -> None:
        source_id, sequence = route.transaction
        super().__init__(context, route, f"dst:{source_id}:{sequence}")
        self.part = f"{context.receive_root}/{PART_FOLDER}/{source_id}-{sequence}.part"
        self.state = DestState.RECEIVING
        self.is_delivered = False
        self._ranges = RangeMap()
        self._has_metadata = False
        self._metadata = b""
        self._announced_bytes = 0  # by Metadata; 0 = unbounded
        self._size_bytes: int | None = None  # by EOF
        self._checksum = 0
        self._condition = Condition.NO_ERROR
        self._unsaved_bytes = 0
        self._nak_cursor = 0
        self._nak_tries = 0
        self._nak_sent_ns = 0
        self._is_nak_delayed = False
        self._heard_ns = self._since_ns = now_ns
        self._start(self._inactivity_timer, now_ns, context.config.inactivity_ns)

    @classmethod
    def from_record(cls, context: Context, route: Route, record: Record) -> CfdpDest:
        """Rebuild after a restart with what was held at the last checkpoint (M6).

        Raises:
            KeyError, ValueError, TypeError: the record is not one of ours.
        """
        dest = cls(context, route, int(cast("int", record["since_ns"])))
        dest.name = str(record["name"])
        dest.is_suspended = bool(record["is_suspended"])
        dest._has_metadata = bool(record["has_metadata"])
        dest._metadata = bytes.fromhex(str(record["metadata"]))
        dest._announced_bytes = int(cast("int", record["announced_bytes"]))
        dest._checksum = int(cast("int", record["checksum"]))
        dest._condition = Condition(str(record["condition"]))
        dest._ranges = RangeMap(cast("list[tuple[int, int]]", record["ranges"]))
        if record["size_bytes"] is not None:
            dest._size_bytes = int(cast("int", record["size_bytes"]))
            dest.state = DestState.AWAIT_DATA
        if dest._condition is not Condition.NO_ERROR:
            dest.state = DestState.FINISHED
            dest._owe(Owed.FINISHED)
        else:
            dest._recover(is_publishing=bool(record["is_publishing"]))
        return dest

    def _recover(self, *, is_publishing: bool) -> None:
        """Compare what the record says with what is on disk."""
        filestore = self._context.filestore
        try:
            if is_publishing and not filestore.exists(self.part):
                path = filestore.confine(self._context.receive_root, self.name)
                checksum, sha256, size_bytes = self._digest(path)
                if checksum == self._checksum and size_bytes == self._size_bytes:
                    self._deliver(path, sha256, size_bytes)
                    return
            held = filestore.size_bytes(self.part) if filestore.exists(self.part) else 0
        except FilestoreError:
            held = 0
        # Fewer octets on disk than the record says: the rest is asked for again.
        if held < self._ranges.end:
            self._ranges.remove(held, self._ranges.end)
        self._check_complete(self._since_ns)

    def to_record(self) -> Record:
        """Return what a restart needs."""
        return self._record(is_publishing=False)

    def _record(self, *, is_publishing: bool) -> Record:
        return {
            "source": self.transaction.source_id,
            "sequence": self.transaction.sequence,
            "id_bytes": self.route.id_bytes,
            "sequence_bytes": self.route.sequence_bytes,
            "is_large": self.route.is_large,
            "name": self.name,
            "since_ns": self._since_ns,
            "is_suspended": self.is_suspended,
            "has_metadata": self._has_metadata,
            "metadata": self._metadata.hex(),
            "announced_bytes": self._announced_bytes,
            "size_bytes": self._size_bytes,
            "checksum": self._checksum,
            "condition": self._condition.value,
            "is_publishing": is_publishing,
            "ranges": cast("Json", [list(pair) for pair in self._ranges]),
        }

    @property
    def is_closed(self) -> bool:
        """True when the machine has ended."""
        return self.state is DestState.CLOSED

    @property
    def status(self) -> TransferStatus:
        """Return the row of the transfer queue."""
        size_bytes = self._size_bytes
        if size_bytes is None and self._has_metadata:
            size_bytes = self._announced_bytes
        return TransferStatus(
            self.transaction,
            False,
            self.name,
            self._ranges.total,
            size_bytes,
            self.state.value,
            self.is_suspended,
            (),
            self._since_ns,
        )

    def receive_data(self, offset: int, data: bytes | memoryview, now_ns: int) -> None:
        """Take one segment: [offset, offset + len(data)) of this file and of no other (M1)."""
        self._heard_ns = now_ns
        counters = self._context.counters
        end = offset + len(data)
        if self.state not in _OPEN or len(self._ranges) >= _MAX_RANGES:
            counters.file_bytes_duplicate += len(data)
            return
        if end > self._limit_bytes:
            self._fault(Condition.FILE_SIZE_ERROR, now_ns, f"data up to {end}")
            return
        new = self._ranges.add(offset, end)
        counters.file_bytes_new += new
        counters.file_bytes_duplicate += len(data) - new
        if not new:
            return
        try:
            self._context.filestore.write(self.part, offset, data)
        except FilestoreError as error:
            self._ranges.remove(offset, end)
            self._fault(Condition.FILESTORE_REJECTION, now_ns, str(error))
            return
        self._unsaved_bytes += new
        if self._unsaved_bytes >= self._context.config.checkpoint_bytes:
            self._checkpoint(now_ns)
        if self.state is DestState.AWAIT_DATA:
            self._nak_tries = 0
            if self._nak_timer.is_set and not self._is_nak_delayed:
                self._start_nak_timer(now_ns)
            self._check_complete(now_ns)

    @property
    def _limit_bytes(self) -> int:
        if self._size_bytes is not None:
            return self._size_bytes
        return self._announced_bytes or self._context.config.max_file_bytes

    def receive(self, pdu: Metadata | Eof | Ack | Prompt, now_ns: int) -> None:
        """Take a directive of the source."""
        self._heard_ns = now_ns
        if isinstance(pdu, Eof):
            self._receive_eof(pdu, now_ns)
        elif isinstance(pdu, Metadata):
            self._receive_metadata(pdu, now_ns)
        elif isinstance(pdu, Ack):
            if not pdu.is_of_eof and self._apply(DestEvent.FINISHED_ACKED):
                self._close()
        elif pdu.is_nak and self.state in _OPEN:
            self._schedule_nak(now_ns)

    def _receive_eof(self, pdu: Eof, now_ns: int) -> None:
        """Take EOF(no error) or EOF(cancel); the ACK of the latter is the entity's (M2)."""
        if pdu.condition is Condition.NO_ERROR:
            self._owe(Owed.ACK_EOF)
        elif self._apply(DestEvent.EOF_CANCEL):
            self._discard(pdu.condition)
            self._close()
            return
        if self.state is DestState.FINISHED:
            self._owe(Owed.FINISHED)
        elif self._apply(DestEvent.EOF):
            self._checksum, self._size_bytes = pdu.checksum, pdu.size_bytes
            announced = self._announced_bytes or pdu.size_bytes
            if self._ranges.end > pdu.size_bytes or announced != pdu.size_bytes:
                self._fault(Condition.FILE_SIZE_ERROR, now_ns, f"EOF says {pdu.size_bytes}")
                return
            self._check_complete(now_ns)
            if self.state is DestState.AWAIT_DATA:
                self._checkpoint(now_ns)
                self._schedule_nak(now_ns)
        elif not self._nak_timer.is_set:
            self._schedule_nak(now_ns)

    def _receive_metadata(self, pdu: Metadata, now_ns: int) -> None:
        if self._has_metadata or self.state not in _OPEN:
            return
        fault = name_fault(pdu.name)
        if fault is not None:
            self._fault(Condition.FILESTORE_REJECTION, now_ns, f"name: {fault}")
        elif not pdu.is_checksum_supported:
            self._fault(Condition.UNSUPPORTED_CHECKSUM, now_ns)
        elif pdu.size_bytes not in (0, self._size_bytes or pdu.size_bytes) or (
            pdu.size_bytes > self._context.config.max_file_bytes
        ):
            self._fault(Condition.FILE_SIZE_ERROR, now_ns, f"announced {pdu.size_bytes}")
        else:
            self._has_metadata = True
            self.name, self._metadata = pdu.name, pdu.metadata
            self._announced_bytes = pdu.size_bytes
            self._check_complete(now_ns)

    def _check_complete(self, now_ns: int) -> None:
        """The only way to a delivered file (M3)."""
        is_gapless = self._ranges.total == self._size_bytes
        if self.state is not DestState.AWAIT_DATA or not is_gapless or not self._has_metadata:
            return
        filestore = self._context.filestore
        try:
            path = filestore.confine(self._context.receive_root, self.name)
            if self._size_bytes == 0:
                filestore.write(self.part, 0, b"")
            checksum, sha256, size_bytes = self._digest(self.part)
            if size_bytes != self._size_bytes:
                self._fault(Condition.FILE_SIZE_ERROR, now_ns, f"{size_bytes} bytes on disk")
            elif checksum != self._checksum:
                handler = self._fault(Condition.FILE_CHECKSUM_FAILURE, now_ns)
                if handler is FaultHandler.IGNORE:  # never a success: ask for all of it again
                    self._ranges = RangeMap()
            else:
                # Saved before the rename: a kill in between is recognised by _recover.
                self._context.save(self.key, self._record(is_publishing=True))
                filestore.publish(self.part, path)
                self._deliver(path, sha256, size_bytes)
        except FilestoreError as error:
            self._fault(Condition.FILESTORE_REJECTION, now_ns, str(error))

    def _digest(self, path: str) -> tuple[int, str, int]:
        """Return CRC-32, SHA-256 and size of the bytes on disk."""
        checksum, sha256, offset = 0, hashlib.sha256(), 0
        while data := self._context.filestore.read(path, offset, _SLICE_BYTES):
            checksum = zlib.crc32(data, checksum)
            sha256.update(data)
            offset += len(data)
        return checksum, sha256.hexdigest(), offset

    def _deliver(self, path: str, sha256: str, size_bytes: int) -> None:
        self.is_delivered = True
        self._context.counters.files_delivered += 1
        self._context.indications.append(
            FileReceived(self.transaction, path, self.name, self._metadata, size_bytes, sha256)
        )
        self._end()

    def _end(self) -> None:
        self._apply(DestEvent.ENDED)
        self._stop_timers()
        for directive in (Owed.NAK, Owed.FINISHED):
            self._owed.pop(directive, None)
        self._tries = 0
        self._owe(Owed.FINISHED)

    def _checkpoint(self, now_ns: int) -> None:
        """Bytes first, then the record that vouches for them (M6)."""
        self._unsaved_bytes = 0
        try:
            if len(self._ranges):
                self._context.filestore.sync(self.part)
        except FilestoreError as error:
            self._fault(Condition.FILESTORE_REJECTION, now_ns, str(error))
            return
        self.save()

    def _schedule_nak(self, now_ns: int) -> None:
        self._is_nak_delayed = True
        self._start(self._nak_timer, now_ns, self._context.config.reorder_window_ns)

    def _start_nak_timer(self, now_ns: int) -> None:
        self._is_nak_delayed = False
        config = self._context.config
        self._start(self._nak_timer, now_ns, config.nak_timeout_ns + self._context.margin_ns)

    def next_directive(self, now_ns: int, max_pdu_bytes: int) -> bytes | None:
        """Return the next owed directive, packed."""
        while (owed := self._sendable()) is not None:
            if owed is Owed.NAK:
                pdu = self._next_nak(now_ns, max_pdu_bytes)
                if pdu is not None:
                    return pdu
                continue
            del self._owed[owed]
            if owed is Owed.ACK_EOF:
                return encode_ack(
                    self.route,
                    is_of_eof=True,
                    condition=Condition.NO_ERROR,
                    is_terminated=self.state not in _OPEN,
                )
            self._count_try(now_ns)
            return encode_finished(self.route, self._condition, is_complete=self.is_delivered)
        return None

    def _next_nak(self, now_ns: int, max_pdu_bytes: int) -> bytes | None:
        """Return the next PDU of the NAK sequence; None when nothing (more) is missing."""
        scope_end = self._ranges.end if self._size_bytes is None else self._size_bytes
        limit = nak_requests_per_pdu(self.route, max_pdu_bytes)
        scope_start = self._nak_cursor
        requests: list[tuple[int, int]] = []
        if scope_start == 0 and not self._has_metadata:
            requests.append((0, 0))
        is_last = True
        for gap in self._ranges.gaps(scope_start, scope_end):
            if len(requests) >= limit:
                is_last = False
                break
            requests.append(gap)
        if is_last:
            del self._owed[Owed.NAK]
            self._nak_cursor = 0
            self._nak_tries += 1
            self._nak_sent_ns = now_ns
            if self.state is DestState.AWAIT_DATA:
                self._start_nak_timer(now_ns)
            pdu_scope_end = scope_end
        else:
            pdu_scope_end = self._nak_cursor = requests[-1][1]
        if not requests:
            return None
        pdu = encode_nak(self.route, scope_start, pdu_scope_end, requests)
        self._context.counters.naks_sent += 1
        self._context.counters.nak_bytes_sent += len(pdu)
        return pdu

    def tick(self, now_ns: int) -> None:
        """Send a NAK that waited, repeat what was not answered, report silence."""
        if self._nak_timer.is_expired(now_ns):
            self._nak_timer.stop()
            if self.state in _OPEN:
                self._on_nak_timer(now_ns)
        if self._ack_timer.is_expired(now_ns):
            self._ack_timer.stop()
            if self._is_try_limit_reached():
                self._tries = 0
                self._fault(Condition.POSITIVE_ACK_LIMIT, now_ns)
            if self.state is DestState.FINISHED:
                self._owe(Owed.FINISHED)
        if self._inactivity_timer.is_expired(now_ns):
            self._check_inactivity(now_ns)

    def _on_nak_timer(self, now_ns: int) -> None:
        # A peer that speaks of other transactions is not gone: it has more urgent files.
        is_silent = self._context.peer_heard_ns <= self._nak_sent_ns
        if not self._is_nak_delayed and is_silent:
            if self._nak_tries >= self._context.config.nak_limit:
                self._nak_tries = 0
                self._fault(Condition.NAK_LIMIT, now_ns)
                if self.state not in _OPEN:
                    return
        else:
            self._nak_tries = 0
        self._nak_cursor = 0
        self._owe(Owed.NAK)

    def _check_inactivity(self, now_ns: int) -> None:
        inactivity_ns = self._context.config.inactivity_ns
        self._inactivity_timer.stop()
        if self.state not in _OPEN:
            return
        silent_ns = now_ns - max(self._heard_ns, self._context.peer_heard_ns)
        if silent_ns >= inactivity_ns:
            self._heard_ns = now_ns
            silent_ns = 0
            self._fault(Condition.INACTIVITY, now_ns)
        if self.state in _OPEN:
            self._start(self._inactivity_timer, now_ns, inactivity_ns - silent_ns)

    def cancel(self, condition: Condition, now_ns: int) -> None:
        """Discard the file and tell the source why."""
        if self.state not in _OPEN:
            return
        self.is_suspended = False
        self._discard(condition)
        self._end()
        self.save()

    def abandon(self, condition: Condition) -> None:
        """End without a word."""
        was_open = self.state in _OPEN
        if self._apply(DestEvent.ABANDON):
            if was_open:
                self._discard(condition)
            self._close()

    def _discard(self, condition: Condition) -> None:
        self._condition = condition
        self._ranges = RangeMap()
        self._context.counters.transfers_failed += 1
        self._context.indications.append(
            TransferFinished(self.transaction, self.name, False, condition)
        )
        try:
            self._context.filestore.remove(self.part)
        except FilestoreError:
            self._context.counters.faults["part_not_removed"] += 1

    def _on_thaw(self, now_ns: int) -> None:
        if self.state is DestState.FINISHED:
            self._owe(Owed.FINISHED)
        elif self.state in _OPEN:
            self._check_complete(now_ns)
            self._nak_cursor = 0
            if self.state in _OPEN:
                self._owe(Owed.NAK)
                if not self._inactivity_timer.is_set:
                    self._start(
                        self._inactivity_timer, now_ns, self._context.config.inactivity_ns
                    )

    def _apply(self, event: DestEvent) -> bool:
        state = DEST_TABLE.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def _close(self) -> None:
        self._stop_timers()
        self._owed.clear()
