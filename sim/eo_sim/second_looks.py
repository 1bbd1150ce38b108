"""What more pixels brought an answer: asked for by the ground, or sent by the satellite unasked.

Counts over the rows of a report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eo_sim.truth_match import is_right


def second_looks(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Count the answers on the ground that wanted a region first.

    Args:
        rows: of requests, as `eo_sim.report.schema.RequestRow`.
    Returns:
        ``asked``; of these ``refined``: the region came before the final; ``changed`` of these
        say something else than before, ``right_before`` and ``right_after`` were right; ``bytes``
        of the regions made.
    """
    asked = [row for row in rows if row["asked_region"]]
    return {"asked": len(asked), **_brought(asked, "region_received", "before_region"),
            "bytes": sum(row["region_bytes"] for row in asked)}  # fmt: skip


def followed(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Count the answers on the ground that were held for finer pixels sent unasked.

    Returns:
        ``held``; the others as `second_looks`, of the pixels that followed.
    """
    held = [row for row in rows if row["before_finer"]]
    return {"held": len(held), **_brought(held, "finer_received", "before_finer"),
            "bytes": sum(row["finer_bytes"] for row in rows)}  # fmt: skip


def _brought(rows: Sequence[dict[str, Any]], step: str, said: str) -> dict[str, int]:
    refined = [
        row
        for row in rows
        if any(done["name"] == step for done in row.get("steps", ())) and row["status"] == "final"
    ]
    return {
        "refined": len(refined),
        "changed": sum(row[said] != row["answer"] for row in refined),
        "right_before": [is_right(row[said], row["truth"]) for row in refined].count(True),
        "right_after": sum(row["right"] is True for row in refined),
    }
