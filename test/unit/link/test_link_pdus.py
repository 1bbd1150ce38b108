"""PDU octets against spacepackets, both ways, and rejects of bad ones."""

from __future__ import annotations

import pytest
from spacepackets.cfdp import (
    ChecksumType,
    ConditionCode,
    CrcFlag,
    DirectiveType,
    LargeFileFlag,
    PduConfig,
    TransmissionMode,
)
from spacepackets.cfdp.pdu import (
    AckPdu,
    EofPdu,
    FileDataPdu,
    FinishedPdu,
    KeepAlivePdu,
    MetadataPdu,
    NakPdu,
    PduFactory,
    PromptPdu,
    TransactionStatus,
)
from spacepackets.cfdp.pdu.file_data import FileDataParams
from spacepackets.cfdp.pdu.finished import FinishedParams
from spacepackets.cfdp.pdu.metadata import MetadataParams
from spacepackets.cfdp.pdu.prompt import ResponseRequired
from spacepackets.util import ByteFieldU8, ByteFieldU16, ByteFieldU32

from eo_nodes.link.cfdp.pdus import (
    WIRE_CONDITION,
    Ack,
    Eof,
    FileData,
    FileDataEncoder,
    Finished,
    KeepAlive,
    Metadata,
    Nak,
    Prompt,
    Route,
    decode_pdu,
    encode_ack,
    encode_eof,
    encode_finished,
    encode_metadata,
    encode_nak,
    encode_prompt,
    nak_requests_per_pdu,
)
from eo_nodes.link.errors import PduError
from eo_nodes.link.indications import Condition, TransactionId

ROUTES = {
    "small": Route(TransactionId(1, 0xDEADBEEF), 2),
    "wide": Route(TransactionId(300, 7), 301, id_bytes=2),
    "large": Route(TransactionId(1, 7), 2, is_large=True),
}


def config_of(route: Route) -> PduConfig:
    field = ByteFieldU8 if route.id_bytes == 1 else ByteFieldU16
    return PduConfig(
        source_entity_id=field(route.transaction.source_id),
        dest_entity_id=field(route.destination_id),
        transaction_seq_num=ByteFieldU32(route.transaction.sequence),
        trans_mode=TransmissionMode.ACKNOWLEDGED,
        file_flag=LargeFileFlag.LARGE if route.is_large else LargeFileFlag.NORMAL,
        crc_flag=CrcFlag.NO_CRC,
    )


@pytest.fixture(params=list(ROUTES))
def route(request) -> Route:
    return ROUTES[request.param]


def check(ours: bytes, theirs: object, value: object) -> None:
    """Our octets are theirs, we read theirs, they read ours."""
    assert ours == bytes(theirs.pack())
    assert decode_pdu(bytes(theirs.pack())) == value
    assert bytes(PduFactory.from_raw(ours).pack()) == ours


def test_file_data_octets(route):
    offset = (1 << 40) + 5 if route.is_large else 0xFFFFFFF0
    theirs = FileDataPdu(config_of(route), FileDataParams(b"segment", offset))
    ours = FileDataEncoder(route).encode(offset, b"segment")
    check(ours, theirs, FileData(route, offset, b"segment"))
    assert len(ours) == FileDataEncoder(route).overhead_bytes + 7


def test_metadata_octets(route):
    note = bytes(range(256)) * 3
    ours = encode_metadata(route, 123_456, "ä/b.bin", note)
    params = MetadataParams(False, ChecksumType.CRC_32, 123_456, "ä/b.bin", "ä/b.bin")
    options = MetadataPdu.unpack(ours).options
    assert [len(option.value) for option in options] == [255, 255, 255, 7]
    theirs = MetadataPdu(config_of(route), params, options)
    assert ours == bytes(theirs.pack())
    assert decode_pdu(ours) == Metadata(route, 123_456, "ä/b.bin", True, note)


def test_metadata_without_note_and_with_null_checksum(route):
    params = MetadataParams(False, ChecksumType.NULL_CHECKSUM, 9, "a", "b")
    raw = bytes(MetadataPdu(config_of(route), params).pack())
    assert decode_pdu(raw) == Metadata(route, 9, "b", False, b"")


