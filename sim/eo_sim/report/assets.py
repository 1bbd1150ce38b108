"""Where the files lie that go into the page: sim/assets, or share/spaceverse/sim/assets."""

from __future__ import annotations

from pathlib import Path

from .schema import ReportError


def asset(name: str) -> Path:
    """Return a file of ``sim/assets``.

    Raises:
        ReportError: it is neither in the source tree nor in an installation.
    """
    here = Path(__file__).resolve()
    places = [here.parents[2] / "assets"]
    places += [parent / "share" / "spaceverse" / "sim" / "assets" for parent in here.parents]
    for folder in places:
        if (folder / name).is_file():
            return folder / name
    raise ReportError(f"{name} not found in sim/assets")
