"""Our runtime beside PyTorch, in one run: the same answer by the same session, with the same
weights, threads, batch of one, cache and precision.

    python -m training.bench_runtime [--model FOLDER] [--rounds 15] [--compile]

Every side is `UnifiedModel` as it flies (grammar mask, pointer, greedy loop); under it run
onnxruntime with bound caches, or the PyTorch modules that the graphs were exported from, which
take their weights from the same folder. They answer one question on one scene of this repository
in turns, and must say the same. A third one computes its decoder in int8. Figures are medians of
processor time on one thread, so that other programs on the machine hardly count; ratios are
medians of the rounds' ratios. The machine's own limits are measured in the same rounds: a matrix
product, and a read of memory for tokens. `--compile` adds torch.compile, which needs a C++ compiler
and some minutes. Rows go to build/bench/runtime.json too (runtime_MODEL.json of another model than
compact), from where `python -m bench --readme none` takes them. A folder whose decoder has no
modules here is timed without PyTorch.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from bench.figures import Outcome, as_json, machine, table, weights, write_json
from eo_nodes.contracts.errors import ModelError
from training import precision
from training.bench_runtime import asking, memory, modules, report

PRODUCT, READ_MB = 768, 64
MODELS = asking.ROOT / "models"


def limits():
    """{name: (function, work a call)}: FLOP of a matrix product, bytes of a read."""
    a = torch.randn(PRODUCT, PRODUCT)
    values = np.ones(READ_MB << 18, np.float32)
    return {"product": (lambda: a @ a, 2 * PRODUCT**3), "read": (values.sum, values.nbytes)}


def opened(folder, scratch, compiles):
    """({side: model}, why others are missing)."""
    models, missing = {"ours": asking.opened(folder)}, []
    try:
        models["eager"] = modules.opened(folder)
        if compiles:
            models["compiled"] = modules.opened(folder, torch.compile)
        precision.compute_in_int8(folder, scratch / "int8")
        models["int8"] = asking.opened(scratch / "int8")
    except ModelError as error:
        missing.append(str(error))
    return models, missing


def measured(models, rounds, seen):
    """({side: [Turn]}, {limit: rates}), in turns, who goes first changing; two rounds of warming
    up are not counted."""
    turns, found = {side: [] for side in models}, {name: [] for name in limits()}
    machine = limits()
    for n in range(-2, rounds):
        for side in list(models)[:: 1 if n % 2 else -1]:
            turn = asking.ask(models[side], seen)
            if n >= 0:
                turns[side].append(turn)
        for name, (run, work) in machine.items():
            begin = time.process_time()
            run()
            if n >= 0:
                found[name].append(work / (time.process_time() - begin))
    return turns, {name: np.array(rates) for name, rates in found.items()}


def figures(folder, a, scratch):
    """(rows, what is to be said of them)."""
    seen = asking.picture()
    models, notes = opened(folder, scratch, a.compile)
    turns, rates = measured(models, a.rounds, seen)
    took = {side: report.columns(t) for side, t in turns.items()}
    rows = [row for side in models for row in report.times(side, took[side])]
    for theirs in ("eager", "compiled"):
        if theirs in models:
            rows += report.ratios("ours", theirs, took)
            notes.append(said(turns, "ours", theirs))
    if "int8" in models:
        rows += report.ratios("int8", "eager", took)
        notes.append(said(turns, "int8", "ours"))
    rows += report.shares(turns["ours"], took["ours"], models["ours"].config, rates)
    places = {"ours": ("ours", folder), "eager": ("torch", folder),
              "int8": ("ours", scratch / "int8")}
    for side, place in places.items():
        if side in models:
            rows += report.memory(side, memory.measured(*place))
    return rows, notes


def said(turns, one, other):
    """Whether two sides gave the same answer."""
    a, b = turns[one][-1].ids, turns[other][-1].ids
    same = sum(x == y for x, y in zip(a, b, strict=False))
    return f"{report.NAMES[one]} and {report.NAMES[other]}: {same} of {len(b)} tokens equal"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--model", default="compact", help="compact, regular or a folder")
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--compile", action="store_true")
    a = p.parse_args()
    folder = Path(a.model) if Path(a.model).is_dir() else MODELS / a.model
    torch.set_num_threads(asking.THREADS)
    facts = machine()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            rows, notes = figures(folder, a, Path(scratch))
        except ModelError as error:
            print(f"bench_runtime: {error}", file=sys.stderr)
            return 1
    print(f"{folder.name}, {asking.THREADS} thread, batch 1, float32 but for int8, {a.rounds} "
          f"rounds in turns, {facts['processor']}, torch {torch.__version__}; {asking.QUESTION}")
    print("\n".join(f"  {note}" for note in notes))
    print(table(rows))
    write_json("runtime" if folder.name == "compact" else f"runtime_{folder.name}",
               {"machine": facts, "weights": weights([folder]),
                **as_json(Outcome(tuple(rows), {"notes": notes}))})
    return 0


if __name__ == "__main__":
    sys.exit(main())
