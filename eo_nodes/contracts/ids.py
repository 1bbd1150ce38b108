"""Identifiers: sortable by time, unique across reboots and clock sets.

A fresh id holds the time in ms (hex, so that text order is time order), the origin, the boot
count and a counter; the last two make it unique even when the clock is set back (M29).
Request, product and answer ids derive from what they belong to, so that the same pair gives
the same id everywhere and a duplicate is recognised.
"""

from __future__ import annotations

import hashlib


class IdFactory:
    """Make fresh ids for one origin and one boot.

    Args:
        origin: name of the node or console, short, no hyphen.
        boot: boot count of that origin; never used twice.
    """

    def __init__(self, origin: str, boot: int) -> None:
        self._suffix = f"{origin.replace('-', '_')}-{boot:04x}"
        self._count = 0

    def new(self, kind: str, now_ns: int) -> str:
        """Return ``kind-time-origin-boot-count``."""
        self._count += 1
        return f"{kind}-{max(now_ns, 0) // 1_000_000:011x}-{self._suffix}-{self._count:05x}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def request_id(task_id: str, scene_id: str, capture_ns: int) -> str:
    """Id of a task applied to a scene."""
    return f"req-{capture_ns // 1_000_000:011x}-{_digest(task_id, scene_id)}"


def product_id(request: str, kind: str, version: int = 1) -> str:
    """Id of a product of a request."""
    return f"prd-{request.removeprefix('req-')}-{kind}-{version}"


def answer_id(request: str, origin: str, version: int) -> str:
    """Id of a version of an answer; `origin` is onboard or ground."""
    return f"ans-{request.removeprefix('req-')}-{origin}-{version}"


def refusal_id(task_id: str) -> str:
    """Id of the refusal of a task that never became a request."""
    return f"ans-task-{_digest(task_id)}-refused"
