"""CFDP PDUs as values of ours; the octets are those of ``spacepackets`` (CCSDS 727.0-B-5 ch. 5).

Decoding is total: any bytes give a PDU or a ``PduError`` (M10). The library's factory returns None
and raises ValueError, IndexError, struct.error and others; all of them end here. Two of its fields
are not used: ``EofPdu.condition_code`` comes unshifted, and ``NakPdu`` writes into the
configuration that it is given, so each PDU gets a configuration of its own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from spacepackets.cfdp import (
    ChecksumType,
    ConditionCode,
    CrcFlag,
    DirectiveType,
    LargeFileFlag,
    PduConfig,
    TransmissionMode,
)
from spacepackets.cfdp.defs import (
    DeliveryCode,
    Direction,
    FileStatus,
    InvalidCrcError,
    PduType,
    SegmentMetadataFlag,
    UnsupportedCfdpVersionError,
)
from spacepackets.cfdp.pdu import (
    AckPdu,
    EofPdu,
    FinishedPdu,
    KeepAlivePdu,
    MetadataPdu,
    NakPdu,
    PduFactory,
    PromptPdu,
    TransactionStatus,
)
from spacepackets.cfdp.pdu.file_data import FileDataPdu
from spacepackets.cfdp.pdu.finished import FinishedParams
from spacepackets.cfdp.pdu.header import AbstractPduBase, PduHeader
from spacepackets.cfdp.pdu.metadata import MetadataParams
from spacepackets.cfdp.pdu.prompt import ResponseRequired
from spacepackets.cfdp.tlv import MessageToUserTlv, TlvList
from spacepackets.cfdp.tlv.defs import TlvType
from spacepackets.util import UnsignedByteField

from eo_nodes.link.errors import PduError
from eo_nodes.link.indications import Condition, TransactionId

SEQUENCE_BYTES: Final = 4
MAX_METADATA_BYTES: Final = 768
MAX_NAME_BYTES: Final = 128
# First octet of our messages to user, so that none reads as a reserved CFDP message ("cfdp").
_MESSAGE_MARK: Final = b"\x01"
_MESSAGE_BYTES: Final = 254

WIRE_CONDITION: Final = {
    Condition.NO_ERROR: ConditionCode.NO_ERROR,
    Condition.POSITIVE_ACK_LIMIT: ConditionCode.POSITIVE_ACK_LIMIT_REACHED,
    Condition.KEEP_ALIVE_LIMIT: ConditionCode.KEEP_ALIVE_LIMIT_REACHED,
    Condition.INVALID_TRANSMISSION_MODE: ConditionCode.INVALID_TRANSMISSION_MODE,
    Condition.FILESTORE_REJECTION: ConditionCode.FILESTORE_REJECTION,
    Condition.FILE_CHECKSUM_FAILURE: ConditionCode.FILE_CHECKSUM_FAILURE,
    Condition.FILE_SIZE_ERROR: ConditionCode.FILE_SIZE_ERROR,
    Condition.NAK_LIMIT: ConditionCode.NAK_LIMIT_REACHED,
    Condition.INACTIVITY: ConditionCode.INACTIVITY_DETECTED,
    Condition.CHECK_LIMIT: ConditionCode.CHECK_LIMIT_REACHED,
    Condition.UNSUPPORTED_CHECKSUM: ConditionCode.UNSUPPORTED_CHECKSUM_TYPE,
    Condition.SUSPEND_REQUEST: ConditionCode.SUSPEND_REQUEST_RECEIVED,
    Condition.CANCEL_REQUEST: ConditionCode.CANCEL_REQUEST_RECEIVED,
}
CONDITION_OF_WIRE: Final = {int(code): condition for condition, code in WIRE_CONDITION.items()}


@dataclass(frozen=True, slots=True)
class Route:
    """What every PDU of one transaction shares.

    Attributes:
        destination_id: entity that receives the file.
        id_bytes: width of entity ids on the wire, 1 or 2 (received: also 4, 8).
        is_large: 64-bit offsets.
    """

    transaction: TransactionId
    destination_id: int
    id_bytes: int = 1
    is_large: bool = False
    sequence_bytes: int = SEQUENCE_BYTES

    def pdu_config(self) -> PduConfig:
        """Return a fresh configuration for ``spacepackets``."""
        source_id, sequence = self.transaction
        return PduConfig(
            source_entity_id=UnsignedByteField(source_id, self.id_bytes),
            dest_entity_id=UnsignedByteField(self.destination_id, self.id_bytes),
            transaction_seq_num=UnsignedByteField(sequence, self.sequence_bytes),
            trans_mode=TransmissionMode.ACKNOWLEDGED,
            file_flag=LargeFileFlag.LARGE if self.is_large else LargeFileFlag.NORMAL,
            crc_flag=CrcFlag.NO_CRC,  # the frame's CRC-32 covers the PDU
        )


@dataclass(frozen=True, slots=True)
class FileData:
    route: Route
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Metadata:
    route: Route
    size_bytes: int
    name: str
    is_checksum_supported: bool
    metadata: bytes


@dataclass(frozen=True, slots=True)
class Eof:
    route: Route
    condition: Condition
    checksum: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Finished:
    route: Route
    condition: Condition
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Ack:
    """Acknowledges an EOF (``is_of_eof``) or a Finished."""

    route: Route
    is_of_eof: bool
    condition: Condition
    is_terminated: bool


@dataclass(frozen=True, slots=True)
class Nak:
    """Asks for [start, end) ranges; (0, 0) asks for the metadata."""

    route: Route
    scope_start: int
    scope_end: int
    requests: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    route: Route
    is_nak: bool


@dataclass(frozen=True, slots=True)
class KeepAlive:
    route: Route
    progress_bytes: int


Pdu = FileData | Metadata | Eof | Finished | Ack | Nak | Prompt | KeepAlive
TOWARDS_SOURCE = (Finished, Nak, KeepAlive)


def encode_metadata(route: Route, size_bytes: int, name: str, metadata: bytes) -> bytes:
    """Return the Metadata PDU; ``metadata`` travels in messages to user of 254 octets."""
    options: TlvList = [
        MessageToUserTlv(_MESSAGE_MARK + metadata[i : i + _MESSAGE_BYTES])
        for i in range(0, len(metadata), _MESSAGE_BYTES)
    ]
    params = MetadataParams(False, ChecksumType.CRC_32, size_bytes, name, name)
    return bytes(MetadataPdu(route.pdu_config(), params, options or None).pack())


def encode_eof(route: Route, condition: Condition, checksum: int, size_bytes: int) -> bytes:
    """Return the EOF PDU, without fault location (it is always the sender)."""
    return bytes(
        EofPdu(
            route.pdu_config(), checksum, size_bytes, condition_code=WIRE_CONDITION[condition]
        ).pack()
    )


def encode_finished(route: Route, condition: Condition, *, is_complete: bool) -> bytes:
    """Return the Finished PDU; an incomplete file was discarded."""
    status = FileStatus.FILE_RETAINED
    if not is_complete:
        rejected = condition is Condition.FILESTORE_REJECTION
        status = (
            FileStatus.DISCARDED_FILESTORE_REJECTION
            if rejected
            else FileStatus.DISCARDED_DELIBERATELY
        )
    params = FinishedParams(
        condition_code=WIRE_CONDITION[condition],
        delivery_code=DeliveryCode.DATA_COMPLETE if is_complete else DeliveryCode.DATA_INCOMPLETE,
        file_status=status,
        file_store_responses=[],
    )
    return bytes(FinishedPdu(route.pdu_config(), params).pack())


def encode_ack(
    route: Route, *, is_of_eof: bool, condition: Condition, is_terminated: bool
) -> bytes:
    """Return the ACK PDU of an EOF or a Finished."""
    return bytes(
        AckPdu(
            route.pdu_config(),
            DirectiveType.EOF_PDU if is_of_eof else DirectiveType.FINISHED_PDU,
            WIRE_CONDITION[condition],
            TransactionStatus.TERMINATED if is_terminated else TransactionStatus.ACTIVE,
        ).pack()
    )


def encode_nak(
    route: Route, scope_start: int, scope_end: int, requests: list[tuple[int, int]]
) -> bytes:
    """Return one NAK PDU."""
    return bytes(NakPdu(route.pdu_config(), scope_start, scope_end, requests).pack())


def encode_prompt(route: Route) -> bytes:
    """Return Prompt(NAK): the source has sent all it was asked for."""
    return bytes(PromptPdu(route.pdu_config(), ResponseRequired.NAK).pack())


def nak_requests_per_pdu(route: Route, max_pdu_bytes: int) -> int:
    """Return how many ranges one NAK PDU of that size carries."""
    fss_bytes = 8 if route.is_large else 4
    header_bytes = 4 + 2 * route.id_bytes + route.sequence_bytes + 1
    return (max_pdu_bytes - header_bytes - 2 * fss_bytes) // (2 * fss_bytes)


class FileDataEncoder:
    """File Data PDUs of one transaction: header packed once, length and offset per segment."""

    __slots__ = ("_head", "_offset", "_rest", "overhead_bytes")

    def __init__(self, route: Route) -> None:
        config = route.pdu_config()
        config.direction = Direction.TOWARDS_RECEIVER
        no_metadata = SegmentMetadataFlag.NOT_PRESENT
        header = bytes(PduHeader(PduType.FILE_DATA, no_metadata, 0, config).pack())
        self._head, self._rest = header[:1], header[3:]
        self._offset = struct.Struct(">Q" if route.is_large else ">I")
        self.overhead_bytes = len(header) + self._offset.size

    def encode(self, offset: int, data: bytes) -> bytes:
        """Return one File Data PDU; ``data`` is not empty."""
        length = self._offset.size + len(data)
        return b"".join(
            (self._head, length.to_bytes(2, "big"), self._rest, self._offset.pack(offset), data)
        )

    @property
    def header_key(self) -> bytes:
        """The header without its length: equal for all file data of one transaction."""
        return self._head + self._rest


def decode_pdu(raw: bytes) -> Pdu:
    """Decode one PDU that fills ``raw``.

    Raises:
        PduError: ``length``, ``class_1``, ``malformed``, ``unsupported`` or ``condition``.
    """
    try:
        header = PduHeader.unpack(raw)
        if header.packet_len != len(raw):
            raise PduError("length")
        if header.transmission_mode != TransmissionMode.ACKNOWLEDGED:
            raise PduError("class_1")
        pdu = PduFactory.from_raw(raw)
        if pdu is None:
            raise PduError("unsupported")
        return _value_of(pdu, header, raw)
    # IndexError and struct.error: fields cut short. AttributeError, TypeError: seen on odd TLVs.
    except (
        ValueError,
        IndexError,
        KeyError,
        AttributeError,
        TypeError,
        struct.error,
        InvalidCrcError,
        UnsupportedCfdpVersionError,
    ) as error:
        raise PduError("malformed") from error


def _value_of(pdu: AbstractPduBase, header: PduHeader, raw: bytes) -> Pdu:
    route = Route(
        TransactionId(header.source_entity_id.value, header.transaction_seq_num.value),
        header.dest_entity_id.value,
        header.source_entity_id.byte_len,
        bool(header.large_file_flag_set),
        header.transaction_seq_num.byte_len,
    )
    if isinstance(pdu, FileDataPdu):
        return FileData(route, pdu.offset, bytes(pdu.file_data))
    if isinstance(pdu, MetadataPdu):
        return _metadata_of(pdu, route)
    if isinstance(pdu, EofPdu):
        condition = _condition(raw[pdu.pdu_file_directive.header_len] >> 4)
        return Eof(route, condition, int.from_bytes(pdu.file_checksum, "big"), pdu.file_size)
    if isinstance(pdu, FinishedPdu):
        is_complete = pdu.delivery_code == DeliveryCode.DATA_COMPLETE
        return Finished(route, _condition(int(pdu.condition_code)), is_complete)
    if isinstance(pdu, AckPdu):
        if pdu.directive_code_of_acked_pdu not in (
            DirectiveType.EOF_PDU,
            DirectiveType.FINISHED_PDU,
        ):
            raise PduError("malformed")
        return Ack(
            route,
            pdu.directive_code_of_acked_pdu == DirectiveType.EOF_PDU,
            _condition(int(pdu.condition_code_of_acked_pdu)),
            int(pdu.transaction_status) != TransactionStatus.ACTIVE,
        )
    if isinstance(pdu, NakPdu):
        return Nak(route, pdu.start_of_scope, pdu.end_of_scope, tuple(pdu.segment_requests))
    if isinstance(pdu, PromptPdu):
        return Prompt(route, pdu.response_required == ResponseRequired.NAK)
    if isinstance(pdu, KeepAlivePdu):
        return KeepAlive(route, pdu.progress)
    raise PduError("unsupported")


def _metadata_of(pdu: MetadataPdu, route: Route) -> Metadata:
    messages = b"".join(
        bytes(option.value[1:])
        for option in pdu.options or ()
        if option.tlv_type == TlvType.MESSAGE_TO_USER and option.value[:1] == _MESSAGE_MARK
    )
    return Metadata(
        route,
        pdu.file_size,
        pdu.dest_file_name or "",
        pdu.checksum_type == ChecksumType.CRC_32,
        messages,
    )


def _condition(code: int) -> Condition:
    condition = CONDITION_OF_WIRE.get(code)
    if condition is None:
        raise PduError("condition")
    return condition
