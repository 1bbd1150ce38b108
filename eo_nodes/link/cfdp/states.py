"""The two class 2 machines as tables. What is done on entering a state is in source and dest.

A pair that is not in a table changes nothing: duplicates and late PDUs are no events (M2). A
Finished ends the source in *every* state, because ACK(EOF) may be lost, and because the destination
may end a transfer that the source has not sent to its end.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class SourceState(str, Enum):
    """States of a sending transaction."""

    QUEUED = "queued"  # nothing was sent
    SENDING = "sending"  # metadata went out, file data is going
    AWAIT_EOF_ACK = "await_eof_ack"
    AWAIT_FINISHED = "await_finished"
    CANCELLING = "cancelling"  # EOF(cancel) waits for its ACK
    FINISHED = "finished"  # Finished came, our ACK of it has not left
    CLOSED = "closed"


class SourceEvent(str, Enum):
    START = "start"
    ALL_SENT = "all_sent"
    EOF_ACKED = "eof_acked"
    FINISHED = "finished"
    CANCEL = "cancel"
    ACK_SENT = "ack_sent"
    ABANDON = "abandon"


class DestState(str, Enum):
    """States of a receiving transaction."""

    RECEIVING = "receiving"  # no EOF yet
    AWAIT_DATA = "await_data"  # EOF came, something is missing
    FINISHED = "finished"  # delivered or failed; Finished repeats until ACKed
    CLOSED = "closed"


class DestEvent(str, Enum):
    EOF = "eof"
    ENDED = "ended"
    EOF_CANCEL = "eof_cancel"
    FINISHED_ACKED = "finished_acked"
    ABANDON = "abandon"


_S, _SE = SourceState, SourceEvent
SOURCE_TABLE: Final[dict[tuple[SourceState, SourceEvent], SourceState]] = {
    (_S.QUEUED, _SE.START): _S.SENDING,
    (_S.QUEUED, _SE.CANCEL): _S.CLOSED,
    (_S.QUEUED, _SE.FINISHED): _S.FINISHED,
    (_S.SENDING, _SE.ALL_SENT): _S.AWAIT_EOF_ACK,
    (_S.SENDING, _SE.FINISHED): _S.FINISHED,
    (_S.SENDING, _SE.CANCEL): _S.CANCELLING,
    (_S.AWAIT_EOF_ACK, _SE.EOF_ACKED): _S.AWAIT_FINISHED,
    (_S.AWAIT_EOF_ACK, _SE.FINISHED): _S.FINISHED,
    (_S.AWAIT_EOF_ACK, _SE.CANCEL): _S.CANCELLING,
    (_S.AWAIT_FINISHED, _SE.FINISHED): _S.FINISHED,
    (_S.AWAIT_FINISHED, _SE.CANCEL): _S.CANCELLING,
    (_S.CANCELLING, _SE.EOF_ACKED): _S.CLOSED,
    (_S.CANCELLING, _SE.FINISHED): _S.FINISHED,
    (_S.FINISHED, _SE.ACK_SENT): _S.CLOSED,
    **{(state, _SE.ABANDON): _S.CLOSED for state in _S if state is not _S.CLOSED},
}

_D, _DE = DestState, DestEvent
DEST_TABLE: Final[dict[tuple[DestState, DestEvent], DestState]] = {
    (_D.RECEIVING, _DE.EOF): _D.AWAIT_DATA,
    (_D.RECEIVING, _DE.ENDED): _D.FINISHED,
    (_D.RECEIVING, _DE.EOF_CANCEL): _D.CLOSED,
    (_D.AWAIT_DATA, _DE.ENDED): _D.FINISHED,
    (_D.AWAIT_DATA, _DE.EOF_CANCEL): _D.CLOSED,
    (_D.FINISHED, _DE.FINISHED_ACKED): _D.CLOSED,
    **{(state, _DE.ABANDON): _D.CLOSED for state in _D if state is not _D.CLOSED},
}
