"""Repair paths of the build machine in the CMake exports of installed ROS wheels.

The wheels were built with a Python in /opt/python, and their exported targets still name its
headers; CMake then stops in every package that depends on messages.
"""

from __future__ import annotations

import re
from pathlib import Path

NUMPY_HEADERS = re.compile(
    r'/opt/python/[^/;"]+/lib/python3\.\d+/site-packages/numpy/_core/include'
)
PYTHON_HEADERS = re.compile(r'/opt/python/[^/;"]+/include/python3\.\d+')


def relocate_exports(prefix: Path, python_headers: Path, numpy_headers: Path) -> int:
    """Point exported CMake targets to headers of this machine.

    Args:
        prefix: environment that holds ``share/*/cmake/*Export.cmake``.
        python_headers: folder with Python.h.
        numpy_headers: folder that holds ``numpy/arrayobject.h``.
    Returns:
        Number of files changed; 0 when all were right already.
    """
    changed = 0
    for path in sorted(prefix.glob("share/*/cmake/*Export.cmake")):
        before = path.read_text()
        after = NUMPY_HEADERS.sub(lambda _: str(numpy_headers), before)
        after = PYTHON_HEADERS.sub(lambda _: str(python_headers), after)
        if after != before:
            path.write_text(after)
            changed += 1
    return changed