@pytest.mark.parametrize("condition", list(Condition))
def test_eof_octets(route, condition):
    code = WIRE_CONDITION[condition]
    theirs = EofPdu(config_of(route), 0x01020304, 99, condition_code=code)
    ours = encode_eof(route, condition, 0x01020304, 99)
    assert ours == bytes(theirs.pack())
    assert decode_pdu(ours) == Eof(route, condition, 0x01020304, 99)


def test_finished_octets(route):
    theirs = FinishedPdu(config_of(route), FinishedParams.success_params())
    ours = encode_finished(route, Condition.NO_ERROR, is_complete=True)
    check(ours, theirs, Finished(route, Condition.NO_ERROR, True))
    refused = encode_finished(route, Condition.FILESTORE_REJECTION, is_complete=False)
    assert decode_pdu(refused) == Finished(route, Condition.FILESTORE_REJECTION, False)


@pytest.mark.parametrize("is_of_eof", [True, False])
@pytest.mark.parametrize("is_terminated", [True, False])
def test_ack_octets(route, is_of_eof, is_terminated):
    theirs = AckPdu(
        config_of(route),
        DirectiveType.EOF_PDU if is_of_eof else DirectiveType.FINISHED_PDU,
        ConditionCode.CANCEL_REQUEST_RECEIVED,
        TransactionStatus.TERMINATED if is_terminated else TransactionStatus.ACTIVE,
    )
    ours = encode_ack(
        route,
        is_of_eof=is_of_eof,
        condition=Condition.CANCEL_REQUEST,
        is_terminated=is_terminated,
    )
    check(ours, theirs, Ack(route, is_of_eof, Condition.CANCEL_REQUEST, is_terminated))


def test_nak_octets(route):
    requests = [(0, 0), (10, 20), (30, 0xFFFFFFFF)]
    ours = encode_nak(route, 0, 0xFFFFFFFF, requests)
    assert ours == bytes(NakPdu(config_of(route), 0, 0xFFFFFFFF, list(requests)).pack())
    assert decode_pdu(ours) == Nak(route, 0, 0xFFFFFFFF, tuple(requests))


def test_nak_limit_fills_the_pdu(route):
    count = nak_requests_per_pdu(route, 1096)
    full = encode_nak(route, 0, 9, [(i, i + 1) for i in range(count)])
    assert 1096 - 16 < len(full) <= 1096


def test_prompt_and_keep_alive_octets(route):
    theirs = PromptPdu(config_of(route), ResponseRequired.NAK)
    check(encode_prompt(route), theirs, Prompt(route, True))
    assert decode_pdu(bytes(KeepAlivePdu(config_of(route), 77).pack())) == KeepAlive(route, 77)


def test_pdu_with_crc_is_read_and_checked(route):
    config = config_of(route)
    config.crc_flag = CrcFlag.WITH_CRC
    raw = bytearray(EofPdu(config, 1, 2).pack())
    assert decode_pdu(bytes(raw)) == Eof(route, Condition.NO_ERROR, 1, 2)
    raw[-3] ^= 1
    with pytest.raises(PduError, match="malformed"):
        decode_pdu(bytes(raw))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "malformed"),
        (bytes(3), "malformed"),
        (bytes.fromhex("3000063301000000070200000000 61") + b"trailing", "length"),
        (bytes.fromhex("24000a0301000000070204 00 00000000 00000000"), "class_1"),
        (bytes.fromhex("20000a0301000000070204 90 00000000 00000000"), "condition"),
        (bytes.fromhex("2000020301000000070263 00"), "malformed"),
    ],
)
def test_m10_bad_pdus_are_named(raw, reason):
    with pytest.raises(PduError) as caught:
        decode_pdu(raw)
    assert caught.value.reason == reason


def test_m10_every_cut_of_every_pdu_is_refused(route):
    pdus = [
        encode_metadata(route, 5, "name", b"note"),
        encode_eof(route, Condition.NO_ERROR, 1, 2),
        encode_nak(route, 0, 9, [(1, 2)]),
        encode_finished(route, Condition.NO_ERROR, is_complete=True),
        encode_prompt(route),
        FileDataEncoder(route).encode(3, b"data"),
    ]
    for pdu in pdus:
        for size in range(len(pdu)):
            with pytest.raises(PduError):
                decode_pdu(pdu[:size])
