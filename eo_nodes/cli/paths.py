"""Where config and models lie: in a source tree, or in share/spaceverse of an installation."""

from __future__ import annotations

from pathlib import Path

from eo_nodes.contracts.errors import ConfigError


def shared(name: str) -> Path:
    """Return a file or folder that comes with the project, e.g. ``config/mission``.

    Raises:
        ConfigError: it is in none of the places known.
    """
    here = Path(__file__).resolve()
    roots = [here.parents[2], *(parent / "share" / "spaceverse" for parent in here.parents)]
    for root in roots:
        if (root / name).exists():
            return root / name
    raise ConfigError(f"{name} not found below {roots[0]} or any share/spaceverse")


def config_folder() -> Path:
    """Return the folder ``config``."""
    return shared("config")


def model_folder(name: str) -> Path:
    """Return a model folder: a path as it is, else by its name below ``models``.

    Raises:
        ConfigError: there is none.
    """
    path = Path(name)
    return path if path.is_dir() else shared(f"models/{name}")
