"""CFDP entity: many transactions in both directions over one link. No I/O.

Every PDU goes to the machine named by (source entity, sequence number) and to no other (M1). What
has ended is remembered as merged ranges of sequence numbers, so an entity knows all it ever
received in a few octets: a late or replayed PDU cannot rebuild a file, and a repeated EOF is still
acknowledged, with the Finished that its sender may have missed (M2).
"""

from __future__ import annotations

import zlib
from bisect import insort
from typing import TYPE_CHECKING, Final, cast

from eo_nodes.link.cfdp.dest import CfdpDest
from eo_nodes.link.cfdp.names import name_fault
from eo_nodes.link.cfdp.pdus import (
    MAX_METADATA_BYTES,
    Ack,
    Eof,
    FileData,
    FileDataEncoder,
    Finished,
    KeepAlive,
    Metadata,
    Nak,
    Pdu,
    Prompt,
    Route,
    decode_pdu,
    encode_ack,
    encode_finished,
)
from eo_nodes.link.cfdp.ranges import RangeMap
from eo_nodes.link.cfdp.source import CfdpSource, OrderKey, PriorityKey, order_key
from eo_nodes.link.cfdp.transaction import Context, Transaction
from eo_nodes.link.errors import PduError, PutRefusedError, UnknownTransactionError
from eo_nodes.link.indications import Condition, Indication, TransactionId, TransferStatus

if TYPE_CHECKING:
    from eo_nodes.link.config import CfdpConfig
    from eo_nodes.link.counters import LinkCounters
    from eo_nodes.link.ports import Filestore, Record, TransferStore

_SLICE_BYTES: Final = 65_536
_MAX_REPLIES: Final = 1024
_FILE_DATA_OCTET: Final = 0x30  # version 1, file data, towards receiver, class 2, no CRC, 32 bit


