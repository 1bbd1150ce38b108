"""scenario_player: plays captures into the satellite's inputs and questions into the ground's.

One instance a domain: in the satellite's it is the camera, on the ground it is the askers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from eo_nodes.console.bag import read_bag
from eo_nodes.graph.paths import project_file
from eo_nodes.imaging.readers import read_file
from eo_nodes.imaging.sensors import load_sensors
from eo_nodes.nodes.base import EoNode
from eo_nodes.nodes.parameters import Parameter
from eo_sim.scenario import Capture, Question, load_scenario

_ENCODINGS = {"uint8": "8UC", "uint16": "16UC", "int16": "16SC", "float32": "32FC"}


class ScenarioPlayer(EoNode):
    """Player of one domain."""

    PARAMETERS = (
        Parameter("scenario", "config/scenarios/demo.yaml", "scenario file"),
        Parameter("bag", "", "recorded run whose inputs are played; empty: the scenario's"),
        Parameter("role", "camera", "camera: plays captures; asker: plays questions"),
        Parameter("target", "sat1", "segment that is played to"),
        Parameter("satellite_segment", "sat1", "segment of the satellite that it is about"),
    )

    def __init__(self, name: str = "scenario_player", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Read the scenario."""
        self._scenario = load_scenario(
            Path(project_file(self.param("scenario"))), self.param("satellite_segment")
        )
        prefix = f"/{self.param('target')}/"
        if self.param("role") == "camera":
            self.speak("image", "image/compressed", "inbox", prefix=prefix)
            text = Path(project_file("config/mission/sensors.yaml")).read_text(encoding="utf-8")
            self._sensors = load_sensors(text)
            root = self.param("state_dir") or os.path.expanduser("~/.local/share/spaceverse")
            self._inbox = Path(root) / self.param("target") / "inbox"
        else:
            self.speak("task", prefix=prefix)

    def activate(self) -> None:
        """Schedule what is still to come; what lies in the past was played before a restart."""
        now_ns = self.now_ns()
        for due_ns, play in self._recorded() if self.param("bag") else self._scripted():
            if due_ns >= now_ns:
                self.at(due_ns, play)

    def _scripted(self) -> list[tuple[int, Callable[[], None]]]:
        start_ns = self._scenario.start_ns
        if self.param("role") == "camera":
            return [
                (start_ns + round(item.at_s * 1e9), lambda item=item: self._capture(item))
                for item in self._scenario.captures
            ]
        return [
            (start_ns + round(item.at_s * 1e9), lambda item=item: self._ask(item))
            for item in self._scenario.questions
        ]

    def _recorded(self) -> list[tuple[int, Callable[[], None]]]:
        prefix = f"/{self.param('target')}/"
        names = (
            ("image", "image/compressed", "inbox") if self.param("role") == "camera" else ("task",)
        )
        items: list[tuple[int, Callable[[], None]]] = []
        for topic, _, value in read_bag(Path(self.param("bag")), [prefix + n for n in names]):
            name = topic.removeprefix(prefix)
            if name == "task":
                items.append((value.stamp_ns, lambda v=value: self.publish("task", v)))
            else:
                stamp = value.header.stamp
                due_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
                items.append((due_ns, lambda n=name, v=value: self._play_image(n, v)))
        return items

    def _play_image(self, name: str, recorded: Any) -> None:
        cls = Image if name == "image" else CompressedImage
        message = cls(data=bytes(recorded.data))
        message.header.frame_id = recorded.header.frame_id
        message.header.stamp.sec = recorded.header.stamp.sec
        message.header.stamp.nanosec = recorded.header.stamp.nanosec
        if name == "image":
            for field in ("height", "width", "encoding", "step", "is_bigendian"):
                setattr(message, field, getattr(recorded, field))
        else:
            message.format = recorded.format
        if name == "inbox":
            self._put(message)
        else:
            self.publish(name, message)

    def _put(self, message: CompressedImage) -> None:
        """Put a file into the watched folder, and on record."""
        self._inbox.mkdir(parents=True, exist_ok=True)
        part = self._inbox / ".incoming.part"
        part.write_bytes(bytes(message.data))
        os.replace(part, self._inbox / os.path.basename(message.format))
        self.publish("inbox", message)

    def _ask(self, question: Question) -> None:
        task, start_ns = question.task, self._scenario.start_ns
        deadline_ns = start_ns + task.deadline_ns if task.deadline_ns else 0
        self.publish("task", replace(task, asked_ns=self.now_ns(), deadline_ns=deadline_ns))

    def _capture(self, capture: Capture) -> None:
        message: Any
        if capture.via == "image":
            message = self._decoded(capture)
        else:
            message = CompressedImage(format=capture.file.suffix.lstrip("."))
            message.data = capture.file.read_bytes()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(
            self.now_ns(), 1_000_000_000
        )
        message.header.frame_id = f"{capture.sensor}/{capture.place}"
        if capture.via == "folder":
            message.format = f"{capture.sensor}__{capture.place}{capture.file.suffix}"
            self._put(message)
        elif capture.via == "compressed":
            self.publish("image/compressed", message)
        else:
            self.publish("image", message)

    def _decoded(self, capture: Capture) -> Image:
        values = read_file(capture.file, self._sensors[capture.sensor]).values
        frames, height, width, bands = values.shape
        # Dates of a series travel as further bands, frame by frame; ingest takes them apart.
        flat = np.ascontiguousarray(np.moveaxis(values, 0, 2)).reshape(height, width, -1)
        return Image(
            height=height,
            width=width,
            encoding=f"{_ENCODINGS[values.dtype.name]}{frames * bands}",
            step=width * frames * bands * values.itemsize,
            data=flat.tobytes(),
        )
