"""Bags: what is written is read back, by us and by others, also when the end is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from eo_nodes.console.bag import BagError, BagWriter, bag_files, read_bag
from eo_nodes.console.dds_types import struct, to_dds
from eo_nodes.contracts.values import Answer, Event, Step, View, Views

T0_NS = 1_791_158_400_000_000_000


def cdr(sample: object) -> bytes:
    return sample.serialize(use_version_2=False)


def answer(number: int) -> Answer:
    return Answer(
        id=f"ans-{number}",
        text=f"text {number}",
        origin="ground",
        confidence=(0.5, 0.25),
        steps=(Step(name="capture", stamp_ns=T0_NS), Step(name="final", stamp_ns=T0_NS + number)),
    )


def write(path: Path, count: int, **options: int) -> list[Path]:
    with BagWriter(path, **options) as bag:
        for number in range(count):
            stamp_ns = T0_NS + number
            bag.write("/ground/final", "Answer", cdr(to_dds(answer(number))), stamp_ns)
    return bag.paths


def test_values_come_back_in_order(tmp_path):
    clock = struct("rosgraph_msgs/Clock")()
    clock.clock.sec = 7
    views = Views(request_id="r", views=(View(kind="zoom", window=(0, 0, 2, 2), data=b"\x01\x02"),))
    with BagWriter(tmp_path / "run.mcap") as bag:
        bag.write("/sat1/views", "Views", cdr(to_dds(views)), T0_NS + 2)
        bag.write("/ground/final", "Answer", cdr(to_dds(answer(3))), T0_NS + 1)
        bag.write("/clock", "rosgraph_msgs/Clock", cdr(clock), T0_NS)
    found = list(read_bag(tmp_path / "run.mcap"))
    assert [(topic, stamp - T0_NS) for topic, stamp, _ in found] == [
        ("/clock", 0),
        ("/ground/final", 1),
        ("/sat1/views", 2),
    ]
    assert found[0][2].clock.sec == 7
    assert found[1][2] == answer(3)
    assert found[2][2] == views


def test_topics_can_be_chosen(tmp_path):
    with BagWriter(tmp_path / "run.mcap") as bag:
        bag.write("/ground/event", "Event", cdr(to_dds(Event(id="AOS"))), T0_NS)
        bag.write("/ground/final", "Answer", cdr(to_dds(answer(1))), T0_NS)
    assert [topic for topic, *_ in read_bag(tmp_path / "run.mcap", ["/ground/final"])] == [
        "/ground/final"
    ]


def test_rosbags_reads_it(tmp_path):
    from rosbags.highlevel import AnyReader

    path = write(tmp_path / "run.mcap", 3)[0]
    with AnyReader([path]) as reader:
        found = [
            (connection.topic, connection.msgtype, reader.deserialize(raw, connection.msgtype))
            for connection, _, raw in reader.messages()
        ]
    assert [(topic, kind) for topic, kind, _ in found] == [
        ("/ground/final", "spaceverse/msg/Answer")
    ] * 3
    assert found[2][2].text == "text 2"
    assert list(found[2][2].confidence) == [0.5, 0.25]
    assert found[2][2].steps[0].name == "capture"


def test_mcap_ros2_support_reads_it(tmp_path):
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    path = write(tmp_path / "run.mcap", 2)[0]
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        found = [message for *_, message in reader.iter_decoded_messages()]
    assert [message.id for message in found] == ["ans-0", "ans-1"]
    assert found[0].steps[1].stamp_ns == T0_NS


def test_a_split_bag_is_one_bag(tmp_path):
    paths = write(tmp_path / "run.mcap", 40, split_bytes=1500)
    assert len(paths) > 2
    assert bag_files(tmp_path / "run.mcap") == paths
    assert [value for *_, value in read_bag(tmp_path / "run.mcap")] == [
        answer(number) for number in range(40)
    ]


@pytest.mark.parametrize("share", [0.35, 0.7, 0.97])
def test_a_bag_without_its_end_is_read_up_to_the_last_whole_part(tmp_path, share):
    import random

    rng = random.Random(3)
    path = tmp_path / "run.mcap"
    total = 1500
    with BagWriter(path) as bag:
        for number in range(total):
            # does not compress, so that there are several chunks
            value = Event(id="AOS", stamp_ns=number, text=rng.randbytes(400).hex())
            bag.write("/ground/event", "Event", cdr(to_dds(value)), T0_NS + number)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    found = [value.stamp_ns for *_, value in read_bag(path)]
    assert found == list(range(len(found))), "a gap or a wrong order"
    assert total * share * 0.5 < len(found) < total


def test_what_is_no_bag_is_named(tmp_path):
    (tmp_path / "x.mcap").write_bytes(b"no bag at all" * 9)
    with pytest.raises(BagError, match=r"x\.mcap"):
        list(read_bag(tmp_path / "x.mcap"))
    with pytest.raises(BagError, match="no bag at"):
        list(read_bag(tmp_path / "absent.mcap"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BagError, match="cannot write"):
        BagWriter(tmp_path / "file" / "run.mcap")
