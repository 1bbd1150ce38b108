"""Status datagrams of a modem: round trip, and any other bytes are refused in one way."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_nodes.contracts.errors import RemoteProtocolError
from eo_nodes.contracts.modem import MAGIC, is_status, pack_status, unpack_status
from eo_nodes.contracts.values import LinkState

U64 = st.integers(0, 2**64 - 1)
STATES = st.builds(
    LinkState,
    satellite=st.text(max_size=40),
    station=st.text(max_size=40),
    stamp_ns=st.integers(0, 2**63 - 1),
    locked=st.booleans(),
    downlink_bps=U64,
    uplink_bps=U64,
)
GOOD = {
    "satellite": "sat", "station": "svalbard", "stamp_ns": 5, "locked": True,
    "downlink_bps": 100, "uplink_bps": 10,
}  # fmt: skip


def datagram(**changes):
    return MAGIC + json.dumps({**GOOD, **changes}).encode()


@settings(max_examples=200, derandomize=True, deadline=None)
@given(STATES)
def test_m10_status_comes_back_as_it_was(state):
    packed = pack_status(state)
    assert is_status(packed)
    assert unpack_status(packed) == state


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.binary(max_size=200))
def test_m10_any_bytes_give_a_state_or_one_error(noise):
    try:
        state = unpack_status(MAGIC + noise)
    except RemoteProtocolError:
        return
    assert isinstance(state, LinkState)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    st.sampled_from(sorted(GOOD)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
        max_leaves=5,
    ),
)
def test_m10_any_json_in_a_field_gives_a_publishable_state_or_one_error(field, content):
    try:
        state = unpack_status(datagram(**{field: content}))
    except RemoteProtocolError:
        return
    assert 0 <= state.stamp_ns < 2**63
    assert 0 <= state.downlink_bps < 2**64 and 0 <= state.uplink_bps < 2**64
    (state.satellite + state.station).encode()


@pytest.mark.parametrize(
    "bad",
    [
        MAGIC,
        MAGIC + b"{}",
        MAGIC + b"[]",
        MAGIC + b"7",
        MAGIC + b"\xff\xfe",
        MAGIC + b"[" * 60_000,
        datagram()[:-1],
        datagram(stamp_ns=-1),
        datagram(downlink_bps=-1),
        datagram(downlink_bps=2**64),
        datagram(stamp_ns=2**63),
        datagram(uplink_bps="9" * 5000),
        datagram(stamp_ns=float("inf")),
        datagram(station="\ud800"),
    ],
    ids=range(14),
)
def test_m10_bad_status_is_one_error(bad):
    with pytest.raises(RemoteProtocolError):
        unpack_status(bad)


def test_frames_are_no_status():
    assert not is_status(b"")
    assert not is_status(b"\x1a\xcf\xfc\x1d" + MAGIC)
