"""What asking for a region brought: counts over the rows of a report."""

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
    refined = [
        row
        for row in asked
        if any(step["name"] == "region_received" for step in row.get("steps", ()))
        and row["status"] == "final"
    ]
    before = [is_right(row["before_region"], row["truth"]) for row in refined]
    return {
        "asked": len(asked),
        "refined": len(refined),
        "changed": sum(row["before_region"] != row["answer"] for row in refined),
        "right_before": before.count(True),
        "right_after": sum(row["right"] is True for row in refined),
        "bytes": sum(row["region_bytes"] for row in asked),
    }
