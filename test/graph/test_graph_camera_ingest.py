"""Poisoned files and pictures: a named event, a quarantine, and the next good one is a scene."""

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from poison import (
    BAD_PICTURES,
    BAD_TASKS,
    GOOD,
    POISON,
    RGB,
    compressed,
    image,
    pixels,
    png,
    raster,
)

from eo_nodes.contracts.values import Answer

DOMAIN = 100


@pytest.fixture
def bench(bench_of):
    made = bench_of(DOMAIN)
    for topic in ("event", "scene"):
        made.hear(topic)
    return made


@pytest.fixture
def camera(bench):
    from eo_nodes.nodes.camera_ingest_node import CameraIngest

    return bench.start(CameraIngest, watch_s=0.1)


def put(folder, name, data):
    """As a good citizen does: complete under another name, then renamed."""
    part = folder / f".{name}.part"
    part.write_bytes(data)
    part.replace(folder / name)


def test_m32_every_poisoned_file_is_named_and_quarantined_and_good_ones_are_served(
    bench, camera, tmp_path
):
    inbox, quarantine = tmp_path / "test" / "inbox", tmp_path / "test" / "quarantine"
    for name, (data, _) in POISON.items():
        put(inbox, name, data)
    put(inbox, "s2_rgb__good.tif", raster(RGB))
    scene = bench.only("scene", "place", "good")
    assert (scene.height, scene.width, scene.bands) == (64, 48, 3)
    for name, (_, codes) in POISON.items():
        event = bench.event("BAD_IMAGE", name[:120])
        assert any(f'"code": "{code}"' in event.fields_json for code in codes), (name, event)
    kept = {path.name.partition("__")[2]: path.read_bytes() for path in quarantine.iterdir()}
    assert kept == {name: data for name, (data, _) in POISON.items()}
    assert [path.name for path in inbox.iterdir()] == []
    assert len(bench.heard["scene"]) == 1
    assert camera.is_active
    assert not [event for event in bench.heard["event"] if event.id == "INTERNAL_ERROR"]


def test_m32_nan_and_saturated_pixels_become_flags_or_a_refusal_never_a_failure(
    bench, camera, tmp_path
):
    inbox = tmp_path / "test" / "inbox"
    dem = pixels(32, 32, 1, dtype=np.float32)
    dem[:8] = np.nan
    put(inbox, "aster_dem__holes.tif", raster(dem))
    bright = np.full((32, 32, 3), 255, np.uint8)
    put(inbox, "rgb_camera__bright.png", png(bright))  # no georeference either
    done = bench.until(
        lambda: (
            len(bench.heard["scene"]) + sum(e.id == "BAD_IMAGE" for e in bench.heard["event"]) >= 2
        ),
        "both files",
    )
    assert done
    flags = {scene.place: set(scene.flags) for scene in bench.heard["scene"]}
    assert {"saturated", "no_georeference"} <= flags["bright"]
    assert camera.is_active
    assert not [event for event in bench.heard["event"] if event.id == "INTERNAL_ERROR"]


def test_m32_every_bad_picture_on_a_topic_is_named_and_the_next_good_one_is_a_scene(bench, camera):
    for name, (topic, make) in BAD_PICTURES.items():
        start = len(bench.heard["event"])
        bench.say(topic, make())
        bench.until(
            lambda start=start: [e for e in bench.heard["event"][start:] if e.id == "BAD_IMAGE"],
            f"BAD_IMAGE for {name}",
        )
    assert bench.heard["scene"] == []
    bench.say("image", image())
    scene = bench.only("scene", "place", "port")
    assert (scene.sensor, scene.height, scene.width) == ("rgb_camera", 64, 48)
    bench.say("image/compressed", compressed(png(RGB), "rgb_camera/quay"))
    again = bench.only("scene", "place", "quay")
    assert again.sha256 == scene.sha256, "the same pixels by either way"
    assert camera.is_active
    assert not [event for event in bench.heard["event"] if event.id == "INTERNAL_ERROR"]


