"""scenario_player: plays captures into the satellite's inputs and questions into the ground's.

One instance a domain: in the satellite's it is the camera, on the ground it is the askers.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

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
        Parameter("role", "camera", "camera: plays captures; asker: plays questions"),
        Parameter("target", "sat1", "segment that is played to"),
    )

    def __init__(self, name: str = "scenario_player", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Read the scenario."""
        self._scenario = load_scenario(Path(project_file(self.param("scenario"))))
        prefix = f"/{self.param('target')}/"
        if self.param("role") == "camera":
            self.speak("image", "image/compressed", prefix=prefix)
            text = Path(project_file("config/mission/sensors.yaml")).read_text(encoding="utf-8")
            self._sensors = load_sensors(text)
            root = self.param("state_dir") or os.path.expanduser("~/.local/share/spaceverse")
            self._inbox = Path(root) / self.param("target") / "inbox"
        else:
            self.speak("task", prefix=prefix)

    def activate(self) -> None:
        """Schedule what is still to come; what lies in the past was played before a restart."""
        now_ns, start_ns = self.now_ns(), self._scenario.start_ns
        items: tuple[Any, ...] = self._scenario.captures
        play: Any = self._capture
        if self.param("role") != "camera":
            items, play = self._scenario.questions, self._ask
        for item in items:
            due_ns = start_ns + round(item.at_s * 1e9)
            if due_ns >= now_ns:
                self.at(due_ns, lambda item=item: play(item))

    def _ask(self, question: Question) -> None:
        task, start_ns = question.task, self._scenario.start_ns
        deadline_ns = start_ns + task.deadline_ns if task.deadline_ns else 0
        self.publish("task", replace(task, asked_ns=self.now_ns(), deadline_ns=deadline_ns))

    def _capture(self, capture: Capture) -> None:
        if capture.via == "folder":
            self._inbox.mkdir(parents=True, exist_ok=True)
            part = self._inbox / f".{capture.file.name}.part"
            shutil.copyfile(capture.file, part)
            name = f"{capture.sensor}__{capture.place}{capture.file.suffix}"
            os.replace(part, self._inbox / name)
            return
        message: Any
        if capture.via == "compressed":
            message = CompressedImage(format=capture.file.suffix.lstrip("."))
            message.data = capture.file.read_bytes()
            topic = "image/compressed"
        else:
            message = self._decoded(capture)
            topic = "image"
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(
            self.now_ns(), 1_000_000_000
        )
        message.header.frame_id = f"{capture.sensor}/{capture.place}"
        self.publish(topic, message)

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
