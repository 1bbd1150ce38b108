"""A request about a scene of 200 x 160 pixels whose frame lies in the store of namespace /test."""

import numpy as np

from eo_nodes.contracts.values import Request, Scene
from eo_nodes.store.frame_store import FrameStore


def request_of(folder, name, prompt, **more):
    """Put the frame below ``folder`` and ask; ``more``: further fields of the request."""
    pixels = np.random.default_rng(3).integers(0, 256, (1, 160, 200, 3), np.uint8)
    frame = FrameStore(folder / "test" / "frames", 1 << 20).put("frame-1", pixels)
    scene = Scene(
        id="scn-1", capture_ns=1, sensor="rgb_camera", modality="optical", frame_key="frame-1",
        frames=1, height=160, width=200, bands=3, dtype="uint8", sha256=frame.sha256,
        band_names=("red", "green", "blue"), raw_bytes=pixels.nbytes,
    )  # fmt: skip
    return Request(
        id=f"req-{name}", task_id="task-1", scene_id="scn-1", scene=scene, modality="optical",
        prompt=prompt, consumer="ground", attempt=1, **more,
    )  # fmt: skip
