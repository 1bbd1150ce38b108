"""Declaration of node parameters: name, default, meaning and range in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a node.

    Attributes:
        name: ROS parameter name.
        default: also fixes the type.
        about: meaning and unit, one line.
        low, high: inclusive range of numbers; None for no bound.
    """

    name: str
    default: Any
    about: str
    low: float | None = None
    high: float | None = None

    def descriptor(self) -> ParameterDescriptor:
        """Return what `declare_parameter` wants; ranges are enforced by rclpy."""
        result = ParameterDescriptor(name=self.name, description=self.about)
        if self.low is not None and self.high is not None:
            if isinstance(self.default, float):
                result.floating_point_range = [
                    FloatingPointRange(from_value=float(self.low), to_value=float(self.high))
                ]
            else:
                result.integer_range = [
                    IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)
                ]
        return result


COMMON = (
    Parameter("lockstep", False, "simulated time moves only when every node is idle"),
    Parameter("compute_mode", "measured", "duration of jobs in lock-step: measured, fixed, file"),
    Parameter("compute_file", "", "durations of an earlier run, JSON lines (compute_mode file)"),
    Parameter("compute_fixed_ms", 50.0, "duration of each job (compute_mode fixed)", 0.0, 1e6),
    Parameter("state_dir", "", "folder for durable state; empty: ~/.local/share/spaceverse"),
    Parameter("satellite", "", "name in config/mission/satellites.yaml"),
    Parameter("heartbeat_s", 1.0, "period of heartbeats, s, real time", 0.05, 60.0),
)


def declare(node: Node, parameters: tuple[Parameter, ...]) -> None:
    """Declare the common and the given parameters of a node."""
    for item in (*COMMON, *parameters):
        node.declare_parameter(item.name, item.default, item.descriptor())
