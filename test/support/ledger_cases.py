"""What the tests of both ledgers start from: limits, one task, one scene, one product."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eo_nodes.contracts.values import Product, Scene, Task
from eo_nodes.tasking.ground_rows import GroundLimits

S = 1_000_000_000
GROUND_LIMITS = GroundLimits(
    model_ns=50 * S, lifetime_ns=1000 * S, silence_ns=500 * S, latch_ns=60 * S
)
TASK = Task(
    id="task-1", asked_ns=1, asker="ann", prompt="ships?", deadline_ns=100 * S, consumer="ground",
    max_answers=1,
)  # fmt: skip
LATER_TASK = replace(TASK, deadline_ns=300 * S)
SCENE = Scene(
    id="scene-1", capture_ns=2 * S, sensor="pan", modality="optical", frame_key="frame-1",
    frames=1, height=10, width=20, bands=3, dtype="uint16", sha256="0" * 64,
)  # fmt: skip
PRODUCT = Product(
    id="prd-1", request_id="req-1", task_id="task-1", scene_id="scene-1", kind="regions",
    path="/p", size_bytes=700, raw_bytes=9000, deadline_ns=300 * S,
)  # fmt: skip


def only(actions: list[Any], kind: type) -> list[Any]:
    """The actions of one kind."""
    return [action for action in actions if isinstance(action, kind)]
