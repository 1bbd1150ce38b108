"""Where files of the project lie: source tree, or share/spaceverse of an installation.

The console stands alone (no ROS, no graph), so it looks for itself.
"""

from __future__ import annotations

from pathlib import Path

from eo_nodes.contracts.errors import ConfigError


def shared(name: str) -> Path:
    """Return a file or folder, e.g. ``msg/Answer.msg``.

    Raises:
        ConfigError: it is in none of the places known.
    """
    here = Path(__file__).resolve()
    roots = [here.parents[2], *(parent / "share" / "spaceverse" for parent in here.parents)]
    for root in roots:
        if (root / name).exists():
            return root / name
    raise ConfigError(f"{name} not found below {roots[0]} or any share/spaceverse")
