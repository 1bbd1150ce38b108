"""Make everything anew that hangs on released weights, in order, on all cores, resumable.

    python -m training.refresh --data DIR [--jobs 2] [--list]

Other weights make figures old that were measured with them: cards, what the tests expect, routing
heads, the study's trace and table. This runs the commands of training/README.md that make them,
each on one thread, as many at once as there are jobs; one waits for those it needs. What is done is
remembered by the models' answers, so a run that was stopped goes on (most of the commands go on
inside as well); ``--again NAME`` forgets one. Logs lie in build/refresh. Needs no torch, takes some
five core-hours. What a person decides afterwards is printed at the end.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.manifest import answers_digest
from training.instruct.sources import Library

OUT = Path("build/refresh")
MODELS = Path("models")
QUARTERS = 4                    # in which the evaluation is asked
POLL_S = 0.5
GRACE_S = 20.0                  # for a process that is to end
TAIL = 12                       # lines shown of a log that ends badly
AFTER = """by hand:
  make gallery demo && python -m docs, and read what README says of the models"""


@dataclass(frozen=True, slots=True)
class Job:
    """name; command: module and arguments behind python -m; needs: names of others."""

    name: str
    command: tuple
    needs: tuple = ()


def jobs(data, sets, parts=2):
    """All of them, the most urgent first."""
    models = ("--compact", str(MODELS / "compact"), "--regular", str(MODELS / "regular"))
    at, out = ("--data", str(data)), []
    shares = [f"{i + 1}/{parts}" for i in range(parts)]

    def several(name, command, needs=()):
        made = [Job(f"{name}-{i + 1}", (*command, "--part", share), needs)
                for i, share in enumerate(shares)]
        out.extend(made)
        return tuple(job.name for job in made)

    # It seals the folder, as heads do; answers stay.
    out.append(Job("kinds", ("training.evaluation.kinds", *at, "--model", models[1], "--write")))
    asked = several("collect", ("training.decision.collect", *at, *models))
    out.append(Job("heads", ("training.decision.train", *models), (*asked, "kinds")))
    traced = several("trace", ("eo_sim.study.collect", *at, *models), ("heads",))
    out.append(Job("facts", ("eo_sim.study.facts", *models[:2], "--trace",
                             "sim/assets/study/trace.npz"), traced))
    out.append(Job("regions", ("training.evaluation.regions", *at, "--answers", "--scenes", "4",
                               "--keep"), ("kinds",)))
    evaluate, quarters = ("training.evaluation", *at, "--as-cards"), []
    for i in range(QUARTERS):
        some = ",".join(sets[i::QUARTERS])
        if some:
            quarters.append(f"evaluate-{i + 1}")
            out.append(Job(quarters[-1], (*evaluate, "--sets", some)))
    out.append(Job("scores", evaluate, tuple(quarters)))
    cards = []
    for model in ("compact", "regular"):
        cards.append(f"card-{model}")
        out.append(Job(cards[-1], (
            "training.release", "--card", *at, "--out", str(MODELS / model), "--scores",
            "build/eval/scores.json"), ("scores", "heads")))
    out.append(Job("fixtures", ("training.evaluation.fixtures", *at), tuple(cards)))
    out.append(Job("study", ("eo_sim.study", "--keep"), ("facts", "regions")))
    out.append(Job("fly", ("eo_sim.study.fly",), ("study",)))
    return out


def ready(waiting, done, running, failed):
    """Jobs that may start, in order: all they need is done."""
    return [job for job in waiting if job.name not in done and job.name not in running
            and job.name not in failed and all(n in done for n in job.needs)]


def end(processes):
    """Stop processes, and see them gone."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Runner:
    """Runs jobs as processes. key: what they were made of; what another key did does not count."""

    def __init__(self, out, key, most, say=print):
        self.out, self.key, self.most, self.say = out, key, most, say
        self.path = out / "done.json"
        held = json.loads(self.path.read_text()) if self.path.is_file() else {}
        self.done = {n for n, k in held.items() if k == key}
        self.failed = set()

    def forget(self, names):
        """Let these be done again."""
        self.done -= set(names)

    def run(self, todo):
        """Whether all are done in the end."""
        running, begun = {}, time.monotonic()
        self.out.mkdir(parents=True, exist_ok=True)
        try:
            while True:
                for job in ready(todo, self.done, running, self.failed)[:self.most - len(running)]:
                    running[job.name] = self._start(job), time.monotonic()
                if not running:
                    break
                time.sleep(POLL_S)
                for name in [n for n, (process, _) in running.items()
                             if process.poll() is not None]:
                    process, since = running.pop(name)
                    self._end(name, process.returncode, time.monotonic() - since)
        finally:
            end([process for process, _ in running.values()])
        left = [job.name for job in todo if job.name not in self.done]
        self.say(f"{len(todo) - len(left)} of {len(todo)} done after "
                 f"{(time.monotonic() - begun) / 60:.1f} min"
                 + (f"; left: {', '.join(left)}" if left else ""), flush=True)
        return not left

    def _start(self, job):
        self.say(f"{time.strftime('%H:%M:%S')} {job.name}: python -m {' '.join(job.command)}",
                 flush=True)
        paths = os.pathsep.join([".", "sim", *filter(None, [os.environ.get("PYTHONPATH")])])
        env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
        with (self.out / f"{job.name}.log").open("w") as log:
            return subprocess.Popen([sys.executable, "-u", "-m", *job.command], env=env,
                                    stdout=log, stderr=subprocess.STDOUT)

    def _end(self, name, code, seconds):
        if code == 0:
            self.done.add(name)
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(dict.fromkeys(sorted(self.done), self.key)) + "\n")
            part.replace(self.path)
            self.say(f"{time.strftime('%H:%M:%S')} {name}: done in {seconds / 60:.1f} min",
                     flush=True)
            return
        self.failed.add(name)
        path = self.out / f"{name}.log"
        lines = path.read_text(errors="replace").splitlines()[-TAIL:]
        self.say(f"{name}: failed with {code}, {path} ends:\n  " + "\n  ".join(lines), flush=True)


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    p.add_argument("--again", nargs="+", default=[], metavar="NAME", help="though it is done")
    p.add_argument("--list", action="store_true", help="print the commands and what is done, end")
    a = p.parse_args(argv)
    todo = jobs(a.data, [*Library(a.data).names, "world"], max(1, a.jobs))
    names = [job.name for job in todo]
    if unknown := set(a.again) - set(names):
        p.error(f"no job {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    try:
        key = " ".join(answers_digest(MODELS / m)[:16] for m in ("compact", "regular"))
    except ModelError as error:
        p.error(str(error))
    runner = Runner(OUT, key, max(1, a.jobs))
    runner.forget(a.again)
    if a.list:
        for job in todo:
            print("done" if job.name in runner.done else "    ", f"{job.name:12}",
                  "python -m", *job.command)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))   # ends what runs
    if not runner.run(todo):
        raise SystemExit(1)
    print(AFTER)


if __name__ == "__main__":
    main()
