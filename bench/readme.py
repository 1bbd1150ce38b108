"""The block of figures in README.md, from what build/bench and build/twin hold.

Shown is every figure that has a limit, and a few that explain one. Figures that hang on a model are
marked where they were taken with other weights than those in models/.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ConfigError

from .figures import DIGITS, OUT_DIR, Figure, Outcome, as_json, short

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
TWIN_DIR, MOST_POINTS = Path("build/twin"), 1.0
# In this order: file in build/bench -> what of it is shown without a limit.
SHOWN: Mapping[str, tuple[str, ...]] = {
    "overhead": ("the demo's questions", "a longer model (regular)", "graph, a request",
                 "scene to views, 1 MB", "scene to views, 8 MB"),
    "images": ("image 1 MB, latency", "image 8 MB, latency"),
    "memory": (),
    "decoding": (),
    "planning": ("with coding",),
    "link": ("link 50 Mbit/s, 10% loss", "link, highest rate at 97%"),
    "orbit": ("orbit, plan of 24 h, 12 stations",),
    "runtime": ("ours: time to tap 1", "ours: tokens", "ours, int8: tokens",
                "ours, int8 against PyTorch eager: whole answer", "limit: matrix product",
                "limit: read of memory", "ours: process while it answers, peak",
                "PyTorch eager: process while it answers, peak"),
    "runtime_regular": ("ours: time to tap 1", "ours: tokens",
                        "ours: process while it answers, peak"),
    "float32": (),
    "int8": (),
}  # fmt: skip
_OF_WEIGHTS = frozenset(SHOWN) - {"images", "link", "orbit"}
# Of a twin of the compact model: whose points count as lost, and what its row is called.
TWINS = {"float32": (-1, "stored as int8, lost against float32"),
         "int8": (1, "computing in int8, lost against float32")}
_COMMANDS = {
    "runtime": "training.bench_runtime --compile",
    "runtime_regular": "training.bench_runtime --model regular",
    "float32": "training.evaluation.twin --data DIR",
    "int8": "training.evaluation.twin --data DIR --twin int8",
}  # fmt: skip
_BUSY_LOAD = 1.0


def measured(folder: Path = OUT_DIR, twins: Path = TWIN_DIR) -> dict[str, dict[str, Any]]:
    """Return what each benchmark last wrote, by name; those that never ran are left out."""
    found = {}
    for name in SHOWN:
        path = twins / f"compact-{name}.json" if name in TWINS else folder / f"{name}.json"
        if path.is_file():
            content = json.loads(path.read_text(encoding="utf-8"))
            found[name] = _of_twin(name, content) if name in TWINS else content
    return found


def _of_twin(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Points lost, whichever of the two is the one in int8."""
    (sign, what), all_of = TWINS[name], content["overall"]
    low, high = sorted(sign * x for x in all_of["ci95"])
    row = Figure(
        what, sign * all_of["mean_difference"], "points", limit=MOST_POINTS, n=all_of["n"],
        low=low, high=high, note=f"mean over {all_of['cells']} cells, interval of 95 %; "
        f"{all_of['equal_percent']:.1f} % of {all_of['n']} answers equal")  # fmt: skip
    weights = {content["model"]: content["digests"][0][:DIGITS]}
    return {"weights": weights, **as_json(Outcome((row,)))}


def block(found: Mapping[str, Mapping[str, Any]], present: Mapping[str, str]) -> str:
    """Return the table as markdown.

    Args:
        found: as ``measured`` gives it.
        present: digests of the weights in models/, by name.
    """
    lines = ["| figure | median (quartiles) | limit | |", "|---|---:|---:|---|"]
    for name, content in found.items():
        is_stale = name in _OF_WEIGHTS and not _fits(content, present)
        for raw in content["figures"]:
            row = Figure(**{k: v for k, v in raw.items() if k != "distance"})
            if row.limit is not None or row.name.strip() in SHOWN[name]:
                lines.append(_line(name, row, is_stale))
    lacking = [name for name in SHOWN if name not in found]
    if lacking:
        lines += ["", f"Not measured yet: {', '.join(map(_command, lacking))}."]
    machines = {name: c["machine"] for name, c in found.items() if "machine" in c}
    cores = max((m["cores"] for m in machines.values()), default=0)
    names = sorted({m["processor"] for m in machines.values()})
    busy = [name for name, m in machines.items() if m["load_before"][0] > _BUSY_LOAD]
    lines += ["", f"Measured on {' and '.join(names)}, {cores} cores."]
    if busy:
        lines += [f"The machine was not idle (load above {_BUSY_LOAD:g} before the start), and "
                  f"latencies and rates are too bad, in: {', '.join(busy)}."]  # fmt: skip
    return "\n".join(lines)


def put(path: Path, text: str) -> None:
    """Replace the block between its marks. Raises ConfigError: there are none."""
    whole = path.read_text(encoding="utf-8")
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"{path} has no {BEGIN} ... {END}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def _fits(content: Mapping[str, Any], present: Mapping[str, str]) -> bool:
    used: Mapping[str, str] = content.get("weights", {})
    return bool(used) and all(present.get(name) == digest for name, digest in used.items())


def _line(name: str, row: Figure, is_stale: bool) -> str:
    value = "not measured" if row.value is None else f"{short(row.value)} {row.unit}".strip()
    if row.low is not None and row.high is not None:
        value += f" ({short(row.low)} to {short(row.high)})"
    limit = "" if row.limit is None else (
        f"{'at least' if row.at_least else 'at most'} {row.limit:g}")
    verdict: Sequence[str] = [
        "**missed**" if row.is_missed else "reached" if row.distance is not None else "",
        row.note, "earlier weights" if is_stale else ""]  # fmt: skip
    model = "regular, " if name == "runtime_regular" else ""
    return f"| {model}{row.name.strip()} | {value} | {limit} | {'; '.join(filter(None, verdict))} |"


def _command(name: str) -> str:
    return f"`python -m {_COMMANDS[name]}`" if name in _COMMANDS else f"`{name}`"