def test_m24_file_in_hand_at_a_kill_is_quarantined_at_the_next_start(bench, tmp_path):
    from eo_nodes.nodes.camera_ingest_node import CameraIngest

    inbox = tmp_path / "test" / "inbox"
    inbox.mkdir(parents=True)
    (inbox / ".taken-rgb_camera__deadly.tif").write_bytes(raster(RGB))
    bench.start(CameraIngest, watch_s=0.1)
    bench.event("BAD_IMAGE", "unfinished")
    kept = [path.name for path in (tmp_path / "test" / "quarantine").iterdir()]
    assert kept == ["unfinished__rgb_camera__deadly.tif"]


def test_real_scene_of_the_box_becomes_a_scene_and_a_preview(bench, camera, tmp_path):
    bench.hear("preview")
    box = Path(__file__).parents[2] / "sim" / "assets" / "scenes"
    name = "s2_msi__land_s2_13band.jp2"
    part = tmp_path / "copy"
    shutil.copy(box / name, part)
    part.replace(tmp_path / "test" / "inbox" / name)
    scene = bench.only("scene", "place", "land_s2_13band")
    assert (scene.modality, scene.bands, scene.dtype) == ("multispectral", 13, "uint16")
    preview = bench.until(lambda: bench.heard["preview"], "preview")[0]
    shown = cv2.imdecode(np.frombuffer(bytes(preview.data), np.uint8), cv2.IMREAD_COLOR)
    assert preview.header.frame_id == scene.id and max(shown.shape) <= 256


def test_m32_bad_input_of_every_kind_at_once_and_the_next_of_each_kind_is_served(
    bench, camera, tmp_path, free_port
):
    """Camera and ground station in one graph: files, pictures and tasks, interleaved."""
    from eo_nodes.nodes.ground_station_node import GroundStation

    station = bench.start(
        GroundStation, listen_port=free_port(), modem_port=free_port(), entity_id=2,
        peer_entity_id=1,
    )  # fmt: skip
    finals, events = bench.hear("final"), bench.heard["event"]
    inbox = tmp_path / "test" / "inbox"
    for name, (data, _) in POISON.items():
        put(inbox, name, data)
    for number, changes in enumerate(BAD_TASKS.values()):
        bench.say("task", dataclasses.replace(GOOD, id=f"task-bad-{number}", **changes))

    def named():
        return [e.text.partition(":")[0] for e in events if e.id == "BAD_IMAGE"]

    def pictures_named():
        return sum(source not in POISON for source in named())

    for number, (name, (topic, make)) in enumerate(BAD_PICTURES.items()):
        # One after the other: sensor topics are best effort, a burst may be cut.
        bench.say(topic, make())
        bench.until(lambda n=number: pictures_named() == n + 1, f"an event for {name}")
    put(inbox, "s2_rgb__good_file.tif", raster(RGB))
    bench.say("image", image("rgb_camera/good_picture"))
    bench.say("task", GOOD)
    for place in ("good_file", "good_picture"):
        bench.only("scene", "place", place)
    bench.until(
        lambda: [status.name for status in station.endpoint.queue()] == [f"task/{GOOD.id}"],
        "the good task in the uplink queue",
    )
    bench.until(lambda: len(finals) >= len(BAD_TASKS), "a refusal for each bad task")
    assert {answer.task_id for answer in finals} == {f"task-bad-{n}" for n in range(len(BAD_TASKS))}
    assert all(answer.status == Answer.REFUSED and answer.reason for answer in finals)
    bench.until(lambda: set(POISON) <= set(named()), "an event for each bad file")
    assert len(named()) == len(POISON) + len(BAD_PICTURES)
    assert camera.is_active and station.is_active
    assert not [event for event in events if event.id == "INTERNAL_ERROR"]
