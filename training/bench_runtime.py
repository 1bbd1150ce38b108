"""Our runtime beside PyTorch, in one run: same weights, threads, batch of one, cache, precision.

    python -m training.bench_runtime [--model compact] [--rounds 15] [--compile] [--out FILE.json]

Both run the same three pieces in turns, one round after the other: vision of one overview, the
prompt behind its visual tokens, and one token on a cache. Figures are medians of processor time on
one thread, so that other programs on the machine hardly count; ratios are medians of the rounds'
ratios. The machine's own limits are measured in the same rounds: a matrix product for vision and
prompt, a read of memory for tokens. `--compile` adds torch.compile, which needs a C++ compiler.
Checkpoints of the model are needed, and the size with frozen weights is measured without them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from eo_nodes.lvlm.runtime import RuntimeOptions, open_session
from eo_nodes.lvlm.spectrum import CODE_SIZE
from training.decoder.export import load_decoder, macs_per_cell
from training.decoder.graphs import (
    VISION_INPUTS,
    DecoderGraph,
    VisionGraph,
    decoder_axes,
    export_decoder,
    export_vision,
)
from training.decoder.int8 import compute_in_int8
from training.decoder.train import SIZES
from training.decoder.vocabulary import PATHS, Words

VISUAL, PROMPT, PAST, ANSWER = 100, 12, 120, 24
COPIED_MB = 64
PIECES = ("vision", "prompt", "token")


@dataclass(frozen=True)
class Line:
    """Median of what `name` says, with quartiles."""

    name: str
    median: float
    low: float
    high: float
    unit: str

    @classmethod
    def of(cls, name, values, unit):
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
        return cls(name, float(median), float(low), float(high), unit)


class Feeds:
    """Inputs of the three pieces, as tensors; one set of bands, one size."""

    def __init__(self, size, config, seed=0):
        draw = torch.Generator().manual_seed(seed)

        def some(*shape):
            return torch.randn(*shape, generator=draw)

        cells = (size // 32) ** 2
        codes = some(3, CODE_SIZE)
        self.vision = (some(1, 3, size, size), codes, torch.full((1, cells, 4), 0.5),
                       torch.zeros(1, 4, dtype=torch.long), torch.eye(cells))
        empty = [torch.zeros(1, config.kv_heads, 0, config.head_dim)] * 2 * config.layers
        full = [some(1, config.kv_heads, PAST, config.head_dim) for _ in empty]
        self.prompt = (torch.full((1, PROMPT), 9), torch.arange(PROMPT)[None],
                       some(1, VISUAL, config.width), *empty)
        self.token = (torch.full((1, 1), 9), torch.full((1, 1), PROMPT),
                      some(1, 0, config.width), *full)


def torch_runs(vision, decoder, feeds):
    """{piece: function} that calls modules as they are."""
    def run(module, given):
        with torch.inference_mode():
            return module(*given)

    return {"vision": lambda: run(vision, feeds.vision),
            "prompt": lambda: run(decoder, feeds.prompt),
            "token": lambda: run(decoder, feeds.token)}


def our_runs(sessions, names, feeds):
    """{piece: function} that runs sessions of (vision, decoder)."""
    vision, decoder = sessions

    def run(session, inputs, given):
        feed = {k: v.numpy() for k, v in zip(inputs, given, strict=True)}
        return lambda: session.run(None, feed)

    return {"vision": run(vision, VISION_INPUTS, feeds.vision),
            "prompt": run(decoder, names, feeds.prompt),
            "token": run(decoder, names, feeds.token)}


def limits():
    """{name: (function, work a call)}: FLOP of a matrix product, bytes of a read."""
    a = torch.randn(768, 768)
    values = np.ones(COPIED_MB << 18, np.float32)
    return {"product": (lambda: a @ a, 2 * 768**3), "read": (values.sum, values.nbytes)}


def measured(runs, rounds):
    """{name: [seconds of processor time]}, in turns; the first round is not counted."""
    took = {name: [] for name in runs}
    for n in range(rounds + 1):
        for name, run in runs.items():
            begin = time.process_time()
            run()
            if n:
                took[name].append(time.process_time() - begin)
    return {name: np.array(values) for name, values in took.items()}


_OPEN = """
import resource, sys
from pathlib import Path
from eo_nodes.lvlm.runtime import RuntimeOptions, open_session
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
before = resident()
sessions = [open_session(Path(p), RuntimeOptions()) for p in sys.argv[1:]]
print(resident() - before)
"""


def resident(paths):
    """Bytes that a fresh process gains by opening these graphs."""
    command = [sys.executable, "-c", _OPEN, *map(str, paths)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def weight_bytes(decoder):
    """Of float32 matrices that one token reads."""
    c = decoder.config
    return 4 * (c.layers * c.layer_macs + c.width * c.vocabulary)


def report(took, decoder, per_cell, cells):
    """Lines of the table: times, ratios, shares of the machine's limits."""
    lines, sides = [], [s for s in ("torch", "compiled", "ours", "int8") if f"{s} vision" in took]
    answers = {}
    for side in sides:
        lines += [Line.of(f"{side}: {piece}", took[f"{side} {piece}"] * 1e3, "ms")
                  for piece in PIECES]
        first = took[f"{side} vision"] + took[f"{side} prompt"]
        answers[side] = first + ANSWER * took[f"{side} token"]
        lines += [Line.of(f"{side}: time to tap 1", first * 1e3, "ms"),
                  Line.of(f"{side}: tokens", 1 / took[f"{side} token"], "1/s"),
                  Line.of(f"{side}: overview, prompt, {ANSWER} tokens", answers[side] * 1e3, "ms")]
    for side in sides[1:]:
        for piece in PIECES:
            ratio = took[f"torch {piece}"] / took[f"{side} {piece}"]
            lines.append(Line.of(f"{side} against torch: {piece}", ratio, "times"))
        lines.append(Line.of(f"{side} against torch: whole answer",
                             answers["torch"] / answers[side], "times"))
    flops = limits()["product"][1] / took["limit product"]
    bandwidth = limits()["read"][1] / took["limit read"]
    rows, c = VISUAL + PROMPT, decoder.config
    prompt = 2 * rows * c.layers * (c.layer_macs + 2 * c.width * rows)
    lines += [
        Line.of("limit: matrix product", flops / 1e9, "GFLOP/s"),
        Line.of("limit: read of memory", bandwidth / 1e9, "GB/s"),
        Line.of("ours: vision, share of the product's rate",
                2 * per_cell * cells / took["ours vision"] / flops * 100, "%"),
        Line.of("ours: prompt, share of the product's rate",
                prompt / took["ours prompt"] / flops * 100, "%"),
        Line.of("ours: token, share of the memory's rate",
                weight_bytes(decoder) / took["ours token"] / bandwidth * 100, "%")]
    return lines


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--model", choices=[k for k, v in SIZES.items() if not v.is_frozen],
                   default="compact")
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--compile", action="store_true")
    p.add_argument("--out", type=Path)
    a = p.parse_args()
    torch.set_num_threads(1)
    perception, decoder = load_decoder(a.model, Words(PATHS[a.model]))
    network, size = perception.network.eval(), SIZES[a.model].longest
    feeds, names = Feeds(size, decoder.config), decoder_axes(decoder.config)[1]
    graphs = VisionGraph(network, decoder.projector).eval(), DecoderGraph(decoder).eval()
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch) / f"{n}.onnx" for n in ("vision", "decoder", "int8")]
        export_vision(network, decoder.projector, paths[0])
        export_decoder(decoder, paths[1])
        export_decoder(decoder, paths[2])
        compute_in_int8(paths[2])
        gained, gained_int8 = resident(paths[:2]), resident([paths[0], paths[2]])
        *ours, small = (open_session(path, RuntimeOptions()) for path in paths)
        runs = {"torch": torch_runs(*graphs, feeds), "ours": our_runs(ours, names, feeds),
                "int8": our_runs((ours[0], small), names, feeds)}
        if a.compile:
            compiled = [torch.compile(g, dynamic=False) for g in graphs]
            runs["compiled"] = torch_runs(*compiled, feeds)
        apart = {f"{side} {piece}": run for side, r in runs.items() for piece, run in r.items()}
        apart |= {f"limit {name}": run for name, (run, _) in limits().items()}
        worst = agreement(runs)
        took = measured(apart, a.rounds)
    lines = report(took, decoder, macs_per_cell(network), (size // 32) ** 2)
    lines += [Line(f"{name}: resident", v / 2**20, v / 2**20, v / 2**20, "MB")
              for name, v in (("ours", gained), ("int8", gained_int8))]
    print(f"{a.model}, one thread, batch 1, float32 but for int8; {a.rounds} rounds in turns; "
          f"logits of ours within {worst['ours']:.1e} of torch, of int8 within {worst['int8']:.1e}")
    for line in lines:
        print(f"{line.name:46s}{line.median:10.2f} {line.unit:8s}"
              f"{line.low:10.2f} .. {line.high:.2f}")
    if a.out:
        a.out.write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n")


def agreement(runs):
    """{side: largest difference of the token's logits from torch's}."""
    expected = runs["torch"]["token"]()[0].numpy()
    return {side: float(np.abs(np.asarray(r["token"]()[0]) - expected).max())
            for side, r in runs.items() if side != "torch"}


if __name__ == "__main__":
    main()
