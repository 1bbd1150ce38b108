"""Quality-of-service objects from the one table in `eo_nodes.contracts.topics` (M34)."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from eo_nodes.contracts.topics import Qos


def profile(row: Qos) -> QoSProfile:
    """Translate one row of the table."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=row.depth,
        reliability=ReliabilityPolicy.RELIABLE if row.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if row.latched else DurabilityPolicy.VOLATILE),
    )
