"""The space segment as it flies (profile ``flight``, free mode), with a camera and an observer.

Real processes under the supervisor; this process plays camera and asker and listens, as a node
outside the graph. It adds nothing to the graph's processes.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image

from eo_nodes.contracts.errors import EoError
from eo_nodes.contracts.topics import TOPICS
from eo_nodes.contracts.values import Task
from eo_nodes.graph.plan import Overrides
from eo_nodes.graph.running import RunningGraph, running_graph
from eo_nodes.imaging.readers import read_file
from eo_nodes.nodes.convert import message_type, to_message, to_value
from eo_nodes.nodes.qos import profile

_DOMAIN_OFFSET = 50
_DOMAIN = 41 + _DOMAIN_OFFSET
_MODEL = Path("models/compact")
_REAL_SCENE = Path("sim/assets/scenes/rgb_camera__places_rgb.jp2")
SENSOR = "rgb_camera"


class BenchError(EoError):
    """A figure cannot be measured here."""


@dataclass(slots=True)
class Seen:
    """What the observer heard: per topic, values in order of arrival."""

    values: dict[str, list[Any]] = field(default_factory=dict)

    def of(self, topic: str) -> list[Any]:
        """Values of one topic."""
        return self.values.setdefault(topic, [])


class Camera:
    """A node in the satellite's domain that publishes images and tasks, and listens.

    Args:
        topics: rows of the topic table to listen to.
    """

    def __init__(self, topics: tuple[str, ...]) -> None:
        self.context = rclpy.Context()
        self.context.init(domain_id=_DOMAIN)
        self._node = rclpy.create_node("bench_camera", namespace="/sat1", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self._node)
        self.seen = Seen()
        self._image = self._node.create_publisher(Image, "image", profile(TOPICS["image"].qos))
        self._task = self._node.create_publisher(
            message_type("Task"), "task", profile(TOPICS["task"].qos)
        )
        for topic in topics:
            row = TOPICS[topic]
            self._node.create_subscription(
                message_type(row.type),
                topic,
                lambda message, t=topic: self.seen.of(t).append(to_value(message)),
                profile(row.qos),
            )

    def wait_matched(self, timeout_s: float = 15.0) -> None:
        """Wait for camera_ingest and tasking. Raises `BenchError`."""

        def is_matched() -> bool:
            return bool(
                self._image.get_subscription_count() and self._task.get_subscription_count()
            )

        self.wait(is_matched, timeout_s, "camera_ingest and tasking are heard")

    def wait(self, is_met: Callable[[], bool], timeout_s: float, aim: str) -> None:
        """Spin until a predicate holds. Raises `BenchError` after the timeout."""
        end = time.monotonic() + timeout_s
        while not is_met():
            self._executor.spin_once(timeout_sec=0.05)
            if time.monotonic() > end:
                events = [f"{e.id} {e.text}" for e in self.seen.of("event")[-4:]]
                raise BenchError(f"after {timeout_s:g} s, and not: {aim}; last events: {events}")

    def spin(self, seconds: float) -> None:
        """Listen for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.02)

    def spin_once(self) -> None:
        """Handle one event, or wait a moment for one."""
        self._executor.spin_once(timeout_sec=0.02)

    def ask(self, task: Task) -> None:
        """Publish a task."""
        self._task.publish(to_message(task))

    def shoot(self, pixels: NDArray[np.uint8], place: str) -> int:
        """Publish (H, W, 3) pixels as an image of a place; return when that began, UTC ns."""
        began_ns = time.time_ns()
        height, width, bands = pixels.shape
        message = Image(height=height, width=width, step=width * bands, encoding="rgb8")
        message.header.frame_id = f"{SENSOR}/{place}"
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(began_ns, 1_000_000_000)
        message.data = pixels.tobytes()
        self._image.publish(message)
        return began_ns

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self._node.destroy_node()
        self.context.shutdown()


@dataclass(frozen=True, slots=True)
class SpaceGraph:
    """The running segment. start_s: from starting the supervisor to all nodes active."""

    graph: RunningGraph
    camera: Camera
    start_s: float
    model: str


def model_folder() -> Path:
    """Return the compact model's folder. Raises `BenchError` where there is none."""
    if not (_MODEL / "manifest.json").is_file():
        raise BenchError(f"{_MODEL} holds no model")
    return _MODEL


@contextlib.contextmanager
def space_graph(
    topics: tuple[str, ...], parameters: dict[str, Any] | None = None
) -> Iterator[SpaceGraph]:
    """Run the satellite for the length of a with block.

    Args:
        topics: what the observer listens to besides ``event``.
        parameters: ``node.parameter`` -> value.
    """
    model = model_folder()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        overrides = Overrides(
            parameters=parameters or {},
            state_dir=f"{folder}/state",
            domain_offset=_DOMAIN_OFFSET,
        )
        began_s = time.monotonic()
        with running_graph("flight", overrides, Path("build/bench/log")) as graph:
            graph.wait_active(60.0)
            start_s = time.monotonic() - began_s
            camera = Camera((*topics, "event"))
            try:
                camera.wait_matched()
                yield SpaceGraph(graph, camera, start_s, str(model))
            finally:
                camera.close()


def real_pixels(height: int, width: int) -> NDArray[np.uint8]:
    """Return (height, width, 3) pixels of a real scene, repeated where it is too small."""
    values = read_file(_REAL_SCENE).values[0]
    rows = np.arange(height) % values.shape[0]
    columns = np.arange(width) % values.shape[1]
    return np.ascontiguousarray(values[np.ix_(rows, columns)][..., :3]).astype(np.uint8)


def memory_mb(pid: int) -> tuple[float, float]:
    """Return (RSS, PSS) of a process in MB of 2^20 bytes."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        found = {line.split(":")[0]: line.split()[1] for line in lines if line[0] in "RP"}
    return int(found["Rss"]) / 1024, int(found["Pss"]) / 1024
