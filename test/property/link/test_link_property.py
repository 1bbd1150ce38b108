"""Any bytes, any cut, any loss pattern: the link's cores hold (M2, M3, M10)."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from link_sim import Channel, LinkSim, S, frame_of

from eo_nodes.contracts.errors import ProtocolError
from eo_nodes.link import FrameRejected
from eo_nodes.link.cfdp.pdus import FileDataEncoder, Route, decode_pdu, encode_metadata
from eo_nodes.link.cfdp.ranges import RangeMap
from eo_nodes.link.frames import Direction, Frame, FrameEncoder, FrameStream, decode_frame
from eo_nodes.link.indications import TransactionId
from eo_nodes.link.packets import iter_packets
from eo_nodes.link.sequences import SequenceTracker

MANY = settings(max_examples=150, deadline=None, derandomize=True)
FEW = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
PAIRS = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted)


@MANY
@given(st.lists(st.tuples(st.booleans(), PAIRS), max_size=25), PAIRS)
def test_range_map_equals_a_set(steps, scope):
    ranges, model = RangeMap(), set()
    for is_add, (start, end) in steps:
        numbers = set(range(start, end))
        if is_add:
            assert ranges.add(start, end) == len(numbers - model)
            model |= numbers
        else:
            ranges.remove(start, end)
            model -= numbers
    assert ranges.total == len(model)
    assert {n for a, b in ranges for n in range(a, b)} == model
    flat = [edge for pair in ranges for edge in pair]
    assert flat == sorted(set(flat)), "ranges touch or overlap"
    missing = {n for a, b in ranges.gaps(*scope) for n in range(a, b)}
    assert missing == set(range(*scope)) - model
    assert all((n in ranges) == (n in model) for n in range(61))


@MANY
@given(st.binary(max_size=1200))
def test_m10_any_datagram_is_a_frame_or_a_protocol_error(raw):
    try:
        decode_frame(raw, 1115)
    except ProtocolError:
        return


@MANY
@given(st.binary(max_size=200))
def test_m10_any_payload_is_packets_or_a_protocol_error(raw):
    try:
        for packet in iter_packets(memoryview(raw)):
            assert packet.data
    except ProtocolError:
        return


VALID_PDU = bytes(encode_metadata(Route(TransactionId(1, 7), 2), 5, "name", b"note"))


@MANY
@given(
    st.one_of(
        st.binary(max_size=80),
        # Close to valid: a real header, then anything.
        st.binary(max_size=60).map(
            lambda b: b"\x20" + len(b).to_bytes(2, "big") + b"\x03\x01\0\0\0\x07\x02" + b
        ),
        st.lists(
            st.tuples(st.integers(0, len(VALID_PDU) - 1), st.integers(0, 255)), max_size=4
        ).map(
            lambda edits: bytes(
                dict(edits).get(i, octet) for i, octet in enumerate(VALID_PDU)
            )
        ),
    )
)
def test_m10_any_pdu_bytes_are_a_pdu_or_a_protocol_error(raw):
    try:
        decode_pdu(raw)
    except ProtocolError:
        return


@MANY
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_m10_any_pdu_bytes_in_good_frames_never_raise_at_an_endpoint(pdus):
    sim = LinkSim()
    for pdu in pdus:
        if pdu:
            sim.ground.receive(frame_of(pdu), S)
            sim.ground.receive(frame_of(b"\x30" + pdu), S)
    sim.ground.poll(2 * S, 10**6)


@MANY
@given(
    st.lists(st.binary(max_size=80), max_size=5),
    st.lists(st.integers(1, 50), min_size=1, max_size=20),
    st.binary(max_size=30),
)
def test_m10_stream_gives_the_same_frames_however_it_is_cut(payloads, cuts, noise):
    """The three-way feed: whole, in any pieces, with noise before and after."""
    encoder = FrameEncoder(1, Direction.RETURN, 200)
    raw = noise + b"".join(encoder.encode(2, payload) for payload in payloads) + noise
    whole = FrameStream(200).feed(raw + bytes(200))
    stream, pieces, start, i = FrameStream(200), [], 0, 0
    while start < len(raw):
        step = cuts[i % len(cuts)]
        pieces += stream.feed(raw[start : start + step])
        start, i = start + step, i + 1
    pieces += stream.feed(bytes(200))

    def frames(found):
        return [bytes(f.payload) for f in found if isinstance(f, Frame)]

    assert frames(whole) == frames(pieces) == payloads


@MANY
@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_m11_gap_count_equals_what_was_lost_before_the_last_arrival(arrives):
    tracker = SequenceTracker(1 << 14)
    kept = [i for i, arrived in enumerate(arrives) if arrived]
    for i in kept:
        tracker.observe((16_300 + i) % (1 << 14))
    expected = kept[-1] - kept[0] + 1 - len(kept) if kept else 0
    assert (tracker.gaps, tracker.duplicates) == (expected, 0)


@FEW
@given(
    seed=st.integers(0, 10**6),
    loss=st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.4]),
    duplicate=st.sampled_from([0.0, 0.1, 0.5]),
    reorder=st.sampled_from([0.0, 0.1, 0.5]),
    bit_error_rate=st.sampled_from([0.0, 1e-6, 1e-5, 1e-4]),
    sizes=st.lists(st.integers(0, 30_000), min_size=1, max_size=4),
)
def test_m02_m03_any_bad_channel_ends_with_equal_files_at_both_ends(
    seed, loss, duplicate, reorder, bit_error_rate, sizes
):
    def channel() -> Channel:
        return Channel(loss, duplicate, reorder, bit_error_rate)

    sim = LinkSim(seed, down=channel(), up=channel())
    files = {f"f{i}": random.Random(i).randbytes(size) for i, size in enumerate(sizes)}
    for i, (name, data) in enumerate(files.items()):
        sim.put(name, data, key=(i % 2,))
    sim.run_idle(limit_s=600)
    assert sim.received() == files
    assert sorted(f.name for f in sim.finished() if f.is_complete) == sorted(files)
    assert len(sim.finished()) == len(files)


@FEW
@given(seed=st.integers(0, 10**6), data=st.data())
def test_m05_m06_any_pattern_of_kills_and_silences_ends_with_equal_files(seed, data):
    sim = LinkSim(seed, down=Channel(loss=0.05), up=Channel(loss=0.05))
    files = {f"f{i}": random.Random(i).randbytes(200_000 * (i + 1)) for i in range(2)}
    for name, content in files.items():
        sim.put(name, content)
    for _ in range(data.draw(st.integers(0, 5))):
        sim.run(data.draw(st.floats(0.01, 0.8)))
        event = data.draw(st.sampled_from(["space", "ground", "silence"]))
        if event == "silence":
            sim.los()
            sim.run(0.05)
            sim.aos()
        else:
            sim.kill(event)
            sim.run(data.draw(st.sampled_from([0.0, 0.2])))
            sim.restart(event)
    sim.run_idle(limit_s=600)
    assert sim.received() == files
    assert {f.name for f in sim.finished() if f.is_complete} == set(files)


@FEW
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=40), st.integers(0, 99))
def test_m01_file_data_of_any_order_and_overlap_builds_the_file(pieces, seed):
    content = random.Random(seed).randbytes(50)
    sim = LinkSim()
    route = Route(TransactionId(1, 3), 2)
    encoder = FileDataEncoder(route)
    held: set[int] = set()
    for start, size in pieces:
        end = min(start + size, 50)
        rejected = sim.ground.receive(frame_of(encoder.encode(start, content[start:end])), 0)
        assert not any(isinstance(i, FrameRejected) for i in rejected)
        held |= set(range(start, end))
    if held:
        assert sim.ground.queue()[0].progress_bytes == len(held)
        part = sim.ends["ground"].files.files["/ground/.part/1-3.part"]
        assert all(part[i] == content[i] for i in held)
