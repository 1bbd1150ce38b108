"""Steps as JSON lines: what the bring-up prints, and both ways of running the graph read."""

from __future__ import annotations

import json
from typing import Any

LOST = "lost"  # a node fell silent: its process is to be killed, and so started again


class StepLines:
    """Cuts output into lines and reads each; a line that is no step becomes a note."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """Return the steps that are complete with this chunk."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [_step(line) for line in lines]


def _step(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if isinstance(fields, dict) and isinstance(fields.get("stage"), str):
        return fields
    return {"stage": "note", "text": line.decode(errors="replace")}
