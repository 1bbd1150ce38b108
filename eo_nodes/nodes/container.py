"""One process with one or several nodes of a segment.

    python -m eo_nodes.nodes.container --nodes camera_ingest,preprocess --ros-args ...

Namespace, parameters and domain come by the usual ROS arguments and environment.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from typing import Any

from .runner import run

NODES = {
    "camera_ingest": "CameraIngest",
    "tasking": "Tasking",
    "preprocess": "Preprocess",
    "compact_lvlm": "CompactLvlm",
    "confidence": "Confidence",
    "downlink_scheduler": "DownlinkSchedulerNode",
    "contact_planner": "ContactPlanner",
    "health_monitor": "HealthMonitor",
    "ground_station": "GroundStation",
    "ground_lvlm": "GroundLvlm",
    "archive": "Archive",
}


def factory_of(name: str) -> Callable[[], Any]:
    """Return the class of a node by its name in the graph.

    Raises:
        SystemExit: no such node.
    """
    if name not in NODES:
        raise SystemExit(f"unknown node {name!r}; known: {', '.join(NODES)}")
    return getattr(importlib.import_module(f"eo_nodes.nodes.{name}_node"), NODES[name])


def main(argv: list[str] | None = None) -> None:
    """Parse our arguments; the rest belongs to ROS."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", required=True, help="comma separated names of the graph")
    parser.add_argument("--segment", default="", help="name of the segment, for process listings")
    known, rest = parser.parse_known_args(sys.argv[1:] if argv is None else argv)
    names = known.nodes.split(",")
    sys.exit(run([factory_of(name) for name in names], args=[sys.argv[0], *rest]))


if __name__ == "__main__":
    main()
