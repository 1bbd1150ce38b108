"""Status datagrams of a modem, on the socket that also carries frames.

A frame is passed through as it is. A status starts with a magic that no frame starts with and
holds one JSON object: carrier lock, rates, station and the modem's time. A radio that reports
its state in another way needs an adapter that writes these datagrams.
"""

from __future__ import annotations

import json

from .errors import RemoteProtocolError
from .values import LinkState

MAGIC = b"MODEM1 "


def pack_status(state: LinkState) -> bytes:
    """Return the datagram of a link state."""
    return MAGIC + json.dumps(
        {
            "satellite": state.satellite,
            "station": state.station,
            "stamp_ns": state.stamp_ns,
            "locked": state.locked,
            "downlink_bps": state.downlink_bps,
            "uplink_bps": state.uplink_bps,
        }
    ).encode("ascii")


def is_status(datagram: bytes) -> bool:
    """Whether a datagram is a status, not a frame."""
    return datagram.startswith(MAGIC)


def unpack_status(datagram: bytes) -> LinkState:
    """Return the link state of a status datagram.

    Raises:
        RemoteProtocolError: not a well-formed status.
    """
    try:
        content = json.loads(datagram[len(MAGIC) :])
        state = LinkState(
            satellite=str(content["satellite"]),
            station=str(content["station"]),
            stamp_ns=int(content["stamp_ns"]),
            locked=bool(content["locked"]),
            downlink_bps=int(content["downlink_bps"]),
            uplink_bps=int(content["uplink_bps"]),
        )
        # The state is published: names must be Unicode that can be encoded, numbers must fit.
        (state.satellite + state.station).encode()
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise RemoteProtocolError(f"modem status: {str(error)[:200]}") from error
    if not (
        0 <= state.stamp_ns < 1 << 63
        and 0 <= state.downlink_bps < 1 << 64
        and 0 <= state.uplink_bps < 1 << 64
    ):
        raise RemoteProtocolError("modem status: a number is out of range")
    return state
