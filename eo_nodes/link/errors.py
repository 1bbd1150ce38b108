"""Named errors of the link room: what a peer does wrong is Remote, what our caller does Local."""

from __future__ import annotations

from eo_nodes.contracts.errors import LocalProtocolError, RemoteProtocolError, StorageError


class FrameError(RemoteProtocolError):
    """A datagram is not one of our frames.

    Attributes:
        reason: stable lower-case name, e.g. ``crc``, ``length``, ``sync``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"frame rejected: {reason}")
        self.reason = reason


class PacketError(RemoteProtocolError):
    """Bytes inside a good frame are not whole space packets.

    Attributes:
        reason: stable lower-case name, e.g. ``length``, ``version``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"space packet rejected: {reason}")
        self.reason = reason


class PduError(RemoteProtocolError):
    """Bytes are not a CFDP class 2 PDU that this entity can use.

    Attributes:
        reason: stable lower-case name, e.g. ``malformed``, ``class_1``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"CFDP PDU rejected: {reason}")
        self.reason = reason


class PutRefusedError(LocalProtocolError):
    """A put request is refused; nothing was queued.

    Attributes:
        reason: stable lower-case name: ``queue_full``, ``file_incomplete``, ``name``,
            ``metadata_too_large``, ``file_too_large``.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"put refused: {reason}" + (f" ({detail})" if detail else ""))
        self.reason = reason


class PacketRefusedError(LocalProtocolError):
    """A packet cannot be sent: it is empty, too large for one frame, or its APID is unknown."""


class UnknownTransactionError(LocalProtocolError):
    """A command names a transaction that is not open here."""


class FilestoreError(StorageError):
    """The filestore refused an operation: outside its root, disk full, missing or unreadable."""
