"""``python -m bench [--readme] [NAME ...]``: measure, print each figure beside its limit.

Each benchmark writes build/bench/NAME.json; build/bench/summary.json holds all figures of this
run and the machine. ``--readme`` then writes the figures in README.md anew, from all files in
build/bench; ``--readme none`` measures nothing before. The exit status is 0 when everything was
measured, whatever the figures are: a limit that is missed on a busy machine is a fact to read, not
a failed build.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import EoError

from . import readme
from .figures import Figure, Outcome, as_json, machine, table, weights, write_json

# Name -> module, in the order in which they run: the most sensitive first.
MODULES = {
    "overhead": "bench_overhead",
    "images": "bench_images",
    "memory": "bench_memory",
    "decoding": "bench_decoding",
    "planning": "bench_planning",
    "link": "link_rows",
    "orbit": "orbit_rows",
}

README = Path("README.md")
MODELS = (Path("models/compact"), Path("models/regular"))


def run(names: Sequence[str]) -> int:
    """Run benchmarks by name; return the exit status."""
    facts = machine()
    _say(
        f"machine: {facts['cores']} cores, {facts['processor']}, {facts['memory_mb']} MB, "
        f"load before start {facts['load_before'][0]}"
    )
    if facts["is_busy"]:
        _say("WARNING: the load is above 1 before the start: what is measured here is too slow")
    figures: list[Figure] = []
    used = weights(MODELS)
    is_complete = True
    summary: dict[str, Any] = {"machine": facts, "started_s": time.time(), "wall_s": {}}
    for name in names:
        began_s = time.monotonic()
        sys.stderr.write(f"{name} ...\n")
        try:
            outcome: Outcome = importlib.import_module(f"bench.{MODULES[name]}").outcome()
        except EoError as error:
            is_complete = False
            outcome = Outcome((Figure(name, None, "", note=str(error)),))
        figures += outcome.figures
        summary["wall_s"][name] = round(time.monotonic() - began_s, 1)
        write_json(name, {"machine": facts, "weights": used, **as_json(outcome)})
    summary["figures"] = as_json(Outcome(tuple(figures)))["figures"]
    write_json("summary", summary)
    _say(table(figures))
    _say(f"JSON in build/bench; {sum(summary['wall_s'].values()):.0f} s")
    return 0 if is_complete else 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    known = ", ".join(MODULES)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {known}; none: nothing; without: all"
    )
    parser.add_argument("--readme", action="store_true", help="write the figures in README.md anew")
    options = parser.parse_args()
    names = options.names
    unknown = sorted(set(names) - set(MODULES) - {"none"})
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {known}")
    chosen = [name for name in MODULES if not names or name in names]
    status = run(chosen) if chosen else 0
    if options.readme:
        readme.put(README, readme.block(readme.measured(), weights(MODELS)))
    return status


if __name__ == "__main__":
    raise SystemExit(main())