class CfdpEntity:
    """Both roles of one end of one link."""

    def __init__(
        self,
        *,
        local_id: int,
        remote_id: int,
        receive_root: str,
        config: CfdpConfig,
        filestore: Filestore,
        store: TransferStore,
        counters: LinkCounters,
    ) -> None:
        self._local_id = local_id
        self._remote_id = remote_id
        self._id_bytes = 1 if max(local_id, remote_id) < 1 << 8 else 2
        self._context = Context(config, filestore, store, counters, receive_root)
        self._sources: dict[int, CfdpSource] = {}
        self._dests: dict[int, CfdpDest] = {}
        self._order: list[tuple[OrderKey, CfdpSource]] = []
        self._current: CfdpSource | None = None
        self._by_header: dict[bytes, CfdpDest] = {}
        self._replies: dict[bytes, None] = {}
        self._closed_complete = RangeMap()
        self._closed_failed = RangeMap()
        # Position of the offset in file data whose header is the usual one.
        self._data_start = 4 + 2 * self._id_bytes + 4
        self._load()

    @property
    def _closed_key(self) -> str:
        return f"closed:{self._remote_id}"

    def _load(self) -> None:
        records = self._context.store.load_all()
        closed = records.get(self._closed_key, {})
        try:
            self._closed_complete = RangeMap(
                cast("list[tuple[int, int]]", closed.get("complete", []))
            )
            self._closed_failed = RangeMap(cast("list[tuple[int, int]]", closed.get("failed", [])))
        except (TypeError, ValueError):
            self._context.counters.faults["transfer_record"] += 1
        for key in sorted(records):
            self._load_record(key, records[key])

    def _load_record(self, key: str, record: Record) -> None:
        try:
            if key.startswith("src:"):
                self._load_source(record)
            elif key.startswith("dst:"):
                self._load_dest(key, record)
        except (KeyError, TypeError, ValueError):
            # A damaged record costs its own transaction only.
            self._context.counters.faults["transfer_record"] += 1

    def _load_source(self, record: Record) -> None:
        transaction = TransactionId(
            int(cast("int", record["source"])), int(cast("int", record["sequence"]))
        )
        route = Route(transaction, int(cast("int", record["destination"])), self._id_bytes)
        if transaction.source_id == self._local_id and route.destination_id == self._remote_id:
            self._add_source(CfdpSource.from_record(self._context, route, record))

    def _load_dest(self, key: str, record: Record) -> None:
        transaction = TransactionId(
            int(cast("int", record["source"])), int(cast("int", record["sequence"]))
        )
        if transaction.source_id != self._remote_id:
            return
        if self._is_closed(transaction.sequence):  # killed between the two writes of closing
            self._context.delete(key)
            return
        route = Route(
            transaction,
            self._local_id,
            int(cast("int", record["id_bytes"])),
            bool(record["is_large"]),
            int(cast("int", record["sequence_bytes"])),
        )
        self._add_dest(CfdpDest.from_record(self._context, route, record))

    def put(
        self, *, path: str, name: str, priority_key: PriorityKey, metadata: bytes, now_ns: int
    ) -> TransactionId:
        """Queue a complete file; durable when this returns.

        Raises:
            PutRefusedError: see its reasons.  StorageError: it could not be made durable.
        """
        context = self._context
        reason = self._put_fault(path, name, metadata)
        if reason is not None:
            context.counters.puts_refused += 1
            raise PutRefusedError(reason, name)
        size_bytes = context.filestore.size_bytes(path)
        checksum = 0
        for offset in range(0, size_bytes, _SLICE_BYTES):
            checksum = zlib.crc32(context.filestore.read(path, offset, _SLICE_BYTES), checksum)
        sequence = context.store.next_sequence()
        source = CfdpSource(
            context,
            Route(TransactionId(self._local_id, sequence), self._remote_id, self._id_bytes),
            path=path,
            name=name,
            size_bytes=size_bytes,
            checksum=checksum,
            metadata=metadata,
            priority_key=priority_key,
            since_ns=now_ns,
        )
        context.store.save(source.key, source.to_record())
        self._add_source(source)
        context.counters.puts += 1
        return source.transaction

    def _put_fault(self, path: str, name: str, metadata: bytes) -> str | None:
        config, filestore = self._context.config, self._context.filestore
        if len(self._sources) >= config.max_queue:
            return "queue_full"
        if name_fault(name) is not None:
            return "name"
        if len(metadata) > MAX_METADATA_BYTES:
            return "metadata_too_large"
        if not filestore.is_complete(path):
            return "file_incomplete"
        if filestore.size_bytes(path) >= min(config.max_file_bytes, 1 << 32):
            return "file_too_large"
        return None

    def reprioritise(self, transaction: TransactionId, priority_key: PriorityKey) -> None:
        """Give a queued or running transfer another place in the order."""
        source = self._sources.get(transaction.sequence)
        if source is None or transaction.source_id != self._local_id:
            raise UnknownTransactionError(str(transaction))
        source.priority_key = priority_key
        source.save()
        self._order = sorted(
            ((order_key(s.priority_key, n), s) for n, s in self._sources.items()),
            key=lambda entry: entry[0],
        )
        self._context.is_order_stale = True

    def transaction(self, transaction: TransactionId) -> Transaction:
        """Return an open machine.

        Raises:
            UnknownTransactionError: not open here.
        """
        table: dict[int, CfdpSource] | dict[int, CfdpDest] = (
            self._sources if transaction.source_id == self._local_id else self._dests
        )
        found = table.get(transaction.sequence)
        if found is None or found.transaction != transaction:
            raise UnknownTransactionError(str(transaction))
        return found

    def cancel(self, transaction: TransactionId, now_ns: int) -> None:
        """End a transaction of either direction and tell the peer."""
        machine = self.transaction(transaction)
        machine.cancel(Condition.CANCEL_REQUEST, now_ns)
        self._reap(machine)

    def queue(self) -> list[TransferStatus]:
        """Return every open transaction: ours in sending order, then the incoming ones."""
        ours = [source.status for _, source in self._order]
        return ours + [dest.status for dest in self._dests.values()]

    def take_indications(self) -> list[Indication]:
        """Hand over what happened since the last call."""
        taken, self._context.indications = self._context.indications, []
        return taken

    def on_aos(self, now_ns: int, margin_ns: int) -> None:
        """The peer is visible: thaw."""
        context = self._context
        context.margin_ns = margin_ns
        if context.is_visible:
            return
        context.is_visible = True
        context.is_order_stale = True
        for machine in self._machines():
            machine.thaw(now_ns)

    def on_los(self, now_ns: int) -> None:
        """The peer is out of sight: no timer runs (M5)."""
        if self._context.is_visible:
            self._context.is_visible = False
            self._context.wake_ns = None
            for machine in self._machines():
                machine.freeze(now_ns)

    def next_wake_ns(self) -> int | None:
        """Return the earliest time at which a timer may be due; None when none runs."""
        return self._context.wake_ns

    def tick(self, now_ns: int) -> None:
        """Let due timers act."""
        context = self._context
        if context.wake_ns is None or now_ns < context.wake_ns or not context.is_visible:
            return
        context.wake_ns = None
        for machine in self._machines():
            machine.tick(now_ns)
            self._reap(machine)
            deadline_ns = machine.next_deadline_ns()
            if deadline_ns is not None:
                context.note_wake(deadline_ns)

    def _machines(self) -> list[Transaction]:
        return [*self._sources.values(), *self._dests.values()]

    def has_output(self) -> bool:
        """True when something would be sent if the peer is visible."""
        return bool(self._replies or self._context.owing) or self._pick() is not None

    def next_directive(self, now_ns: int, max_pdu_bytes: int) -> bytes | None:
        """Return the next directive PDU; every one of them goes before file data."""
        if self._replies:
            reply = next(iter(self._replies))
            del self._replies[reply]
            return reply
        owing = self._context.owing
        while owing:
            machine = next(iter(owing))
            pdu = machine.next_directive(now_ns, max_pdu_bytes)
            if pdu is None:
                owing.pop(machine, None)
                continue
            self._reap(machine)
            return pdu
        return None

    def next_file_data(self, now_ns: int, max_pdu_bytes: int) -> bytes | None:
        """Return the next PDU of the most urgent file that has something to send."""
        while (source := self._pick()) is not None:
            pdu = source.next_file_data(now_ns, max_pdu_bytes)
            self._reap(source)
            if pdu is not None:
                return pdu
        return None

    def _pick(self) -> CfdpSource | None:
        current = self._current
        if not self._context.is_order_stale and current is not None and current.wants_data():
            return current
        self._context.is_order_stale = False
        self._current = next((s for _, s in self._order if s.wants_data()), None)
        return self._current

    def receive(self, raw: memoryview, now_ns: int) -> None:
        """Take one PDU.

        Raises:
            PduError: the octets are no PDU for this entity; nothing changed.
        """
        context = self._context
        if raw and raw[0] == _FILE_DATA_OCTET:
            start = self._data_start
            dest = self._by_header.get(bytes(raw[:1]) + bytes(raw[3:start]))
            # The rest of the usual header was compared whole; only length and offset are read.
            if dest is not None and int.from_bytes(raw[1:3], "big") == len(raw) - start > 4:
                self._count_pdu(now_ns)
                offset = int.from_bytes(raw[start : start + 4], "big")
                dest.receive_data(offset, raw[start + 4 :], now_ns)
                if context.indications:
                    self._reap(dest)
                return
        self._dispatch(decode_pdu(bytes(raw)), now_ns)

    def _count_pdu(self, now_ns: int) -> None:
        context = self._context
        context.peer_heard_ns = now_ns
        context.counters.pdus_received += 1
        if not context.is_visible:
            context.counters.hidden_pdus += 1

    def _dispatch(self, pdu: Pdu, now_ns: int) -> None:
        source_id, sequence = pdu.route.transaction
        is_for_source = isinstance(pdu, Finished | Nak | KeepAlive) or (
            isinstance(pdu, Ack) and pdu.is_of_eof
        )
        ends = (source_id, pdu.route.destination_id)
        expected = (self._local_id, self._remote_id)
        if ends != (expected if is_for_source else expected[::-1]):
            raise PduError("unknown_entity")
        self._count_pdu(now_ns)
        if isinstance(pdu, Finished | Nak | KeepAlive) or (
            isinstance(pdu, Ack) and pdu.is_of_eof
        ):
            self._dispatch_to_source(pdu, sequence, now_ns)
        else:
            self._dispatch_to_dest(pdu, sequence, now_ns)

    def _dispatch_to_source(
        self, pdu: Finished | Nak | Ack | KeepAlive, sequence: int, now_ns: int
    ) -> None:
        source = self._sources.get(sequence)
        if source is not None:
            source.receive(pdu, now_ns)
            self._reap(source)
        elif isinstance(pdu, Finished):
            # We have closed it; the destination has not heard so.
            self._reply(
                encode_ack(
                    pdu.route, is_of_eof=False, condition=pdu.condition, is_terminated=True
                )
            )

    def _dispatch_to_dest(
        self, pdu: FileData | Metadata | Eof | Ack | Prompt, sequence: int, now_ns: int
    ) -> None:
        if isinstance(pdu, Eof) and pdu.condition is not Condition.NO_ERROR:
            self._reply(
                encode_ack(
                    pdu.route, is_of_eof=True, condition=pdu.condition, is_terminated=True
                )
            )
        if self._is_closed(sequence):
            self._receive_for_closed(pdu, sequence)
            return
        dest = self._dests.get(sequence)
        if dest is None:
            dest = self._open(pdu, sequence, now_ns)
            if dest is None:
                return
        if isinstance(pdu, FileData):
            dest.receive_data(pdu.offset, pdu.data, now_ns)
        else:
            dest.receive(pdu, now_ns)
        self._reap(dest)

    def _open(
        self, pdu: FileData | Metadata | Eof | Ack | Prompt, sequence: int, now_ns: int
    ) -> CfdpDest | None:
        """Open a machine for a transaction seen for the first time; None when none is needed."""
        if isinstance(pdu, Ack | Prompt):
            return None
        if isinstance(pdu, Eof) and pdu.condition is not Condition.NO_ERROR:
            self._remember_closed(sequence, is_complete=False)
            return None
        if len(self._dests) >= self._context.config.max_open_receive:
            self._context.counters.transactions_refused += 1
            return None
        dest = CfdpDest(self._context, pdu.route, now_ns)
        self._add_dest(dest)
        return dest

    def _receive_for_closed(
        self, pdu: FileData | Metadata | Eof | Ack | Prompt, sequence: int
    ) -> None:
        if isinstance(pdu, FileData):
            self._context.counters.file_bytes_duplicate += len(pdu.data)
        if not isinstance(pdu, Eof):
            return
        is_complete = sequence in self._closed_complete
        if pdu.condition is Condition.NO_ERROR:
            self._reply(
                encode_ack(
                    pdu.route, is_of_eof=True, condition=Condition.NO_ERROR, is_terminated=True
                )
            )
        condition = Condition.NO_ERROR if is_complete else Condition.CANCEL_REQUEST
        self._reply(encode_finished(pdu.route, condition, is_complete=is_complete))

    def _reply(self, pdu: bytes) -> None:
        if len(self._replies) < _MAX_REPLIES:
            self._replies[pdu] = None

    def _is_closed(self, sequence: int) -> bool:
        return sequence in self._closed_complete or sequence in self._closed_failed

    def _add_source(self, source: CfdpSource) -> None:
        sequence = source.transaction.sequence
        self._sources[sequence] = source
        insort(
            self._order,
            (order_key(source.priority_key, sequence), source),
            key=lambda entry: entry[0],
        )
        self._context.is_order_stale = True

    def _add_dest(self, dest: CfdpDest) -> None:
        self._dests[dest.transaction.sequence] = dest
        if dest.route.id_bytes == self._id_bytes and not dest.route.is_large:
            key = FileDataEncoder(dest.route).header_key
            if len(key) == self._data_start - 2:
                self._by_header[key] = dest

    def _reap(self, machine: Transaction) -> None:
        """Forget a machine that has ended; what it owes is nothing, its sequence is remembered."""
        if not machine.is_closed:
            return
        self._context.owing.pop(machine, None)
        sequence = machine.transaction.sequence
        if isinstance(machine, CfdpDest):
            if self._dests.pop(sequence, None) is None:
                return
            self._by_header.pop(FileDataEncoder(machine.route).header_key, None)
            self._remember_closed(sequence, is_complete=machine.is_delivered)
            self._context.delete(machine.key)
        elif self._sources.pop(sequence, None) is not None:
            self._order = [entry for entry in self._order if entry[1] is not machine]
            self._context.is_order_stale = True

    def _remember_closed(self, sequence: int, *, is_complete: bool) -> None:
        """Durable before the transfer's own record goes, so a kill in between changes nothing."""
        closed = self._closed_complete if is_complete else self._closed_failed
        closed.add(sequence, sequence + 1)
        self._context.save(
            self._closed_key,
            {
                "complete": [list(pair) for pair in self._closed_complete],
                "failed": [list(pair) for pair in self._closed_failed],
            },
        )
