"""Figures of kept regions: measured on pictures by a command of their own, committed, shown here.

The study has no pictures but the chips. So what kept regions hold is measured where the data folder
is (``training.evaluation.regions --keep``), and the file says what its answers hang on. It is shown
only where the models of the trace are those models; answers of the regular model apart, as the
compact model alone says what is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.manifest import answers_digest, read_manifest

from .errors import StudyError

FILE = "sim/assets/study/regions.json"
COMMAND = "python -m training.evaluation.regions --data DIR --answers --keep"
# Per cent of the named instances held, and points of the regular model's accuracy lost.
LEAST_HELD, MOST_LOST = 80.0, 2.0
OURS, WRONG = "ours", "wrong prompt"
Table = Mapping[str, Any]


def kept_regions(
    path: Path | None, digests: Mapping[str, str], folders: Mapping[str, Path]
) -> dict[str, Any]:
    """For table.json: figures and limits by budget, or why there are none.

    Args:
        path: None where there is no such file.
        digests: of the trace's models. folders: of the models at hand, ``compact``, ``regular``.
    Raises:
        StudyError: the file is there and cannot be read.
    """
    if path is None or not path.is_file():
        return _not_measured("no file")
    found = _read(path)
    mine = {name: answers_of(folders[name], digests[name]) for name in ("compact", "regular")}
    made: Mapping[str, str] = found["models"]
    if not mine["compact"] or mine["compact"] != made.get("compact"):
        return _not_measured(f"measured with compact {made.get('compact', '')[:12]}")
    is_asked = bool(mine["regular"]) and mine["regular"] == made.get("regular")
    tables = {of: {name: _without_answers(row, is_asked) for name, row in table.items()}
              for of, table in found["tables"].items()}
    return {
        "is_measured": True, "command": found["command"], "models": dict(made),
        "share": found["share"], "scenes": found["scenes"], "split": found["split"],
        "cells": found["cells"], "tables": tables,
        "limits": {of: _limits(table) for of, table in tables.items()},
    }  # fmt: skip


def answers_of(folder: Path, digest: str) -> str:
    """Digest of what a folder's answers hang on; "" where it is not the one of ``digest``."""
    try:
        return answers_digest(folder) if read_manifest(folder).digest == digest else ""
    except ModelError:
        return ""


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for key in ("models", "tables", "command", "share", "scenes", "split", "cells"):
            found[key]
        for table in found["tables"].values():
            for name in (OURS, WRONG):
                low, high = table[name]["ci95"]
                float(table[name]["held_percent"]), float(low), float(high)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"{path}: not as {COMMAND} writes it: {error!r}") from error
    return found


def _not_measured(why: str) -> dict[str, Any]:
    return {"is_measured": False, "why": f"not measured for these models ({why})",
            "command": COMMAND}


def _without_answers(row: Table, is_asked: bool) -> dict[str, Any]:
    return {k: v for k, v in row.items() if is_asked or k != "points_lost"}


def _limits(table: Table) -> dict[str, bool | None]:
    """What is reached; None: not measured. A wrong prompt is worse where the intervals part."""
    mine, wrong = table[OURS], table[WRONG]
    lost = mine.get("points_lost")
    return {
        "held": mine["held_percent"] >= LEAST_HELD,
        "points_lost": None if lost is None else lost["points"] <= MOST_LOST,
        "wrong_is_worse": wrong["ci95"][1] < mine["ci95"][0],
    }
