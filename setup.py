"""Packaging for pip, where no ROS need be: cores, command, console, simulation and study.

`colcon build` reads package.xml and CMakeLists.txt instead; message types exist only there.
Everything that is not Python goes to share/spaceverse, the same place as in a ROS prefix, and
is found by `eo_nodes.graph.paths`.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
SHARED = ("config", "launch", "models", "msg", "srv", "sim/assets")


def data_files() -> list[tuple[str, list[str]]]:
    """List files to install, one entry a folder, as setuptools wants them."""
    folders: dict[str, list[str]] = {}
    for name in SHARED:
        for path in sorted((ROOT / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                relative = path.relative_to(ROOT)
                folders.setdefault(f"share/spaceverse/{relative.parent}", []).append(str(relative))
    return sorted(folders.items())


setup(
    packages=[
        *find_packages(include=["eo_nodes", "eo_nodes.*", "training", "training.*"]),
        *find_packages("sim", include=["eo_sim", "eo_sim.*"]),
    ],
    package_dir={"eo_sim": "sim/eo_sim"},
    package_data={"": ["*.args", "*.gz", "*.json", "*.lock"]},
    data_files=data_files(),
)
