"""Rows of the table: times, ratios, shares of the machine's limits, memory, beside their aims."""

import numpy as np

from bench.figures import Figure, figure_of
from bench.stats import summarise
from training.bench_runtime.asking import TOKENS

TIMES_AIMED_AT, SHARE_AIMED_AT = 1.5, 40.0
PARTS = ("sight", "prompt", "token")
NAMES = {"eager": "PyTorch eager", "compiled": "torch.compile", "ours": "ours",
         "int8": "ours, int8"}


def figure(name, values, unit, aim=None):
    """A row of the table; aim: at least so much."""
    return figure_of(name, summarise(values), unit, limit=aim, at_least=True)


def columns(turns):
    """{what: seconds of each round} of one side."""
    found = {n: np.array([getattr(t, n) for t in turns])
             for n in ("sight", "prompt", "token", "first", "loop")}
    return found | {"whole": found["first"] + TOKENS * found["token"]}


def times(side, c):
    """Rows of one side alone."""
    name = NAMES[side]
    rows = [figure(f"{name}: {part}", c[part] * 1e3, "ms") for part in PARTS]
    return [*rows, figure(f"{name}: of a token, all but the graph", c["loop"] * 1e3, "ms"),
            figure(f"{name}: time to tap 1", c["first"] * 1e3, "ms"),
            figure(f"{name}: tokens", 1 / c["token"], "1/s"),
            figure(f"{name}: picture, prompt, {TOKENS} tokens", c["whole"] * 1e3, "ms")]


def ratios(ours, theirs, took):
    """Rows of how many times quicker one side is than the other."""
    a, b, head = took[ours], took[theirs], f"{NAMES[ours]} against {NAMES[theirs]}"
    aim = TIMES_AIMED_AT if ours == "ours" else None
    return [*(figure(f"{head}: {p}", b[p] / a[p], "times") for p in PARTS),
            figure(f"{head}: time to tap 1", b["first"] / a["first"], "times", aim),
            figure(f"{head}: tokens/s", b["token"] / a["token"], "times", aim),
            figure(f"{head}: whole answer", b["whole"] / a["whole"], "times", aim)]


def shares(turns, c, config, limits):
    """Rows of what the machine allows, and how much of it our runtime takes.

    limits: {"product": FLOP/s, "read": bytes/s} of each round.
    """
    macs = np.array([t.macs for t in turns])
    last = config.streams[-1].width
    matrices = sum(s.layers * s.layer_macs for s in config.streams) + last * config.vocabulary
    graph = c["token"] - c["loop"]
    return [
        figure("limit: matrix product", limits["product"] / 1e9, "GFLOP/s"),
        figure("limit: read of memory", limits["read"] / 1e9, "GB/s"),
        figure("ours: to tap 1, share of the product's rate",
                200 * macs / c["first"] / limits["product"], "%", SHARE_AIMED_AT),
        figure("ours: token, share of the memory's rate",
                400 * matrices / c["token"] / limits["read"], "%", SHARE_AIMED_AT),
        figure("ours: graph of a token, share of it",
                400 * matrices / graph / limits["read"], "%")]


def memory(side, found):
    """Rows of a `memory.Resident`; one process, one measurement."""
    name = NAMES[side]
    parts = ((f"{name}: process while it answers, peak", found.peak),
             (f"{name}: of it the loaded model", found.loaded - found.bare))
    return [Figure(n, v / 2**20, "MB") for n, v in parts]
