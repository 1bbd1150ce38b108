"""A whole replay as one set of arrays, in order of satellite and capture, for tests."""

from dataclasses import fields
from types import SimpleNamespace

import numpy as np

from eo_sim.study.flight import Asking
from eo_sim.study.replay import Replay


def play_out(replayer, requests, world, decide, *, first_stage=1, is_lifo=False):
    """Every field of ``Replay`` over all requests, and the bytes of all links."""
    blocks = []
    replayer.run(requests, world, Asking(decide, first_stage, is_lifo), blocks.append)
    found = {
        field.name: np.concatenate([np.atleast_1d(getattr(b, field.name)) for b in blocks])
        for field in fields(Replay) if field.name not in ("satellite", "end_s")
    }  # fmt: skip
    found["satellite"] = np.concatenate([np.full(len(b), b.satellite) for b in blocks])
    order = np.lexsort((found["number"], found["satellite"]))
    capacity = sum(link.sent_bytes[-1] for link in world.links.values())
    return SimpleNamespace(
        **{name: values[order] for name, values in found.items()}, end_s=world.end_s,
        sent_bytes=float(found["down_bytes"].sum()), capacity_bytes=capacity, blocks=len(blocks),
    )  # fmt: skip
