"""What one side keeps in memory, in a process of its own.

    python -m training.bench_runtime.memory ours|torch FOLDER

Prints resident bytes before the model, with it, and at the peak of two answers.
"""

import importlib
import json
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from training.bench_runtime import asking

SIDES = {"ours": "training.bench_runtime.asking", "torch": "training.bench_runtime.modules"}
_PEAK_IS_NOW = "5"            # to clear_refs: the peak begins anew


@dataclass(frozen=True, slots=True)
class Resident:
    """Bytes: bare: libraries alone; loaded: with the model; peak: while it answers."""

    bare: int
    loaded: int
    peak: int


def now():
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak():
    """Largest number of resident bytes since the last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise OSError("this system does not tell the peak of a process")


def measured(side, folder):
    """`Resident` of a fresh process."""
    command = [sys.executable, "-m", __spec__.name, side, str(folder)]
    reply = subprocess.run(command, check=True, capture_output=True, text=True)
    return Resident(**json.loads(reply.stdout))


def tell():
    side, folder = sys.argv[1:]
    opened, seen = importlib.import_module(SIDES[side]).opened, asking.picture()
    bare = now()
    model = opened(folder)
    asking.give_back()
    loaded = now()
    Path("/proc/self/clear_refs").write_text(_PEAK_IS_NOW)
    for _ in range(2):
        asking.ask(model, seen)
    print(json.dumps({"bare": bare, "loaded": loaded, "peak": peak()}))


if __name__ == "__main__":
    tell()
