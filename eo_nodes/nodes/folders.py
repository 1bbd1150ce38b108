"""Where a node keeps durable state."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import EoNode


def state_folder(node: EoNode) -> str:
    """Return the folder for durable state of a node's segment, created if missing."""
    root = node.param("state_dir") or os.path.expanduser("~/.local/share/spaceverse")
    path = os.path.join(root, node.segment)
    os.makedirs(path, exist_ok=True)
    return path
