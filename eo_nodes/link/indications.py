"""What a link endpoint tells its user: frozen values, in the order in which they happened.

Indications that hand over responsibility (``FileReceived``, ``TransferFinished``) are repeated
after a restart until the peer knows that they were taken (M2): a user must recognise a repeat by
its transaction. Within one run each is given once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class TransactionId(NamedTuple):
    """(source entity, sequence number): the name of a transaction on both sides (M1)."""

    source_id: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.source_id}:{self.sequence}"


class Condition(str, Enum):
    """Why a transaction faulted or ended; CCSDS 727.0-B-5 table 5-5, with our two additions."""

    NO_ERROR = "no_error"
    POSITIVE_ACK_LIMIT = "positive_ack_limit_reached"
    KEEP_ALIVE_LIMIT = "keep_alive_limit_reached"
    INVALID_TRANSMISSION_MODE = "invalid_transmission_mode"
    FILESTORE_REJECTION = "filestore_rejection"
    FILE_CHECKSUM_FAILURE = "file_checksum_failure"
    FILE_SIZE_ERROR = "file_size_error"
    NAK_LIMIT = "nak_limit_reached"
    INACTIVITY = "inactivity_detected"
    CHECK_LIMIT = "check_limit_reached"
    UNSUPPORTED_CHECKSUM = "unsupported_checksum_type"
    SUSPEND_REQUEST = "suspend_request_received"
    CANCEL_REQUEST = "cancel_request_received"


class FaultHandler(str, Enum):
    """What is done at a fault; CCSDS 727.0-B-5 section 4.8."""

    CANCEL = "cancel"
    SUSPEND = "suspend"
    IGNORE = "ignore"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True)
class FileReceived:
    """A whole, checked file lies under its final name (M3).

    Attributes:
        transaction: who sent it and under which number.
        path: where it lies, under the receive root.
        name: the name that the sender gave, relative to the receive root.
        metadata: what the sender gave with it, 0..768 bytes.
        size_bytes: file size, >= 0.
        sha256: hex digest of the bytes on disk.
    """

    transaction: TransactionId
    path: str
    name: str
    metadata: bytes
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TransferFinished:
    """A transfer that we sent (or received, when cancelled) has ended.

    Attributes:
        transaction: which.
        name: name given at put, or by the sender; empty when never learnt.
        is_complete: True only after the receiver's Finished(complete) (M8).
        condition: NO_ERROR, or why it is not complete.
    """

    transaction: TransactionId
    name: str
    is_complete: bool
    condition: Condition


@dataclass(frozen=True, slots=True)
class TransferFault:
    """A limit was reached or an operation failed, and what was done about it (M4)."""

    transaction: TransactionId
    condition: Condition
    handler: FaultHandler
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PacketReceived:
    """A best-effort space packet.

    Attributes:
        apid: 0..2047.
        data: packet data field, >= 1 byte.
        seq: 14-bit sequence count of this APID.
    """

    apid: int
    data: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class FrameRejected:
    """Bytes were refused at some layer and counted (M10).

    Attributes:
        layer: ``frame``, ``packet`` or ``pdu``.
        reason: stable lower-case name.
    """

    layer: str
    reason: str


Indication = FileReceived | TransferFinished | TransferFault | PacketReceived | FrameRejected


@dataclass(frozen=True, slots=True)
class TransferStatus:
    """One row of the transfer queue.

    Attributes:
        is_outgoing: True when this endpoint is the source.
        progress_bytes: sent once (source) or held (destination), 0..size_bytes.
        size_bytes: None while the destination does not know it.
        state: lower-case name of the machine's state.
        priority_key: order key, smaller goes first; empty at a destination.
        since_ns: when it was put, or opened by the first PDU that came.
    """

    transaction: TransactionId
    is_outgoing: bool
    name: str
    progress_bytes: int
    size_bytes: int | None
    state: str
    is_suspended: bool
    priority_key: tuple[int | float | str, ...]
    since_ns: int
