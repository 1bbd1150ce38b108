"""Find files of the project wherever it lies: source tree, ROS prefix or pip installation."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

from eo_nodes.contracts.errors import ConfigError

PACKAGE = "spaceverse"


def share_folders() -> list[Path]:
    """List folders that may hold config/, models/ and the like, best first.

    The source tree comes first, so that an edit counts without a new build; then prefixes of
    ROS (the environment names them); then where pip puts data files.
    """
    source = Path(__file__).resolve().parents[2]
    folders = [source] if (source / "package.xml").is_file() else []
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    folders += [Path(prefix) / "share" / PACKAGE for prefix in prefixes if prefix]
    schemes = ["", "posix_user"] if os.name == "posix" else [""]
    for scheme in schemes:
        data = sysconfig.get_path("data", scheme) if scheme else sysconfig.get_path("data")
        folders.append(Path(data) / "share" / PACKAGE)
    return folders


def project_file(relative: str) -> Path:
    """Return the absolute path of a file or folder of the project.

    Args:
        relative: as in the source tree, e.g. ``config/graph.yaml``.
    Raises:
        ConfigError: it is nowhere; the text names the places looked at.
    """
    folders = share_folders()
    for folder in folders:
        path = folder / relative
        if path.exists():
            return path
    places = ", ".join(map(str, folders))
    raise ConfigError(f"{relative} is in none of: {places}")
