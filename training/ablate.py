"""Is a mechanism worth its place? Short paired trainings with and without it, on val.

    python -m training.ablate maka --data DIR --steps 300 --seeds 3
    python -m training.ablate all --data DIR --minutes 10 --device cuda
    python -m training.ablate --steps 300 --table [docs/ablations.md]

One fixed small configuration: the compact model on few sets. Each run writes one JSON result into
training/checkpoints/ablations; runs that have one are not repeated. Runs by --steps are
reproducible; --minutes gives both sides equal time instead. The table needs the same --sets,
--steps and --minutes as the runs; its rows say which mechanisms were not run yet.
"""

import argparse
import hashlib
import json
import os
import time
from pathlib import Path

import torch

from training import ablate_answers, ablate_table, ablate_vision
from training.ablate_mechanisms import MECHANISMS, NEEDS, runs_of
from training.ablate_vision import ARMS, Budget, World
from training.recipe import CHECKPOINTS

SETS = ("aid_rsicd", "eurosat_ms", "hit_uav", "mstar", "objects_rgb")
MOST_SETS = 5
PAGE = Path(__file__).resolve().parents[1] / "docs" / "ablations.md"


class Runs:
    """Results of one configuration, made where they are missing.

    settings: what two runs must share to be compared, JSON-able; out: folder of all
    configurations; world: () -> `World`, called when something has to be run; words: () ->
    `decoder.vocabulary.Words`; workers: processes that prepare batches.
    """

    def __init__(self, settings, out, world, words, device="cpu", workers=0):
        text = json.dumps(settings, sort_keys=True)
        self.folder = Path(out) / hashlib.sha256(text.encode()).hexdigest()[:12]
        self.settings, self.device, self.workers = settings, device, workers
        self._make_world, self._words, self._world = world, words, None
        self.budget = Budget(settings["steps"], settings["minutes"])

    @property
    def world(self):
        self._world = self._world or self._make_world()
        return self._world

    def path(self, run, seed, suffix=".json"):
        return self.folder / f"{run}-{seed}{suffix}"

    def result(self, run, seed):
        """The stored result, or None."""
        path = self.path(run, seed)
        return json.loads(path.read_text()) if path.exists() else None

    def scores(self, run, seeds):
        """{seed: scores} of the seeds that were run."""
        found = {s: self.result(run, s) for s in seeds}
        return {s: r["scores"] for s, r in found.items() if r is not None}

    def make(self, run, seed):
        """Run it unless its result is there; returns the result."""
        known, is_needed = self.result(run, seed), run in NEEDS.values()
        if known is not None and (not is_needed or self.path(run, seed, ".pt").exists()):
            return known
        start = time.monotonic()
        scores, facts = self._run(run, seed)
        result = {"run": run, "seed": seed, "settings": self.settings, "scores": scores,
                  "facts": facts, "seconds": round(time.monotonic() - start, 1),
                  "device": self.device, "threads": torch.get_num_threads(),
                  "torch": torch.__version__}
        path = self.path(run, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(result, indent=1))
        os.replace(part, path)
        return result

    def _run(self, run, seed):
        if run in ARMS:
            checkpoint = self.path(run, seed, ".pt") if run in NEEDS.values() else None
            return ablate_vision.train(ARMS[run], self.world, seed, self.budget, self.device,
                                       checkpoint, self.workers)
        full = self.path("full", seed, ".pt")
        if run == "zoomed":
            network = self.world.restored(full)
            return ablate_vision.zoomed(network, self.world, self.world.source(seed),
                                        self.device), {}
        bench = ablate_answers.Bench(self.world, full, self._words(), seed,
                                     run == "answers-top", self.path("seen", seed, ".pt"),
                                     self.device)
        if run == "answers-free":
            ablate_answers.restore(self.path("answers", seed, ".pt"), bench)
            return bench.scores(is_constrained=False), {}
        steps = bench.train(self.budget)
        ablate_answers.store(self.path(run, seed, ".pt"), bench, steps)
        return bench.scores() | bench.losses(), {"steps": steps}

    def rows(self, seeds):
        """Rows of every mechanism, run or not."""
        return [row for m in MECHANISMS.values() for row in ablate_table.rows_of(
            m.title, self.scores(m.with_it, seeds), self.scores(m.without, seeds))]


def write_table(runs, seeds, path):
    """Markdown at path, JSON beside it."""
    s = runs.settings
    much = f"{s['steps']} steps" if s["steps"] else f"{s['minutes']:g} minutes"
    note = (f"Compact model, {much} a run, sets {', '.join(s['sets'])}; means over at most "
            f"{len(seeds)} seeds with 95 % t intervals; differences are paired by seed.")
    rows = runs.rows(seeds)
    path.write_text(ablate_table.page(rows, note))
    path.with_suffix(".json").write_text(json.dumps({"settings": s, "rows": rows}, indent=1) + "\n")


def arguments():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("mechanism", nargs="?", choices=[*MECHANISMS, "all"])
    p.add_argument("--data", type=Path, help="needed to run anything")
    p.add_argument("--steps", type=int, default=0, help="of a run; 0 goes by --minutes")
    p.add_argument("--minutes", type=float, default=10)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--sets", nargs="*", default=SETS, help=f"at most {MOST_SETS}")
    p.add_argument("--device", default="cpu")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--workers", type=int, default=0, help="processes that prepare batches")
    p.add_argument("--out", type=Path, default=CHECKPOINTS / "ablations")
    p.add_argument("--table", type=Path, nargs="?", const=PAGE,
                   help="write it, .md with .json beside it; default: docs/ablations.md")
    a = p.parse_args()
    if not 1 <= len(a.sets) <= MOST_SETS:
        p.error(f"{len(a.sets)} sets, expected 1 to {MOST_SETS}")
    if a.mechanism is None and a.table is None:
        p.error("name a mechanism, or a --table to write")
    if a.mechanism and a.data is None:
        p.error("--data is needed to run a mechanism")
    return a


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    settings = {"sets": sorted(a.sets), "steps": a.steps,
                "minutes": 0.0 if a.steps else a.minutes, "backbone": "lite0"}

    def world():
        return World(a.data, settings["sets"], CHECKPOINTS / "texts.npz")

    def words():
        from training.decoder.vocabulary import Words
        return Words()

    runs, seeds = Runs(settings, a.out, world, words, a.device, a.workers), range(a.seeds)
    names = list(MECHANISMS) if a.mechanism == "all" else [a.mechanism] if a.mechanism else []
    for seed in seeds:             # seed by seed: an early stop leaves whole pairs
        for run in runs_of(names):
            result = runs.make(run, seed)
            print(json.dumps({k: result[k] for k in ("run", "seed", "seconds", "scores")}),
                  flush=True)
    if a.table is not None:
        write_table(runs, seeds, a.table)


if __name__ == "__main__":
    main()
