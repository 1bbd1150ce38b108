"""Images of 1 and 8 MB between two of our processes, beside a reference program and a plain copy.

Each pair of processes (sender, receiver) stays up and warm; blocks of images go through the pairs
in turns, so that both see the same machine. The limit is on the ratio of our latency to the
reference's: median of the blocks' ratios. `bench.image_peer` says what each end does.

Our pair runs with the environment of the processes that carry images (config/graph.yaml): 64 MB
segments. The reference has 256 MB segments and the same heap settings.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from eo_nodes.graph.description import load_graph
from eo_nodes.graph.paths import project_file
from eo_nodes.graph.plan import make_plan

from .figures import Outcome, figure_of
from .space_graph import BenchError
from .stats import summarise

LIMIT_RATIO = 1.3
_MB = 1_000_000
_COUNTS = {1: 60, 8: 20}
_ROUNDS, _WARM_UP = 7, 2
_REFERENCE_PROFILE = Path(__file__).parent / "data" / "reference_dds.xml"
_DOMAINS = {"nodes": 95, "reference": 96}
# Counted in the code: ours, the generated message code, and (by its design) Fast DDS.
COPIES = {
    "nodes": 10,
    "steps": [
        "array.array from pixels", "field of the message", "C message", "CDR", "segment",
        "reader's payload", "C message", "field of the message", "array.array", "bytes",
    ],
}  # fmt: skip


class Pair:
    """A sender and a receiver of one kind."""

    def __init__(self, kind: str, environment: dict[str, str]) -> None:
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "bench.image_peer", kind, role, str(_DOMAINS[kind])],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for role in ("receive", "send")
        ]
        self._sender = self._processes[1]

    def wait_ready(self) -> None:
        """Wait for both ends."""
        self._reply()

    def run(self, size_mb: int, count: int) -> dict[str, Any]:
        """Send one block of images. Raises `BenchError` when an end died or images were lost."""
        assert self._sender.stdin is not None
        order = json.dumps({"bytes": size_mb * _MB, "count": count})
        self._sender.stdin.write(order + "\n")
        self._sender.stdin.flush()
        reply = self._reply()
        if reply["lost"]:
            raise BenchError(f"{reply['lost']} of {count} images were lost")
        return reply

    def _reply(self) -> dict[str, Any]:
        assert self._sender.stdout is not None
        line = self._sender.stdout.readline()
        if not line:
            raise BenchError("the sender of images died")
        return json.loads(line)

    def close(self) -> None:
        """End both processes."""
        for process in reversed(self._processes):
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def our_environment() -> dict[str, str]:
    """Return the environment of the process that ingests images, without its domain."""
    plan = make_plan(load_graph(project_file("config/graph.yaml")), "flight")
    process = next(p for p in plan.processes if any("camera_ingest" in n.name for n in p.nodes))
    return {k: v for k, v in process.environment.items() if k != "ROS_DOMAIN_ID"}


def outcome() -> Outcome:
    """Run the benchmark."""
    ours = our_environment()
    reference = {**ours, "FASTDDS_DEFAULT_PROFILES_FILE": str(_REFERENCE_PROFILE)}
    pairs = {"nodes": Pair("nodes", ours), "reference": Pair("reference", reference)}
    blocks: dict[tuple[str, int], list[dict[str, Any]]] = {}
    copies: dict[int, list[float]] = {size: [] for size in _COUNTS}
    try:
        for pair in pairs.values():
            pair.wait_ready()
        for number in range(_ROUNDS + _WARM_UP):
            for size, count in _COUNTS.items():
                # Who goes first changes, so that neither profits from what went before.
                for kind in list(pairs)[:: 1 if number % 2 else -1]:
                    block = pairs[kind].run(size, count)
                    if number >= _WARM_UP:
                        blocks.setdefault((kind, size), []).append(block)
                copies[size].append(_copy_ms(size * _MB))
    finally:
        for pair in pairs.values():
            pair.close()
    rows = []
    details: dict[str, Any] = {"copies_per_hop": COPIES}
    for size in _COUNTS:
        medians = {kind: _medians(blocks[kind, size]) for kind in pairs}
        ratios = [a / b for a, b in zip(medians["nodes"], medians["reference"], strict=True)]
        every = [ns / 1e6 for block in blocks["nodes", size] for ns in block["latency_ns"]]
        rates = {
            kind: statistics.median(_COUNTS[size] / b["elapsed_s"] for b in blocks[kind, size])
            for kind in pairs
        }
        copy_ms = statistics.median(copies[size])
        reference_ms = statistics.median(medians["reference"])
        note = f"reference {reference_ms:.2f} ms; blocks of {_COUNTS[size]} in turns"
        rows.append(
            figure_of(f"image {size} MB, of reference", summarise(ratios), "x",
                      limit=LIMIT_RATIO, note=note)
        )  # fmt: skip
        note = (
            f"numpy copy {copy_ms:.2f} ms; {rates['nodes']:.0f}/s, "
            f"reference {rates['reference']:.0f}/s; {COPIES['nodes']} copies"
        )
        rows.append(figure_of(f"image {size} MB, latency", summarise(every), "ms", note=note))
        details[f"{size} MB"] = {
            "block_medians_ms": medians,
            "p95_ms": float(np.quantile(every, 0.95)),
            "rate_hz": rates,
            "numpy_copy_ms": copy_ms,
        }
    return Outcome(tuple(rows), details)


def _medians(blocks: list[dict[str, Any]]) -> list[float]:
    return [statistics.median(block["latency_ns"]) / 1e6 for block in blocks]


def _copy_ms(size: int) -> float:
    pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    times = []
    for _ in range(20):
        begin = time.perf_counter_ns()
        pixels.copy()
        times.append((time.perf_counter_ns() - begin) / 1e6)
    return statistics.median(times)
