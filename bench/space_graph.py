"""The space segment as it flies (profile ``flight``, free mode), with a camera and an observer.

Real processes under the supervisor; this process plays camera and asker and listens, as a node
outside the graph. It adds nothing to the graph's processes, and takes next to no processor time
from them: nobody spins its node, what it hears waits in its queues until it is asked for.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
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
_LOOK_S = 0.01


class BenchError(EoError):
    """A figure cannot be measured here."""


class Camera:
    """A node in the satellite's domain that publishes images and tasks, and listens.

    Args:
        topics: rows of the topic table to listen to; each keeps what one request brings.
    """

    def __init__(self, topics: tuple[str, ...]) -> None:
        self.context = rclpy.Context()
        self.context.init(domain_id=_DOMAIN)
        self._node = rclpy.create_node(
            "bench_camera", namespace="/sat1", context=self.context, start_parameter_services=False
        )
        self._image = self._node.create_publisher(Image, "image", profile(TOPICS["image"].qos))
        self._task = self._node.create_publisher(
            message_type("Task"), "task", profile(TOPICS["task"].qos)
        )
        self._heard: dict[str, list[Any]] = {topic: [] for topic in topics}
        self._queues = {topic: self._listen(topic) for topic in topics}

    def _listen(self, topic: str) -> Any:
        row = TOPICS[topic]
        return self._node.create_subscription(
            message_type(row.type), topic, lambda _: None, profile(row.qos)
        )

    def seen(self, topic: str) -> list[Any]:
        """Return what was heard on one topic so far, in order of arrival."""
        heard, queue = self._heard.get(topic, []), self._queues.get(topic)
        if queue is None:
            return heard
        with queue.handle:
            while (taken := queue.handle.take_message(queue.msg_type, False)) is not None:
                heard.append(to_value(taken[0]))
        return heard

    def ignore(self, *topics: str) -> None:
        """Listen to some topics no more: who sends them is spared the work."""
        for topic in topics:
            self._node.destroy_subscription(self._queues.pop(topic))

    def wait_matched(self, timeout_s: float = 15.0) -> None:
        """Wait for camera_ingest and tasking. Raises `BenchError`."""

        def is_matched() -> bool:
            return bool(
                self._image.get_subscription_count() and self._task.get_subscription_count()
            )

        self.wait(is_matched, timeout_s, "camera_ingest and tasking are heard")

    def wait(self, is_met: Callable[[], bool], timeout_s: float, aim: str) -> None:
        """Look now and then until a predicate holds. Raises `BenchError` after the timeout."""
        end = time.monotonic() + timeout_s
        while not is_met():
            time.sleep(_LOOK_S)
            if time.monotonic() > end:
                events = [f"{e.id} {e.text}" for e in self.seen("event")[-4:]]
                raise BenchError(f"after {timeout_s:g} s, and not: {aim}; last events: {events}")

    def rest(self, seconds: float) -> None:
        """Let what is under way arrive."""
        time.sleep(seconds)

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
        self._node.destroy_node()
        self.context.shutdown()


@dataclass(frozen=True, slots=True)
class SpaceGraph:
    """The running segment. start_s: from starting the supervisor to all nodes active."""

    graph: RunningGraph
    camera: Camera
    start_s: float
    model: str
    inbox: Path


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
                inbox = Path(folder, "state", "sat1", "inbox")
                yield SpaceGraph(graph, camera, start_s, str(model), inbox)
            finally:
                camera.close()


def real_pixels(height: int, width: int) -> NDArray[np.uint8]:
    """Return (height, width, 3) pixels of a real scene, repeated where it is too small."""
    values = read_file(_REAL_SCENE).values[0]
    rows = np.arange(height) % values.shape[0]
    columns = np.arange(width) % values.shape[1]
    return np.ascontiguousarray(values[np.ix_(rows, columns)][..., :3]).astype(np.uint8)


def memory_mb(pid: int) -> tuple[float, float, float]:
    """Return (RSS, PSS, anonymous: heap and stacks) of a process in MB of 2^20 bytes."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        found = {line.split(":")[0]: line.split()[1] for line in lines if line[0] in "RPA"}
    rss, pss, heap = (int(found[name]) / 1024 for name in ("Rss", "Pss", "Anonymous"))
    return rss, pss, heap
