"""Training by a time budget: progress, learning rate and resumable checkpoints.

A budget in minutes fits machines whose speed is not known beforehand; the seed fixes the order of
samples, the machine decides how many of them are seen. The number of steps goes into the card.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

import torch

_PAGES = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33),
          "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def keep_pages() -> None:
    """Start this program again with an allocator that keeps its pages, unless it already does.

    The activations of a step are tens of MB each; given back to the kernel and taken again they
    cost a quarter of a training step on a CPU in page faults.
    """
    if any(os.environ.get(k) != v for k, v in _PAGES.items()):
        os.environ.update(_PAGES)
        os.execv(sys.executable, sys.orig_argv)


class Budget:
    """Elapsed share of a time budget, kept across restarts."""

    def __init__(self, minutes: float, spent_s: float = 0.0) -> None:
        self._total_s = minutes * 60
        self._start = time.monotonic() - spent_s

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self._start

    @property
    def share(self) -> float:
        return min(1.0, self.spent_s / self._total_s)

    def rate(self, warm_up: float = 0.04, floor: float = 0.02) -> float:
        """Factor on the learning rate at the present share."""
        return rate_at(self.share, warm_up, floor)


def rate_at(share: float, warm_up: float = 0.04, floor: float = 0.02) -> float:
    """Factor on the learning rate at a share of the budget: linear warm-up, cosine to ``floor``."""
    if share < warm_up:
        return max(0.05, share / warm_up)
    x = (share - warm_up) / (1 - warm_up)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * x))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Scale each group's base learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def save(path: Path, state: dict) -> None:
    """Write atomically, so that a kill leaves the previous checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def restore(path: Path) -> dict | None:
    """The checkpoint, or None."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def tell(path: Path, line: dict) -> None:
    """Append a line to a log of losses, and print it."""
    text = json.dumps(line)
    with path.open("a") as file:
        file.write(text + "\n")
    print(text, flush=True)
