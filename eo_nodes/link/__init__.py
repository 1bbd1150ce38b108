"""Link between the segments: frames, packets, CFDP class 2. Bytes in, values and bytes out."""

from eo_nodes.link.config import CfdpConfig, EndpointConfig
from eo_nodes.link.counters import LinkCounters
from eo_nodes.link.endpoint import LinkEndpoint
from eo_nodes.link.errors import (
    FilestoreError,
    FrameError,
    PacketError,
    PacketRefusedError,
    PduError,
    PutRefusedError,
    UnknownTransactionError,
)
from eo_nodes.link.filestore import DiskFilestore
from eo_nodes.link.indications import (
    Condition,
    FaultHandler,
    FileReceived,
    FrameRejected,
    Indication,
    PacketReceived,
    TransactionId,
    TransferFault,
    TransferFinished,
    TransferStatus,
)
from eo_nodes.link.packets import Apid
from eo_nodes.link.ports import Filestore, Record, TransferStore

__all__ = [
    "Apid",
    "CfdpConfig",
    "Condition",
    "DiskFilestore",
    "EndpointConfig",
    "FaultHandler",
    "FileReceived",
    "Filestore",
    "FilestoreError",
    "FrameError",
    "FrameRejected",
    "Indication",
    "LinkCounters",
    "LinkEndpoint",
    "PacketError",
    "PacketReceived",
    "PacketRefusedError",
    "PduError",
    "PutRefusedError",
    "Record",
    "TransactionId",
    "TransferFault",
    "TransferFinished",
    "TransferStatus",
    "TransferStore",
    "UnknownTransactionError",
]
