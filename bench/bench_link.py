"""Link bench: goodput over loopback UDP between two processes, in real time.

Space sends files from disk at a given channel rate, ground writes, checks and publishes them; both
keep transfer state in SQLite, as in flight. Frames are at most 1115 octets (1082 of file data).
Printed and written to ``build/bench/link.json`` for 50 Mbit/s at 0 % and 10 % loss (both ways), and
for the highest rate in a search at which 97 % holds:

    goodput        new file octets that ground accepted in the window, as bit/s
    of rate        goodput / channel rate: every header counts against us
    of capacity    goodput / what full frames carry at this rate and loss: 1082/1115 * (1 - loss)
    cpu            CPU seconds per wall second of each process

The machine's load is printed beside them: two processes starved of cores show a low goodput with a
low CPU share. The sender's token bucket holds 100 ms.

Run: ``python bench/bench_link.py [--json PATH]``. About 18 s.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import select
import socket
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from eo_nodes.link import DiskFilestore, EndpointConfig, LinkEndpoint
from eo_nodes.store.database import Database
from eo_nodes.store.records import RecordStore
from eo_nodes.store.transfer_store import TransferStore

FRAME_BYTES = 1115
SEGMENT_BYTES = 1082
FILE_BYTES = 1_000_000
LIMIT = 0.97
# What a modem's own buffer bridges while a process waits for its disk or for a core.
BURST_NS = 100_000_000
NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Result:
    """One run; shares in 0..1, cpu in seconds per second."""

    rate_bps: float
    loss: float
    window_s: float
    goodput_bps: float
    share_of_rate: float
    share_of_capacity: float
    cpu_space: float
    cpu_ground: float
    files_delivered: int
    frames_lost: int


class Pump:
    """One endpoint on one socket: paced by a token bucket, drops what it receives by chance."""

    def __init__(self, endpoint: LinkEndpoint, rate_bps: float, loss: float, seed: int) -> None:
        self.endpoint = endpoint
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self._rate_bps = rate_bps
        self._loss = loss
        self._random = random.Random(seed)
        self._tokens = 0.0
        self._last_ns = time.monotonic_ns()
        endpoint.on_aos(self._last_ns, rate_bps)

    def turn(self, peer: tuple[str, int]) -> None:
        """Receive what is there, send what the rate allows, wait at most 1 ms for more."""
        for _ in range(256):
            try:
                datagram = self.socket.recv(65536)
            except BlockingIOError:
                break
            if self._loss == 0.0 or self._random.random() >= self._loss:
                self.endpoint.receive(datagram, time.monotonic_ns())
        now_ns = time.monotonic_ns()
        self._tokens += self._rate_bps / 8 * min(now_ns - self._last_ns, BURST_NS) / NS_PER_S
        self._last_ns = now_ns
        datagrams, _ = self.endpoint.poll(now_ns, int(self._tokens))
        for datagram in datagrams:
            self.socket.sendto(datagram, peer)
            self._tokens -= len(datagram)
        if not datagrams:
            self._tokens = min(self._tokens, 2.0 * FRAME_BYTES)
        select.select([self.socket], [], [], 0.001)


def make_endpoint(folder: Path, *, is_space: bool) -> LinkEndpoint:
    """Build an endpoint with a real filestore and a durable transfer store."""
    name = "space" if is_space else "ground"
    store = TransferStore(RecordStore(Database(folder / f"{name}.db")))
    ids = (1, 2) if is_space else (2, 1)
    root = str(folder / name)
    config = EndpointConfig(*ids, root, is_space=is_space, max_frame_bytes=FRAME_BYTES)
    return LinkEndpoint(config, DiskFilestore(), store)


def run_space(
    pipe: Connection, folder: str, peer: tuple[str, int], rate_bps: float, loss: float, files: int
) -> None:
    """Child process: queue the files, send until told to stop, report CPU seconds."""
    path = Path(folder) / "product.bin"
    path.write_bytes(random.Random(1).randbytes(FILE_BYTES))
    endpoint = make_endpoint(Path(folder), is_space=True)
    for index in range(files):
        endpoint.put(str(path), f"product-{index}.bin", (index,), b"", time.monotonic_ns())
    pump = Pump(endpoint, rate_bps, loss, 2)
    pipe.send(pump.socket.getsockname())
    pipe.recv()
    cpu_s = time.process_time()
    pump._last_ns = time.monotonic_ns()
    while not pipe.poll():
        pump.turn(peer)
    pipe.send(time.process_time() - cpu_s)


def measure(rate_bps: float, loss: float, window_s: float) -> Result:
    """Run one window and return its figures."""
    files = int(rate_bps * (window_s + 1.0) / 8 / FILE_BYTES) + 2
    with tempfile.TemporaryDirectory() as folder:
        pump = Pump(make_endpoint(Path(folder), is_space=False), rate_bps, loss, 3)
        pipe, child_pipe = multiprocessing.Pipe()
        child = multiprocessing.get_context("spawn").Process(
            target=run_space,
            args=(child_pipe, folder, pump.socket.getsockname(), rate_bps, loss, files),
        )
        child.start()
        peer = pipe.recv()
        counters = pump.endpoint.counters
        pipe.send("go")
        while counters.file_bytes_new == 0:
            pump.turn(peer)
        cpu_s, start_ns, held = time.process_time(), time.monotonic_ns(), counters.file_bytes_new
        while time.monotonic_ns() - start_ns < window_s * NS_PER_S:
            pump.turn(peer)
        elapsed_s = (time.monotonic_ns() - start_ns) / NS_PER_S
        goodput_bps = (counters.file_bytes_new - held) * 8 / elapsed_s
        cpu_ground = (time.process_time() - cpu_s) / elapsed_s
        pipe.send("stop")
        cpu_space = pipe.recv() / elapsed_s
        child.join()
    capacity_bps = rate_bps * (1 - loss) * SEGMENT_BYTES / FRAME_BYTES
    return Result(
        rate_bps=rate_bps,
        loss=loss,
        window_s=round(elapsed_s, 3),
        goodput_bps=round(goodput_bps),
        share_of_rate=round(goodput_bps / rate_bps, 4),
        share_of_capacity=round(goodput_bps / capacity_bps, 4),
        cpu_space=round(cpu_space, 3),
        cpu_ground=round(cpu_ground, 3),
        files_delivered=counters.files_delivered,
        frames_lost=counters.frame_gaps,
    )


def search(low_bps: float, deadline_s: float) -> tuple[Result | None, list[Result]]:
    """Double the rate while 97 % of capacity holds, then halve the interval, until time is up."""
    best: Result | None = None
    tried: list[Result] = []
    rate_bps, failed_bps = low_bps, float("inf")
    while time.monotonic() < deadline_s and failed_bps - rate_bps > 0.05 * rate_bps * 0.5:
        result = measure(rate_bps, 0.0, 1.0)
        tried.append(result)
        if result.share_of_capacity >= LIMIT:
            best = result
            rate_bps = rate_bps * 2 if failed_bps == float("inf") else (rate_bps + failed_bps) / 2
        else:
            failed_bps = rate_bps
            rate_bps = (best.rate_bps + rate_bps) / 2 if best else rate_bps / 2
    return best, tried


def main() -> int:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", default="build/bench/link.json", help="where the figures go")
    target = Path(parser.parse_args().json)
    start_s = time.monotonic()
    fixed = [measure(50e6, loss, 3.0) for loss in (0.0, 0.1)]
    best, tried = search(100e6, start_s + 17.0)
    print("rate Mbit/s  loss  goodput Mbit/s  of rate  of capacity  cpu space  cpu ground")
    for row in [*fixed, *tried]:
        print(
            f"{row.rate_bps / 1e6:11.1f} {row.loss:5.0%} {row.goodput_bps / 1e6:15.2f}"
            f" {row.share_of_rate:8.1%} {row.share_of_capacity:12.1%}"
            f" {row.cpu_space:10.2f} {row.cpu_ground:11.2f}"
        )
    highest_bps = best.rate_bps if best else None
    shown = "none" if highest_bps is None else f"{highest_bps / 1e6:.0f} Mbit/s"
    print(f"machine: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"highest rate at which {LIMIT:.0%} of capacity holds: {shown}")
    target.parent.mkdir(parents=True, exist_ok=True)
    figures = {
        "frame_bytes": FRAME_BYTES,
        "segment_bytes": SEGMENT_BYTES,
        "limit": LIMIT,
        "fixed": [asdict(row) for row in fixed],
        "search": [asdict(row) for row in tried],
        "highest_rate_bps": highest_bps,
        "load_1min": os.getloadavg()[0],
        "cores": os.cpu_count(),
    }
    target.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
