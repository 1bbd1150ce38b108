"""What the nodes are told in this mission, so that the trace is made as the graph would make it.

Read from the same parameter files that the nodes are started with; there is no second copy of
these numbers in the study.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.graph.paths import project_file
from eo_nodes.orbit.config_keys import Keys, read_yaml

SPACE, GROUND = "config/params/space.yaml", "config/params/ground.yaml"


@dataclass(frozen=True, slots=True)
class GraphLimits:
    """Parameters of the nodes.

    Attributes:
        compact_tokens, regular_tokens: longest answer. tap2_tokens: decoded before the second tap.
        compact_px, regular_px: longest side of the overview that a model is shown.
    """

    compact_tokens: int
    regular_tokens: int
    tap2_tokens: int
    compact_px: int
    regular_px: int

    def as_plain(self) -> dict[str, int]:
        """For the header of a trace."""
        return asdict(self)


def graph_limits(space: Path | None = None, ground: Path | None = None) -> GraphLimits:
    """Read them from the mission's parameter files.

    Raises:
        ConfigError: a file, a node or a parameter is missing, or no whole number above 0.
    """
    aboard = read_yaml(space or project_file(SPACE))
    below = read_yaml(ground or project_file(GROUND))
    return GraphLimits(
        compact_tokens=_number(aboard, "compact_lvlm", "max_tokens"),
        regular_tokens=_number(below, "ground_lvlm", "max_tokens"),
        tap2_tokens=_number(aboard, "compact_lvlm", "tap2_tokens"),
        compact_px=_number(aboard, "preprocess", "overview_px"),
        regular_px=_number(below, "ground_lvlm", "overview_px"),
    )


def _number(tree: Any, node: str, name: str) -> int:
    keys = Keys(tree, "parameters").child(f"/**/{node}").child("ros__parameters")
    value = keys.number(name, 1, 1e6)
    if value != int(value):
        raise ConfigError(f"{node}.{name}: {value} is no whole number")
    return int(value)
