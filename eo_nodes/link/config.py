"""Settings of one link endpoint. Values come from configuration; defaults from M4, M6 and M7."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.link.indications import Condition, FaultHandler

if TYPE_CHECKING:
    from collections.abc import Mapping

NS_PER_S = 1_000_000_000

# Silence is reported and the transfer goes on: timers run only while the peer is visible (M5), so a
# peer that restarts in the middle of a contact is served again without anyone's help.
DEFAULT_HANDLERS: Mapping[Condition, FaultHandler] = MappingProxyType(
    {
        Condition.POSITIVE_ACK_LIMIT: FaultHandler.IGNORE,
        Condition.NAK_LIMIT: FaultHandler.IGNORE,
        Condition.INACTIVITY: FaultHandler.IGNORE,
        Condition.FILESTORE_REJECTION: FaultHandler.CANCEL,
        Condition.FILE_CHECKSUM_FAILURE: FaultHandler.CANCEL,
        Condition.FILE_SIZE_ERROR: FaultHandler.CANCEL,
        Condition.UNSUPPORTED_CHECKSUM: FaultHandler.CANCEL,
    }
)


@dataclass(frozen=True, slots=True)
class CfdpConfig:
    """Limits of the CFDP entity.

    Attributes:
        ack_timeout_ns: wait for ACK(EOF) and ACK(Finished) before repeating, visible time.
        ack_limit: transmissions without an answer before the fault.
        nak_timeout_ns: quiet time after a NAK before it is repeated.
        nak_limit: NAKs in a row that brought nothing before the fault.
        inactivity_ns: silence of the peer before the fault, visible time.
        reorder_window_ns: wait between a reason to NAK and the NAK, for late segments (S4).
        checkpoint_bytes: progress goes to the store this often (M6).
        max_queue: outgoing transactions, sent or waiting (M7).
        max_open_receive: incoming transactions open at once (M7).
        max_file_bytes: largest file taken, either way.
        is_source_deleted: delete the source file after Finished(complete) (M8).
        handlers: what is done at each fault (M4).
    """

    ack_timeout_ns: int = 3 * NS_PER_S
    ack_limit: int = 4
    nak_timeout_ns: int = 3 * NS_PER_S
    nak_limit: int = 4
    inactivity_ns: int = 30 * NS_PER_S
    reorder_window_ns: int = 20_000_000
    checkpoint_bytes: int = 262_144
    max_queue: int = 4096
    max_open_receive: int = 512
    max_file_bytes: int = 1 << 32
    is_source_deleted: bool = False
    handlers: Mapping[Condition, FaultHandler] = field(default_factory=lambda: DEFAULT_HANDLERS)

    def handler(self, condition: Condition) -> FaultHandler:
        """Return what to do at ``condition``; cancel when nobody said."""
        return self.handlers.get(condition, FaultHandler.CANCEL)


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """One end of one link.

    Attributes:
        local_id: our CFDP entity id, 1..65535.
        remote_id: the peer's, different from ours.
        receive_root: folder under which received files land (M9).
        is_space: True on board: sends return-direction frames. False on the ground.
        spacecraft_id: 0..255, the same at both ends; frames of others are refused.
        max_frame_bytes: 256..65507; largest datagram. 1115 is the usual CCSDS frame length.
        max_packet_queue: best-effort packets waiting, per class; the oldest falls out (M7).
        background_max_wait_ns: a background packet older than this goes before file data.
        cfdp: limits of the file transfer.
    """

    local_id: int
    remote_id: int
    receive_root: str
    is_space: bool
    spacecraft_id: int = 1
    max_frame_bytes: int = 1115
    max_packet_queue: int = 1024
    background_max_wait_ns: int = 5 * NS_PER_S
    cfdp: CfdpConfig = field(default_factory=CfdpConfig)

    def __post_init__(self) -> None:
        if not (0 < self.local_id < 1 << 16 and 0 < self.remote_id < 1 << 16):
            raise ConfigError("link entity ids must lie in 1..65535")
        if self.local_id == self.remote_id:
            raise ConfigError(f"both link ends have entity id {self.local_id}")
        if not 0 <= self.spacecraft_id < 1 << 8:
            raise ConfigError("spacecraft_id must lie in 0..255")
        if not 256 <= self.max_frame_bytes <= 65507:
            raise ConfigError("max_frame_bytes must lie in 256..65507")
